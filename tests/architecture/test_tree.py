# SPDX-License-Identifier: GPL-2.0-or-later
"""What every file of the tree must have, and what none may have."""

import re
import subprocess

import pytest

from lab import SOURCE

pytestmark = pytest.mark.unsanitized

# Formats without comments, prose that LICENSE covers, and files that are nothing but patterns.
WITHOUT_SPDX = re.compile(r"LICENSE|\.(md|json|svg|png|pcap|txt|key|hex|bin)$|^\.gitignore$|corpus/")
# Home folders and the like: put together from halves, so that this file has none.
SOMEBODYS_FOLDER = re.compile("/" + "(?:home|root|Users|wor" + "k)/[A-Za-z.]")


def files():
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files"], cwd=SOURCE,
                            capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for path in listed.stdout.splitlines() if (SOURCE / path).is_file()]


def test_every_file_names_its_licence():
    lacking = [path for path in files() if not WITHOUT_SPDX.search(path) and
               b"SPDX-License-Identifier: GPL-2.0-or-later" not in
               b"".join((SOURCE / path).read_bytes().splitlines(True)[:3])]
    assert not lacking


def test_no_file_tells_where_it_was_written():
    telling = []
    for path in files():
        for number, line in enumerate((SOURCE / path).read_bytes().splitlines(), 1):
            text = line.decode(errors="replace")
            if SOMEBODYS_FOLDER.search(text) or str(SOURCE) in text:
                telling.append(f"{path}:{number}: {text.strip()}")
    assert not telling


def test_no_line_ends_in_blanks_and_every_file_ends_in_a_newline():
    untidy = []
    for path in files():
        content = (SOURCE / path).read_bytes()
        if b"\0" in content or path == "LICENSE" or path.endswith(".json") or "corpus/" in path:
            continue
        if content and not content.endswith(b"\n"):
            untidy.append(f"{path}: no newline at its end")
        untidy += [f"{path}:{number}" for number, line in enumerate(content.splitlines(), 1)
                   if line != line.rstrip()]
    assert not untidy
