# SPDX-License-Identifier: GPL-2.0-or-later
"""Around a full tunnel nothing passes: neither family, at no time between up and down.

Whoever listens between the client and its router must see the envelope, and answers to who came in from
outside, but no packet of what the client itself sends elsewhere.
"""

import os
import re
import signal
import subprocess
import time

import pytest

from four_machines import INNER, OUTER, children
from lab import wait_for

# Where the client sends to in these tests: behind the server, and to nowhere in particular.
ELSEWHERE = {"ipv4": "198.51.100.77", "ipv6": "2001:db8:3::77"}
TOWARDS_ELSEWHERE = "host 198.51.100.2 or host 198.51.100.77 or host 2001:db8:3::2 or host 2001:db8:3::77"


# What a resolver does, twice, with a change of routes in between.
CONNECTED_UDP = """
import os, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 53))
for address in ("192.0.2.200/32", "2001:db8:1::200/128"):
    try:
        s.send(b"to nobody")
    except OSError:
        pass
    os.system("ip address add " + address + " dev eth0 nodad 2>&1")
"""


def four_only(world):
    return world.new_key("four", "--address", "10.77.0.2/24")


def six_only(world):
    return world.new_key("six", "--address", "fd77::2/64")


def is_refused_at_once(host, address):
    """TCP to there fails within a moment, not after a timeout: so a browser tries the other family."""
    start = time.monotonic()
    done = host.run("/usr/bin/python3", "-c", "import socket, sys; socket.create_connection("
                    "(sys.argv[1], 80), 5)", address, check=False)
    return done.returncode != 0 and time.monotonic() - start < 2


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
@pytest.mark.parametrize("lacking", ["ipv4", "ipv6"])
def test_a_family_that_the_server_does_not_give_is_refused_and_does_not_leak(world, outer, lacking):
    key = four_only(world) if lacking == "ipv6" else six_only(world)
    has = "ipv4" if lacking == "ipv6" else "ipv6"
    world.start_server(key=key)
    world.start_client(key=key, remote=OUTER[outer])
    with world.client.capture("eth0", TOWARDS_ELSEWHERE) as wire:
        assert world.client.ping(INNER[has]).received == 3
        assert world.client.ping(INNER[lacking], timeout=0.3).received == 0
        assert is_refused_at_once(world.client, INNER[lacking])
        world.client.run("/usr/bin/python3", "-c", CONNECTED_UDP, ELSEWHERE[lacking])
    assert wire.count() == 0, wire.fields("frame.protocols", "ip.dst", "ipv6.dst")


@pytest.mark.parametrize("underlay", ["ipv4", "ipv6"])
def test_a_client_of_one_family_outside_leaks_neither(world, underlay):
    """The other family comes to it later, as by a router advertisement."""
    other = "-4" if underlay == "ipv6" else "-6"
    world.client.ip(other, "route", "del", "default")
    world.client.ip(other, "address", "flush", "dev", "eth0", "scope", "global")
    world.start_server()
    world.start_client(remote=OUTER[underlay])
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    if underlay == "ipv6":
        world.client.address("eth0", "192.0.2.2/24")
        world.client.route("default", via="192.0.2.1")
    else:
        world.client.address("eth0", "2001:db8:1::2/64")
        world.client.route("default", via="2001:db8:1::1")
    with world.client.capture("eth0", TOWARDS_ELSEWHERE) as wire:
        for address in INNER.values():
            assert world.client.ping(address).received == 3
    assert wire.count() == 0


def test_while_the_server_is_away_nothing_leaves_unsealed(world):
    server = world.start_server()
    client = world.start_client()
    with world.client.capture("eth0", TOWARDS_ELSEWHERE) as wire:
        flood = world.client.start("ping", "-i", "0.05", INNER["ipv4"])
        six = world.client.start("ping", "-i", "0.05", INNER["ipv6"])
        time.sleep(0.3)
        for pid in children(server).values():
            os.kill(pid, signal.SIGKILL)
        server.wait()
        time.sleep(1)
        world.lan.up(False)
        world.lan.up(True)
        world.default_route(world.client, "192.0.2.1", "2001:db8:1::1")
        time.sleep(1)
        world.start_server()
        wait_for(lambda: world.client.ping(INNER["ipv4"], count=1, timeout=0.3).received, 10)
        flood.stop(signal.SIGINT)
        six.stop(signal.SIGINT)
    assert wire.count() == 0, wire.fields("frame.protocols", "ip.dst", "ipv6.dst")
    assert client.running()


def test_a_split_tunnel_takes_its_routes_only(world):
    world.start_server()
    world.start_client("--route", "198.51.100.0/24")
    with world.client.capture("eth0", "net 198.51.100.0/24") as wire:
        assert world.client.ping(INNER["ipv4"]).received == 3
    assert wire.count() == 0
    with world.client.capture("minivpn0") as inside:
        assert world.client.ping(OUTER["ipv4"]).received == 3, "not through the tunnel"
        assert world.client.ping("2001:db8:2::1").received == 3
    assert inside.count("icmp or icmpv6.type == 128") == 0


def test_a_server_cannot_have_more_of_a_split_tunnel(world):
    """Neither by halves of everything, nor by an address that brings as much with it."""
    key = world.new_key("greedy", "--address", "10.77.0.2/1,fd77::2/64")
    world.start_server("--address", "10.77.0.1/24,fd77::1/64", "--route", "0.0.0.0/1,128.0.0.0/1,198.51.100.0/24",
                       key=key)
    client = world.start_client("--no-default-route", key=key)
    client.wait_for_output(r"the server offers a route to 128\.0\.0\.0/1: .* left out")
    client.wait_for_output(r"the server gives us 10\.77\.0\.2/1: .* only the address is taken")
    routes = world.client.ip("route", "show", "dev", "minivpn0")
    assert "198.51.100.0/24" in routes and "/1 " not in routes
    assert world.client.ping(INNER["ipv4"]).received == 3


