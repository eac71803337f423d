/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of the engine and of its peers: what is allocated for them, in which tables they stand, and
 * what they are told from outside.
 *
 * All tables grow before a peer is added or gets more prefixes, so that nothing can fail half-way.
 */
#include "engine_state.h"

#include <string.h>

enum { BUCKETS_MIN = 256 };

static size_t power_of_two_from(size_t n)
{
	size_t p = BUCKETS_MIN;

	while (p < n)
		p *= 2;
	return p;
}

static void hints_drop(struct engine *engine)
{
	struct hints *hints = &engine->hints;

	if (hints->word[0])
		sodium_memzero(hints->word[0], 2 * hints->room * sizeof(uint64_t));
	engine_release(engine, hints->word[0]);
	engine_release(engine, hints->owner);
	*hints = (struct hints){ 0 };
}

/* Room for one more peer's hint key; what was there is moved. */
static bool hints_grow(struct engine *engine)
{
	struct hints *hints = &engine->hints, larger = *hints;

	if (hints->count < hints->room)
		return true;
	larger.room = hints->room ? 2 * hints->room : 2 * HINT_LANES;
	larger.word[0] = engine_allocate(engine, 2 * larger.room * sizeof(uint64_t));
	larger.owner = engine_allocate(engine, larger.room * sizeof(void *));
	if (!larger.word[0] || !larger.owner) {
		engine_release(engine, larger.word[0]);
		engine_release(engine, larger.owner);
		return false;
	}
	larger.word[1] = larger.word[0] + larger.room;
	if (hints->count > 0) {
		memcpy(larger.word[0], hints->word[0], hints->count * sizeof(uint64_t));
		memcpy(larger.word[1], hints->word[1], hints->count * sizeof(uint64_t));
		memcpy(larger.owner, hints->owner, hints->count * sizeof(void *));
	}
	hints_drop(engine);
	*hints = larger;
	return true;
}

static bool deadlines_grow(struct engine *engine)
{
	struct deadlines *deadlines = &engine->deadlines;
	struct deadline **before = deadlines->heap, **heap;
	size_t room = before ? 2 * deadlines->room : 16;

	if (deadlines->count < deadlines->room)
		return true;
	heap = engine_allocate(engine, room * sizeof(*heap));
	if (!heap)
		return false;
	deadlines_move(deadlines, heap, room);
	engine_release(engine, before);
	return true;
}

static bool near_grow(struct engine *engine)
{
	struct peer **before = engine->near.buckets, **buckets;
	size_t count = 2 * engine->near.bucket_count;

	if (engine->peer_count < engine->near.bucket_count)
		return true;
	buckets = engine_allocate(engine, count * sizeof(*buckets));
	if (!buckets)
		return false;
	near_rehash(engine, buckets, count);
	engine_release(engine, before);
	return true;
}

/* Lanes have copies of the two tables that every packet is looked up in: theirs grow first. */
static bool allowed_grow(struct engine *engine, size_t more)
{
	struct allowed_entry **before = engine->allowed.buckets, **buckets;
	size_t count = power_of_two_from(engine->allowed.entries + more);

	if (count <= engine->allowed.bucket_count)
		return true;
	if (!lanes_grow(engine, true, count))
		return false;
	buckets = engine_allocate(engine, count * sizeof(*buckets));
	if (!buckets)
		return false;
	allowed_rehash(&engine->allowed, buckets, count);
	engine_release(engine, before);
	return true;
}

static bool spis_grow(struct engine *engine)
{
	struct spi_entry **before = engine->spis.buckets, **buckets;
	size_t count = power_of_two_from(4 * (engine->peer_count + 1));

	if (count <= engine->spis.bucket_count)
		return true;
	if (!lanes_grow(engine, false, count))
		return false;
	buckets = engine_allocate(engine, count * sizeof(*buckets));
	if (!buckets)
		return false;
	spi_rehash(&engine->spis, buckets, count);
	engine_release(engine, before);
	return true;
}

/* Make room in the tables for one more peer; false without memory. */
static bool tables_grow(struct engine *engine, size_t more_prefixes)
{
	return deadlines_grow(engine) && hints_grow(engine) && near_grow(engine) &&
	       allowed_grow(engine, more_prefixes) && spis_grow(engine);
}

