# SPDX-License-Identifier: GPL-2.0-or-later
"""What static-tunnel puts on the wire, as Wireshark's dissectors read it: ESP in UDP, nothing else."""

import shutil

import pytest

from interop.tunnels import INNER, OUTER, TO_A, TO_B, connect, counters, start_tunnel

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")


@pytest.mark.parametrize("family", (4, 6))
def test_it_is_well_formed_esp_in_udp(lab, family):
    a, b = connect(lab, family)
    first, second = start_tunnel(a, 0, family), start_tunnel(b, 1, family)
    b.serve_http(size=100_000)
    with b.capture("eth0", "udp") as wire:
        for inner in (4, 6):
            assert a.ping(INNER[inner][1], size=1).received == 3
            assert len(a.fetch(INNER[inner][1])) == 100_000
    sent = [counters(tunnel)["out"]["packets"] for tunnel in (first, second)]

    packets = wire.fields("frame.protocols", "esp.spi", "esp.sequence",
                          "ip.src" if family == 4 else "ipv6.src")
    assert 100 < len(packets) <= sum(sent)
    assert wire.count("_ws.malformed or _ws.expert.severity == error or isakmp") == 0
    ip = "ip" if family == 4 else "ipv6"
    assert {protocols for protocols, *_ in packets} == {f"eth:ethertype:{ip}:udp:udpencap:esp"}
    for end, (spi, _) in ((0, TO_B), (1, TO_A)):
        mine = [p for p in packets if p[3] == OUTER[family][end]]
        assert {int(p[1], 0) for p in mine} == {spi}
        numbers = [int(p[2], 0) for p in mine]
        assert len(set(numbers)) == len(numbers) and 0 < min(numbers) <= max(numbers) <= sent[end]
    if family == 4:
        assert wire.count("ip.flags.df == 0 or ip.flags.mf == 1") == 0
