#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second minivpn end, written from docs/protocol.md alone; its section numbers are quoted.

As a library: the handshake, the envelope and in-band messages as plain functions on bytes.  As a
program: one end of a tunnel over UDP, without a tun device, that completes a handshake with
a real minivpn, exchanges Ping and Pong in it and ICMP echoes through it, says so in lines of JSON
and ends with status 0; or with 1 when that did not come about in time.

    minivpn_peer.py --role client --key laptop.key --remote 192.0.2.1:4500 --ping 10.9.0.1
    minivpn_peer.py --role server --key laptop.key --listen 192.0.2.1:4500 --inner 10.9.0.1

Nothing here is fast, and the timers are few: it is there to disagree, not to be used.
"""

import argparse
import base64
import hashlib
import hmac
import ipaddress
import json
import os
import re
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CLIENT, SERVER = b"C", b"S"
MARKER = bytes(4)
INIT, RESPONSE, RETRY = 1, 2, 3
INIT_ITEMS = 944


class Refused(Exception):
    """What came is to be dropped; the text is the name of section 10."""


# ---- cryptography -------------------------------------------------------------------------------


def hmac512(key, message):
    return hmac.new(key, message, hashlib.sha512).digest()


def siphash24(key, message):
    """SipHash-2-4 with an 8-byte result, the 64-bit word in little-endian order."""
    mask = (1 << 64) - 1

    def rotate(x, by):
        return (x << by | x >> 64 - by) & mask

    def rounds(v, count):
        for _ in range(count):
            v[0] = v[0] + v[1] & mask
            v[2] = v[2] + v[3] & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = v[2] + v[1] & mask
            v[0] = v[0] + v[3] & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    k0, k1 = struct.unpack("<2Q", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(v, 4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def public_of(secret):
    return x25519.X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def shared_secret(secret, remote):
    """X25519; an all-zero result ends the handshake."""
    try:
        return x25519.X25519PrivateKey.from_private_bytes(secret).exchange(
            x25519.X25519PublicKey.from_public_bytes(remote))
    except ValueError as low_order:
        raise Refused("forged") from low_order


class Noise:
    """The symmetric state of section 3.3."""

    def __init__(self, protocol, prologue):
        self.h = self.ck = protocol.ljust(64, b"\0")
        self.k, self.n = None, 0
        self.mix_hash(prologue)

    def copy(self):
        other = object.__new__(Noise)
        other.__dict__.update(self.__dict__)
        return other

    def hkdf(self, material, count):
        temporary = hmac512(self.ck, material)
        outputs, last = [], b""
        for number in range(1, count + 1):
            last = hmac512(temporary, last + bytes([number]))
            outputs.append(last)
        return outputs

    def mix_hash(self, said):
        self.h = hashlib.sha512(self.h + said).digest()

    def mix_key(self, shared):
        self.ck, key = self.hkdf(shared, 2)
        self.k, self.n = key[:32], 0

    def mix_key_and_hash(self, shared):
        self.ck, said, key = self.hkdf(shared, 3)
        self.mix_hash(said)
        self.k, self.n = key[:32], 0

    def _nonce(self):
        return bytes(4) + struct.pack("<Q", self.n)

    def seal(self, plaintext):
        sealed = ChaCha20Poly1305(self.k).encrypt(self._nonce(), plaintext, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        try:
            plaintext = ChaCha20Poly1305(self.k).decrypt(self._nonce(), sealed, self.h)
        except InvalidTag as bad:
            raise Refused("forged") from bad
        self.n += 1
        self.mix_hash(sealed)
        return plaintext

    def split(self):
        first, second = self.hkdf(b"", 2)
        return first[:32], second[:32]


# ---- items (section 5) and in-band messages (section 6) ----------------------------------------


def items_to_bytes(items):
    return b"".join(bytes([kind, len(value)]) + value for kind, value in items)


def items_from_bytes(payload, bad="bad-payload"):
    """The list of (type, value), or Refused if its grammar is broken."""
    items, at = [], 0
    while at < len(payload):
        if payload[at] == 0:
            if any(payload[at:]):
                raise Refused(bad)
            return items
        if at + 2 > len(payload) or at + 2 + payload[at + 1] > len(payload):
            raise Refused(bad)
        items.append((payload[at], payload[at + 2:at + 2 + payload[at + 1]]))
        at += 2 + payload[at + 1]
    return items


SPIS, MTU, WORKERS, FLAGS, TRANSPORT, VERSION = 0x81, 0x02, 0x03, 0x04, 0x05, 0x06
ADDRESS4, ADDRESS6, ROUTE4, ROUTE6, DNS4, DNS6, DOMAIN, SEEN = range(0x10, 0x18)
REFUSED = 0x8F

# type: lengths, once?
ITEM_RULES = {
    SPIS: (range(4, 65, 4), True), MTU: ((2,), True), WORKERS: ((1,), True), FLAGS: ((4,), True),
    TRANSPORT: ((1,), True), VERSION: ((1,), True),
    ADDRESS4: ((5,), False), ADDRESS6: ((17,), False), ROUTE4: ((5,), False),
    ROUTE6: ((17,), False), DNS4: ((4,), False), DNS6: ((16,), False),
    DOMAIN: (range(1, 254), True), SEEN: ((6, 18), True), REFUSED: ((1, 2), True),
}


@dataclass
class Offer:
    """What one end says of itself in a handshake message."""

    spis: list = field(default_factory=list)
    mtu: int = 65535
    workers: int = 1
    flags: int = 0
    transport: int = 0
    version: int = 1
    addresses: list = field(default_factory=list)
    routes: list = field(default_factory=list)
    dns: list = field(default_factory=list)
    domain: str = ""
    seen: tuple = None
    refusal: tuple = None
    unknown_critical: int = 0
    impossible: int = 0


def _is_possible(address, whatever=False):
    """May this be told as a host's address?  @whatever: loopback and link-local too."""
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        return False
    if address.version == 6 and address.ipv4_mapped:
        return False
    return whatever or not (address.is_loopback or address.is_link_local)


