/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window is a ring of bits, one for each sequence number, addressed by the number itself, so
 * that nothing is ever shifted (RFC 6479).  A number's word is its upper bits modulo the length
 * of the ring; moving ahead clears the words that are entered, whole.  The ring has one word more
 * than the window has bits for: the word of @highest is only partly used, and the oldest numbers
 * of the window lie in the word that would be cleared next.
 *
 * Sequence numbers are 32 bits and never wrap: an SA ends before 2^32 (RFC 4303 section 3.3.3).
 */
#include "minivpn/replay.h"

enum {
	WORD_BITS = 32,
	RING_WORDS = REPLAY_WINDOW_BITS / WORD_BITS + 1,
};

static uint32_t word_of(uint32_t seq)
{
	return seq / WORD_BITS % RING_WORDS;
}

static uint32_t bit_of(uint32_t seq)
{
	return UINT32_C(1) << seq % WORD_BITS;
}

bool replay_would_accept(const struct replay *r, uint32_t seq)
{
	if (seq > r->highest)
		return true;
	if (seq == 0 || r->highest - seq >= REPLAY_WINDOW_BITS)
		return false;
	return !(r->seen[word_of(seq)] & bit_of(seq));
}

const uint32_t *replay_place(const struct replay *r)
{
	return &r->seen[word_of(r->highest + 1)];
}

/* Clear the words between the one of @highest and the one of @seq, the latter included. */
static void advance(struct replay *r, uint32_t seq)
{
	uint32_t entered = seq / WORD_BITS - r->highest / WORD_BITS;

	if (entered > RING_WORDS)
		entered = RING_WORDS;
	for (uint32_t i = 0; i < entered; i++)
		r->seen[word_of(seq - WORD_BITS * i)] = 0;
	r->highest = seq;
}

bool replay_commit(struct replay *r, uint32_t seq)
{
	if (!replay_would_accept(r, seq))
		return false;
	if (seq > r->highest)
		advance(r, seq);
	r->seen[word_of(seq)] |= bit_of(seq);
	return true;
}
