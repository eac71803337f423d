/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handshakes that others begin: what becomes of an Init, cheapest test first (docs/protocol.md
 * section 3).  An Init moves no endpoint, no timer, no route and no live session: message 1 can be
 * replayed, so it proves nothing.
 */
#include "engine_state.h"

#include <string.h>

static void cookie_secret_refresh(struct engine *engine, struct instant now)
{
	int64_t periods = instant_since(now, engine->cookie_secret_made) / COOKIE_SECRET_TIME;

	if (periods == 0)
		return;
	memcpy(engine->cookie_secret[1], engine->cookie_secret[0],
	       sizeof(engine->cookie_secret[0]));
	engine_random(engine, engine->cookie_secret[0], sizeof(engine->cookie_secret[0]));
	if (periods > 1)
		engine_random(engine, engine->cookie_secret[1], sizeof(engine->cookie_secret[1]));
	engine->cookie_secret_made =
		instant_after(engine->cookie_secret_made, periods * COOKIE_SECRET_TIME);
}

/* Does the Init carry proof that its sender receives at @from? */
static bool is_fresh(struct engine *engine, const uint8_t *message, const struct endpoint *from,
		     struct instant now)
{
	struct cookie told, good;

	memcpy(told.b, init_cookie(message), sizeof(told.b));
	if (cookie_is_none(&told))
		return false;
	cookie_secret_refresh(engine, now);
	for (unsigned i = 0; i < 2; i++) {
		cookie_make(engine->cookie_secret[i], from, &good);
		if (cookie_equal(&told, &good))
			return true;
	}
	return false;
}

/* At most one Retry in 100 ms for each pair of e and address. */
static bool retry_rests(struct engine *engine, const uint8_t *ephemeral,
			const struct endpoint *from, struct instant now)
{
	unsigned slot = RETRY_TABLE;

	for (unsigned i = 0; i < RETRY_TABLE; i++)
		if (memcmp(engine->retry[i].ephemeral, ephemeral,
			   sizeof(engine->retry[i].ephemeral)) == 0 &&
		    endpoint_same_remote(&engine->retry[i].to, from))
			slot = i;
	if (slot == RETRY_TABLE) {
		slot = engine->retry_next++ % RETRY_TABLE;
		memcpy(engine->retry[slot].ephemeral, ephemeral,
		       sizeof(engine->retry[slot].ephemeral));
		engine->retry[slot].to = *from;
	} else if (instant_since(now, engine->retry[slot].last) < RESEND_REST) {
		return true;
	}
	engine->retry[slot].last = now;
	return false;
}

static enum verdict send_retry(struct peer *peer, const uint8_t *message,
			       const struct endpoint *from, struct instant now)
{
	struct engine *engine = peer->engine;
	uint8_t retry[RETRY_BYTES];
	struct cookie cookie;

	if (retry_rests(engine, init_ephemeral(message), from, now))
		return VERDICT_RETRIED;
	cookie_secret_refresh(engine, now);
	cookie_make(engine->cookie_secret[0], from, &cookie);
	retry_create(&peer->theirs, init_hint(message), &cookie, init_ephemeral(message), retry);
	if (endpoint_is_none(&peer->endpoint))
		near_put(peer, &from->remote);
	engine_transmit(engine, from, retry, sizeof(retry), 0, false);
	return VERDICT_RETRIED;
}

static bool seen_before(const struct peer *peer, const uint8_t *message)
{
	for (unsigned i = 0; i < ACCEPTED_MAX; i++)
		if (memcmp(peer->accepted[i], init_ephemeral(message), EPHEMERAL_BYTES) == 0)
			return true;
	return false;
}

static void remember(struct peer *peer, const uint8_t *message)
{
	memcpy(peer->accepted[peer->accepted_next++ % ACCEPTED_MAX], init_ephemeral(message),
	       EPHEMERAL_BYTES);
}

