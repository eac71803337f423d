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
import subprocess

SERVER = "203.0.113.1"


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
