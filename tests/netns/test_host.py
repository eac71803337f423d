# SPDX-License-Identifier: GPL-2.0-or-later
"""Arranging a host and putting it back: keeper, steward and a stand-in for the network process.

The stand-in (host_driver.c) has a tun device and no tunnel behind it; it does what it is told on
standard input.  What is looked at here is the host around it: routes, rules, firewall, sysctls.

        +--------+ eth0               eth0 +--------+ eth1              eth0 +--------+
        |  host  |------------------------ | router |----------------------- | world  |
        +--------+  192.0.2.2/24       .1  +--------+ 198.51.100.1/24    .2  +--------+
          tun0      2001:db8:1::2/64   ::1            2001:db8:2::1/64   ::2
"""

import itertools
import os
import re
import signal
import subprocess
import time

import pytest

from lab import has_ended, wait_for

FULL = ["address 10.9.0.2/24", "address fd09::2/64", "route 0.0.0.0/0", "route ::/0",
        "server 198.51.100.2:4500"]
SERVER = ["address 10.9.0.1/24", "address fd09::1/64", "network 10.9.0.0/24", "network fd09::/64",
          "nat", "isolate", "clamp", "forward"]
MARK = 0x6d
RESOLVER = 0x7d760000
SO_MARK = 36
ROLES = {"network": "minivpn-network", "steward": "minivpn-steward", "resolver": "minivpn-resolve"}


class Household:
    """The driver, and the conversation with it."""

    def __init__(self, host, *limits, device="tun0"):
        self.host = host
        self.process = host.start("minivpn-host-driver", device, *limits, stdin=subprocess.PIPE)
        self.process.wait_for_output(r"^ready$")

    def say(self, *lines):
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())
        self.process.stdin.flush()

    def ask(self, *lines):
        """Say @lines; the last one is answered: return the answers to it, one string."""
        verb = lines[-1].split()[0]
        heard = len(self.process.output())
        self.say(*lines)
        return wait_for(lambda: re.search(rf"^{verb}:? .*$(\n.*)*", self.process.output()[heard:],
                                          re.MULTILINE), what=f"an answer to {verb}").group()

    def apply(self, *lines):
        assert self.ask(*lines, "apply") == "apply: ok\n"

    def pid(self, role):
        """The process number of a role; the keeper's own name is the program's."""
        if role == "keeper":
            return self.process.pid
        for pid in self.host.pids():
            with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                if comm.read().strip() == ROLES[role]:
                    return pid
        raise AssertionError(f"no {role}")


@pytest.fixture(name="machines")
def three_machines(lab):
    host, router, world = lab.hosts("host", "router", "world")
    lab.link(host, "192.0.2.2/24 2001:db8:1::2/64", router, "192.0.2.1/24 2001:db8:1::1/64")
    lab.link(router, "198.51.100.1/24 2001:db8:2::1/64", world, "198.51.100.2/24 2001:db8:2::2/64")
    for machine, four, six in ((host, "192.0.2.1", "2001:db8:1::1"),
                               (world, "198.51.100.1", "2001:db8:2::1")):
        machine.route("default", via=four)
        machine.route("default", via=six)
    router.forward()
    for machine in (host, world):
        wait_for(lambda: "tentative" not in machine.ip("address") and
                 "linkdown" not in machine.ip("route"), what="wires that are plugged in")
    return host, router, world


@pytest.fixture(name="host")
def one_machine(machines):
    return machines[0]


def way(host, destination, *words):
    """By which device the host would send there."""
    found = host.run("ip", "route", "get", destination, *words, check=False)
    device = re.search(r" dev (\S+)", found.stdout)
    return device.group(1) if device else found.stderr.strip()


# --- a client ------------------------------------------------------------------------------------


