/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/checksum.h"

#include <string.h>

/*
 * A 64-bit word is taken into the sum as two halves of 32 bits: 2^16 = 1 modulo 2^16 - 1, so that
 * wider words give the same folded sum, and 32 bits of room above each half take up the carries
 * (RFC 1071 2.C).  The loops over lanes are the same in vectors of eight such words; where the machine
 * has registers of that width, they run twice as fast as with half of it.
 *
 * To sum while copying reads the bytes once.  What follows is a call for each packet of a super-packet,
 * and the packets come out of the processor's second cache: there, reading is what costs.
 */
#ifdef __SANITIZE_ADDRESS__ /* of which gcc 12 does not align what is wider (its bug 110027) */
typedef uint64_t lanes __attribute__((vector_size(32)));
#else
typedef uint64_t lanes __attribute__((vector_size(64)));
#endif

enum { LANES_BYTES = sizeof(lanes) };

/* What chooses among clones runs before ThreadSanitizer is ready, and would be watched by it. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define ALSO_WIDE __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define ALSO_WIDE
#endif

#define LOAD(lanes, from) memcpy(&(lanes), from, sizeof(lanes))
#define STORE(to, lanes)  memcpy(to, &(lanes), sizeof(lanes))
#define HALVES(lanes)     (((lanes)&UINT32_MAX) + ((lanes) >> 32))

static inline uint64_t total(const lanes *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < LANES_BYTES / sizeof(sum); i++)
		sum += (*v)[i];
	return sum;
}

/* @n: of vectors */
ALSO_WIDE static uint64_t add_lanes(uint64_t sum, const uint8_t *at, size_t n)
{
	lanes even = { 0 }, odd = { 0 }, v, w;

	for (; n >= 2; n -= 2, at += 2 * LANES_BYTES) {
		LOAD(v, at);
		LOAD(w, at + LANES_BYTES);
		even += HALVES(v);
		odd += HALVES(w);
	}
	if (n > 0) {
		LOAD(v, at);
		even += HALVES(v);
	}
	even += odd;
	return sum + total(&even);
}

ALSO_WIDE static uint64_t copy_lanes(uint64_t sum, uint8_t *to, const uint8_t *at, size_t n)
{
	lanes even = { 0 }, odd = { 0 }, v, w;

	for (; n >= 2; n -= 2, at += 2 * LANES_BYTES, to += 2 * LANES_BYTES) {
		LOAD(v, at);
		LOAD(w, at + LANES_BYTES);
		STORE(to, v);
		STORE(to + LANES_BYTES, w);
		even += HALVES(v);
		odd += HALVES(w);
	}
	if (n > 0) {
		LOAD(v, at);
		STORE(to, v);
		even += HALVES(v);
	}
	even += odd;
	return sum + total(&even);
}

static inline uint64_t add_halves(uint64_t sum, uint64_t word)
{
	return sum + (word & UINT32_MAX) + (word >> 32);
}

/* The last 0 to 7 bytes.  They are loaded in whole halves: a copy into a word of 8 and a load of it
 * would wait for each other. */
static inline uint64_t add_rest(uint64_t sum, const uint8_t *at, size_t n)
{
	uint8_t padded[2] = { 0, 0 };
	uint32_t half;
	uint16_t quarter;

	if (n & 4) {
		memcpy(&half, at, sizeof(half));
		sum += half;
		at += sizeof(half);
	}
	if (n & 2) {
		memcpy(&quarter, at, sizeof(quarter));
		sum += quarter;
		at += sizeof(quarter);
	}
	if (n & 1) {
		padded[0] = *at;
		memcpy(&quarter, padded, sizeof(quarter));
		sum += quarter;
	}
	return sum;
}

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	uint64_t word;

	if (n >= LANES_BYTES)
		sum = add_lanes(sum, at, n / LANES_BYTES);
	at += n - n % LANES_BYTES;
	n %= LANES_BYTES;
	for (; n >= sizeof(word); n -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum = add_halves(sum, word);
	}
	return add_rest(sum, at, n);
}

uint64_t checksum_copy(uint64_t sum, void *ret_bytes, const void *bytes, size_t n)
{
	size_t done = n - n % LANES_BYTES;

	if (done > 0)
		sum = copy_lanes(sum, ret_bytes, bytes, n / LANES_BYTES);
	memcpy((uint8_t *)ret_bytes + done, (const uint8_t *)bytes + done, n - done);
	return checksum_add(sum, (const uint8_t *)bytes + done, n - done);
}

uint64_t checksum_pseudo(const uint8_t *ip, uint8_t protocol, size_t transport_bytes)
{
	/* both versions end in source and destination; the fields' widths do not change the sum */
	uint64_t sum = ip[0] >> 4 == 4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);

	return sum + checksum_word(protocol) + checksum_word(transport_bytes);
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
