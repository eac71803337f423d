# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the tunnels of others are found, and how they are unpacked beside the system.

Nothing of them is installed: Debian's packages are unpacked into a folder, which their machines in the
lab see laid over /usr.  wireguard-go is there twice, as in this Debian and as in its newest.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minivpn-bench"
ROOT, NEWEST = FOLDER / "rivals", FOLDER / "newest"

PACKAGES = ("wireguard-go", "wireguard-tools", "openvpn", "fastd", "tinc", "strongswan-charon",
            "strongswan-swanctl", "libcharon-extra-plugins", "libcharon-extauth-plugins",
            "libstrongswan-standard-plugins", "libstrongswan-extra-plugins")
# What these would like to have, and what is of no use in a folder.
_NOT_NEEDED = {"udev", "tpm-udev", "systemd"}
_NEWEST_SOURCE = "deb http://deb.debian.org/debian sid main\n"


def path_of(program, folder):
    """Path of a program in a folder, or in the system for None; None if it is not there."""
    if folder is None:
        return shutil.which(program)
    for place in ("usr/sbin", "usr/bin", "usr/lib/ipsec"):
        path = folder / place / program
        if path.exists():
            return str(path)
    return None


def version_of(package, newest=False):
    """The version of a package that was unpacked; None if it was not."""
    folder = NEWEST if newest else ROOT
    for deb in sorted(folder.glob(f"packages/{package}_*.deb")):
        return deb.name.split("_")[1].replace("%3a", ":")
    return None


def install():
    """Fetch and unpack; returns what was unpacked, as lines for people."""
    planned = _output("apt-get", "install", "--simulate", "--no-install-recommends", *PACKAGES)
    names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    # What the system has already is not among them, but is wanted beside the others.
    names = sorted((set(names) | set(PACKAGES)) - _NOT_NEEDED)
    _unpack(names, ROOT)
    with tempfile.TemporaryDirectory(prefix="minivpn-apt-") as folder:
        source, lists = Path(folder) / "sources.list", Path(folder) / "lists"
        source.write_text(_NEWEST_SOURCE)
        (lists / "partial").mkdir(parents=True)
        options = ("-o", f"Dir::Etc::SourceList={source}", "-o", "Dir::Etc::SourceParts=/dev/null",
                   "-o", f"Dir::State::Lists={lists}", "-o", "Dir::Cache::pkgcache=",
                   "-o", "Dir::Cache::srcpkgcache=")
        _output("apt-get", *options, "update")
        _unpack(["wireguard-go"], NEWEST, options)
    return [deb.name for folder in (ROOT, NEWEST) for deb in sorted(folder.glob("packages/*.deb"))]


def _unpack(names, folder, options=()):
    shutil.rmtree(folder, ignore_errors=True)
    packages = folder / "packages"
    packages.mkdir(parents=True)
    _output("apt-get", *options, "download", *names, cwd=packages)
    for deb in packages.glob("*.deb"):
        _output("dpkg", "--extract", deb, folder)
    if (folder / "lib").is_dir():   # the same place as usr/lib, once laid over the system
        shutil.copytree(folder / "lib", folder / "usr/lib", symlinks=True, dirs_exist_ok=True)


def _output(*command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise SystemExit(f"tools/bench: {' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout
