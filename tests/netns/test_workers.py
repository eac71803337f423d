# SPDX-License-Identifier: GPL-2.0-or-later
"""More than one worker: each flow in order on one of them at both ends, whatever their numbers.

The parameter (2, 3) is a server of two workers and a client of three.
"""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from four_machines import INNER, OUTER, children
from hub import Hub
from lab import assert_all_answered, program, wait_for

NUMBERS = pytest.mark.parametrize("numbers", [(2, 2), (1, 3), (3, 1)])
# Whoever had listed too few SAs asks for a new session as soon as that is decent (docs/protocol.md).
RENEWED_S = 7
KERNEL = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def start_both(world, numbers, fast=1):
    """Both daemons, under a fast clock if @fast is more than 1; the client counts its rekeyings."""
    env = world.fast_clock(fast)
    server = world.server.start("minivpn", "server", "--workers", numbers[0], world.key, env=env)
    server.wait_for_output("up: minivpn0")
    client = world.client.start("minivpn", "client", "--workers", numbers[1], "--debug",
                                "--remote", OUTER["ipv4"], world.key, env=env)
    client.wait_for_output("up: minivpn0")
    return server, client


def rekeyings(client):
    return client.output().count("the server: new keys")


def tunnel(host):
    [one] = json.loads(host.run("minivpn", "status", "--json").stdout)["tunnels"]
    return one


def settled(server, client):
    """Both ends' tunnels, once all that one has sent has come to the other: connections end in their time."""
    def at_rest():
        ends = tunnel(server), tunnel(client)
        [one], [other] = (end["peers"] for end in ends)
        same = (one["packets_in"], one["packets_out"]) == (other["packets_out"], other["packets_in"])
        return ends if same else None

    return wait_for(at_rest, what="either end to count what the other has sent")


def threads(daemon):
    """How many threads move packets; a sanitizer may have some of its own."""
    folder = f"/proc/{children(daemon)['network']}/task"
    names = [open(f"{folder}/{task}/comm").read() for task in os.listdir(folder)]
    return 1 + sum(name.startswith("worker ") for name in names)


def spis_to(wire, address):
    """How many datagrams went there, by SPI."""
    spis = [int(spi, 16) for spi, in wire.fields("esp.spi", display_filter=f"esp and ip.dst == {address}")]
    return {spi: spis.count(spi) for spi in spis}


def send_flows(world, flows=12, seconds=1):
    """UDP both ways in that many flows; nothing of any is lost or overtaken."""
    for way in ((), ("--reverse",)):
        report = world.client.iperf(INNER["ipv4"], *way, "--udp", "--parallel", flows, "--bitrate",
                                    "800k", "--length", "800", seconds=seconds)
        for stream in report["end"]["streams"]:
            assert stream["udp"]["lost_packets"] == 0 and stream["udp"]["out_of_order"] == 0


@NUMBERS
def test_flows_pass_in_order_and_all_workers_have_some(world, numbers):
    before = world.server.snapshot()
    server, client = start_both(world, numbers)
    assert (threads(server), threads(client)) == numbers
    if numbers[0] > numbers[1]:     # more than the client could know when it listed its SAs
        wait_for(lambda: tunnel(world.server)["peers"][0]["handshakes"] == 2, RENEWED_S, "a new session")
    world.web.serve_iperf()
    with world.server.capture("eth0", "udp port 4500") as wire:
        assert world.client.ping(INNER["ipv4"]).received == 3
        assert world.client.ping(INNER["ipv6"]).received == 3
        send_flows(world)
    ends = settled(world.server, world.client)
    assert (ends[0]["workers"], ends[1]["workers"]) == numbers
    assert f"{max(numbers)} workers" in "".join(h.run("minivpn", "status").stdout
                                                for h in (world.server, world.client))
    # The sums hold what each worker did; nobody had to hand anything over, let alone refuse it.
    server_side, client_side = ends[0]["peers"][0], ends[1]["peers"][0]
    assert server_side["packets_in"] > 1000 and client_side["packets_in"] > 1000
    for end in ends:
        assert end["verdicts"].keys() <= {"pass", "consumed", "staged", "handed-over"}
        assert end["verdicts"].get("handed-over", 0) < 20
    # Flows of several workers go to several; those of a single one, to whichever it chose.
    busy = {address: [spi for spi, count in spis_to(wire, address).items() if count > 100]
            for address in (OUTER["ipv4"], "192.0.2.2")}
    if numbers == (2, 2):
        for spis in busy.values():
            assert sorted(spi % 2 for spi in spis) == [0, 1]
    else:
        assert all(busy.values())
    assert client.stop() == 0 and server.stop() == 0
    world.server.assert_as_before(before)


