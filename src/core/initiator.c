/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handshakes that we begin (docs/protocol.md section 3).
 *
 * An attempt is about five seconds of asking.  It sends one Init again and again, byte for byte, and at
 * most one more after a Retry.  Whatever Inits of the last 15 seconds are unanswered keep their state,
 * each in a struct outreach: the first valid Response to any of them wins, and then all go.
 */
#include "engine_state.h"

#include <string.h>

static const struct schedule first_schedule = { { 0, 250, 750, 1750, 3750 }, 5, 0 };
static const struct schedule later_schedule = { { 0, 1000 }, 2, 0 };

void offer_fill(struct engine *engine, unsigned remote_workers, struct payload *offer)
{
	const struct engine_config *config = &engine->config;
	unsigned count = config->workers > remote_workers ? config->workers : remote_workers;

	for (unsigned i = 0; i < count; i++) {
		bool repeated;

		do {
			repeated = false;
			offer->spi[i] = spi_draw(engine, i % config->workers);
			for (unsigned j = 0; j < i; j++)
				repeated |= offer->spi[j] == offer->spi[i];
		} while (repeated);
	}
	offer->spi_count = (uint8_t)count;
	offer->mtu = (uint16_t)config->inner_mtu;
	offer->workers = (uint8_t)config->workers;
	offer->flags = PAYLOAD_FLAG_HEARS_IN_BAND;
	offer->transport = TRANSPORT_UDP;
	offer->version = PROTOCOL_VERSION;
}

static void outreach_drop(struct peer *peer, unsigned slot)
{
	struct engine_hooks *hooks = &peer->engine->config.hooks;
	struct outreach *o = peer->outreach[slot];

	for (unsigned i = 0; i < o->spi_count; i++)
		spi_remove(&peer->engine->spis, &o->spi[i]);
	if (peer->newest == o)
		peer->newest = NULL;
	*o->link = o->next;
	if (o->next)
		o->next->link = o->link;
	sodium_memzero(o, sizeof(*o));
	hooks->release(hooks->shell, o);
	peer->outreach[slot] = NULL;
}

void initiator_abandon(struct peer *peer)
{
	for (unsigned i = 0; i < OUTREACH_MAX; i++)
		if (peer->outreach[i])
			outreach_drop(peer, i);
	peer->attempting = false;
	peer->attempts = 0;
	peer->handshake_due = INSTANT_NEVER;
}

void handshake_want(struct peer *peer, bool fault, struct instant now)
{
	struct instant due = now;

	if (peer->attempting)
		return;
	if (!fault && peer->last_success.ns &&
	    instant_since(now, peer->last_success) < HANDSHAKE_REST)
		due = instant_after(peer->last_success, HANDSHAKE_REST);
	if (!instant_reached(due, peer->refused_until))
		due = peer->refused_until;
	peer->handshake_due = instant_earlier(peer->handshake_due, due);
	peer_wake(peer, due);
}

/* An empty slot for an Init; the oldest makes room. */
static unsigned outreach_slot(struct peer *peer)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < OUTREACH_MAX; i++) {
		if (!peer->outreach[i])
			return i;
		if (peer->outreach[i]->created.ns < peer->outreach[oldest]->created.ns)
			oldest = i;
	}
	outreach_drop(peer, oldest);
	return oldest;
}

static struct outreach *outreach_create(struct peer *peer, struct instant now)
{
	struct engine *engine = peer->engine;
	struct engine_hooks *hooks = &engine->config.hooks;
	struct outreach *o = hooks->allocate(hooks->shell, sizeof(*o));

	if (!o)
		return NULL;
	o->peer = peer;
	o->to = peer->endpoint;
	o->created = now;
	o->next = engine->outreach;
	o->link = &engine->outreach;
	if (o->next)
		o->next->link = &o->next;
	engine->outreach = o;
	peer->outreach[outreach_slot(peer)] = o;
	return o;
}

static const struct cookie *cookie_for(const struct peer *peer, struct instant now)
{
	if (instant_reached(now, peer->cookie_until) ||
	    !endpoint_equal(&peer->cookie_from, &peer->endpoint))
		return NULL;
	return &peer->cookie;
}

