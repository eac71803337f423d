# SPDX-License-Identifier: GPL-2.0-or-later
"""Many packets at once that cannot be joined into one: the way by a ring of requests to the device.

The receiving process is stopped while they are sent, so that it finds them all in its socket.
"""

import contextlib
import os
import re
import signal

import pytest

from four_machines import INNER, children
from lab import wait_for

PACKETS = 300       # of all flows together; more than the ring has room for at once
FLOWS = 6
PAYLOAD_BYTES = 300     # in the mean
KERNEL = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())

# Sends numbered datagrams without a checksum, which nobody may join, each flow's in its order.
SEND = """
import socket, sys
address, flows, packets = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SO_NO_CHECK = 11
sockets = []
for flow in range(flows):
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[-1].setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sockets[-1].connect((address, 9000 + flow))
for number in range(packets):
    sockets[number % flows].send(b"%d" % number + bytes(number % 7 * 100))
"""

# Prints what came to each port, in the order it came, once all is there or nothing more comes.
RECEIVE = """
import select, socket, sys
flows, packets = int(sys.argv[1]), int(sys.argv[2])
sockets = []
for flow in range(flows):
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[-1].bind(("", 9000 + flow))
print("ready", flush=True)
seen = [[] for _ in sockets]
while sum(map(len, seen)) < packets:
    ready, _, _ = select.select(sockets, [], [], 10)
    if not ready:
        break
    for one in ready:
        seen[sockets.index(one)].append(int(one.recv(2000).rstrip(b"\\0")))
print("came:", seen, flush=True)
"""


def rings(pid):
    """How many rings of io_uring a process has."""
    found = 0
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += "io_uring" in os.readlink(f"/proc/{pid}/fd/{number}")
    return found


def may_use_rings():
    """Has the administrator left io_uring on?"""
    try:
        return open("/proc/sys/kernel/io_uring_disabled", encoding="ascii").read().strip() == "0"
    except FileNotFoundError:       # before Linux 6.6 there is no switch
        return True


def waiting_bytes(world):
    """What waits in the server's socket for packets."""
    [line] = world.server.run("ss", "-Huan", "sport = :4500").stdout.splitlines()
    return int(line.split()[1])


@pytest.mark.skipif(KERNEL < (6, 1) or not may_use_rings(),
                    reason="this kernel has no io_uring for the daemon")
def test_a_burst_arrives_whole_and_in_order(world):
    before = world.server.snapshot()
    server, client = world.start_server(), world.start_client()
    network = children(server)["network"]
    receiver = world.web.start("/usr/bin/python3", "-c", RECEIVE, FLOWS, PACKETS)
    receiver.wait_for_output("ready")
    os.kill(network, signal.SIGSTOP)
    world.client.run("/usr/bin/python3", "-c", SEND, INNER["ipv4"], FLOWS, PACKETS)
    wait_for(lambda: waiting_bytes(world) > PACKETS * PAYLOAD_BYTES, what="packets in the server's socket")
    os.kill(network, signal.SIGCONT)
    came = receiver.wait_for_output(r"came: (.*)", timeout=15).group(1)
    assert came == str([list(range(flow, PACKETS, FLOWS)) for flow in range(FLOWS)])
    assert rings(network) == 1
    assert client.stop() == 0 and server.stop() == 0
    world.server.assert_as_before(before)
