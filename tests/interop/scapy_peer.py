# SPDX-License-Identifier: GPL-2.0-or-later
"""The far end of a static tunnel in scapy's ESP (scapy.layers.ipsec): no code of ours on the wire.

    scapy_peer.py answer FAMILY    answer echo requests that come through the tunnel, until killed
    scapy_peer.py ask FAMILY       send some, with payloads of many sizes; print a JSON report

FAMILY is that of the outer addresses, 4 or 6.  It is the second host of tunnels.py.
"""

import itertools
import json
import socket
import sys
from pathlib import Path

from scapy.config import conf
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Padding, Raw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from interop.tunnels import INNER, MTU, OUTER, PORT, TO_A, TO_B  # noqa: E402

conf.verb = 0
SECONDS = 5


class Peer:
    """Inner packets go in and come out as scapy's objects; ESP in UDP is between."""

    def __init__(self, family):
        mine, theirs = OUTER[family][1], OUTER[family][0]
        layer = IP if family == 4 else IPv6
        self._to = (theirs, PORT)
        self._arriving = layer(src=theirs, dst=mine)
        self._out = self._association(TO_A, layer(src=mine, dst=theirs))
        self._in = self._association(TO_B, self._arriving)
        self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                    socket.SOCK_DGRAM)
        self.socket.bind((mine, PORT))

    @staticmethod
    def _association(sa, outer):
        spi, keymat = sa
        return SecurityAssociation(ESP, spi=spi, seq_num=1, crypt_algo="CHACHA20-POLY1305",
                                   crypt_key=bytes.fromhex(keymat), tunnel_header=outer)

    def send(self, inner):
        """Seal and send; returns the datagram."""
        datagram = bytes(self._out.encrypt(inner)[ESP])
        self.socket.sendto(datagram, self._to)
        return datagram

    def receive(self):
        """The next inner packet.  Raises what scapy raises if it does not verify."""
        return self._in.decrypt(self._arriving.copy() / ESP(self.socket.recv(65535)))

    def repeat(self, datagram):
        """Send a datagram that has been sent before."""
        self.socket.sendto(datagram, self._to)


def answer(peer):
    print("ready", flush=True)
    while True:
        packet = peer.receive()
        if ICMP in packet and packet[ICMP].type == 8:
            echo = packet[ICMP]
            peer.send(IP(src=packet.dst, dst=packet.src) /
                      ICMP(type=0, id=echo.id, seq=echo.seq) / Raw(bytes(echo.payload)))
        elif ICMPv6EchoRequest in packet:
            echo = packet[ICMPv6EchoRequest]
            peer.send(IPv6(src=packet.dst, dst=packet.src) /
                      ICMPv6EchoReply(id=echo.id, seq=echo.seq, data=echo.data))


def request(inner, number, payload):
    source, destination = INNER[inner][1], INNER[inner][0]
    if inner == 4:
        return IP(src=source, dst=destination, flags="DF") / ICMP(id=7, seq=number) / Raw(payload)
    return IPv6(src=source, dst=destination) / ICMPv6EchoRequest(id=7, seq=number, data=payload)


def answers(packet, inner, number, payload):
    """Is it the right answer to that request, addresses and checksums included?"""
    if packet.src != INNER[inner][0] or packet.dst != INNER[inner][1]:
        return False
    if inner == 4:
        return (ICMP in packet and packet[ICMP].type == 0 and packet[ICMP].seq == number and
                bytes(packet[ICMP].payload) == payload)
    return (ICMPv6EchoReply in packet and packet[ICMPv6EchoReply].seq == number and
            packet[ICMPv6EchoReply].data == payload)


def ask(peer, family):
    """Payloads of every remainder, one of the largest that fits, some with TFC padding behind."""
    peer.socket.settimeout(SECONDS)
    asked = answered = 0
    for inner in (4, 6):
        largest = MTU[family] - (28 if inner == 4 else 48)
        for size, tfc in itertools.product((0, 1, 2, 3, 4, 63, 64, 65, 500, largest), (0, 37)):
            if tfc and size == largest:
                continue
            payload = bytes(i & 255 for i in range(size))
            packet = request(inner, asked, payload)
            peer.send(type(packet)(bytes(packet)) / Padding(bytes(tfc)) if tfc else packet)
            asked += 1
            while not answers(peer.receive(), inner, asked - 1, payload):
                pass
            answered += 1
    peer.repeat(peer.send(request(4, asked, b"")))
    print(json.dumps({"asked": asked, "answered": answered}), flush=True)


def main():
    mode, family = sys.argv[1], int(sys.argv[2])
    peer = Peer(family)
    if mode == "answer":
        answer(peer)
    else:
        ask(peer, family)


main()