ECHO = """
import socket, threading
def echo(c):
    while data := c.recv(100):
        c.sendall(data)
s = socket.create_server(("::", 2222), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
while True:
    threading.Thread(target=echo, args=s.accept()[:1]).start()
"""

SESSION = """
import socket, sys
s = socket.create_connection((sys.argv[1], 2222), 5)
s.settimeout(5)
for line in sys.stdin:
    s.sendall(line.encode())
    print("back:", s.recv(100).decode().strip(), flush=True)
"""


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8:1::2"])
def test_sessions_into_the_client_from_outside_stay_and_new_ones_come(world, address):
    """As ssh to it, by the router: one from before the tunnel is up goes on, and one begins after."""
    world.client.start("/usr/bin/python3", "-c", ECHO).wait_for_output("listening")
    world.start_server()

    def session():
        return world.server.start("/usr/bin/python3", "-c", SESSION, address, stdin=subprocess.PIPE)

    def says(one, word):
        one.stdin.write(word.encode() + b"\n")
        one.stdin.flush()
        one.wait_for_output(f"back: {word}")

    before = session()
    says(before, "before")
    client = world.start_client()
    says(before, "meanwhile")
    during = session()
    says(during, "during")
    assert client.stop() == 0
    says(before, "after")
    says(during, "after")


@pytest.mark.parametrize("outer", ["ipv4", "ipv6"])
def test_strict_reverse_path_checks_are_passed(world, outer):
    """The kernel's own on the client, and firewalld's in nftables, in both families."""
    for device in ("all", "default", "eth0"):
        world.client.sysctl(f"net.ipv4.conf.{device}.rp_filter", 1)
    world.client.nft("table inet strict {\n chain pre {\n type filter hook prerouting priority raw\n"
                     " icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept\n"
                     " meta nfproto { ipv4, ipv6 } fib saddr . mark . iif oif missing counter drop\n }\n}\n")
    world.start_server()
    world.start_client(remote=OUTER[outer])
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    assert world.server.ping("10.77.0.2").received == 3


@pytest.mark.parametrize("server", ["no route", "no IPv6"])
def test_a_server_that_gives_ipv6_but_has_none_refuses_at_once(world, server):
    if server == "no route":
        world.server.ip("-6", "route", "del", "default")
    else:
        for device in ("all", "default"):
            world.server.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 1)
    world.start_server()
    world.start_client()
    with world.client.capture("eth0", "host 2001:db8:77::1") as wire:
        assert is_refused_at_once(world.client, "2001:db8:77::1")
    assert wire.count() == 0
    assert world.client.ping(INNER["ipv4"]).received == 3


def test_what_leaves_beside_a_full_tunnel_by_others_rules_is_told(world):
    """A policy rule that comes before ours, as those of several uplinks do; and again when one comes later,
    or the two halves of everything that some VPNs put into the main table."""
    def ip(*words):
        world.client.ip("-4", *words)
    ip("route", "add", "default", "via", "192.0.2.1", "table", "100")
    ip("rule", "add", "pref", "1000", "lookup", "100")
    world.start_server()
    client = world.start_client()
    beside = r"host: not everything goes into minivpn0: the way to \S+, for one, is by eth0"
    client.wait_for_output(beside)
    ip("rule", "del", "pref", "1000")
    client.wait_for_output("nothing leaves beside minivpn0 any more")
    ip("rule", "add", "pref", "1000", "to", "198.51.100.0/24", "lookup", "100")     # meant so, and no more than that
    for halves in (("0.0.0.0/1",), ("128.0.0.0/1",)):
        told = len(re.findall(beside, client.output()))
        ip("route", "add", *halves, "via", "192.0.2.1")
        wait_for(lambda: len(re.findall(beside, client.output())) == told + 1, what="it to be told")
        ip("route", "del", *halves)
        # What comes before that is seen is the same way beside, which has been told.
        wait_for(lambda: len(re.findall("any more", client.output())) == told + 1, what="its end to be told")
    assert len(re.findall(beside, client.output())) == 3


def test_of_two_full_tunnels_the_second_says_what_it_gets(world):
    world.start_server()
    key = world.new_key("other", "--address", "10.78.0.2/24")
    world.server.start("minivpn", "server", "-i", "vpn1", "--local", ":4501", key).wait_for_output("up: vpn1")
    world.start_client()
    second = world.client.start("minivpn", "client", "-i", "vpn1", "--remote", "203.0.113.2:4501", key)
    second.wait_for_output("minivpn0 takes everything already: vpn1 gets what is bound to its address")


@pytest.mark.parametrize("resolver, options, told", [
    ("192.0.2.53", (), True), ("2001:db8:1::53", (), True), ("203.0.113.53", (), False), ("127.0.0.1", (), False),
    ("192.0.2.53", ("--no-default-route",), False)])
def test_names_that_are_looked_up_beside_the_tunnel_are_told(world, resolver, options, told):
    world.client.path("/etc/resolv.conf").write_text(f"nameserver {resolver}\n")
    world.start_server("--dns", "198.51.100.53")
    client = world.start_client(*options)
    words = f"names are looked up at {resolver}, in a network of this machine's own (eth0)"
    assert (words in client.output()) == told
    assert "given dns  198.51.100.53" in world.client.run("minivpn", "status").stdout
    assert "gives dns  198.51.100.53" in world.server.run("minivpn", "status").stdout
