# SPDX-License-Identifier: GPL-2.0-or-later
"""handshake-vectors has to notice every single change of the file that it checks."""

import copy
import json
import os
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("MINIVPN_BUILD", Path(__file__).parents[2] / "build"))
PROGRAM = BUILD / "tests" / "interop" / "handshake-vectors"
VECTORS = Path(__file__).parents[1] / "vectors" / "minivpn-handshake.json"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def check(path):
    return subprocess.run([PROGRAM, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=20)


def changed(value):
    """The same kind of value, but another one."""
    if isinstance(value, int):
        return value + 1
    if value in ("C", "S"):
        return "S" if value == "C" else "C"
    if " to " in value:
        return " to ".join(reversed(value.split(" to ")))
    last = "1" if value[-1] == "0" else "0"
    return value[:-1] + last


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, path + (key,))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, path + (place,))
    else:
        yield path


FILE = json.loads(VECTORS.read_text())
LEAVES = [path for path in leaves(FILE) if path != ("description",)]


def test_the_file_agrees():
    run = check(VECTORS)
    assert run.stdout == "2 vectors, 0 disagree\n"
    assert run.returncode == 0


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: "-".join(map(str, path)))
def test_every_change_is_noticed(path, tmp_path):
    file = copy.deepcopy(FILE)
    record = file
    for step in path[:-1]:
        record = record[step]
    record[path[-1]] = changed(record[path[-1]])
    (tmp_path / "changed.json").write_text(json.dumps(file))

    run = check(tmp_path / "changed.json")
    *lines, last = run.stdout.splitlines()
    assert run.returncode == 1
    assert lines and all(line.startswith(f"vector {path[1]}: ") for line in lines)
    assert last == f"2 vectors, {len(lines)} disagree"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"vectors": []}', '{"vectors": [{}]}',
                                  '{"vectors": [{"psk": "0g"}]}'])
def test_what_is_no_such_file(text, tmp_path):
    (tmp_path / "bad.json").write_text(text)
    run = check(tmp_path / "bad.json")
    assert run.returncode == 2 and run.stderr and not run.stdout


def test_usage():
    run = subprocess.run([PROGRAM], stderr=subprocess.PIPE, text=True, timeout=20)
    assert run.returncode == 2 and "usage" in run.stderr
