# SPDX-License-Identifier: GPL-2.0-or-later
"""minivpn-keygen as a person uses it: what it makes, what it shows, what it refuses."""

import os
import pty
import re
import stat
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("MINIVPN_BUILD", Path(__file__).parents[2] / "build"))
KEYGEN = BUILD / "keys" / "minivpn-keygen"

pytestmark = pytest.mark.skipif(not KEYGEN.exists(), reason=f"{KEYGEN} is not built")


def keygen(*args, **how):
    how.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([KEYGEN, *args], stderr=subprocess.PIPE, text=True, timeout=10, **how)


def make(path, name="laptop", *args):
    with open(path, "w") as out:
        made = keygen(name, *args, stdout=out)
    assert made.returncode == 0, made.stderr
    return path


def secret_of(path):
    return re.search(r"^key = (\S+)$", path.read_text(), re.M).group(1)


def test_redirected_key_is_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        key = make(tmp_path / "laptop.key", "laptop", "--endpoint", "vpn.example.org")
    finally:
        os.umask(old)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    text = key.read_text()
    assert "name = laptop\n" in text and "endpoint = vpn.example.org\n" in text
    assert re.search(r"^address = 10\.\d+\.\d+\.2/24, fd[0-9a-f:]+::2/64$", text, re.M)


def test_keys_differ(tmp_path):
    assert secret_of(make(tmp_path / "a")) != secret_of(make(tmp_path / "b"))


def test_out_is_exclusive_and_private(tmp_path):
    key = tmp_path / "k"
    assert keygen("a", "--out", key).returncode == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    again = keygen("a", "--out", key)
    assert again.returncode == 2 and str(key) in again.stderr and "exists" in again.stderr
    assert key.read_bytes() == before
    assert os.listdir(tmp_path) == ["k"]


def test_terminal_is_refused():
    master, slave = pty.openpty()
    try:
        made = keygen("a", stdout=slave)
        os.set_blocking(master, False)
        with pytest.raises(BlockingIOError):
            os.read(master, 1)
    finally:
        os.close(master)
        os.close(slave)
    assert made.returncode == 2 and "--out a.key" in made.stderr


def test_invite_may_go_to_a_terminal(tmp_path):
    key = make(tmp_path / "k", "a", "--endpoint", "192.0.2.1")
    master, slave = pty.openpty()
    try:
        assert keygen("--show", "--invite", key, stdout=slave).returncode == 0
        assert os.read(master, 1000).startswith(b"mv1:")
    finally:
        os.close(master)
        os.close(slave)


def test_file_that_holds_something_is_refused(tmp_path):
    log = tmp_path / "log"
    log.write_text("x\n")
    with open(log, "a") as out:
        made = keygen("a", stdout=out)
    assert made.returncode == 2 and "holds something" in made.stderr
    assert log.read_text() == "x\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a file of another user")
def test_file_of_another_user_is_refused(tmp_path):
    other = tmp_path / "other"
    other.touch()
    os.chown(other, 12345, 12345)
    with open(other, "w") as out:
        made = keygen("a", stdout=out)
    assert made.returncode == 2 and "another user" in made.stderr and other.read_text() == ""


def test_show_tells_everything_but_the_secret(tmp_path):
    key = make(tmp_path / "k", "phone", "--endpoint", "[2001:db8::1]:99", "--address", "10.9.8.7,fd00::7/64")
    shown = keygen("--show", key)
    assert shown.returncode == 0
    for piece in "phone", "[2001:db8::1]:99", "10.9.8.7/24", "fd00::7/64":
        assert piece in shown.stdout
    assert re.search(r"^fingerprint  ([0-9a-f]{4}-){5}[0-9a-f]{4}$", shown.stdout, re.M)
    secret = secret_of(key).removeprefix("mvk1-")
    assert not any(secret[i : i + 6] in shown.stdout for i in range(len(secret) - 5))


def test_invite_and_file_have_one_fingerprint(tmp_path):
    """The invite, decoded here by itself, holds the very key of the file."""
    import base64

    key = make(tmp_path / "k", "a", "--endpoint", "vpn.example.org")
    line = keygen("--show", "--invite", key).stdout.strip()
    raw = base64.urlsafe_b64decode(line.removeprefix("mv1:") + "==")
    assert raw[:32] == base64.urlsafe_b64decode(secret_of(key).removeprefix("mvk1-"))[:32]
    assert raw[32:34] == (4500).to_bytes(2, "big")
    assert raw[34:-4] == b"\x01avpn.example.org"


