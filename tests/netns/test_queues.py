# SPDX-License-Identifier: GPL-2.0-or-later
"""The queues of the tun device: flows are spread over them, and each stays in order, whatever is beside
it."""

import os

import pytest

from four_machines import INNER

BESIDE = 5202       # where the flow goes that is beside those looked at


def queues(host):
    """How many queues the device of a host gives packets by."""
    return host.run("ls", "/sys/class/net/minivpn0/queues").stdout.count("tx-")


def overtaken(host):
    """How often the TCP of a host has noticed that what it sent had been overtaken, not lost."""
    lines = host.run("cat", "/proc/net/netstat").stdout.splitlines()
    [names, counts] = [line.split() for line in lines if line.startswith("TcpExt")]
    of = dict(zip(names, counts))
    return int(of["TCPSACKReorder"]) + int(of["TCPTSReorder"])


def test_one_worker_reads_many_queues_several_read_one_each(world):
    world.start_server("--workers", "3")
    world.start_client()
    assert queues(world.server) == 3
    assert queues(world.client) == 16
    assert "qdisc noqueue" in world.client.run("ip", "link", "show", "minivpn0").stdout
    assert world.client.ping(INNER["ipv4"]).received == 3


def test_a_device_that_was_there_keeps_its_queue(world):
    world.client.ip("tuntap", "add", "minivpn0", "mode", "tun", "vnet_hdr")
    world.start_server()
    client = world.start_client()
    assert queues(world.client) == 1
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    client.stop()
    world.client.ip("link", "show", "minivpn0")


@pytest.fixture(name="one_cpu")
def all_on_one_cpu():
    """The wires of a lab have a queue for each CPU: a sender that moves to another overtakes itself there."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    yield
    os.sched_setaffinity(0, all_of_them)


@pytest.mark.unsanitized
@pytest.mark.usefixtures("one_cpu")
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("way", [(), ("--reverse",)], ids=["forth", "back"])
def test_flows_stay_in_order_beside_a_fast_one(world, family, way):
    """UDP in packets, in super-packets and in fragments, and TCP."""
    world.start_server()
    world.start_client()
    world.web.serve_iperf()
    world.web.serve_iperf(BESIDE)
    world.client.start("iperf3", "--client", INNER[family], "--port", BESIDE, "--time", "20",
                       "--bitrate", "500M", *way)
    # Of the narrower path behind a router iperf3 hears by an error, which ends it, over IPv6.
    for length in ("200", "1300") if way and family == "ipv6" else ("200", "1300", "4000"):
        report = world.client.iperf(INNER[family], *way, "--udp", "--parallel", "4", "--bitrate", "10M",
                                    "--length", length)
        for stream in report["end"]["streams"]:
            assert stream["udp"]["packets"] > 100 and stream["udp"]["out_of_order"] == 0
    world.client.iperf(INNER[family], *way, "--parallel", "4", "--bitrate", "50M")
    assert overtaken(world.web if way else world.client) == 0
