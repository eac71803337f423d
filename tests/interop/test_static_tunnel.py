# SPDX-License-Identifier: GPL-2.0-or-later
"""static-tunnel against itself: what the other tests of this folder take for granted."""

import itertools
import subprocess

import pytest

from lab import program, wait_for
from interop.tunnels import (INNER, MTU, TO_A, TO_B, backends, connect, counters, sa,
                             start_tunnel)

GOOD = {"--tun": "tun0", "--local": "192.0.2.1:4500", "--peer": "192.0.2.2:4500",
        "--out": sa(*TO_B), "--in": sa(*TO_A)}

KEYMAT = "00" * 36


@pytest.mark.parametrize("family", (4, 6))
def test_both_families_inside_both_outside(lab, family):
    a, b = connect(lab, family)
    first, second = start_tunnel(a, 0, family), start_tunnel(b, 1, family)
    for inner in (4, 6):
        address = INNER[inner][1]
        header = 28 if inner == 4 else 48
        assert a.ping(address).received == 3
        assert a.ping(address, size=0).received == 3
        assert a.ping(address, size=MTU[family] - header, unfragmented=True).received == 3
        assert a.ping(address, size=MTU[family] - header + 1, unfragmented=True).received == 0
    assert a.ip("-j", "link", "show", "tun0")[0]["mtu"] == MTU[family]

    report, other = counters(first), counters(second)
    # the kernel's own router solicitations may still be under way when one of them ends
    for sent, received in ((report["out"], other["in"]), (other["out"], report["in"])):
        assert sent["packets"] >= received["packets"] >= 18
    assert report["verdicts"]["pass"] == report["in"]["packets"] + report["out"]["packets"]
    assert [name for name, n in report["verdicts"].items() if n and name != "pass"] == []


@pytest.mark.parametrize("one, other", list(itertools.product(backends(), repeat=2)))
def test_tcp_over_every_pair_of_back_ends(lab, one, other):
    a, b = connect(lab)
    first, second = start_tunnel(a, 0, aead=one), start_tunnel(b, 1, aead=other)
    b.serve_http(size=1_000_000)
    for inner in (4, 6):
        assert len(a.fetch(INNER[inner][1])) == 1_000_000
    for process in (first, second):
        assert counters(process)["verdicts"]["forged"] == 0


def test_what_is_not_for_it_is_counted(lab):
    a, b = connect(lab)
    tunnel = start_tunnel(a, 0)
    sender = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("192.0.2.1", 4500))
for datagram in (b"\\xff", b"\\xff\\xff", b"", b"abc", bytes(40), struct.pack(">II", 0xabcd0001, 1),
                 struct.pack(">II", 9999, 1) + bytes(32), struct.pack(">II", 0xabcd0001, 0) + bytes(32),
                 struct.pack(">II", 0xabcd0001, 1) + bytes(28), struct.pack(">II", 0xabcd0001, 1) + bytes(29)):
    s.send(datagram)
"""
    b.run("/usr/bin/python3", "-c", sender)
    assert a.ping(INNER[4][1], count=1).received == 0
    report = counters(tunnel)
    told = {name: n for name, n in report["verdicts"].items() if n}
    assert told.pop("pass") == report["out"]["packets"] > 0
    assert told == {"nat-keepalive": 1, "truncated": 4, "malformed": 1, "unknown-spi": 1, "replayed": 1,
                    "forged": 2}
    assert report["in"] == {"packets": 0, "bytes": 0}


def test_the_device_goes_with_the_program(lab):
    a, _ = connect(lab)
    start_tunnel(a, 0).kill()
    wait_for(lambda: "tun0" not in a.ip("-br", "link"), timeout=1)


@pytest.mark.parametrize("change, complaint", [
    ({"--tun": None}, "--tun is missing"),
    ({"--in": None}, "--in is missing"),
    ({"--tun": ""}, "--tun: ''"),
    ({"--tun": "a" * 16}, "--tun: 'aaaaaaaaaaaaaaaa'"),
    ({"--tun": "a%d"}, "--tun: 'a%d'"),
    ({"--tun": "a/b"}, "--tun: 'a/b'"),
    ({"--local": "192.0.2.1"}, "--local: '192.0.2.1'"),
    ({"--local": "2001:db8::1:4500"}, "--local: '2001:db8::1:4500'"),
    ({"--local": "[2001:db8::1]:4500"}, "one is IPv4"),
    ({"--peer": "192.0.2.2:0"}, "--peer: '192.0.2.2:0'"),
    ({"--peer": "192.0.2.2:65536"}, "--peer: '192.0.2.2:65536'"),
    ({"--peer": "host:4500"}, "--peer: 'host:4500'"),
    ({"--out": KEYMAT}, "--out: there is no colon"),
    ({"--out": f"255:{KEYMAT}"}, "--out: the SPI"),
    ({"--out": f"0x100000000:{KEYMAT}"}, "--out: the SPI"),
    ({"--out": f"-300:{KEYMAT}"}, "--out: the SPI"),
    ({"--out": f":{KEYMAT}"}, "--out: the SPI"),
    ({"--in": f"4097x:{KEYMAT}"}, "--in: the SPI"),
    ({"--in": f"4097:{KEYMAT}0"}, "--in: KEYMAT"),
    ({"--in": f"4097:{KEYMAT}00"}, "--in: KEYMAT"),
    ({"--in": f"4097:{KEYMAT[2:]}"}, "--in: KEYMAT"),
    ({"--in": f"4097:{KEYMAT[1:]}g"}, "--in: KEYMAT"),
    ({"--aead": "rot13"}, "--aead: 'rot13'"),
    ({"--port": "1"}, "--port"),
])
def test_bad_arguments_are_told(change, complaint):
    words = [w for option, value in {**GOOD, **change}.items() if value is not None
             for w in (option, value)]
    done = subprocess.run([program("static-tunnel"), *words], capture_output=True, text=True,
                          timeout=10, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert KEYMAT[:40] not in done.stderr


def test_what_the_machine_refuses_is_told(lab):
    a, _ = connect(lab)
    start_tunnel(a, 0)
    for change, complaint in (({}, "--local: 192.0.2.1:4500: Address already in use"),
                              ({"--local": "192.0.2.77:4500"}, "--local: 192.0.2.77:4500: Cannot assign"),
                              ({"--local": "192.0.2.1:4501"}, "--tun: tun0: Device or resource busy")):
        words = [w for pair in {**GOOD, **change}.items() for w in pair]
        done = a.run("static-tunnel", *words, check=False)
        assert done.returncode == 1
        assert complaint in done.stderr