def test_full_tunnel_takes_what_it_should_and_nothing_else(host):
    before = host.snapshot()
    house = Household(host, "full")
    house.apply(*FULL)
    for elsewhere in ("203.0.113.9", "2001:db8:99::9", "198.51.100.2", "2001:db8:2::2"):
        assert way(host, elsewhere) == "tun0"
    # local networks, the envelope, and answers to who came in from outside
    assert way(host, "192.0.2.77") == "eth0"
    assert way(host, "2001:db8:1::77") == "eth0"
    for server in ("198.51.100.2", "2001:db8:2::2"):
        assert way(host, server, "mark", hex(MARK)) == "eth0"
    assert way(host, "203.0.113.9", "from", "192.0.2.2") == "eth0"
    assert way(host, "2001:db8:99::9", "from", "2001:db8:1::2") == "eth0"
    # and the resolver, whoever it asks
    assert way(host, "203.0.113.9", "uid", RESOLVER) == "eth0"
    assert way(host, "2001:db8:99::9", "uid", RESOLVER) == "eth0"
    # nobody's default route was touched
    assert before["routes"] == [r for r in host.snapshot()["routes"] if "tun0" not in r]
    assert house.process.stop() == 0
    host.assert_as_before(before)


def test_steward_opens_a_marked_socket(host):
    house = Household(host, "full")
    assert house.ask("udp :: 0") == "udp: ok\nmark 0x6d\n"
    house = Household(host, "full", "local=192.0.2.2", "port=4500", device="tun1")
    assert house.ask("udp 192.0.2.2 4500") == "udp: ok\nmark 0x6d\n"
    house = Household(host, "full", "local=192.0.2.77", "port=4500", device="tun2")
    assert "Cannot assign" in house.ask("udp 192.0.2.77 4500")


def udp(host, code):
    return host.run("/usr/bin/python3", "-c", "import socket\n" + code).stdout.strip()


@pytest.mark.parametrize("address", ["198.51.100.2", "2001:db8:2::2"])
def test_envelope_passes_strict_reverse_path_checks(machines, address):
    """The kernel's own check (IPv4), and the one of firewalld (both): user-space needs neither mark
    nor exception in either."""
    host, _, world = machines
    host.sysctl("net.ipv4.conf.all.rp_filter", 1)
    host.sysctl("net.ipv4.conf.eth0.rp_filter", 1)
    host.nft("table inet strict {\n chain check {\n  type filter hook prerouting priority raw\n"
             "  icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept\n"
             "  meta nfproto { ipv4, ipv6 } fib saddr . mark . iif oif missing counter drop\n }\n}\n")
    house = Household(host, "full")
    house.apply(*FULL)
    world.start("/usr/bin/python3", "-c",
                "import socket\n"
                f"s = socket.socket(socket.AF_INET{'6' if ':' in address else ''}, socket.SOCK_DGRAM)\n"
                f"s.bind(('{address}', 4500))\n"
                "while True:\n  d, a = s.recvfrom(99); s.sendto(d, a)\n")
    said = udp(host, f"s = socket.socket(socket.AF_INET{'6' if ':' in address else ''}, socket.SOCK_DGRAM)\n"
                     f"s.setsockopt(socket.SOL_SOCKET, {SO_MARK}, {MARK})\n"
                     "s.settimeout(0.2)\n"
                     "for i in range(20):\n"
                     f"  s.sendto(b'there', ('{address}', 4500))\n"
                     "  try:\n    print(s.recv(99)); break\n  except TimeoutError: pass\n")
    assert said == "b'there'"
    # and whoever comes in from outside still gets in
    assert world.ping("192.0.2.2").received == 3
    assert world.ping("2001:db8:1::2").received == 3


def test_connection_from_outside_survives_start_and_stop(machines):
    host, _, world = machines
    host.start("/usr/bin/python3", "-c",
               "import socket\n"
               "c, _ = socket.create_server(('192.0.2.2', 22)).accept()\n"
               "while True:\n  d = c.recv(99)\n  c.send(d)\n")
    shell = world.start("/usr/bin/python3", "-u", "-c",
                        "import socket, time\n"
                        "for i in range(50):\n"
                        "  try:\n    c = socket.create_connection(('192.0.2.2', 22), 1); break\n"
                        "  except OSError: time.sleep(0.1)\n"
                        "c.settimeout(2)\n"
                        "for i in range(1000):\n"
                        "  c.send(b'.'); assert c.recv(9) == b'.'; print(i); time.sleep(0.05)\n")
    shell.wait_for_output(r"^3$")
    house = Household(host, "full")
    house.apply(*FULL)
    n = int(shell.output().split()[-1])
    shell.wait_for_output(rf"^{n + 5}$")
    house.process.stop()
    shell.wait_for_output(rf"^{n + 10}$")


