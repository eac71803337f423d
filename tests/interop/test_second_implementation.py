# SPDX-License-Identifier: GPL-2.0-or-later
"""The real programs against an end that shares no line with them: minivpn_peer.py.

    client 192.0.2.1 -- 192.0.2.2 server        one of the two is the Python end
"""

import json
import re
import sys
from ipaddress import ip_interface
from pathlib import Path

import pytest

from lab import BUILD, wait_for

PEER = Path(__file__).parent / "minivpn_peer.py"
OUTSIDE = ["192.0.2.2", "2001:db8:1::2"]

pytestmark = pytest.mark.skipif(
    not any((BUILD / folder / "minivpn").exists() for folder in (".", "src", "src/cli")),
    reason="minivpn is not built")


class Pair:
    """Two hosts and a key that both have."""

    def __init__(self, lab, outside):
        self.client, self.server = lab.hosts("client", "server")
        lab.link(self.client, "192.0.2.1/24 2001:db8:1::1/64",
                 self.server, "192.0.2.2/24 2001:db8:1::2/64")
        self.place = f"[{outside}]:4500" if ":" in outside else f"{outside}:4500"
        self.key = lab.folder / "laptop.key"
        self.server.run("minivpn-keygen", "laptop", "--endpoint", self.place, "--out", self.key)
        line = re.search(r"^address = (.*)$", self.key.read_text(), re.MULTILINE).group(1)
        self.addresses = [ip_interface(text.strip()) for text in line.split(",")]
        self.server_inside = [next(address.network.hosts()) for address in self.addresses]

    def python(self, role, *options):
        return [sys.executable, PEER, "--role", role, "--key", self.key,
                *(str(option) for option in options)]


@pytest.fixture(params=OUTSIDE)
def pair(lab, request):
    return Pair(lab, request.param)


def events(said):
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4-inside", "ipv6-inside"])
def test_python_client(pair, family):
    daemon = pair.server.start("minivpn", "server", pair.key)
    said = pair.client.run(*pair.python("client", "--remote", pair.place, "--ping",
                                        pair.server_inside[family])).stdout
    by_name = {event["event"]: event for event in events(said)}
    assert {"session", "pong", "software", "echo-reply"} <= by_name.keys()
    assert by_name["session"]["addresses"] == [str(address) for address in pair.addresses]
    assert by_name["session"]["seen"].split()[0] == \
        ("2001:db8:1::1" if "[" in pair.place else "192.0.2.1")
    assert daemon.stop() == 0


@pytest.mark.parametrize("demand", [[], ["--demand-cookie"]], ids=["", "retry"])
def test_python_server(pair, demand):
    options = [word for address in pair.addresses for word in ("--address", address)]
    options += [word for address in pair.server_inside for word in ("--inner", address)]
    peer = pair.server.start(*pair.python("server", "--listen", pair.place, "--count", 6,
                                          *options, *demand))
    peer.wait_for_output("listening")
    daemon = pair.client.start("minivpn", "client", pair.key)
    for address in pair.server_inside:
        wait_for(lambda: pair.client.ping(address, count=1, timeout=0.2).received, 10,
                 f"an echo from {address}")
        assert pair.client.ping(address, count=2, timeout=1.0).received == 2
    assert daemon.stop() == 0
    assert peer.wait() == 0
    said = [event["event"] for event in events(peer.output())]
    assert said.count("session") == 1 and "pong" in said
    assert ("retry" in said) == bool(demand)


@pytest.mark.parametrize("options, words", [
    (["--refuse", "2"], "refuses us: .*full"),
    (["--refuse", "200"], "refuses us: "),
    (["--more", "c20107"], "critical item we do not know"),
    (["--more", "03020001"], "unreadable items"),
], ids=["full", "reason-unknown", "critical-item", "wrong-length"])
def test_a_client_says_why_not(lab, options, words):
    pair = Pair(lab, "192.0.2.2")
    peer = pair.server.start(*pair.python("server", "--listen", pair.place, *options))
    peer.wait_for_output("listening")
    daemon = pair.client.start("minivpn", "client", pair.key)
    daemon.wait_for_output(words)
    assert daemon.stop() == 0
    assert "session" not in peer.output()


def test_impossible_configuration_is_left_out(lab):
    pair = Pair(lab, "192.0.2.2")
    address, inside = pair.addresses[0], pair.server_inside[0]
    impossible = "1005 7f000001 08 1205 0a010203 18 1601 2d 1404 e0000001"
    peer = pair.server.start(*pair.python("server", "--listen", pair.place, "--inner", inside,
                                          "--address", address, "--more", impossible))
    peer.wait_for_output("listening")
    daemon = pair.client.start("minivpn", "client", pair.key)
    wait_for(lambda: pair.client.ping(inside, count=1, timeout=0.2).received, 10, "an echo")
    counted = json.loads(pair.client.run("minivpn", "status", "--json").stdout)
    assert '"impossible-item": 4' in json.dumps(counted)
    assert daemon.stop() == 0


def test_another_key_gets_no_answer(pair, lab):
    daemon = pair.server.start("minivpn", "server", pair.key)
    pair.server.run("minivpn-keygen", "other", "--endpoint", pair.place, "--out",
                    lab.folder / "other.key")
    other = [lab.folder / "other.key" if word == pair.key else word
             for word in pair.python("client", "--remote", pair.place, "--seconds", 2)]
    with pair.client.capture("eth0", "udp port 4500") as wire:
        assert pair.client.run(*other, check=False).returncode == 1
    assert wire.count() >= 4 and wire.count("udp.srcport == 4500") == 0
    assert daemon.stop() == 0
