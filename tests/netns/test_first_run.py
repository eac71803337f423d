# SPDX-License-Identifier: GPL-2.0-or-later
"""Two commands, no file, one pasted value: the first run on both sides, and what is there afterwards.

	client 192.0.2.2 ---- 192.0.2.1 server
"""

import codecs
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import socket
import stat
import subprocess
import termios
import time

import pytest

from four_machines import children
from lab import program, wait_for

MINIVPN, KEYGEN = "minivpn", program("minivpn-keygen")


@pytest.fixture
def hosts(lab):
    client, server = lab.hosts("client", "server")
    lab.link(client, "192.0.2.2/24", server, "192.0.2.1/24")
    wait_for(lambda: "NO-CARRIER" not in client.ip("link") + server.ip("link"), what="the link")
    return client, server


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class OnTerminal:
    """A program of a host whose standard input, output and error are a terminal: its session's, if it is
    @controlled by that."""

    def __init__(self, host, *command, controlled=False):
        self.master, slave = pty.openpty()
        self.bytes, self.said = b"", ""
        self.echo = lambda: termios.tcgetattr(self.master)[3] & termios.ECHO
        self.process = subprocess.Popen(host.enter(*command), stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, close_fds=True,
                                        preexec_fn=take_terminal if controlled else None)
        os.close(slave)

    def wait_for(self, pattern, timeout=5.0):
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.said, re.MULTILINE)):
            ready = select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"no /{pattern}/ in: {self.said}"
            try:
                self.bytes += os.read(self.master, 4096)
            except OSError:
                raise AssertionError(f"ended without /{pattern}/: {self.said}") from None
            # A terminal hands over what there is, be it half of a character or of a line's end.
            self.said = codecs.utf_8_decode(self.bytes)[0].replace("\r\n", "\n")
        return found

    def type(self, text):
        os.write(self.master, text.encode())

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(5)
        os.close(self.master)


def server_address(server):
    return re.search(r"inet (10\.\S+)/24", server.run("ip", "address", "show", "minivpn0").stdout)[1]


def test_two_commands_and_one_pasted_line(hosts):
    client, server = hosts
    with OnTerminal(server, program(MINIVPN), "server") as serving:
        invite = serving.wait_for(r"^invite: (mv1:\S+)$")[1]
        serving.wait_for("tunnel: up")
        with OnTerminal(client, program(MINIVPN), "client") as connecting:
            connecting.wait_for("invite: ")
            assert not connecting.echo()
            connecting.type(invite + "\n")
            connecting.wait_for("tunnel: up")
            assert connecting.echo()
            assert invite[4:] not in connecting.said
            assert client.ping(server_address(server)).received == 3
            for host, file in ((client, "client.key"), (server, "keys/client.key")):
                kept = host.path(f"/etc/minivpn/{file}")
                assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            assert connecting.stop(signal.SIGINT) == 0

    # The second time nothing is printed and nothing is asked.
    server.start(MINIVPN, "server").wait_for_output("tunnel: up")
    again = client.start(MINIVPN, "client")
    again.wait_for_output("tunnel: up")
    assert "mv1:" not in serving.said.split("tunnel: up")[1]
    assert client.ping(server_address(server)).received == 3


def test_both_ends_show_one_fingerprint(hosts):
    client, server = hosts
    server.start(MINIVPN, "server").wait_for_output("tunnel: up")
    invite = server.run(KEYGEN, "--show", "--invite", "/etc/minivpn/keys/client.key").stdout
    with OnTerminal(client, program(MINIVPN), "client") as connecting:
        connecting.wait_for("invite: ")
        connecting.type(invite)
        connecting.wait_for("tunnel: up")
    shown = [re.search("fingerprint  (.*)", host.run(KEYGEN, "--show", file).stdout)[1]
             for host, file in ((client, "/etc/minivpn/client.key"),
                                (server, "/etc/minivpn/keys/client.key"))]
    assert shown[0] == shown[1]


