# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the key is, and where it must not be: every process of both daemons is looked at from outside."""

import base64
import hmac
import os
import re

import pytest

from four_machines import INNER, OUTER, children


def written_secret(key_path):
    """As the key file has it."""
    with open(key_path, encoding="ascii") as file:
        return re.search(r"^key = (\S+)$", file.read(), re.MULTILINE).group(1)


def raw_secret(world, path):
    """The 32 bytes, which the invite begins with."""
    line = world.client.run("minivpn-keygen", "--show", "--invite", path).stdout.strip()
    return base64.urlsafe_b64decode(line.removeprefix("mv1:") + "==")[:32]


def derived_secret(raw):
    """What a handshake needs of the key, all else being known: the chaining key after the token psk."""
    chaining_key = b"Noise_NNpsk0_25519_ChaChaPoly_SHA512".ljust(64, b"\0")
    return hmac.digest(hmac.digest(chaining_key, raw, "sha512"), b"\1", "sha512")


def memory_of(pid):
    """Of each mapping that can be read: what it holds, and whether it is locked in memory."""
    with open(f"/proc/{pid}/smaps", encoding="ascii") as maps:
        mappings = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) r.*(?:\n[A-Z].*)*?\nVmFlags: (.*)$", maps.read(),
                              re.MULTILINE)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for start, end, flags in mappings:
            try:
                memory.seek(int(start, 16))
                yield memory.read(int(end, 16) - int(start, 16)), "lo" in flags.split()
            except (OSError, ValueError, OverflowError):
                continue


def status(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        return re.search(rf"^{field}:\s*(.*)$", text.read(), re.MULTILINE).group(1)


@pytest.fixture(name="daemons")
def both_up(world):
    """Both daemons by role, after some traffic, and the key's two forms."""
    server, client = world.start_server("--debug"), world.start_client("--debug")
    assert world.client.ping(INNER["ipv4"]).received == 3
    return {"server": server, "client": client}, written_secret(world.key), raw_secret(world, world.key)


@pytest.mark.unsanitized  # whose memory is mapped for terabytes
def test_only_the_network_process_has_the_key_and_in_locked_memory(daemons):
    both, text, raw = daemons
    for daemon in both.values():
        found = 0
        for name, pid in {"keeper": daemon.pid, **children(daemon)}.items():
            for content, locked in memory_of(pid):
                assert text.encode() not in content, f"the text of the key in {name}"
                assert raw not in content, f"the key itself in {name}"
                if derived_secret(raw) in content:
                    assert name == "network" and locked
                    found += 1
        # Or this test would find nothing anywhere: it is kept for the next handshake.
        assert found > 0


def test_it_is_in_no_line_of_the_log_and_in_no_command_line(daemons):
    both, text, raw = daemons
    forms = [text.encode(), raw.hex().encode(), base64.b64encode(raw)[:40],
             base64.urlsafe_b64encode(raw)[:40]]
    for daemon in both.values():
        for pid in [daemon.pid, *children(daemon).values()]:
            for place in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{place}", "rb") as file:
                    content = file.read()
                assert not [form for form in forms if form in content]
        assert "sequence" in daemon.output()
        assert not [form for form in forms if form.decode() in daemon.output()]


def test_a_key_from_standard_input_is_open_to_nobody_any_more(world):
    """A file would still be there to be read again, whatever was read of it: by who looks names up, too."""
    world.start_server()
    with open(world.key, "rb") as key:
        client = world.client.start("minivpn", "client", "--remote", OUTER["ipv4"], "-", stdin=key)
    client.wait_for_output("tunnel: up")
    for name, pid in children(client).items():
        held = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
        assert held["0"] == "/dev/null", name
        assert not [what for what in held.values() if what == world.key], name
        if name == "resolve":
            assert not [what for what in held.values() if what.startswith("pipe:")]


def test_the_process_that_reads_the_network_has_no_rights(daemons):
    both, _, _ = daemons
    for daemon in both.values():
        parts = children(daemon)
        for name in parts:
            if name == "steward":
                continue
            pid = parts[name]
            assert set(status(pid, "Uid").split()) != {"0"}, name
            assert int(status(pid, "CapEff"), 16) == int(status(pid, "CapPrm"), 16) == 0
            assert int(status(pid, "CapBnd"), 16) == 0
            assert status(pid, "NoNewPrivs") == "1"
        # Root's own: nobody of the same user may look into it, and it leaves no core.
        assert os.stat(f"/proc/{parts['network']}/mem").st_uid == 0
        for pid in [daemon.pid, *parts.values()]:
            limits = open(f"/proc/{pid}/limits", encoding="ascii").read()
            assert re.search(r"Max core file size\s+0\s+0", limits)


def test_steward_and_keeper_keep_the_network_s_rights_only(daemons):
    both, _, _ = daemons
    admin, raw_packets, bind, kill = 12, 13, 10, 5
    allowed = sum(1 << bit for bit in (admin, raw_packets, bind, kill))
    for daemon in both.values():
        for pid in (daemon.pid, children(daemon)["steward"]):
            assert int(status(pid, "CapEff"), 16) & ~allowed == 0
            assert int(status(pid, "CapBnd"), 16) & ~allowed == 0
            assert status(pid, "NoNewPrivs") == "1"
