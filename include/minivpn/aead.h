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
	AEAD_DESCRIPTION_BYTES = 48, /* room for what describe() writes, NUL included */
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
 * @name:          as --aead says it
 * @context_bytes: memory a context wants, aligned as malloc() does; 0 if it needs none
 * @start:         prepare a context (one for each thread); false, with nothing to stop, if this
 *                 machine cannot run it.  NULL: nothing is to be prepared
 * @stop:          give back what @start took, and erase what a context knows of keys.  NULL: that is
 *                 nothing
 * @describe:      library, version and code path of a started context, as the log and
 *                 `minivpn status` say it; @ret_text has AEAD_DESCRIPTION_BYTES
 * @seal:          seal @n operations
 * @open:          open @n operations, each setting its own @ok; verifies before it reveals, or
 *                 wipes what it revealed
 * @seal_limit:    packets one key may seal
 * @forgery_limit: failed openings one key may see before it must go; as RFC 9001 section 6.6 has it
 */
struct aead {
	const char *name;
	size_t context_bytes;
	bool (*start)(void *context);
	void (*stop)(void *context);
	void (*describe)(const void *context, char *ret_text);
	void (*seal)(void *context, struct aead_op *ops, size_t n);
	void (*open)(void *context, struct aead_op *ops, size_t n);
	uint64_t seal_limit;
	uint64_t forgery_limit;
};

/**
 * aead_self_test() - does this back-end give the right answers on this machine?
 *
 * Known answers (RFC 8439 2.8.2, RFC 7634 Appendix A), every length of text up to a few cipher
 * blocks and some longer ones against libsodium's own, in batches and singly; and a flipped bit
 * anywhere must be refused, alone and between good neighbours.  A few milliseconds.
 *
 * @aead:    implementation under test
 * @context: started context of it
 *
 * Return: true only if every answer was right, batched and one at a time
 */
bool aead_self_test(const struct aead *aead, void *context);

#endif
