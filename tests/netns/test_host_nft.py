# SPDX-License-Identifier: GPL-2.0-or-later
"""minivpn-nft by itself: one machine, no tunnel, its table held against what nft says of it.

        +------+
        | host |    nft -c, nft -f and nft list are the judges
        +------+
"""

import re
import subprocess

import pytest

SOURCES = ["--source", "10.9.0.0/24", "--source", "fd09:1::/64,10.64.0.0/10", "--source", "fd09:2::/61"]


@pytest.fixture(name="host")
def one_host(lab):
    return lab.host("host")


def rules(text):
    """The lines of a ruleset without what does not change its meaning: blank ones, and emptying."""
    return [line.strip() for line in text.splitlines()
            if line.strip() and not re.match(r"(delete )?table inet \S+$", line)]


def nft(host, *words, check=True):
    return host.run("minivpn-nft", *words, check=check)


def test_installed_is_what_was_shown(host):
    shown = nft(host, "install", "--tun", "tun0", *SOURCES, "--dry-run").stdout
    assert host.nft("list ruleset") == "", "a dry run installs nothing"
    nft(host, "install", "--tun", "tun0", *SOURCES)
    assert rules(host.nft("list ruleset")) == rules(shown)
    assert nft(host, "show", "--tun", "tun0").stdout == shown


@pytest.mark.parametrize("extra", [[], ["--out", "eth0"]])
def test_dry_run_is_nfts_own_language(host, extra):
    shown = nft(host, "install", "--tun", "tun0", *SOURCES, *extra, "--dry-run").stdout
    host.run("nft", "-c", "-f", "-", input=shown)
    host.nft(shown)
    assert rules(host.nft("list ruleset")) == rules(shown)
    # What nft made of it is what minivpn-nft would have made: it knows its own rules again.
    assert nft(host, "show", "--tun", "tun0").stdout == shown
    host.nft(shown)  # and once more changes nothing
    assert rules(host.nft("list ruleset")) == rules(shown)


def test_half_a_ruleset_is_no_success(host):
    command = ["minivpn-nft", "install", "--tun", "tun0", *SOURCES, "--dry-run"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(host.enter(*command), stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=10)
    assert done.returncode == 1 and "standard output: No space left" in done.stderr


def test_install_is_idempotent_and_replaces(host):
    nft(host, "install", "--tun", "tun0", *SOURCES)
    once = host.nft("list ruleset")
    nft(host, "install", "--tun", "tun0", *SOURCES)
    assert host.nft("list ruleset") == once
    nft(host, "install", "--tun", "tun0", "--source", "10.1.0.0/16", "--out", "eth7")
    listed = host.nft("list ruleset")
    assert listed.count("masquerade") == 1
    assert 'ip saddr 10.1.0.0/16 oifname "eth7" masquerade' in listed


def test_remove_takes_away_exactly_it(host):
    host.nft("add table inet minivpn-tun1\nadd chain inet minivpn-tun1 mine\n")
    host.nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }\n")
    before = host.nft("list ruleset")
    nft(host, "install", "--tun", "tun0", *SOURCES)
    assert host.nft("list ruleset") != before
    nft(host, "remove", "--tun", "tun0")
    assert host.nft("list ruleset") == before
    again = nft(host, "remove", "--tun", "tun0")
    assert "not installed" in again.stderr
    assert host.nft("list ruleset") == before


def test_show_tells_of_rules_of_others(host):
    nft(host, "install", "--tun", "tun0", *SOURCES)
    host.nft("add rule inet minivpn-tun0 forward counter accept\n")
    assert "rules that minivpn does not make: 1" in nft(host, "show", "--tun", "tun0").stdout
    found = nft(host, "check", "--tun", "tun0", check=False)
    assert found.returncode == 1 and "rules that minivpn does not make" in found.stdout


def test_check_names_what_is_missing_until_nothing_is(host):
    def check(*words):
        found = nft(host, "check", "--tun", "tun0", *words, check=False)
        return found.returncode, found.stdout

    status, said = check()
    assert status == 1
    assert "table inet minivpn-tun0 is not installed" in said
    nft(host, "install", "--tun", "tun0", *SOURCES)
    status, said = check(*SOURCES)
    assert status == 1
    assert "sysctl -w net.ipv4.ip_forward=1" in said
    assert "sysctl -w net.ipv6.conf.all.forwarding=1" in said
    host.forward()
    assert check(*SOURCES) == (0, "nothing is missing\n")
    status, said = check("--source", "10.1.0.0/16")
    assert status == 1 and "other networks" in said

    # Another firewall that drops (docker, ufw): named, with the commands that help; they do.
    host.nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }\n")
    status, said = check(*SOURCES)
    assert status == 1
    assert "chain FORWARD of table ip filter drops" in said
    for command in re.findall(r"^  nft (.*)", said, re.MULTILINE):
        host.run("nft", *command.split())
    assert check(*SOURCES) == (0, "nothing is missing\n")


@pytest.mark.parametrize("words, complaint", [
    ([], "what is to be done"),
    (["frobnicate"], "'frobnicate'"),
    (["install"], "--tun IF is missing"),
    (["install", "--tun", "tun0"], "--source CIDR is missing"),
    (["install", "--tun", "tun/0", *SOURCES], "'tun/0'"),
    (["install", "--tun", "averyverylongname", *SOURCES], "'averyverylongname'"),
    (["install", "--tun", "tun0", "--source", "10.9.0.0/33"], "'10.9.0.0/33'"),
    (["install", "--tun", "tun0", "--source", "everything"], "'everything'"),
    (["install", "--tun", "tun0", "--source", "0.0.0.0/0"], "'0.0.0.0/0'"),
    (["install", "--tun", "tun0", *SOURCES, "--out", "tun0"], "'tun0' is the tunnel itself"),
    (["install", "--tun", "tun0", *SOURCES, "--out", "e h"], "'e h'"),
    (["install", "--tun", "tun0", "--tun", "tun1", *SOURCES], "given twice"),
    (["install", "--tun", "tun0", *SOURCES, "--bogus"], "bogus"),
    (["remove", "--tun", "tun0", *SOURCES], "takes no --source"),
    (["show", "--tun", "tun0", "--dry-run"], "takes no --dry-run"),
    (["show", "--tun", "tun0", "word"], "'word'"),
])
def test_misuse_is_told_and_changes_nothing(host, words, complaint):
    done = nft(host, *words, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""
    assert host.nft("list ruleset") == ""


def test_without_rights_nothing_is_half_done(host):
    done = host.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
                    *host.enter("minivpn-nft")[-1:], "install", "--tun", "tun0", *SOURCES, check=False)
    assert done.returncode == 1
    assert "only root" in done.stderr
    assert host.nft("list ruleset") == ""