def test_new_own_address_gets_its_rule(host):
    house = Household(host, "full")
    house.apply(*FULL)
    assert way(host, "203.0.113.9", "from", "192.0.2.2") == "eth0"
    host.readdress("eth0", "192.0.2.44/24")
    host.route("default", via="192.0.2.1")
    wait_for(lambda: way(host, "203.0.113.9", "from", "192.0.2.44") == "eth0", timeout=1)
    rules = host.ip("-4", "rule")
    assert "192.0.2.2 " not in rules
    assert rules.count("from 192.0.2.") == 1
    assert "2001:db8:1::2" not in host.ip("-6", "rule")


def test_other_family_is_refused_at_once_and_never_leaks(machines):
    host, _, world = machines
    house = Household(host, "full")
    house.apply("address 10.9.0.2/24", "route 0.0.0.0/0", "refuse ipv6")
    with world.capture("eth0", "ip6 and udp port 999") as wire:
        begun = time.monotonic()
        said = udp(host, "try:\n  socket.create_connection(('2001:db8:2::2', 80), 5)\n"
                         "except OSError as e: print(e.errno)\n"
                         "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
                         "try:\n  s.sendto(b'leak', ('2001:db8:2::2', 999))\n"
                         "except OSError: pass\n")
        assert time.monotonic() - begun < 2
    assert said in ("101", "113"), "network or host unreachable"
    assert wire.count() == 0
    assert host.ping("2001:db8:1::1").received == 3, "the local network stays"


def test_split_tunnel_is_nothing_but_routes(host):
    before = host.snapshot()
    house = Household(host, "route=10.0.0.0/8", "route=fd00::/8")
    house.apply("address 10.9.0.2/24", "route 10.20.0.0/16", "route fd20::/32", "server 198.51.100.2:4500")
    now = host.snapshot()
    assert now["rules"] == before["rules"]
    assert now["nft"] == before["nft"]
    assert way(host, "10.20.3.4") == "tun0"
    assert way(host, "fd20::7") == "tun0"
    assert way(host, "203.0.113.9") == "eth0"
    assert house.process.stop() == 0
    host.assert_as_before(before)


def test_split_tunnel_around_its_own_server(host):
    house = Household(host, "route=198.51.0.0/16")
    house.apply("route 198.51.0.0/16", "server 203.0.113.1:4500")
    assert way(host, "198.51.100.2") == "tun0"
    assert "fwmark" not in host.ip("rule")
    assert house.ask("endpoint 198.51.100.2:4500") == "endpoint: ok\n"
    assert way(host, "198.51.100.2") == "tun0"
    assert way(host, "198.51.100.2", "mark", hex(MARK)) == "eth0"
    assert way(host, "203.0.113.9") == "eth0"
    assert house.ask("endpoint 203.0.113.1:4500") == "endpoint: ok\n"
    assert "fwmark" not in host.ip("rule")
    assert way(host, "198.51.100.2") == "tun0"


def test_second_plan_touches_only_what_differs(host):
    house = Household(host, "full")
    house.apply(*FULL)
    watch = host.start("ip", "monitor", "route", "rule", "address")
    time.sleep(0.3)
    house.apply()
    house.apply("route 10.44.0.0/16", "route fd44::/32")
    wait_for(lambda: "fd44::/32" in watch.output())
    assert all("10.44.0.0/16" in line or "fd44::/32" in line for line in watch.output().splitlines())
    assert way(host, "10.44.1.1") == "tun0"
    # an address is replaced, and with it what goes by its name
    house.apply("clear", "address 10.9.0.7/24", *FULL[1:])
    assert "10.9.0.2" not in host.ip("address") + host.ip("rule") + host.ip("route")
    assert way(host, "203.0.113.9", "from", "10.9.0.7") == "tun0"
    assert "10.44.0.0" not in host.ip("route", "show", "table", "all")


