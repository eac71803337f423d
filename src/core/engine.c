/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches of packets in and out, the list of peers, and doing what is due for them.
 *
 * Both directions work in the same three steps over at most ENGINE_BATCH packets: look at each header
 * and choose its SA; give all of them to the AEAD in one call; go through the results in order.
 * Control messages are taken in their turn in the third step, and since any of them may end a session,
 * that step looks every SPI up again before it believes in it.
 */
#include "engine_state.h"

#include "minivpn/ecn.h"

#include <string.h>

enum {
	BUCKETS_MIN = 256,
	NAT_KEEPALIVE = 0xff, /* RFC 3948 section 2.3 */
	TICK_PEERS_MAX = 32,  /* an Init for each takes some milliseconds */
};

/* ---- small services for the other files ---------------------------------------------------- */

void engine_random(struct engine *engine, void *ret_bytes, size_t n)
{
	engine->config.hooks.random(engine->config.hooks.shell, ret_bytes, n);
}

void engine_transmit(struct engine *engine, const struct endpoint *to, const uint8_t *bytes,
		     size_t size, uint8_t tos, bool dont_fragment)
{
	engine->config.hooks.transmit(engine->config.hooks.shell,
				      &(struct transmission){ .to = to,
							      .bytes = bytes,
							      .size = size,
							      .tos = tos,
							      .dont_fragment = dont_fragment });
}

void peer_event(struct peer *peer, struct engine_event event)
{
	event.peer = peer;
	peer->engine->config.hooks.event(peer->engine->config.hooks.shell, &event);
}

void peer_count(struct engine *engine, struct peer *peer, enum verdict verdict)
{
	engine_count(engine, peer, verdict, 1);
}

void engine_count(struct engine *engine, struct peer *peer, enum verdict verdict, uint64_t n)
{
	engine->verdicts.count[verdict] += n;
	if (peer)
		peer->verdicts.count[verdict] += n;
}

/* The next number of @sa; the caller has asked whether there is one. */
static void sealing_reserve(struct session *session, struct sa_out *sa, struct sealing *sealing,
			    struct instant now)
{
	sealing->key = &sa->key;
	sealing->spi = sa->spi;
	sealing->sequence = (uint32_t)sa->next++;
	if (sa->next == REKEY_AFTER_PACKETS && !session->rekey_asked) {
		session->rekey_at = now;
		peer_wake(session->peer, now);
	}
}

enum verdict seal_and_transmit(struct session *session, uint8_t *payload, size_t bytes,
			       uint8_t next_header, uint8_t tos, const struct endpoint *to,
			       bool dont_fragment)
{
	struct engine *engine = session->peer->engine;
	struct sealing sealing = { .payload = payload,
				   .payload_bytes = bytes,
				   .next_header = next_header };
	/* Messages go to the other end's first worker, which has its engine. */
	struct sa_out *sa = next_header == NEXT_HEADER_NONE ? &session->out[0] : session->data;

	if (sa->next > SEQUENCE_MAX)
		return VERDICT_NO_SESSION;
	sealing_reserve(session, sa, &sealing, session->born);
	envelope_seal(engine->config.aead, engine->config.aead_context, &sealing, 1);
	engine_transmit(engine, to, sealing.record, sealing.record_bytes, tos, dont_fragment);
	return VERDICT_CONSUMED;
}

/* ---- what is due ---------------------------------------------------------------------------- */

void peer_wake(struct peer *peer, struct instant at)
{
	if (at.ns < peer->due.at.ns)
		deadlines_set(&peer->engine->deadlines, &peer->due, at);
}

static void peer_tick(struct peer *peer, struct instant now)
{
	struct instant at;

	sessions_tick(peer, now);
	initiator_tick(peer, now);
	liveness_tick(peer, now);
	roaming_tick(peer, now);
	path_tick(peer, now);
	staging_tick(peer, now);

	at = sessions_deadline(peer);
	at = instant_earlier(at, initiator_deadline(peer));
	at = instant_earlier(at, liveness_deadline(peer));
	at = instant_earlier(at, roaming_deadline(peer));
	at = instant_earlier(at, path_deadline(peer));
	at = instant_earlier(at, staging_deadline(peer));
	/* What is due again at once waits for the next call: the shell may have something to say. */
	if (instant_reached(now, at))
		at = instant_after(now, 1);
	deadlines_set(&peer->engine->deadlines, &peer->due, at);
}

