# SPDX-License-Identifier: GPL-2.0-or-later
"""Many packets at once, sent while the process that is to take them is stopped: all of them wait, and
arrive in order, each flow by itself.

They bear no checksum, so that nobody may join them, and each is written to the device alone.
"""

import contextlib
import os
import re
import signal

import pytest

from four_machines import INNER, children
from lab import wait_for

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
SO_RCVBUFFORCE = 33
sockets = []
for flow in range(flows):
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[-1].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
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


def start_receiver(world, flows, packets):
    receiver = world.web.start("/usr/bin/python3", "-c", RECEIVE, flows, packets)
    receiver.wait_for_output("ready")
    return receiver


def send(world, flows, packets):
    world.client.run("/usr/bin/python3", "-c", SEND, INNER["ipv4"], flows, packets)


def assert_all_came(receiver, flows, packets):
    came = receiver.wait_for_output(r"came: (.*)", timeout=15).group(1)
    assert came == str([list(range(flow, packets, flows)) for flow in range(flows)])


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
def test_what_waited_in_the_socket_is_written_by_a_ring(world):
    flows, packets = 6, 300     # more than the ring has room for at once
    before = world.server.snapshot()
    server, client = world.start_server(), world.start_client()
    network = children(server)["network"]
    receiver = start_receiver(world, flows, packets)
    os.kill(network, signal.SIGSTOP)
    send(world, flows, packets)
    wait_for(lambda: waiting_bytes(world) > packets * 300, what="packets in the server's socket")
    os.kill(network, signal.SIGCONT)
    assert_all_came(receiver, flows, packets)
    assert rings(network) == 1
    assert client.stop() == 0 and server.stop() == 0
    world.server.assert_as_before(before)


def test_the_device_keeps_what_comes_meanwhile(world):
    packets = 1800
    world.start_server()
    network = children(world.start_client())["network"]
    receiver = start_receiver(world, 1, packets)
    os.kill(network, signal.SIGSTOP)
    send(world, 1, packets)
    os.kill(network, signal.SIGCONT)
    assert_all_came(receiver, 1, packets)
