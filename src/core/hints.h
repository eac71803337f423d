/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose key an Init was made with.  Its hint is SipHash-2-4 of its ephemeral under a key that the
 * pre-shared key yields, so that nobody else can link two of a client's sessions; and so that there is no
 * table to look it up in: a responder with ten thousand keys computes ten thousand hashes.
 *
 * They are all of the same 32 bytes under different keys, which is what vectors are made for: the
 * keys lie as two arrays of words, and several are hashed at a time.
 */
#ifndef CORE_HINTS_H
#define CORE_HINTS_H

#include "minivpn/handshake.h"

#include <stddef.h>
#include <stdint.h>

enum { HINT_LANES = 8 };

/** enum hints_vectors - what the search is done with, worst first */
enum hints_vectors { HINTS_PLAIN, HINTS_AVX2, HINTS_AVX512 };

/** hints_best() - the best that this processor has */
enum hints_vectors hints_best(void);

/**
 * struct hints - the hint keys of all peers; zeroed, there are none
 * @vectors: no better than hints_best()
 * @word:  first and second word of each key, @count of them; room for a multiple of HINT_LANES
 * @owner: whose they are
 */
struct hints {
	enum hints_vectors vectors;
	uint64_t *word[2];
	void **owner;
	size_t count, room;
};

/** hints_add() - there is room for one more */
void hints_add(struct hints *hints, const struct hint_key *key, void *owner);

/** hints_remove() - take out what @owner has; the last one takes its place */
void hints_remove(struct hints *hints, const void *owner);

/**
 * hints_find() - the next key that yields @hint
 * @from: where to begin; 0, or one more than the last answer
 *
 * Return: its place, or @hints->count if there is none
 */
size_t hints_find(const struct hints *hints, size_t from, const uint8_t ephemeral[EPHEMERAL_BYTES],
		  const uint8_t hint[HINT_BYTES]);

#endif