struct instant engine_deadline(const struct engine *engine)
{
	const struct deadline *first = deadlines_first(&engine->deadlines);

	return first ? first->at : INSTANT_NEVER;
}

void engine_tick(struct engine *engine, struct instant now)
{
	struct deadline *first;

	for (unsigned done = 0; done < TICK_PEERS_MAX; done++) {
		first = deadlines_first(&engine->deadlines);
		if (!first || !instant_reached(now, first->at))
			break;
		peer_tick((struct peer *)first, now);
	}
}

/* ---- life ---------------------------------------------------------------------------------- */

static void *allocate(struct engine *engine, size_t bytes)
{
	return engine->config.hooks.allocate(engine->config.hooks.shell, bytes);
}

static void release(struct engine *engine, void *memory)
{
	if (memory)
		engine->config.hooks.release(engine->config.hooks.shell, memory);
}

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
	release(engine, hints->word[0]);
	release(engine, hints->owner);
	*hints = (struct hints){ 0 };
}

/* Room for one more peer's hint key; what was there is moved. */
static bool hints_grow(struct engine *engine)
{
	struct hints *hints = &engine->hints, larger = *hints;

	if (hints->count < hints->room)
		return true;
	larger.room = hints->room ? 2 * hints->room : 2 * HINT_LANES;
	larger.word[0] = allocate(engine, 2 * larger.room * sizeof(uint64_t));
	larger.owner = allocate(engine, larger.room * sizeof(void *));
	if (!larger.word[0] || !larger.owner) {
		release(engine, larger.word[0]);
		release(engine, larger.owner);
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

/* Make room in the tables for one more peer; false without memory. */
static bool tables_grow(struct engine *engine, size_t more_prefixes)
{
	size_t prefixes = power_of_two_from(engine->allowed.entries + more_prefixes);
	size_t spis = power_of_two_from(4 * (engine->peer_count + 1));

	if (engine->deadlines.count == engine->deadlines.room) {
		struct deadline **before = engine->deadlines.heap;
		size_t room = before ? 2 * engine->deadlines.room : 16;
		struct deadline **heap = allocate(engine, room * sizeof(struct deadline *));

		if (!heap)
			return false;
		deadlines_move(&engine->deadlines, heap, room);
		release(engine, before);
	}
	if (!hints_grow(engine))
		return false;
	if (engine->peer_count >= engine->near.bucket_count) {
		struct peer **before = engine->near.buckets;
		size_t count = 2 * engine->near.bucket_count;
		struct peer **buckets = allocate(engine, count * sizeof(struct peer *));

		if (!buckets)
			return false;
		near_rehash(engine, buckets, count);
		release(engine, before);
	}
	if (prefixes > engine->allowed.bucket_count) {
		if (!lanes_grow(engine, true, prefixes))
			return false;

		struct allowed_entry **before = engine->allowed.buckets;
		struct allowed_entry **buckets =
			allocate(engine, prefixes * sizeof(struct allowed_entry *));

		if (!buckets)
			return false;
		allowed_rehash(&engine->allowed, buckets, prefixes);
		release(engine, before);
	}
	if (spis > engine->spis.bucket_count) {
		if (!lanes_grow(engine, false, spis))
			return false;

		struct spi_entry **before = engine->spis.buckets;
		struct spi_entry **buckets = allocate(engine, spis * sizeof(struct spi_entry *));

		if (!buckets)
			return false;
		spi_rehash(&engine->spis, buckets, spis);
		release(engine, before);
	}
	return true;
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
	engine->scratch = allocate(engine, scratch);
	engine->scratch_bytes = scratch;
	engine->spis.buckets = allocate(engine, buckets * sizeof(struct spi_entry *));
	engine->spis.bucket_count = buckets;
	allowed_init(&engine->allowed, allocate(engine, buckets * sizeof(struct allowed_entry *)),
		     buckets);
	engine->near.buckets = allocate(engine, buckets * sizeof(struct peer *));
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

static void release_allowed(struct peer *peer)
{
	if (peer->allowed != peer->own)
		release(peer->engine, peer->allowed);
}

static void peer_destroy(struct peer *peer)
{
	struct engine *engine = peer->engine;

	initiator_abandon(peer);
	sessions_erase(peer);
	staging_drop(peer);
	for (unsigned i = 0; i < peer->allowed_count; i++)
		allowed_remove(&engine->allowed, &peer->allowed[i]);
	release_allowed(peer);
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
	release(engine, peer);
}

void engine_destroy(struct engine *engine)
{
	struct engine_hooks hooks = engine->config.hooks;

	while (engine->first)
		peer_destroy(engine->first);
	lanes_destroy(engine);
	release(engine, engine->deadlines.heap);
	release(engine, engine->staged_memory);
	release(engine, engine->allowed.buckets);
	release(engine, engine->spis.buckets);
	release(engine, engine->near.buckets);
	hints_drop(engine);
	if (engine->scratch)
		sodium_memzero(engine->scratch, engine->scratch_bytes);
	release(engine, engine->scratch);
	sodium_memzero(engine, sizeof(*engine));
	hooks.release(hooks.shell, engine);
}

static void own_prefixes(struct peer *peer, const struct prefix *allowed, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct allowed_entry *entry = &peer->allowed[i];

		entry->network = prefix_network(&allowed[i]);
		entry->owner = peer;
		allowed_insert(&peer->engine->allowed, entry);
	}
	peer->allowed_count = count;
}

struct peer *engine_peer_add(struct engine *engine, const struct peer_config *config,
			     struct instant now)
{
	bool client = engine->config.role == ROLE_CLIENT;
	struct peer *peer;

	if (!tables_grow(engine, config->allowed_count))
		return NULL;
	peer = allocate(engine, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->engine = engine;
	peer->allowed = config->allowed_count <= OWN_ENTRIES
				? peer->own
				: allocate(engine, config->allowed_count * sizeof(*peer->allowed));
	if (!peer->allowed || !lanes_peer_create(peer)) {
		release_allowed(peer);
		release(engine, peer);
		return NULL;
	}
	if (!lanes_peer_own(peer, config->allowed, config->allowed_count)) {
		lanes_peer_destroy(peer);
		release_allowed(peer);
		release(engine, peer);
		return NULL;
	}

	peer->tag = config->tag;
	handshake_keys_derive(&peer->ours, config->psk, client ? ROLE_CLIENT : ROLE_SERVER);
	handshake_keys_derive(&peer->theirs, config->psk, client ? ROLE_SERVER : ROLE_CLIENT);
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
	near_put(peer);

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
	struct allowed_entry *entries;

	if (!tables_grow(engine, count))
		return -1;
	entries = allocate(engine, (count + 1) * sizeof(*entries));
	if (!entries || !lanes_peer_own(peer, allowed, count)) {
		release(engine, entries);
		return -1;
	}
	for (unsigned i = 0; i < peer->allowed_count; i++)
		allowed_remove(&engine->allowed, &peer->allowed[i]);
	release_allowed(peer);
	peer->allowed = entries;
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
		near_take(peer);
		peer->endpoint = *endpoint;
		near_put(peer);
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

/* ---- out ----------------------------------------------------------------------------------- */

/* Where @p is to go and what has to be sealed.  VERDICT_PASS: @ret_sealing is ready. */
static enum verdict outbound_prepare(struct engine *engine, struct outbound *p,
				     struct sealing *ret_sealing, struct instant now)
{
	struct inner inner;
	enum verdict verdict = inner_parse(p->inner, p->inner_bytes, &inner);
	struct peer *peer;

	p->peer = NULL;
	if (verdict != VERDICT_PASS)
		return verdict;
	peer = allowed_lookup(&engine->allowed, &inner.destination);
	if (!peer)
		return VERDICT_NO_ROUTE;
	p->peer = peer;
	if (!session_may_send(peer->current, now) || endpoint_is_none(&peer->endpoint)) {
		if (!session_may_send(peer->current, now))
			handshake_want(peer, true, now);
		return staging_put(peer, p->inner, inner.bytes, now);
	}
	if (inner.bytes > path_inner_mtu(peer))
		return path_too_big(peer, p->inner, &inner, now);
	liveness_sent(peer, now);

	*ret_sealing = (struct sealing){ .payload = p->inner,
					 .payload_bytes = p->inner_bytes,
					 .next_header = inner.version == 4 ? NEXT_HEADER_IPV4
									   : NEXT_HEADER_IPV6 };
	sealing_reserve(peer->current, peer->current->data, ret_sealing, now);
	p->to = &peer->endpoint;
	p->tos = ecn_encapsulate(inner.tos, engine->config.copy_dscp);
	return VERDICT_PASS;
}

static void outbound_batch(struct engine *engine, struct outbound *packets, size_t n,
			   struct instant now)
{
	BATCH_STORAGE struct sealing batch[ENGINE_BATCH];
	size_t sealed = 0;

	prefetch_outbound(engine, packets, n);
	for (size_t i = 0; i < n; i++) {
		packets[i].verdict = outbound_prepare(engine, &packets[i], &batch[sealed], now);
		sealed += packets[i].verdict == VERDICT_PASS;
	}
	envelope_seal(engine->config.aead, engine->config.aead_context, batch, sealed);
	for (size_t i = 0, s = 0; i < n; i++) {
		struct outbound *p = &packets[i];

		peer_count(engine, p->peer, p->verdict);
		if (p->verdict != VERDICT_PASS)
			continue;
		p->record = batch[s].record;
		p->record_bytes = batch[s].record_bytes;
		s++;
		p->peer->packets_out++;
		p->peer->bytes_out += p->inner_bytes;
	}
}

void engine_outbound(struct engine *engine, struct outbound *packets, size_t n, struct instant now)
{
	for (size_t done = 0; done < n; done += ENGINE_BATCH)
		outbound_batch(engine, packets + done,
			       n - done < ENGINE_BATCH ? n - done : ENGINE_BATCH, now);
}

/* ---- in ------------------------------------------------------------------------------------ */

/* A client looks at nothing that comes from anywhere but the server address in use. */
static bool is_wrong_remote(const struct engine *engine, const struct endpoint *from)
{
	return engine->config.role == ROLE_CLIENT && engine->first &&
	       !endpoint_same_remote(from, &engine->first->endpoint);
}

static struct sa_in *sa_find(const struct engine *engine, uint32_t spi)
{
	struct spi_entry *entry = spi_find(&engine->spis, spi);

	return entry && entry->kind == SPI_SA ? (struct sa_in *)entry : NULL;
}

/* It names a lane's, or nothing. */
static enum verdict verdict_without_sa(const struct engine *engine, uint32_t spi)
{
	struct spi_entry *entry = spi_find(&engine->spis, spi);

	return entry && entry->kind == SPI_OF_LANE ? VERDICT_HANDED_OVER : VERDICT_UNKNOWN_SPI;
}

/* Everything that can be said of a datagram before opening it.  VERDICT_PASS: @ret_opening is ready;
 * VERDICT_CONSUMED: a control message, to be taken in its turn. */
static enum verdict inbound_prepare(struct engine *engine, struct inbound *d,
				    struct opening *ret_opening, struct instant now)
{
	struct sa_in *sa;

	d->peer = NULL;
	if (is_wrong_remote(engine, d->from))
		return VERDICT_WRONG_REMOTE;
	if (d->bytes == 1 && d->datagram[0] == NAT_KEEPALIVE)
		return VERDICT_NAT_KEEPALIVE;
	if (d->bytes < sizeof(be32))
		return VERDICT_TRUNCATED;
	if (inbound_spi(d) == 0)
		return VERDICT_CONSUMED;
	if (d->bytes < ENVELOPE_MIN_BYTES)
		return VERDICT_TRUNCATED;

	sa = sa_find(engine, inbound_spi(d));
	if (!sa)
		return verdict_without_sa(engine, inbound_spi(d));
	d->peer = sa->session->peer;
	if (!session_may_receive(sa->session, now))
		return VERDICT_EXPIRED;
	return inbound_opening(d, &sa->replay, &sa->key, ret_opening);
}

static enum verdict control_receive(struct engine *engine, struct inbound *d, struct instant now)
{
	switch (control_classify(d->datagram, d->bytes)) {
	case CONTROL_INIT:
		return responder_init(engine, d->datagram, d->from, &d->peer, now);
	case CONTROL_RETRY:
		return initiator_retry(engine, d->datagram, &d->peer, now);
	case CONTROL_RESPONSE:
		return initiator_response(engine, d->datagram, d->bytes, &d->peer, now);
	case CONTROL_NONE:
		break;
	}
	return VERDICT_MALFORMED;
}

static void sa_forged(struct sa_in *sa, uint64_t limit, struct instant now)
{
	struct session *session = sa->session;

	if (++sa->forged < limit || session->worn_out)
		return;
	session->worn_out = true;
	peer_changed(session->peer);
	if (session->state == SESSION_CURRENT)
		handshake_want(session->peer, true, now);
}

bool sa_heard(struct sa_in *sa, uint32_t sequence, bool newest, const struct endpoint *from,
	      struct instant now)
{
	struct session *session = sa->session;
	struct peer *peer = session->peer;
	bool promoted = session->state == SESSION_PENDING;
	bool first = !session->heard;

	session->heard = true;
	peer->last_heard = now;
	if (promoted)
		session_promote(session, from, now);
	if (session != peer->current)
		return false;
	liveness_heard(peer, now);
	if (first)
		path_start(peer, now);
	if (peer->engine->config.role == ROLE_SERVER && !promoted)
		roaming_packet(peer, sa, sequence, newest, from, now);
	return promoted;
}

static enum verdict payload_receive(struct engine *engine, struct inbound *d,
				    const struct opening *opening, struct session *session,
				    bool promoted, struct instant now)
{
	struct peer *peer = session->peer;
	struct inner inner;
	enum verdict verdict;

	if (opening->next_header == NEXT_HEADER_NONE)
		return in_band_receive(session, opening->payload, opening->payload_bytes, d->from,
				       now);
	/* Whoever began is waiting to hear us before he believes in the session. */
	if (promoted)
		in_band_send(peer, &(struct in_band){ 0 }, 0, d->from);
	verdict = inner_parse(opening->payload, opening->payload_bytes, &inner);
	if (verdict != VERDICT_PASS)
		return verdict;
	if (allowed_lookup(&engine->allowed, &inner.source) != peer)
		return VERDICT_WRONG_SOURCE;
	if (!ecn_decapsulate(opening->payload, d->tos))
		return VERDICT_ECN_DROPPED;
	d->inner = opening->payload;
	d->inner_bytes = inner.bytes;
	peer->packets_in++;
	peer->bytes_in += inner.bytes;
	return VERDICT_PASS;
}

static enum verdict record_receive(struct engine *engine, struct inbound *d,
				   const struct opening *opening, struct instant now)
{
	struct sa_in *sa = sa_find(engine, inbound_spi(d));
	struct session *session;
	enum verdict verdict;
	bool newest, promoted;

	if (!sa) {
		d->peer = NULL; /* ended by an earlier packet of this batch */
		return VERDICT_UNKNOWN_SPI;
	}
	if (opening->verdict == VERDICT_FORGED) {
		sa_forged(sa, engine->config.aead->forgery_limit, now);
		return VERDICT_FORGED;
	}
	if (opening->verdict == VERDICT_TRUNCATED)
		return VERDICT_TRUNCATED;
	newest = d->sequence > sa->replay.highest;
	if (!replay_commit(&sa->replay, d->sequence))
		return VERDICT_REPLAYED;
	session = sa->session;
	promoted = sa_heard(sa, d->sequence, newest, d->from, now);
	if (opening->verdict != VERDICT_PASS)
		return opening->verdict;
	verdict = payload_receive(engine, d, opening, session, promoted, now);
	sa = sa_find(engine, inbound_spi(d)); /* what was in it may have ended the session */
	if (sa)
		elsewhere_packet(sa->session, newest, d->from, now);
	return verdict;
}

static void inbound_batch(struct engine *engine, struct inbound *datagrams, size_t n,
			  struct instant now)
{
	BATCH_STORAGE struct opening batch[ENGINE_BATCH];
	size_t opened = 0, at = 0;

	prefetch_inbound(engine, datagrams, n);
	for (size_t i = 0; i < n; i++) {
		datagrams[i].verdict = inbound_prepare(engine, &datagrams[i], &batch[opened], now);
		opened += datagrams[i].verdict == VERDICT_PASS;
	}
	envelope_open(engine->config.aead, engine->config.aead_context, batch, opened);
	prefetch_sources(engine, batch, opened);
	for (size_t i = 0; i < n; i++) {
		struct inbound *d = &datagrams[i];

		if (d->verdict == VERDICT_CONSUMED) {
			d->verdict = control_receive(engine, d, now);
		} else if (d->verdict == VERDICT_PASS) {
			d->verdict = record_receive(engine, d, &batch[at++], now);
		}
		peer_count(engine, d->peer, d->verdict);
	}
}

void engine_inbound(struct engine *engine, struct inbound *datagrams, size_t n, struct instant now)
{
	for (size_t done = 0; done < n; done += ENGINE_BATCH)
		inbound_batch(engine, datagrams + done,
			      n - done < ENGINE_BATCH ? n - done : ENGINE_BATCH, now);
}

/* ---- seeing inside ------------------------------------------------------------------------- */

struct peer *engine_peer_next(const struct engine *engine, const struct peer *after)
{
	return after ? after->next : engine->first;
}

void engine_snapshot(const struct engine *engine, const struct peer *peer,
		     struct peer_snapshot *ret_snapshot)
{
	(void)engine;
	*ret_snapshot = (struct peer_snapshot){
		.tag = peer->tag,
		.endpoint = peer->endpoint,
		.up = peer->up,
		.up_since = peer->up_since,
		.last_handshake = peer->last_success,
		.last_heard = peer->last_heard,
		.session_spi = peer->current ? peer->current->in[0].entry.spi : 0,
		.packets_in = peer->packets_in,
		.bytes_in = peer->bytes_in,
		.packets_out = peer->packets_out,
		.bytes_out = peer->bytes_out,
		.handshakes = peer->handshakes,
		.inner_mtu = path_inner_mtu(peer),
		.path_proven = peer->path_proven,
		.staged = peer->staged,
		.verdicts = peer->verdicts,
	};
	memcpy(ret_snapshot->software, peer->software, sizeof(peer->software));
	lanes_snapshot(peer, ret_snapshot);
}

static void show_session(const struct session *session,
			 void (*each)(void *context, const struct engine_sa *sa), void *context)
{
	const struct endpoint *remote = &session->peer->endpoint;

	for (unsigned i = 0; i < session->in_count; i++)
		each(context, &(struct engine_sa){ session->in[i].entry.spi, true,
						   &session->in[i].key, remote });
	for (unsigned i = 0; i < session->out_count; i++)
		each(context, &(struct engine_sa){ session->out[i].spi, false, &session->out[i].key,
						   remote });
}

void engine_keylog(const struct peer *peer, void (*each)(void *context, const struct engine_sa *sa),
		   void *context)
{
	if (peer->current)
		show_session(peer->current, each, context);
	for (unsigned i = 0; i < OLD_MAX; i++)
		if (peer->old[i])
			show_session(peer->old[i], each, context);
}

const struct verdicts *engine_verdicts(const struct engine *engine)
{
	return engine->lane_count > 0 ? &engine->gathered : &engine->verdicts;
}
