# SPDX-License-Identifier: GPL-2.0-or-later
"""What a real server answers on the wire, and what it is silent about: the questions of wire_probe.py."""

import json
import sys
from pathlib import Path

import pytest

from lab import BUILD

PROBE = Path(__file__).parent / "wire_probe.py"

pytestmark = pytest.mark.skipif(not (BUILD / "src" / "cli" / "minivpn").exists(),
                                reason="minivpn is not built")


@pytest.mark.parametrize("outside", ["192.0.2.2", "2001:db8:1::2"])
def test_answers_and_silence(lab, outside):
    client, server = lab.hosts("client", "server")
    lab.link(client, "192.0.2.1/24 2001:db8:1::1/64", server, "192.0.2.2/24 2001:db8:1::2/64")
    place = f"[{outside}]:4500" if ":" in outside else f"{outside}:4500"
    key = lab.folder / "laptop.key"
    server.run("minivpn-keygen", "laptop", "--endpoint", place, "--out", key)
    daemon = server.start("minivpn", "server", key)
    assert client.ping(outside, count=1, timeout=3.0).received     # neighbours know each other

    told = json.loads(client.run(sys.executable, PROBE, place, key, timeout=50).stdout)
    assert {question: answer for question, answer in told.items() if answer != "ok"} == {}
    assert len(told) == 33
    assert daemon.stop() == 0
