/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which endpoint a server sends to (docs/protocol.md section 8).  An address is never authenticated:
 * whoever copies a packet can send it on from his own.  Hence a new address is only believed once a
 * Ping with random bytes, sent there, was answered.
 */
#include "engine_state.h"

#include <string.h>

static const struct schedule challenge_schedule = { { 0, 250, 750 }, 3, 3000 };

static bool is_challenging(const struct peer *peer, unsigned which)
{
	return peer->challenging >> which & 1;
}

static void challenge_begin(struct peer *peer, unsigned which, const struct endpoint *to,
			    struct instant now)
{
	struct challenge *c = &peer->challenge[which];

	*c = (struct challenge){ .started = now, .to = *to };
	engine_random(peer->engine, c->bytes, sizeof(c->bytes));
	peer->challenging |= (uint8_t)(1 << which);
	peer_wake(peer, now);
}

static void challenge_end(struct peer *peer, unsigned which)
{
	peer->challenging &= (uint8_t) ~(1 << which);
}

static void promotions_end(struct peer *peer)
{
	for (unsigned i = 0; i < RESPONSE_ADDRESSES; i++)
		challenge_end(peer, PROMOTION + i);
}

void roaming_set(struct peer *peer, const struct endpoint *endpoint, struct instant now)
{
	peer->challenging = 0;
	if (endpoint_equal(&peer->endpoint, endpoint))
		return;
	peer->endpoint = *endpoint;
	near_put(peer, &endpoint->remote);
	path_forget(peer);
	peer_changed(peer);
	peer_wake(peer, now);
	peer_event(peer,
		   (struct engine_event){ .kind = EVENT_ENDPOINT, .endpoint = &peer->endpoint });
	if (endpoint_is_none(endpoint) || !session_may_send(peer->current, now))
		return;
	path_start(peer, now);
	staging_flush(peer, now);
}

void roaming_session(struct peer *peer)
{
	challenge_end(peer, CANDIDATE);
}

void roaming_promoted(struct peer *peer, const struct pending *pending, const struct endpoint *from,
		      struct instant now)
{
	unsigned kept = pending->places < RESPONSE_ADDRESSES ? pending->places : RESPONSE_ADDRESSES;

	if (!peer->current->hears_in_band ||
	    (pending->places == 1 && endpoint_equal(&pending->place[0].to, from))) {
		roaming_set(peer, from, now);
		return;
	}
	promotions_end(peer);
	for (unsigned i = 0; i < kept; i++)
		challenge_begin(peer, PROMOTION + i, &pending->place[i].to, now);
}

void roaming_packet(struct peer *peer, const struct sa_in *sa, uint32_t sequence, bool newest,
		    const struct endpoint *from, struct instant now)
{
	if (endpoint_equal(from, &peer->endpoint)) {
		if (is_challenging(peer, CANDIDATE) && sa == peer->candidate_sa &&
		    sequence > peer->candidate_sequence)
			peer->candidate_spoiled = true;
		return;
	}
	if (!newest || !peer->current->hears_in_band ||
	    !instant_reached(now, peer->candidate_rest) ||
	    (is_challenging(peer, CANDIDATE) &&
	     endpoint_equal(from, &peer->challenge[CANDIDATE].to)))
		return;
	peer->candidate_sa = sa;
	peer->candidate_sequence = sequence;
	peer->candidate_spoiled = false;
	peer->candidate_rest = instant_after(now, CANDIDATE_REST);
	challenge_begin(peer, CANDIDATE, from, now);
}

void roaming_pong(struct peer *peer, const uint8_t bytes[PING_BYTES], const struct endpoint *from,
		  struct instant now)
{
	const struct challenge *candidate = &peer->challenge[CANDIDATE];

	if (is_challenging(peer, CANDIDATE) && !peer->candidate_spoiled &&
	    endpoint_equal(from, &candidate->to) &&
	    memcmp(bytes, candidate->bytes, PING_BYTES) == 0) {
		roaming_set(peer, from, now);
		return;
	}
	for (unsigned i = PROMOTION; i < CHALLENGES_MAX; i++) {
		if (is_challenging(peer, i) &&
		    memcmp(bytes, peer->challenge[i].bytes, PING_BYTES) == 0) {
			/* Not where it came from: whoever races a copy of this Pong would be believed. */
			struct endpoint proven = peer->challenge[i].to;

			roaming_set(peer, &proven, now);
			return;
		}
	}
}

static struct instant challenge_deadline(const struct peer *peer, unsigned which)
{
	const struct challenge *c = &peer->challenge[which];

	return is_challenging(peer, which) ? schedule_due(&challenge_schedule, c->started, c->sent)
					   : INSTANT_NEVER;
}

struct instant roaming_deadline(const struct peer *peer)
{
	struct instant at = INSTANT_NEVER;

	for (unsigned i = 0; i < CHALLENGES_MAX; i++)
		at = instant_earlier(at, challenge_deadline(peer, i));
	return at;
}

static void challenge_tick(struct peer *peer, unsigned which, struct instant now)
{
	struct challenge *c = &peer->challenge[which];
	struct in_band message = { .has_ping = true };

	if (!instant_reached(now, challenge_deadline(peer, which)))
		return;
	if (c->sent == challenge_schedule.count || !session_may_send(peer->current, now)) {
		challenge_end(peer, which);
		return;
	}
	c->sent++;
	memcpy(message.ping, c->bytes, sizeof(message.ping));
	in_band_send(peer, &message, 0, &c->to);
}

void roaming_tick(struct peer *peer, struct instant now)
{
	for (unsigned i = 0; i < CHALLENGES_MAX; i++)
		challenge_tick(peer, i, now);
}
