# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of the benchmark: all contenders side by side on one wire after the other."""

import json
import os
import platform
import subprocess
import sys
import time

from lab import Lab

from benchmark import builds, measures
from benchmark.contenders import Minivpn
from benchmark.pair import WIRES, Pair


class Run:
    """What was asked for, and what came out.

    results: wire -> measure -> contender -> list of dictionaries, one a round
    """

    def __init__(self, contenders, wires, only, rounds, seconds):
        self.contenders, self.wires, self.only = contenders, wires, only
        self.rounds, self.seconds = rounds, seconds
        self.results = {wire: {} for wire in wires}
        self.failures = []

    def do(self):
        for wire in self.wires:
            say(f"\n{wire}: {WIRES[wire]}")
            with Lab() as lab:
                self._wire(lab, wire)

    def _wire(self, lab, wire):
        running = []
        for number, contender in enumerate(self.contenders):
            pair = self._set_up(lab, wire, number, contender)
            if pair:
                running.append((contender, pair))
        for turn in range(self.rounds):
            for name in self._measures(wire, turn):
                for contender, pair in running:
                    if contender.measured is None or name in contender.measured:
                        self._measure(wire, name, contender, pair)
        for _, pair in running:
            for end in pair.ends():
                end.stop()

    def _set_up(self, lab, wire, number, contender):
        """Start a contender; None if it does not get going, which ends nothing else."""
        pair = None
        try:
            pair = Pair(lab, f"b{number}", wire)
            contender.prepare(pair)
            contender.start_server(pair)
            measures.serve(pair)
            self._keep(wire, "start", contender, measures.start(pair, contender))
            return pair
        except (Exception, SystemExit) as why:  # pylint: disable=broad-except
            said = "".join(end.said() for end in pair.ends()) if pair else ""
            self._failed(wire, "start", contender, f"{why}\n{said}")
            return None

    def _measures(self, wire, turn):
        for name in measures.ALL:
            if self.only and name not in self.only:
                continue
            if turn and name not in measures.IN_EVERY_ROUND:
                continue
            if wire != "veth" and name not in measures.EVERYWHERE and not self.only:
                continue
            yield name

    def _measure(self, wire, name, contender, pair):
        try:
            found = measures.ALL[name](pair, self.seconds)
        except Exception as why:  # pylint: disable=broad-except
            self._failed(wire, name, contender, why)
            return
        self._keep(wire, name, contender, found)
        say(f"  {name:8} {contender.name:18} " +
            "  ".join(f"{key} {value:.4g}" for key, value in found.items() if value is not None))

    def _keep(self, wire, name, contender, found):
        self.results[wire].setdefault(name, {}).setdefault(contender.name, []).append(found)

    def _failed(self, wire, name, contender, why):
        self.failures.append(f"{wire}, {name}, {contender.name}: {why}")
        say(f"  {name:8} {contender.name:18} FAILED: {str(why).strip()[-600:]}")

    def as_json(self):
        return {"machine": machine(), "workers": Minivpn.workers, "seconds": self.seconds, "rounds": self.rounds,
                "versions": {one.name: one.version() for one in self.contenders},
                "aead": aead_figures(), "results": self.results, "failures": self.failures}


def aead_figures():
    """ns a packet of 1,424 bytes by AEAD back-end and direction, without any I/O."""
    done = subprocess.run(["taskset", "-c", "0", builds.program("ordinary", "minivpn-bench"),
                           "--json", "--only", "aead"], capture_output=True, text=True, check=False)
    if done.returncode:
        return {}
    return {one["subject"]: one["value"] for one in json.loads(done.stdout)["figures"]
            if one["bytes"] == 1424 and one["unit"] == "ns/packet"}


def machine():
    """What this was measured on."""
    processor = "?"
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    commit = subprocess.run(["git", "-C", builds.SOURCE, "describe", "--always", "--dirty"],
                            capture_output=True, text=True, check=False).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d"), "processor": processor, "cores": os.cpu_count(),
            "kernel": platform.release(), "commit": commit, "load": os.getloadavg()[0]}


def say(text):
    print(text, file=sys.stderr, flush=True)