def test_folder_gives_the_next_free_address(tmp_path):
    keys = tmp_path / "keys"
    for name in "a", "b", "c":
        made = keygen(name, "--keys", keys, *(["--endpoint", "vpn.example.org:4501"] if name == "a" else []))
        assert made.returncode == 0, made.stderr
        assert made.stdout == "" and secret_of(keys / f"{name}.key") not in made.stderr
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    hosts = [re.search(r"^address = (\S+)\.(\d+)/24", (keys / f"{n}.key").read_text(), re.M) for n in "abc"]
    assert len({h.group(1) for h in hosts}) == 1
    assert [h.group(2) for h in hosts] == ["2", "3", "4"]
    assert "endpoint = vpn.example.org:4501\n" in (keys / "c.key").read_text()
    again = keygen("b", "--keys", keys)
    assert again.returncode == 2 and "b.key: exists" in again.stderr


def test_a_fresh_machine_has_no_folder_above_either(tmp_path):
    """minivpn-keygen phone --keys /etc/minivpn/keys, before anything else."""
    umask = os.umask(0o022)
    try:
        done = keygen("phone", "--keys", str(tmp_path / "minivpn" / "keys") + "/")
    finally:
        os.umask(umask)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "minivpn/keys/phone.key").exists()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("minivpn", "minivpn/keys")] == [0o755, 0o700]
    assert keygen("phone", "--keys", str(tmp_path / "a/b/c")).returncode != 0


def test_two_at_once_never_share_an_address(tmp_path):
    keys = tmp_path / "keys"
    running = [
        subprocess.Popen([KEYGEN, f"n{i}", "--keys", keys], stderr=subprocess.DEVNULL) for i in range(12)
    ]
    assert [p.wait(10) for p in running] == [0] * 12
    assert len({re.search("^address = (.*)$", p.read_text(), re.M).group(1) for p in keys.iterdir()}) == 12


@pytest.mark.parametrize(
    "args, says",
    [
        ([], "NAME is missing"),
        (["a", "b"], "more than one"),
        (["-x"], "invalid option"),
        (["--nonsense"], "nonsense"),
        (["a b"], "'a b', expected 1 to 63 letters"),
        ([""], "expected 1 to 63 letters"),
        (["a" * 64], "expected 1 to 63 letters"),
        (["a", "--endpoint", "x:0"], "--endpoint: found 'x:0'"),
        (["a", "--endpoint", ""], "--endpoint: found ''"),
        (["a", "--endpoint"], "requires an argument"),
        (["a", "--address", "10.0.0.0"], "--address: found '10.0.0.0'"),
        (["a", "--address", "10.0.0.1/33"], "--address: found '10.0.0.1/33'"),
        (["a", "--address", ""], "--address: found nothing"),
        (["a", "--out", "x", "--keys", "y"], "exclude each other"),
        (["--invite", "a"], "--invite goes with --show"),
        (["--show"], "FILE is missing"),
        (["--show", "a", "--out", "x"], "--show goes with no option"),
        (["--show", "nowhere.key"], "nowhere.key: does not exist"),
    ],
)
def test_misuse_is_named(tmp_path, args, says):
    ended = keygen(*args, cwd=tmp_path)
    assert ended.returncode == 2 and says in ended.stderr
    assert ended.stdout == "" and os.listdir(tmp_path) == []


def test_missing_folder_to_write_into(tmp_path):
    ended = keygen("a", "--out", tmp_path / "no" / "a.key")
    assert ended.returncode == 1 and "cannot be written" in ended.stderr


@pytest.mark.parametrize("damage", ["cut", "typo", "readable", "line"])
def test_damage_is_told_apart(tmp_path, damage):
    key = make(tmp_path / "k")
    text, secret = key.read_text(), secret_of(key)
    if damage == "cut":
        key.write_text(text.replace(secret, secret[:-9]))
        says = ":3: the key has 39 characters behind mvk1-, expected 48"
    elif damage == "typo":
        key.write_text(text.replace(secret, secret[:20] + ("a" if secret[20] != "a" else "b") + secret[21:]))
        says = ":3: the key's own check does not match"
    elif damage == "readable":
        key.chmod(0o644)
        says = ": has mode 0644, expected 0600"
    else:
        key.write_text(text + "dns = 1.1.1.1\n")
        says = ":5: 'dns' is unknown, expected name, key"
    shown = keygen("--show", key)
    assert shown.returncode == 2 and f"{key}{says}" in shown.stderr and shown.stdout == ""
    assert secret[5:30] not in shown.stderr
