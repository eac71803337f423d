# SPDX-License-Identifier: GPL-2.0-or-later
"""First contact that fails: what is said, how soon, how often, and that Ctrl-C ends it at once."""

import os
import signal
import time

import pytest

from four_machines import INNER, KEY, OUTER, children
from lab import wait_for


def silent_name_server(world):
    """Names of the client are asked of a machine that never answers."""
    world.router.drop_forwarded("udp dport 53")
    world.client.path("/etc/resolv.conf").write_text(f"nameserver {OUTER['ipv4']}\n")


def test_a_name_that_is_looked_up_for_long_is_said_and_does_not_hold_up_the_end(world):
    silent_name_server(world)
    client = world.start_client(remote="vpn.example.org", up=False)
    start = time.monotonic()
    client.wait_for_output("the name vpn.example.org is still being looked up", timeout=4)
    assert time.monotonic() - start < 3
    start = time.monotonic()
    assert client.stop(signal.SIGINT) == 0
    assert time.monotonic() - start < 1
    assert "does not end" not in client.output()
    assert not world.client.pids()


def test_a_name_server_that_comes_back_is_enough(world):
    silent_name_server(world)
    world.start_server()
    client = world.start_client(remote="vpn.example.org", up=False)
    client.wait_for_output("still being looked up", timeout=4)
    with world.client.path("/etc/hosts").open("a") as hosts:
        hosts.write(f"{OUTER['ipv4']} vpn.example.org\n")
    client.wait_for_output("up: minivpn0", timeout=30)


@pytest.mark.parametrize("trouble, within", [("refused", 1), ("no route", 1), ("no answer", 8)])
def test_each_reason_is_said_soon_and_not_over_and_over(world, trouble, within):
    if trouble == "no route":
        world.client.ip("route", "del", "default")
    elif trouble == "no answer":
        world.server.lose("eth0", match="udp dport 4500")
    client = world.start_client(up=False)
    client.wait_for_output(trouble, timeout=within)
    time.sleep(12)
    said = [line for line in client.output().splitlines() if "tunnel:" in line]
    assert len(said) == 1, "the same words again within half a minute"


def test_a_reason_that_changes_is_said_at_once(world):
    world.client.ip("route", "del", "default")
    client = world.start_client(up=False)
    client.wait_for_output("no route to 203.0.113.2:4500", timeout=2)
    world.client.route("default", via="192.0.2.1")
    client.wait_for_output("refused by 203.0.113.2:4500", timeout=7)
    world.start_server()
    client.wait_for_output("up: minivpn0", timeout=7)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_firewall_that_refuses_is_no_missing_network(world, family):
    """firewalld's word for a port that is not open."""
    world.server.nft("table inet f { chain i { type filter hook input priority 0; udp dport 4500 reject with icmpx"
                     " admin-prohibited; }; }\n")
    world.start_server()
    client = world.start_client(remote=OUTER[family], up=False)
    client.wait_for_output(r"a firewall does not let anything through to \S+:4500: is that UDP port open", timeout=5)
    assert "connected to a network" not in client.output()
    world.server.nft("flush table inet f\n")
    client.wait_for_output("up: minivpn0", timeout=20)


def test_of_several_addresses_a_dead_one_costs_no_time(world):
    """IPv6 that is switched on and leads nowhere: its addresses come first, and nobody has to wait for them."""
    world.start_server()
    with world.client.path("/etc/hosts").open("a") as hosts:
        hosts.write("2001:db8:77::1 vpn.example.org\n2001:db8:77::2 vpn.example.org\n203.0.113.2 vpn.example.org\n")
    # At a router: what is unreachable from here the resolver puts last by itself (RFC 6724 section 6, rule 1).
    world.router.ip("-6", "route", "add", "unreachable", "2001:db8:77::/64")
    client = world.start_client(remote="vpn.example.org", up=False)
    client.wait_for_output("up: minivpn0", timeout=4)
    assert "no route" not in client.output()


def test_with_all_addresses_dead_the_reason_is_said_once_and_they_are_tried_on(world):
    with world.client.path("/etc/hosts").open("a") as hosts:
        hosts.write("2001:db8:77::1 vpn.example.org\n203.0.113.2 vpn.example.org\n")
    for family in ("-4", "-6"):
        world.client.ip(family, "route", "del", "default")
    client = world.start_client(remote="vpn.example.org", up=False)
    client.wait_for_output("no route to", timeout=2)
    world.start_server()
    time.sleep(2)
    assert client.output().count("no route to") == 1
    world.client.route("default", via="192.0.2.1")
    client.wait_for_output("up: minivpn0", timeout=12)


def test_a_stranger_costs_the_server_one_line(world):
    """The wrong key of one client, which tries again and again, and the right one of another."""
    server = world.start_server()
    stranger = world.start_client("-i", "other0", key=world.new_key("other", *KEY), up=False)
    server.wait_for_output(r"a handshake from 192\.0\.2\.2:\d+ fits none of our keys")
    stranger.wait_for_output("no answer from 203.0.113.2:4500.* a key that", timeout=8)
    world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    time.sleep(8)
    assert server.output().count("fits none") == 1
    assert stranger.output().count("no answer") == 1


def test_a_client_inside_its_own_networks_is_told_by_the_server(world):
    """What the server answers goes into the tunnel that it is to make: the client hears nothing at all."""
    key = world.new_key("office", *KEY)
    with open(key, "a") as file:
        file.write("networks = 192.0.2.0/24\n")
    server = world.start_server(key=key)
    world.start_client(key=key, up=False)
    server.wait_for_output(r"a client calls from 192\.0\.2\.2:\d+, which is in the networks of office")
    assert len(server.output().splitlines()) == 2


def test_an_address_that_the_server_has_not_given_is_told(world):
    world.start_server()
    client = world.start_client("--address", "10.99.0.7/24")
    client.wait_for_output(r"the server drops what comes from 10\.99\.0\.7 \(--address\): it has given us "
                           r"10\.77\.0\.2/24, fd77::2/64")
    client.stop()
    for mine in (("--address", "10.77.0.2/24"), ()):
        client = world.start_client(*mine)
        assert client.stop() == 0 and "drops" not in client.output()


def test_both_addresses_are_named_when_it_is_up(world):
    server = world.start_server()
    client = world.start_client()
    for daemon, addresses in ((server, r"10\.77\.0\.1/24, fd77::1/64"),
                              (client, r"10\.77\.0\.2/24, fd77::2/64")):
        daemon.wait_for_output("up: minivpn0, " + addresses)


@pytest.mark.parametrize("victim", ["keeper", "network", "steward", "resolve"])
def test_nothing_stays_of_a_look_up_whoever_is_killed(world, victim):
    """The resolver may be waiting for a name server, deep in somebody else's code."""
    before = world.client.snapshot()
    silent_name_server(world)
    before["resolv.conf"] = world.client.path("/etc/resolv.conf").read_text().splitlines()
    client = world.start_client(remote="vpn.example.org", up=False)
    client.wait_for_output("still being looked up", timeout=4)
    os.kill({"keeper": client.pid, **children(client)}[victim], signal.SIGKILL)
    if victim == "resolve":
        assert client.wait(1) == 1
        assert "the resolver is gone, and no address is known: leaving" in client.output()
    wait_for(lambda: not world.client.pids(), 1.0, "all of its processes to end")
    assert "does not end" not in client.output()
    world.client.assert_as_before(before)
