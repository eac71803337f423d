# SPDX-License-Identifier: GPL-2.0-or-later
"""The tunnel in the kernel that users of Debian 12 have: tunnel, NAT, kill -9; and without IPv6."""

import pytest

import three_hosts

pytestmark = pytest.mark.unsanitized

TUNNEL_NAT_AND_KILL = """
start_server
within 10 on server ip link show minivpn0
start_client
check tunnel within 20 on client ping -c 1 -W 1 203.0.113.80 | tee /tmp/first
grep -q '^ok' /tmp/first || { cat /tmp/*.log; exit 1; }
check ipv6 within 5 on client ping -c 1 -W 1 2001:db8:2::80
check large on client ping -c 2 -i .2 -W 3 -s 4000 203.0.113.80
on web busybox httpd -p 80 -h /www 2>/dev/null
check page test "$(on client busybox wget -q -O - http://203.0.113.80/page)" = hello
on server MINIVPN status >/tmp/status 2>&1
check status grep -q laptop /tmp/status

kill -9 $client
check killed-client-undone within 2 as_before client
start_client
check client-again within 20 on client ping -c 1 -W 1 203.0.113.80

kill -9 $server
check killed-server-undone within 2 as_before server
start_server
check server-again within 30 on client ping -c 1 -W 1 203.0.113.80

kill $client $server
check clean-client within 3 as_before client
check clean-server within 3 as_before server
head -40 /tmp/status
"""

# A kernel that has no IPv6: the tunnel carries IPv4, and nothing is missed.
WITHOUT_IPV6 = """
check without-ipv6 test ! -e /proc/net/if_inet6
start_server
within 10 on server ip link show minivpn0
start_client
check tunnel within 20 on client ping -c 1 -W 1 203.0.113.80
check table on server MINIVPN_NFT show --tun minivpn0
kill $client $server
check clean-client within 3 as_before client
check clean-server within 3 as_before server
on server MINIVPN_NFT install --tun tun9 --source 10.9.0.0/24
check by-hand on server nft list table inet minivpn-tun9
check remove on server MINIVPN_NFT remove --tun tun9
"""


@pytest.mark.timeout(300)
def test_tunnel_nat_and_kill_in_debians_kernel(tmp_path):
    three_hosts.run(tmp_path, TUNNEL_NAT_AND_KILL)


@pytest.mark.timeout(300)
def test_tunnel_and_nat_without_ipv6(tmp_path):
    three_hosts.run(tmp_path, WITHOUT_IPV6, words="ipv6.disable=1")
