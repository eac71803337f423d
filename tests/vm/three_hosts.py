# SPDX-License-Identifier: GPL-2.0-or-later
"""Three machines as namespaces of one emulated kernel, and what scripts in it are written with.

    client 192.0.2.2 -- 192.0.2.1 server (NAT) 203.0.113.1 -- 203.0.113.80 web

with 2001:db8:1::/64 and 2001:db8:2::/64 beside them, where the kernel has IPv6.  A script finds both
ends' programs as MINIVPN, MINIVPN_KEYGEN and MINIVPN_NFT, a key in /tmp/laptop.key, and these functions:

    on HOST COMMAND...          run it there
    within SECONDS COMMAND...   until it succeeds
    check NAME COMMAND...       a test of its own; those that begin a line have to pass
    start_server, start_client  in the background; $server and $client are their processes
    as_before HOST              is its network as it was at the beginning?
"""

import re
import shlex
import shutil

import debian
from lab import LabError, program

_BEGIN = """
for host in client server web; do
	ip netns add $host
	ip -n $host link set lo up
	[ ! -e /proc/net/if_inet6 ] || ip netns exec $host sysctl -q -w net.ipv6.conf.default.accept_dad=0
done
address() {  # HOST DEVICE ADDRESS ADDRESS6
	ip -n $1 address add $3 dev $2
	[ ! -e /proc/net/if_inet6 ] || ip -n $1 address add $4 dev $2 nodad
	ip -n $1 link set $2 up
}
ip link add wan netns client type veth peer name wan netns server
ip link add lan netns server type veth peer name lan netns web
address client wan 192.0.2.2/24 2001:db8:1::2/64
address server wan 192.0.2.1/24 2001:db8:1::1/64
address server lan 203.0.113.1/24 2001:db8:2::1/64
address web lan 203.0.113.80/24 2001:db8:2::80/64

on() { host=$1; shift; ip netns exec $host "$@"; }
within() {
	tenths=$(($1 * 10)); shift
	while [ $tenths -gt 0 ]; do
		"$@" >/dev/null 2>&1 && return 0
		sleep .1
		tenths=$((tenths - 1))
	done
	return 1
}
check() {
	name=$1; shift
	if "$@"; then echo "ok $name"; else echo "not ok $name"; fi
}
state() { on $1 dash -c 'ip rule; ip -6 rule; ip route show table all; ip -6 route show table all;
	ip -br address; nft list ruleset; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding' 2>&1; }
as_before() { state $1 | diff /tmp/before.$1 - >/tmp/difference.$1; }
# Not by on(): $! must be the daemon, which `ip netns exec` becomes, and not a shell before it.
start_server() {
	ip netns exec server MINIVPN server /tmp/laptop.key >>/tmp/server.log 2>&1 &
	server=$!
}
start_client() {
	ip netns exec client MINIVPN client /tmp/laptop.key >>/tmp/client.log 2>&1 &
	client=$!
}

mkdir -p /run/minivpn /www
echo hello >/www/page
state client >/tmp/before.client
state server >/tmp/before.server
on server MINIVPN_KEYGEN laptop --endpoint 192.0.2.1 --out /tmp/laptop.key ||
	{ echo "not ok keygen"; exit 1; }
"""
_END = """
head -40 /tmp/difference.* /tmp/client.log /tmp/server.log
"""
_TOOLS = ("ip", "nft", "ping", "sysctl", "diff")


def run(folder, script, words=""):
    """Boot Debian's kernel, run a script in it, and fail unless each of its checks has passed.

    folder: an empty folder to work in (pytest's tmp_path)
    words:  more for the kernel's command line
    """
    programs = {"MINIVPN": program("minivpn"), "MINIVPN_KEYGEN": program("minivpn-keygen"),
                "MINIVPN_NFT": program("minivpn-nft")}
    checks = re.findall(r"^check (\S+)", script, re.MULTILINE)
    whole = re.sub("MINIVPN(_KEYGEN|_NFT)?", lambda m: shlex.quote(programs[m.group()]), _BEGIN + script + _END)
    told = debian.boot(folder, whole, [*programs.values(), *map(shutil.which, _TOOLS)],
                       words=words, timeout=280)
    bad = re.findall(r"^not ok (\S+)", told, re.MULTILINE)
    missing = [name for name in checks if f"ok {name}\n" not in told]
    if bad or missing or not checks:
        raise LabError(f"in Debian's kernel: wrong: {bad}; not reached: {missing}\n{told}")