NOT_ROUTED = [ipaddress.ip_network(text) for text in (
    "0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
    "::/128", "::1/128", "fe80::/10", "ff00::/8", "::ffff:0:0/96")]


def _interface(value):
    interface = ipaddress.ip_interface((value[:-1], value[-1]))
    if value[-1] == 0 or not _is_possible(interface.ip):
        raise ValueError
    return interface


def _route(value):
    network = ipaddress.ip_network((value[:-1], value[-1]))
    if any(network.version == other.version and network.subnet_of(other) for other in NOT_ROUTED):
        raise ValueError
    return network


def _host(value):
    address = ipaddress.ip_address(value)
    if not _is_possible(address):
        raise ValueError
    return address


def _domain(value):
    label = rb"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if not re.fullmatch(label + rb"(\." + label + rb")*", value):
        raise ValueError
    return value.decode()


def _seen(value):
    address, port = ipaddress.ip_address(value[:-2]), int.from_bytes(value[-2:], "big")
    if not _is_possible(address, whatever=True) or port == 0:
        raise ValueError
    return address, port


def _limited(values, value, most):
    if len(values) == most:
        raise ValueError
    values.append(value)


def _configure(offer, kind, value):
    """One item 0x10 to 0x17; ValueError if it cannot be."""
    if kind in (ADDRESS4, ADDRESS6):
        _limited(offer.addresses, _interface(value), 4)
    elif kind in (ROUTE4, ROUTE6):
        offer.routes.append(_route(value))
    elif kind in (DNS4, DNS6):
        _limited(offer.dns, _host(value), 4)
    elif kind == DOMAIN:
        offer.domain = _domain(value)
    else:
        offer.seen = _seen(value)


def _take_own(offer, kind, value):
    """One of the items that both ends may send; Refused if its value is out of range."""
    number = int.from_bytes(value, "big")
    if kind == SPIS:
        offer.spis = [spi for (spi,) in struct.iter_unpack(">I", value)]
        if min(offer.spis) < 256 or len(set(offer.spis)) != len(offer.spis):
            raise Refused("bad-payload")
    elif kind == MTU:
        offer.mtu = max(number, 1280)
    elif kind == WORKERS and 1 <= number <= 16:
        offer.workers = number
    elif kind == FLAGS:
        offer.flags = number & 1
    elif kind == TRANSPORT and number <= 1:
        offer.transport = number
    elif kind == VERSION and number >= 1:
        offer.version = number
    elif kind == REFUSED and value[0]:
        offer.refusal = (value[0], value[1] if len(value) > 1 else 0)
    else:
        raise Refused("bad-payload")


