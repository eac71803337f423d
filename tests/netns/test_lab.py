# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself: what the other tests here believe of it.

    client -- router (NAT) -- server
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import Lab, LabError, all_labs_locked, wait_for


@pytest.fixture
def three(lab):
    client, router, server = lab.hosts("client", "router", "server")
    lab.link(client, "192.0.2.2/24 2001:db8:1::2/64", router, "192.0.2.1/24 2001:db8:1::1/64")
    lab.link(router, "203.0.113.1/24 2001:db8:2::1/64", server, "203.0.113.2/24 2001:db8:2::2/64")
    client.route("default", via="192.0.2.1")
    client.route("default", via="2001:db8:1::1")
    router.forward()
    router.nat(out="eth1")
    return client, router, server


@pytest.mark.parametrize("address", ["203.0.113.2", "2001:db8:2::2"])
def test_reaches_the_web_through_nat(three, address):
    client, _, server = three
    web = server.serve_http(text="hello")
    assert client.ping(address).received == 3
    assert client.fetch(address) == b"hello"
    seen_as = "2001:db8:2::1" if ":" in address else "203.0.113.1"
    assert seen_as in web.output()


def test_lost_packets_are_counted_and_heal(three):
    client, router, _ = three
    loss = router.lose("eth0", match="icmp type echo-request")
    assert client.ping("203.0.113.2", timeout=0.2).received == 0
    assert loss.count() == 3
    loss.heal()
    assert client.ping("203.0.113.2").received == 3
    some = router.lose("eth0", 0.5)
    assert 5 < client.ping("203.0.113.2", count=40, timeout=0.05).received < 35
    some.heal()


@pytest.mark.parametrize("address, headers", [("203.0.113.2", 28), ("2001:db8:2::2", 48)])
def test_narrow_router_says_so_or_is_silent(three, address, headers):
    client, router, _ = three
    router.narrow(1400, icmp=False)
    assert client.ping(address, size=1400 - headers, unfragmented=True).received == 3
    silent = client.ping(address, size=1401 - headers, unfragmented=True, timeout=0.2)
    assert silent.received == 0 and "mtu" not in silent.output
    router.narrow(1300)
    assert client.ping(address, size=1300 - headers, unfragmented=True).received == 3
    assert "mtu = 1300" in client.ping(address, size=1301 - headers, unfragmented=True,
                                       timeout=0.2).output.replace("mtu=", "mtu = ")


def test_capture_sees_what_passes(three):
    client, _, server = three
    with server.capture("eth0", "icmp") as wire:
        client.ping("203.0.113.2")
    assert wire.count() == 6
    assert ("203.0.113.1", "8") in wire.fields("ip.src", "icmp.type")


def test_run_and_etc_are_private(three):
    client, router, _ = three
    client.run("sh", "-c", "mkdir /etc/minivpn /run/minivpn && echo secret > /etc/minivpn/key")
    assert client.path("/etc/minivpn/key").read_text() == "secret\n"
    assert router.run("ls", "/etc/minivpn", check=False).returncode != 0
    assert router.run("ls", "/run").stdout == ""


def test_snapshot_tells_what_changed(three):
    client = three[0]
    before = client.snapshot()
    client.assert_as_before(before)
    client.ip("rule", "add", "from", "10.1.2.3", "lookup", "77")
    with pytest.raises(LabError, match="rules: new: .*from 10.1.2.3 lookup 77"):
        client.assert_as_before(before, within=0)
    client.ip("rule", "del", "from", "10.1.2.3", "lookup", "77")
    client.sysctl("net.ipv4.ip_forward", 1)
    with pytest.raises(LabError, match="sysctls: gone: net.ipv4.ip_forward = 0"):
        client.assert_as_before(before, within=0)


def test_processes_are_the_programs_own(three):
    client = three[0]
    process = client.start("sh", "-c", "trap 'exit 7' TERM; echo started; while :; do sleep .1; done")
    process.wait_for_output("^started$")
    assert Path(f"/proc/{process.pid}/comm").read_text() == "sh\n"
    assert process.pid in client.pids()
    assert process.stop() == 7
    with pytest.raises(LabError, match="ended with 3 without"):
        client.start("sh", "-c", "exit 3").wait_for_output("never", timeout=30)


def test_a_killed_lab_is_removed_by_the_next():
    script = ("from lab import Lab; import time\n"
              "lab = Lab(); host = lab.host('victim'); p = host.start('sleep', '1000')\n"
              "print(host.namespace, p.pid, lab.folder, flush=True)\n"
              "time.sleep(1000)\n")
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parent.parent,
                          stdout=subprocess.PIPE, text=True) as victim:
        namespace, pid, folder = victim.stdout.readline().split()
        with all_labs_locked():     # the next lab may be another test's, beside this one
            victim.kill()
            assert victim.wait() == -signal.SIGKILL and os.path.exists(f"/proc/{pid}")
            assert os.path.exists(f"/run/netns/{namespace}") and os.path.exists(folder)
    with Lab():
        assert not os.path.exists(f"/run/netns/{namespace}")
        assert not os.path.exists(folder)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


def test_lab_leaves_nothing():
    started = time.monotonic()
    with Lab() as lab:
        host = lab.host("brief")
        process = host.start("sleep", "1000")
        namespace, folder = host.namespace, lab.folder
    assert not os.path.exists(f"/run/netns/{namespace}") and not folder.exists()
    assert not process.running()
    assert time.monotonic() - started < 5
