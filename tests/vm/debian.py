# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernel, under qemu: what users of Debian 12 have.

The kernel comes from Debian's package, which is unpacked beside the build and not installed.  It
boots into an initramfs of this computer's busybox, the named programs with their libraries, and a
shell script, which reports by lines that begin with "ok" or "not ok".  The processor is emulated
(/dev/kvm is often there and of no use, on a machine that is virtual itself): everything is some
ten times slower, so a script should wait for things to become true, not for times to pass.
"""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from debs import unpacked
from lab import LabError

QEMU = "qemu-system-x86_64"
PACKAGE = "linux-image-amd64"

NETWORK = ("tun", "veth", "ipv6")
# libcrc32c, which nf_tables wants, looks crc32c up by an alias that names no module.
FIREWALL = ("crc32c_generic", "nf_tables", "nft_chain_nat", "nft_masq", "nft_ct", "nft_reject_inet", "nft_limit",
            "nft_fib_inet", "nft_socket", "xt_TCPMSS")

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=dumb
mount -t devtmpfs dev /dev
mkdir -p /proc /sys /run /tmp /dev/net
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
for module in $(cat /modules.order); do insmod $module || echo "not ok module $module"; done
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ip link set lo up
echo "@@ begin"
dash /script      # busybox's own shell would take its own ip, ping and the like
echo "@@ end"
poweroff -f
"""


class Kernel:
    """An unpacked kernel: image is its path, and modules() finds modules with what they need."""

    def __init__(self):
        found = sorted(Path("/boot").glob("vmlinuz-6.1.*-amd64"))
        root = Path("/") if found else _unpacked()
        self.image = sorted((root / "boot").glob("vmlinuz-*"))[-1]
        release = self.image.name.removeprefix("vmlinuz-")
        self._module = {path.stem: path
                        for path in (root / "lib/modules" / release).rglob("*.ko")}

    def modules(self, names):
        """Paths in the order to load them in; what is built in is left out."""
        order = []

        def add(name):
            path = self._module.get(name) or self._module.get(name.replace("_", "-"))
            if path is None or path in order:
                return
            listed = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            for other in listed.group(1).decode().split(",") if listed else ():
                add(other)
            order.append(path)

        for name in names:
            add(name)
        return order


def _unpacked():
    """The folder of Debian's present kernel, whose package the one named here depends on."""
    needed = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True,
                            check=False).stdout
    real = re.search(r"Depends: (linux-image-\S+)", needed)
    return unpacked(real.group(1) if real else PACKAGE)


def boot(folder, script, programs, modules=NETWORK + FIREWALL, words="", timeout=120):
    """Boot Debian's kernel, run a shell script as root in it, and return what it printed.

    folder:   an empty folder to work in (pytest's tmp_path)
    programs: paths of programs to bring along, to be found under the same paths
    words:    more for the kernel's command line
    timeout:  seconds for all of it, boot included
    """
    if not shutil.which(QEMU):
        pytest.skip(f"needs {QEMU} (package qemu-system-x86)")
    kernel = Kernel()
    initramfs = folder / "initramfs.gz"
    _pack(folder / "root", initramfs, kernel.modules(modules), programs, script)
    command = [QEMU, "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic",
               "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", kernel.image,
               "-initrd", initramfs, "-append", f"console=ttyS0 quiet panic=-1 {words}"]
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=timeout,
                              check=False)
    except subprocess.TimeoutExpired as late:
        printed = (late.stdout or b"").decode(errors="replace")
        raise LabError(f"Debian's kernel: not done after {timeout} s; it printed:\n"
                       f"{printed[-6000:]}") from None
    output = done.stdout.replace("\r", "")
    if "not ok module" in output:
        raise LabError(f"Debian's kernel refused a module; it printed:\n{output[-6000:]}")
    told = re.search(r"@@ begin\n(.*)^@@ end$", output, re.MULTILINE | re.DOTALL)
    if not told:
        raise LabError(f"Debian's kernel did not come to an end; it printed:\n{output[-6000:]}"
                       f"{done.stderr}")
    return told.group(1)


def _pack(root, archive, modules, programs, script):
    """Make an initramfs from a folder @root, which is filled here."""
    for name in ("bin", "dev", "etc", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    _write(root / "init", _INIT, 0o755)
    _write(root / "script", script)
    for module in modules:
        shutil.copy(module, root / "modules")
    _write(root / "modules.order", "".join(f"/modules/{path.name}\n" for path in modules))
    _write(root / "etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    _write(root / "etc/group", "root:x:0:\nnogroup:x:65534:\n")
    for program in (shutil.which("dash"), *programs):
        for path in {str(program), *_libraries(program)}:
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(path, target)
    listed = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=root,
                            input=listed.encode(), capture_output=True, check=True).stdout
    archive.write_bytes(gzip.compress(packed, 1))


def _write(path, text, mode=0o644):
    path.write_text(text)
    path.chmod(mode)


def _libraries(program):
    """What the dynamic linker would load for a program, and the linker itself."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", listed.stdout)