def offer_from_items(payload, response, from_server):
    """Section 5: the items of an Init or a Response, checked."""
    offer, seen, items = Offer(), set(), items_from_bytes(payload)
    for kind, value in items:
        if kind not in ITEM_RULES:
            if kind & 0x80 and not offer.unknown_critical:
                offer.unknown_critical = kind
            continue
        lengths, once = ITEM_RULES[kind]
        if len(value) not in lengths or (once and kind in seen):
            raise Refused("bad-payload")
        seen.add(kind)
        if not ADDRESS4 <= kind <= SEEN:
            _take_own(offer, kind, value)
        elif response and from_server:
            try:
                _configure(offer, kind, value)
            except ValueError:
                offer.impossible += 1
    if offer.refusal and (not response or len(items) > 1):
        raise Refused("bad-payload")
    if not offer.spis and not offer.refusal:
        raise Refused("bad-payload")
    return offer


def offer_to_items(offer):
    items = [(SPIS, b"".join(struct.pack(">I", spi) for spi in offer.spis)),
             (MTU, struct.pack(">H", offer.mtu)), (WORKERS, bytes([offer.workers])),
             (FLAGS, struct.pack(">I", offer.flags)), (VERSION, bytes([offer.version]))]
    for interface in offer.addresses:
        items.append((ADDRESS4 if interface.version == 4 else ADDRESS6,
                      interface.ip.packed + bytes([interface.network.prefixlen])))
    for network in offer.routes:
        items.append((ROUTE4 if network.version == 4 else ROUTE6,
                      network.network_address.packed + bytes([network.prefixlen])))
    if offer.seen:
        items.append((SEEN, offer.seen[0].packed + struct.pack(">H", offer.seen[1])))
    return items_to_bytes(items)


PING, PONG, CLOSE, REKEY, SOFTWARE = 1, 2, 3, 4, 5
IN_BAND_LENGTHS = {PING: (8,), PONG: (8,), CLOSE: (1,), REKEY: (0,), SOFTWARE: range(1, 65)}
IN_BAND_MAGIC = b"mvp1"


def in_band(items, padded_to=0):
    return (IN_BAND_MAGIC + items_to_bytes(items) + b"\0").ljust(padded_to, b"\0")


def in_band_items(payload):
    """What a dummy packet says, as a dictionary; None for other people's padding."""
    if not payload:
        return {}
    if payload[:4] != IN_BAND_MAGIC:
        return None
    said = {}
    for kind, value in items_from_bytes(payload[4:], "in-band-malformed"):
        if kind not in IN_BAND_LENGTHS:
            continue
        if len(value) not in IN_BAND_LENGTHS[kind]:
            raise Refused("in-band-malformed")
        if kind == SOFTWARE and not all(0x20 <= c <= 0x7E for c in value):
            raise Refused("in-band-malformed")
        said[kind] = value
    return said


# ---- the handshake (section 3) ------------------------------------------------------------------


class Keys:
    """What a PSK yields for handshakes begun by one role (3.2)."""

    def __init__(self, psk, initiator):
        self.psk, self.initiator = psk, initiator
        self.hint = hmac512(psk, b"minivpn 1 hint " + initiator)[:16]
        self.retry = hmac512(psk, b"minivpn 1 retry " + initiator)[:32]


def head(kind):
    return MARKER + bytes([kind, 1, 0, 0])


def classify(datagram):
    """INIT, RESPONSE, RETRY, or Refused (3.1)."""
    if len(datagram) < 8:
        raise Refused("truncated")
    kind, size = datagram[4], len(datagram)
    right = {INIT: size == 1024, RETRY: size == 48,
             RESPONSE: 92 <= size <= 988 and (size - 60) % 32 == 0}
    if not right.get(kind) or datagram[:8] != head(kind):
        raise Refused("malformed")
    return kind


def prologue(keys, init):
    return b"minivpn 1 " + keys.initiator + init[4:32]


def _after_e(keys, init, ephemeral):
    noise = Noise(b"Noise_NNpsk0_25519_ChaChaPoly_SHA512", prologue(keys, init))
    noise.mix_key_and_hash(keys.psk)
    noise.mix_hash(ephemeral)
    noise.mix_key(ephemeral)
    return noise


