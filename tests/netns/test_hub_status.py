# SPDX-License-Identifier: GPL-2.0-or-later
"""Seeing inside: status for people, for programs and for Prometheus; and the keys of the sessions."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from scapy.layers.inet import IP

from debs import newest_program, unpacked
from hub import Hub
from lab import SOURCE


@pytest.fixture(name="world")
def server_and_lan(lab):
    return Hub(lab)


@pytest.fixture(name="pair")
def server_and_client(world):
    world.keygen("absent")
    world.start("--address", "10.9.0.1/24", "--address", "fd09::1/64")
    world.alice = world.machine("alice")
    world.connect(world.alice, world.invite("alice"))
    assert world.alice.ping("10.9.0.1").received == 3
    return world


def test_json_is_as_its_schema_says(pair):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SOURCE / "docs/status.schema.json").read_text())
    checker = jsonschema.Draft202012Validator(schema)
    key = pair.keygen("site")
    key.write_text(key.read_text() + "networks = 192.168.7.0/24\n")
    pair.server.run("minivpn", "reload")
    pair.server.run("minivpn", "rotate", "alice")
    for host in (pair.server, pair.alice):
        checker.validate(json.loads(host.run("minivpn", "status", "--json").stdout))
    peers = {(p["name"], p["old_key"]): p for p in pair.status()["peers"]}
    assert set(peers) == {("absent", False), ("site", False), ("alice", False), ("alice", True)}
    assert peers["alice", True]["up"] and not peers["alice", False]["up"]
    assert peers["site", False]["networks"] == ["192.168.7.0/24"]
    wrong = json.loads(pair.server.run("minivpn", "status", "--json").stdout)
    del wrong["tunnels"][0]["peers"][0]["up"]
    assert not checker.is_valid(wrong)


def test_people_see_who_since_when_and_what_was_dropped(pair):
    pair.alice.ip("address", "add", "10.9.0.77/32", "dev", "lo")
    pair.alice.run("ping", "-c", 2, "-i", 0.2, "-W", 1, "-I", "10.9.0.77", "10.9.0.1", check=False)
    text = pair.server.run("minivpn", "status").stdout
    assert re.search(r"^  alice  up \d\.\d s, since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d, at 203\.0\.113\.2:\d+$",
                     text, re.MULTILINE)
    assert re.search(r"^  absent  down$", text, re.MULTILINE)
    assert "    addresses  10.9.0.2/24, fd09::2/64" in text and "at most 1438 bytes each" in text
    assert re.search(r"^ +2  inner source does not belong to that peer$", text, re.MULTILINE)


def test_watch_shows_rates(pair):
    watch = pair.server.start("minivpn", "status", "--watch")
    watch.wait_for_output(r"rate +in \d+ bit/s, out \d+ bit/s")
    pair.alice.run("ping", "-q", "-i", 0.002, "-c", 500, "-s", 1000, "10.9.0.1")
    watch.wait_for_output(r"rate +in [\d.]+ Mbit/s, out [\d.]+ Mbit/s")
    assert watch.stop(signal.SIGINT) == -signal.SIGINT


def test_prometheus_format(pair):
    text = pair.server.run("minivpn", "status", "--prometheus").stdout
    up = re.findall(r'^minivpn_peer_up\{interface="minivpn0",peer="(\w+)",key="current"\} (\d)$', text,
                    re.MULTILINE)
    assert sorted(up) == [("absent", "0"), ("alice", "1")]
    assert 'minivpn_dropped_packets_total{interface="minivpn0",cause="forged"} 0' in text


@pytest.mark.timeout(300)      # the first time it is downloaded
def test_prometheus_own_tool_finds_nothing_wrong(pair):
    """Names, units, types and help texts, by Prometheus' own conventions."""
    promtool = shutil.which("promtool") or unpacked("prometheus") / "usr/bin/promtool"

    def complaints(text):
        checked = pair.server.run(promtool, "check", "metrics", input=text, check=False)
        assert (checked.returncode == 0) == (checked.stdout + checked.stderr == "")
        return checked.stdout + checked.stderr

    text = pair.server.run("minivpn", "status", "--prometheus").stdout
    assert complaints(text) == ""
    assert "no help text" in complaints(re.sub("^# HELP.*\n", "", text, flags=re.MULTILINE))
    assert "_total" in complaints(text.replace("_total", "_sum_of_all"))
    assert "base unit" in complaints(text.replace("_bytes", "_kilobytes"))


def opened(capture, table):
    """The inner packets of a capture, by the lines of Wireshark's table; as a script would do it."""
    keys = {}
    for line in csv.reader(table.splitlines()):
        assert line[4] == "ChaCha20 with Poly1305 [RFC7634]" and line[6:] == ["NULL", ""]
        keys[int(line[3], 16)] = bytes.fromhex(line[5].removeprefix("0x"))
    for packet in capture.read():
        record = bytes(packet["UDP"].payload)
        key = keys.get(int.from_bytes(record[:4], "big"))
        if key:
            payload = ChaCha20Poly1305(key[:32]).decrypt(key[32:] + record[8:16], record[16:], record[:8])
            if payload[-1] == 4:
                yield IP(payload)


@pytest.fixture(name="logged")
def capture_and_keylog(world):
    """A capture of two pings, each there and back, and what keylog said meanwhile."""
    world.keygen("absent")
    server = world.start("--address", "10.9.0.1/24")
    alice = world.machine("alice")
    with world.server.capture("eth0", "udp port 4500") as wire:
        world.connect(alice, world.invite("alice"))
        assert alice.ping("10.9.0.1", count=2).received == 2
        assert "asked for" not in server.output()
        table = world.server.run("minivpn", "keylog").stdout
    assert "the keys of all sessions were asked for by root" in server.output()
    assert len(table.splitlines()) == 2
    return wire, table


PINGS = 2 * [("10.9.0.2", 8), ("10.9.0.1", 0)]


def test_keylog_opens_a_capture(logged):
    seen = [(p.src, p["ICMP"].type) for p in opened(*logged) if p.haslayer("ICMP")]
    assert seen == PINGS


@pytest.mark.timeout(300)      # the first time it is downloaded
def test_keylog_opens_a_capture_in_wireshark(logged, tmp_path):
    """In a Wireshark that knows the cipher, which came with 4.6, and with its table as a file."""
    wire, table = logged
    tshark = newest_program("tshark", "tshark")
    (tmp_path / "wireshark").mkdir()
    (tmp_path / "wireshark" / "esp_sa").write_text(table)

    def pings(*options):
        done = subprocess.run(
            [*tshark, "-n", "-r", wire.path, *options, "-Y", "icmp", "-T", "fields", "-e", "ip.src",
             "-e", "icmp.type", "-E", "occurrence=l"], check=True, capture_output=True, text=True,
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}, timeout=60)
        return [(source, int(kind)) for source, kind in map(str.split, done.stdout.splitlines())]

    assert pings() == []
    assert pings("-o", "esp.enable_encryption_decode:TRUE") == PINGS
    assert pings("-o", "esp.enable_encryption_decode:TRUE",
                 "-o", "esp.enable_authentication_check:TRUE") == PINGS