def test_collision_is_told_and_nothing_is_left(host):
    before = host.snapshot()
    house = Household(host, "full")
    with_tun = host.snapshot()
    assert house.ask("address 10.9.0.2/24", "route 192.0.2.0/24", "route 198.18.0.0/15", "apply") == \
        "apply: File exists: route 192.0.2.0/24 into tun0 in table 254\n"
    now = host.snapshot()
    assert [r for r in now["routes"] if "tun0" in r and "ff00::/8" not in r and "fe80" not in r] == []
    assert now["rules"] == with_tun["rules"]
    house.process.stop()
    host.assert_as_before(before)


def test_quiet_tun_stays_quiet(host):
    house = Household(host, "full", "forward")
    house.apply(*FULL, "forward")
    time.sleep(1.5)
    assert house.ask("read") == "read: 0 packets\n"


def test_lookup_tells_source_and_mtu(host):
    house = Household(host, "full")
    assert "by eth0 from 192.0.2.2 mtu 1500" in house.ask("lookup 203.0.113.9")
    assert "by eth0 from 2001:db8:1::2 mtu 1500" in house.ask("lookup 2001:db8:99::9")
    host.ip("route", "add", "203.0.113.0/24", "via", "192.0.2.1", "mtu", "1300")
    assert "mtu 1300" in house.ask("lookup 203.0.113.9")
    host.ip("route", "add", "unreachable", "203.0.113.128/25")
    assert house.ask("lookup 203.0.113.200") == "lookup: No route to host\n"


# --- a server ------------------------------------------------------------------------------------


def forwarding(host):
    return (host.sysctl("net.ipv4.ip_forward"), host.sysctl("net.ipv6.conf.all.forwarding"),
            host.sysctl("net.ipv6.conf.eth0.accept_ra"))


def test_server_forwards_and_puts_it_back(host):
    before = host.snapshot()
    house = Household(host, "forward")
    house.apply(*SERVER)
    assert forwarding(host) == ("1", "1", "2")
    listed = host.nft("list ruleset")
    assert "flags owner" in listed and listed.count("masquerade") == 2
    assert host.run("nft", "delete", "table", "inet", "minivpn-tun0", check=False).returncode != 0
    host.nft("flush ruleset\n")     # as nftables.service does when it is reloaded
    assert host.nft("list ruleset") == listed
    assert house.process.stop() == 0
    host.assert_as_before(before)


@pytest.mark.parametrize("killed", [False, True])
def test_what_linux_changes_with_forwarding_is_put_back(host, killed):
    """It believes redirects again once it does not forward (ufw and others have switched that off), and stops
    to forward for each interface."""
    for setting, value in (("ipv4.conf.all.accept_redirects", 0), ("ipv4.conf.eth0.forwarding", 1),
                           ("ipv6.conf.eth0.forwarding", 1)):
        host.sysctl("net." + setting, value)
    before = host.snapshot()
    first = Household(host, "forward")
    first.apply(*SERVER)
    second = Household(host, "forward", device="tun1")
    second.apply(*(line.replace("9", "8") for line in SERVER))
    if killed:
        kill_all(first)
    else:
        assert first.process.stop() == 0
    assert second.process.stop() == 0
    if killed:
        assert Household(host, "forward").process.stop() == 0
    host.assert_as_before(before)


def test_settings_that_were_right_are_left_alone(host):
    host.sysctl("net.ipv4.ip_forward", 1)
    before = host.snapshot()
    house = Household(host, "forward")
    house.apply(*SERVER)
    assert house.process.stop() == 0
    host.assert_as_before(before)
    assert host.sysctl("net.ipv4.ip_forward") == "1"


NAT = "table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; oifname != docker0 masquerade; }; }\n"


@pytest.mark.parametrize("before_us", [False, True])
def test_forwarding_stays_on_for_who_has_come_to_need_it(host, before_us):
    """docker finds it on when it starts, does nothing about it, and its containers are cut off when it ends."""
    if before_us:
        host.nft(NAT)
    before = host.snapshot()
    first = Household(host, "forward")
    first.apply(*SERVER)
    if not before_us:
        host.nft(NAT)
    second = Household(host, "forward", device="tun1")
    second.apply(*(line.replace("9", "8") for line in SERVER))
    assert first.process.stop() == 0
    assert forwarding(host)[:2] == ("1", "1")
    assert second.process.stop() == 0
    if before_us:
        host.assert_as_before(before)
        return
    assert forwarding(host)[:2] == ("1", "0"), "who translates IPv4 does not need IPv6"
    assert "the setting /proc/sys/net/ipv4/ip_forward stays 1" in second.process.output()
    host.sysctl("net.ipv4.ip_forward", 0)
    host.nft("delete table ip nat")
    host.assert_as_before(before)


