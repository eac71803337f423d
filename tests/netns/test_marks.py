# SPDX-License-Identifier: GPL-2.0-or-later
"""What the headers outside say of the packets inside: traffic class and congestion marks."""

import pytest

from four_machines import OUTER

SERVER = {"ipv4": "10.77.0.1", "ipv6": "fd77::1"}
FIELDS = {"ipv4": ("ip.dsfield.dscp", "ip.dsfield.ecn"), "ipv6": ("ipv6.tclass.dscp", "ipv6.tclass.ecn")}

EXPEDITED = 46
ECHO = "esp and frame.len in {130 .. 250}"      # neither in-band messages nor probes of the path
TOS = EXPEDITED << 2 | 2        # and ECT(0)


def marks(wire, family, match):
    """The set of (DSCP, ECN) of the packets that match, by the headers of their outermost family."""
    return {tuple(int(value.split(",")[0], 0) for value in row)
            for row in wire.fields(*FIELDS[family], display_filter=match)}


def ping_marked(host, address):
    """Five that are answered, one after the other: on the wire each is a packet of its own."""
    for _ in range(5):
        host.run("ping", "-n", "-c", 1, "-W", 1, "-Q", TOS, address)


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("option, dscp", [((), 0), (("--dscp", "0"), 0), (("--dscp", "copy"), EXPEDITED),
                                          (("--dscp", "copy", "--workers", "3"), EXPEDITED)])
def test_traffic_class_of_the_envelope(world, outer, option, dscp):
    world.start_server(*option)
    world.start_client(*option, remote=OUTER[outer])
    for inner, address in SERVER.items():
        assert world.client.ping(address).received == 3     # the session and its Pings are done with
        with world.router.capture(world.wan.a, "udp port 4500") as wire, \
                world.server.capture("minivpn0") as inside:
            ping_marked(world.client, address)
        # There and back: the answer to a ping bears what the question bore.
        for port in ("udp.dstport == 4500", "udp.srcport == 4500"):
            assert marks(wire, outer, f"{ECHO} and {port}") == {(dscp, 2)}
        assert marks(inside, inner, "icmp or icmpv6.type in {128, 129}") == {(EXPEDITED, 2)}


def test_only_one_end_copies(world):
    """Each end decides for what it sends, and takes whatever comes."""
    world.start_server("--dscp", "copy")
    world.start_client()
    with world.router.capture(world.wan.a, "udp port 4500") as wire:
        ping_marked(world.client, SERVER["ipv4"])
    assert marks(wire, "ipv4", f"{ECHO} and udp.dstport == 4500") == {(0, 2)}
    assert marks(wire, "ipv4", f"{ECHO} and udp.srcport == 4500") == {(EXPEDITED, 2)}


def test_a_class_that_routers_change_stays_outside(world):
    world.router.nft("table inet lab_marks {\n"
                     "  chain forward {\n"
                     "    type filter hook forward priority 0\n"
                     "    udp dport 4500 ip dscp set af11\n"
                     "  }\n"
                     "}\n")
    world.start_server("--dscp", "copy")
    world.start_client("--dscp", "copy")
    with world.server.capture("eth0", "udp dst port 4500") as wire, \
            world.server.capture("minivpn0") as inside:
        ping_marked(world.client, SERVER["ipv4"])
    assert {dscp for dscp, _ in marks(wire, "ipv4", "esp")} == {10}
    assert marks(inside, "ipv4", "icmp") == {(EXPEDITED, 2)}
