/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aead/backends.h"

#include <sodium.h>
#include <stdio.h>

static bool start(void *context)
{
	(void)context;
	/* Until it has been called libsodium uses its slowest code.  May be called again. */
	return sodium_init() >= 0;
}

static void describe(const void *context, char *ret_text)
{
	(void)context;
	snprintf(ret_text, AEAD_DESCRIPTION_BYTES, "libsodium %s", sodium_version_string());
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	(void)context;
	for (struct aead_op *op = ops; op < ops + n; op++)
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(
			op->text, op->tag, NULL, op->text, op->text_bytes, op->aad, op->aad_bytes,
			NULL, op->nonce, op->key);
}

static void open(void *context, struct aead_op *ops, size_t n)
{
	(void)context;
	for (struct aead_op *op = ops; op < ops + n; op++)
		op->ok = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
				 op->text, NULL, op->text, op->text_bytes, op->tag, op->aad,
				 op->aad_bytes, op->nonce, op->key) == 0;
}

const struct aead aead_sodium = {
	.name = "sodium",
	.start = start,
	.describe = describe,
	.seal = seal,
	.open = open,
	.seal_limit = AEAD_SEAL_LIMIT,
	.forgery_limit = AEAD_FORGERY_LIMIT,
};
