/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which peers were last at an address.  A client that renews its session, which is what nearly all
 * Inits are, is found by where it is, and not among all keys.  So is one that was nowhere yet and has been
 * asked to prove where it is: its next Init comes from there.
 */
#include "engine_state.h"

#include <string.h>

static size_t bucket_of(const struct near *near, const struct address *address)
{
	uint64_t half[2];

	memcpy(half, address->b, sizeof(half));
	/* All bits of a factor reach the highest of the product, and of the last bytes of an address those
	 * alone, where the first byte of a word is its lowest. */
	half[0] = (half[0] ^ half[1]) * 0x9e3779b97f4a7c15;
	return (half[0] >> 32) * near->bucket_count >> 32;
}

static void link_in(struct peer *peer)
{
	struct near *near = &peer->engine->near;
	struct peer **bucket = &near->buckets[bucket_of(near, &peer->near_at)];

	peer->near_next = *bucket;
	*bucket = peer;
}

void near_put(struct peer *peer, const struct address *address)
{
	near_take(peer);
	if (address_is_none(address))
		return;
	peer->near_at = *address;
	link_in(peer);
}

void near_take(struct peer *peer)
{
	struct near *near = &peer->engine->near;
	struct peer **link = &near->buckets[bucket_of(near, &peer->near_at)];

	while (*link && *link != peer)
		link = &(*link)->near_next;
	if (*link)
		*link = peer->near_next;
	peer->near_next = NULL;
	peer->near_at = (struct address){ 0 };
}

void near_rehash(struct engine *engine, struct peer **buckets, size_t bucket_count)
{
	engine->near.buckets = buckets;
	engine->near.bucket_count = bucket_count;
	for (struct peer *peer = engine->first; peer; peer = peer->next)
		if (!address_is_none(&peer->near_at))
			link_in(peer);
}

struct peer *near_first(const struct engine *engine, const struct address *address)
{
	return engine->near.buckets[bucket_of(&engine->near, address)];
}
