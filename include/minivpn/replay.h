/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The anti-replay window.  Asking and committing are two calls: a forged packet must not be able to
 * move the window.
 */
#ifndef MINIVPN_REPLAY_H
#define MINIVPN_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum { REPLAY_WINDOW_BITS = 8192 };

/**
 * struct replay - which recent sequence numbers an SA has already accepted
 * @highest: greatest sequence number committed so far; 0 before the first
 * @seen:    ring of bits; one word more than the window, since RFC 6479 clears a word ahead
 *
 * Zero-initialised is empty and ready.  The owner serialises access.
 * Invariant: the bit of @highest is set once anything has been committed.
 */
struct replay {
	uint32_t highest;
	uint32_t seen[REPLAY_WINDOW_BITS / 32 + 1];
};

/**
 * replay_would_accept() - is @seq new, as far as an unauthenticated header says?
 * @r:   window of the SA that the packet names
 * @seq: sequence number as the header states it; 0 is never new
 *
 * Changes nothing.  Call replay_commit() once the packet has been authenticated.
 *
 * Return: true if @seq is ahead of the window, or inside it and not yet seen
 * Source: RFC 4303 section 3.4.3; the bit ring is that of RFC 6479
 */
bool replay_would_accept(const struct replay *r, uint32_t seq);

/** replay_place() - what the next number will be noted in, for who wants that to be in the cache by then */
const uint32_t *replay_place(const struct replay *r);

/**
 * replay_commit() - the packet with @seq is authentic: note it
 *
 * Asks again, since a batch may hold the same packet twice.
 *
 * Return: false if @seq was not new after all; nothing has changed then
 */
bool replay_commit(struct replay *r, uint32_t seq);

#endif