/* A new Init: fresh e, fresh SPIs. */
static void init_begin(struct peer *peer, const struct schedule *schedule, struct instant now)
{
	struct engine *engine = peer->engine;
	struct outreach *o = outreach_create(peer, now);
	uint8_t secret[EPHEMERAL_BYTES];

	if (!o) {
		peer->newest = NULL; /* nothing more to send until the next attempt */
		peer_count(engine, peer, VERDICT_NO_MEMORY);
		return;
	}
	engine->answer = (struct payload){ 0 };
	offer_fill(engine, peer->remote_workers, &engine->answer);
	engine_random(engine, secret, sizeof(secret));
	init_create(&o->attempt, &peer->ours, cookie_for(peer, now), &engine->answer, secret,
		    o->message);
	sodium_memzero(secret, sizeof(secret));
	o->spi_count = engine->answer.spi_count;
	for (unsigned i = 0; i < o->spi_count; i++) {
		o->spi[i] = (struct spi_entry){ .spi = engine->answer.spi[i],
						.kind = i == 0 ? SPI_INIT : SPI_PROMISED };
		spi_insert(&engine->spis, &o->spi[i]);
	}
	peer->newest = o;
	peer->init_schedule = schedule;
	peer->init_started = now;
	peer->init_sent = 0;
}

static void init_send(struct peer *peer)
{
	peer->init_sent++;
	engine_transmit(peer->engine, &peer->newest->to, peer->newest->message, INIT_BYTES, 0,
			false);
}

static void attempt_begin(struct peer *peer, struct instant now)
{
	uint32_t drawn;

	engine_random(peer->engine, &drawn, sizeof(drawn));
	peer->attempting = true;
	peer->followed_retry = false;
	peer->handshake_due = INSTANT_NEVER;
	/* five seconds, give or take a tenth: two ends must not go on in step */
	peer->attempt_ends = instant_after(
		now, ATTEMPT_TIME * 9 / 10 + (int64_t)((uint64_t)drawn * (ATTEMPT_TIME / 5) >> 32));
	init_begin(peer, peer->attempts == 0 ? &first_schedule : &later_schedule, now);
	peer->attempts++;
}

/* The attempt is over; the states of its Inits live on, for a late Response. */
static void attempt_failed(struct peer *peer, struct instant now)
{
	unsigned attempts = peer->attempts;

	peer->attempting = false;
	peer->newest = NULL;
	if (peer->engine->config.role == ROLE_CLIENT || attempts < SERVER_ATTEMPTS_MAX)
		peer->handshake_due = now;
	else
		peer->attempts = 0;
	peer_event(peer, (struct engine_event){ .kind = EVENT_ATTEMPT_FAILED,
						.endpoint = &peer->endpoint,
						.attempts = attempts });
}

bool is_forced_down(const struct payload *told)
{
	const struct payload ours = { .version = PROTOCOL_VERSION };

	return payload_forced_down(&ours, told, PROTOCOL_VERSION);
}

/* The Init whose first SPI is @spi, if it may still be answered. */
static struct outreach *outreach_find(const struct engine *engine, uint32_t spi, struct instant now)
{
	struct spi_entry *entry = spi_find(&engine->spis, spi);
	struct outreach *o;

	if (!entry || entry->kind != SPI_INIT)
		return NULL;
	o = (struct outreach *)((uint8_t *)entry - offsetof(struct outreach, spi));
	return instant_since(now, o->created) < INIT_LIFETIME ? o : NULL;
}

/* No session came of an answer: @outreach and all others are gone, and so is what they waited for. */
static void try_again_later(struct peer *peer, int64_t rest, struct instant now)
{
	peer->refused_until = instant_after(now, rest);
	peer->handshake_due = peer->refused_until;
	peer_wake(peer, peer->handshake_due);
}

enum verdict initiator_response(struct engine *engine, const uint8_t *message, size_t bytes,
				struct peer **ret_peer, struct instant now)
{
	struct outreach *outreach = outreach_find(engine, response_first_spi(message), now);
	bool client = engine->config.role == ROLE_CLIENT;
	struct payload *told = &engine->told;
	uint32_t spi[PAYLOAD_SPIS_MAX];
	struct split_keys keys;
	struct session *session;
	enum verdict verdict;
	unsigned spi_count;
	struct peer *peer;

	if (!outreach)
		return VERDICT_STALE_RESPONSE;
	peer = outreach->peer;
	*ret_peer = peer;
	verdict = response_consume(&outreach->attempt, message, bytes, client, told, &keys);
	if (verdict == VERDICT_PASS && told->refusal == REFUSAL_NONE && is_forced_down(told)) {
		split_keys_wipe(&keys);
		verdict = VERDICT_DOWNGRADED;
	}
	if (verdict != VERDICT_PASS) {
		peer_event(peer, (struct engine_event){ .kind = EVENT_BAD_RESPONSE,
							.endpoint = &peer->endpoint,
							.verdict = verdict });
		return verdict;
	}

	spi_count = outreach->spi_count;
	for (unsigned i = 0; i < spi_count; i++)
		spi[i] = outreach->spi[i].spi;
	initiator_abandon(peer);
	if (told->refusal != REFUSAL_NONE) {
		try_again_later(peer, REFUSAL_REST, now);
		peer_event(peer, (struct engine_event){ .kind = EVENT_REFUSED,
							.endpoint = &peer->endpoint,
							.refusal = told->refusal,
							.detail = told->refusal_detail });
		return VERDICT_REFUSED;
	}

