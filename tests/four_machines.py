# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab that most end-to-end tests of the daemons happen in: four machines, and the two daemons.

      192.0.2.2          192.0.2.1   203.0.113.1        203.0.113.2  198.51.100.1      198.51.100.2
    +--------+             +--------+                     +--------+                     +-----+
    | client |-------------| router |---------------------| server |---------------------| web |
    +--------+             +--------+                     +--------+                     +-----+
      2001:db8:1::2      2001:db8:1::1  2001:db8:2::1   2001:db8:2::2  2001:db8:3::1   2001:db8:3::2

The web host has no route back to the client: what arrives there bears the server's address.
"""

import os
import re
import time

from lab import program, wait_for

KEY = ("--address", "10.77.0.2/24,fd77::2/64")
INNER = {"ipv4": "198.51.100.2", "ipv6": "2001:db8:3::2"}
OUTER = {"ipv4": "203.0.113.2", "ipv6": "2001:db8:2::2"}


class World:
    """The four machines, and how the two daemons are started."""

    def __init__(self, lab):
        self.client, self.router, self.server, self.web = lab.hosts("client", "router", "server", "web")
        self.lan = lab.link(self.client, "192.0.2.2/24 2001:db8:1::2/64",
                            self.router, "192.0.2.1/24 2001:db8:1::1/64")
        self.wan = lab.link(self.router, "203.0.113.1/24 2001:db8:2::1/64",
                            self.server, "203.0.113.2/24 2001:db8:2::2/64")
        lab.link(self.server, "198.51.100.1/24 2001:db8:3::1/64",
                 self.web, "198.51.100.2/24 2001:db8:3::2/64")
        self.router.forward()
        self.default_route(self.client, "192.0.2.1", "2001:db8:1::1")
        self.default_route(self.server, "203.0.113.1", "2001:db8:2::1")
        self.key = self.new_key("laptop", *KEY)

    @staticmethod
    def default_route(host, ipv4, ipv6):
        host.route("default", via=ipv4)
        host.route("default", via=ipv6)

    def new_key(self, name, *options):
        path = self.client.lab.new_path(name, ".key")
        self.client.run("minivpn-keygen", name, *options, "--endpoint", OUTER["ipv4"], "--out", path)
        return path

    def fast_clock(self, speed):
        """The environment in which a program's clock runs @speed times as fast (fast_clock.c)."""
        if speed == 1:
            return {}
        # The loader parts what it is to load at blanks, which the path of a build may have.
        link = self.client.lab.folder / "fast-clock.so"
        if not link.exists():
            link.symlink_to(program("fast-clock.so"))
        return {"LD_PRELOAD": str(link), "FAST_CLOCK": str(speed)}

    def start_server(self, *options, key=None):
        daemon = self.server.start("minivpn", "server", *options, key or self.key)
        daemon.wait_for_output(r"up: minivpn0")
        return daemon

    def start_client(self, *options, remote=OUTER["ipv4"], key=None, up=True):
        daemon = self.client.start("minivpn", "client", *options, "--remote", remote, key or self.key)
        if up:
            daemon.wait_for_output(r"up: minivpn0")
        return daemon


def children(daemon):
    """The processes of a daemon by their names: network, steward, resolve."""
    found = {}
    for pid in os.listdir("/proc"):
        try:
            status = open(f"/proc/{pid}/status").read() if pid.isdigit() else ""
        except OSError:
            continue
        if re.search(rf"^PPid:\s*{daemon.pid}$", status, re.MULTILINE):
            found[re.search(r"^Name:\s*(?:minivpn-)?(.*)", status).group(1)] = int(pid)
    return found


def seconds_until_answered(host, address, timeout=20.0):
    start = time.monotonic()
    wait_for(lambda: host.ping(address, count=1, timeout=0.2).received, timeout, f"an answer of {address}")
    return time.monotonic() - start
