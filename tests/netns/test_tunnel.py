# SPDX-License-Identifier: GPL-2.0-or-later
"""The tunnel, end to end, between the machines of four_machines.py: what everybody does with it."""

import os
import re
import signal
import time

import pytest

from four_machines import INNER, KEY, OUTER, children, seconds_until_answered
from lab import has_ended, wait_for


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
def test_everything_passes_and_nothing_is_left(world, outer):
    client_before, server_before = world.client.snapshot(), world.server.snapshot()
    web = world.web.serve_http(text="hello", size=1 << 20)
    server = world.start_server()
    client = world.start_client(remote=OUTER[outer])

    for address in INNER.values():
        assert world.client.ping(address, count=5).received == 5
        assert world.client.fetch(address)[:5] == b"hello"
    assert "198.51.100.1" in web.output() and "2001:db8:3::1" in web.output()
    assert "10.77.0.2" not in web.output()
    # The largest packet, the next larger, and the other way.
    assert world.client.ping("10.77.0.1", size=1438 - 28 if outer == "ipv4" else 1418 - 28,
                             unfragmented=True).received == 3
    assert world.server.ping("10.77.0.2").received == 3
    assert world.server.ping("fd77::2").received == 3

    assert client.stop() == 0
    server.wait_for_output("laptop is gone: the other end was stopped")
    assert server.stop() == 0
    world.client.assert_as_before(client_before)
    world.server.assert_as_before(server_before)


def test_only_esp_and_handshakes_are_seen(world):
    world.web.serve_http(text="a secret that nobody else may read", size=100000)
    world.start_server()
    with world.router.capture(world.wan.a) as wire:
        world.start_client()
        assert world.client.ping(INNER["ipv4"]).received == 3
        world.client.fetch(INNER["ipv4"])
    # Beside neighbour discovery there is nothing but our port.
    assert wire.count("not (udp.port == 4500 or arp or icmpv6 or igmp)") == 0
    assert wire.count("esp") > 20
    assert b"nobody else may read" not in open(wire.path, "rb").read()


def test_first_packet_soon_after_start(world):
    world.start_server()
    client = world.start_client()
    took = int(re.search(r"\((\d+) ms\)", client.output()).group(1))
    assert took < 1000, "the aim is 100 ms, on a machine that has nothing else to do"


@pytest.mark.parametrize("trouble", ["unresolved", "no route", "refused", "silence", "wrong key"])
def test_a_client_without_answer_says_which_it_is(world, trouble):
    remote, key, expected = OUTER["ipv4"], world.key, "no answer from 203.0.113.2:4500"
    if trouble == "unresolved":
        world.client.path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        remote, expected = "vpn.example.org", "the name vpn.example.org does not resolve"
    elif trouble == "no route":
        world.client.ip("route", "del", "default")
        expected = "no route to 203.0.113.2:4500"
    elif trouble == "refused":
        expected = "refused by 203.0.113.2:4500"
    elif trouble == "silence":
        world.server.lose("eth0", match="udp dport 4500")
    else:
        key = world.new_key("other", *KEY)
        server = world.start_server()
    client = world.start_client(remote=remote, key=key, up=False)
    client.wait_for_output(expected, timeout=12)
    if trouble == "wrong key":
        server.wait_for_output(r"a handshake from 192\.0\.2\.2:\d+ fits none of our keys")
        assert server.output().count("fits none") == 1, "however often it comes"
    assert client.stop() == 0


INPUT = "type filter hook input priority 0;"
USUAL = "iif lo accept; ct state established,related accept; ip protocol icmp accept; tcp dport 22 accept;"


@pytest.mark.parametrize("firewall, command", [
    (f"table ip filter {{ chain INPUT {{ {INPUT} policy drop; {USUAL} }}; }}",
     "nft insert rule ip filter INPUT udp dport 4500 accept"),
    (f"table inet filter {{ chain input {{ {INPUT} {USUAL} udp dport 53-4499 accept; counter reject; }}; }}",
     "nft insert rule inet filter input udp dport 4500 accept"),
    (f"table inet x {{ chain i {{ {INPUT} policy drop; iifname lo accept; ct state vmap {{ established : accept }};"
     " ip saddr 192.0.2.99 accept; }; }",
     "nft insert rule inet x i udp dport 4500 accept"),
    *((f"table {family} filter {{ chain ufw-user-input {{ tcp dport 22 accept; }};"
       f" chain INPUT {{ {INPUT} policy drop; jump ufw-user-input; }}; }}", "ufw allow 4500/udp")
      for family in ("ip", "ip6")),
    (f"table inet firewalld {{ chain filter_IN_public {{ tcp dport 22 accept; }};"
     f" chain filter_IN_trusted {{ accept; }};"
     f" chain filter_INPUT {{ {INPUT} {USUAL} jump filter_IN_public; reject; }}; }}",
     "firewall-cmd --permanent --add-port=4500/udp && firewall-cmd --reload"),
], ids=["drop", "reject", "named", "ufw", "ufw, IPv6", "firewalld"])
def test_a_firewall_that_drops_what_comes_to_the_port_is_told(world, firewall, command):
    world.server.nft(firewall + "\n")
    server = world.start_server()
    said = [line for line in server.output().splitlines() if "may drop" in line]
    assert len(said) == 1 and "UDP port 4500: chain " in said[0] and f"'{command}' lets it in" in said[0]
    assert server.stop() == 0
    if command.startswith("nft"):
        world.server.run(*command.split())
        server = world.start_server()
        assert "may drop" not in server.output()


