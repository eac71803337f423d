# SPDX-License-Identifier: GPL-2.0-or-later
"""What befalls the daemons: kill -9 of any process at any moment, signals, a device or a firewall that
somebody takes away.  However it ends, the machine is as before."""

import ctypes
import os
import random
import re
import shlex
import signal
import subprocess
import time

import pytest

from four_machines import INNER, KEY, OUTER, children, seconds_until_answered
from lab import has_ended, program, wait_for

WAIT_FOR_ANY = 0x40000000       # __WALL
VICTIMS = ["keeper", "steward", "network", "resolve"]


def household(daemon):
    return {"keeper": daemon.pid, **children(daemon)}


def kill_household(daemon):
    """Kill all processes of a tunnel as if at one moment."""
    pids = list(household(daemon).values())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # else one would tidy up after the other
    for pid in pids:
        kill(pid)
    daemon.wait()
    wait_for(lambda: all(map(has_ended, pids)), 1.0, "all of its processes to end")


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def pending(pid, number):
    """Has a process been sent a signal that it has not taken yet?"""
    status = open(f"/proc/{pid}/status", encoding="ascii").read()
    sets = re.findall(r"^(?:SigPnd|ShdPnd):\s*(\w+)$", status, re.MULTILINE)
    return any(int(one, 16) >> number - 1 & 1 for one in sets)


def start(world, role):
    return world.start_server() if role == "server" else world.start_client()


