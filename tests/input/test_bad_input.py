# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a person gets wrong: exit status 2, a message that names where, what was found and what was
expected, and nothing on the machine has changed."""

import base64
import hashlib
import os
import re
import shlex
import subprocess

import pytest

from lab import SOURCE, program, wait_for

MINIVPN, KEYGEN = "minivpn", "minivpn-keygen"
FILL = ["--endpoint", "192.0.2.1", "--address", "10.171.38.2/24"]


@pytest.fixture(scope="module")
def machine(module_lab):
    """A machine with a network, on which nothing may happen."""
    machine, other = module_lab.hosts("machine", "other")
    module_lab.link(machine, "192.0.2.1/24 2001:db8::1/64", other, "192.0.2.2/24 2001:db8::2/64")
    wait_for(lambda: "NO-CARRIER" not in machine.ip("link"), what="the link")
    machine.untouched = state_of(machine)
    return machine


@pytest.fixture
def key(tmp_path):
    """A good key file."""
    path = tmp_path / "laptop.key"
    subprocess.run([program(KEYGEN), "laptop", *FILL, "--out", path], check=True, timeout=10,
                   capture_output=True)
    return path


def state_of(machine):
    """All that must stay as it is: rules, routes, firewall, settings, files."""
    files = sorted(str(p) for part in ("/etc/minivpn", "/run/minivpn", "/etc/systemd")
                   for p in machine.path(part).rglob("*"))
    return machine.snapshot(), files


def refused(machine, *command, status=2, **options):
    """Run it; it must refuse and leave no trace.  Returns what it said."""
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(machine.enter(program(MINIVPN), *map(str, command)), text=True, timeout=20,
                          capture_output=True, check=False, **options)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout == ""
    assert re.match(r"minivpn: .*\n\Z", done.stderr), "one sentence, and who says it"
    assert state_of(machine) == machine.untouched
    return done.stderr


# -- the command line ------------------------------------------------------------------------------

# option: wrong values, each with what the message must show beside the option
BOTH = {
    "--interface-name": ["", "a234567890123456", "0vpn", "a/b", "a b", "lo", "../x"],
    "--local": ["", ":", ":0", ":65536", ":x", "4500", "localhost:4500", "192.0.2.1:", "[::1", "::1:70000:",
                "224.0.0.1:4500", "255.255.255.255", "[ff02::1]:4500", "fe80::1"],
    "--address": ["", "10.0.0.0/24", "10.0.0.255/24", "10.0.0.1/33", "10.0.0.1/x", "x", "127.0.0.1/8",
                  "fe80::1/64", "fd00::1/129", "0.0.0.0/0", "224.0.0.1/24",
                  "169.254.7.1/24", "240.0.0.1/24"],
    "--route": ["", "10.0.0.1/24", "default", "10.0.0.0/33", "fd00::/129", "10.0.0.0/8;192.168.0.0/16",
                "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "fe80::/64", "ff00::/8", "255.255.255.255"],
    "--mtu": ["", "0", "-1", "1279", "65001", "1400.5", "0x500", "1e4", "01400", "99999999999999999999"],
    "--user": ["", "a b", "-x", "a" * 40],
    "--control-group": ["", "a b", "-x", "a" * 40],
    "--dscp": ["", "1", "46", "Copy"],
    "--aead": ["", "AES", "a" * 40],
    "--workers": ["", "0", "17", "-1", "2.0", "02", "two", "Auto", "autos"],
    "--config": [""],
}
SERVER = {
    "--out": ["", "a b", "a234567890123456"],
    "--dns": ["127.0.0.53", "::1", "fe80::1", "0.0.0.0", "", "one.example", "1.1.1.1/32", "1.1.1.1:53", "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5"],
    "--search-domain": ["", "exa mple", "10.0.0.1", "a..b"],
    "--endpoint": ["", ":4500", "a:0", "a:x", "a b", "http://a", "[a]:1", "1.2.3.4.5"],
}
CLIENT = {
    "--remote": ["0.0.0.0", "::", "224.0.0.1:4500", "255.255.255.255", "[ff02::1]:4500", "fe80::1", "", ":4500", "a:0", "a:70000", "a b", "[::1", "-a"],
    "--keepalive": ["", "-1", "3601", "10s", "1.5"],
}
CASES = [(role, option, value) for role, options in (("server", BOTH | SERVER), ("client", BOTH | CLIENT))
         for option, values in options.items() for value in values]


@pytest.mark.parametrize("role, option, value", CASES)
def test_values(machine, key, role, option, value):
    said = refused(machine, role, f"{option}={value}", key)
    found = re.match(rf"minivpn: {option}: found (nothing|'(.*)'), expected ", said)
    # Of a list it is the item that is wrong; what is long is shown by its beginning.
    assert found and ((found[2] or "") in value) and bool(found[2]) == bool(value)


@pytest.mark.parametrize("command, says", [
    ([], "a command is missing, expected server, client"),
    (["sever"], "'sever' is no command, expected server, client"),
    (["server", "--nonsense"], "--nonsense: no such option (minivpn server --help)"),
    (["client", "-x"], "-x: no such option (minivpn client --help)"),
    (["server", "--no-nat", "-dx"], "-x: no such option (minivpn server --help)"),
    (["server", "--mtu"], "--mtu: found nothing behind it"),
    (["server", "--no-nat=yes"], "--no-nat=yes: found a value, expected none"),
    (["server", "--debug=yes"], "--debug=yes: found a value, expected none"),
    (["client", "--help=all"], "--help=all: found a value, expected none"),
    (["server", "--keepalive", "10"], "--keepalive: no such option"),
    (["client", "--no-nat"], "--no-nat: no such option"),
    (["client", "--kill-switch"], "--kill-switch: no such option"),
    (["client", "--encap", "esp"], "--encap: no such option"),
    (["server", "--mtu", "1400", "--mtu", "1300"], "--mtu: given twice"),
    (["server", "a", "b"], "found 'b', expected no more than one KEY or DIR"),
    (["client", "a", "b", "c"], "found 'c', expected no more than KEY and HOST"),
    (["client", "a", "b:0"], "remote: found 'b:0', expected HOST"),
    (["server", "--install", "--uninstall"], "exclude each other"),
    (["server", "--install", "--dry-run"], "--dry-run tries what runs now, and neither --install"),
    (["client", "--uninstall", "-n"], "--dry-run tries what runs now, and neither --install"),
    (["server", "--root", "/tmp"], "--root goes with --install"),
    (["client", "--route", "0.0.0.0/0", "--no-default-route"], "no-default-route excludes"),
    (["server", "--out", "vpn7", "--interface-name", "vpn7"], "out: found 'vpn7', which is the tunnel"),
    (["server", "--address", "10.9.9.1/24,10.9.9.2/24"], "two of them are in one network, expected one in each"),
    (["client", "--install", "-"], "--install needs a key that stays"),
    (["status", "a", "b"], "found 'b', expected no more than one NAME"),
    (["status", "--json", "--prometheus"], "--watch, --json and --prometheus exclude each other"),
    (["status", "-w", "-j"], "--watch, --json and --prometheus exclude each other"),
    (["status", "--jsno"], "--jsno: no such option"),
    (["status", "a b"], "found 'a b', expected the name of"),
    (["down", "a", "b"], "found 'b', expected no more than one NAME"),
    (["down", "--now"], "--now: no such option (minivpn down --help)"),
    (["keylog", "-x"], "-x: no such option (minivpn keylog --help)"),
    (["down", "--", "a", "b"], "found 'b', expected no more than one NAME"),
    (["help", "sever"], "'sever' is no command, expected server, client"),
    (["version", "x"], "nothing behind it"),
])
def test_command_lines(machine, command, says):
    assert says in refused(machine, *command)


@pytest.mark.parametrize("command", ["server", "client", "status", "down", "keylog", "invite", "list", "remove", "rotate",
                                     "reload", "version", "help"])
def test_help_of_a_command_is_had_both_ways(machine, command):
    said = [machine.run(MINIVPN, *words).stdout for words in (("help", command), (command, "--help"))]
    assert said[0] == said[1] and said[0].startswith(f"usage: minivpn {command}")


@pytest.mark.parametrize("option, says", [
    ("--user=nobody-of-that-name", "user: found 'nobody-of-that-name', expected a user of this machine"),
    ("--control-group=no-such-group", "control-group: found 'no-such-group', expected a group of this machine"),
    ("--aead=rot13", "aead: found 'rot13', expected one of those that"),
])
def test_names_that_are_not_there(machine, key, option, says):
    assert says in refused(machine, "server", option, key)


def test_an_address_that_may_come_is_a_failure_to_be_tried_again(machine, key):
    """At boot a tunnel may start before the machine has its address; status 2 is not tried again by the unit."""
    said = refused(machine, "server", "--local=192.0.2.77:4500", key, status=1)
    assert "local: found 192.0.2.77, which is no address of this machine" in said
    unit = (SOURCE / "src/cli/minivpn.service.in").read_text()
    assert "Restart=on-failure\n" in unit and "RestartPreventExitStatus=2\n" in unit


def test_an_invite_is_no_argument(machine, key):
    invite = subprocess.run([program(KEYGEN), "--show", "--invite", key], capture_output=True, text=True,
                            check=True, timeout=10).stdout.strip()
    said = refused(machine, "client", invite)
    assert "ps" in said and "`minivpn client -`" in said and invite[4:20] not in said


# -- key files -------------------------------------------------------------------------------------

def line_with(old, new):
    return lambda text: re.sub(f"(?m)^{old}.*$", new, text)


SECRET = r"(?m)^(key = mvk1-)(\S+)$"
ZERO_KEY = base64.urlsafe_b64encode(
    bytes(32) + hashlib.sha512(b"minivpn key check " + bytes(32)).digest()[:4]).decode()
KEY_FILES = {
    "empty": (lambda text: "", "is empty"),
    "binary": (lambda text: text + "\0", "zero byte"),
    "something else": (lambda text: "-----BEGIN PRIVATE KEY-----\n", ":1: the line is not 'name = value'"),
    "no name": (line_with("name", "# none"), "has no line 'name = ...'"),
    "no key": (line_with("key", ""), "has no line 'key = ...'"),
    "cut": (lambda text: text[: text.index("key = ") + 30], ":3: the key has 19 characters"),
    "typo": (lambda text: re.sub(SECRET, lambda m: m[1] + m[2][:9] + ("b" if m[2][9] == "a" else "a") +
                                 m[2][10:], text), ":3: the key's own check does not match"),
    "swapped": (lambda text: re.sub(SECRET, lambda m: m[1] + m[2][::-1], text), ":3: the key's own check"),
    "too long": (lambda text: re.sub(SECRET, r"\1\2AA", text), ":3: the key has 50 characters"),
    "foreign character": (lambda text: re.sub(SECRET, lambda m: m[1] + "!" + m[2][1:], text),
                          ":3: the key has a character that"),
    "of another tool": (lambda text: re.sub(SECRET, "key = " + "A" * 43 + "=", text),
                        ":3: the key does not begin with mvk1-"),
    "zero": (lambda text: re.sub(SECRET, r"\1" + ZERO_KEY, text), ":3: the key is all zero"),
    "bad name": (line_with("name", "name = my laptop"), ":2: name is 'my laptop', expected 1 to 63"),
    "bad endpoint": (line_with("endpoint", "endpoint = vpn:example"), ":4: endpoint is 'vpn:example': expected"),
    "bad address": (line_with("address", "address = 10.171.38.0/24"), ":5: address has '10.171.38.0/24', expected"),
    "bad networks": (lambda text: text + "networks = 192.168.7.1/24\n", ":6: networks has '192.168.7.1/24', expected"),
    "loopback networks": (lambda text: text + "networks = 127.0.0.0/8\n", ":6: networks has '127.0.0.0/8', expected"),
    "twice": (lambda text: text + "name = other\n", ":6: name stands here a second time"),
    "unknown": (lambda text: text + "adress = 10.0.0.1\n", ":6: 'adress' is unknown, expected name, key"),
}


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("damage", KEY_FILES)
def test_key_files(machine, key, role, damage):
    spoil, says = KEY_FILES[damage]
    text = key.read_text()
    key.write_text(spoil(text))
    said = refused(machine, role, key)
    assert f"minivpn: {key}: " in said or f"minivpn: {key}:" in said
    assert says in said
    secret = re.search(SECRET, text)[2]
    assert not any(secret[i:i + 8] in said for i in range(0, 40))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700 | 0o010])
def test_key_file_that_others_may_read(machine, key, mode):
    key.chmod(mode)
    assert f"{key}: has mode 0{mode:o}, expected 0600" in refused(machine, "client", key)


def test_key_files_that_are_none(machine, key, tmp_path):
    assert f"{tmp_path}/no.key: does not exist" in refused(machine, "client", tmp_path / "no.key")
    link = tmp_path / "link.key"
    link.symlink_to(key)
    assert f"{link}: is a symbolic link" in refused(machine, "client", link)
    assert f"{tmp_path}: is not a file" in refused(machine, "client", tmp_path)
    assert "/dev/null: is not a file" in refused(machine, "client", "/dev/null")


def test_key_file_of_somebody_else(machine, key):
    os.chown(key, 12345, 12345)
    env = {name: value for name, value in os.environ.items() if name != "SUDO_UID"}
    assert f"{key}: belongs to user 12345, expected user 0" in refused(machine, "client", key, env=env)


def test_client_without_an_endpoint(machine, key):
    key.write_text(line_with("endpoint", "#")(key.read_text()))
    said = refused(machine, "client", key)
    assert "endpoint" in said and "--remote HOST:PORT" in said


def test_a_way_out_that_is_not_there_yet(machine, key):
    """Perhaps it comes later, so that this is a warning."""
    done = machine.run(MINIVPN, "server", "--dry-run", "--out", "usb0", key)
    assert "warning: --out: there is no interface usb0" in done.stderr
    assert done.stderr.count("\n") == 1 and "warning" not in machine.run(
        MINIVPN, "server", "--dry-run", "--out", "eth0", key).stderr


@pytest.mark.parametrize("own, options", [("10.171.38.1/24", []),
                                          ("10.171.38.7/24", ["--address", "10.171.38.7/24"])])
def test_a_client_with_the_server_s_address(machine, key, own, options):
    key.write_text(line_with("address", f"address = {own}")(key.read_text()))
    said = refused(machine, "server", *options, key)
    assert f"{key}: address of laptop is {own[:-3]}, which is the server's own" in said


def test_server_without_a_network(machine, key):
    key.write_text(line_with("address", "#")(key.read_text()))
    said = refused(machine, "server", key)
    assert "address" in said and "--address 10." in said


def test_folders(machine, key, tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    assert f"{folder}: has no file *.key" in refused(machine, "server", folder)
    text = key.read_text()
    for name in "ab":
        (folder / f"{name}.key").write_text(text)
        (folder / f"{name}.key").chmod(0o600)
    assert f"{folder}/b.key: has the same key as 'a.key'" in refused(machine, "server", folder)
    subprocess.run([program(KEYGEN), "laptop", *FILL], check=True, timeout=10,
                   stdout=open(folder / "b.key", "w"))
    assert f"{folder}/b.key: has the same name as 'a.key'" in refused(machine, "server", folder)
    (folder / "b.key").write_text(line_with("name", "name = phone")((folder / "b.key").read_text()))
    assert f"{folder}/b.key: has the same address as 'a.key'" in refused(machine, "server", folder)
    (folder / "b.key").write_text("nonsense\n")
    assert f"{folder}/b.key:1: the line is not" in refused(machine, "server", folder)


@pytest.mark.parametrize("text, says", [
    ("", "standard input: is empty"),
    ("mv1:\n", "standard input: the invite was not copied whole"),
    ("mv1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", "own check does not match"),
    ("hello\n", "standard input:1: the line is not"),
    ("mv1:" + "A" * 20000, "more than 16384 bytes"),
])
def test_invites_from_standard_input(machine, tmp_path, text, says):
    (tmp_path / "in").write_text(text)
    with open(tmp_path / "in") as stdin:
        assert says in refused(machine, "client", "-", stdin=stdin)


def test_no_key_and_nobody_to_ask(machine):
    said = refused(machine, "client")
    assert "/etc/minivpn/client.key does not exist" in said and "standard input" in said


# -- configuration files ---------------------------------------------------------------------------

CONFIGURATIONS = [
    ("mtu\n", ":1: the line is not 'name = value'"),
    ("[server\n", ":1: the line is not 'name = value'"),
    ("[client]\nmtu = 1400\n", ":2: mtu stands under [client], expected [server]"),
    ("[sevrer]\nmtu = 1400\n", ":2: mtu stands under [sevrer], expected [server]"),
    ("# a\n\n; b\nmtu = 12\n", ":4: mtu: found '12', expected a number of bytes"),
    ("mtu = 1400\nmtu = 1400\n", ":2: mtu: given twice"),
    ("keepalive = 10\n", ":1: 'keepalive' is no setting of a server"),
    ("dry-run = yes\n", ":1: 'dry-run' is no setting of a server's file, only a flag"),
    ("no-nat = maybe\n", ":1: no-nat: found 'maybe', expected yes or no"),
    ("no-nat\n", ":1: the line is not"),
    ("route = 10.0.0.0/8\nroute = 10.0.0.0/8, lan\n", ":2: route: found 'lan', expected"),
    ("user = " + "x" * 300 + "\n", ":1: the line is longer than"),
    ("interface-name = vpn7\nout = vpn7\n", "out: found 'vpn7', which is the tunnel"),
    ("key = relative.key\n", "relative.key: does not exist"),
]


@pytest.mark.parametrize("text, says", CONFIGURATIONS)
def test_configuration_files(machine, tmp_path, text, says):
    file = tmp_path / "my.conf"
    file.write_text(text)
    said = refused(machine, "server", "--config", file)
    assert says in said
    assert f"{file}:" in said or not says.startswith(":")


@pytest.mark.parametrize("option, values", sorted((option, values) for option, values
                                                  in (BOTH | SERVER).items() if option != "--config"))
def test_configuration_values(machine, tmp_path, option, values):
    """What is wrong as a flag is wrong in the file, and is called so in the same words."""
    for value in values:
        if ";" in value or "'" in value:
            continue
        file = tmp_path / "my.conf"
        file.write_text(f"\n{option[2:]} = {value}\n")
        said = refused(machine, "server", "--config", file)
        assert f"{file}:2: {option[2:]}: found" in said and "expected" in said


def test_configuration_files_that_are_none(machine, tmp_path):
    assert f"'{tmp_path}/no.conf' cannot be opened" in refused(machine, "server", "--config", tmp_path / "no.conf")
    assert f"'{tmp_path}' is not a file" in refused(machine, "server", "--config", tmp_path)
    file = tmp_path / "zero.conf"
    file.write_bytes(b"mtu = 1400\0\n")
    assert "zero byte" in refused(machine, "server", "--config", file)
    file.write_text("#" * 100 + "\n" * 70000)
    assert "longer than" in refused(machine, "server", "--config", file)


# -- the machine -----------------------------------------------------------------------------------

def test_port_that_is_taken(machine, key):
    """Not misuse: the same command may work tomorrow.  The program that has the port is named."""
    holder = machine.start("/usr/bin/python3", "-u", "-c",
                           "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                           "s.bind(('', 4500)); print('bound'); time.sleep(60)")
    holder.wait_for_output("bound")
    try:
        said = refused(machine, "server", key, status=1)
        assert re.search(rf"UDP port 4500 is taken by python3 \(process {holder.pid}\)", said)
        assert "--local :4501" in said
    finally:
        holder.kill()


def test_without_rights(machine, key):
    key.chmod(0o600)
    done = subprocess.run(machine.enter("setpriv", "--reuid=65534", "--clear-groups", program(MINIVPN),
                                        "server", str(key)),
                          capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 1 and "needs the rights of root" in done.stderr


def test_too_little_to_live_on(machine):
    """What one may have is taken; what one may not is told, and nothing crashes."""
    rights = re.search(r"^CapEff:\s*(\w+)", open("/proc/self/status").read(), re.MULTILINE)[1]
    may_have_more = int(rights, 16) >> 24 & 1      # CAP_SYS_RESOURCE
    for limit, says in (("-s 64", "KiB of stack"), ("-n 20", "open files")):
        for how in ("-S", ""):
            done = machine.run("bash", "-c", f"ulimit {how} {limit}; exec {shlex.quote(program(MINIVPN))} version", check=False)
            if how or may_have_more:
                assert done.returncode == 0 and "libsodium" in done.stdout, done.stderr
            else:
                assert done.returncode == 1
                assert re.search(rf"the limit of \d+ {says} is too low, expected", done.stderr)
    assert state_of(machine) == machine.untouched
