# SPDX-License-Identifier: GPL-2.0-or-later
"""A server on a machine whose firewall somebody else makes: what is said opens it, and to their programs too.

The programs are Debian's, unpacked beside the build and seen by the lab's server only.  Those that take
long to start have left their rules in firewalls/ (each says how it was made), and run in the long tests.
"""

import re
import time
from pathlib import Path

import pytest

from debs import with_needs
from four_machines import INNER
from lab import LabError, wait_for

RULES = Path(__file__).parent / "firewalls"
TABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


def bring(host, kind, *packages):
    """Let a host find programs, and make iptables what it is on most machines ("nft"), or what it was ("legacy")."""
    names = host.lab.folder / f"{host.name}-names"
    (names / "usr/sbin").mkdir(parents=True)
    for name in TABLES:
        (names / "usr/sbin" / name).symlink_to(f"xtables-{kind}-multi")
    host.overlay(names, *(with_needs(package) for package in (*packages, "iptables")))


def told(server):
    """The commands that a server says open the firewall."""
    lines = [line for line in server.output().splitlines() if "another firewall" in line]
    return [command for line in lines for command in re.findall("'([^']*)'", line)]


def arrives(world, family="ipv4"):
    try:
        return world.client.fetch(INNER[family], timeout=1) == b"page"
    except LabError:
        return False


def open_as_told(world):
    """Start a server, see that nothing gets through, run what it says, see that all does; and it says no more."""
    world.web.serve_http(text="page")
    before = world.server.snapshot()
    server = world.start_server()
    commands = told(server)
    client = world.start_client(up=False)
    time.sleep(0.3)
    assert not arrives(world), "nothing was to be told"
    for command in commands:
        world.server.run("sh", "-c", command)
    client.wait_for_output("up: minivpn0", timeout=20)
    assert arrives(world)
    assert arrives(world, "ipv6")
    during = world.server.snapshot()["nft"]
    assert server.stop() == 0
    wait_for(lambda: "minivpn-" not in world.server.nft("list ruleset"))
    world.server.assert_as_before({**before, "nft": world.server.snapshot()["nft"]})    # theirs has changed
    server = world.start_server()
    assert told(server) == []
    assert sorted(world.server.snapshot()["nft"]) == sorted(during), "theirs is as it was"
    return server, client, commands


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_iptables(world, kind):
    bring(world.server, kind)
    for six, icmp in (("", "icmp"), ("6", "ipv6-icmp")):
        for words in ("-P INPUT DROP", "-P FORWARD DROP", "-N mine", "-A INPUT -i lo -j ACCEPT",
                      "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", f"-A INPUT -p {icmp} -j ACCEPT",
                      "-A INPUT -j mine", "-A mine -p tcp --dport 22 -j ACCEPT", "-A mine -m limit -j LOG",
                      "-A FORWARD -i eth7 -j ACCEPT", "-A FORWARD -p udp -m udp --dport 53 -j ACCEPT"):
            world.server.run(f"ip{six}tables", *words.split())
    _, _, commands = open_as_told(world)
    assert commands == [f"ip{six}tables-{kind} -I {rest}" for rests in (
        ("FORWARD -i minivpn0 -j ACCEPT", "FORWARD -o minivpn0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"),
        ("INPUT -p udp --dport 4500 -j ACCEPT",)) for six in ("", "6") for rest in rests]
    # Whatever was put there, iptables can show and change its tables.
    world.server.run("iptables", "-A", "FORWARD", "-i", "eth8", "-j", "DROP")
    assert "-i minivpn0 -j ACCEPT" in world.server.run("iptables", "-S").stdout


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_docker_s_rules(world, kind):
    """Its daemon's, which leave everybody else's packets to the policy of FORWARD, which it has made DROP."""
    bring(world.server, kind)
    world.server.run("iptables-restore", input=(RULES / "docker.iptables").read_text())
    server = world.start_server()
    assert told(server) == [f"iptables-{kind} -I FORWARD {words} -j ACCEPT" for words in (
        "-i minivpn0", "-o minivpn0 -m conntrack --ctstate ESTABLISHED,RELATED")]
    server.stop()
    world.server.run("iptables", "-I", "DOCKER-USER", "-i", "minivpn0", "-j", "ACCEPT")
    server = world.start_server()
    assert [command for command in told(server) if "-i" in command] == [], "docker's own place for such rules counts"


