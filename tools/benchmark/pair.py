# SPDX-License-Identifier: GPL-2.0-or-later
"""Two machines on one wire, each on a processor core of its own."""

import re
import time
from pathlib import Path

CLIENT_CORE, SERVER_CORE = 0, 1
CLIENT, SERVER = "192.0.2.2", "192.0.2.1"
INNER_CLIENT, INNER_SERVER = "10.99.0.2", "10.99.0.1"

WIRES = {
    "veth": "super-packets of 64 KiB pass whole",
    "nic": "segmented on the way out, merged on the way in, as real cards and drivers do",
    "wire": "packets of 1,500 bytes, each received by itself",
}


class End:
    """One machine: its host in the lab, its core, and the processes of the tunnel's daemon."""

    def __init__(self, host, core):
        self.host, self.core = host, core
        self.daemons = []

    def run(self, *command, **options):
        return self.host.run("taskset", "-c", self.core, *command, **options)

    def start(self, *command, **options):
        return self.host.start("taskset", "-c", self.core, *command, **options)

    def daemon(self, *command, pinned=True, **options):
        """Start a program whose cost is the tunnel's; not @pinned, it has every core."""
        process = (self.start if pinned else self.host.start)(*command, **options)
        self.daemons.append(process)
        return process

    def said(self):
        """What the daemons have printed, for when something is wrong."""
        return "".join(process.output() for process in self.daemons)

    def stop(self):
        """End the daemons; whatever else runs here ends with the lab."""
        for process in self.daemons:
            if process.running():
                process.stop(timeout=10)
        self.daemons = []

    def _pids(self):
        """The daemons and all their descendants."""
        wanted = {process.pid for process in self.daemons}
        alive = self.host.pids()
        for _ in range(4):      # no daemon has more generations
            wanted |= {pid for pid in alive if _parent(pid) in wanted}
        return [pid for pid in alive if pid in wanted]

    def cpu_seconds(self):
        """Processor time of the daemons so far, by the scheduler's own count of nanoseconds."""
        total = 0
        for pid in self._pids():
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(_read(task).split()[0] or 0)
        return total / 1e9

    def memory(self):
        """Resident memory of the daemons in MiB: (the largest of its processes, all of them with
        what they share divided among those who share it)."""
        resident, shared = [0], 0
        for pid in self._pids():
            found = re.search(r"^VmRSS:\s+(\d+)", _read(f"/proc/{pid}/status"), re.M)
            resident.append(int(found.group(1)) if found else 0)
            found = re.search(r"^Pss:\s+(\d+)", _read(f"/proc/{pid}/smaps_rollup"), re.M)
            shared += int(found.group(1)) if found else 0
        return max(resident) / 1024, shared / 1024


def _read(path):
    try:
        return Path(path).read_text()
    except OSError:     # it has just ended
        return "0"


def _parent(pid):
    found = re.search(r"^PPid:\s+(\d+)", _read(f"/proc/{pid}/status"), re.M)
    return int(found.group(1)) if found else 0


class Pair:
    """Client and server on a wire, ready for a tunnel.

    target: the address that the benchmark sends to; a tunnel's once there is one
    """

    def __init__(self, lab, name, wire):
        self.lab = lab
        client, server = lab.hosts(f"{name}c", f"{name}s")
        self.client, self.server = End(client, CLIENT_CORE), End(server, SERVER_CORE)
        link = lab.link(client, f"{CLIENT}/24", server, f"{SERVER}/24")
        if wire != "veth":
            link.as_wire(gro=wire == "nic")
        self.target = SERVER
        self.folder = lab.folder / f"bench-{name}"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        if not client.ping(SERVER).received:
            raise RuntimeError(f"{name}: nothing passes the bare wire")

    def ends(self):
        return self.client, self.server

    def file(self, name, text, mode=0o600):
        """Write a file for a daemon; returns its path."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def overlay(self, folder):
        """Let both machines find programs and libraries that were unpacked beside the system."""
        for end in self.ends():
            end.host.overlay(folder)

    def devices(self, name, mtu=1420):
        """Give both ends of a tunnel their inner addresses, once its devices are there."""
        for end, address in ((self.client, INNER_CLIENT), (self.server, INNER_SERVER)):
            _await_device(end.host, name)
            end.host.ip("link", "set", name, "mtu", mtu)
            end.host.address(name, f"{address}/24")
        self.target = INNER_SERVER


def _await_device(host, name):
    for _ in range(300):
        if host.run("ip", "link", "show", name, check=False).returncode == 0:
            return
        time.sleep(0.01)
    raise RuntimeError(f"{host.name}: no device {name}")