@pytest.mark.unsanitized
def test_a_fast_flow_stays_in_order(world):
    """One flow of UDP and one of TCP at a time, at a rate that fills batches."""
    start_both(world, (2, 2))
    world.web.serve_iperf()
    for way in ((), ("--reverse",)):
        report = world.client.iperf(INNER["ipv4"], *way, "--udp", "--bitrate", "100M", "--length",
                                    "1300", seconds=2)
        [stream] = report["end"]["streams"]
        assert stream["udp"]["packets"] > 10000 and stream["udp"]["out_of_order"] == 0
    for host in (world.client, world.server):
        seen = tunnel(host)["verdicts"]
        assert not seen.keys() & {"replayed", "forged", "unknown-spi", "wrong-source", "queue-full"}


@pytest.mark.skipif(KERNEL < (6, 9),
                    reason="before Linux 6.9 a receipt is merged whatever its hop limits are")
def test_what_is_merged_is_one_worker_s(world):
    """Receivers merge datagrams before they steer them; nothing comes to the wrong worker by that."""
    for link in (world.lan, world.wan):
        link.as_wire(gro=True)
    start_both(world, (2, 2))
    world.web.serve_iperf()
    for way in ((), ("--reverse",)):
        world.client.iperf(INNER["ipv4"], *way, "--parallel", "6", seconds=1)
    for host in (world.client, world.server):
        seen = tunnel(host)["verdicts"]
        assert seen["pass"] > 1000 and not seen.keys() & {"handed-over", "unknown-spi", "queue-full"}


@pytest.mark.unsanitized
@NUMBERS
def test_rekeying_under_load_loses_nothing(world, numbers):
    _, client = start_both(world, numbers, fast=30)
    world.web.serve_iperf()
    before = rekeyings(client)
    loads = [world.client.start("ping", "-i", "0.005", INNER[family]) for family in ("ipv4", "ipv6")]
    report = world.client.iperf(INNER["ipv4"], "--udp", "--parallel", "6", "--bitrate", "1M",
                                "--length", "800", seconds=9)
    assert rekeyings(client) - before >= 2
    assert report["end"]["sum"]["lost_packets"] == 0
    for pings in loads:
        assert_all_answered(pings)


def test_a_client_moves_under_load(world):
    """Its packets come from elsewhere on all SAs at once; the server follows."""
    server, client = start_both(world, (2, 2))
    world.web.serve_iperf()
    world.client.lab.link(world.client, "192.0.9.2/24 2001:db8:9::2/64",
                          world.router, "192.0.9.1/24 2001:db8:9::1/64")
    load = world.client.start("iperf3", "--client", INNER["ipv4"], "--udp", "--parallel", "8",
                              "--bitrate", "2M", "--length", "800", "--time", "4")
    time.sleep(1)
    world.client.ip("link", "del", "eth0")
    world.default_route(world.client, "192.0.9.1", "2001:db8:9::1")
    server.wait_for_output(r"is at 192\.0\.9\.2:", timeout=4)
    assert load.wait(timeout=15) == 0
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert "lost" not in client.output() and "gone" not in server.output()


@pytest.mark.unsanitized
def test_a_nat_that_forgets_is_noticed_on_any_worker(world):
    """The first packets from another port are data of many flows."""
    world.router.nat(out=world.wan.a)
    for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
        world.router.sysctl(f"net.netfilter.{name}", 1)
    server, client = start_both(world, (2, 2))
    world.web.serve_iperf()
    time.sleep(2.5)     # it forgets
    for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
        world.router.sysctl(f"net.netfilter.{name}", 30)
    world.router.nft("flush table inet lab_nat\nadd rule inet lab_nat post oifname "
                     f"{world.wan.a} ip protocol udp masquerade to :40000-40100\n")
    load = world.client.start("iperf3", "--client", INNER["ipv4"], "--udp", "--parallel", "8",
                              "--bitrate", "1M", "--length", "800", "--time", "1")
    server.wait_for_output(r"is at 203\.0\.113\.1:40\d\d\d$", timeout=5)
    assert load.wait(timeout=20) == 0
    assert "lost" not in client.output() and "gone" not in server.output()