/* Note that the Response goes to @to; false if it went there less than 100 ms ago. */
static bool note_place(struct pending *p, const struct endpoint *to, struct instant now)
{
	unsigned kept = p->places < RESPONSE_ADDRESSES ? p->places : RESPONSE_ADDRESSES;
	unsigned slot;

	for (unsigned i = 0; i < kept; i++) {
		if (!endpoint_equal(&p->place[i].to, to))
			continue;
		if (instant_since(now, p->place[i].last) < RESEND_REST)
			return false;
		p->place[i].last = now;
		return true;
	}
	slot = p->places++ % RESPONSE_ADDRESSES;
	p->place[slot].to = *to;
	p->place[slot].last = now;
	return true;
}

static void hash_init(uint8_t ret_hash[crypto_generichash_BYTES], const uint8_t *message)
{
	crypto_generichash(ret_hash, crypto_generichash_BYTES, message, INIT_BYTES, NULL, 0);
}

/* An Init that was answered already: the same bytes get the same Response, from wherever they come. */
static enum verdict answer_again(struct peer *peer, const uint8_t *message,
				 const struct endpoint *from, struct instant now)
{
	uint8_t hash[crypto_generichash_BYTES];

	hash_init(hash, message);
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		struct pending *p = peer->pending[i] ? peer->pending[i]->pending : NULL;

		if (!p || memcmp(p->init_hash, hash, sizeof(hash)) != 0)
			continue;
		if (note_place(p, from, now))
			engine_transmit(peer->engine, from, p->response, p->response_bytes, 0,
					false);
		return VERDICT_CONSUMED;
	}
	return VERDICT_DUPLICATE_INIT;
}

/* "Client wins": a client that is asking, or has just been answered, does not answer its server. */
static bool is_unwanted(const struct peer *peer, struct instant now)
{
	if (peer->engine->config.role == ROLE_SERVER)
		return false;
	for (unsigned i = 0; i < OUTREACH_MAX; i++)
		if (peer->outreach[i])
			return true;
	return !peer->completed_own || instant_since(now, peer->response_taken) < CLIENT_WINS_TIME;
}

static void answer_fill(struct peer *peer, const struct payload *offer, const struct endpoint *from,
			struct payload *answer)
{
	const struct engine_config *config = &peer->engine->config;

	if (config->role == ROLE_SERVER && config->configuration)
		*answer = *config->configuration;
	else
		*answer = (struct payload){ 0 };
	offer_fill(peer->engine, offer->workers, answer);
	if (config->role != ROLE_SERVER)
		return;
	answer->address_count = (uint8_t)peer->address_count;
	memcpy(answer->address, peer->address, sizeof(peer->address));
	answer->seen_as = *from;
}

/* The slot for a new pending session.  Only a fresh Init may push out another. */
static struct session **pending_slot(struct peer *peer)
{
	struct session **slot = &peer->pending[0];

	for (unsigned i = 0; i < PENDING_MAX; i++) {
		if (!peer->pending[i])
			return &peer->pending[i];
		if (peer->pending[i]->generation < (*slot)->generation)
			slot = &peer->pending[i];
	}
	return slot;
}

static enum verdict refuse(struct peer *peer, const uint8_t *message, const struct endpoint *from,
			   enum refusal reason)
{
	struct engine *engine = peer->engine;
	uint8_t secret[EPHEMERAL_BYTES], response[RESPONSE_MAX_BYTES];
	struct split_keys keys;
	size_t bytes;
	enum verdict verdict;

	engine->answer =
		(struct payload){ .refusal = reason,
				  .refusal_detail = engine->responder.offer.unknown_critical };
	engine_random(engine, secret, sizeof(secret));
	verdict = response_create(&engine->responder, message, &engine->answer, secret, response,
				  &bytes, &keys);
	sodium_memzero(secret, sizeof(secret));
	if (verdict != VERDICT_PASS)
		return verdict;
	split_keys_wipe(&keys);
	remember(peer, message);
	engine_transmit(engine, from, response, bytes, 0, false);
	return reason == REFUSAL_UNKNOWN_ITEM ? VERDICT_UNKNOWN_ITEM : VERDICT_KEY_ELSEWHERE;
}