@dataclass
class Attempt:
    """An Init of ours that may still be answered."""

    noise: Noise
    secret: bytes
    ephemeral: bytes
    message: bytes
    spis: list
    retried: bool = False


def init_make(keys, secret, items, spis, cookie=bytes(16)):
    ephemeral = public_of(secret)
    message = head(INIT) + siphash24(keys.hint, ephemeral) + cookie + ephemeral
    noise = _after_e(keys, message, ephemeral)
    message += noise.seal(items.ljust(INIT_ITEMS, b"\0"))
    return Attempt(noise, secret, ephemeral, message, spis)


@dataclass
class Opened:
    """An Init of somebody else's, opened and not answered."""

    noise: Noise
    remote: bytes
    offer: Offer


def init_open(keys, message):
    ephemeral = message[32:64]
    if siphash24(keys.hint, ephemeral) != message[8:16]:
        raise Refused("unknown-key")
    noise = _after_e(keys, message, ephemeral)
    items = noise.open(message[64:])
    return Opened(noise, ephemeral, offer_from_items(items, False, keys.initiator == SERVER))


def response_make(opened, secret, items):
    """The Response, and k1, k2."""
    noise, ephemeral = opened.noise, public_of(secret)
    noise.mix_hash(ephemeral)
    noise.mix_key(ephemeral)
    noise.mix_key(shared_secret(secret, opened.remote))
    padded = items + bytes(-len(items) % 32)
    message = head(RESPONSE) + struct.pack(">I", opened.offer.spis[0]) + ephemeral
    return message + noise.seal(padded), noise.split()


def response_open(attempt, message, from_server):
    """The responder's offer, k1 and k2, and the handshake hash."""
    if struct.unpack(">I", message[8:12])[0] != attempt.spis[0]:
        raise Refused("stale-response")
    noise, ephemeral = attempt.noise.copy(), message[12:44]
    noise.mix_hash(ephemeral)
    noise.mix_key(ephemeral)
    noise.mix_key(shared_secret(attempt.secret, ephemeral))
    items = noise.open(message[44:])
    return offer_from_items(items, True, from_server), noise.split(), noise.h


def retry_make(keys, init, cookie):
    message = head(RETRY) + init[8:16] + cookie
    return message + hmac512(keys.retry, message[4:32] + init[32:64])[:16]


def retry_open(keys, attempt, message):
    """The cookie."""
    tag = hmac512(keys.retry, message[4:32] + attempt.ephemeral)[:16]
    if not hmac.compare_digest(tag, message[32:]):
        raise Refused("forged")
    return message[16:32]


def cookie_make(secret, address, port):
    address = ipaddress.ip_address(address)
    packed = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    return hmac512(secret, packed + struct.pack(">H", port))[:16]


# ---- SAs and the envelope (sections 4.1 and 2) --------------------------------------------------


def sa_key(k, position, spi):
    """36 bytes: key and salt."""
    return hmac512(k, b"minivpn 1 esp" + bytes([position]) + struct.pack(">I", spi) + b"\x01")[:36]


IPV4, IPV6, DUMMY = 4, 41, 59


def esp_seal(material, spi, sequence, payload, next_header):
    padding = bytes(range(1, 1 + -(len(payload) + 2) % 4))
    text = payload + padding + bytes([len(padding), next_header])
    associated, iv = struct.pack(">2I", spi, sequence), struct.pack(">Q", sequence)
    return associated + iv + ChaCha20Poly1305(material[:32]).encrypt(
        material[32:] + iv, text, associated)


def esp_open(material, packet):
    """Sequence number, payload (inner packet or in-band message), next header."""
    if len(packet) < 36:
        raise Refused("truncated")
    try:
        text = ChaCha20Poly1305(material[:32]).decrypt(
            material[32:] + packet[8:16], packet[16:], packet[:8])
    except InvalidTag as bad:
        raise Refused("forged") from bad
    pad, next_header = text[-2], text[-1]
    body = len(text) - 2 - pad
    if len(text) % 4 or body < 0 or text[body:-2] != bytes(range(1, pad + 1)):
        raise Refused("bad-padding")
    payload = text[:body]
    if next_header in (IPV4, IPV6):
        if payload[:1] and payload[0] >> 4 != {IPV4: 4, IPV6: 6}[next_header] or not payload:
            raise Refused("bad-padding")
        payload = cut_to_length(payload)
    elif next_header != DUMMY:
        raise Refused("bad-padding")
    return struct.unpack(">I", packet[4:8])[0], payload, next_header


