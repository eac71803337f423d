# SPDX-License-Identifier: GPL-2.0-or-later
"""Live exchange with scapy's ESP: pings in both directions, both families inside and outside."""

import json
from pathlib import Path

import pytest

from interop.tunnels import INNER, MTU, connect, counters, start_tunnel
from lab import wait_for

PEER = Path(__file__).with_name("scapy_peer.py")

pytest.importorskip("scapy.layers.ipsec", reason="needs scapy (python3-scapy)")


@pytest.mark.parametrize("family", (4, 6))
def test_scapy_answers(lab, family):
    a, b = connect(lab, family)
    peer = b.start("/usr/bin/python3", PEER, "answer", family)
    peer.wait_for_output("^ready$", timeout=20)
    tunnel = start_tunnel(a, 0, family)
    for inner, header in ((4, 28), (6, 48)):
        for size in (0, 1, 2, 3, MTU[family] - header):
            ping = a.ping(INNER[inner][1], size=size, unfragmented=True)
            assert ping.received == ping.sent, ping.output
    report = counters(tunnel)
    assert report["verdicts"]["forged"] == report["verdicts"]["bad-padding"] == 0
    assert report["in"]["packets"] == 30
    assert peer.running()


@pytest.mark.parametrize("family", (4, 6))
def test_scapy_asks(lab, family):
    a, b = connect(lab, family)
    tunnel = start_tunnel(a, 0, family)
    peer = b.start("/usr/bin/python3", PEER, "ask", family)
    report = json.loads(peer.wait_for_output(r"^\{.*\}$", timeout=30).group())
    assert report == {"asked": 38, "answered": 38}
    assert peer.wait() == 0
    wait_for(lambda: a.ip("-j", "-s", "link", "show", "tun0")[0]["stats64"]["rx"]["packets"] >= 39)
    verdicts = counters(tunnel)["verdicts"]
    assert verdicts["replayed"] == 1
    assert verdicts["forged"] == verdicts["bad-padding"] == verdicts["not-ip"] == 0
