/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hints.h"

#include "minivpn/engine.h"

#include <assert.h>
#include <string.h>

enum { WORDS = EPHEMERAL_BYTES / 8 };

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
	size_t at = hints->count - 1, last = at;

	while (hints->owner[at] != owner) /* whoever removes all begins with the last */
		at--;
	hints->count = last;
	for (int i = 0; i < 2; i++) {
		hints->word[i][at] = hints->word[i][last];
		hints->word[i][last] = 0;
	}
	hints->owner[at] = hints->owner[last];
}

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

/* SipRound of the paper by Aumasson and Bernstein, on as many states at a time as @v has lanes. */
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

typedef uint64_t lanes2 __attribute__((vector_size(8 * 2)));
typedef uint64_t lanes4 __attribute__((vector_size(8 * 4)));
typedef uint64_t lanes8 __attribute__((vector_size(8 * 8)));
static_assert(HINT_LANES % 8 == 0, "room for whole vectors of either width");

/* Which of @lanes keys, in vectors of type @type, yield @hint: a bit for each.  The message is
 * EPHEMERAL_BYTES long, and the last word of SipHash's padding holds nothing but that length. */
#define DEFINE_SEARCH(name, target, type, lanes)                                                  \
	target static inline __attribute__((always_inline)) unsigned match_##name(                \
		const uint64_t *k0, const uint64_t *k1, const uint64_t message[WORDS],            \
		uint64_t hint)                                                                    \
	{                                                                                         \
		type v[4], key[2];                                                                \
		unsigned found = 0;                                                               \
                                                                                                  \
		memcpy(&key[0], k0, sizeof(key[0]));                                              \
		memcpy(&key[1], k1, sizeof(key[1]));                                              \
		v[0] = key[0] ^ 0x736f6d6570736575;                                               \
		v[1] = key[1] ^ 0x646f72616e646f6d;                                               \
		v[2] = key[0] ^ 0x6c7967656e657261;                                               \
		v[3] = key[1] ^ 0x7465646279746573;                                               \
		for (int i = 0; i <= WORDS; i++) {                                                \
			uint64_t word = i < WORDS ? message[i] : (uint64_t)EPHEMERAL_BYTES << 56; \
                                                                                                  \
			v[3] ^= word;                                                             \
			ROUND(v);                                                                 \
			ROUND(v);                                                                 \
			v[0] ^= word;                                                             \
		}                                                                                 \
		v[2] ^= 0xff;                                                                     \
		ROUND(v);                                                                         \
		ROUND(v);                                                                         \
		ROUND(v);                                                                         \
		ROUND(v);                                                                         \
		v[0] ^= v[1] ^ v[2] ^ v[3];                                                       \
		for (unsigned i = 0; i < (lanes); i++)                                            \
			found |= (unsigned)(v[0][i] == hint) << i;                                \
		return found;                                                                     \
	}                                                                                         \
                                                                                                  \
	target static size_t search_##name(const struct hints *hints, size_t from,                \
					   const uint64_t message[WORDS], uint64_t hint)          \
	{                                                                                         \
		for (size_t at = from / (lanes) * (lanes); at < hints->count; at += (lanes)) {    \
			unsigned found = match_##name(hints->word[0] + at, hints->word[1] + at,   \
						      message, hint);                             \
                                                                                                  \
			if (at < from)                                                            \
				found &= ~0u << (from - at);                                      \
			if (found) {                                                              \
				at += (unsigned)__builtin_ctz(found);                             \
				return at < hints->count ? at : hints->count;                     \
			}                                                                         \
		}                                                                                 \
		return hints->count;                                                              \
	}

/* As wide as the registers: GNU C splits what is wider, and what it splits goes through memory. */
DEFINE_SEARCH(plain, , lanes2, 2)
#ifdef __x86_64__
DEFINE_SEARCH(avx2, __attribute__((target("avx2"))), lanes4, 4)
/* And rotates in one step.  Not for AddressSanitizer, of which gcc 12 puts wide vectors on the stack where
 * they are not aligned (its bug 110027). */
DEFINE_SEARCH(avx512, __attribute__((target("avx512f"), no_sanitize("address"))), lanes8, 8)
#endif

enum hints_vectors hints_best(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return HINTS_AVX512;
	if (__builtin_cpu_supports("avx2"))
		return HINTS_AVX2;
#endif
	return HINTS_PLAIN;
}

size_t hints_find(const struct hints *hints, size_t from, const uint8_t ephemeral[EPHEMERAL_BYTES],
		  const uint8_t hint[HINT_BYTES])
{
	uint64_t message[WORDS];

	for (int i = 0; i < WORDS; i++)
		message[i] = word_from(ephemeral + 8 * i);
#ifdef __x86_64__
	if (hints->vectors == HINTS_AVX512)
		return search_avx512(hints, from, message, word_from(hint));
	if (hints->vectors == HINTS_AVX2)
		return search_avx2(hints, from, message, word_from(hint));
#endif
	return search_plain(hints, from, message, word_from(hint));
}

size_t engine_search_trial(void)
{
	enum { KEYS = 1024 };
	static const uint8_t ephemeral[EPHEMERAL_BYTES], hint[HINT_BYTES];
	uint64_t word[2][KEYS] = { 0 };
	struct hints hints = { hints_best(), { word[0], word[1] }, NULL, KEYS, KEYS };

	return hints_find(&hints, 0, ephemeral, hint);
}
