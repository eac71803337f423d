/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The AEAD back-ends, one archive each.  What a table means is told in minivpn/aead.h.
 */
#ifndef AEAD_BACKENDS_H
#define AEAD_BACKENDS_H

#include "minivpn/aead.h"

/* libsodium: always there */
extern const struct aead aead_sodium;

/* intel-ipsec-mb: where it was found at build time (HAVE_IPSEC_MB) */
extern const struct aead aead_ipsecmb;

/* none at all: in builds for benchmarks only (MINIVPN_BENCHMARK) */
extern const struct aead aead_null;

/* The limits of ChaCha20-Poly1305 as this protocol uses it: 2^32-1 packets, since the sequence
 * number makes the nonce; and 2^36 failed openings (RFC 9001 section 6.6), which leave a forger a
 * chance of less than one in 2^54 even with records of 64 KiB (2^-90 each, RFC 8439 section 4). */
#define AEAD_SEAL_LIMIT    UINT32_MAX
#define AEAD_FORGERY_LIMIT (UINT64_C(1) << 36)

#endif