@pytest.mark.parametrize("rules", [
    "policy accept;",
    "policy accept; ct state invalid drop; tcp dport 25 reject; iifname wlan0 drop; udp dport 4501 drop;",
    "policy drop; udp dport 4500 accept;",
    "policy drop; udp dport 4000-5000 accept;",
    "policy drop; udp dport >= 1024 accept;",
    "policy drop; udp dport { 500, 4500 } accept;",
    "policy drop; udp dport vmap { 4500 : accept };",
    "policy drop; meta l4proto . th dport { udp . 4500 } accept;",
    "policy drop; ip protocol udp accept;",
    "policy drop; meta l4proto udp counter accept;",
    "policy drop; ct state new udp dport 4500 limit rate 10/second accept;",
    "policy drop; iifname eth0 accept;",
    "policy drop; accept;",
    "policy drop; jump user;",
])
def test_a_firewall_that_lets_it_in_is_not_told_of(world, rules):
    world.server.nft(f"table inet f {{ chain user {{ udp dport 4500 accept; }}; chain i {{ {INPUT} {rules} }}; }}\n"
                     if "jump" in rules else f"table inet f {{ chain i {{ {INPUT} {rules} }}; }}\n")
    assert "may drop" not in world.start_server().output()


def test_trouble_that_passes_needs_nobody(world):
    client = world.start_client(up=False)
    client.wait_for_output("refused by 203.0.113.2")
    world.start_server()
    client.wait_for_output("up: minivpn0", timeout=10)
    assert world.client.ping(INNER["ipv4"]).received == 3


def test_the_next_address_of_a_name_is_tried(world):
    """The first is a black hole: no router says that there is nobody, which would end the wait for it."""
    with world.client.path("/etc/hosts").open("a") as hosts:
        hosts.write("2001:db8:2::77 vpn.example.org\n203.0.113.2 vpn.example.org\n")
    world.router.ip("-6", "route", "add", "blackhole", "2001:db8:2::77")
    world.start_server()
    client = world.start_client(remote="vpn.example.org", up=False)
    # Five seconds an address; time for another round, should the machine be too busy in the first.
    client.wait_for_output("no answer from|up: minivpn0", timeout=10)
    client.wait_for_output("up: minivpn0, .* to 203.0.113.2:4500", timeout=20)
    assert client.output().startswith("tunnel: no ") and "2001:db8:2::77" in client.output()


@pytest.mark.parametrize("victim", ["network", "steward"])
def test_killed_client_leaves_nothing(world, victim):
    world.start_server()
    before = world.client.snapshot()
    client = world.start_client()
    os.kill(children(client)[victim], signal.SIGKILL)
    assert client.wait() == 1
    world.client.assert_as_before(before)


@pytest.mark.parametrize("victim", ["network", "steward"])
def test_killed_server_leaves_nothing_and_clients_come_back(world, victim):
    before = world.server.snapshot()
    server = world.start_server()
    client = world.start_client()
    time.sleep(1.5)  # where clients are is written down within a second
    os.kill(children(server)[victim], signal.SIGKILL)
    assert server.wait() == 1
    world.server.assert_as_before(before)
    assert client.running()
    world.start_server()
    assert seconds_until_answered(world.client, INNER["ipv4"]) < 3


def test_restarted_server_is_found_again(world):
    server = world.start_server()
    world.start_client()
    assert server.stop() == 0
    world.start_server()
    assert seconds_until_answered(world.client, INNER["ipv4"]) < 7


def test_killed_client_comes_back(world):
    world.start_server()
    for _ in range(3):
        client = world.start_client()
        assert world.client.ping(INNER["ipv4"]).received == 3
        pids = children(client).values()
        client.kill()
        wait_for(lambda: all(map(has_ended, pids)), what="all of its processes to end")


