# SPDX-License-Identifier: GPL-2.0-or-later
"""What only a benchmark may have is in no program that people use.

tools/bench measures builds with -Dbenchmark=..., which have a cipher that encrypts nothing.  It must be
impossible to run a tunnel over it by mistake, whatever an option or a file says.
"""

import subprocess

import pytest

from lab import BUILD, program

SHIPPED = ("minivpn", "minivpn-keygen", "minivpn-nft")


@pytest.fixture(scope="module", autouse=True)
def ordinary_build():
    options = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], capture_output=True,
                             text=True, check=False).stdout
    if '"name": "benchmark", "value": "no"' not in options:
        pytest.skip("a build for benchmarks")


@pytest.mark.parametrize("name", SHIPPED)
def test_no_null_cipher(name):
    symbols = subprocess.run(["nm", program(name)], capture_output=True, text=True,
                             check=True).stdout
    assert " main" in symbols, "stripped: this test would see nothing"
    assert "aead_null" not in symbols


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_in_it_speaks_of_it(name):
    content = open(program(name), "rb").read()
    assert b"everything in the clear" not in content
    assert b"-benchmark" not in content


def test_it_is_not_to_be_had_by_name(lab, tmp_path):
    host = lab.host("server")
    key = tmp_path / "laptop.key"
    host.run("minivpn-keygen", "laptop", "--endpoint", "192.0.2.1", "--out", key)
    refused = host.run("minivpn", "server", key, "--aead", "null", check=False)
    assert refused.returncode in (1, 2)
    assert "null" in refused.stderr
