# SPDX-License-Identifier: GPL-2.0-or-later
"""The tunnel in the kernel that users of Debian 12 have: tunnel, NAT, and kill -9.

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
	ip netns exec $host sysctl -q -w net.ipv6.conf.default.accept_dad=0
done
connect() {  # HOST DEVICE ADDRESS ADDRESS6, HOST DEVICE ADDRESS ADDRESS6
	ip link add $2 netns $1 type veth peer name $6 netns $5
	for end in "$1 $2 $3 $4" "$5 $6 $7 $8"; do
		set -- $end
		ip -n $1 address add $3 dev $2
		ip -n $1 address add $4 dev $2 nodad
		ip -n $1 link set $2 up
	done
}
connect client wan 192.0.2.2/24 2001:db8:1::2/64 server wan 192.0.2.1/24 2001:db8:1::1/64
connect server lan 203.0.113.1/24 2001:db8:2::1/64 web lan 203.0.113.80/24 2001:db8:2::80/64

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
no() { ! "$@"; }
state() { on $1 dash -c 'ip rule; ip -6 rule; ip route show table all; ip -6 route show table all;
	ip -br address; nft list ruleset; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding'; }
as_before() { state $1 | diff /tmp/before.$1 - >/tmp/difference.$1; }

mkdir -p /run/minivpn
state client >/tmp/before.client
state server >/tmp/before.server

on server MINIVPN_KEYGEN laptop --endpoint 192.0.2.1 --out /tmp/laptop.key ||
	{ echo "not ok keygen"; exit 1; }
# Not by on(): $! must be the daemon, which `ip netns exec` becomes, and not a shell before it.
start_server() {
	ip netns exec server MINIVPN server /tmp/laptop.key >>/tmp/server.log 2>&1 &
	server=$!
}
start_client() {
	ip netns exec client MINIVPN client /tmp/laptop.key >>/tmp/client.log 2>&1 &
	client=$!
}
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
head -40 /tmp/difference.* /tmp/client.log /tmp/server.log /tmp/status
"""

CHECKS = ["tunnel", "ipv6", "large", "page", "status", "killed-client-undone", "client-again",
          "killed-server-undone", "server-again", "clean-client", "clean-server"]

pytestmark = pytest.mark.unsanitized


@pytest.mark.timeout(300)
def test_tunnel_nat_and_kill_in_debians_kernel(tmp_path):
    programs = {"MINIVPN": program("minivpn"), "MINIVPN_KEYGEN": program("minivpn-keygen")}
    script = re.sub("MINIVPN(_KEYGEN)?", lambda m: programs[m.group()], SCRIPT)
    script = "mkdir -p /www; echo hello >/www/page\n" + script
    tools = [shutil.which(name) for name in ("ip", "nft", "ping", "sysctl", "diff")]
    told = debian.boot(tmp_path, script, [*programs.values(), *tools], timeout=280)
    bad = re.findall(r"^not ok (\S+)", told, re.MULTILINE)
    missing = [name for name in CHECKS if f"ok {name}\n" not in told]
    if bad or missing:
        raise LabError(f"in Debian's kernel: wrong: {bad}; not reached: {missing}\n{told}")