def test_setting_that_somebody_changed_is_left_to_them(host):
    house = Household(host, "forward")
    house.apply(*SERVER)
    host.sysctl("net.ipv6.conf.eth0.accept_ra", 0)
    assert house.process.stop() == 0
    assert forwarding(host) == ("0", "0", "0")


@pytest.mark.parametrize("killed", [False, True])
def test_last_of_two_servers_puts_it_back(host, killed):
    before = host.snapshot()
    first = Household(host, "forward", device="tun0")
    first.apply(*SERVER)
    second = Household(host, "forward", device="tun1")
    second.apply(*(line.replace("9", "8") for line in SERVER))
    if killed:
        kill_all(first)
    else:
        assert first.process.stop() == 0
    assert forwarding(host) == ("1", "1", "2")
    assert "minivpn-tun1" in host.nft("list ruleset")
    assert second.process.stop() == 0
    if killed:  # nobody has looked at what the first one left, until somebody starts
        third = Household(host, "forward")
        assert third.process.stop() == 0
    host.assert_as_before(before)


def test_two_full_tunnels_do_not_disturb_each_other(host):
    before = host.snapshot()
    first = Household(host, "full", device="tun0")
    first.apply(*FULL)
    with_first = host.snapshot()["rules"]
    second = Household(host, "full", device="tun1")
    second.apply(*(line.replace("10.9", "10.8").replace("fd09", "fd08") for line in FULL))
    assert way(host, "198.51.100.2", "mark", hex(MARK)) == "eth0"
    # Each has what is bound to its address; nothing of either goes out by the wire.
    for device, four, six in (("tun0", "10.9.0.2", "fd09::2"), ("tun1", "10.8.0.2", "fd08::2")):
        wait_for(lambda: way(host, "203.0.113.9", "from", four) == device, timeout=1)
        wait_for(lambda: way(host, "2001:db8:99::9", "from", six) == device, timeout=1)
    assert second.process.stop() == 0
    assert host.snapshot()["rules"] == with_first
    assert way(host, "192.0.2.77") == "eth0"
    assert way(host, "203.0.113.9") == "tun0"
    assert first.process.stop() == 0
    host.assert_as_before(before)


def test_two_full_tunnels_have_as_many_rules_again_as_were_taken_away(host):
    before = host.snapshot()
    houses = []
    for device, net in (("tun0", "9"), ("tun1", "8")):
        houses.append(Household(host, "full", device=device))
        houses[-1].apply(*(line.replace("10.9", f"10.{net}").replace("fd09", f"fd0{net}") for line in FULL))
    wait_for(lambda: host.snapshot()["rules"].count("30000:\tfrom all fwmark 0x6d goto 30009 proto 109") == 4)
    both = sorted(host.snapshot()["rules"])
    for pref in ("30000", "30009", "30002", "30004"):
        for family in ("-4", "-6"):
            host.run("ip", family, "rule", "del", "pref", pref)
    wait_for(lambda: sorted(host.snapshot()["rules"]) == both, what="as many as before")
    for house in houses:
        assert house.process.stop() == 0
    host.assert_as_before(before)


def test_table_installed_by_hand_is_not_touched(host):
    host.run("minivpn-nft", "install", "--tun", "tun0", "--source", "10.1.0.0/16")
    before = host.snapshot()
    house = Household(host, "forward")
    assert house.ask(*SERVER, "apply") == "apply: File exists: firewall table minivpn-tun0\n"
    assert house.process.stop() == 0
    host.assert_as_before(before)


