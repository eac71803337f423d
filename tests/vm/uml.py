# SPDX-License-Identifier: GPL-2.0-or-later
"""A second Linux kernel, as a plain process: Debian's user-mode-linux 6.1.

It is another implementation of ESP to talk to, and an older kernel than most developers run.  It
boots in about a second, sees the files of this computer (read-only), and has one network card,
whose other end is a tap device in a host of the lab:

    def test_against_xfrm(lab):
        here = lab.host("here")
        with uml.Machine(here, outside="192.0.2.1/24", inside="192.0.2.2/24",
                         modules=uml.XFRM) as kernel:
            kernel.run("ip xfrm state add src 192.0.2.2 dst 192.0.2.1 proto esp ...")
            kernel.receive_esp_in_udp(4500)
            assert here.ping("192.0.2.2").received == 3
            print(kernel.run("cat /proc/net/xfrm_stat"))

Inside it the card is called vec0.  A system call costs about 10 us there: good for exchanging
packets, not for timing anything.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import LabError, wait_for

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
IPV6 = ("ipv6",)
# The last four make a random generator: seqiv draws a constant for each SA.
XFRM = (*IPV6, "xfrm_user", "esp4", "esp6", "chacha20poly1305", "chacha_generic",
        "poly1305_generic", "seqiv", "hmac", "sha512_generic", "jitterentropy_rng", "drbg")

# glibc picks its string functions by what the processor has; see launch.py for why it must not.
_PLAIN_REGISTERS = ("GLIBC_TUNABLES=glibc.cpu.hwcaps="
                    "-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load")

_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
stty raw -echo
dmesg -n 1
ip link set lo up
{insmod}
sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 2>/dev/null
{addresses}
ip link set vec0 up
echo "@@ ready"
while IFS= read -r script; do
	sh "$script" </dev/null 2>&1
	echo "@@ $script $?"
done
"""

_RECEIVER = """
import socket, time
keep = []
for family in (socket.AF_INET, socket.AF_INET6):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", {port}))
    s.setsockopt(socket.IPPROTO_UDP, 100, 2)    # UDP_ENCAP, UDP_ENCAP_ESPINUDP
    keep.append(s)
open("{sign}", "w").close()
time.sleep(100000)
"""


class Machine:
    """A running second kernel; a context manager, and taken away with its host in any case."""

    def __init__(self, host, outside, inside, modules=IPV6, tap="tap0"):
        """Boot it and wait until it takes commands.

        host:    the lab's host that its card is connected to
        outside: the addresses of the host's end, the device @tap, as in Lab.link
        inside:  the addresses of the machine's own end, vec0
        modules: the kernel modules to load, by name, without those that they depend on
        """
        if not shutil.which(KERNEL):
            pytest.skip(f"needs {KERNEL} (package user-mode-linux)")
        self._host = host
        host.ip("tuntap", "add", tap, "mode", "tap")
        host.address(tap, *outside.split())
        init = Path(host.lab.new_path("init", ".sh"))
        init.write_text(_INIT.format(
            insmod="\n".join(f"busybox insmod {path} || exit 1" for path in _in_order(modules)),
            addresses="\n".join(
                f"ip address add {one} dev vec0{' nodad' if ':' in one else ''}"
                for one in inside.split())))
        init.chmod(0o755)
        self._process = host.start(
            "/usr/bin/python3", Path(__file__).with_name("launch.py"), KERNEL, "mem=96M",
            "rootfstype=hostfs", "rootflags=/", "ro", f"init={init}", "con0=fd:0,fd:1", "con=null",
            "quiet", f"uml_dir={host.lab.folder}", f"vec0:transport=tap,ifname={tap},depth=64",
            _PLAIN_REGISTERS, stdin=subprocess.PIPE)
        self._process.wait_for_output("^@@ ready", timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def run(self, script, check=True, timeout=20):
        """Run a shell script of one or more lines in it; returns what it printed.

        check: an exit status that is not 0 raises a LabError
        A command that is to go on in the background must not keep the console:
        "sleep 100 >/dev/null 2>&1 &".
        """
        path = Path(self._host.lab.new_path("command", ".sh"))
        path.write_text(script)
        seen = len(self._process.output())
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        ended = re.compile(rf"^(.*?)@@ {re.escape(str(path))} (\d+)$", re.MULTILINE | re.DOTALL)

        def answer():
            if not self._process.running():
                raise LabError(f"the second kernel has died:\n{self._process.output()[-3000:]}")
            return ended.search(self._process.output(), seen)

        found = wait_for(answer, timeout, f"the second kernel to run: {script}")
        output, status = found.group(1).replace("\r", ""), int(found.group(2))
        if check and status:
            raise LabError(f"in the second kernel: {script}\nexit status {status}\n{output}")
        return output

    def receive_esp_in_udp(self, port):
        """Open the socket that makes the kernel take ESP in UDP on a port, in both families."""
        sign = f"/run/receiver-{port}"
        code = Path(self._host.lab.new_path("receiver", ".py"))
        code.write_text(_RECEIVER.format(port=port, sign=sign))
        self.run(f"/usr/bin/python3 {code} >/dev/null 2>&1 </dev/null &\n"
                 f"for i in $(seq 100); do [ -e {sign} ] && exit 0; sleep .1; done; exit 1")

    def kill(self):
        """Pull the plug."""
        self._process.kill()


def _in_order(names):
    """Paths of kernel modules and all that they depend on, in the order to load them."""
    listed = next(iter(MODULES.glob("*/modules.dep")), None)
    if listed is None:
        return []
    needs = {}
    for line in listed.read_text().splitlines():
        module, _, others = line.partition(":")
        needs[Path(module).stem] = (module, [Path(other).stem for other in others.split()])
    order = []

    def add(name):
        if name in needs:       # otherwise it is built in
            path, others = needs[name]
            for other in others:
                add(other)
            if listed.parent / path not in order:
                order.append(listed.parent / path)

    for name in names:
        add(name)
    return order
