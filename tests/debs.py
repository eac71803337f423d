# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages of Debian's, unpacked beside the build: nothing is installed, and nobody else sees them."""

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import BUILD

FOLDER = Path(os.environ.get("MINIVPN_TEST_PACKAGES", BUILD.parent / f"{BUILD.name}-packages"))


def unpacked(package):
    """The folder that holds a package's files, below which they have their usual paths.

    It is downloaded once for each build.  Where that cannot be done the test is skipped.
    """
    folder = FOLDER / package
    folder.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f"{package}.lock", "w") as lock:     # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _fetch(package, folder)
            (folder / "complete").touch()
    return folder


def _fetch(package, folder):
    with tempfile.TemporaryDirectory(prefix="minivpn-apt-") as place:
        got = _apt(place, "download", package)
        if got.returncode:      # old lists may name versions that the mirror no longer has
            lists = Path(place) / "lists"
            (lists / "partial").mkdir(parents=True)
            fresh = ("-o", f"Dir::State::Lists={lists}", "-o", "Dir::Cache::pkgcache=",
                     "-o", "Dir::Cache::srcpkgcache=")
            _apt(place, *fresh, "update")
            got = _apt(place, *fresh, "download", package)
        if got.returncode:
            pytest.skip(f"needs the package {package}, and cannot download it: {got.stderr.strip()}")
        subprocess.run(["dpkg-deb", "-x", next(Path(place).glob("*.deb")), folder], check=True)


def _apt(place, *words):
    return subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", *words], cwd=place,
                          capture_output=True, text=True, check=False)