@pytest.mark.unsanitized    # it takes long by itself
def test_ufw(world):
    server = world.server
    bring(server, "nft", "ufw")
    server.run("sh", "-ec", "cp /usr/share/ufw/ufw.conf /usr/share/ufw/iptables/*.rules /etc/ufw\n"
                            "mkdir -p /etc/ufw/applications.d; ufw --force enable")
    daemon, client, commands = open_as_told(world)
    assert commands == ["ufw route allow in on minivpn0", "ufw allow 4500/udp"]
    for words in (["reload"], ["disable"], ["--force", "enable"]):
        server.run("ufw", *words)
        assert arrives(world)
    assert client.running() and daemon.running()


@pytest.mark.parametrize("interface", ["", "eth0"])
def test_firewalld_s_rules(world, interface):
    """What it forwards ends in a reject behind a policy that accepts; its zones say what gets that far."""
    rules = (RULES / "firewalld.nft").read_text()
    if interface:       # in a zone, whose interfaces it forwards to
        rules = rules.replace("chain filter_FWD_public_allow {\n", "chain filter_FWD_public_allow {\n"
                              f"\t\toifname \"{interface}\" accept\n")
    world.server.nft(rules)
    server = world.start_server()
    trust = [] if interface else ["firewall-cmd --permanent --zone=trusted --add-interface=minivpn0"
                                  " && firewall-cmd --reload"]
    assert told(server) == [*trust, "firewall-cmd --permanent --add-port=4500/udp && firewall-cmd --reload"]
    server.stop()
    world.server.nft("delete table inet firewalld\n" + (RULES / "firewalld-opened.nft").read_text())
    assert told(world.start_server()) == []


@pytest.mark.long
def test_firewalld(world):
    server = world.server
    policy = server.lab.folder / "policy/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.policy"
    policy.parent.mkdir(parents=True)
    policy.symlink_to("org.fedoraproject.FirewallD1.server.policy.choice")
    server.overlay(server.lab.folder / "policy", with_needs("firewalld"))
    server.run("sh", "-ec", "mkdir -p /run/dbus; mount -t tmpfs tmpfs /var/log")
    server.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
    wait_for(lambda: server.path("/run/dbus/system_bus_socket").exists())
    server.start("firewalld", "--nofork", "--nopid")
    wait_for(lambda: server.run("firewall-cmd", "--state", check=False).returncode == 0, 30, "firewalld")
    _, client, commands = open_as_told(world)
    assert len(commands) == 2 and all(command.startswith("firewall-cmd") for command in commands)
    for words in ("--reload", "--complete-reload"):
        server.run("firewall-cmd", words)
        assert arrives(world)
    assert client.running()


@pytest.mark.long
def test_docker(world):
    server = world.server
    bring(server, "nft", "docker.io")
    server.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    words = ("dockerd", "--data-root", "/run/dockerd", "--storage-driver", "vfs", "-H", "unix:///run/docker.sock")
    docker = server.start(*words)
    docker.wait_for_output("API listen on", timeout=30)
    world.web.serve_http(text="page")
    daemon = world.start_server()
    client = world.start_client()
    assert not arrives(world)
    for command in told(daemon):
        server.run("sh", "-c", command)
    assert arrives(world)
    docker.stop(timeout=20)
    server.start(*words).wait_for_output("API listen on", timeout=30)
    assert arrives(world) and client.running()
    assert daemon.stop() == 0
    assert told(world.start_server()) == []