def test_other_firewall_that_drops_is_named(host):
    host.nft("add table ip filter\n"
             "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }\n")
    before = host.snapshot()
    house = Household(host, "forward")
    house.apply(*SERVER)
    said = house.process.output()
    assert "another firewall drops" in said and "chain FORWARD of table ip filter" in said
    assert house.process.stop() == 0
    host.assert_as_before(before)
    for command in re.findall(r"'nft ([^']*)'", said):
        host.run("nft", *command.split())
    house = Household(host, "forward")
    house.apply(*SERVER)
    assert "another firewall" not in house.process.output()


def test_running_servers_table_is_not_touched_by_hand(host):
    house = Household(host, "forward")
    house.apply(*SERVER)
    with_table = host.nft("list ruleset")
    for words in (["install", "--source", "10.1.0.0/16"], ["remove"]):
        done = host.run("minivpn-nft", *words, "--tun", "tun0", check=False)
        assert done.returncode == 1
        assert "belongs to a minivpn that is running" in done.stderr
    assert host.nft("list ruleset") == with_table
    assert "held by a running minivpn" in host.run("minivpn-nft", "show", "--tun", "tun0").stdout
    assert host.run("minivpn-nft", "check", "--tun", "tun0").stdout == "nothing is missing\n"


def test_only_answers_come_in_and_out_is_masqueraded(machines, lab):
    """Behind the tun device stands a second machine here: the stand-in's device is joined to nothing,
    so a veth in its place carries the packets, and minivpn-nft makes the rules."""
    host, _, world = machines
    client = lab.host("client")
    lab.link(client, "10.9.0.2/24 fd09::2/64", host, "10.9.0.1/24 fd09::1/64", names=("eth0", "tun9"))
    client.route("default", via="10.9.0.1")
    client.route("default", via="fd09::1")
    host.forward()
    host.run("minivpn-nft", "install", "--tun", "tun9", "--source", "10.9.0.0/24", "--source", "fd09::/64")
    assert client.ping("198.51.100.2").received == 3
    assert client.ping("2001:db8:2::2").received == 3
    world.serve_http(text="hello ")
    assert client.fetch("198.51.100.2") == b"hello "
    assert client.fetch("2001:db8:2::2") == b"hello "
    # The world knows no way to the tunnel's networks; given one, it still gets no further.
    world.route("10.9.0.0/24", via="198.51.100.1")
    machines[1].route("10.9.0.0/24", via="192.0.2.2")
    assert world.ping("10.9.0.2", count=2, timeout=0.3).received == 0


@pytest.mark.parametrize("narrow", ["outside", "tunnel"])
@pytest.mark.parametrize("address", ["198.51.100.2", "2001:db8:2::2"])
def test_mss_is_clamped_both_ways(machines, lab, narrow, address):
    host, _, world = machines
    client = lab.host("client")
    lab.link(client, "10.9.0.2/24 fd09::2/64", host, "10.9.0.1/24 fd09::1/64", names=("eth0", "tun9"))
    client.route("default", via="10.9.0.1")
    client.route("default", via="fd09::1")
    host.forward()
    # The far side of the narrow link is wide: only what the host does to the MSS can help.
    host.ip("link", "set", "tun9" if narrow == "tunnel" else "eth0", "mtu", 1300)
    host.run("minivpn-nft", "install", "--tun", "tun9", "--source", "10.9.0.0/24", "--source", "fd09::/64")
    world.serve_http(text="hello ")
    headers = 60 if ":" in address else 40
    with world.capture("eth0", "tcp port 80") as there, client.capture("eth0", "tcp port 80") as back:
        assert client.fetch(address) == b"hello "
    for wire, ack in ((there, 0), (back, 1)):
        asked = wire.fields("tcp.options.mss_val",
                            display_filter=f"tcp.flags.syn == 1 && tcp.flags.ack == {ack}")
        assert set(asked) == {(str(1300 - headers),)}


# --- who may do what ------------------------------------------------------------------------------