/* Diffie-Hellman, Response, new pending session.  engine->responder holds the opened Init. */
static enum verdict accept(struct peer *peer, const uint8_t *message, const struct endpoint *from,
			   struct instant now)
{
	struct engine *engine = peer->engine;
	struct engine_hooks *hooks = &engine->config.hooks;
	struct pending *pending = hooks->allocate(hooks->shell, sizeof(*pending));
	struct payload *offer = &engine->told;
	struct session *session = NULL, **slot;
	uint8_t secret[EPHEMERAL_BYTES];
	struct split_keys keys;
	enum verdict verdict;

	if (!pending) {
		responder_wipe(&engine->responder);
		return VERDICT_NO_MEMORY;
	}
	*offer = engine->responder.offer;
	answer_fill(peer, offer, from, &engine->answer);
	engine_random(engine, secret, sizeof(secret));
	verdict = response_create(&engine->responder, message, &engine->answer, secret,
				  pending->response, &pending->response_bytes, &keys);
	sodium_memzero(secret, sizeof(secret));
	if (verdict == VERDICT_PASS) {
		session = session_create(peer, keys.k1, keys.k2, engine->answer.spi,
					 engine->answer.spi_count, offer, now);
		split_keys_wipe(&keys);
		verdict = session ? VERDICT_CONSUMED : VERDICT_NO_MEMORY;
	}
	if (!session) {
		sodium_memzero(pending, sizeof(*pending));
		hooks->release(hooks->shell, pending);
		return verdict;
	}

	slot = pending_slot(peer);
	if (*slot)
		session_erase(*slot);
	*slot = session;
	session->state = SESSION_PENDING;
	session->pending = pending;
	hash_init(pending->init_hash, message);
	remember(peer, message);
	note_place(pending, from, now);
	peer_wake(peer, instant_after(now, PENDING_LIFETIME));
	engine_transmit(engine, from, pending->response, pending->response_bytes, 0, false);
	return VERDICT_CONSUMED;
}

/* Counts an answer to an Init: each costs two X25519. */
static void note_answer(struct engine *engine, struct instant now)
{
	if (instant_since(now, engine->answered_second) >= NS_PER_S) {
		engine->answered_second = now;
		engine->answered = 0;
	}
	engine->answered++;
}

static bool is_under_load(struct engine *engine, struct instant now)
{
	return budget_is_spent(&engine->budget, now) ||
	       (instant_since(now, engine->answered_second) < NS_PER_S &&
		engine->answered > ANSWERS_A_SECOND);
}

static bool has_pending(const struct peer *peer)
{
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i])
			return true;
	return false;
}

/* The Init fits the hint of @peer.  Steps 4 to 8 of docs/protocol.md section 3. */
static enum verdict take(struct peer *peer, const uint8_t *message, bool fresh,
			 const struct endpoint *from, struct instant now)
{
	struct responder *responder = &peer->engine->responder;
	enum verdict verdict;

	if (seen_before(peer, message))
		return answer_again(peer, message, from, now);
	verdict = init_open(responder, &peer->theirs, message);
	if (verdict != VERDICT_PASS && verdict != VERDICT_UNKNOWN_ITEM)
		return verdict;
	if (is_unwanted(peer, now)) {
		responder_wipe(responder);
		return VERDICT_UNWANTED_INIT;
	}
	if (!fresh && (is_under_load(peer->engine, now) || has_pending(peer))) {
		responder_wipe(responder);
		return send_retry(peer, message, from, now);
	}
	if (is_forced_down(&responder->offer)) {
		responder_wipe(responder);
		return VERDICT_DOWNGRADED;
	}
	note_answer(peer->engine, now);
	if (verdict == VERDICT_UNKNOWN_ITEM)
		return refuse(peer, message, from, REFUSAL_UNKNOWN_ITEM);
	if (elsewhere_refuses(peer, from, now))
		return refuse(peer, message, from, REFUSAL_KEY_ELSEWHERE);
	return accept(peer, message, from, now);
}

