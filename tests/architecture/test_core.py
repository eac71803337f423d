# SPDX-License-Identifier: GPL-2.0-or-later
"""The core is pure: it can reach no descriptor, clock, allocator or random generator.

What it needs from outside is what its archive leaves undefined; each name must be in the list
below.  To add one, be sure that it reads nothing but its arguments.
"""

import subprocess

import pytest

from lab import BUILD

# Bytes and text, of the C library.  The *_chk forms are what FORTIFY makes of the plain ones.
MEMORY = {
    "memchr", "memcmp", "memcpy", "memmove", "memset", "strchr", "strcmp", "strlen", "strncmp",
    "strncpy", "strnlen",
    "__memcpy_chk", "__memmove_chk", "__memset_chk", "__strncpy_chk",
}
# Addresses as text, and the ways in which a mistake of our own ends the program.
TEXT_AND_GUARDS = {"inet_ntop", "inet_pton", "__assert_fail", "__stack_chk_fail"}
# Each function of libsodium by its name: many of its others draw randomness themselves.
SODIUM = {
    "crypto_aead_chacha20poly1305_ietf_decrypt",
    "crypto_aead_chacha20poly1305_ietf_decrypt_detached",
    "crypto_aead_chacha20poly1305_ietf_encrypt",
    "crypto_aead_chacha20poly1305_ietf_encrypt_detached",
    "crypto_auth_hmacsha512_final", "crypto_auth_hmacsha512_init", "crypto_auth_hmacsha512_update",
    "crypto_generichash",
    "crypto_hash_sha512_final", "crypto_hash_sha512_init", "crypto_hash_sha512_update",
    "crypto_scalarmult_curve25519", "crypto_scalarmult_curve25519_base",
    "crypto_shorthash_siphash24", "crypto_verify_32",
    "sodium_is_zero", "sodium_memcmp", "sodium_memzero",
}
# What a compiler may call by itself; __cpu_* choose among the clones of one function (checksum.c).
COMPILER = {"_GLOBAL_OFFSET_TABLE_", "__cpu_indicator_init", "__cpu_model"}


def symbols(option):
    """The names that nm lists of the core's archive with an option, without their file."""
    out = subprocess.run(["nm", option, BUILD / "src/core/libcore.a"], capture_output=True,
                         text=True, check=True).stdout
    return {line.split()[-1] for line in out.splitlines() if line and not line.endswith(":")}


@pytest.fixture(scope="module")
def needed():
    undefined = symbols("--undefined-only")
    if any(name.startswith(("__asan", "__ubsan", "__tsan")) for name in undefined):
        pytest.skip("a sanitizer adds symbols of its own")
    return undefined - symbols("--defined-only")


def test_core_needs_only_what_is_listed(needed):
    stray = needed - MEMORY - TEXT_AND_GUARDS - SODIUM - COMPILER
    assert not stray, f"the core reaches outside: {sorted(stray)}"


def test_list_is_not_longer_than_needed(needed):
    # A name that nothing needs any more would let it come back unseen.  FORTIFY and the
    # compiler choose among the functions for memory, so those may stand there unused.
    assert not SODIUM - needed - {"crypto_aead_chacha20poly1305_ietf_decrypt_detached",
                                  "crypto_verify_32"}


def test_core_has_no_writable_data():
    # Constant tables of pointers lie in .data.rel.ro, which is written once, by the loader.
    listed = subprocess.run(["objdump", "--syms", BUILD / "src/core/libcore.a"],
                            capture_output=True, text=True, check=True).stdout
    writable = {line.split()[-1] for line in listed.splitlines()
                if " O " in line and (" .data\t" in line or " .bss\t" in line)}
    assert not writable, f"variables in the core: {sorted(writable)}"
