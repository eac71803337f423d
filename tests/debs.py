# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages of Debian's, unpacked beside the build: nothing is installed, and nobody else sees them."""

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import BUILD

FOLDER = Path(os.environ.get("MINIVPN_TEST_PACKAGES", BUILD.parent / "build-packages"))
_NEWEST = "deb http://deb.debian.org/debian sid main\n"


def unpacked(package):
    """The folder that holds a package's files, below which they have their usual paths.

    It is downloaded once.  Where that cannot be done the test is skipped.
    """
    return _once(package, _fetch)


def with_needs(package):
    """The same, with all that the package needs and this computer has not installed."""
    return _once(f"{package}-with-needs", lambda _, folder: _fetch_with_needs(package, folder))


def newest(package):
    """The same of Debian's newest, and of all that the package needs."""
    return _once(f"{package}-newest", lambda _, folder: _fetch_newest(package, folder))


def newest_program(package, program):
    """The command that runs a program of a package of Debian's newest, with libraries of its own."""
    folder = newest(package)
    loader = next(folder.glob("usr/lib/*-linux-*/ld-linux-*.so.*"))
    return [str(loader), "--library-path", str(loader.parent), str(folder / "usr/bin" / program)]


def _once(name, fetch):
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f"{name}.lock", "w") as lock:     # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            fetch(name, folder)
            (folder / "complete").touch()
    return folder


def _fetch(package, folder):
    with tempfile.TemporaryDirectory(prefix="minivpn-apt-") as place:
        try:
            _apt(place, [], "download", package)
        except subprocess.CalledProcessError:   # old lists name versions that the mirror has no more
            _fetch_afresh(place, [], ["download", package])
        _unpack(Path(place), folder)


def _fetch_with_needs(package, folder):
    with tempfile.TemporaryDirectory(prefix="minivpn-apt-") as place:
        options = [f"Dir::Cache::archives={place}", "APT::Install-Recommends=false"]
        words = ["install", "-y", "--download-only", package]
        (Path(place) / "partial").mkdir()
        try:
            _apt(place, options, *words)
        except subprocess.CalledProcessError:
            _fetch_afresh(place, options, words)
        _unpack(Path(place), folder)


def _fetch_newest(package, folder):
    """With all that it needs, since nothing counts as installed."""
    with tempfile.TemporaryDirectory(prefix="minivpn-apt-") as place:
        sources, status = Path(place) / "sources.list", Path(place) / "status"
        sources.write_text(_NEWEST)
        status.touch()
        (Path(place) / "partial").mkdir()
        options = [f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null",
                   f"Dir::State::status={status}", f"Dir::Cache::archives={place}",
                   "APT::Install-Recommends=false"]
        _fetch_afresh(place, options, ["install", "-y", "--download-only", package])
        _unpack(Path(place), folder)


def _fetch_afresh(place, options, words):
    """The same with lists of packages that are fetched for it; nobody else's are touched."""
    lists = Path(place) / "lists"
    (lists / "partial").mkdir(parents=True)
    options = [*options, f"Dir::State::Lists={lists}", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="]
    try:
        _apt(place, options, "update")
        _apt(place, options, *words)
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"needs the package {words[-1]}, and cannot download it: {failed.stderr.strip()}")


def _apt(place, options, *words):
    options = [word for option in ("APT::Sandbox::User=root", "Debug::NoLocking=true", *options)
               for word in ("-o", option)]
    subprocess.run(["apt-get", "-q", *options, *words], cwd=place, capture_output=True, text=True,
                   check=True)


def _unpack(place, folder):
    """As they would lie on a system whose /bin, /sbin and /lib are parts of /usr."""
    for part in ("bin", "sbin", "lib"):
        (folder / "usr" / part).mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(f"usr/{part}")
    for deb in place.glob("*.deb"):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", folder], stdin=tar.stdout, check=True)