/* First those who were last heard from there: nearly every Init renews a session, or follows a Retry. */
static enum verdict take_from_near(struct engine *engine, const uint8_t *message, bool fresh,
				   const struct endpoint *from, struct peer **ret_peer,
				   struct instant now)
{
	struct peer *peer = near_first(engine, &from->remote);
	enum verdict verdict = VERDICT_UNKNOWN_KEY;
	uint8_t hint[HINT_BYTES];

	for (unsigned i = 0; peer && i < NEAR_MAX; i++, peer = peer->near_next) {
		if (!address_equal(&peer->near_at, &from->remote))
			continue;
		handshake_hint(&peer->theirs.hint, init_ephemeral(message), hint);
		if (memcmp(hint, init_hint(message), HINT_BYTES) != 0)
			continue;
		*ret_peer = peer;
		verdict = take(peer, message, fresh, from, now);
		if (verdict != VERDICT_FORGED)
			break;
	}
	return verdict;
}

static enum verdict take_from_all(struct engine *engine, const uint8_t *message, bool fresh,
				  const struct endpoint *from, struct peer **ret_peer,
				  struct instant now)
{
	const struct hints *hints = &engine->hints;
	enum verdict verdict = VERDICT_UNKNOWN_KEY;
	size_t at = 0;

	if (!budget_allows(&engine->budget, &from->remote, fresh, now))
		return VERDICT_OVERLOAD;
	while ((at = hints_find(hints, at, init_ephemeral(message), init_hint(message))) <
	       hints->count) {
		*ret_peer = hints->owner[at++];
		verdict = take(*ret_peer, message, fresh, from, now);
		if (verdict != VERDICT_FORGED)
			break;
	}
	budget_spend(&engine->budget, at);
	return verdict;
}

/* What we answer goes where packets to that address go: into a tunnel.  Then nobody will ever hear it. */
static void tell_if_inside(struct engine *engine, const struct endpoint *from)
{
	struct peer *behind = engine->config.role == ROLE_SERVER
				      ? allowed_lookup(&engine->allowed, &from->remote)
				      : NULL;

	if (behind)
		peer_event(behind, (struct engine_event){ .kind = EVENT_INSIDE, .endpoint = from });
}

enum verdict responder_init(struct engine *engine, const uint8_t *message,
			    const struct endpoint *from, struct peer **ret_peer, struct instant now)
{
	bool fresh = is_fresh(engine, message, from, now);
	enum verdict verdict = take_from_near(engine, message, fresh, from, ret_peer, now);

	if (verdict == VERDICT_UNKNOWN_KEY || verdict == VERDICT_FORGED)
		verdict = take_from_all(engine, message, fresh, from, ret_peer, now);
	if (verdict == VERDICT_UNKNOWN_KEY)
		engine->config.hooks.event(
			engine->config.hooks.shell,
			&(struct engine_event){ .kind = EVENT_UNKNOWN_KEY, .endpoint = from });
	else if (verdict == VERDICT_FORGED || verdict == VERDICT_BAD_PAYLOAD ||
		 verdict == VERDICT_UNKNOWN_ITEM || verdict == VERDICT_DOWNGRADED)
		peer_event(*ret_peer, (struct engine_event){ .kind = EVENT_BAD_INIT,
							     .endpoint = from,
							     .verdict = verdict });
	else if (verdict == VERDICT_CONSUMED || verdict == VERDICT_RETRIED)
		tell_if_inside(engine, from);
	return verdict;
}
