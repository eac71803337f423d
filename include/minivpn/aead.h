/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An AEAD as a constant table: its sizes, its usage limits, and seal and open in batches of
 * independent operations.  A batch of one is a batch.  The back-ends lie in src/aead/, one archive
 * each; none may choose itself: the program chooses, after aead_self_test().
 *
 * There is one cipher, ChaCha20-Poly1305 (RFC 8439); the back-ends differ in speed only.
 */
#ifndef MINIVPN_AEAD_H
#define MINIVPN_AEAD_H

#include "minivpn/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AEAD_NONCE_BYTES = 12,
	AEAD_TAG_BYTES = 16,
};

/**
 * struct aead_op - one packet to seal or to open, in place
 * @key:        SA_KEY_BYTES of key
 * @nonce:      AEAD_NONCE_BYTES
 * @aad:        what is authenticated but not encrypted
 * @aad_bytes:  its length
 * @text:       plaintext to seal, or ciphertext to open; replaced by the other
 * @text_bytes: its length, without the tag
 * @tag:        AEAD_TAG_BYTES; written by seal, read by open
 * @ok:         set by open: true if the tag verified.  If false, @text holds nothing of use
 *
 * Operations of one batch may share a key and never overlap in @text or @tag.
 */
struct aead_op {
	const uint8_t *key;
	uint8_t nonce[AEAD_NONCE_BYTES];
	const uint8_t *aad;
	size_t aad_bytes;
	uint8_t *text;
	size_t text_bytes;
	uint8_t *tag;
	bool ok;
};

/**
 * struct aead - one implementation of the cipher
 * @name:          as the log, `minivpn status` and --aead say it
 * @context_bytes: memory a context wants, 64-byte aligned; 0 if it needs none
 * @start:         prepare a context (one for each thread); false if this machine cannot run it
 * @seal:          seal @n operations
 * @open:          open @n operations, each setting its own @ok; verifies before it reveals, or
 *                 wipes what it revealed
 * @seal_limit:    packets one key may seal
 * @forgery_limit: failed openings one key may see before it must go (RFC 9001 B.4 reckons the same
 *                 way; the protocol says 2^36)
 */
struct aead {
	const char *name;
	size_t context_bytes;
	bool (*start)(void *context);
	void (*seal)(void *context, struct aead_op *ops, size_t n);
	void (*open)(void *context, struct aead_op *ops, size_t n);
	uint64_t seal_limit;
	uint64_t forgery_limit;
};

/**
 * aead_self_test() - known answers (RFC 8439 2.8.2, RFC 7634 Appendix A), bad tags, odd lengths
 * @aead:    implementation under test
 * @context: started context of it
 *
 * Return: true only if every answer was right, batched and one at a time
 */
bool aead_self_test(const struct aead *aead, void *context);

#endif
