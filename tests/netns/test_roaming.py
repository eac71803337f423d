# SPDX-License-Identifier: GPL-2.0-or-later
"""The client's network changes while the tunnel is up, in each way that networks change."""

import signal
import time

import pytest

from four_machines import INNER, OUTER, seconds_until_answered
from lab import wait_for


def second_way(world):
    """Another uplink of the client: another link to the router, with other addresses."""
    return world.client.lab.link(world.client, "192.0.9.2/24 2001:db8:9::2/64",
                                 world.router, "192.0.9.1/24 2001:db8:9::1/64")


def longest_silence(output):
    """In seconds, from the output of `ping -D`."""
    times = [float(line[1:line.index("]")]) for line in output.splitlines() if "bytes from" in line]
    return max(b - a for a, b in zip(times, times[1:]))


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
def test_pings_go_on_when_the_client_moves_to_another_network(world, outer):
    world.start_server()
    client = world.start_client(remote=OUTER[outer])
    second_way(world)
    pings = world.client.start("ping", "-D", "-i", "0.1", INNER["ipv4"])
    pings.wait_for_output("icmp_seq=3")
    world.client.ip("link", "del", "eth0")
    world.default_route(world.client, "192.0.9.1", "2001:db8:9::1")
    time.sleep(4)
    pings.stop(signal.SIGINT)
    assert longest_silence(pings.output()) < 2
    assert "lost" not in client.output()


def test_a_default_route_that_goes_and_comes(world):
    world.start_server()
    client = world.start_client()
    pings = world.client.start("ping", "-D", "-i", "0.1", INNER["ipv4"])
    pings.wait_for_output("icmp_seq=3")
    world.client.ip("-4", "route", "del", "default")
    time.sleep(1)
    world.default_route(world.client, "192.0.2.1", "2001:db8:1::1")
    time.sleep(2.5)
    pings.stop(signal.SIGINT)
    assert longest_silence(pings.output()) < 2.5
    assert "lost" not in client.output()


def test_a_cable_that_is_pulled_for_long(world):
    """Until the session is given up on; nobody has to do anything."""
    world.start_server()
    world.start_client()
    world.lan.up(False)
    time.sleep(14)
    world.lan.up(True)
    world.default_route(world.client, "192.0.2.1", "2001:db8:1::1")
    assert seconds_until_answered(world.client, INNER["ipv4"]) < 3


def test_no_default_route_at_the_start(world):
    """A machine that boots before its network is there."""
    world.start_server()
    world.client.ip("-4", "route", "del", "default")
    client = world.start_client(up=False)
    client.wait_for_output("no route to 203.0.113.2:4500", timeout=2)
    world.default_route(world.client, "192.0.2.1", "2001:db8:1::1")
    start = time.monotonic()
    client.wait_for_output("up: minivpn0", timeout=7)
    assert time.monotonic() - start < 3
    assert world.client.ping(INNER["ipv4"]).received == 3


def test_a_new_default_route_moves_the_envelope(world):
    world.start_server()
    world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    other = second_way(world)
    with world.client.capture(other.a, "udp port 4500") as wire:
        world.default_route(world.client, "192.0.9.1", "2001:db8:9::1")
        assert seconds_until_answered(world.client, INNER["ipv4"]) < 3
        assert world.client.ping(INNER["ipv4"]).received == 3
    assert wire.count("ip.src == 192.0.9.2") > 3


def test_a_nat_with_a_short_memory_is_kept_open(world):
    """It forgets a flow after two seconds; the keepalive is shorter, so the server can always call."""
    world.router.nat(out=world.wan.a)
    for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
        world.router.sysctl(f"net.netfilter.{name}", 2)
    world.start_server()
    world.start_client("--keepalive", "1")
    for _ in range(3):
        time.sleep(2.5)
        assert world.server.ping("10.77.0.2", count=1).received == 1


def test_a_nat_that_forgets_is_told_again(world):
    """With the usual keepalive: while the client is silent it is out of reach, and heals by itself."""
    world.router.nat(out=world.wan.a)
    world.start_server()
    world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    world.router.run("conntrack", "-F", check=False)
    world.router.nft("flush table inet lab_nat\nadd rule inet lab_nat post oifname "
                     f"{world.wan.a} ip protocol udp masquerade to :40000-40100\n")
    assert wait_for(lambda: world.server.ping("10.77.0.2", count=1, timeout=0.2).received, 12)


def test_the_server_s_address_changes_with_its_name(world):
    world.server.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    world.server.address("eth0", "203.0.113.3/24")
    hosts = world.client.path("/etc/hosts")
    before = hosts.read_text()
    hosts.write_text(before + "203.0.113.2 vpn.example.org\n")
    world.start_server()
    client = world.start_client(remote="vpn.example.org", up=False)
    client.wait_for_output("up: minivpn0")
    world.server.ip("address", "del", "203.0.113.2/24", "dev", "eth0")
    world.server.route("default", via="203.0.113.1")
    hosts.write_text(before + "203.0.113.3 vpn.example.org\n")
    assert seconds_until_answered(world.client, INNER["ipv4"], timeout=25) < 20