def controlling_terminal(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as text:
        return int(text.read().rpartition(")")[2].split()[4])


def test_the_terminal_is_the_keeper_s_alone(hosts):
    """Whoever took over the process that reads the network could type into it otherwise (TIOCSTI)."""
    client, server = hosts
    with OnTerminal(server, program(MINIVPN), "server", controlled=True) as serving:
        invite = serving.wait_for(r"^invite: (mv1:\S+)$")[1]
        serving.wait_for("tunnel: up")
        with OnTerminal(client, program(MINIVPN), "client", controlled=True) as connecting:
            connecting.wait_for("invite: ")
            connecting.type(invite + "\n")
            connecting.wait_for("tunnel: up")
            for one, names in ((serving, {"steward", "network"}),
                               (connecting, {"steward", "network", "resolve"})):
                assert controlling_terminal(one.process.pid) != 0
                others = children(one.process)
                assert set(others) == names
                assert {name: controlling_terminal(pid) for name, pid in others.items()} == \
                    dict.fromkeys(names, 0)
            connecting.type("\x03")
            assert connecting.process.wait(5) == 0


def test_a_mistyped_invite_is_asked_for_again(hosts):
    client, _ = hosts
    with OnTerminal(client, program(MINIVPN), "client") as connecting:
        for tries in range(1, 4):
            connecting.wait_for(f"(?s)(invite: .*){{{tries}}}")
            connecting.type("mv1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
        connecting.wait_for("(?s)(does not match.*){3}")
        assert connecting.process.wait(5) == 2
        assert connecting.echo()
    assert not client.path("/etc/minivpn/client.key").exists()


def test_ctrl_c_at_the_question_leaves_the_terminal_as_it_was(hosts):
    client, _ = hosts
    with OnTerminal(client, program(MINIVPN), "client") as connecting:
        connecting.wait_for("invite: ")
        assert not connecting.echo()
        # No controlling terminal here, so the signal goes to the whole group as the terminal would.
        os.killpg(connecting.process.pid, signal.SIGINT)
        assert connecting.process.wait(5) != 0
        assert connecting.echo()
    assert not client.path("/etc/minivpn/client.key").exists()


def test_the_invite_goes_through_a_pipe_and_is_taken_with_its_word(hosts):
    client, server = hosts
    serving = subprocess.Popen(server.enter(MINIVPN, "server"), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    line = next(line for line in serving.stdout if "mv1:" in line)
    assert re.fullmatch(r"invite: mv1:\S+\n", line)
    connecting = client.start(MINIVPN, "client", "-", stdin=subprocess.PIPE)
    connecting.stdin.write(line.encode())
    connecting.stdin.close()
    connecting.wait_for_output("tunnel: up")
    serving.terminate()
    assert serving.wait(5) == 0
    assert "mv1:" not in serving.stderr.read()


def test_the_invite_goes_into_a_file_that_only_we_can_read(hosts):
    """Standard output of a test is a file of ours, which anybody may read until then."""
    _, server = hosts
    daemon = server.start(MINIVPN, "server")
    assert stat.S_IMODE(os.stat(daemon.log).st_mode) == 0o644
    daemon.wait_for_output("tunnel: up")
    assert re.search(r"^invite: mv1:\S+$", daemon.output(), re.MULTILINE)
    assert stat.S_IMODE(os.stat(daemon.log).st_mode) == 0o600


def test_the_invite_goes_into_no_journal(hosts):
    """Standard output of a unit is a socket of the journal."""
    _, server = hosts
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    serving = subprocess.Popen(server.enter(MINIVPN, "server"), stdout=theirs, stderr=theirs,
                               env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    theirs.close()
    said = ""
    while "tunnel: up" not in said:
        said += ours.recv(4096).decode()
    serving.terminate()
    assert serving.wait(5) == 0
    assert "mv1:" not in said
    assert "minivpn-keygen --show --invite /etc/minivpn/keys/client.key" in said


def test_no_secret_on_any_command_line(hosts):
    client, server = hosts
    server.start(MINIVPN, "server").wait_for_output("tunnel: up")
    invite = server.run(KEYGEN, "--show", "--invite", "/etc/minivpn/keys/client.key").stdout
    connecting = client.start(MINIVPN, "client", "-", stdin=subprocess.PIPE)
    connecting.stdin.write(invite.encode())
    connecting.stdin.close()
    connecting.wait_for_output("tunnel: up")
    secret = invite.strip()[4:24]
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                line = open(f"/proc/{process}/cmdline", "rb").read()
                line += open(f"/proc/{process}/environ", "rb").read()
            except OSError:
                continue
            assert secret.encode() not in line
    assert not client.path("/etc/minivpn/client.key").exists(), "read from standard input, not kept"


def test_networks_avoid_those_of_the_machine(lab):
    """With nearly all of 10.128.0.0/9 routed elsewhere, the free rest is found."""
    server, other = lab.hosts("server", "other")
    link = lab.link(server, "192.0.2.1/24", other, "192.0.2.2/24")
    for network in ("10.128.0.0/10", "10.192.0.0/11", "10.224.0.0/12"):
        server.run("ip", "route", "add", network, "via", "192.0.2.2", "dev", link.a)
    server.start(MINIVPN, "server").wait_for_output("tunnel: up")
    assert int(server_address(server).split(".")[1]) >= 240


def test_an_overlap_is_told(lab, tmp_path):
    server, other = lab.hosts("server", "other")
    lab.link(server, "192.0.2.1/24 10.171.38.77/24", other, "192.0.2.2/24")
    key = tmp_path / "k"
    server.run(KEYGEN, "k", "--address", "10.171.38.2/24", "--out", str(key))
    daemon = server.start(MINIVPN, "server", str(key))
    daemon.wait_for_output(r"warning: the tunnel's network 10\.171\.38\.0/24 overlaps .* by eth0")


@pytest.mark.parametrize("given, endpoint", [
    ((), "192.0.2.1:4500"), (("--local", ":4501"), "192.0.2.1:4501"),
    (("--endpoint", "vpn.example.org"), "vpn.example.org:4500"),
    (("--endpoint", "vpn.example.org:99", "--local", ":4501"), "vpn.example.org:99")])
def test_the_invite_says_where_the_server_is(hosts, given, endpoint):
    _, server = hosts
    with OnTerminal(server, program(MINIVPN), "server", *given) as serving:
        serving.wait_for("mv1:")
        serving.wait_for("tunnel: up")
    shown = server.run(KEYGEN, "--show", "/etc/minivpn/keys/client.key").stdout
    assert f"endpoint     {endpoint}\n" in shown


def test_the_first_client_has_an_address_of_the_networks_that_are_given(hosts):
    client, server = hosts
    with OnTerminal(server, program(MINIVPN), "server", "--address", "10.9.9.2/29,fd09::1/64") as serving:
        invite = serving.wait_for(r"^invite: (mv1:\S+)$")[1]
        serving.wait_for("tunnel: up")
        assert "is in none" not in serving.said
        key = server.run(KEYGEN, "--show", "/etc/minivpn/keys/client.key").stdout
        assert "10.9.9.3/29" in key and "fd09::2/64" in key
        client.start("sh", "-c", f"echo {invite} | {shlex.quote(program(MINIVPN))} client -").wait_for_output("tunnel: up")
        assert client.ping("10.9.9.2").received == 3 and client.ping("fd09::1").received == 3


def test_networks_without_room_for_a_client_make_no_key(hosts):
    _, server = hosts
    done = server.run(program(MINIVPN), "server", "--address", "10.9.9.1/32", check=False)
    assert done.returncode == 2 and "10.9.9.1/32 has no address left for a client" in done.stderr
    assert not list(server.path("/etc/minivpn").rglob("*.key"))


def test_keys_of_other_networks_are_told_at_the_start_and_at_a_reload(hosts):
    _, server = hosts
    for name, address in (("a", "10.9.8.2"), ("b", "10.9.7.2"), ("c", "10.9.9.2")):
        server.run(KEYGEN, name, "--keys", "/etc/minivpn/keys", "--address", address)
    daemon = server.start(MINIVPN, "server", "--address", "10.9.9.1/24")
    daemon.wait_for_output(r"a\.key: 10\.9\.8\.2 is in none of the tunnel's networks.* \(and 1 other keys\)")
    server.run(KEYGEN, "d", "--keys", "/etc/minivpn/keys", "--address", "10.9.6.2")
    server.run(MINIVPN, "reload")
    daemon.wait_for_output(r"d\.key: 10\.9\.6\.2 is in none of the tunnel's networks, so that nothing is routed there:")


def test_a_private_endpoint_is_pointed_out(lab):
    server, other = lab.hosts("server", "other")
    lab.link(server, "192.168.1.1/24", other, "192.168.1.2/24")
    with OnTerminal(server, program(MINIVPN), "server") as serving:
        serving.wait_for("mv1:")
        serving.wait_for("192.168.1.1 can be reached only from its own network.*")
        serving.wait_for("--endpoint")


def test_a_taken_port_makes_no_key(hosts):
    _, server = hosts
    holder = server.start("/usr/bin/python3", "-u", "-c",
                          "import socket, time; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM);"
                          "s.bind(('::', 4500)); print('bound'); time.sleep(60)")
    holder.wait_for_output("bound")
    done = server.run(program(MINIVPN), "server", check=False)
    assert done.returncode == 1 and "taken by python3" in done.stderr
    assert not list(server.path("/etc/minivpn").rglob("*"))


def test_dry_run_does_nothing(hosts):
    client, server = hosts
    for host, role in ((server, "server"), (client, "client")):
        before = host.snapshot()
        done = host.run(program(MINIVPN), role, "--dry-run", check=False)
        assert done.returncode == 0 and "# first run: would" in done.stdout
        assert host.snapshot() == before and not list(host.path("/etc/minivpn").rglob("*"))
