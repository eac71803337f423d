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
            "bench-load": "tools"}


def program(build, name):
    """Path of a program in one of the builds."""
    return str(BUILDS / build / _FOLDERS[name] / name)


def make():
    """Bring all builds up to date; what they print is shown only if they fail."""
    for name, options in OPTIONS.items():
        folder = BUILDS / name
        if not (folder / "build.ninja").exists():
            _run("meson", "setup", folder, SOURCE, "-Dman=disabled", *options)
        wanted = [f"{_FOLDERS[one]}/{one}" for one in _FOLDERS]
        _run("ninja", "-C", folder, *wanted)


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"tools/bench: {' '.join(map(str, command))}:\n"
                         f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