struct engine *engine_create(const struct engine_config *config, struct instant now)
{
	size_t scratch =
		ENVELOPE_HEAD_BYTES + config->inner_mtu + IN_BAND_MAX_BYTES + ENVELOPE_TAIL_BYTES;
	size_t buckets = power_of_two_from(4 * (size_t)config->peers_expected);
	struct engine *engine = config->hooks.allocate(config->hooks.shell, sizeof(*engine));
	uint8_t budget_key[crypto_shorthash_siphash24_KEYBYTES];

	if (!engine)
		return NULL;
	engine->config = *config;
	engine->hints.vectors = hints_best();
	engine->scratch = engine_allocate(engine, scratch);
	engine->scratch_bytes = scratch;
	engine->spis.buckets = engine_allocate(engine, buckets * sizeof(struct spi_entry *));
	engine->spis.bucket_count = buckets;
	allowed_init(&engine->allowed,
		     engine_allocate(engine, buckets * sizeof(struct allowed_entry *)), buckets);
	engine->near.buckets = engine_allocate(engine, buckets * sizeof(struct peer *));
	engine->near.bucket_count = buckets;
	if (!engine->near.buckets || !engine->scratch || !engine->spis.buckets ||
	    !engine->allowed.buckets || !staging_prepare(engine) || !lanes_create(engine)) {
		engine_destroy(engine);
		return NULL;
	}
	if (config->software)
		strncpy(engine->software, config->software, sizeof(engine->software) - 1);
	engine_random(engine, budget_key, sizeof(budget_key));
	budget_begin(&engine->budget, config->search_ns, budget_key, now);
	engine_random(engine, engine->cookie_secret, sizeof(engine->cookie_secret));
	engine->cookie_secret_made = now;
	return engine;
}

static void sessions_erase(struct peer *peer)
{
	if (peer->current)
		session_erase(peer->current);
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i])
			session_erase(peer->pending[i]);
	for (unsigned i = 0; i < OLD_MAX; i++)
		if (peer->old[i])
			session_erase(peer->old[i]);
}

static struct allowed_entry *prefix_of(struct peer *peer, unsigned i)
{
	return i == 0 ? &peer->own : &peer->others[i - 1];
}

static void release_prefixes(struct peer *peer)
{
	if (peer->others != &peer->second)
		engine_release(peer->engine, peer->others);
}

static void peer_destroy(struct peer *peer)
{
	struct engine *engine = peer->engine;

	initiator_abandon(peer);
	sessions_erase(peer);
	staging_drop(peer);
	for (unsigned i = 0; i < peer->prefix_count; i++)
		allowed_remove(&engine->allowed, prefix_of(peer, i));
	release_prefixes(peer);
	hints_remove(&engine->hints, peer);
	near_take(peer);
	lanes_peer_destroy(peer);

	if (peer->next)
		peer->next->previous = peer->previous;
	if (peer->previous)
		peer->previous->next = peer->next;
	else
		engine->first = peer->next;
	engine->peer_count--;
	deadlines_remove(&engine->deadlines, &peer->due);
	sodium_memzero(peer, sizeof(*peer));
	engine_release(engine, peer);
}

void engine_destroy(struct engine *engine)
{
	struct engine_hooks hooks = engine->config.hooks;

	while (engine->first)
		peer_destroy(engine->first);
	lanes_destroy(engine);
	engine_release(engine, engine->deadlines.heap);
	engine_release(engine, engine->staged_memory);
	engine_release(engine, engine->allowed.buckets);
	engine_release(engine, engine->spis.buckets);
	engine_release(engine, engine->near.buckets);
	hints_drop(engine);
	if (engine->scratch)
		sodium_memzero(engine->scratch, engine->scratch_bytes);
	engine_release(engine, engine->scratch);
	sodium_memzero(engine, sizeof(*engine));
	hooks.release(hooks.shell, engine);
}

static void own_prefixes(struct peer *peer, const struct prefix *allowed, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct allowed_entry *entry = prefix_of(peer, i);

		entry->network = prefix_network(&allowed[i]);
		entry->owner = peer;
		allowed_insert(&peer->engine->allowed, entry);
	}
	peer->prefix_count = count;
}

struct peer *engine_peer_add(struct engine *engine, const struct peer_config *config,
			     struct instant now)
{
	bool client = engine->config.role == ROLE_CLIENT;
	struct peer *peer;