def host_of(world, role):
    return world.server if role == "server" else world.client


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("role", ["server", "client"])
def test_whichever_is_killed_all_is_undone_within_a_second(world, role, victim):
    if role == "server" and victim == "resolve":
        pytest.skip("a server resolves no names")
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    before = host.snapshot()
    daemon = start(world, role)
    kill(household(daemon)[victim])
    if victim == "resolve":
        daemon.wait_for_output("the resolver is gone: going on")
        assert world.client.ping(INNER["ipv4"]).received == 3
        assert daemon.stop() == 0
    wait_for(lambda: not host.pids(), 1.0, "all of its processes to end")
    host.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_killed_at_any_moment_of_the_start(world, role):
    """Each at a random moment of its first 60 ms, by a seed that is told."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print("seed", seed)
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    before = host.snapshot()
    for _ in range(12):
        command = ["minivpn", role] + (["--remote", "203.0.113.2"] if role == "client" else [])
        daemon = host.start(*command, world.key)
        time.sleep(chance.uniform(0, 0.06))
        victim = chance.choice(list(household(daemon).values()))
        kill(victim)
        if victim != daemon.pid:
            daemon.send_signal(signal.SIGTERM)
        wait_for(lambda: not host.pids(), 2.0, "all of its processes to end")
        host.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_with_all_killed_device_and_firewall_are_gone_at_once_and_the_rest_at_the_next_start(world, role):
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    before = host.snapshot()
    daemon = start(world, role)
    kill_household(daemon)
    left = host.snapshot()
    assert left["links"] == before["links"] and left["nft"] == before["nft"]
    assert not [route for route in left["routes"] if "minivpn0" in route]
    daemon = start(world, role)
    assert "put right what was left behind" in daemon.output()
    if role == "client":
        assert world.client.ping(INNER["ipv4"]).received == 3
    assert daemon.stop() == 0
    host.assert_as_before(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("role", ["server", "client"])
def test_signals_that_end_it(world, role, number):
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    before = host.snapshot()
    daemon = start(world, role)
    start_of_end = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - start_of_end < 1
    host.assert_as_before(before)


def state(pid):
    return open(f"/proc/{pid}/stat", encoding="ascii").read().rpartition(")")[2].split()[0]


def test_whoever_is_stopped_at_its_end_and_goes_on_ends_as_usual(world):
    """As by Ctrl-Z and fg.  The network process takes as long as that."""
    before = world.server.snapshot()
    server = world.start_server()
    network = children(server)["network"]
    os.kill(network, signal.SIGSTOP)
    server.send_signal(signal.SIGTERM)
    wait_for(lambda: pending(network, signal.SIGTERM), what="it to be told to end")
    for _ in range(3):
        server.send_signal(signal.SIGSTOP)
        wait_for(lambda: state(server.pid) == "T", what="it to be stopped")
        server.send_signal(signal.SIGCONT)
        wait_for(lambda: state(server.pid) == "S", what="it to go on")
    os.kill(network, signal.SIGCONT)
    assert server.wait() == 0
    assert "does not end" not in server.output()
    world.server.assert_as_before(before)


def hold(pid):
    """Have a process hang: it runs no more, whatever signal it gets, until it is killed."""
    seize, interrupt = 0x4206, 0x4207
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    for request in (seize, interrupt):
        assert ptrace(request, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(pid, WAIT_FOR_ANY)


@pytest.mark.parametrize("role", ["server", "client"])
def test_one_that_hangs_is_ended_by_down_all_the_same(world, role):
    host = host_of(world, role)
    before = host.snapshot()
    server = world.start_server()
    daemon = world.start_client() if role == "client" else server
    network = children(daemon)["network"]
    hold(network)
    down = host.start("minivpn", "down")
    os.waitpid(network, WAIT_FOR_ANY)   # who holds a process is the first to be told of its end
    assert down.wait(10) == 0 and "killed its network process" in down.output()
    assert daemon.wait() == 1 and "the network process was killed: undoing" in daemon.output()
    host.assert_as_before(before)


def test_a_keeper_that_hangs_is_ended_by_down_all_the_same(world):
    before = world.server.snapshot()
    daemon = world.start_server()
    hold(daemon.pid)
    done = world.server.run("minivpn", "down", check=False)
    assert done.returncode == 0 and "killed its keeper" in done.stderr
    daemon.wait()
    world.server.assert_as_before(before)


@pytest.mark.parametrize("stopped", [*VICTIMS, "all"])
def test_whoever_is_stopped_goes_on_to_be_ended_by_down(world, stopped):
    """As by Ctrl-Z, which stops the keeper."""
    world.start_server()
    before = world.client.snapshot()
    daemon = world.start_client()
    for name, pid in household(daemon).items():
        if stopped in (name, "all"):
            os.kill(pid, signal.SIGSTOP)
    start_of_end = time.monotonic()
    world.client.run("minivpn", "down")
    assert time.monotonic() - start_of_end < 4
    assert daemon.wait() == 0 and "kill" not in daemon.output()
    world.client.assert_as_before(before)


def test_status_of_one_that_is_stopped_says_so(world):
    daemon = world.start_server()
    network = children(daemon)["network"]
    os.kill(network, signal.SIGSTOP)
    wait_for(lambda: state(network) == "T", what="it to be stopped")
    done = world.server.run("minivpn", "status", check=False)
    assert done.returncode == 1
    assert re.search(r"minivpn0 does not answer: it hangs, or somebody has stopped its network process", done.stderr)
    os.kill(network, signal.SIGCONT)
    assert daemon.stop() == 0


def test_sigterm_to_all_of_them_at_once_is_an_ordinary_end(world):
    """As from timeout(1), or from a service manager that stops a whole session."""
    world.start_server()
    before = world.client.snapshot()
    for _ in range(12):
        client = world.start_client()
        os.killpg(client.pid, signal.SIGTERM)
        assert client.wait() == 0
        assert "gone" not in client.output() and "stopped" in client.output()
    world.client.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_ctrl_c_in_the_middle_of_the_start(world, role):
    """A terminal sends it to all of them at once."""
    chance = random.Random()
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    before = host.snapshot()
    for _ in range(10):
        command = ["minivpn", role] + (["--remote", "203.0.113.2"] if role == "client" else [])
        daemon = host.start(*command, world.key)
        time.sleep(chance.uniform(0, 0.05))
        os.killpg(daemon.pid, signal.SIGINT)
        assert daemon.wait(2) in (0, 1, -signal.SIGINT)
        wait_for(lambda: not host.pids(), 1.0, "all of its processes to end")
        assert not re.search("killed|cannot|does not end", daemon.output()), daemon.output()
        host.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_second_instance_is_refused_and_does_no_harm(world, role):
    world.start_server()
    world.start_client()
    host = host_of(world, role)
    during = host.snapshot()
    done = host.run("minivpn", role, world.key, check=False)
    assert done.returncode == 1
    assert re.search("minivpn0 runs already .*--interface-name", done.stderr)
    assert host.snapshot() == during
    assert world.client.ping(INNER["ipv4"]).received == 3


@pytest.mark.parametrize("role", ["server", "client"])
def test_whoever_reads_the_log_may_end_before_us(world, role):
    if role == "client":
        world.start_server()
    host = host_of(world, role)
    before = host.snapshot()
    options = ["--remote", OUTER["ipv4"]] if role == "client" else []
    ours, theirs = os.pipe()
    daemon = subprocess.Popen(host.enter("minivpn", role, "--debug", *options, world.key), stderr=theirs,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    while b"up: minivpn0" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    if role == "server":
        world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3      # each packet is a line
    daemon.terminate()
    assert daemon.wait(5) == 0
    host.assert_as_before(before)


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_nobody_s_to_get(world, closed):
    daemon = world.server.start("sh", "-c", f"exec {shlex.quote(program('minivpn'))} server --debug {world.key} {closed}")
    world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    for pid in household(daemon).values():
        for number in [2] if closed == "2>&-" else [0, 1, 2]:
            assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
    assert daemon.stop() == 0


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_restart_need_not_wait_for_the_end(world, role):
    if role == "client":
        world.start_server()
    for _ in range(3):
        before = start(world, role)
        before.send_signal(signal.SIGTERM)
        after = start(world, role)
        assert before.wait() == 0 and after.stop() == 0


def test_nowhere_to_write_down_what_is_to_be_undone(world):
    server = world.server
    server.run("mount", "-o", "remount,size=16k", "/run")
    server.run("dd", "if=/dev/zero", "of=/run/fill", "bs=1k", check=False)
    before = server.snapshot()
    daemon = server.start("minivpn", "server", world.key)
    assert daemon.wait() == 1
    assert re.search("what is to be undone cannot be written down in /run/minivpn/.*: No space left",
                     daemon.output())
    server.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_room_to_write_it_down_once(world, role):
    """Four directories, the instance's socket and its journal; a server's note of its clients and of its keys."""
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    host.run("mount", "-t", "tmpfs", "-o", f"nr_inodes={6 if role == 'client' else 8}", "tmpfs", "/run")
    before = host.snapshot()
    daemon = start(world, role)
    world.start_client() if role == "server" else None
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    assert daemon.stop() == 0
    assert "cannot" not in daemon.output()
    host.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_device_that_somebody_removes(world, role):
    host = host_of(world, role)
    if role == "client":
        world.start_server()
    before = host.snapshot()
    daemon = start(world, role)
    host.ip("link", "del", "minivpn0")
    assert daemon.wait(2) == 1
    assert "interface minivpn0 is gone: somebody has removed it" in daemon.output()
    host.assert_as_before(before)


def flush(client, *what):
    """ip looks whether anything is left, and complains if all is back already."""
    client.run("ip", *what, check=False)


def flush_table(client):
    table = re.search(r"default dev minivpn0 table (\d+)", client.ip("route", "show", "table", "all"))[1]
    flush(client, "route", "flush", "table", table)


def flush_rules(client):
    """As systemd-networkd does when it starts: all rules that it does not know."""
    for family in ("-4", "-6"):
        client.ip(family, "rule", "flush")
        client.ip(family, "rule", "add", "pref", "32766", "lookup", "main")
    client.ip("-4", "rule", "add", "pref", "32767", "lookup", "default")


def flush_all_but_jumps(client):
    """As systemd-networkd 252 does when it configures a device: it does not know how to delete the others."""
    for family in ("-4", "-6"):
        for rule in client.ip(family, "rule").splitlines():
            if "proto 109" in rule and "goto" not in rule:
                client.ip(family, "rule", "del", "pref", rule.partition(":")[0])


def rename(host, name):
    """Linux 6.1 and older rename no interface that is up."""
    if host.run("ip", "link", "set", "minivpn0", "name", name, check=False).returncode:
        host.run("ip", "-force", "-batch", "-", input=f"link set minivpn0 down\nlink set minivpn0 name {name}\n",
                 check=False)


@pytest.mark.parametrize("take_away", [
    lambda client: rename(client, "other"),
    lambda client: client.ip("link", "set", "minivpn0", "down"),
    lambda client: client.sysctl("net.ipv6.conf.minivpn0.disable_ipv6", 1),
    lambda client: flush(client, "address", "flush", "dev", "minivpn0"),
    flush_table,
    flush_rules,
    flush_all_but_jumps,
], ids=["name", "down", "no IPv6", "addresses", "routes", "rules", "some rules"])
def test_what_leads_into_a_full_tunnel_is_put_back(world, take_away):
    """Otherwise everything would leave beside it while it says that it is up."""
    world.start_server()
    before = world.client.snapshot()
    client = world.start_client()
    during = {part: world.client.snapshot()[part] for part in ("rules", "routes", "addresses")}
    take_away(world.client)
    client.wait_for_output("is put back")
    wait_for(lambda: {part: world.client.snapshot()[part] for part in during} == during, 5,
             "all to be as it was")
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    assert client.stop() == 0
    world.client.assert_as_before(before)


def test_a_server_whose_interface_loses_ipv6_has_it_back(world):
    """As NetworkManager does when networking is switched off, and on again."""
    before = world.server.snapshot()
    server = world.start_server()
    world.start_client()
    world.server.sysctl("net.ipv6.conf.minivpn0.disable_ipv6", 1)
    server.wait_for_output("is put back")
    assert world.client.ping(INNER["ipv6"]).received == 3
    assert "cannot be put back" not in server.output()
    assert server.stop() == 0
    world.server.assert_as_before(before)


def settings_of_interface(host):
    """What a tunnel sets of it; not what the kernel finds out (whether anybody is there) or makes (fe80::)."""
    link = host.run("bash", "-c", "ip -d link show minivpn0; ip link show minivpn0").stdout
    names = ("ipv4.conf.minivpn0.promote_secondaries", "ipv6.conf.minivpn0.disable_ipv6")
    makes_addresses = host.sysctl("net.ipv6.conf.minivpn0.addr_gen_mode") != "1"
    flags = set(re.search("<(.*?)>", link)[1].split(",")) & {"UP", "MULTICAST"}
    return (flags, makes_addresses, re.findall(r"mtu \d+|qlen \d+", link),
            [host.sysctl(f"net.{name}") for name in names],
            re.findall(r"inet6? (?!fe80)\S+", host.ip("address", "show", "dev", "minivpn0")),
            re.findall(r".*proto 109.*", host.ip("route", "show", "table", "all") + host.ip("-6", "route")))


@pytest.mark.parametrize("end", ["stopped", "steward killed", "all killed"])
def test_an_interface_that_was_made_beforehand_is_as_it_was(world, end):
    """It stays when nobody uses it (ip tuntap), with one of the addresses that the tunnel gives it."""
    host = world.client
    world.start_server()
    host.ip("tuntap", "add", "minivpn0", "mode", "tun")
    host.ip("link", "set", "minivpn0", "mtu", 1300, "up")
    host.ip("address", "add", "10.77.0.2/24", "dev", "minivpn0")
    before = settings_of_interface(host)
    client = world.start_client()
    assert settings_of_interface(host) != before
    for address in INNER.values():
        assert host.ping(address).received == 3
    if end == "stopped":
        assert client.stop() == 0
    elif end == "steward killed":
        kill(children(client)["steward"])
        client.wait()
    else:
        kill_household(client)
        assert settings_of_interface(host) != before
        again = world.start_client()
        assert "put right what was left behind" in again.output()
        assert again.stop() == 0
    assert settings_of_interface(host) == before


def test_an_interface_that_was_made_beforehand_with_many_queues(world):
    host = world.server
    host.ip("tuntap", "add", "minivpn0", "mode", "tun", "multi_queue")
    host.sysctl("net.ipv6.conf.minivpn0.disable_ipv6", 1)
    before = settings_of_interface(host)
    server = world.start_server()
    client = world.start_client()
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    assert client.stop() == 0 and server.stop() == 0
    assert settings_of_interface(host) == before


def test_an_interface_that_cannot_have_its_name_back(world):
    world.start_server()
    before = world.client.snapshot()
    client = world.start_client()
    steward = children(client)["steward"]
    os.kill(steward, signal.SIGSTOP)    # else it would be faster than we
    rename(world.client, "other")
    world.client.ip("link", "add", "minivpn0", "type", "bridge")
    os.kill(steward, signal.SIGCONT)
    assert client.wait() == 1
    assert "somebody has renamed minivpn0, and another interface has its name: ending" in client.output()
    world.client.ip("link", "del", "minivpn0")
    world.client.assert_as_before(before)


def test_an_interface_too_small_for_ipv6_does_not_let_it_leave_beside(world):
    """Below an MTU of 1280 Linux takes IPv6 away from an interface, and gives it back as to a new one."""
    world.start_server()
    client = world.start_client()
    during = {part: world.client.snapshot()[part] for part in ("rules", "routes", "addresses")}
    world.client.ip("link", "set", "minivpn0", "mtu", "1000")
    client.wait_for_output("is put back")
    wait_for(lambda: all(set(during[part]) <= set(world.client.snapshot()[part]) for part in during), 5,
             "all to be as it was")
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    assert "beside" not in client.output() and "not everything" not in client.output()


def office_key(world):
    """Of a client with networks behind it."""
    key = world.new_key("office", *KEY)
    with open(key, "a") as file:
        file.write("networks = 192.168.7.0/24, fd07::/64\n")
    return key


def test_networks_behind_clients_survive_a_server_s_interface_set_down(world):
    key = office_key(world)
    before = world.server.snapshot()
    server = world.start_server(key=key)
    during = {part: world.server.snapshot()[part] for part in ("routes", "addresses")}
    assert "192.168.7.0/24 dev minivpn0" in "".join(during["routes"])
    world.server.ip("link", "set", "minivpn0", "down")
    server.wait_for_output("is put back")
    wait_for(lambda: {part: world.server.snapshot()[part] for part in during} == during, 5,
             "all to be as it was")
    world.start_client(key=key)
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert server.stop() == 0
    world.server.assert_as_before(before)


@pytest.mark.parametrize("network", ["192.168.7.0/24", "fd07::/64"])
def test_one_network_behind_a_client_that_somebody_deletes(world, network):
    key = office_key(world)
    before = world.server.snapshot()
    server = world.start_server(key=key)
    during = world.server.snapshot()["routes"]
    world.server.ip("route", "del", network, "dev", "minivpn0")
    server.wait_for_output("is put back")
    wait_for(lambda: world.server.snapshot()["routes"] == during, 5, "all to be as it was")
    assert server.stop() == 0
    world.server.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_routes_of_the_interface_that_somebody_flushes(world, role):
    """All that are in the main table: to the tunnel's own network, which the kernel made, and to those behind."""
    key = office_key(world)
    host = host_of(world, role)
    before = host.snapshot()
    server = world.start_server("--route", "198.51.100.0/24,2001:db8:3::/64", key=key)
    client = world.start_client(key=key)
    during = host.snapshot()["routes"]
    assert "10.77.0.0/24 dev minivpn0" in "".join(during)
    flush(host, "-4", "route", "flush", "dev", "minivpn0")
    flush(host, "-6", "route", "flush", "dev", "minivpn0")
    (server if role == "server" else client).wait_for_output("is put back")
    wait_for(lambda: host.snapshot()["routes"] == during, 5, "all to be as it was")
    for address in ("10.77.0.1", "fd77::1", *INNER.values()):
        assert world.client.ping(address).received == 3
    assert client.stop() == 0 and server.stop() == 0
    host.assert_as_before(before)