@pytest.mark.parametrize("limits, lines, complaint", [
    (["route=10.0.0.0/8"], FULL, "a full tunnel"),
    (["route=10.0.0.0/8"], ["route 192.168.0.0/16"], "a route to other networks"),
    (["route=10.0.0.0/8"], ["refuse ipv6"], "a full tunnel"),
    (["full"], SERVER, "forwarding"),
    (["forward", "out=eth0"], [*SERVER, "out eth1"], "another interface"),
    (["full"], ["mtu 100"], "MTU below 1280"),
    (["full", "port=4500"], ["udp :: 53"], "another UDP socket"),
    (["full", "port=4500", "local=192.0.2.2"], ["udp :: 4500"], "another UDP socket"),
    (["full"], ["udp :: 4500"], "another UDP socket"),
    (["full"], ["udp :: 0", "udp :: 0"], "another UDP socket"),
])
def test_betrayal_ends_everything(host, limits, lines, complaint):
    before = host.snapshot()
    house = Household(host, *limits)
    house.say(*lines, "apply")
    assert house.process.wait(2) == 1
    assert complaint in house.process.output()
    host.assert_as_before(before)


@pytest.mark.parametrize("line", ["garbage", "endpoint 192.0.2.1:1", "add 10.0.0.0/8"])
def test_out_of_turn_ends_everything(host, line):
    before = host.snapshot()
    house = Household(host, "full")
    house.say(line)
    assert house.process.wait(2) == 1
    assert re.search("not a request|out of turn", house.process.output())
    host.assert_as_before(before)


def test_betrayal_undoes_what_was_done(host):
    before = host.snapshot()
    house = Household(host, "full")
    house.apply(*FULL)
    house.say("garbage")
    assert house.process.wait(2) == 1
    host.assert_as_before(before)


def test_routes_of_peers(host):
    house = Household(host, "forward", "route=10.0.0.0/8", "route=fd00::/8")
    house.apply(*SERVER)
    for network, inside in (("10.77.0.0/16", "10.77.1.1"), ("fd77::/32", "fd77::1")):
        assert house.ask(f"add {network}") == "add: ok\n"
        assert way(host, inside) == "tun0"
        assert "File exists" in house.ask(f"add {network}")
        assert house.ask(f"remove {network}") == "remove: ok\n"
        assert way(host, inside) == "eth0"


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in text)}


def test_rights_are_given_up(host):
    house = Household(host, "full")
    assert "sandbox: ok" in house.ask("sandbox nobody")
    network = status_of(house.pid("network"))
    assert network["Uid"].split()[0] == network["Uid"].split()[2] != "0"
    assert network["Groups"] == ""
    resolver = status_of(house.pid("resolver"))
    assert resolver["Uid"].split() == [str(RESOLVER)] * 4
    for stranger in (network, resolver):
        for kind in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"):
            assert int(stranger[kind], 16) == 0
        assert stranger["NoNewPrivs"] == "1"
    # Arranging the host is still possible, for who has the rights.
    house.apply(*FULL)
    net_admin, net_raw, net_bind, kill = 1 << 12, 1 << 13, 1 << 10, 1 << 5
    for role in ("steward", "keeper"):
        found = status_of(house.pid(role))
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(found[kind], 16) & ~(net_admin | net_raw | net_bind | kill) == 0
        assert found["NoNewPrivs"] == "1"
    assert house.process.stop() == 0


# --- dying ----------------------------------------------------------------------------------------


def family_of(house):
    return [pid for pid in house.host.pids() if is_of(house.process.pid, pid)]


def kill_all(house):
    """kill -9 of every process of a household, as nearly at once as can be."""
    family = family_of(house)
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    house.process.wait()
    wait_for(lambda: all(map(has_ended, family)), what="the end of all")


def is_of(keeper, pid):
    return pid == keeper or int(status_of(pid)["PPid"]) == keeper


PLANS = {"client": (["full"], FULL), "server": (["forward"], SERVER)}


@pytest.mark.parametrize("role", PLANS)
@pytest.mark.parametrize("victim", ["keeper", "steward", "network"])
@pytest.mark.parametrize("sandbox", [False, True])
def test_kill_nine_of_one_undoes_all_within_a_second(host, role, victim, sandbox):
    before = host.snapshot()
    limits, plan = PLANS[role]
    house = Household(host, *limits)
    house.apply(*plan)
    if sandbox:
        house.ask("sandbox nobody")
    os.kill(house.pid(victim), signal.SIGKILL)
    begun = time.monotonic()
    if victim != "keeper":
        assert house.process.wait(2) == 1
        assert "was killed" in house.process.output()
        host.assert_as_before(before, within=0)
    assert time.monotonic() - begun < 1.5
    host.assert_as_before(before, within=1)
    wait_for(lambda: not host.pids(), timeout=1, what="everybody's end")


