#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a minivpn server what docs/protocol.md says it answers, and what it has to keep silent about.

    wire_probe.py ADDR:PORT KEY-FILE

Prints one line of JSON: for each question "ok", or what came instead.  Run in a test's namespace by
test_wire_behaviour.py; built on the second implementation, minivpn_peer.py.
"""

import json
import os
import select
import sys
import time

import minivpn_peer as peer

SILENCE = 0.35      # how long to wait for an answer that must not come


class Wire:
    """A client's socket and key, and the questions; each begins from where it says it does."""

    def __init__(self, place, psk):
        self.remote = peer.host_port(place)
        self.sock = peer.socket_for(self.remote)
        self.keys = peer.Keys(psk, peer.CLIENT)

    def send(self, datagram):
        self.sock.sendto(datagram, self.remote)

    def answers(self, within=SILENCE, most=None):
        """What arrives within that time, or until there are @most."""
        heard, deadline = [], time.monotonic() + within
        while most is None or len(heard) < most:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                break
            heard.append(self.sock.recv(65536))
        return heard

    def ask(self, datagram, within=2.0):
        """The first answer; None for silence."""
        self.answers(0)
        self.send(datagram)
        return next(iter(self.answers(within, 1)), None)

    def init(self, cookie=bytes(16), more=b""):
        spis = peer.fresh_spis()
        items = peer.offer_to_items(peer.Offer(spis=spis, mtu=1438, flags=1)) + more
        return peer.init_make(self.keys, os.urandom(32), items, spis, cookie)

    def respond(self, attempt, response):
        offer, (k1, k2), _ = peer.response_open(attempt, response, True)
        return peer.Session(k2, k1, attempt.spis, offer)

    def connect(self):
        """A session that the server has promoted."""
        attempt = self.init()
        answer = self.ask(attempt.message)
        if answer and peer.classify(answer) == peer.RETRY:
            attempt = self.init(peer.retry_open(self.keys, attempt, answer))
            answer = self.ask(attempt.message)
        session = self.respond(attempt, answer)
        assert self.pong(session, session) == "ok"
        return session

    def pong(self, asked_in, answered_in):
        """Ping in one session, Pong in another (or the same)?"""
        challenge = os.urandom(8)
        self.answers(0)
        self.send(asked_in.seal(peer.in_band([(peer.PING, challenge)]), peer.DUMMY))
        return self.pong_of(challenge, answered_in)

    def pong_of(self, challenge, session, within=2.0):
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if pongs(challenge, session, self.answers(0.1, 1)):
                return "ok"
        return "no Pong"


def pongs(challenge, session, datagrams):
    """How many of them answer that Ping in that session?  A server also sends Pings of its own."""
    count = 0
    for datagram in datagrams:
        try:
            payload, _ = session.open(datagram)
        except peer.Refused:
            continue
        count += (peer.in_band_items(payload) or {}).get(peer.PONG) == challenge
    return count


def silence(wire, datagram):
    answers = len([a for a in _after(wire, datagram) if a[:4] == peer.MARKER])
    return "ok" if answers == 0 else f"{answers} answers"


def _after(wire, datagram):
    wire.answers(0)
    wire.send(datagram)
    return wire.answers()


def changed(message, at, to=None):
    altered = bytearray(message)
    altered[at] = altered[at] ^ 1 if to is None else to
    return bytes(altered)


def silent_about(wire):
    """Whatever a key holder did not make, gets no answer (section 9, rule 4)."""
    init = wire.init().message
    wrong = {"one byte short": init[:-1], "one byte long": init + b"\0", "type 4": changed(init, 4, 4),
             "type 2": changed(init, 4, 2), "version 2": changed(init, 5, 2),
             "reserved": changed(init, 7), "hint": changed(init, 8), "cookie": changed(init, 16),
             "ephemeral": changed(init, 32), "first sealed byte": changed(init, 64),
             "tag": changed(init, 1023), "a NAT keepalive": b"\xff", "the marker alone": bytes(4),
             "an empty datagram": b"", "an unknown SPI": b"\1\2\3\4" + bytes(60),
             "a reserved SPI": bytes(3) + b"\xff" + bytes(60)}
    return {f"silent about {what}": silence(wire, datagram) for what, datagram in wrong.items()}


def unreadable_items(wire):
    """Authentic, but items that break a rule: dropped."""
    spis = peer.fresh_spis()
    cut_off = b"\x81\x04\1\2\3\4" + (b"\x42\xff" + bytes(255)) * 4
    broken = {"no SPI": b"\x02\x02\x05\x9e", "a cut-off item": cut_off[:peer.INIT_ITEMS],
              "an SPI below 256": b"\x81\x04\0\0\0\xff", "MTU twice":
              b"\x81\x04\1\2\3\4" + b"\x02\x02\x05\x9e" * 2, "data behind the end":
              b"\x81\x04\1\2\3\4\0\1"}
    return {f"silent about {what}": silence(
        wire, peer.init_make(wire.keys, os.urandom(32), items, spis).message)
        for what, items in broken.items()}


