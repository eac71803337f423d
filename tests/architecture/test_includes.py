# SPDX-License-Identifier: GPL-2.0-or-later
"""Who includes whom (docs/architecture.md), and that each header stands by itself."""

import re
import subprocess

import pytest

from lab import SOURCE

pytestmark = pytest.mark.unsanitized

# ring: the rings that it may include, or single headers of them.
MAY_INCLUDE = {
    "core": {"core"},
    "aead": {"core", "aead", "shared"},
    "io": {"core", "io", "shared"},
    "host": {"minivpn/inner.h", "minivpn/wire.h", "host", "shared"},
    "run": {"core", "aead", "keys", "io", "host", "run", "shared"},
    "keys": {"core", "keys", "shared"},
    "conf": {"core", "keys", "host/plan.h", "host/limits.h", "run/tunnel.h", "conf", "shared"},
    "cli": {"core", "aead", "keys", "host", "io", "run", "conf", "cli", "shared"},
    "tools": {"core", "aead", "host", "conf", "io/clock.h", "run/keymemory.h", "tools", "shared"},
    "shared": {"minivpn/inner.h", "minivpn/instant.h", "shared"},
}


def ring_of(path):
    """The ring that a source file or a header belongs to, by where it lies; None: tests."""
    parts = path.split("/")
    if parts[0] in ("include", "minivpn"):
        return "core"
    if parts[0] in ("keys", "tools"):
        return parts[0]
    if parts[0] == "src":
        parts = parts[1:]
    if parts[0] == "core":
        return "core"
    return parts[0] if len(parts) > 1 and parts[0] in MAY_INCLUDE else "shared"


def sources():
    return sorted(str(path.relative_to(SOURCE)) for folder in ("include", "src", "keys", "tools")
                  for path in (SOURCE / folder).rglob("*.[ch]"))


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', (SOURCE / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("ring", MAY_INCLUDE)
def test_ring_includes_only_what_it_may(ring):
    forbidden = []
    for path in sources():
        if ring_of(path) != ring:
            continue
        for header in includes(path):
            if "/" not in header and ((SOURCE / path).parent / header).exists():
                continue    # a private header of the same folder
            if ring_of(header) not in MAY_INCLUDE[ring] and header not in MAY_INCLUDE[ring]:
                forbidden.append(f"{path} includes {header}")
    assert not forbidden


def test_headers_have_no_cycles():
    needs = {path: [str((SOURCE / folder / header).relative_to(SOURCE))
                    for header in includes(path)
                    for folder in ("include", "src", ".") if (SOURCE / folder / header).exists()]
             for path in sources() if path.endswith(".h")}

    def walk(path, above):
        assert path not in above, f"a cycle: {' -> '.join([*above, path])}"
        for header in needs.get(path, ()):
            walk(header, [*above, path])

    for path in needs:
        walk(path, [])


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_each_header_stands_by_itself(compiler, tmp_path):
    failed = []
    for path in sources():
        if not path.endswith(".h"):
            continue
        alone = tmp_path / "alone.c"
        alone.write_text(f'#include "{SOURCE / path}"\n#include "{SOURCE / path}"\n'
                         "typedef int not_empty;\n")
        # The core's own include path is all that a header of the core gets.
        paths = ["-Iinclude"] if ring_of(path) == "core" else ["-Iinclude", "-Isrc", "-I."]
        done = subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra",
                               "-Werror", "-fsyntax-only", *paths, alone], cwd=SOURCE,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            failed.append(f"{path}:\n{done.stderr}")
    assert not failed, "\n".join(failed)
