# SPDX-License-Identifier: GPL-2.0-or-later
"""A server with a folder of keys, and clients on its LAN, for end-to-end tests of a hub.

    +-------+
    | alice |----+
    +-------+    |    +--------+
                 +----| server |   203.0.113.1; clients have 203.0.113.2, .3 ...
    +-------+    |    +--------+
    |  bob  |----+
    +-------+
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from lab import BUILD, wait_for

SERVER = "203.0.113.1"
FIRST_STRANGER = "198.18.0.1"   # the others follow (RFC 2544's addresses, which are for such as this)
PATIENCE = 60   # seconds for what takes a fraction of that: what is measured is not how long it takes
RESTED = 3      # seconds after which a file's times tell whether it has changed since


class Hub:
    """A server with a folder of keys, and as many clients as the test wants, all on one LAN."""

    def __init__(self, lab):
        self.lab = lab
        self.lan = lab.switch("lan")
        self.server = lab.host("server")
        lab.link(self.server, f"{SERVER}/24 2001:db8::1/64", self.lan, "")
        self.keys = lab.folder / "keys"
        self.keys.mkdir(mode=0o700)
        self.clients = 0

    def machine(self, name):
        """One more machine on the LAN."""
        self.clients += 1
        host = self.lab.host(name)
        self.lab.link(host, f"203.0.113.{self.clients + 1}/24", self.lan, "")
        return host

    def keygen(self, name, *options):
        self.server.run("minivpn-keygen", name, "--keys", self.keys, "--endpoint", SERVER, *options)
        return self.keys / f"{name}.key"

    def start(self, *options):
        daemon = self.server.start("minivpn", "server", *options, self.keys)
        daemon.wait_for_output(r"up: minivpn0")
        return daemon

    def invite(self, name, *options):
        return self.server.run("minivpn", "invite", name, *options).stdout

    def connect(self, host, invite, *options):
        """Start a client with an invite, which it reads from its standard input."""
        daemon = host.start("minivpn", "client", *options, "-", stdin=subprocess.PIPE)
        daemon.stdin.write(invite.encode())
        daemon.stdin.close()
        daemon.wait_for_output(r"up: minivpn0")
        return daemon

    def status(self):
        return json.loads(self.server.run("minivpn", "status", "--json").stdout)["tunnels"][0]

    def peer(self, name):
        return next((p for p in self.status()["peers"] if p["name"] == name), None)


class Crowd:
    """A server with many keys, and engines in one process (netns/hub_clients.c) for clients of it.

    Each client has a socket and an address of its own; the server is the real one.
    """

    def __init__(self, lab, keys):
        self.hub = Hub(lab)
        self.keys = keys
        self._clients = None
        subprocess.run(self._helper(self.hub.server, "make", self.hub.keys, keys), check=True,
                       timeout=60)
        made = time.monotonic()
        self.daemon = self.hub.server.start("minivpn", "server", "--address", "10.64.0.1/10",
                                            self.hub.keys)
        self.daemon.wait_for_output("up: minivpn0", timeout=PATIENCE)
        self.start_s = time.monotonic() - made
        self.rested_at = made + RESTED
        self.pid = self._network_process()

    @staticmethod
    def _helper(host, *words):
        return host.enter(BUILD / "tests/netns/hub-clients", *words)

    def _network_process(self):
        """The process of the server that reads the network: the one that is nobody."""
        for pid in os.listdir("/proc"):
            try:
                if pid.isdigit() and re.search(
                        rf"^Name:\s*minivpn-network$.*^PPid:\s*{self.daemon.pid}$",
                        Path(f"/proc/{pid}/status").read_text(), re.M | re.S):
                    return int(pid)
            except OSError:
                continue
        raise AssertionError("no network process")

    def cpu_seconds(self):
        """Processor time of that process so far, by the scheduler's own count of nanoseconds."""
        return sum(int(task.read_text().split()[0])
                   for task in Path(f"/proc/{self.pid}/task").glob("*/schedstat")) / 1e9

    def resident_bytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s*(\d+)", status, re.M).group(1)) * 1024

    def connect(self, clients):
        """Connect so many, spread over all keys, all at once.

        Returns seconds until the last one was up, bytes of resident memory each, and for each handshake
        the seconds of processor time that it cost the server.
        """
        many = self.hub.machine("many")
        many.ip("route", "add", "local", "198.18.0.0/15", "dev", "lo")
        self.hub.server.ip("route", "add", "198.18.0.0/15", "via", f"203.0.113.{self.hub.clients + 1}")
        memory, cpu = self.resident_bytes(), self.cpu_seconds()
        self._clients = subprocess.Popen(
            self._helper(many, "connect", self.hub.keys, f"{SERVER}:4500", clients, FIRST_STRANGER),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        report = json.loads(self._clients.stdout.readline())
        assert report["up"] == clients
        time.sleep(0.2)     # the last of them has yet to be heard
        spent, memory = self.cpu_seconds() - cpu, self.resident_bytes() - memory
        # To a server a client is there when it was heard in its session.
        wait_for(lambda: sum(peer["up"] for peer in self.hub.status()["peers"]) == clients, PATIENCE,
                 "all of them to be heard", every=0.5)
        handshakes = sum(peer["handshakes"] for peer in self.hub.status()["peers"])
        return report["seconds"], memory / clients, spent / handshakes

    def disconnect(self):
        if self._clients:
            self._clients.stdin.close()
            self._clients.wait(timeout=20)
            self._clients = None

    def longest_gap_ms(self, pinging_host, work):
        """The longest round trip of a ping sent each millisecond, while @work() is done: a packet waits for
        as long as the server pauses."""
        pings = pinging_host.start("ping", "-n", "-i", "0.001", "10.64.0.1")
        pings.wait_for_output("time=")
        work()
        time.sleep(0.5)
        pings.stop(signal.SIGINT)
        answers = re.findall(r"icmp_seq=(\d+) .* time=([\d.]+) ms", pings.output())
        # Whoever counts finds none missing, but for one that may be under way when it ends.
        assert sorted(int(number) for number, _ in answers) == list(range(1, len(answers) + 1))
        return max(float(took_ms) for _, took_ms in answers)