def cut_to_length(packet):
    """An IP packet without what follows it."""
    ipv4 = packet[0] >> 4 == 4
    if len(packet) < (20 if ipv4 else 40):
        raise Refused("not-ip")
    length = int.from_bytes(packet[2:4] if ipv4 else packet[4:6], "big") + (0 if ipv4 else 40)
    if length > len(packet) or (ipv4 and length < 20):
        raise Refused("not-ip")
    mapped = bytes(10) + b"\xff\xff"
    if not ipv4 and mapped in (packet[8:20], packet[24:36]):
        raise Refused("not-ip")
    return packet[:length]


class Window:
    """Numbers already accepted."""

    SIZE = 8192

    def __init__(self):
        self.highest, self.seen = 0, set()

    def check(self, number):
        if number == 0 or number in self.seen or number + self.SIZE <= self.highest:
            raise Refused("replayed")

    def commit(self, number):
        self.seen.add(number)
        self.highest = max(self.highest, number)


class Session:
    """Both directions, one SA each that we send on; as many that we receive on as we listed."""

    def __init__(self, k_in, k_out, our_spis, their_offer):
        self.incoming = {spi: (sa_key(k_in, i, spi), Window()) for i, spi in enumerate(our_spis)}
        self.out_spi = their_offer.spis[0]
        self.out_key = sa_key(k_out, 0, self.out_spi)
        self.sequence = 0
        self.heard = False

    def seal(self, payload, next_header):
        self.sequence += 1
        return esp_seal(self.out_key, self.out_spi, self.sequence, payload, next_header)

    def open(self, packet):
        spi, number = struct.unpack(">2I", packet[:8])
        if spi not in self.incoming:
            raise Refused("unknown-spi")
        material, window = self.incoming[spi]
        window.check(number)
        _, payload, next_header = esp_open(material, packet)
        window.commit(number)
        self.heard = True
        return payload, next_header


# ---- inner packets ------------------------------------------------------------------------------


