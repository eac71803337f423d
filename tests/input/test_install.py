# SPDX-License-Identifier: GPL-2.0-or-later
"""`--install` and `--uninstall`: files and links as systemctl would make them, and none left behind."""

import os
import re
import shutil
import subprocess

import pytest

from lab import program

UNITS = "etc/systemd/system"


def minivpn(*command, status=0):
    done = subprocess.run([program("minivpn"), *map(str, command)], capture_output=True, text=True,
                          check=False, timeout=10, stdin=subprocess.DEVNULL)
    assert done.returncode == status, done.stderr
    return done.stderr


def files(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_symlink() or p.is_file())


@pytest.mark.parametrize("role", ["server", "client"])
def test_what_is_made_and_taken_away(tmp_path, role):
    said = minivpn(role, "--install", "--root", tmp_path, "--mtu", 1400, "--route", "10.0.0.0/8,fd00::/8")
    unit = f"{UNITS}/minivpn-{role}.service"
    link = f"{UNITS}/multi-user.target.wants/minivpn-{role}.service"
    config = f"etc/minivpn/{role}.conf"
    assert files(tmp_path) == sorted([unit, link, config])
    assert all(file in said for file in (unit, link, config))
    assert os.readlink(tmp_path / link) == f"/{unit}"
    text = (tmp_path / unit).read_text()
    own = program("minivpn")
    own = f'"{own}"' if " " in own else own
    assert f"\nExecStart={own} {role} --config /etc/minivpn/{role}.conf\n" in text
    assert "@" not in text
    settings = (tmp_path / config).read_text()
    for line in (f"[{role}]", "mtu = 1400", "route = 10.0.0.0/8", "route = fd00::/8", "key = /etc/minivpn/"):
        assert line in settings

    said = minivpn(role, "--uninstall", "--root", tmp_path)
    assert files(tmp_path) == []
    assert all(file in said for file in (unit, link, config)) and "keys stay" in said
    assert "nothing was installed" in minivpn(role, "--uninstall", "--root", tmp_path)


def test_a_second_install_replaces_the_first(tmp_path):
    minivpn("server", "--install", "--root", tmp_path, "--mtu", 1400)
    minivpn("server", "--install", "--root", tmp_path, "--no-nat")
    settings = (tmp_path / "etc/minivpn/server.conf").read_text()
    assert "no-nat = yes" in settings and "mtu" not in settings
    assert len(files(tmp_path)) == 3


def test_server_and_client_do_not_meet(tmp_path):
    minivpn("server", "--install", "--root", tmp_path)
    minivpn("client", "--install", "--root", tmp_path, "-i", "vpn7")
    minivpn("server", "--uninstall", "--root", tmp_path)
    assert len(files(tmp_path)) == 3 and all("client" in file for file in files(tmp_path))


@pytest.mark.parametrize("file", ["etc/minivpn/server.conf", f"{UNITS}/minivpn-server.service"])
def test_files_of_others_are_left_alone(tmp_path, file):
    mine = tmp_path / file
    mine.parent.mkdir(parents=True)
    mine.write_text("# my own\n")
    assert str(mine) in minivpn("server", "--install", "--root", tmp_path, status=2)
    minivpn("server", "--uninstall", "--root", tmp_path)
    assert files(tmp_path) == [file] and mine.read_text() == "# my own\n"


def test_a_packaged_unit_is_only_linked(tmp_path):
    packaged = tmp_path / "usr/lib/systemd/system/minivpn-server.service"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("[Unit]\n")
    minivpn("server", "--install", "--root", tmp_path)
    link = tmp_path / UNITS / "multi-user.target.wants/minivpn-server.service"
    assert os.readlink(link) == "/usr/lib/systemd/system/minivpn-server.service"
    assert not (tmp_path / UNITS / "minivpn-server.service").exists()
    minivpn("server", "--uninstall", "--root", tmp_path)
    assert files(tmp_path) == ["usr/lib/systemd/system/minivpn-server.service"]