def test_a_client_is_removed_under_load(lab):
    """Its SAs and prefixes go from every worker, and its neighbour loses nothing."""
    hub = Hub(lab)
    hub.keygen("alice")
    server = hub.start("--address", "10.9.0.1/16", "--workers", "3")
    hosts = {name: hub.machine(name) for name in ("bob", "carol")}
    for name, host in hosts.items():
        hub.connect(host, hub.invite(name), "--workers", "2")
    pings = {name: host.start("ping", "-i", "0.005", "10.9.0.1") for name, host in hosts.items()}
    loads = [host.start("ping", "-f", "-i", "0.002", "10.9.0.1") for host in hosts.values()]
    time.sleep(1)
    for turn in range(5):
        hub.server.run("minivpn", "invite", f"guest{turn}")
        hub.server.run("minivpn", "remove", f"guest{turn}")
    hub.server.run("minivpn", "remove", "bob")
    time.sleep(0.5)
    assert hub.peer("bob") is None
    assert_all_answered(pings["carol"])
    for one in [pings["bob"], *loads]:
        one.stop(signal.SIGINT)
    assert not hub.status()["verdicts"].keys() & {"wrong-source", "replayed", "forged"}
    assert server.stop() == 0


def test_status_is_asked_under_load(world):
    """All workers stand still for each answer, and go on."""
    start_both(world, (2, 2))
    world.web.serve_iperf()
    load = world.client.start("iperf3", "--json", "--client", INNER["ipv4"], "--udp", "--parallel", "4",
                              "--bitrate", "5M", "--length", "1000", "--time", "2")
    counts = []
    while load.running():
        counts.append(tunnel(world.client)["peers"][0]["packets_out"])
    assert len(counts) > 5 and counts == sorted(counts) and counts[-1] > 2000
    assert json.loads(load.output())["end"]["sum"]["lost_packets"] == 0


@pytest.mark.unsanitized
def test_auto_is_one_for_each_cpu(world):
    cpus = len(os.sched_getaffinity(0))
    server = world.start_server("--workers", "auto")
    assert tunnel(world.server)["workers"] == threads(server) == min(cpus, 16)
    server.stop()
    one = world.server.start("taskset", "1", program("minivpn"), "server", "--workers", "auto", world.key)
    one.wait_for_output("up: minivpn0")
    assert tunnel(world.server)["workers"] == 1


def test_a_device_with_one_queue_leaves_one_worker(world):
    """Somebody else made it, and so."""
    world.server.ip("tuntap", "add", "minivpn0", "mode", "tun", "vnet_hdr")
    server = world.start_server("--workers", "2")
    assert server.output().count("one worker instead of 2: minivpn0 has but one queue") == 1
    world.start_client("--workers", "2")
    assert tunnel(world.server)["workers"] == 1
    assert world.client.ping(INNER["ipv4"]).received == 3


@pytest.mark.unsanitized
def test_a_port_in_use_is_still_refused(world):
    """The sockets of one tunnel share its port, but with no other tunnel."""
    world.start_server("--workers", "2")
    second = world.server.run("minivpn", "server", "--workers", "2", "--interface-name", "second",
                              world.key, check=False)
    assert second.returncode == 1 and "UDP port 4500 is taken" in second.stderr


@pytest.mark.unsanitized
def test_all_end_in_time_under_load(world):
    """SIGTERM under full load: nothing stays, and soon."""
    server, client = start_both(world, (2, 2))
    world.web.serve_iperf()
    world.client.start("iperf3", "--client", INNER["ipv4"], "--parallel", "4", "--time", "5")
    time.sleep(1)
    started = time.monotonic()
    assert client.stop() == 0 and server.stop() == 0
    assert time.monotonic() - started < 3
    assert subprocess.run(["pgrep", "-g", str(client.pid)], check=False).returncode == 1