	if (!tables_grow(engine, config->allowed_count))
		return NULL;
	peer = engine_allocate(engine, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->engine = engine;
	peer->others = &peer->second;
	if (config->allowed_count > 2)
		peer->others = engine_allocate(engine,
					       (config->allowed_count - 1) * sizeof(*peer->others));
	if (!peer->others || !lanes_peer_create(peer)) {
		release_prefixes(peer);
		engine_release(engine, peer);
		return NULL;
	}
	if (!lanes_peer_own(peer, config->allowed, config->allowed_count)) {
		lanes_peer_destroy(peer);
		release_prefixes(peer);
		engine_release(engine, peer);
		return NULL;
	}

	peer->tag = config->tag;
	handshake_keys_derive(config->psk, client ? &peer->ours : &peer->theirs,
			      client ? &peer->theirs : &peer->ours);
	memcpy(peer->address, config->address, sizeof(peer->address));
	peer->address_count = config->address_count;
	peer->remote_workers = 1;
	peer->inner_agreed = engine->config.inner_mtu;
	peer->staged_last = &peer->staged_first;
	peer->endpoint = config->endpoint;
	path_forget(peer);

	peer->next = engine->first;
	if (engine->first)
		engine->first->previous = peer;
	engine->first = peer;
	engine->peer_count++;
	peer->due.at = INSTANT_NEVER;
	deadlines_add(&engine->deadlines, &peer->due);
	own_prefixes(peer, config->allowed, config->allowed_count);
	hints_add(&engine->hints, &peer->theirs.hint, peer);
	near_put(peer, &peer->endpoint.remote);

	/* A client always wants a session; a server that remembers where its client was calls it. */
	peer->handshake_due = INSTANT_NEVER;
	if (client || !endpoint_is_none(&peer->endpoint))
		handshake_want(peer, true, now);
	return peer;
}

/* Say goodbye in every session that the other end may be using. */
static void say_close(struct peer *peer, enum close_reason reason, struct instant now)
{
	struct in_band message = { .has_close = true, .close = reason };

	if (session_may_send(peer->current, now) && !endpoint_is_none(&peer->endpoint))
		in_band_send(peer, &message, 0, &peer->endpoint);
}

void engine_peer_remove(struct engine *engine, struct peer *peer, enum close_reason reason,
			struct instant now)
{
	(void)engine;
	say_close(peer, reason, now);
	peer_destroy(peer);
}

int engine_peer_own(struct engine *engine, struct peer *peer, const struct prefix *allowed,
		    unsigned count)
{
	struct allowed_entry *others;

	if (!tables_grow(engine, count))
		return -1;
	others = engine_allocate(engine, (count + 1) * sizeof(*others));
	if (!others || !lanes_peer_own(peer, allowed, count)) {
		engine_release(engine, others);
		return -1;
	}
	for (unsigned i = 0; i < peer->prefix_count; i++)
		allowed_remove(&engine->allowed, prefix_of(peer, i));
	release_prefixes(peer);
	peer->others = others;
	own_prefixes(peer, allowed, count);
	return 0;
}

void *peer_tag(const struct peer *peer)
{
	return peer->tag;
}

void peer_set_tag(struct peer *peer, void *tag)
{
	peer->tag = tag;
}

void engine_peer_endpoint(struct engine *engine, struct peer *peer, const struct endpoint *endpoint,
			  struct instant now)
{
	(void)engine;
	if (!endpoint_equal(&peer->endpoint, endpoint)) {
		peer->endpoint = *endpoint;
		near_put(peer, &endpoint->remote);
		path_forget(peer);
		path_start(peer, now);
		peer_changed(peer);
	}
	peer_wake(peer, now);
}

void engine_path_mtu(struct engine *engine, const struct address *remote, unsigned mtu_outer,
		     struct instant now)
{
	for (struct peer *peer = engine->first; peer; peer = peer->next)
		if (address_equal(&peer->endpoint.remote, remote))
			path_learned(peer, mtu_outer, now);
}

void engine_network_changed(struct engine *engine, struct instant now)
{
	for (struct peer *peer = engine->first; peer; peer = peer->next) {
		liveness_network_changed(peer, now);
		initiator_network_changed(peer, now);
	}
}

void engine_stop(struct engine *engine, enum close_reason reason, struct instant now)
{
	for (struct peer *peer = engine->first; peer; peer = peer->next) {
		say_close(peer, reason, now);
		initiator_abandon(peer);
		sessions_erase(peer);
		peer->up = false;
	}
}
