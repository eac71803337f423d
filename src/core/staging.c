/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that wait for a session.  The slots are taken once, at the start, for all peers together: a
 * flood of packets for peers that do not answer must not cost memory without bound, nor may large packets
 * use up what the host lets be locked, which is for keys.  When none is free, the oldest packet of all gives
 * up its own, whosever it is, so that a few peers that are away for long cannot keep the others from waiting
 * a round trip.
 *
 * Each packet stands in two lists, its peer's and everybody's, both by age: whatever is the oldest of all
 * is also its peer's first.
 */
#include "engine_state.h"

#include <assert.h>
#include <string.h>

enum {
	SLOTS_MAX = 1024,
	SLOTS_MIN = 16,
	MEMORY_BYTES = 2 << 20, /* enough for SLOTS_MAX of usual size; there are fewer large ones */
};

bool staging_prepare(struct engine *engine)
{
	size_t room = ENVELOPE_HEAD_BYTES + engine->config.inner_mtu + ENVELOPE_TAIL_BYTES;
	size_t slot = (sizeof(struct staged) + room + 63) & ~(size_t)63;
	size_t slots = MEMORY_BYTES / slot;
	uint8_t *memory;

	slots = slots > SLOTS_MAX ? SLOTS_MAX : slots < SLOTS_MIN ? SLOTS_MIN : slots;
	memory = engine_allocate(engine, slots * slot);
	if (!memory)
		return false;
	engine->staged_memory = memory;
	engine->staged_room = room;
	for (size_t i = slots; i-- > 0;) {
		struct staged *s = (struct staged *)(memory + i * slot);

		s->next = engine->staged_free;
		engine->staged_free = s;
	}
	return true;
}

static struct staged *take_first(struct peer *peer)
{
	struct engine *engine = peer->engine;
	struct staged *s = peer->staged_first;

	peer->staged_first = s->next;
	if (!s->next)
		peer->staged_last = &peer->staged_first;
	peer->staged--;

	*(s->older ? &s->older->newer : &engine->staged_oldest) = s->newer;
	*(s->newer ? &s->newer->older : &engine->staged_newest) = s->older;
	return s;
}

static void append(struct peer *peer, struct staged *s)
{
	struct engine *engine = peer->engine;

	s->peer = peer;
	s->next = NULL;
	*peer->staged_last = s;
	peer->staged_last = &s->next;
	peer->staged++;

	s->older = engine->staged_newest;
	s->newer = NULL;
	*(s->older ? &s->older->newer : &engine->staged_oldest) = s;
	engine->staged_newest = s;
}

/* Inner packets are somebody's plaintext: they do not stay behind in a free slot. */
static void give_back(struct engine *engine, struct staged *s)
{
	sodium_memzero(s->room, engine->staged_room);
	s->next = engine->staged_free;
	engine->staged_free = s;
}

static void drop_first(struct peer *peer, enum verdict verdict)
{
	give_back(peer->engine, take_first(peer));
	peer_count(peer->engine, peer, verdict);
}

enum verdict staging_put(struct peer *peer, const uint8_t *packet, size_t bytes, struct instant now)
{
	struct engine *engine = peer->engine;
	struct staged *s;

	if (bytes > engine->config.inner_mtu)
		return VERDICT_TOO_BIG;
	if (peer->staged == ENGINE_STAGED_MAX)
		drop_first(peer, VERDICT_QUEUE_FULL);
	else if (!engine->staged_free)
		drop_first(engine->staged_oldest->peer, VERDICT_QUEUE_FULL);

	s = engine->staged_free;
	assert(s);
	engine->staged_free = s->next;
	s->since = now;
	s->bytes = bytes;
	memcpy(s->room + ENVELOPE_HEAD_BYTES, packet, bytes);
	append(peer, s);
	peer_wake(peer, staging_deadline(peer));
	return VERDICT_STAGED;
}

void staging_flush(struct peer *peer, struct instant now)
{
	struct engine *engine = peer->engine;

	if (endpoint_is_none(&peer->endpoint))
		return;
	while (peer->staged > 0 && session_may_send(peer->current, now)) {
		struct staged *s = take_first(peer);
		struct outbound packet = { .inner = s->room + ENVELOPE_HEAD_BYTES,
					   .inner_bytes = s->bytes };

		engine_outbound(engine, &packet, 1, now);
		if (packet.verdict == VERDICT_PASS)
			engine_transmit(engine, packet.to, packet.record, packet.record_bytes,
					packet.tos, true);
		give_back(engine, s);
	}
}

void staging_drop(struct peer *peer)
{
	while (peer->staged > 0)
		drop_first(peer, VERDICT_NO_SESSION);
}

/* Nobody wants to be answered what he asked half a minute ago. */
struct instant staging_deadline(const struct peer *peer)
{
	return peer->staged > 0 ? instant_after(peer->staged_first->since, STAGED_LIFETIME)
				: INSTANT_NEVER;
}

void staging_tick(struct peer *peer, struct instant now)
{
	while (instant_reached(now, staging_deadline(peer)))
		drop_first(peer, VERDICT_NO_SESSION);
}
