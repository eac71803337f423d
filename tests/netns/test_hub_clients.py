# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of one server among themselves: kept apart or not, and two machines with one key."""

import re
import time

import pytest

from hub import Hub


@pytest.fixture(name="world")
def server_and_lan(lab):
    return Hub(lab)


@pytest.mark.parametrize("allowed", [False, True])
def test_clients_reach_each_other_only_if_allowed(world, allowed):
    world.keygen("nobody")
    world.start("--address", "10.9.0.1/24", "--address", "fd09::1/64",
                *["--allow-client-to-client"] * allowed)
    alice, bob = world.machine("alice"), world.machine("bob")
    for host in (alice, bob):
        world.connect(host, world.invite(host.name))
    for address in ("10.9.0.1", "fd09::1"):
        assert alice.ping(address).received == 3
    for mine, other in (("10.9.0.2", "10.9.0.3"), ("fd09::2", "fd09::3")):
        assert mine in alice.ip("address", "show", "dev", "minivpn0")
        assert alice.ping(other, timeout=0.3).received == (3 if allowed else 0)
    counted = world.peer("alice")["verdicts"]
    assert "wrong-source" not in counted


def test_two_machines_with_one_key(world):
    world.keygen("nobody")
    server = world.start("--address", "10.9.0.1/24")
    first, second = world.machine("first"), world.machine("second")
    invite = world.invite("laptop")
    loser = world.connect(first, invite, "--keepalive", "1")
    winner = world.connect(second, invite, "--keepalive", "1")
    said = server.wait_for_output(r"two machines use the key of laptop, at (\S+) and at (\S+):",
                                  timeout=15)
    assert said.group(1).startswith("203.0.113.3:") and said.group(2).startswith("203.0.113.2:")
    loser.wait_for_output("the key is in use elsewhere")
    loser.wait_for_output("refuses us: our key is in use elsewhere")
    # No flapping: the one that stays has no new handshake, and traffic passes.
    handshakes = world.peer("laptop")["handshakes"]
    ends = time.monotonic() + 8
    while time.monotonic() < ends:
        assert second.ping("10.9.0.1", count=2).received == 2
        time.sleep(0.5)
    assert world.peer("laptop")["handshakes"] == handshakes
    assert "lost" not in winner.output()
    assert world.status()["verdicts"].get("key-elsewhere", 0) >= 1


def test_a_restart_is_no_second_machine(world):
    world.keygen("nobody")
    server = world.start("--address", "10.9.0.1/24")
    alice = world.machine("alice")
    invite = world.invite("alice")
    for _ in range(3):
        client = world.connect(alice, invite, "--keepalive", "1")
        assert alice.ping("10.9.0.1").received == 3
        client.kill()
        time.sleep(1)
    client = world.connect(alice, invite, "--keepalive", "1")
    time.sleep(4)
    assert not re.search("two machines", server.output())
    assert alice.ping("10.9.0.1").received == 3 and client.running()


def test_a_client_is_told_when_its_lan_bears_the_tunnel_s_addresses(world):
    world.keygen("nobody")
    world.start("--address", "10.9.0.1/24")
    alice, bob = world.machine("alice"), world.machine("bob")
    alice.ip("link", "add", "lan0", "type", "bridge")
    alice.address("lan0", "10.9.0.200/24")
    client = world.connect(alice, world.invite("alice"))
    client.wait_for_output(r"its network 10\.9\.0\.0/24 overlaps 10\.9\.0\.0/24, which is reached by lan0")
    assert "overlaps" not in world.connect(bob, world.invite("bob")).output()
