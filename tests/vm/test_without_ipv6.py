# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that has no IPv6: the tunnel carries IPv4, and nothing is missed.

    client -- server (NAT) -- web, three namespaces in one emulated machine
"""

import re
import shutil

import pytest

import debian
from lab import LabError, program

SCRIPT = """
for host in client server web; do
	ip netns add $host
	ip -n $host link set lo up
done
connect() {  # HOST DEVICE ADDRESS, HOST DEVICE ADDRESS
	ip link add $2 netns $1 type veth peer name $5 netns $4
	ip -n $1 address add $3 dev $2
	ip -n $4 address add $6 dev $5
	ip -n $1 link set $2 up
	ip -n $4 link set $5 up
}
connect client wan 192.0.2.2/24 server wan 192.0.2.1/24
connect server lan 203.0.113.1/24 web lan 203.0.113.80/24

on() { host=$1; shift; ip netns exec $host "$@"; }
within() {  # SECONDS COMMAND...: until the command succeeds
	tenths=$(($1 * 10)); shift
	while [ $tenths -gt 0 ]; do
		"$@" >/dev/null 2>&1 && return 0
		sleep .1
		tenths=$((tenths - 1))
	done
	return 1
}
check() {  # NAME COMMAND...
	name=$1; shift
	if "$@"; then echo "ok $name"; else echo "not ok $name"; fi
}
state() { on $1 dash -c 'ip rule; ip route show table all; ip -br address; nft list ruleset;
	sysctl net.ipv4.ip_forward'; }
as_before() { state $1 | diff /tmp/before.$1 - >/tmp/difference.$1; }

check without-ipv6 test ! -e /proc/net/if_inet6
mkdir -p /run/minivpn
state client >/tmp/before.client
state server >/tmp/before.server
on server MINIVPN_KEYGEN laptop --endpoint 192.0.2.1 --out /tmp/laptop.key
ip netns exec server MINIVPN server /tmp/laptop.key >>/tmp/server.log 2>&1 &
server=$!
within 10 on server ip link show minivpn0
ip netns exec client MINIVPN client /tmp/laptop.key >>/tmp/client.log 2>&1 &
client=$!
check tunnel within 20 on client ping -c 1 -W 1 203.0.113.80
check table on server MINIVPN_NFT show --tun minivpn0
kill $client $server
check clean-client within 3 as_before client
check clean-server within 3 as_before server
on server MINIVPN_NFT install --tun tun9 --source 10.9.0.0/24
check by-hand on server nft list table inet minivpn-tun9
check remove on server MINIVPN_NFT remove --tun tun9
head -40 /tmp/difference.* /tmp/client.log /tmp/server.log
"""

CHECKS = re.findall(r"^check (\S+)", SCRIPT, re.MULTILINE)

pytestmark = pytest.mark.unsanitized


@pytest.mark.timeout(300)
def test_tunnel_and_nat_without_ipv6(tmp_path):
    programs = {"MINIVPN": program("minivpn"), "MINIVPN_KEYGEN": program("minivpn-keygen"),
                "MINIVPN_NFT": program("minivpn-nft")}
    script = re.sub("MINIVPN(_KEYGEN|_NFT)?", lambda m: programs[m.group()], SCRIPT)
    tools = [shutil.which(name) for name in ("ip", "nft", "ping", "sysctl", "diff")]
    told = debian.boot(tmp_path, script, [*programs.values(), *tools], words="ipv6.disable=1", timeout=280)
    bad = [name for name in CHECKS if f"ok {name}\n" not in told or f"not ok {name}\n" in told]
    if bad:
        raise LabError(f"without IPv6: {bad} failed or did not happen; it printed:\n{told}")
