# SPDX-License-Identifier: GPL-2.0-or-later
"""Many clients on one server: it works, and what it costs (run with -s to see the figures).

The clients are engines in one process (hub_clients.c), each with a socket of its own; the server is the
real one.  Figures of time are the server's processor time, so that they mean something on a busy
machine too; bounds are several times what was measured, to catch a square where a line should be.
"""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from hub import SERVER, Hub
from lab import BUILD, wait_for

CLIENTS = 1000
FROM = "198.18.0.1"     # of the first client; the others follow (RFC 2544's addresses, for such as this)
PATIENCE = 60   # seconds for what takes a fraction of that: what is measured is not how long it takes
RESTED = 3      # seconds after which a file's times tell whether it has changed since


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(name="world")
def server_and_lan(lab):
    return Hub(lab)


def helper(host, *words):
    return host.enter(BUILD / "tests/netns/hub-clients", *words)


def network_process(daemon):
    """The process of a server that reads the network: the one that is nobody."""
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and re.search(rf"^Name:\s*minivpn-network$.*^PPid:\s*{daemon.pid}$",
                                           open(f"/proc/{pid}/status").read(), re.M | re.S):
                return int(pid)
        except OSError:
            continue
    raise AssertionError("no network process")


def cpu_seconds(pid):
    user, system = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    return int(re.search(r"^VmRSS:\s*(\d+)", open(f"/proc/{pid}/status").read(), re.M).group(1)) * 1024


def serve(world, keys):
    subprocess.run(helper(world.server, "make", world.keys, keys), check=True, timeout=60)
    daemon = world.server.start("minivpn", "server", "--address", "10.64.0.1/10", world.keys)
    daemon.wait_for_output("up: minivpn0", timeout=PATIENCE)
    return daemon, network_process(daemon)


def strangers(world):
    """A machine to which all addresses belong that clients may come from."""
    many = world.machine("many")
    many.ip("route", "add", "local", "198.18.0.0/15", "dev", "lo")
    world.server.ip("route", "add", "198.18.0.0/15", "via", "203.0.113.2")
    return many


@pytest.mark.parametrize("keys", [CLIENTS, 10 * CLIENTS])
def test_a_thousand_clients(world, keys):
    daemon, pid = serve(world, keys)
    many = strangers(world)
    memory, cpu = resident_bytes(pid), cpu_seconds(pid)
    clients = subprocess.Popen(helper(many, "connect", world.keys, f"{SERVER}:4500", CLIENTS,
                                      FROM),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        report = json.loads(clients.stdout.readline())
        assert report["up"] == CLIENTS
        each = (resident_bytes(pid) - memory) / CLIENTS
        # To a server a client is there when it was heard in its session.
        wait_for(lambda: sum(peer["up"] for peer in world.status()["peers"]) == CLIENTS, PATIENCE,
                 "all of them to be heard", every=0.5)
        spent = cpu_seconds(pid) - cpu
        peers = world.status()["peers"]
        assert len(peers) == keys
        handshakes = sum(peer["handshakes"] for peer in peers)
        print(f"\n{keys} keys: {CLIENTS} clients up in {report['seconds']:.2f} s; {handshakes} handshakes,"
              f" {spent / handshakes * 1e6:.0f} us of processor time each; {each:.0f} bytes each")
        assert each < 16 << 10
        assert spent / handshakes < 5e-3
    finally:
        clients.stdin.close()
        clients.wait(timeout=10)
    assert daemon.running()


def test_a_reload_among_ten_thousand_keys(world):
    daemon, pid = serve(world, 10 * CLIENTS)
    made = time.monotonic()
    alice = world.machine("alice")
    world.connect(alice, world.invite("alice", "--endpoint", SERVER), "--route", "10.64.0.0/10")
    time.sleep(max(0, made + RESTED - time.monotonic()))
    world.server.run("minivpn", "reload")   # those that had no stamp when it started are read again
    pings = alice.start("ping", "-n", "-i", "0.002", "10.64.0.1")
    pings.wait_for_output("time=")
    took, busy = [], []
    for number in range(3):
        subprocess.run(world.server.enter("minivpn-keygen", f"extra{number}", "--address",
                                          f"10.120.0.{number + 1}/10", "--out",
                                          world.keys / f"extra{number}.key"), check=True)
        cpu, start = cpu_seconds(pid), time.monotonic()
        assert "1 added, 0 changed, 0 removed" in world.server.run("minivpn", "reload").stdout
        took.append(time.monotonic() - start)
        busy.append(cpu_seconds(pid) - cpu)
    time.sleep(1)
    pings.stop(signal.SIGINT)
    answers = re.findall(r"icmp_seq=(\d+) .* time=([\d.]+) ms", pings.output())
    longest = max(float(took_ms) for _, took_ms in answers)
    print(f"\nreload of 10,000 keys with one added: {min(took) * 1e3:.0f} ms for the whole command, the server"
          f" busy for {min(busy) * 1e3:.0f} ms; longest round trip meanwhile {longest:.1f} ms")
    # Whoever counts finds none missing, but for one that may be under way when it ends.
    assert sorted(int(number) for number, _ in answers) == list(range(1, len(answers) + 1))
    assert min(took) < 0.3 and min(busy) < 0.1
    assert daemon.running()
