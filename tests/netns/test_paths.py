# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of every size over paths of every width, in all four combinations of families."""

import itertools
import time

import pytest

from four_machines import INNER, OUTER
from lab import wait_for

# The widest packet inside a path of 1500 bytes: 1500 less IP, UDP, ESP's header, IV, trailer and tag,
# rounded down to what ESP pads to.
INNER_MTU = {"ipv4": 1438, "ipv6": 1418}
HEADERS = {"ipv4": 20 + 8, "ipv6": 40 + 8}
SERVER = {"ipv4": "10.77.0.1", "ipv6": "fd77::1"}


def learned(host, address):
    """The path MTU that the host has been told for an address, if any."""
    route = host.run("ip", "route", "get", address).stdout
    return int(route.split(" mtu ")[1].split()[0]) if " mtu " in route else None


@pytest.mark.parametrize("outer, inner", list(itertools.product(OUTER, SERVER)))
def test_every_size_passes_and_nobody_is_told_too_big(world, outer, inner):
    world.start_server()
    world.start_client(remote=OUTER[outer])
    # At once: before the path has had any time to prove itself.
    widest = INNER_MTU[outer] - HEADERS[inner]
    assert world.client.ping(SERVER[inner], size=widest, unfragmented=True, count=1).received == 1
    for size in (0, 1, 7, 8, 100, 1232, widest - 1, widest):
        assert world.client.ping(INNER[inner], size=size, unfragmented=True, count=2).received == 2, size
    assert not learned(world.client, INNER[inner])
    assert not learned(world.server, "10.77.0.2" if inner == "ipv4" else "fd77::2")
    assert not learned(world.web, "198.51.100.1" if inner == "ipv4" else "2001:db8:3::1")
    # Larger ones go in fragments, once the web host has found out that it has to.
    for size in (widest + 1, 4000, 20000):
        world.client.ping(INNER[inner], size=size, count=1)
        assert world.client.ping(INNER[inner], size=size, count=2).received == 2, size


@pytest.mark.parametrize("outer", OUTER)
def test_ipv6_inside_passes_a_path_that_is_too_narrow_for_it(world, outer):
    """Less than 1280 is left inside, which IPv6 asks for: then the envelope is cut."""
    world.web.serve_http(size=1 << 18)
    world.lan.mtu(1280)
    world.start_server()
    world.start_client(remote=OUTER[outer])
    for address in INNER.values():
        assert len(world.client.fetch(address, timeout=10)) == 1 << 18
    assert world.client.ping(INNER["ipv6"], size=1280 - 48, unfragmented=True).received == 3


@pytest.mark.parametrize("icmp", [True, False], ids=["with ICMP", "without ICMP"])
@pytest.mark.parametrize("outer, inner", list(itertools.product(OUTER, SERVER)))
def test_a_megabyte_passes_a_narrow_hop(world, outer, inner, icmp):
    world.web.serve_http(size=1 << 20)
    world.router.narrow(1400, icmp=icmp)
    world.start_server()
    world.start_client(remote=OUTER[outer])
    start = time.monotonic()
    assert len(world.client.fetch(INNER[inner], timeout=20)) == 1 << 20
    assert time.monotonic() - start < 10


def test_too_large_for_a_narrow_path_is_told(world):
    world.router.narrow(1400, icmp=False)
    world.start_server()
    client = world.start_client()
    wait_for(lambda: "bytes pass" in client.output(), 10, "the path to be found narrow")
    told = world.client.ping(INNER["ipv4"], size=1400, unfragmented=True)
    assert told.received == 0
    assert "Frag needed" in told.output or "message too long" in told.output
    assert 1200 <= learned(world.client, INNER["ipv4"]) <= 1338
    fits = learned(world.client, INNER["ipv4"]) - HEADERS["ipv4"]
    assert world.client.ping(INNER["ipv4"], size=fits, unfragmented=True).received == 3


def test_a_path_that_becomes_narrow_under_way(world):
    world.web.serve_http(size=1 << 20)
    world.start_server()
    world.start_client()
    assert len(world.client.fetch(INNER["ipv4"])) == 1 << 20
    world.router.narrow(1400)
    for address in INNER.values():
        assert len(world.client.fetch(address, timeout=15)) == 1 << 20


def test_a_narrow_link_of_its_own(world):
    """The kernel knows it without asking anybody (EMSGSIZE)."""
    world.web.serve_http(size=1 << 20)
    world.lan.mtu(1300)
    world.start_server()
    world.start_client()
    for address in INNER.values():
        assert len(world.client.fetch(address, timeout=10)) == 1 << 20
