# SPDX-License-Identifier: GPL-2.0-or-later
"""A server's clients come and go while it runs, and no other session notices."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time

import pytest

from hub import SERVER, Hub
from lab import program, wait_for


@pytest.fixture(name="world")
def server_and_lan(lab):
    return Hub(lab)


def test_invite_list_remove(world):
    world.keygen("alice")
    server = world.start()
    bob = world.machine("bob")

    line = world.invite("bob")
    assert line.startswith("mv1:") and line.count("\n") == 1
    assert (world.keys / "bob.key").stat().st_mode & 0o777 == 0o600
    client = world.connect(bob, line)
    assert bob.ping(re.search(r"minivpn0, (\S+?)/", server.output()).group(1)).received == 3
    server.wait_for_output(r"bob is connected from 203\.0\.113\.2:")

    listed = world.server.run("minivpn", "list").stdout.splitlines()
    assert [line.split()[:2] for line in sorted(listed)] == [["alice", "down"], ["bob", "up"]]

    world.server.run("minivpn", "remove", "bob")
    client.wait_for_output("the other end has removed the key", timeout=2)
    assert not (world.keys / "bob.key").exists()
    assert world.peer("bob") is None
    time.sleep(1)
    assert world.peer("bob") is None and "fits none" in server.output()


def test_addresses_are_stable_and_distinct(world):
    world.keygen("alice")
    world.start("--address", "10.9.0.1/29", "--address", "fd09::1/64")
    given = []
    for name in ("a", "b", "c", "d", "e"):
        world.invite(name)
        text = (world.keys / f"{name}.key").read_text()
        given.append(re.search(r"^address = (\S+), (\S+)$", text, re.MULTILINE).groups())
    assert [v4 for v4, _ in given] == [f"10.9.0.{n}/29" for n in range(2, 7)]
    assert len({v6 for _, v6 in given}) == 5
    full = world.server.run("minivpn", "invite", "f", check=False)
    assert full.returncode == 2 and "10.9.0.0/29 has no address left" in full.stderr
    # What was given once stays with its client; what became free is given again.
    world.server.run("minivpn", "remove", "c")
    world.invite("g")
    assert "10.9.0.4/29" in (world.keys / "g.key").read_text()
    taken = world.server.run("minivpn", "invite", "h", "--address", "10.9.0.2", check=False)
    assert taken.returncode == 2 and "h.key" in taken.stderr and "a.key" in taken.stderr
    assert not (world.keys / "h.key").exists()
    own = world.server.run("minivpn", "invite", "h", "--address", "10.9.0.1", check=False)
    assert own.returncode == 2 and "the server's own" in own.stderr
    foreign = world.server.run("minivpn", "invite", "h", "--address", "10.8.0.2", check=False)
    assert foreign.returncode == 2 and "expected one in the server's networks" in foreign.stderr


def test_nothing_is_half_applied(world):
    alice_key = world.keygen("alice")
    server = world.start()
    # A good one, and one that has the key of another: neither is taken.
    world.keygen("good")
    copy = world.keys / "zcopy.key"
    copy.write_text(alice_key.read_text().replace("name = alice", "name = zcopy"))
    copy.chmod(0o600)
    refused = world.server.run("minivpn", "reload", check=False)
    assert refused.returncode == 2
    assert "zcopy.key: has the same key as 'alice.key'" in refused.stderr
    assert [p["name"] for p in world.status()["peers"]] == ["alice"]

    copy.write_text("name = zcopy\nkey = nonsense\n")
    refused = world.server.run("minivpn", "reload", check=False)
    assert "zcopy.key:2: the key does not begin with mvk1-" in refused.stderr
    copy.chmod(0o644)
    refused = world.server.run("minivpn", "reload", check=False)
    assert "has mode 0644" in refused.stderr
    assert [p["name"] for p in world.status()["peers"]] == ["alice"]

    copy.unlink()
    assert "2 keys: 1 added, 0 changed, 0 removed" in world.server.run("minivpn", "reload").stdout
    said = server.output()
    assert "0 added, 0 changed, 0 removed" in world.server.run("minivpn", "reload").stdout
    assert server.output() == said     # nothing has happened


def test_nobody_gets_the_server_s_own_address(world):
    alice_key = world.keygen("alice", "--address", "10.9.0.2/24")
    world.start()
    alice_key.write_text(alice_key.read_text().replace("10.9.0.2", "10.9.0.1"))
    refused = world.server.run("minivpn", "reload", check=False)
    assert refused.returncode == 2
    assert "alice.key: address of alice is 10.9.0.1, which is the server's own" in refused.stderr
    assert world.peer("alice")["addresses"] == ["10.9.0.2/24"]


def test_bytes_that_are_no_text_are_shown_as_well_as_can_be(world):
    world.keygen("alice")
    world.start()
    for name, text, says in ((b"b.key", b"name = \xff\xfe\n", "b.key:1: name is '??', expected 1 to 63"),
                             (b"\xff\xc3\xbc.key", b"nonsense", "???.key:1: the line is not 'name = value'"),
                             (b"\xc3\xbc.key", b"nonsense", "ü.key:1: the line is not 'name = value'")):
        path = os.path.join(os.fsencode(world.keys), name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(text)
        refused = world.server.run("minivpn", "reload", check=False)
        assert refused.returncode == 2 and says in refused.stderr
        os.unlink(path)


def test_a_folder_that_is_full_or_gone(world):
    """What the machine refuses is told as it is, and nothing is lost by it."""
    server = world.server
    server.run("mkdir", "/run/keys")
    server.run("mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", "/run/keys")
    server.run("minivpn-keygen", "alice", "--keys", "/run/keys", "--endpoint", SERVER)
    server.start("minivpn", "server", "/run/keys").wait_for_output("up: minivpn0")
    before = server.path("/run/keys/alice.key").read_text()
    server.run("dd", "if=/dev/zero", "of=/run/keys/fill", "bs=1k", check=False)
    for command, file in (("invite", "bob"), ("rotate", "alice")):
        refused = server.run("minivpn", command, file, check=False)
        assert refused.returncode == 1 and "No space left on device" in refused.stderr
    assert server.path("/run/keys/alice.key").read_text() == before
    server.run("umount", "-l", "/run/keys")
    server.run("rmdir", "/run/keys")
    refused = server.run("minivpn", "invite", "bob", check=False)
    assert refused.returncode == 1
    assert "/run/keys cannot be opened: No such file or directory" in refused.stderr
    assert [p["name"] for p in world.status()["peers"]] == ["alice"]


def address_of(world, name):
    return world.peer(name)["addresses"][0]


def test_whatever_happens_to_a_file_is_noticed(world):
    """Also what no stamp could tell: in the same tick of the clock, of the same length, with the old times."""
    world.keygen("alice", "--address", "10.9.0.2/24")
    key = world.keygen("bob", "--address", "10.9.0.3/24")
    world.start("--address", "10.9.0.1/24")
    assert "2 keys: 0 added, 0 changed, 0 removed" in world.server.run("minivpn", "reload").stdout
    for number in (4, 5, 6, 7):
        before = key.stat()
        with key.open("r+") as file:
            text = file.read()
            file.seek(0)
            file.write(re.sub(r"10\.9\.0\.\d", f"10.9.0.{number}", text))
        os.utime(key, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert "0 added, 1 changed, 0 removed" in world.server.run("minivpn", "reload").stdout
        assert address_of(world, "bob") == f"10.9.0.{number}/24"
    key.rename(world.keys / "bert.key")
    assert "1 added, 0 changed, 1 removed" in world.server.run("minivpn", "reload").stdout
    strange = os.path.join(os.fsencode(world.keys), b"\xff.key")    # a name that cannot be said
    os.rename(world.keys / "bert.key", strange)
    assert "1 added, 0 changed, 1 removed" in world.server.run("minivpn", "reload").stdout
    os.rename(strange, world.keys / "bert.key")
    assert "1 added, 0 changed, 1 removed" in world.server.run("minivpn", "reload").stdout
    # More than the server keeps the names of.
    for number in range(300):
        shutil.copy(world.keys / "bert.key", world.keys / f"x{number}.key")
        (world.keys / f"x{number}.key").unlink()
    (world.keys / "alice.key").unlink()
    assert "1 keys: 0 added, 0 changed, 1 removed" in world.server.run("minivpn", "reload").stdout


@pytest.mark.parametrize("another_name", ["a hard link", "a mount"])
def test_a_file_may_be_written_under_another_name(world, another_name):
    """Which nobody sees who looks at the folder: then all files are looked at."""
    world.keygen("alice", "--address", "10.9.0.2/24")
    key, elsewhere = world.keys / "bob.key", world.lab.folder / "elsewhere"
    world.keygen("bob", "--address", "10.9.0.3/24")
    if another_name == "a hard link":
        os.link(key, elsewhere)
    else:
        shutil.copy(key, elsewhere)
        world.server.run("mount", "--bind", elsewhere, key)
    world.start("--address", "10.9.0.1/24")
    world.server.run("minivpn", "reload")
    elsewhere.write_text(elsewhere.read_text().replace("10.9.0.3/", "10.9.0.4/"))
    assert "0 added, 1 changed, 0 removed" in world.server.run("minivpn", "reload").stdout
    assert address_of(world, "bob") == "10.9.0.4/24"


def test_invites_at_once_have_addresses_of_their_own(world):
    """Each knows of the others, and of files that nobody has told the server of."""
    world.keygen("alice", "--address", "10.9.0.2/24")
    world.start("--address", "10.9.0.1/24", "--address", "fd09::1/64")
    world.keygen("bystander", "--address", "10.9.0.3/24,fd09::2/64")
    invites = [world.server.start("minivpn", "invite", f"c{number}") for number in range(8)]
    assert [invite.wait(timeout=20) for invite in invites] == 8 * [0]
    given = [address for peer in world.status()["peers"] for address in peer["addresses"]]
    assert len(given) == len(set(given)) == 1 + 2 + 8 * 2
    assert {f"10.9.0.{n}/24" for n in range(2, 12)} < set(given)
    again = world.server.run("minivpn", "invite", "c3", check=False)
    assert again.returncode == 2 and "c3 has a key already, in " in again.stderr


# In place of a server: answers as it is told to, and says what it was brought.
LIAR = """
import fcntl, json, os, socket, sys
folder = f"/run/minivpn/netns-{os.stat('/proc/self/ns/net').st_ino}/minivpn0"
os.makedirs(folder)
lock = os.open(folder, os.O_RDONLY)
fcntl.flock(lock, fcntl.LOCK_EX)
os.symlink(sys.argv[2], folder + "/keys")
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + "/control")
listener.listen()
print("ready", flush=True)
while True:
    asking, _ = listener.accept()
    request, brought, _, _ = socket.recv_fds(asking, 4096, 1)
    if brought:
        print("brought:", os.pread(brought[0], 1 << 20, 0), flush=True)
    asking.sendall(json.dumps({"minivpn": "x", **json.loads(sys.argv[1])[json.loads(request)["request"]]}).encode())
    asking.close()
