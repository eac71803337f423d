# SPDX-License-Identifier: GPL-2.0-or-later
"""Live exchange with the Linux kernel's own ESP (XFRM), in a second kernel.

    here tun0 - static-tunnel - tap0 -- vec0 - XFRM - second kernel
    10.9.0.1, fd09::1        192.0.2.1, 192.0.2.2         10.9.0.2, fd09::2
                             2001:db8::1, 2001:db8::2
"""

import re

import pytest

from interop.tunnels import INNER, MTU, OUTER, TO_A, TO_B, counters, start_tunnel
from vm import uml

SIZE = 1_000_000    # of the page that is fetched


def xfrm(family):
    """The commands that make the second kernel the second host of tunnels.py."""
    here, there = OUTER[family]
    ends = {"in": (here, there), "out": (there, here)}
    lines = []
    for direction, (spi, keymat) in (("in", TO_B), ("out", TO_A)):
        src, dst = ends[direction]
        lines.append(f"ip xfrm state add src {src} dst {dst} proto esp spi {spi} reqid 1 mode tunnel"
                     f" aead 'rfc7539esp(chacha20,poly1305)' 0x{keymat} 128"
                     f" encap espinudp 4500 4500 {'0.0.0.0' if family == 4 else '::'}"
                     " replay-window 128 flag af-unspec")
    for inner, length in ((4, 32), (6, 128)):
        near, far = (f"{address}/{length}" for address in INNER[inner])
        for direction, src, dst in (("in", near, far), ("out", far, near)):
            lines.append(f"ip xfrm policy add src {src} dst {dst} dir {direction}"
                         f" tmpl src {ends[direction][0]} dst {ends[direction][1]}"
                         " proto esp reqid 1 mode tunnel")
        lines.append(f"ip address add {far} dev lo{' nodad' if inner == 6 else ''}")
        lines.append(f"ip route add {near} dev vec0 src {INNER[inner][1]}")
    return "set -e\n" + "\n".join(lines) + "\n"


@pytest.fixture(params=(4, 6), ids=("outer IPv4", "outer IPv6"))
def ends(lab, request):
    """The host here, its static-tunnel, the second kernel, and the outer family."""
    family = request.param
    here = lab.host("here")
    outside, inside = ((f"{OUTER[4][end]}/24 {OUTER[6][end]}/64") for end in (0, 1))
    with uml.Machine(here, outside=outside, inside=inside, modules=uml.XFRM) as kernel:
        kernel.run(xfrm(family))
        kernel.receive_esp_in_udp(4500)
        yield here, start_tunnel(here, 0, family), kernel, family


def assert_nothing_refused(tunnel, kernel):
    refused = [line for line in kernel.run("cat /proc/net/xfrm_stat").splitlines()
               if line.split()[1] != "0"]
    assert refused == []
    report = counters(tunnel)
    assert [name for name, n in report["verdicts"].items() if n and name != "pass"] == []
    return report


def test_ping_both_ways(ends):
    here, tunnel, kernel, family = ends
    for inner, header in ((4, 28), (6, 48)):
        # every remainder that padding has to fill, and the largest packet that fits
        for size in (0, 1, 2, 3, 1000, MTU[family] - header):
            ping = here.ping(INNER[inner][1], size=size, unfragmented=True)
            assert ping.received == ping.sent, ping.output
            said = kernel.run(f"ping -n -c 3 -i 0.05 -W 2 -M do -s {size} {INNER[inner][0]}")
            assert "3 received" in said
        # one byte more does not fit, and the kernel over there reckons with the same number
        said = kernel.run(f"ping -n -c 1 -W 1 -M do -s {MTU[family] - header + 1} {INNER[inner][0]}",
                          check=False)
        assert re.search(rf"too long, mtu\W+{MTU[family]}\b", said), said
    report = assert_nothing_refused(tunnel, kernel)
    assert report["in"]["packets"] == 72


def test_tcp_both_ways(ends):
    here, tunnel, kernel, _ = ends
    kernel.run(f"mkdir /run/www; head -c {SIZE} /dev/zero >/run/www/page\n"
               "busybox httpd -p '[::]:80' -h /run/www")
    here.serve_http(size=SIZE)
    for inner in (4, 6):
        near, far = INNER[inner]
        assert len(here.fetch(far, timeout=15)) == SIZE
        where = f"[{near}]" if inner == 6 else near
        said = kernel.run(f"curl -sS -m 15 --noproxy '*' http://{where}/page | wc -c")
        assert int(said) == SIZE
    report = assert_nothing_refused(tunnel, kernel)
    assert min(report["in"]["bytes"], report["out"]["bytes"]) > 2 * SIZE


def test_it_is_the_kernel_that_seals(ends):
    """What crosses the wire is ESP in UDP, both ways, and no inner packet in the clear."""
    here, _, kernel, family = ends
    with here.capture("tap0", "") as wire:
        assert here.ping(INNER[4][1]).received == 3
        kernel.run(f"ping -n -c 3 -i 0.05 -W 2 {INNER[6][0]}")
    spis = [int(spi, 0) for spi, in wire.fields("esp.spi", display_filter="esp")]
    assert sorted(set(spis)) == sorted((TO_A[0], TO_B[0])) and len(spis) == 12
    assert wire.count("icmp or icmpv6.type == 128 or icmpv6.type == 129") == 0
    states = kernel.run("ip -s xfrm state")
    assert states.count("rfc7539esp(chacha20,poly1305)") == 2
