/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/checksum.h"

#include <string.h>

/*
 * A 64-bit word is taken into the sum as two halves of 32 bits: 2^16 = 1 modulo 2^16 - 1, so that
 * wider words give the same folded sum, and 32 bits of room above each half take up the carries
 * (RFC 1071 2.C).  The loop over lanes is the same in vectors of two such words, which every
 * 64-bit machine has.
 */
typedef uint64_t lanes __attribute__((vector_size(16)));

enum { LANES_BYTES = sizeof(lanes), BLOCK_BYTES = 4 * LANES_BYTES };

static inline lanes load_lanes(const uint8_t *at)
{
	lanes v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline lanes halves(lanes v)
{
	return (v & UINT32_MAX) + (v >> 32);
}

static uint64_t add_blocks(uint64_t sum, const uint8_t *at, size_t blocks)
{
	lanes even = { 0, 0 }, odd = { 0, 0 };

	for (; blocks > 0; blocks--, at += BLOCK_BYTES) {
		even += halves(load_lanes(at)) + halves(load_lanes(at + LANES_BYTES));
		odd += halves(load_lanes(at + 2 * LANES_BYTES)) +
		       halves(load_lanes(at + 3 * LANES_BYTES));
	}
	even += odd;
	return sum + even[0] + even[1];
}

static inline uint64_t add_word(uint64_t sum, const uint8_t *at, size_t n)
{
	uint64_t word = 0;

	memcpy(&word, at, n);
	return sum + (word & UINT32_MAX) + (word >> 32);
}

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	size_t blocks = n / BLOCK_BYTES;

	if (blocks > 0)
		sum = add_blocks(sum, at, blocks);
	at += blocks * BLOCK_BYTES;
	n %= BLOCK_BYTES;
	for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), at += sizeof(uint64_t))
		sum = add_word(sum, at, sizeof(uint64_t));
	return n > 0 ? add_word(sum, at, n) : sum;
}

uint64_t checksum_pseudo(const uint8_t *ip, uint8_t protocol, size_t transport_bytes)
{
	struct {
		be32 bytes;
		be32 protocol;
	} tail = { be32_from((uint32_t)transport_bytes), be32_from(protocol) };
	/* both versions end in source and destination; the fields' widths do not change the sum */
	uint64_t sum = ip[0] >> 4 == 4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);

	return checksum_add(sum, &tail, sizeof(tail));
}

be16 checksum_fold(uint64_t sum)
{
	uint16_t folded;
	be16 in_memory;

	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	folded = (uint16_t)sum;
	memcpy(&in_memory, &folded, sizeof(in_memory));
	return in_memory;
}

be16 checksum_finish(uint64_t sum)
{
	be16 folded = checksum_fold(sum);

	return (be16){ { (uint8_t)~folded.b[0], (uint8_t)~folded.b[1] } };
}

void checksum_ipv4_header(uint8_t *ip)
{
	be16 checksum;

	memset(ip + 10, 0, sizeof(checksum));
	checksum = checksum_finish(checksum_add(0, ip, (size_t)(ip[0] & 15) * 4));
	memcpy(ip + 10, &checksum, sizeof(checksum));
}
