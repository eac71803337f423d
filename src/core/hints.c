/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hints.h"

#include <string.h>

enum { WORDS = EPHEMERAL_BYTES / 8 };

/* GNU C splits what the processor has no registers for. */
typedef uint64_t lanes __attribute__((vector_size(8 * HINT_LANES)));

static uint64_t word_from(const uint8_t *bytes)
{
	uint64_t word = 0;

	for (int i = 7; i >= 0; i--)
		word = word << 8 | bytes[i];
	return word;
}

void hints_add(struct hints *hints, const struct hint_key *key, void *owner)
{
	size_t at = hints->count++;

	hints->word[0][at] = word_from(key->b);
	hints->word[1][at] = word_from(key->b + 8);
	hints->owner[at] = owner;
}

void hints_remove(struct hints *hints, const void *owner)
{
	size_t at = 0, last = hints->count - 1;

	while (hints->owner[at] != owner)
		at++;
	hints->count = last;
	for (int i = 0; i < 2; i++) {
		hints->word[i][at] = hints->word[i][last];
		hints->word[i][last] = 0;
	}
	hints->owner[at] = hints->owner[last];
}

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

/* SipRound of the paper by Aumasson and Bernstein, on HINT_LANES states at a time. */
#define ROUND(v)                         \
	do {                             \
		v[0] += v[1];            \
		v[1] = ROTATE(v[1], 13); \
		v[1] ^= v[0];            \
		v[0] = ROTATE(v[0], 32); \
		v[2] += v[3];            \
		v[3] = ROTATE(v[3], 16); \
		v[3] ^= v[2];            \
		v[0] += v[3];            \
		v[3] = ROTATE(v[3], 21); \
		v[3] ^= v[0];            \
		v[2] += v[1];            \
		v[1] = ROTATE(v[1], 17); \
		v[1] ^= v[2];            \
		v[2] = ROTATE(v[2], 32); \
	} while (0)

/* Which of HINT_LANES keys yield @hint: a bit for each.  The message is EPHEMERAL_BYTES long, and the
 * last word of SipHash's padding holds nothing but that length. */
static inline __attribute__((always_inline)) unsigned
match(const uint64_t *k0, const uint64_t *k1, const uint64_t message[WORDS], uint64_t hint)
{
	lanes v[4], key[2];
	unsigned found = 0;

	memcpy(&key[0], k0, sizeof(key[0]));
	memcpy(&key[1], k1, sizeof(key[1]));
	v[0] = key[0] ^ 0x736f6d6570736575;
	v[1] = key[1] ^ 0x646f72616e646f6d;
	v[2] = key[0] ^ 0x6c7967656e657261;
	v[3] = key[1] ^ 0x7465646279746573;
	for (int i = 0; i <= WORDS; i++) {
		uint64_t word = i < WORDS ? message[i] : (uint64_t)EPHEMERAL_BYTES << 56;

		v[3] ^= word;
		ROUND(v);
		ROUND(v);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	ROUND(v);
	ROUND(v);
	ROUND(v);
	ROUND(v);
	v[0] ^= v[1] ^ v[2] ^ v[3];
	for (unsigned i = 0; i < HINT_LANES; i++)
		found |= (unsigned)(v[0][i] == hint) << i;
	return found;
}

static inline __attribute__((always_inline)) size_t
search(const struct hints *hints, size_t from, const uint64_t message[WORDS], uint64_t hint)
{
	for (size_t at = from / HINT_LANES * HINT_LANES; at < hints->count; at += HINT_LANES) {
		unsigned found = match(hints->word[0] + at, hints->word[1] + at, message, hint);

		if (at < from)
			found &= ~0u << (from - at);
		if (found) {
			at += (unsigned)__builtin_ctz(found);
			return at < hints->count ? at : hints->count;
		}
	}
	return hints->count;
}

static size_t search_plainly(const struct hints *hints, size_t from, const uint64_t message[WORDS],
			     uint64_t hint)
{
	return search(hints, from, message, hint);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static size_t
search_avx2(const struct hints *hints, size_t from, const uint64_t message[WORDS], uint64_t hint)
{
	return search(hints, from, message, hint);
}
#endif

size_t hints_find(const struct hints *hints, size_t from, const uint8_t ephemeral[EPHEMERAL_BYTES],
		  const uint8_t hint[HINT_BYTES])
{
	uint64_t message[WORDS];

	for (int i = 0; i < WORDS; i++)
		message[i] = word_from(ephemeral + 8 * i);
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return search_avx2(hints, from, message, word_from(hint));
#endif
	return search_plainly(hints, from, message, word_from(hint));
}