def checksum(message):
    total = sum(struct.unpack(f">{len(message) // 2}H", message[:len(message) // 2 * 2]))
    total += message[-1] << 8 if len(message) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _ip(source, destination, body, protocol):
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + source.packed + \
            destination.packed + body
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + \
        source.packed + destination.packed
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + body


def echo(source, destination, number, identifier=0x6D76, reply=False, body=b"minivpn_peer"):
    """An ICMP or ICMPv6 echo."""
    kinds = (8, 0) if source.version == 4 else (128, 129)
    message = struct.pack(">BBHHH", kinds[reply], 0, 0, identifier, number) + body
    pseudo = b"" if source.version == 4 else source.packed + destination.packed + \
        struct.pack(">II", len(message), 58)
    message = message[:2] + struct.pack(">H", checksum(pseudo + message)) + message[4:]
    return _ip(source, destination, message, 1 if source.version == 4 else 58)


def echo_parts(packet):
    """Source, destination, is it a reply?, number, identifier, body; None if it is no echo."""
    ipv4 = packet[0] >> 4 == 4
    if packet[9 if ipv4 else 6] != (1 if ipv4 else 58):
        return None
    at = (packet[0] & 15) * 4 if ipv4 else 40
    span = (12, 16, 20) if ipv4 else (8, 24, 40)
    if packet[at] not in ((8, 0) if ipv4 else (128, 129)):
        return None
    return (ipaddress.ip_address(packet[span[0]:span[1]]),
            ipaddress.ip_address(packet[span[1]:span[2]]), packet[at] in (0, 129),
            int.from_bytes(packet[at + 6:at + 8], "big"),
            int.from_bytes(packet[at + 4:at + 6], "big"), packet[at + 8:])


# ---- one end over UDP ---------------------------------------------------------------------------


def fresh_spis(count=1):
    return [256 + int.from_bytes(os.urandom(4), "big") % (2 ** 32 - 256) for _ in range(count)]


class End:
    """What client and server share: a socket, the current session, what has been exchanged."""

    def __init__(self, psk, role, sock, say):
        self.role, self.sock, self.say = role, sock, say
        self.keys = {role_: Keys(psk, role_) for role_ in (CLIENT, SERVER)}
        self.session, self.remote = None, None
        self.pings, self.pongs, self.echoes, self.replies = {}, 0, 0, 0

    def send(self, datagram, to=None):
        self.sock.sendto(datagram, to or self.remote)

    def ping(self):
        challenge = os.urandom(8)
        self.pings[challenge] = time.monotonic()
        self.send(self.session.seal(in_band([(PING, challenge)]), DUMMY))

    def echo_to(self, source, destination, number):
        kind = IPV4 if source.version == 4 else IPV6
        self.send(self.session.seal(echo(source, destination, number), kind))

    def take(self, datagram, origin):
        """One datagram; Refused if it is to be dropped."""
        if datagram == b"\xff":
            return
        if len(datagram) < 4:
            raise Refused("truncated")
        if datagram[:4] == MARKER:
            self.take_control(classify(datagram), datagram, origin)
        else:
            self.take_esp(datagram, origin)

    def take_dummy(self, payload, origin):
        said = in_band_items(payload)
        if said is None:
            raise Refused("foreign-dummy")
        if PONG in said and self.pings.pop(said[PONG], None):
            self.pongs += 1
            self.say("pong", received=self.pongs)
        if PING in said:
            self.send(self.session.seal(in_band([(PONG, said[PING])]), DUMMY), origin)
        if SOFTWARE in said:
            self.say("software", text=said[SOFTWARE].decode())
        if CLOSE in said:
            self.say("close", reason=said[CLOSE][0])
            self.session = None

    def take_inner(self, packet):
        parts = echo_parts(packet)
        if not parts:
            self.say("inner", bytes=len(packet))
            return
        source, destination, is_reply, number, identifier, body = parts
        if is_reply:
            self.replies += 1
            self.say("echo-reply", source=str(source), number=number)
        elif self.answers_for(destination):
            self.echoes += 1
            self.say("echo", source=str(source), number=number)
            self.send(self.session.seal(
                echo(destination, source, number, identifier, True, body),
                IPV4 if source.version == 4 else IPV6))

    def take_opened(self, payload, next_header, origin):
        if next_header == DUMMY:
            self.take_dummy(payload, origin)
        else:
            self.take_inner(payload)

    def run_until(self, done, deadline, tick=lambda now: None):
        """Take what comes, and tick ten times a second, until done() or the deadline."""
        while not done():
            now = time.monotonic()
            if now > deadline:
                return False
            tick(now)
            if not select.select([self.sock], [], [], 0.1)[0]:
                continue
            datagram, origin = self.sock.recvfrom(65536)
            try:
                self.take(datagram, origin)
            except Refused as why:
                self.say("refused", verdict=str(why), bytes=len(datagram), source=origin[0])
        return True


class Client(End):
    """Begins one handshake after the other until one is answered."""

    TIMES = (0, 0.25, 0.75, 1.75, 3.75)

    def __init__(self, psk, sock, remote, say, cookie=bytes(16)):
        super().__init__(psk, CLIENT, sock, say)
        self.remote, self.cookie = remote, cookie
        self.attempts, self.followed_retry, self.began = [], False, None
        self.offer = None

    def begin(self, now):
        spis = fresh_spis()
        offer = Offer(spis=spis, mtu=1438, flags=1)
        self.attempts.append(init_make(self.keys[CLIENT], os.urandom(32), offer_to_items(offer),
                                       spis, self.cookie))
        self.began, self.sent = now, 0

    def tick(self, now):
        if self.began is None or now - self.began > 5:
            self.followed_retry = False
            self.begin(now)
        if self.sent < len(self.TIMES) and now >= self.began + self.TIMES[self.sent]:
            self.send(self.attempts[-1].message)
            self.sent += 1

    def take_control(self, kind, datagram, origin):
        if kind == RESPONSE:
            self.take_response(datagram)
        elif kind == RETRY:
            self.take_retry(datagram)
        else:
            raise Refused("unwanted-init")

    def take_retry(self, datagram):
        for attempt in self.attempts:
            if attempt.message[8:16] == datagram[8:16] and not attempt.retried:
                self.cookie = retry_open(self.keys[CLIENT], attempt, datagram)
                attempt.retried = True
                self.say("retry")
                if not self.followed_retry:
                    self.followed_retry = True
                    self.begin(time.monotonic())
                return
        raise Refused("stale-response")

    def take_response(self, datagram):
        for attempt in self.attempts:
            if struct.pack(">I", attempt.spis[0]) != datagram[8:12]:
                continue
            offer, (k1, k2), _ = response_open(attempt, datagram, True)
            if offer.refusal:
                self.say("refusal", reason=offer.refusal[0], detail=offer.refusal[1])
                return
            if offer.unknown_critical:
                raise Refused("unknown-item")
            self.attempts, self.offer = [], offer
            self.session = Session(k2, k1, attempt.spis, offer)
            self.say("session", spi=offer.spis[0], mtu=offer.mtu,
                     addresses=[str(a) for a in offer.addresses],
                     routes=[str(r) for r in offer.routes],
                     seen=f"{offer.seen[0]} {offer.seen[1]}" if offer.seen else None)
            return
        raise Refused("stale-response")

    def take_esp(self, datagram, origin):
        if not self.session:
            raise Refused("unknown-spi")
        self.take_opened(*self.session.open(datagram), origin)

    def answers_for(self, destination):
        return destination in [interface.ip for interface in self.offer.addresses]


class Server(End):
    """Answers Inits; a session counts from its first packet on."""

    def __init__(self, psk, sock, say, inner, addresses, routes, demand_cookie=False,
                 refusal=None, more=b""):
        super().__init__(psk, SERVER, sock, say)
        self.refusal, self.more = refusal, more
        self.inner, self.addresses, self.routes = inner, addresses, routes
        self.demand_cookie, self.secret = demand_cookie, os.urandom(32)
        self.answered, self.pending = {}, []

    def take_control(self, kind, datagram, origin):
        if kind != INIT:
            raise Refused("stale-response")
        ephemeral = datagram[32:64]
        if ephemeral in self.answered:
            init, response = self.answered[ephemeral]
            if init != datagram:
                raise Refused("duplicate-init")
            self.send(response, origin)
            return
        opened = init_open(self.keys[CLIENT], datagram)
        cookie = cookie_make(self.secret, *origin[:2])
        if self.demand_cookie and datagram[16:32] != cookie:
            self.say("retry", source=origin[0])
            self.send(retry_make(self.keys[CLIENT], datagram, cookie), origin)
            return
        self.answer(datagram, opened, origin)

    def answer(self, datagram, opened, origin):
        if opened.offer.unknown_critical:
            refusal = items_to_bytes([(REFUSED, bytes([1, opened.offer.unknown_critical]))])
            self.send(response_make(opened, os.urandom(32), refusal)[0], origin)
            raise Refused("unknown-item")
        if self.refusal:
            refusal = items_to_bytes([(REFUSED, bytes([self.refusal]))])
            self.send(response_make(opened, os.urandom(32), refusal)[0], origin)
            self.say("refusal", reason=self.refusal)
            return
        spis = fresh_spis(max(1, opened.offer.workers))
        seen = (ipaddress.ip_address(origin[0]), origin[1])
        seen = (seen[0].ipv4_mapped or seen[0], seen[1]) if seen[0].version == 6 else seen
        ours = Offer(spis=spis, mtu=1438, flags=1, addresses=self.addresses, routes=self.routes,
                     seen=seen)
        items = offer_to_items(ours) + self.more
        response, (k1, k2) = response_make(opened, os.urandom(32), items)
        self.answered[datagram[32:64]] = (datagram, response)
        self.pending = (self.pending + [Session(k1, k2, spis, opened.offer)])[-2:]
        self.send(response, origin)

    def take_esp(self, datagram, origin):
        sessions = ([self.session] if self.session else []) + self.pending
        spi = struct.unpack(">I", datagram[:4])[0]
        for session in sessions:
            if spi in session.incoming:
                payload, next_header = session.open(datagram)
                if session is not self.session:
                    self.promote(session, origin)
                self.take_opened(payload, next_header, origin)
                return
        raise Refused("unknown-spi")

    def promote(self, session, origin):
        self.pending.remove(session)
        self.session, self.remote = session, origin
        self.say("session", spi=session.out_spi, remote=f"{origin[0]} {origin[1]}")

    def answers_for(self, destination):
        return destination in self.inner


# ---- the program --------------------------------------------------------------------------------


def psk_from_file(path):
    """The key of a key file: keys/README.md."""
    with open(path) as text:
        for line in text:
            name, _, value = (part.strip() for part in line.partition("="))
            if name == "key":
                raw = base64.urlsafe_b64decode(value.removeprefix("mvk1-"))
                key, check = raw[:32], raw[32:]
                if check != hashlib.sha512(b"minivpn key check " + key).digest()[:4]:
                    sys.exit(f"{path}: the key does not pass its own check")
                return key
    sys.exit(f"{path}: no line 'key = '")


def host_port(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def say(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


def socket_for(address):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM)


def run_client(arguments, psk):
    remote = host_port(arguments.remote)
    with socket_for(remote) as sock:
        client = Client(psk, sock, remote[:2], say)
        deadline = time.monotonic() + arguments.seconds
        if not client.run_until(lambda: client.session, deadline, client.tick):
            return 1
        client.ping()
        if not client.run_until(lambda: client.pongs, deadline):
            return 1
        for number in range(1, arguments.count + 1 if arguments.ping else 1):
            source = next((a.ip for a in client.offer.addresses
                           if a.version == arguments.ping.version), None)
            if not source:
                say("no-address", wanted=arguments.ping.version)
                return 1
            client.echo_to(source, arguments.ping, number)
            if not client.run_until(lambda: client.replies >= number, deadline):
                return 1
        client.send(client.session.seal(in_band([(CLOSE, b"\0")]), DUMMY))
    return 0


def run_server(arguments, psk):
    local = host_port(arguments.listen)
    with socket_for(local) as sock:
        sock.bind(local)
        server = Server(psk, sock, say, arguments.inner, arguments.address, arguments.route,
                        arguments.demand_cookie, arguments.refuse, arguments.more)
        say("listening", port=sock.getsockname()[1])
        deadline = time.monotonic() + arguments.seconds
        if not server.run_until(lambda: server.session, deadline):
            return 1
        server.ping()
        wanted = arguments.count if arguments.inner else 0
        return not server.run_until(
            lambda: server.pongs and server.echoes >= wanted, deadline)


def main():
    parser = argparse.ArgumentParser(description="one end of a minivpn tunnel, for tests")
    parser.add_argument("--role", choices=("client", "server"), required=True)
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--psk-hex", metavar="HEX")
    key.add_argument("--key", metavar="FILE")
    parser.add_argument("--remote", metavar="ADDR:PORT", help="client: the server")
    parser.add_argument("--listen", metavar="ADDR:PORT", help="server: where it listens")
    parser.add_argument("--seconds", type=float, default=20, help="give up after (default 20)")
    parser.add_argument("--count", type=int, default=3, help="echoes through the tunnel (default 3)")
    parser.add_argument("--ping", metavar="ADDR", type=ipaddress.ip_address,
                        help="client: inner address to send ICMP echoes to")
    parser.add_argument("--inner", metavar="ADDR", type=ipaddress.ip_address, action="append",
                        default=[], help="server: inner address that answers ICMP echoes; repeat")
    parser.add_argument("--address", metavar="ADDR/LEN", type=ipaddress.ip_interface,
                        action="append", default=[], help="server: what the client gets; repeat")
    parser.add_argument("--route", metavar="NET/LEN", type=ipaddress.ip_network, action="append",
                        default=[], help="server: what the client routes to us; repeat")
    parser.add_argument("--demand-cookie", action="store_true",
                        help="server: answer an Init without cookie by a Retry")
    parser.add_argument("--refuse", metavar="REASON", type=int,
                        help="server: answer every Init with item 0x8F")
    parser.add_argument("--more", metavar="HEX", type=bytes.fromhex, default=b"",
                        help="server: further items in the Response")
    arguments = parser.parse_args()
    if not (arguments.remote if arguments.role == "client" else arguments.listen):
        parser.error("a client needs --remote, a server --listen")

    psk = bytes.fromhex(arguments.psk_hex) if arguments.psk_hex else psk_from_file(arguments.key)
    return (run_client if arguments.role == "client" else run_server)(arguments, psk)


if __name__ == "__main__":
    sys.exit(main())
