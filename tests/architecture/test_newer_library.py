# SPDX-License-Identifier: GPL-2.0-or-later
"""A newer intel-ipsec-mb than this Debian's, where there is one, is what the AEAD back-end is built with.

The library's major version 2 took names out of the header.  The newest that Debian has is unpacked
beside the build, as somebody might install it in a place of their own, and the vectors are asked.
"""

import os
import subprocess

from debs import newest
from lab import BUILD, SOURCE

LIBRARIES = "usr/lib/x86_64-linux-gnu"


def run(*command, env=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, cwd=SOURCE, env={**os.environ, **(env or {})}, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_it_builds_and_gives_the_right_answers(tmp_path):
    package = newest("libipsec-mb-dev")
    # In a place of its own: with it came a libc that is newer than the compiler's.
    place = tmp_path / "library"
    place.mkdir()
    for library in (package / LIBRARIES).glob("libIPSec_MB.so*"):
        (place / library.name).symlink_to(library)
    # The paths of this folder have no blanks, at which flags are parted.
    (tmp_path / "include").symlink_to(package / "usr/include")
    run("meson", "setup", tmp_path / "build", "-Dman=disabled", "-Dwerror=true",
        "-Dipsec_mb=enabled",
        env={"CFLAGS": f"-isystem {tmp_path / 'include'}", "LIBRARY_PATH": str(place),
             "LDFLAGS": f"-L{place} -Wl,-rpath,{place}"})
    run("ninja", "-C", tmp_path / "build", "tests/unit/test_aead")
    test = tmp_path / "build/tests/unit/test_aead"
    assert str(place) in run("ldd", test)
    assert "ipsec-mb" in run(test, env={"CMOCKA_MESSAGE_OUTPUT": "stdout"})
