# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking a running tunnel, and stopping it: `minivpn status` and `minivpn down`.

	client 192.0.2.2 ---- 192.0.2.1 server
"""

import json
import re
import shlex
import socket
import subprocess
import time

import pytest

from lab import program, wait_for

MINIVPN, KEYGEN = program("minivpn"), program("minivpn-keygen")


def make_key(folder, name, *more):
    """A key file for the server of this lab; returns its path."""
    path = str(folder / f"{name}.key")
    subprocess.run([KEYGEN, name, "--out", path, *more], check=True, capture_output=True, timeout=10)
    return path


@pytest.fixture
def hosts(lab):
    client, server = lab.hosts("client", "server")
    lab.link(client, "192.0.2.2/24", server, "192.0.2.1/24")
    wait_for(lambda: "NO-CARRIER" not in client.ip("link") + server.ip("link"), what="the link")
    return client, server


@pytest.fixture
def pair(hosts, tmp_path):
    """Client and server, connected."""
    client, server = hosts
    key = make_key(tmp_path, "laptop", "--endpoint", "192.0.2.1", "--address",
                   "10.171.38.2/24,fd00:38::2/64")
    client.before, server.before = client.snapshot(), server.snapshot()
    server.start("minivpn", "server", key).wait_for_output("tunnel: up")
    client.start("minivpn", "client", key).wait_for_output("tunnel: up")
    return client, server


# Somebody's own program, who knows the socket: sends a request, and a descriptor with it.
OTHER_PROGRAM = """
import array, glob, json, socket, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect(glob.glob("/run/minivpn/*/minivpn0/control")[0])
asking.sendmsg([json.dumps({"request": sys.argv[1]}).encode() + bytes([10])],
               [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
print(asking.recv(4096).decode())
"""


def status(host, *names):
    """The tunnels that `status --json` shows."""
    answer = json.loads(host.run(MINIVPN, "status", "--json", *names).stdout)
    assert re.match(r"\d+\.\d+\.\d+$", answer["minivpn"])
    return answer["tunnels"]


def test_what_status_tells(pair):
    client, server = pair
    sent = client.ping("10.171.38.1", count=5)
    assert sent.received == 5
    (seen_by_server,), (seen_by_client,) = status(server), status(client)
    assert (seen_by_server["role"], seen_by_client["role"]) == ("server", "client")
    assert seen_by_server["interface"] == "minivpn0"
    assert seen_by_server["addresses"] == ["10.171.38.1/24", "fd00:38::1/64"]
    assert seen_by_client["addresses"] == ["10.171.38.2/24", "fd00:38::2/64"]
    assert (seen_by_client["default_ipv4"], seen_by_client["default_ipv6"]) == ("tunnel", "tunnel")
    assert (seen_by_server["default_ipv4"], seen_by_server["routes"]) == ("host", [])
    (laptop,), (peer,) = seen_by_server["peers"], seen_by_client["peers"]
    assert laptop["name"] == "laptop" and laptop["up"] and peer["up"]
    assert laptop["endpoint"].startswith("192.0.2.2:") and peer["endpoint"] == "192.0.2.1:4500"
    assert laptop["handshakes"] >= 1 and 0 <= laptop["last_heard_s"] <= laptop["up_s"] + 1
    assert laptop["packets_in"] == laptop["packets_out"] == 5
    assert laptop["bytes_in"] == laptop["bytes_out"] == 5 * 84
    assert laptop["software"] == f"minivpn {seen_by_server['minivpn']}"


@pytest.mark.parametrize("files, options, handed_out", [
    ({"/etc/resolv.conf": "# x\nnameserver 192.0.2.53\nsearch a\n nameserver 2001:db8::53 # y\n"}, [],
     ["192.0.2.53", "2001:db8::53"]),
    ({"/etc/resolv.conf": "nameserver 127.0.0.53\n",
      "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.54\n"}, [], ["192.0.2.54"]),
    ({"/etc/resolv.conf": "nameserver 192.0.2.53\n"}, ["--dns", "192.0.2.1"], ["192.0.2.1"]),
    ({"/etc/resolv.conf": "nameserver 192.0.2.53\n"}, ["--route", "10.0.0.0/8"], []),
    ({"/etc/resolv.conf": "nameserver nonsense\nnameserver\n"}, [], []),
])
def test_name_servers_are_handed_out(hosts, tmp_path, files, options, handed_out):
    """Those that the server asks itself, if everything goes through it and nothing else is said."""
    client, server = hosts
    for name, text in files.items():
        server.path(name).parent.mkdir(parents=True, exist_ok=True)
        server.path(name).write_text(text)
    key = make_key(tmp_path, "laptop", "--endpoint", "192.0.2.1")
    server.start("minivpn", "server", *options, key).wait_for_output("tunnel: up")
    client.start("minivpn", "client", key).wait_for_output("tunnel: up")
    assert status(server)[0]["dns"] == status(client)[0]["dns"] == handed_out


def test_drops_have_their_cause(pair):
    """Packets from nowhere are counted by what is wrong with them, and the table says it in words."""
    client, server = pair
    packets = {"unknown-spi": b"\xde\xad\xbe\xef" + bytes(60), "truncated": b"\x01" * 20,
               "nat-keepalive": b"\xff"}
    for packet in packets.values():
        client.run("/usr/bin/python3", "-c",
                   "import socket, sys;"
                   "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                   "s.sendto(bytes.fromhex(sys.argv[1]), ('192.0.2.1', 4500))", packet.hex())
    wait_for(lambda: all(status(server)[0]["verdicts"].get(name) == 1 for name in packets),
             what="all three to be counted")
    table = server.run(MINIVPN, "status").stdout
    assert re.search(r"^ +1  names no session of ours$", table, re.MULTILINE)
    assert re.search(r"^ +1  shorter than any message$", table, re.MULTILINE)
    assert "keepalive" not in table.split("not passed")[1]


def test_the_table_is_for_people(pair):
    client, server = pair
    table = server.run(MINIVPN, "status").stdout
    assert re.match(r"minivpn0: server, running \d+\.\d s, AEAD \S+\n", table)
    assert re.search(r"^  laptop  up \d+\.\d s, since [^,]+, at 192\.0\.2\.2:\d+$", table, re.MULTILINE)
    table = client.run(MINIVPN, "status", "minivpn0").stdout
    assert "\n  routes     all IPv4, all IPv6\n" in table
    assert re.search(r"^  server  up \d+\.\d s, since [^,]+, at 192\.0\.2\.1:4500$", table, re.MULTILINE)


def test_down_returns_when_all_is_undone(pair):
    for host in pair:
        done = host.run(MINIVPN, "down")
        assert done.stdout + done.stderr == ""
        now = host.snapshot()
        for part in ("rules", "routes", "addresses", "nft", "sysctls"):
            assert now[part] == host.before[part]
        assert "minivpn0" not in host.ip("link")
        gone = host.run(MINIVPN, "status", check=False)
        assert gone.returncode == 1 and gone.stderr == "minivpn: no tunnel runs here\n"


def test_whoever_watches_is_told_of_the_end(pair):
    client, server = pair
    watching = [server.start(MINIVPN, "status", "--watch", *names) for names in ((), ("minivpn0",))]
    for watch in watching:
        watch.wait_for_output("laptop")
    server.run(MINIVPN, "down")
    assert [watch.wait(3) for watch in watching] == [1, 1]
    assert re.search("^minivpn: (no tunnel runs any more|minivpn0: the tunnel has ended)$",
                     watching[0].output(), re.MULTILINE)
    assert "\nminivpn: minivpn0: the tunnel has ended\n" in watching[1].output()
    assert "cannot be asked" not in watching[0].output() + watching[1].output()


def watched_on_a_terminal(host, **environment):
    """What `status --watch` shows in two seconds, rates among it."""
    line = f"timeout 2.5 {shlex.quote(program(MINIVPN))} status --watch"
    clean = {name: "" for name in ("LC_ALL", "LC_CTYPE", "LANG", "TERM")}
    return host.run("script", "-qec", line, "/dev/null", check=False, env=clean | environment).stdout


def test_a_terminal_is_told_what_it_understands(pair):
    server = pair[0]
    modern = watched_on_a_terminal(server, TERM="xterm", LANG="de_DE.UTF-8")
    assert "\033[H\033[2J" in modern and re.search("rate .*[▁-█]", modern)
    old = watched_on_a_terminal(server, TERM="vt220", LANG="de_DE.UTF-8", LC_ALL="C")
    assert "\033[H\033[2J" in old and "rate" in old and old.isascii()
    dumb = watched_on_a_terminal(server, TERM="dumb", LANG="C.UTF-8")
    assert "rate" in dumb and "\033" not in dumb and dumb.isascii()


@pytest.mark.parametrize("command", ["status", "status --json", "status --prometheus", "status --watch", "version",
                                     "help", "server --help", "list"])
def test_output_that_has_no_room_is_no_success(pair, command):
    _, server = pair
    done = server.run("sh", "-c", f"{shlex.quote(MINIVPN)} {command} >/dev/full", check=False)
    assert done.returncode == 1 and "minivpn: standard output cannot be written" in done.stderr


def test_a_tunnel_that_starts_or_ends_is_waited_for(hosts, tmp_path):
    """Asked at any moment it answers, or is not there; and two may stop it at once."""
    _, server = hosts
    key = make_key(tmp_path, "laptop", "--address", "10.171.38.2/24")
    for delay_s in (0.001, 0.005, 0.01, 0.02, 0.03):
        server.start("minivpn", "server", key)
        time.sleep(delay_s)
        asked = server.run(MINIVPN, "status", check=False)
        assert "cannot be asked" not in asked.stderr
        wait_for(lambda: server.run(MINIVPN, "status", check=False).returncode == 0, 3, "the tunnel to be up")
        downs = [server.start(MINIVPN, "down", "minivpn0") for _ in range(3)]
        for down in downs:
            assert down.wait() == 0 or "no tunnel of that name runs here" in down.output()
            assert "cannot be asked" not in down.output()


def test_the_right_one_of_two(hosts, tmp_path):
    _, server = hosts
    for name, port in (("vpn7", 4501), ("vpn8", 4502)):
        key = make_key(tmp_path, name)
        server.start("minivpn", "server", "-i", name, "--local", f":{port}", key).wait_for_output("up")
    assert [tunnel["interface"] for tunnel in status(server)] == ["vpn7", "vpn8"]
    assert [tunnel["interface"] for tunnel in status(server, "vpn8")] == ["vpn8"]
    which = server.run(MINIVPN, "down", check=False)
    assert which.returncode == 2 and "expected the name of one: vpn7 vpn8" in which.stderr
    missing = server.run(MINIVPN, "down", "vpn9", check=False)
    assert missing.returncode == 1 and "vpn9: no tunnel of that name runs here" in missing.stderr
    server.run(MINIVPN, "down", "--", "vpn7")
    assert [tunnel["interface"] for tunnel in status(server)] == ["vpn8"]
    again = server.run(MINIVPN, "server", "-i", "vpn8", make_key(tmp_path, "x"), check=False)
    assert again.returncode == 1 and "vpn8 runs already" in again.stderr


def test_only_root_may_ask(pair):
    _, server = pair
    for command in ("status", "down"):
        asked = server.run("setpriv", "--reuid=65534", "--clear-groups", MINIVPN, command, check=False)
        assert asked.returncode == 1 and "run it with sudo" in asked.stderr
    assert len(status(server)) == 1


def test_a_group_may_look_but_not_touch(hosts, tmp_path):
    client, server = hosts
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    key = make_key(keys, "laptop", "--endpoint", "192.0.2.1")
    with server.path("/etc/group").open("a") as groups:
        groups.write("watchers:x:7007:\n")
    # A umask that keeps everybody out of new folders, as careful people have it; and one right less
    # than root has, as in the systemd unit.
    server.start("sh", "-c", "umask 077; exec setpriv --bounding-set=-chown "
                 f"{shlex.quote(MINIVPN)} server --control-group watchers {keys}").wait_for_output("tunnel: up")
    client.start("minivpn", "client", key).wait_for_output("tunnel: up")

    def ask(*words, groups="7007"):
        # Nobody: the very user that the daemon has become.
        return server.run("setpriv", "--reuid=65534", "--regid=65534", f"--groups={groups}",
                          *words, check=False)

    looked = ask(MINIVPN, "status", "--json")
    assert json.loads(looked.stdout)["tunnels"][0]["peers"][0]["up"], looked.stderr
    assert ask(MINIVPN, "list").stdout.split()[:2] == ["laptop", "up"]
    for command in ("down", "keylog"):
        asked = ask(MINIVPN, command)
        assert asked.returncode == 1 and "that is for root: run it with sudo" in asked.stderr
        assert asked.stdout == ""
    for command in (["reload"], ["invite", "phone"], ["rotate", "laptop"], ["remove", "laptop"]):
        asked = ask(MINIVPN, *command)
        assert asked.returncode > 0 and "ermission denied" in asked.stderr, (command, asked)
    # It is not our program that keeps to that.
    for request in ("reload", "down", "keylog", "nonsense"):
        # -I: the folder that it starts in may be one that nobody may read, as root's home is.
        asked = ask("/usr/bin/python3", "-I", "-c", OTHER_PROGRAM, request)
        assert asked.returncode == 0, asked.stderr
        told = json.loads(asked.stdout)
        assert told.pop("minivpn") and told == {"denied": True, "error": "that is for root"}
    stranger = ask(MINIVPN, "status", groups="7008")
    assert stranger.returncode == 1 and "that is for root" in stranger.stderr
    assert [peer["up"] for peer in status(server)[0]["peers"]] == [True]
    server.run(MINIVPN, "down")


def test_whoever_asks_and_says_nothing_holds_nobody_up(pair):
    client, server = pair
    path = next(server.path("/run/minivpn").rglob("minivpn0/control"))
    silent = []
    for _ in range(20):
        asking = socket.socket(socket.AF_UNIX)
        asking.connect(str(path))
        silent.append(asking)
    assert status(server)[0]["peers"][0]["up"]
    assert client.ping("10.171.38.1").received == 3
    for asking in silent:
        asking.close()