@pytest.mark.parametrize("role", PLANS)
@pytest.mark.parametrize("victims", itertools.combinations(["keeper", "steward", "network"], 2))
def test_kill_nine_of_two(host, role, victims):
    before = host.snapshot()
    limits, plan = PLANS[role]
    house = Household(host, *limits)
    house.apply(*plan)
    family = family_of(house)
    for pid in [house.pid(victim) for victim in victims]:
        os.kill(pid, signal.SIGKILL)
    if set(victims) == {"keeper", "steward"}:  # nobody is left who may undo; the next start does
        wait_for(lambda: all(map(has_ended, family)), timeout=1)
        Household(host, *limits).process.stop()
    host.assert_as_before(before)


@pytest.mark.parametrize("role", PLANS)
def test_kill_nine_of_all(host, role):
    before = host.snapshot()
    limits, plan = PLANS[role]
    house = Household(host, *limits)
    house.apply(*plan)
    kill_all(house)
    now = host.snapshot()
    for part in ("links", "nft", "addresses", "routes"):
        assert "tun0" not in "".join(now[part]), "goes at once, by the kernel's hand"
    assert now != before
    assert host.ping("198.51.100.2").received == 3, "what is left disturbs nothing"
    again = Household(host, *limits)
    assert "left behind" in again.process.output()
    again.apply(*plan)
    assert again.process.stop() == 0
    host.assert_as_before(before)


def test_rules_without_a_journal_are_cleared_too(host):
    before = host.snapshot()
    house = Household(host, "full")
    house.apply(*FULL)
    kill_all(house)
    host.run("rm", "-r", "/run/minivpn")
    Household(host, "full").process.stop()
    host.assert_as_before(before)


def test_kill_nine_at_random_moments(host):
    before = host.snapshot()
    for step in range(12):
        house = Household(host, "full", "forward")
        house.say(*FULL, *SERVER[2:], "apply")
        time.sleep(step * 0.0015)
        os.kill(house.pid(["network", "steward"][step % 2]), signal.SIGKILL)
        assert house.process.wait(2) == 1
        host.assert_as_before(before, within=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_to_the_keeper_end_it_cleanly(host, number):
    before = host.snapshot()
    house = Household(host, "full")
    house.apply(*FULL)
    begun = time.monotonic()
    assert house.process.stop(number) == 0
    assert time.monotonic() - begun < 1
    host.assert_as_before(before, within=0)


def test_control_c_reaches_all_and_ends_it_once(host):
    before = host.snapshot()
    house = Household(host, "full")
    house.apply(*FULL)
    os.killpg(house.process.pid, signal.SIGINT)
    assert house.process.wait(2) == 0
    host.assert_as_before(before, within=0)


def test_name_can_be_held_once(host):
    house = Household(host, "full")
    house.apply(*FULL)
    second = host.run("minivpn-host-driver", "tun0", "full", check=False, input="")
    assert second.returncode == 1
    assert "running already" in second.stderr
    assert way(host, "203.0.113.9") == "tun0"
    assert house.process.stop() == 0
    third = Household(host, "full")
    assert third.process.stop() == 0


def test_device_deleted_behind_our_back(host):
    before = host.snapshot()
    house = Household(host, "full", "forward")
    house.apply(*FULL, *SERVER[2:])
    host.ip("link", "del", "tun0")
    assert house.process.stop() == 0
    assert "cannot undo" not in house.process.output()
    host.assert_as_before(before)


# --- little of everything -------------------------------------------------------------------------


def test_host_with_ipv6_switched_off(host):
    """As in containers: IPv6 is off for every new interface, and ours needs it."""
    host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    before = host.snapshot()
    house = Household(host, "full", "forward")
    house.apply(*FULL)
    assert way(host, "2001:db8:99::9") == "tun0"
    assert house.process.stop() == 0
    host.assert_as_before(before)
