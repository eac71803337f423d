/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which peers were last at an address.  A client that renews its session, which is what nearly all
 * Inits are, is found by where it is, and not among all keys.
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

void near_put(struct peer *peer)
{
	struct near *near = &peer->engine->near;
	struct peer **bucket = &near->buckets[bucket_of(near, &peer->endpoint.remote)];

	if (endpoint_is_none(&peer->endpoint))
		return;
	peer->near_next = *bucket;
	*bucket = peer;
}

void near_take(struct peer *peer)
{
	struct near *near = &peer->engine->near;
	struct peer **link = &near->buckets[bucket_of(near, &peer->endpoint.remote)];

	while (*link && *link != peer)
		link = &(*link)->near_next;
	if (*link)
		*link = peer->near_next;
	peer->near_next = NULL;
}

void near_rehash(struct engine *engine, struct peer **buckets, size_t bucket_count)
{
	engine->near.buckets = buckets;
	engine->near.bucket_count = bucket_count;
	for (struct peer *peer = engine->first; peer; peer = peer->next)
		near_put(peer);
}

struct peer *near_first(const struct engine *engine, const struct address *address)
{
	return engine->near.buckets[bucket_of(&engine->near, address)];
}