@pytest.mark.parametrize("folder", ["plain", "my clone", "100%; pure"])
def test_systemd_understands_the_unit(tmp_path, folder):
    """Wherever the program lies that writes it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    own = tmp_path / folder / "minivpn"
    own.parent.mkdir()
    shutil.copy(program("minivpn"), own)
    subprocess.run([own, "server", "--install", "--root", tmp_path], check=True, capture_output=True, timeout=10)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no",
                           tmp_path / UNITS / "minivpn-server.service"],
                          capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0 and done.stdout + done.stderr == ""


def test_the_unit_leaves_enough_rights(lab, tmp_path):
    """Started with the capabilities that the unit leaves it, and no way to new ones, all of it works."""
    minivpn("server", "--install", "--root", tmp_path)
    unit = (tmp_path / UNITS / "minivpn-server.service").read_text()
    left = re.search("^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)[1].split()
    bounds = ",".join(["-all"] + ["+" + name.removeprefix("CAP_").lower() for name in left])
    client, server = lab.hosts("client", "server")
    lab.link(client, "192.0.2.2/24", server, "192.0.2.1/24")
    key = tmp_path / "k.key"
    server.run(program("minivpn-keygen"), "k", "--endpoint", "192.0.2.1", "--address", "10.171.38.2",
               "--out", str(key))
    before = server.snapshot()
    daemons = [host.start("setpriv", "--bounding-set", bounds, "--no-new-privs", program("minivpn"), role,
                          str(key)) for host, role in ((server, "server"), (client, "client"))]
    for daemon in daemons:
        daemon.wait_for_output("tunnel: up")
    assert client.ping("10.171.38.1").received == 3
    for daemon in daemons:
        assert daemon.stop() == 0
    now = server.snapshot()
    assert all(now[part] == before[part] for part in ("rules", "routes", "nft", "sysctls"))


def test_on_a_machine_it_makes_the_key_and_says_what_is_missing(lab):
    """Without a systemd that runs: everything is made, nothing is started, and that is said."""
    server, other = lab.hosts("server", "other")
    lab.link(server, "192.0.2.1/24", other, "192.0.2.2/24")
    done = server.run(program("minivpn"), "server", "--install", check=False)
    assert done.returncode == 0
    assert "mv1:" in done.stdout  # the first run's invite, which no unit could show
    if not os.path.exists("/run/systemd/system"):
        assert "systemd does not run here: nothing was started now" in done.stderr
    assert server.path("/etc/minivpn/keys/client.key").exists()
    daemon = server.start("minivpn", "server", "--config", "/etc/minivpn/server.conf")
    daemon.wait_for_output("tunnel: up")
    daemon.stop()
    server.run(program("minivpn"), "server", "--uninstall")
    assert [p.name for p in server.path("/etc/minivpn").rglob("*")] == ["keys", "client.key"]


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_key_that_the_unit_would_refuse_is_refused_before(lab, tmp_path, role):
    """Whoever calls sudo may have a key file of his own; a unit is called by nobody."""
    host = lab.host("host")
    key = tmp_path / "k.key"
    host.run(program("minivpn-keygen"), "k", "--endpoint", "192.0.2.1", "--out", str(key))
    os.chown(key, 1000, 1000)
    tmp_path.chmod(0o755)
    done = host.run(program("minivpn"), role, "--install", str(key), check=False, env={"SUDO_UID": "1000"})
    assert done.returncode == 2
    assert f"{key}: belongs to user 1000, expected user 0 or root" in done.stderr
    assert f"(chown 0 '{key}')" in done.stderr
    assert not host.path(f"/etc/minivpn/{role}.conf").exists()


def test_a_client_without_a_key_is_not_installed(lab):
    client = lab.host("client")
    done = client.run(program("minivpn"), "client", "--install", check=False)
    assert done.returncode == 2 and "no terminal to ask for an invite" in done.stderr
    assert not client.path("/etc/systemd/system/minivpn-client.service").exists()
