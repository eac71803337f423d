/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ESP in tunnel mode on the wire (RFC 4303, RFC 7634): header, padding, trailer, ICV; seal and open
 * in place and in batches.  Sessions, windows and UDP are not known here.
 *
 *   | SPI 4 | sequence number 4 | IV 8 | inner packet | padding 1,2,3.. | pad length 1 | next header 1 | ICV 16 |
 *                                      '------------------- encrypted -----------------------------'
 *   '--- authenticated only ---'       '--------------- authenticated ------------------------------'
 */
#ifndef MINIVPN_ENVELOPE_H
#define MINIVPN_ENVELOPE_H

#include "minivpn/aead.h"
#include "minivpn/verdict.h"
#include "minivpn/wire.h"

#include <stddef.h>
#include <stdint.h>

/* What lies on the wire before the ciphertext: RFC 4303 section 2, RFC 7634 section 2.  From us the
 * IV is the sequence number as a 64-bit integer; from others it may be anything. */
struct envelope_header {
	be32 spi;
	be32 sequence;
	uint8_t iv[8];
};

enum {
	ENVELOPE_HEAD_BYTES = sizeof(struct envelope_header), /* room wanted before a packet */
	ENVELOPE_TRAILER_BYTES = 2,                           /* pad length, next header */
	ENVELOPE_ALIGN_BYTES = 4,
	ENVELOPE_ICV_BYTES = AEAD_TAG_BYTES,
	/* room wanted behind a packet */
	ENVELOPE_TAIL_BYTES =
		ENVELOPE_ALIGN_BYTES - 1 + ENVELOPE_TRAILER_BYTES + ENVELOPE_ICV_BYTES,
	/* SPI, sequence, IV, 4 bytes of plaintext, ICV */
	ENVELOPE_MIN_BYTES = ENVELOPE_HEAD_BYTES + ENVELOPE_ALIGN_BYTES + ENVELOPE_ICV_BYTES,
	SPI_MIN = 256, /* 0 to 255 are reserved, RFC 4303 2.1 */
};

/* Next header values (IANA protocol numbers) that may stand in a trailer. */
enum next_header {
	NEXT_HEADER_IPV4 = 4,
	NEXT_HEADER_IPV6 = 41,
	NEXT_HEADER_NONE = 59, /* dummy packet, RFC 4303 2.6 */
};

/** envelope_bytes() - size of the record that a payload of @inner_bytes becomes, least padding */
static inline size_t envelope_bytes(size_t inner_bytes)
{
	size_t text = (inner_bytes + ENVELOPE_TRAILER_BYTES + ENVELOPE_ALIGN_BYTES - 1) &
		      ~(size_t)(ENVELOPE_ALIGN_BYTES - 1);

	return ENVELOPE_HEAD_BYTES + text + ENVELOPE_ICV_BYTES;
}

/** envelope_inner_max() - largest payload whose record fits into @record_bytes; 0 if none does */
static inline size_t envelope_inner_max(size_t record_bytes)
{
	if (record_bytes < ENVELOPE_MIN_BYTES)
		return 0;
	return ((record_bytes - ENVELOPE_HEAD_BYTES - ENVELOPE_ICV_BYTES) &
		~(size_t)(ENVELOPE_ALIGN_BYTES - 1)) -
	       ENVELOPE_TRAILER_BYTES;
}

/**
 * struct sealing - one packet to seal in place
 * @payload:       first byte of the inner packet; ENVELOPE_HEAD_BYTES of room lie before it and
 *                 ENVELOPE_TAIL_BYTES (more with @pad_extra or @tfc_bytes) behind it
 * @payload_bytes: its length
 * @tfc_bytes:     zero bytes to add between packet and padding (RFC 4303 2.7); 0 as we ship it
 * @pad_extra:     padding beyond the least, a multiple of 4, in all at most 255; 0 as we ship it
 * @key:           the SA's key material
 * @spi:           the SA's SPI
 * @sequence:      1 to 2^32-1, never used before under @key
 * @iv:            NULL for the sequence number, as we ship it; or 8 bytes
 * @next_header:   NEXT_HEADER_*
 * @record:        set: first byte of the record (@payload - ENVELOPE_HEAD_BYTES)
 * @record_bytes:  set: its length
 */
struct sealing {
	uint8_t *payload;
	size_t payload_bytes;
	size_t tfc_bytes;
	size_t pad_extra;
	const struct sa_key *key;
	uint32_t spi;
	uint32_t sequence;
	const uint8_t *iv;
	uint8_t next_header;
	uint8_t *record;
	size_t record_bytes;
};

enum { ENVELOPE_BATCH = 64 }; /* packets given to the AEAD in one call */

/**
 * envelope_seal() - seal @n packets in place
 * @aead, @context: the AEAD to use, and its started context
 *
 * Any @n; works through them ENVELOPE_BATCH at a time.
 */
void envelope_seal(const struct aead *aead, void *context, struct sealing *batch, size_t n);

/**
 * struct opening - one record to open in place
 * @record:        the ESP packet, from SPI to ICV
 * @record_bytes:  its length
 * @key:           key material of the SA that it names
 * @verdict:       set: VERDICT_PASS; VERDICT_TRUNCATED if too short; VERDICT_FORGED if the ICV does
 *                 not verify; VERDICT_BAD_PADDING if it does, but pad length or padding are wrong
 *                 (RFC 4303 2.4), the next header is none of NEXT_HEADER_*, or the version nibble
 *                 of the inner packet does not agree with it
 * @payload:       set on VERDICT_PASS: what was inside, TFC padding still behind it
 * @payload_bytes: set: its length, padding and trailer taken off
 * @next_header:   set: NEXT_HEADER_*
 *
 * Where the inner packet ends within @payload, inner_parse() tells.
 */
struct opening {
	uint8_t *record;
	size_t record_bytes;
	const struct sa_key *key;
	enum verdict verdict;
	uint8_t *payload;
	size_t payload_bytes;
	uint8_t next_header;
};

/** envelope_open() - verify and decrypt @n records in place, each by itself */
void envelope_open(const struct aead *aead, void *context, struct opening *batch, size_t n);

#endif
