# SPDX-License-Identifier: GPL-2.0-or-later
"""split and join between real sockets: what the kernel gives to one tun device goes, taken apart
and put together again, into another.

    left -- a [tun-pair: split, join] b -- right
"""

import json
import re
import subprocess

import pytest

from lab import program

ADDRESSES = {"ipv4": "10.9.0.2", "ipv6": "fd00:9::2"}

TAKE_TCP = """
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 9000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("listening", flush=True)
c, _ = s.accept()
digest = hashlib.sha256()
while data := c.recv(1 << 20):
    digest.update(data)
print("sum", digest.hexdigest(), flush=True)
"""

SEND_TCP = """
import hashlib, random, socket, sys
data = random.Random(7).randbytes(1 << 24)
digest = hashlib.sha256()
with socket.create_connection((sys.argv[1], 9000)) as c:
    for _ in range(4):
        c.sendall(data)
        digest.update(data)
    c.sendall(b"the last, short one")
    digest.update(b"the last, short one")
print(digest.hexdigest())
"""

TAKE_UDP = """
import hashlib, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
s.bind((sys.argv[1], 9000))
print("listening", flush=True)
while True:
    print("got", hashlib.sha256(s.recv(65535)).hexdigest(), flush=True)
"""

SEND_UDP = """
import hashlib, random, socket, sys
UDP_SEGMENT = 103
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9000))
s.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1200)
data = random.Random(8).randbytes(24 * 1200 + 77)
s.send(data)
for at in range(0, len(data), 1200):
    print(hashlib.sha256(data[at:at + 1200]).hexdigest())
"""


@pytest.fixture
def pair(lab):
    left, right = lab.hosts("left", "right")
    process = left.start(program("tun-pair"), "a", "b")
    match = process.wait_for_output(r"^ready tcp=(\d) udp=(\d)")
    subprocess.run(["ip", "-n", left.namespace, "link", "set", "dev", "b", "netns",
                    right.namespace],
                   check=True)
    left.address("a", "10.9.0.1/24", "fd00:9::1/64")
    right.address("b", "10.9.0.2/24", "fd00:9::2/64")
    process.tcp, process.udp = (flag == "1" for flag in match.groups())
    return left, right, process


def counters(process):
    """What tun-pair counted on the way from left to right, and back."""
    assert process.stop() == 0
    return json.loads(process.output().splitlines()[-1])


def checksum_errors(host):
    """TCP and UDP packets that @host found damaged."""
    text = host.run("nstat", "-asz").stdout
    found = re.findall(r"^\w*(?:InCsumErrors|TcpInErrs)\s+(\d+)", text, re.MULTILINE)
    assert found
    return sum(map(int, found))


def assert_nothing_lost(host, ways):
    assert checksum_errors(host) == 0
    for way in ways:
        assert way["refused"] == 0 and way["failed"] == 0


@pytest.mark.parametrize("family", ADDRESSES)
def test_ping(pair, family):
    left, right, process = pair
    assert left.ping(ADDRESSES[family], size=1200).received == 3
    assert_nothing_lost(right, counters(process))


@pytest.mark.parametrize("family", ADDRESSES)
def test_tcp(pair, family):
    left, right, process = pair
    taker = right.start("python3", "-c", TAKE_TCP, ADDRESSES[family])
    taker.wait_for_output("listening")
    sent = left.run("python3", "-c", SEND_TCP, ADDRESSES[family]).stdout.strip()
    assert taker.wait_for_output(r"^sum (\S+)", timeout=20)[1] == sent

    out, back = counters(process)
    assert_nothing_lost(right, [out, back])
    assert out["packets"] > 64 * 1024 * 1024 / 1500
    if process.tcp:
        assert out["super_reads"] > 0
        assert out["writes"] < out["packets"] / 4


@pytest.mark.parametrize("family", ADDRESSES)
def test_udp_segments(pair, family):
    left, right, process = pair
    taker = right.start("python3", "-c", TAKE_UDP, ADDRESSES[family])
    taker.wait_for_output("listening")
    sent = left.run("python3", "-c", SEND_UDP, ADDRESSES[family]).stdout.split()
    taker.wait_for_output(f"^got {sent[-1]}$")
    assert re.findall(r"^got (\w+)$", taker.output(), re.MULTILINE) == sent

    out, back = counters(process)
    assert_nothing_lost(right, [out, back])
    if process.udp:
        assert out["super_reads"] >= 1
        assert out["writes"] <= out["packets"] - len(sent) + 1