def unknown_critical_item(wire):
    attempt = wire.init(more=b"\xc2\x01\x07")
    answer = wire.ask(attempt.message)
    offer, _, _ = peer.response_open(attempt, answer, True)
    return "ok" if offer.refusal == (1, 0xC2) and len(answer) == 92 else f"{offer}"


def unknown_item(wire):
    """Skipped.  Leaves a pending session behind."""
    attempt = wire.init(more=b"\x42\x01\x07")
    wire.pending = attempt, wire.ask(attempt.message)
    session = wire.respond(*wire.pending)
    return "ok" if session.out_spi >= 256 else f"{session.out_spi}"


def copies_of_an_init(wire):
    """The same bytes get the same Response, once in 100 ms."""
    attempt, response = wire.pending
    time.sleep(0.12)
    wire.answers(0)
    began = time.monotonic()
    for _ in range(5):
        wire.send(attempt.message)
    allowed = 1 + int((time.monotonic() - began) / 0.1)     # this computer may have been busy
    burst = wire.answers()
    wire.send(attempt.message)
    later = wire.answers()
    ok = 1 <= len(burst) <= allowed and later == [response] and set(burst) == {response}
    return "ok" if ok else f"{len(burst)} in a burst, {len(later)} later"


def retry_while_pending(wire):
    """Another Init gets a Retry while one is pending, with a wrong cookie too; not with a right one."""
    attempt = wire.init()
    retry = wire.ask(attempt.message)
    if len(retry) != 48 or peer.classify(retry) != peer.RETRY:
        return f"no Retry but {len(retry)} bytes"
    cookie = peer.retry_open(wire.keys, attempt, retry)
    wrong = wire.init(changed(cookie, 0))
    if peer.classify(wire.ask(wrong.message)) != peer.RETRY:
        return "a wrong cookie is taken"
    right = wire.init(cookie)
    answer = wire.ask(right.message)
    if peer.classify(answer) != peer.RESPONSE:
        return "a right cookie is not taken"
    wire.session = wire.respond(right, answer)
    return "ok"


def first_packet_promotes(wire):
    return wire.pong(wire.session, wire.session)


def replayed_packet(wire):
    challenge = os.urandom(8)
    packet = wire.session.seal(peer.in_band([(peer.PING, challenge)]), peer.DUMMY)
    wire.answers(0)
    for _ in range(3):
        wire.send(packet)
    count = pongs(challenge, wire.session, wire.answers())
    return "ok" if count == 1 else f"{count} Pongs"


def forged_packet(wire):
    challenge = os.urandom(8)
    packet = wire.session.seal(peer.in_band([(peer.PING, challenge)]), peer.DUMMY)
    count = pongs(challenge, wire.session, _after(wire, changed(packet, len(packet) - 1)))
    return "ok" if count == 0 else f"{count} Pongs"


def foreign_padding(wire):
    """A dummy packet of another stack is no message, and the session lives on."""
    wire.send(wire.session.seal(bytes(64), peer.DUMMY))
    wire.send(wire.session.seal(b"", peer.DUMMY))
    return wire.pong(wire.session, wire.session)


def padded_ping(wire):
    challenge = os.urandom(8)
    wire.send(wire.session.seal(peer.in_band([(peer.PING, challenge)], 1300), peer.DUMMY))
    return wire.pong_of(challenge, wire.session)


def any_iv(wire):
    """A receiver takes any IV; the sequence number is in the header."""
    s, challenge = wire.session, os.urandom(8)
    s.sequence += 1
    plain = peer.esp_seal(s.out_key, s.out_spi, s.sequence, b"", peer.DUMMY)
    text = peer.in_band([(peer.PING, challenge)])
    padding = bytes(range(1, 1 + -(len(text) + 2) % 4))
    iv = os.urandom(8)
    sealed = peer.ChaCha20Poly1305(s.out_key[:32]).encrypt(
        s.out_key[32:] + iv, text + padding + bytes([len(padding), peer.DUMMY]), plain[:8])
    wire.send(plain[:8] + iv + sealed)
    return wire.pong_of(challenge, s)


def rekey(wire):
    """A Ping in the old session is answered in the new one."""
    old, wire.session = wire.session, wire.connect()
    return wire.pong(old, wire.session)


def close(wire):
    """Close ends the session; nothing is answered in it any more, and a new one begins as usual."""
    wire.send(wire.session.seal(peer.in_band([(peer.CLOSE, b"\0")]), peer.DUMMY))
    time.sleep(0.05)
    if wire.pong(wire.session, wire.session) == "ok":
        return "still answers"
    wire.session = wire.connect()
    return "ok"


def main():
    wire = Wire(sys.argv[1], peer.psk_from_file(sys.argv[2]))
    told = {**silent_about(wire), **unreadable_items(wire)}
    for question in (unknown_critical_item, unknown_item, copies_of_an_init, retry_while_pending,
                     first_packet_promotes, replayed_packet, forged_packet, foreign_padding,
                     padded_ping, any_iv, rekey, close):
        try:
            told[question.__name__] = question(wire)
        except Exception as trouble:      # whatever it is, the other questions are asked too
            told[question.__name__] = f"{type(trouble).__name__}: {trouble}"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
