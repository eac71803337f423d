# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured of a contender once it runs: each function takes a Pair and gives a dictionary."""

import json
import time

from benchmark import builds
from benchmark.pair import INNER_SERVER

IPERF_PORT, ECHO_PORT, SINK_PORT = 5201, 7000, 7001
LOSS_ALLOWED = 0.01
STEADY_RATE = 300_000       # packets a second, for the cost of small packets


def _load():
    return builds.program("ordinary", "bench-load")


def serve(pair):
    """What has to listen on the server, from the first measurement to the last."""
    pair.server.start("iperf3", "--server", "--port", IPERF_PORT).wait_for_output("", timeout=1)
    pair.server.start(_load(), "echo", ECHO_PORT).wait_for_output("ready")


def start(pair, contender):
    """Start the client; how long until its first packet is answered."""
    target = INNER_SERVER if contender.tunnel else pair.target
    first = pair.client.start(_load(), "first", target, ECHO_PORT, 15)
    began = time.monotonic()
    contender.start_client(pair)
    answer = json.loads(first.wait_for_output(r"^\{.*\}", timeout=20).group(0))["answered_at_s"]
    if answer is None:
        raise RuntimeError("no answer through the tunnel")
    return {"ms": (answer - began) * 1000}


class _Cost:
    """Processor time of both daemons while something is measured."""

    def __init__(self, pair):
        self._pair = pair
        self._before = [end.cpu_seconds() for end in pair.ends()]

    def taken(self):
        return [end.cpu_seconds() - before
                for end, before in zip(self._pair.ends(), self._before)]


def tcp(pair, seconds, streams=1, reverse=False, both=False):
    """TCP throughput, cubic."""
    words = ["--parallel", streams] if streams > 1 else []
    words += ["--reverse"] if reverse else []
    words += ["--bidir"] if both else []
    cost = _Cost(pair)
    done = pair.client.run("iperf3", "--json", "--client", pair.target, "--port", IPERF_PORT,
                           "--congestion", "cubic", "--interval", 0, "--time", seconds, *words,
                           timeout=seconds + 30)
    client_s, server_s = cost.taken()
    end = json.loads(done.stdout)["end"]
    received = [end[name] for name in ("sum_received", "sum_received_bidir_reverse") if name in end]
    sent = [end[name] for name in ("sum_sent", "sum_sent_bidir_reverse") if name in end]
    gigabytes = sum(one["bytes"] for one in received) / 1e9
    sender_s, receiver_s = (server_s, client_s) if reverse else (client_s, server_s)
    memory = [end.memory() for end in pair.ends()]
    return {
        "gbit_s": sum(one["bits_per_second"] for one in received) / 1e9,
        "retransmits": sum(one.get("retransmits", 0) for one in sent),
        "sender_s_gb": sender_s / gigabytes,
        "receiver_s_gb": receiver_s / gigabytes,
        "both_s_gb": (sender_s + receiver_s) / gigabytes,
        "resident_mib": max(resident for resident, _ in memory),
        "proportional_mib": max(shared for _, shared in memory),
    }


def udp_at(pair, size, rate, seconds):
    """UDP packets of @size bytes (IP and all) at a rate: what arrived, and the daemons' cost."""
    sink = pair.server.start(_load(), "receive", SINK_PORT, int(seconds) + 4)
    sink.wait_for_output("ready")
    cost = _Cost(pair)
    done = pair.client.run(_load(), "send", pair.target, SINK_PORT, size, rate, seconds,
                           timeout=seconds + 20)
    sent = json.loads(done.stdout)
    received = json.loads(sink.wait_for_output(r"^\{.*\}", timeout=seconds + 10).group(0))["received"]
    taken = sum(cost.taken())
    return {
        "sent_kpps": sent["sent"] / sent["seconds"] / 1e3,
        "kpps": received / sent["seconds"] / 1e3,
        "loss": 1 - received / sent["sent"] if sent["sent"] else 1,
        "us_packet": taken / received * 1e6 if received else None,
    }


def udp(pair, size, seconds):
    """The highest rate at which no more than one packet in a hundred is lost."""
    best = {"kpps": 0, "loss": 1, "sent_kpps": 0, "us_packet": None}
    low, high, rate = 0, None, 100_000
    for _ in range(9):
        found = udp_at(pair, size, rate, seconds)
        saturated = found["sent_kpps"] * 1e3 < 0.9 * rate
        if found["loss"] <= LOSS_ALLOWED:
            if found["kpps"] > best["kpps"]:
                best = found
            low = rate
            if saturated:       # the sender can give no more
                break
        else:
            high = min(rate, found["sent_kpps"] * 1e3)
        if high and high < 1.06 * low:
            break
        rate = (low + high) / 2 if high else 2 * rate
    return best


def idle(pair):
    """Round trip of a small packet with nothing else under way."""
    return _pings(pair, 5000, 0)


def loaded(pair, seconds):
    """Round trip while one TCP stream takes all it can get."""
    bulk = pair.client.start("iperf3", "--client", pair.target, "--port", IPERF_PORT,
                             "--congestion", "cubic", "--interval", 0, "--time", seconds + 1)
    time.sleep(0.5)
    answer = _pings(pair, int(seconds * 250), 2000)
    bulk.wait(timeout=seconds + 20)
    return answer


def _pings(pair, count, every_us):
    done = pair.client.run(_load(), "pings", pair.target, ECHO_PORT, count, every_us, timeout=60)
    return json.loads(done.stdout)


# By the name that --only knows; each is called with the pair and the seconds of one run.
ALL = {
    "tcp": tcp,
    "tcp4": lambda pair, seconds: tcp(pair, seconds, streams=4),
    "reverse": lambda pair, seconds: tcp(pair, seconds, reverse=True),
    "both": lambda pair, seconds: tcp(pair, seconds, both=True),
    "idle": lambda pair, seconds: idle(pair),
    "loaded": loaded,
    "steady": lambda pair, seconds: udp_at(pair, 64, STEADY_RATE, seconds),
    "udp64": lambda pair, seconds: udp(pair, 64, min(seconds, 1)),
    "udp512": lambda pair, seconds: udp(pair, 512, min(seconds, 1)),
    "udp1400": lambda pair, seconds: udp(pair, 1400, min(seconds, 1)),
}
# What varies most is measured in every round, what takes long once.
IN_EVERY_ROUND = ("tcp", "tcp4", "reverse", "both", "idle", "loaded", "steady")
EVERYWHERE = ("tcp", "idle", "loaded", "udp64")     # on all wires; the others on veth only