def test_a_client_that_moves_goes_on(world):
    server = world.start_server()
    client = world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    world.client.readdress("eth0", "192.0.2.99/24", "2001:db8:1::99/64")
    world.default_route(world.client, "192.0.2.1", "2001:db8:1::1")
    assert seconds_until_answered(world.client, INNER["ipv4"]) < 5
    server.wait_for_output(r"laptop is at 192\.0\.2\.99:")
    assert "lost" not in client.output()


def test_an_event_is_a_line(world):
    """What the server says of a client that comes, moves, goes, and comes again: no more and no less."""
    server = world.start_server()
    client = world.start_client()
    server.wait_for_output("laptop runs")
    world.client.readdress("eth0", "192.0.2.99/24", "2001:db8:1::99/64")
    world.default_route(world.client, "192.0.2.1", "2001:db8:1::1")
    server.wait_for_output("laptop is at")
    assert client.stop() == 0
    server.wait_for_output("laptop is gone")
    world.start_client()
    time.sleep(1)       # for what should not come
    said = [re.sub(r":\d+$", "", line) for line in server.output().splitlines()[1:]]
    assert said == ["tunnel: laptop is connected from 192.0.2.2",
                    "tunnel: laptop runs minivpn 0.1.0",
                    "tunnel: laptop is at 192.0.2.99",
                    "tunnel: laptop is gone: the other end was stopped",
                    "tunnel: laptop is connected from 192.0.2.99"]


def test_a_new_port_at_the_nat_goes_unnoticed(world):
    world.router.nat(out=world.wan.a)
    world.start_server()
    world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    # The router forgets, and is given another port to use: as one that was restarted.
    world.router.nft("flush table inet lab_nat\n"
                     f"add rule inet lab_nat post oifname {world.wan.a} ip protocol udp "
                     "masquerade to :40000-40100\n")
    world.router.run("conntrack", "-F", check=False)
    assert seconds_until_answered(world.client, INNER["ipv4"]) < 12


@pytest.mark.parametrize("icmp", [True, False])
def test_a_page_passes_a_narrow_hop(world, icmp):
    world.web.serve_http(size=1 << 20)
    world.router.narrow(1400, icmp=icmp)
    world.start_server()
    world.start_client()
    for address in INNER.values():
        assert len(world.client.fetch(address, timeout=20)) == 1 << 20


def test_two_clients_and_two_tunnels_at_once(world):
    keys = world.client.lab.folder / "keys"
    keys.mkdir()
    for number in (2, 3):
        world.client.run("minivpn-keygen", f"c{number}", "--endpoint", OUTER["ipv4"],
                         "--address", f"10.77.0.{number}/24", "--out", keys / f"c{number}.key")
    world.start_server(key=keys)
    first = world.start_client("--route", "198.51.100.2/32", key=keys / "c2.key")
    second = world.client.start("minivpn", "client", "-i", "minivpn1", "--route", "10.77.0.1/32",
                                keys / "c3.key")
    second.wait_for_output("up: minivpn1")
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert world.client.ping("10.77.0.1").received == 3
    assert second.stop() == 0
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert first.stop() == 0


def test_debug_shows_a_line_a_packet(world):
    world.start_server()
    client = world.start_client("--debug")
    assert world.client.ping("10.77.0.1", count=1).received == 1
    client.wait_for_output(r"out: 10\.77\.0\.2 > 10\.77\.0\.1, icmp, 84 bytes, sequence \d+")
    client.wait_for_output(r"in: 10\.77\.0\.1 > 10\.77\.0\.2, icmp, 84 bytes, sequence \d+")


def test_two_servers_on_one_machine_and_two_full_tunnels_on_another(world):
    other = world.new_key("other", "--address", "10.78.0.2/24,fd78::2/64")
    before = world.client.snapshot(), world.server.snapshot()
    servers = [world.start_server(),
               world.server.start("minivpn", "server", "-i", "other", "--local", ":4501", other)]
    servers[1].wait_for_output("up: other")
    first = world.start_client()
    second = world.client.start("minivpn", "client", "-i", "other", "--remote", OUTER["ipv4"] + ":4501",
                                other)
    second.wait_for_output("up: other")
    for address in ("10.77.0.1", "fd77::1", "10.78.0.1", "fd78::1", *INNER.values()):
        assert world.client.ping(address).received == 3, address
    assert first.stop() == 0
    for address in ("10.78.0.1", "fd78::1", *INNER.values()):
        assert world.client.ping(address).received == 3, address
    for daemon in (second, *servers):
        assert daemon.stop() == 0
    world.client.assert_as_before(before[0])
    world.server.assert_as_before(before[1])
