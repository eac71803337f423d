/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/envelope.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

static_assert(sizeof(struct envelope_header) == 16, "RFC 4303: SPI, sequence; RFC 7634: IV");
static_assert(alignof(struct envelope_header) == 1, "may lie at any address");

enum { AAD_BYTES = 8 }; /* SPI and sequence number: RFC 7634 section 2.1, without ESN */

static_assert(offsetof(struct envelope_header, iv) == AAD_BYTES, "AAD is what precedes the IV");
static_assert(SA_SALT_BYTES + sizeof(((struct envelope_header *)0)->iv) == AEAD_NONCE_BYTES,
	      "RFC 7634 section 2: nonce is salt and IV");

/* Both directions fill this many operations and call the AEAD once.  They lie on the stack and are
 * written before they are read, so the build's -ftrivial-auto-var-init, which would clear all
 * of them for a batch of one, is turned off for them. */
#define BATCH_STORAGE __attribute__((uninitialized))

/* What header and text look like to the AEAD, the same in both directions. */
static void describe_op(struct aead_op *ret_op, const struct sa_key *key,
			const struct envelope_header *header, uint8_t *text, size_t text_bytes)
{
	ret_op->key = key->key;
	memcpy(ret_op->nonce, key->salt, SA_SALT_BYTES);
	memcpy(ret_op->nonce + SA_SALT_BYTES, header->iv, sizeof(header->iv));
	ret_op->aad = (const uint8_t *)header;
	ret_op->aad_bytes = AAD_BYTES;
	ret_op->text = text;
	ret_op->text_bytes = text_bytes;
	ret_op->tag = text + text_bytes;
	ret_op->ok = false;
}

/* Write everything around the payload that is not ciphertext yet. */
static void frame(struct sealing *s, struct aead_op *ret_op)
{
	size_t inner_bytes = s->payload_bytes + s->tfc_bytes;
	size_t least_pad = -(inner_bytes + ENVELOPE_TRAILER_BYTES) % ENVELOPE_ALIGN_BYTES;
	size_t pad_bytes = least_pad + s->pad_extra;
	struct envelope_header *header =
		(struct envelope_header *)(s->payload - ENVELOPE_HEAD_BYTES);
	uint8_t *pad = s->payload + inner_bytes;
	be64 counter = be64_from(s->sequence);

	header->spi = be32_from(s->spi);
	header->sequence = be32_from(s->sequence);
	memcpy(header->iv, s->iv ? s->iv : counter.b, sizeof(header->iv));

	memset(s->payload + s->payload_bytes, 0, s->tfc_bytes);
	for (size_t i = 0; i < pad_bytes; i++)
		pad[i] = (uint8_t)(i + 1);
	pad[pad_bytes] = (uint8_t)pad_bytes;
	pad[pad_bytes + 1] = s->next_header;

	describe_op(ret_op, s->key, header, s->payload,
		    inner_bytes + pad_bytes + ENVELOPE_TRAILER_BYTES);
	s->record = (uint8_t *)header;
	s->record_bytes = ENVELOPE_HEAD_BYTES + ret_op->text_bytes + ENVELOPE_ICV_BYTES;
}

void envelope_seal(const struct aead *aead, void *context, struct sealing *batch, size_t n)
{
	BATCH_STORAGE struct aead_op ops[ENVELOPE_BATCH];

	while (n > 0) {
		size_t taken = n < ENVELOPE_BATCH ? n : ENVELOPE_BATCH;

		for (size_t i = 0; i < taken; i++)
			frame(&batch[i], &ops[i]);
		aead->seal(context, ops, taken);
		batch += taken;
		n -= taken;
	}
}

/* Is it 1, 2, 3 .. as RFC 4303 section 2.4 demands? */
static bool padding_counts_up(const uint8_t *pad, size_t pad_bytes)
{
	uint8_t wrong = 0;

	for (size_t i = 0; i < pad_bytes; i++)
		wrong |= pad[i] ^ (uint8_t)(i + 1);
	return wrong == 0;
}

/* Does the first nibble say what the trailer says?  A dummy packet may hold anything. */
static bool payload_agrees(const uint8_t *payload, size_t payload_bytes, uint8_t next_header)
{
	switch (next_header) {
	case NEXT_HEADER_IPV4:
		return payload_bytes > 0 && payload[0] >> 4 == 4;
	case NEXT_HEADER_IPV6:
		return payload_bytes > 0 && payload[0] >> 4 == 6;
	case NEXT_HEADER_NONE:
		return true;
	}
	return false;
}

/* Take trailer and padding off an authentic plaintext. */
static enum verdict unframe(struct opening *o, uint8_t *text, size_t text_bytes)
{
	uint8_t next_header = text[text_bytes - 1];
	size_t pad_bytes = text[text_bytes - 2];
	size_t payload_bytes = text_bytes - ENVELOPE_TRAILER_BYTES - pad_bytes;

	if (text_bytes % ENVELOPE_ALIGN_BYTES != 0 ||
	    pad_bytes > text_bytes - ENVELOPE_TRAILER_BYTES ||
	    !padding_counts_up(text + payload_bytes, pad_bytes) ||
	    !payload_agrees(text, payload_bytes, next_header))
		return VERDICT_BAD_PADDING;

	o->payload = text;
	o->payload_bytes = payload_bytes;
	o->next_header = next_header;
	return VERDICT_PASS;
}

void envelope_open(const struct aead *aead, void *context, struct opening *batch, size_t n)
{
	BATCH_STORAGE struct aead_op ops[ENVELOPE_BATCH];
	BATCH_STORAGE struct opening *opened[ENVELOPE_BATCH];

	while (n > 0) {
		size_t queued = 0;

		for (; n > 0 && queued < ENVELOPE_BATCH; batch++, n--) {
			if (batch->record_bytes < ENVELOPE_MIN_BYTES) {
				batch->verdict = VERDICT_TRUNCATED;
				continue;
			}
			opened[queued] = batch;
			describe_op(&ops[queued++], batch->key,
				    (const struct envelope_header *)batch->record,
				    batch->record + ENVELOPE_HEAD_BYTES,
				    batch->record_bytes - ENVELOPE_HEAD_BYTES - ENVELOPE_ICV_BYTES);
		}

		aead->open(context, ops, queued);
		for (size_t i = 0; i < queued; i++)
			opened[i]->verdict =
				ops[i].ok ? unframe(opened[i], ops[i].text, ops[i].text_bytes)
					  : VERDICT_FORGED;
	}
}
