/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No encryption at all, and a tag of zeroes: what a tunnel costs that has everything but the cipher.
 * Compiled for benchmarks only (-Dbenchmark=...); a program that people use does not contain it,
 * which tests/architecture/test_benchmark.py looks after.
 */
#include "aead/backends.h"

#include <stdio.h>
#include <string.h>

static void describe(const void *context, char *ret_text)
{
	(void)context;
	snprintf(ret_text, AEAD_DESCRIPTION_BYTES, "none: everything in the clear");
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	(void)context;
	for (size_t i = 0; i < n; i++)
		memset(ops[i].tag, 0, AEAD_TAG_BYTES);
}

static void open(void *context, struct aead_op *ops, size_t n)
{
	static const uint8_t zeroes[AEAD_TAG_BYTES];

	(void)context;
	for (size_t i = 0; i < n; i++)
		ops[i].ok = memcmp(ops[i].tag, zeroes, AEAD_TAG_BYTES) == 0;
}

const struct aead aead_null = {
	.name = "null",
	.describe = describe,
	.seal = seal,
	.open = open,
	.seal_limit = AEAD_SEAL_LIMIT,
	.forgery_limit = AEAD_FORGERY_LIMIT,
};
