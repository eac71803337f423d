# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts and what static-tunnel wants to be told, for the tests of this folder."""

import json
import subprocess

from lab import program

OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
MTU = {4: 1438, 6: 1418}    # of the inner packets, by the family of the outer ones
PORT = 4500

# (SPI, key material) of the SA to the first host and of the one to the second
TO_A = (0xabcd0001, "a1" * 32 + "0a0b0c0d")
TO_B = (0x1001, "b2" * 32 + "01020304")


def sa(spi, keymat):
    """An SA as static-tunnel's command line has it."""
    return f"{spi:#x}:{keymat}"


def at(address, port=PORT):
    """ADDR:PORT or [ADDR]:PORT."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def backends():
    """The AEAD back-ends of this build, as the program's own complaint lists them."""
    said = subprocess.run([program("static-tunnel"), "--aead", "?"], capture_output=True, text=True,
                          check=False)
    return said.stderr.split("has:")[1].split()


def connect(lab, family=4):
    """Two hosts, a and b, on one wire."""
    a, b = lab.hosts("a", "b")
    length = 24 if family == 4 else 64
    lab.link(a, f"{OUTER[family][0]}/{length}", b, f"{OUTER[family][1]}/{length}")
    return a, b


def start_tunnel(host, end, family=4, aead=None, port=PORT):
    """Start static-tunnel as end 0 (a) or 1 (b), with its inner addresses on the device tun0."""
    out, into = (TO_B, TO_A) if end == 0 else (TO_A, TO_B)
    process = host.start("static-tunnel", "--tun", "tun0",
                         "--local", at(OUTER[family][end], port),
                         "--peer", at(OUTER[family][1 - end]),
                         "--out", sa(*out), "--in", sa(*into),
                         *(["--aead", aead] if aead else []))
    process.wait_for_output("^ready$")
    for inner, length in ((4, 24), (6, 64)):
        host.address("tun0", f"{INNER[inner][end]}/{length}")
    return process


def counters(process):
    """Stop a static-tunnel and read what it has counted."""
    assert process.stop() == 0
    return json.loads(process.output().split("ready\n", 1)[1])