	session = session_create(peer, keys.k2, keys.k1, spi, spi_count, told, now);
	split_keys_wipe(&keys);
	if (!session) {
		try_again_later(peer, HANDSHAKE_REST, now);
		return VERDICT_NO_MEMORY;
	}
	/* Each worker wants an SA of its own; had we known how many the other end has, we had listed as
	 * many. */
	if (told->workers > spi_count)
		session->rekey_at = instant_after(now, HANDSHAKE_REST);
	if (client)
		for (unsigned i = 0; i < PENDING_MAX; i++)
			if (peer->pending[i])
				peer->pending[i]->never_current = true;
	peer->completed_own = true;
	peer->response_taken = now;
	engine_count(engine, peer, VERDICT_IMPOSSIBLE_ITEM, told->impossible);
	if (client)
		peer_event(peer, (struct engine_event){ .kind = EVENT_CONFIGURED,
							.endpoint = &peer->endpoint,
							.configuration = told });
	session_make_current(session, &peer->endpoint, now);
	liveness_session(peer, true, now);
	staging_flush(peer, now);
	return VERDICT_CONSUMED;
}

static enum verdict retry_take(struct outreach *o, const uint8_t *message, struct instant now)
{
	struct peer *peer = o->peer;

	if (o->retried || instant_since(now, o->created) >= INIT_LIFETIME)
		return VERDICT_STALE_RESPONSE;
	if (!retry_consume(&peer->ours, o->attempt.ephemeral, message, &peer->cookie))
		return VERDICT_FORGED;
	o->retried = true;
	peer->cookie_from = o->to;
	peer->cookie_until = instant_after(now, COOKIE_HELD);
	if (peer->attempting && !peer->followed_retry) {
		peer->followed_retry = true;
		init_begin(peer, &first_schedule, now);
		peer_wake(peer, now);
	}
	return VERDICT_CONSUMED;
}

enum verdict initiator_retry(struct engine *engine, const uint8_t *message, struct peer **ret_peer,
			     struct instant now)
{
	for (struct outreach *o = engine->outreach; o; o = o->next) {
		if (memcmp(init_hint(o->message), init_hint(message), HINT_BYTES) != 0)
			continue;
		*ret_peer = o->peer;
		return retry_take(o, message, now);
	}
	return VERDICT_STALE_RESPONSE;
}

void initiator_network_changed(struct peer *peer, struct instant now)
{
	peer->cookie_until = now;
	/* News come in swarms, and an Init just sent is repeated soon enough by itself. */
	if (!peer->attempting || instant_since(now, peer->init_started) < NS_PER_S)
		return;
	peer->attempting = false;
	peer->newest = NULL;
	peer->attempts = 0;
	handshake_want(peer, true, now);
}

/* An Init goes to one address only; the endpoint has become another since. */
static bool has_moved(const struct peer *peer)
{
	return peer->newest && !endpoint_equal(&peer->newest->to, &peer->endpoint);
}

struct instant initiator_deadline(const struct peer *peer)
{
	struct instant at = INSTANT_NEVER;

	for (unsigned i = 0; i < OUTREACH_MAX; i++)
		if (peer->outreach[i])
			at = instant_earlier(
				at, instant_after(peer->outreach[i]->created, INIT_LIFETIME));
	if (peer->attempting) {
		at = instant_earlier(at, peer->attempt_ends);
		if (has_moved(peer))
			at = (struct instant){ 0 };
		if (peer->newest && peer->init_sent < peer->init_schedule->count)
			at = instant_earlier(at, schedule_due(peer->init_schedule,
							      peer->init_started, peer->init_sent));
	} else if (!endpoint_is_none(&peer->endpoint)) {
		at = instant_earlier(at, peer->handshake_due);
	}
	return at;
}

void initiator_tick(struct peer *peer, struct instant now)
{
	for (unsigned i = 0; i < OUTREACH_MAX; i++)
		if (peer->outreach[i] &&
		    instant_since(now, peer->outreach[i]->created) >= INIT_LIFETIME)
			outreach_drop(peer, i);
	if (peer->attempting && instant_reached(now, peer->attempt_ends)) {
		/* The next one begins with the next tick, so that the shell can name another address. */
		attempt_failed(peer, now);
		return;
	}
	if (!peer->attempting && !endpoint_is_none(&peer->endpoint) &&
	    instant_reached(now, peer->handshake_due))
		attempt_begin(peer, now);
	if (peer->attempting && has_moved(peer))
		init_begin(peer, &first_schedule, now);
	if (peer->attempting && peer->newest && peer->init_sent < peer->init_schedule->count &&
	    instant_reached(now,
			    schedule_due(peer->init_schedule, peer->init_started, peer->init_sent)))
		init_send(peer);
}
