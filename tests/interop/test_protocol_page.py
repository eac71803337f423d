# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/protocol.md stays true: its worked example, and the names it gives to refusals."""

import importlib.util
import json
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2]
PAGE = (SOURCE / "docs" / "protocol.md").read_text()


def load_peer():
    spec = importlib.util.spec_from_file_location(
        "minivpn_peer", Path(__file__).parent / "minivpn_peer.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["minivpn_peer"] = module
    spec.loader.exec_module(module)
    return module


def section(title):
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def example():
    """The example's rows: a list of (name, hex), a value's further lines joined to the first."""
    rows = []
    for line in section("11. A worked example").split("```")[1].strip().splitlines():
        name, value = line[:23].strip(), line[23:].strip()
        if re.fullmatch("[0-9a-f]+", value):
            if name:
                rows.append((name, value))
            else:
                rows[-1] = (rows[-1][0], rows[-1][1] + value)
        elif name and not value.startswith("43"):
            rows.append((line.strip(), ""))
    return rows


def test_the_worked_example():
    peer = load_peer()
    v = json.loads((SOURCE / "tests/vectors/minivpn-handshake.json").read_text())["vectors"][0]

    def raw(name):
        return bytes.fromhex(v[name])

    keys = peer.Keys(raw("psk"), b"C")
    e = peer.public_of(raw("initiator_ephemeral_private"))
    noise = peer.Noise(b"Noise_NNpsk0_25519_ChaChaPoly_SHA512", raw("prologue"))
    expected = [("PSK", raw("psk")), ("K_hint", keys.hint), ("K_retry", keys.retry),
                ("initiator's private", raw("initiator_ephemeral_private")), ("e", e),
                ("hint", raw("hint")), ("cookie", raw("cookie")), ("prologue", raw("prologue")),
                ("h after the prologue", noise.h)]
    noise.mix_key_and_hash(raw("psk"))
    expected.append(("h after psk", noise.h))
    noise.mix_hash(e)
    noise.mix_key(e)
    expected += [("h after e", noise.h), ("ck after e", noise.ck), ("k after e", noise.k),
                 ("Init's items", raw("payload1"))]
    sealed = noise.seal(raw("payload1").ljust(944, b"\0"))
    remote = peer.public_of(raw("responder_ephemeral_private"))
    sa = [bytes.fromhex(sa["keymat"]) for sa in v["sa"]]
    ping = peer.in_band([(peer.PING, bytes(range(8)))])
    expected += [("sealed, first 32", sealed[:32]), ("sealed, last 32", sealed[-32:]),
                 ("responder's private", raw("responder_ephemeral_private")), ("e", remote),
                 ("X25519", peer.shared_secret(raw("initiator_ephemeral_private"), remote)),
                 ("Response's items", raw("payload2")), ("Response", raw("response")),
                 ("k1", raw("split_k1")), ("k2", raw("split_k2")),
                 ("SA d4e5f601", sa[0]), ("SA a1b2c300", sa[1]), ("a Ping", ping),
                 ("packet 1 of SA d4e5f601 with it",
                  peer.esp_seal(sa[0], 0xD4E5F601, 1, ping, peer.DUMMY)),
                 ("a Retry instead", raw("retry"))]
    assert example() == [(name, value.hex()) for name, value in expected]


def test_refusals_have_the_names_that_status_shows():
    header = (SOURCE / "include/minivpn/verdict.h").read_text()
    known = set(re.findall(r'X\(\w+,\s*"([a-z0-9-]+)"', header))
    named = re.findall(r"\| `([a-z-]+)` \|", section("10. Refusals and their names"))
    assert len(named) == len(set(named)) > 20
    assert set(named) <= known