"""


@pytest.mark.parametrize("file, says", [("../alice.key", "its key is in a file whose name"),
                                        ("bob.key", "found the key of bob, expected that of alice")])
def test_a_server_that_lies_gets_nothing_that_is_not_its_own(world, file, says):
    """What reads, deletes and rewrites files has more rights than who says which ones."""
    alice, bob, carol = map(world.keygen, ("alice", "bob", "carol"))
    old = re.search("^key = .*\n", carol.read_text(), re.MULTILINE).group(0)
    for key in (alice, bob):
        key.write_text(f"{key.read_text()}old-{old}")
    alice = alice.rename(world.lab.folder / "alice.key")
    folder, texts = world.keys.stat(), (alice.read_text(), bob.read_text())
    liar = world.server.start("/usr/bin/python3", "-c", LIAR, json.dumps({
        "about": {"role": "server", "interface": "minivpn0", "port": 4500, "addresses": ["10.9.0.1/24"],
                  "retired": {"alice": file}},
        "touched": {"device": folder.st_dev, "inode": folder.st_ino, "until": 0, "known": True,
                    "files": [file]},
        "reload": {"keys": 1, "added": 0, "changed": 0, "removed": 0},
        "client": {"known": True, "file": file, "endpoint": None, "free": []}}), world.keys)
    liar.wait_for_output("ready")
    world.server.run("minivpn", "reload")
    secret = re.search("key = mvk1-(.*)", texts[0]).group(1)
    assert "brought:" in liar.output() and secret not in liar.output()
    for command in ("remove", "rotate"):
        refused = world.server.run("minivpn", command, "alice", check=False)
        assert refused.returncode and says in refused.stderr
    assert (alice.read_text(), bob.read_text()) == texts


def test_a_server_that_lies_about_its_folder_gets_nothing_of_another(world):
    """Where the keys are was noted when it still had rights.  Others call their secrets *.key as well."""
    world.keygen("alice")
    others = world.lab.folder / "others"
    others.mkdir(mode=0o700)
    (others / "web.key").write_text("-----BEGIN PRIVATE KEY-----\n")
    (others / "web.key").chmod(0o600)
    liar = world.server.start("/usr/bin/python3", "-c", LIAR, json.dumps({
        "about": {"role": "server", "interface": "minivpn0", "keys": str(others), "port": 4500,
                  "addresses": ["10.9.0.1/24"], "retired": {}},
        "touched": {"device": 0, "inode": 0, "until": 0, "known": False, "files": []},
        "reload": {"keys": 1, "added": 0, "changed": 0, "removed": 0},
        "client": {"known": False, "file": None, "endpoint": None, "free": ["10.9.0.2/24"]}}), world.keys)
    liar.wait_for_output("ready")
    world.server.run("minivpn", "reload")
    world.server.run("minivpn", "invite", "bob", "--endpoint", "192.0.2.1")
    assert "brought:" in liar.output() and "PRIVATE" not in liar.output()
    assert [file.name for file in others.iterdir()] == ["web.key"]
    assert (world.keys / "bob.key").exists()


def test_an_invite_that_has_no_room_is_told_where_to_find(world):
    world.keygen("alice")
    world.start()
    done = world.server.run("sh", "-c", f"{shlex.quote(program('minivpn'))} invite bob >/dev/full", check=False)
    assert done.returncode == 1
    again = re.search(r"its invite cannot be printed: .* Again: (minivpn-keygen --show --invite .*)$", done.stderr)
    assert world.server.run(*again[1].split()).stdout.startswith("mv1:")


def test_another_folder_in_its_place(world):
    world.keygen("alice", "--address", "10.9.0.2/24")
    world.start("--address", "10.9.0.1/24")
    world.server.run("minivpn", "reload")
    world.keys.rename(world.lab.folder / "before")
    gone = world.server.run("minivpn", "invite", "bob", check=False)
    assert gone.returncode == 1
    assert gone.stderr == (f"minivpn: {world.keys} cannot be opened: No such file or directory "
                           "(the keys were there when the server started)\n")
    world.keys.mkdir(mode=0o700)
    world.keygen("bob", "--address", "10.9.0.3/24")
    assert "1 keys: 1 added, 0 changed, 1 removed" in world.server.run("minivpn", "reload").stdout


def test_no_session_loses_a_packet(world):
    """UDP at a steady rate through a tunnel while others come and go: all that one end sends in it
    comes out of it at the other.  (What iperf has no time to read on a busy machine is not counted.)"""
    world.keygen("alice")
    world.start("--address", "10.9.0.1/16")
    alice = world.machine("alice")
    world.invite("steady")
    line = world.server.run("minivpn-keygen", "--show", "--invite", world.keys / "steady.key").stdout
    world.connect(alice, line)
    handshakes = world.peer("steady")["handshakes"]
    world.server.serve_iperf()
    load = alice.start("iperf3", "--json", "--client", "10.9.0.1", "--udp", "--bitrate", "40M",
                       "--length", "1000", "--time", "4")
    ends = time.monotonic() + 3.5
    rounds = 0
    while time.monotonic() < ends:
        world.invite(f"guest{rounds}")
        (world.keys / "alice.key").write_text((world.keys / "alice.key").read_text() + "# seen\n")
        world.server.run("minivpn", "reload")
        world.server.run("minivpn", "remove", f"guest{rounds}")
        rounds += 1
    assert load.wait(timeout=10) == 0
    assert rounds > 5 and json.loads(load.output())["end"]["sum"]["packets"] > 10000

    def sent():
        return json.loads(alice.run("minivpn", "status", "--json").stdout)["tunnels"][0]["peers"][0]

    # The last of them may be under way: connections end in their time.
    wait_for(lambda: world.peer("steady")["packets_in"] == sent()["packets_out"] > 10000,
             what="all that was sent to have come")
    assert sent()["verdicts"].keys() <= {"pass", "consumed", "staged"}
    assert world.peer("steady")["handshakes"] == handshakes


def test_rotate(world):
    world.keygen("alice")
    server = world.start()
    alice, elsewhere = world.machine("alice"), world.machine("elsewhere")
    first = world.invite("laptop")
    client = world.connect(alice, first)

    second = world.server.run("minivpn", "rotate", "laptop").stdout
    assert second.startswith("mv1:") and second != first
    listed = world.server.run("minivpn", "list").stdout
    assert len(re.findall(r"^laptop ", listed, re.M)) == 2
    assert len(re.findall(r"^laptop +up .* \(old key\)$", listed, re.M)) == 1
    # The session of the old key lives, and so does the old key.
    assert world.peer("laptop")["addresses"]
    assert "lost" not in client.output() and client.stop() == 0
    client = world.connect(alice, first)
    gateway = re.search(r"minivpn0, (\S+?)/", server.output()).group(1)
    assert alice.ping(gateway).received == 3
    assert client.stop() == 0

    client = world.connect(alice, second)
    server.wait_for_output("laptop is connected with its new key: the old one is good no more")
    assert alice.ping(gateway).received == 3
    stale = elsewhere.start("minivpn", "client", "-", stdin=subprocess.PIPE)
    stale.stdin.write(first.encode())
    stale.stdin.close()
    stale.wait_for_output("no answer from", timeout=12)
    assert stale.stop() == 0
    # Whoever may write there strikes the old key out of the file; nobody is cut off by it.
    assert "old-key" in (world.keys / "laptop.key").read_text()
    world.server.run("minivpn", "reload")
    assert "old-key" not in (world.keys / "laptop.key").read_text()
    assert alice.ping(gateway).received == 3 and "lost" not in client.output()


def test_networks_behind_clients(world):
    """Site to site: a network behind a client, both ways, and nobody else may speak for it."""
    world.keygen("alice")
    server = world.start("--address", "10.9.0.1/24")
    site, rogue, printer = world.machine("site"), world.machine("rogue"), world.lab.host("printer")
    world.lab.link(site, "192.168.7.1/24", printer, "192.168.7.2/24")
    printer.route("default", via="192.168.7.1")
    site.forward()
    key = world.keygen("site", "--address", "10.9.0.20/24")
    key.write_text(key.read_text() + "networks = 192.168.7.0/24\n")
    world.server.run("minivpn", "reload")
    assert "192.168.7.0/24 dev minivpn0" in world.server.ip("route")
    client = site.start("minivpn", "client", "--route", "10.9.0.0/24", "--remote", SERVER, key)
    client.wait_for_output("up: minivpn0")
    assert world.server.ping("192.168.7.2").received == 3
    assert printer.ping("10.9.0.1").received == 3

    # Another client claims an address of that network: the server drops and counts it.
    world.connect(rogue, world.invite("rogue"), "--route", "10.9.0.0/24")
    rogue.ip("address", "add", "192.168.7.66/32", "dev", "lo")
    rogue.run("ping", "-c", 2, "-W", 1, "-I", "192.168.7.66", "10.9.0.1", check=False)
    assert world.peer("rogue")["verdicts"].get("wrong-source", 0) >= 2

    # Without its line the network is no longer there; a network that is too large is refused.
    key.write_text(key.read_text().replace("networks = 192.168.7.0/24\n", ""))
    world.server.run("minivpn", "reload")
    assert "192.168.7.0/24" not in world.server.ip("route")
    key.write_text(key.read_text() + "networks = 128.0.0.0/1\n")
    refused = world.server.run("minivpn", "reload", check=False)
    assert refused.returncode == 2 and "too much of the Internet" in refused.stderr
    assert server.running()


@pytest.mark.parametrize("networks, forwards, warned", [
    ("192.168.7.0/24, fd07::/64", False, ["192.168.7.0/24", "fd07::/64"]),
    ("192.168.7.0/24, fd07::/64", True, []),
    ("192.168.7.1/32, fd07::1/128", False, [])])    # as likely the client's own
def test_a_client_that_does_not_forward_says_so(world, networks, forwards, warned):
    """Its networks would not be reached, and nothing else would tell why."""
    key = world.keygen("site", "--address", "10.9.0.20/24")
    key.write_text(key.read_text() + f"networks = {networks}\n")
    world.start("--address", "10.9.0.1/24")
    site = world.machine("site")
    if forwards:
        site.forward()
    client = site.start("minivpn", "client", "--route", "10.9.0.0/24", "--remote", SERVER, key)
    client.wait_for_output("server runs minivpn")
    said = re.findall(r"does not forward what the server sends for (\S+) .*: sysctl (\S+)=1 makes it",
                      client.output())
    assert [network for network, _ in said] == warned
    for _, setting in said:
        site.sysctl(setting, 1)
    if warned:
        assert client.stop() == 0
        again = site.start("minivpn", "client", "--route", "10.9.0.0/24", "--remote", SERVER, key)
        again.wait_for_output("server runs minivpn")
        assert "does not forward" not in again.output()


def test_one_file_is_reloaded_too(world):
    key = world.keygen("alice")
    world.server.start("minivpn", "server", key).wait_for_output("up: minivpn0")
    refused = world.server.run("minivpn", "invite", "bob", check=False)
    assert refused.returncode == 2 and "start it with a folder of keys" in refused.stderr
    assert "1 keys: 0 added" in world.server.run("minivpn", "reload").stdout


def test_a_client_has_nothing_to_reload(world):
    world.keygen("alice")
    world.start()
    bob = world.machine("bob")
    world.connect(bob, world.invite("bob"))
    refused = bob.run("minivpn", "reload", check=False)
    assert refused.returncode == 1 and "no server runs here" in refused.stderr


def test_commands_need_a_server(world):
    for command in (["reload"], ["list"], ["invite", "bob"], ["remove", "bob"], ["rotate", "bob"]):
        refused = world.server.run("minivpn", *command, check=False)
        assert refused.returncode == 1 and "no tunnel runs here" in refused.stderr
