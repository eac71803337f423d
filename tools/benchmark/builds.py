# SPDX-License-Identifier: GPL-2.0-or-later
"""The builds that are measured: the ordinary one, and two that exist for nothing else."""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
BUILDS = Path(os.environ.get("MINIVPN_BENCH_BUILDS", SOURCE / "build" / "bench")).resolve()

OPTIONS = {
    "ordinary": [],
    "benchmark": ["-Dbenchmark=yes"],
    "one-at-a-time": ["-Dbenchmark=one-at-a-time"],
}
_FOLDERS = {"minivpn": "src/cli", "minivpn-keygen": "keys", "minivpn-bench": "tools",
            "bench-load": "tools", "bench-relay": "tools"}


def program(build, name):
    """Path of a program in one of the builds."""
    return str(BUILDS / build / _FOLDERS[name] / name)


def make():
    """Bring all builds up to date, and install what that takes; what is printed is shown only if
    something fails."""
    for name in OPTIONS:
        _make(name, [f"{_FOLDERS[one]}/{one}" for one in _FOLDERS])


def make_whole():
    """The same for everything in the ordinary build; returns its folder."""
    return _make("ordinary", [])


def _make(name, wanted):
    folder = BUILDS / name
    subprocess.run([SOURCE / "tools/dev/install-packages", "benchmark"], check=True)
    if not (folder / "build.ninja").exists():
        _run("meson", "setup", folder, SOURCE, "-Dman=disabled", *OPTIONS[name])
    _run("ninja", "-C", folder, *wanted)
    return folder


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"tools/bench: {' '.join(map(str, command))}:\n"
                         f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
