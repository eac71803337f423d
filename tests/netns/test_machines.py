# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that lack something: IPv6, the tun device, a right, a /proc/sys that can be written."""

import re
import time

import pytest

from four_machines import INNER, OUTER, children
from lab import wait_for


def no_ipv6(host):
    for device in ("all", "default"):
        host.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 1)


@pytest.mark.parametrize("lacking", ["client", "server", "both"])
def test_without_ipv6(world, lacking):
    hosts = [getattr(world, name) for name in ("client", "server") if lacking in (name, "both")]
    for host in hosts:
        no_ipv6(host)
    before = [host.snapshot() for host in hosts]
    server, client = world.start_server(), world.start_client()
    assert world.client.ping(INNER["ipv4"]).received == 3
    assert client.stop() == 0 and server.stop() == 0
    for host, was in zip(hosts, before):
        host.assert_as_before(was)


def within(host, preparation, *command):
    """Run a command in a mount namespace of its own, after a preparation in shell."""
    return host.start("unshare", "--mount", "--propagation", "private", "sh", "-c",
                      preparation + '; exec "$@"', "sh", *host.enter(*command)[4:])


@pytest.mark.parametrize("role", ["server", "client"])
def test_without_a_tun_device(world, role):
    host = getattr(world, role)
    before = host.snapshot()
    daemon = within(host, "mount -t tmpfs tmpfs /dev/net", "minivpn", role, world.key)
    assert daemon.wait() == 1
    assert "no tun device in this system: load the module with 'modprobe tun'" in daemon.output()
    host.assert_as_before(before)


def test_with_a_file_in_the_place_of_the_tun_device(world):
    before = world.client.snapshot()
    daemon = within(world.client, "mount -t tmpfs tmpfs /dev/net && touch /dev/net/tun", "minivpn", "client",
                    world.key)
    assert daemon.wait() == 1
    assert "/dev/net/tun is no tun device" in daemon.output()
    world.client.assert_as_before(before)


@pytest.mark.parametrize("role", ["server", "client"])
def test_root_of_a_user_namespace_in_a_network_that_is_not_its_own(world, role):
    """It has all rights, but none over that network."""
    host = getattr(world, role)
    before = host.snapshot()
    daemon = host.start("unshare", "--user", "--map-root-user", *host.enter("minivpn", role, world.key)[4:])
    assert daemon.wait() == 1
    assert re.fullmatch("minivpn: root may not change this network .* a network of its own\n", daemon.output())
    host.assert_as_before(before)


def test_root_of_a_user_namespace_that_has_nobody_else(world):
    """In a network of its own it may do all that a tunnel takes but run as somebody else."""
    def start(*options):
        return world.client.start("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c",
                                  'mount -t tmpfs tmpfs /run && exec "$@"', "sh",
                                  *world.client.enter("minivpn", "server", *options, world.key)[4:])

    daemon = start()
    assert daemon.wait() == 1
    assert re.search("in a user namespace other users than root; with '--user root'", daemon.output())
    daemon = start("--user", "root")
    daemon.wait_for_output("up: minivpn0")
    assert daemon.stop() == 0


@pytest.mark.parametrize("role", ["server", "client"])
def test_without_the_right_to_administer_the_network(world, role):
    host = getattr(world, role)
    before = host.snapshot()
    daemon = host.start("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
                        *host.enter("minivpn", role, world.key)[4:])
    assert daemon.wait() == 1
    assert re.fullmatch("minivpn: root may not change this network .*--cap-add=NET_ADMIN, .*\n",
                        daemon.output())
    host.assert_as_before(before)


def test_with_no_other_right_than_to_administer_the_network_and_to_change_user(world):
    """What a careful person gives to a container."""
    rights = "-all,+net_admin,+setuid,+setgid,+dac_override"
    for host, role in ((world.server, "server"), (world.client, "client")):
        daemon = host.start("setpriv", f"--bounding-set={rights}", "--inh-caps=-all",
                            *host.enter("minivpn", role, world.key)[4:])
        daemon.wait_for_output("up: minivpn0")
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    # Root without CAP_KILL cannot tell another user's process to end; it leaves all the same.
    before_end = time.monotonic()
    daemon.stop()
    assert time.monotonic() - before_end < 2 and not world.client.pids()


def test_without_the_right_to_change_user(world):
    before = world.client.snapshot()

    def start(*options):
        return world.client.start("setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-all",
                                  *world.client.enter("minivpn", "client", *options, world.key)[4:])

    world.start_server()
    daemon = start()
    assert daemon.wait() == 1
    assert "CAP_SETUID" in daemon.output() and "--user root" in daemon.output()
    world.client.assert_as_before(before)

    daemon = start("--user", "root")
    daemon.wait_for_output("up: minivpn0")
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    status = open(f"/proc/{children(daemon)['network']}/status", encoding="ascii").read()
    assert re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\s+(\w+)$", status, re.M) == ["0" * 16] * 4
    assert daemon.stop() == 0
    world.client.assert_as_before(before)


def test_as_an_ordinary_user(world):
    done = world.client.run("setpriv", "--reuid=65534", "--clear-groups",
                            *world.client.enter("minivpn", "client", world.key)[4:], check=False)
    assert done.returncode == 1 and "root" in done.stderr and "sudo" in done.stderr


READ_ONLY = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys"


def test_settings_that_cannot_be_written_and_need_not_be(world):
    world.server.forward()
    # Listens to router advertisements, which forwarding alone would end.
    for device in ("all", "default", "eth0", "eth1", "lo"):
        world.server.sysctl(f"net.ipv6.conf.{device}.accept_ra", 2)
    daemon = within(world.server, READ_ONLY, "minivpn", "server", world.key)
    daemon.wait_for_output("up: minivpn0")
    world.start_client()
    for address in INNER.values():
        assert world.client.ping(address).received == 3


def test_settings_that_cannot_be_written_and_have_to_be(world):
    before = world.server.snapshot()
    daemon = within(world.server, READ_ONLY, "minivpn", "server", world.key)
    assert daemon.wait() == 1
    assert re.search(r"/proc/sys/net/ipv[46]/\S+", daemon.output())
    assert "Read-only" in daemon.output()
    world.server.assert_as_before(before)


def test_a_client_needs_no_setting(world):
    world.start_server()
    daemon = within(world.client, READ_ONLY, "minivpn", "client", "--remote", OUTER["ipv4"], world.key)
    daemon.wait_for_output("up: minivpn0")
    for address in INNER.values():
        assert world.client.ping(address).received == 3
    assert daemon.stop() == 0
    wait_for(lambda: not world.client.pids(), 1.0)
