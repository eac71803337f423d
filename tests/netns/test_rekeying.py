# SPDX-License-Identifier: GPL-2.0-or-later
"""New keys while packets pass: not one of them is lost.

Two minutes are passed in four seconds by a clock that runs faster (fast_clock.c); the programs are the
shipped ones.
"""

import time

import pytest

from four_machines import INNER, OUTER
from lab import assert_all_answered, wait_for

SPEED = 30


def start_both(world, *options, speed=SPEED):
    """Both daemons, under the fast clock; the client counts its rekeyings in its log."""
    fast = world.fast_clock(speed)
    server = world.server.start("minivpn", "server", world.key, env=fast)
    server.wait_for_output("up: minivpn0")
    client = world.client.start("minivpn", "client", *options, "--remote", OUTER["ipv4"], "--debug",
                                world.key, env=fast)
    client.wait_for_output("up: minivpn0")
    return server, client


def rekeyings(client):
    return client.output().count("the server: new keys")


@pytest.mark.unsanitized
def test_rekeying_loses_no_packet(world):
    server, client = start_both(world)
    pings = [world.client.start("ping", "-i", "0.005", INNER["ipv4"]),
             world.client.start("ping", "-i", "0.005", INNER["ipv6"]),
             world.server.start("ping", "-i", "0.005", "10.77.0.2")]
    wait_for(lambda: rekeyings(client) >= 4, 30, "four rekeyings")
    for one in pings:
        assert_all_answered(one)
    assert "lost" not in client.output() and "gone" not in server.output()


@pytest.mark.unsanitized
def test_a_stream_goes_on_over_rekeyings(world):
    """Datagrams with numbers: each one that is missing is noticed."""
    _, client = start_both(world)
    world.web.serve_iperf()
    before = rekeyings(client)
    report = world.client.iperf(INNER["ipv4"], "--udp", "--bitrate", "4M", seconds=9)
    assert rekeyings(client) - before >= 2
    assert report["end"]["sum"]["lost_packets"] == 0


@pytest.mark.unsanitized
def test_an_idle_session_is_renewed_and_never_lost(world):
    server, client = start_both(world)
    time.sleep(10)
    assert rekeyings(client) >= 2
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert "lost" not in client.output() and "gone" not in server.output()


@pytest.mark.long
@pytest.mark.timeout(200)
def test_rekeying_at_its_own_pace(world):
    server, client = start_both(world, speed=1)
    pings = [world.client.start("ping", "-i", "0.01", INNER["ipv4"]),
             world.server.start("ping", "-i", "0.01", "10.77.0.2")]
    time.sleep(135)
    for one in pings:
        assert_all_answered(one)
    assert rekeyings(client) == 1
    assert "lost" not in client.output() and "gone" not in server.output()