@pytest.mark.parametrize("networks, refused", [
    ("203.0.113.1/32", True), ("203.0.113.0/25", True), ("2001:db8:2::/65", True),
    ("203.0.0.0/16", False), ("203.0.113.128/25", False)])
def test_networks_that_would_cut_the_server_off(world, networks, refused):
    """One slip in a key file, and nobody could come and mend it."""
    key = world.new_key("office", *KEY)
    with open(key, "a") as file:
        file.write(f"networks = 192.168.7.0/24, {networks}\n")
    before = world.server.snapshot()
    server = world.server.start("minivpn", "server", key)
    if refused:
        assert server.wait() == 1
        assert f"networks has {networks}, to which there can be no route: this host's own gateway is in it" in server.output()
    else:
        server.wait_for_output("up: minivpn0")
    for address in ("203.0.113.1", "2001:db8:2::1"):
        assert world.server.ping(address).received == 3
    server.stop()
    world.server.assert_as_before(before)


def test_a_firewall_that_somebody_flushes(world):
    world.start_server()
    world.start_client()
    for host in (world.server, world.client):
        table = host.run("nft", "list", "ruleset").stdout
        assert "minivpn-minivpn0" in table
        host.run("nft", "flush", "ruleset")
        assert "minivpn-minivpn0" in host.run("nft", "list", "ruleset").stdout
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert world.client.ping(INNER["ipv6"]).received == 3


def test_killed_server_with_its_note_comes_back_to_its_clients(world):
    """kill -9 of the whole server, and a client that sends nothing: the server calls it."""
    server = world.start_server()
    client = world.start_client("--keepalive", "0")
    assert world.client.ping(INNER["ipv4"]).received == 3
    time.sleep(1.5)  # where clients are is written down within a second
    pids = household(server).values()
    for pid in pids:
        kill(pid)
    server.wait()
    wait_for(lambda: all(map(has_ended, pids)), 1.0, "all of its processes to end")
    world.start_server()
    took = time.monotonic()
    wait_for(lambda: world.server.ping("10.77.0.2", count=1, timeout=0.2).received, 5)
    assert time.monotonic() - took < 5
    assert client.running()


def test_restarts_of_either_side_are_survived(world):
    server = world.start_server()
    client = world.start_client()
    assert client.stop() == 0
    client = world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    pids = household(server).values()
    server.kill()
    wait_for(lambda: all(map(has_ended, pids)), 1.0, "all of its processes to end")
    world.start_server()
    assert seconds_until_answered(world.client, INNER["ipv4"]) < 7
