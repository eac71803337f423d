/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer's sessions and their slots; engine_state.h draws how they move. */
#include "engine_state.h"

#include <string.h>

static struct instant rekey_instant(struct engine *engine, struct instant born)
{
	uint32_t drawn;

	if (engine->config.role == ROLE_SERVER)
		return instant_after(born, SERVER_REKEY_AFTER);
	engine_random(engine, &drawn, sizeof(drawn));
	return instant_after(born, CLIENT_REKEY_AFTER -
					   (int64_t)((uint64_t)drawn * CLIENT_REKEY_RANGE >> 32));
}

/* The receiver of the SA at position @i is its worker number @i, counted round. */
static enum spi_kind kind_of(const struct engine *engine, unsigned i)
{
	return engine->lane_count > 0 && i % engine->config.workers > 0 ? SPI_OF_LANE : SPI_SA;
}

const struct sa_out *session_out(const struct session *s, unsigned worker)
{
	unsigned workers = s->peer->engine->config.workers, count;

	if (worker >= s->out_count)
		return NULL;
	count = (s->out_count - worker + workers - 1) / workers;
	return &s->out[worker + workers * (s->peer->spread % count)];
}

static void session_release(struct session *s)
{
	struct engine_hooks *hooks = &s->peer->engine->config.hooks;

	sodium_memzero(s, (size_t)((uint8_t *)(s->in + s->in_count) - (uint8_t *)s));
	hooks->release(hooks->shell, s);
}

struct session *session_create(struct peer *peer, const uint8_t k_in[32], const uint8_t k_out[32],
			       const uint32_t *in, unsigned in_count, const struct payload *offer,
			       struct instant now)
{
	struct engine *engine = peer->engine;
	size_t in_at = (offsetof(struct session, out) + offer->spi_count * sizeof(struct sa_out) +
			LINE_BYTES - 1) /
		       LINE_BYTES * LINE_BYTES;
	size_t lane_at = in_at + in_count * sizeof(struct sa_in);
	struct session *s =
		engine_allocate(engine, lane_at + engine->lane_count * sizeof(s->lane[0]));

	if (!s)
		return NULL;
	s->peer = peer;
	s->generation = ++peer->generations;
	s->born = now;
	s->rekey_at = rekey_instant(engine, now);
	s->hears_in_band = offer->flags & PAYLOAD_FLAG_HEARS_IN_BAND;
	s->inner_mtu =
		offer->mtu < engine->config.inner_mtu ? offer->mtu : engine->config.inner_mtu;
	s->remote_workers = offer->workers;
	s->in_count = (uint8_t)in_count;
	s->out_count = (uint8_t)offer->spi_count;
	s->in = (struct sa_in *)((uint8_t *)s + in_at);
	s->lane = (struct lane_session **)((uint8_t *)s + lane_at);
	for (unsigned i = 0; i < in_count; i++) {
		s->in[i].entry = (struct spi_entry){ .spi = in[i], .kind = kind_of(engine, i) };
		s->in[i].session = s;
		sa_key_derive(k_in, (uint8_t)i, in[i], &s->in[i].key);
	}
	for (unsigned i = 0; i < s->out_count; i++) {
		s->out[i].spi = offer->spi[i];
		s->out[i].next = 1;
		sa_key_derive(k_out, (uint8_t)i, offer->spi[i], &s->out[i].key);
	}
	if (s->out_count > engine->config.workers && peer->spread == 0)
		engine_random(engine, &peer->spread, sizeof(peer->spread));
	s->data = (uint8_t)(session_out(s, 0) - s->out);
	if (!lanes_session_begin(s)) {
		session_release(s);
		return NULL;
	}
	for (unsigned i = 0; i < in_count; i++)
		spi_insert(&engine->spis, &s->in[i].entry);
	return s;
}

/* The slot that holds @session, or NULL while it stands in none. */
static struct session **slot_of(struct session *session)
{
	struct peer *peer = session->peer;

	if (peer->current == session)
		return &peer->current;
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i] == session)
			return &peer->pending[i];
	for (unsigned i = 0; i < OLD_MAX; i++)
		if (peer->old[i] == session)
			return &peer->old[i];
	return NULL;
}

static void pending_drop(struct session *s)
{
	struct engine_hooks *hooks = &s->peer->engine->config.hooks;

	if (!s->pending)
		return;
	sodium_memzero(s->pending, sizeof(*s->pending));
	hooks->release(hooks->shell, s->pending);
	s->pending = NULL;
}

void session_erase(struct session *s)
{
	struct session **slot = slot_of(s);

	if (slot)
		*slot = NULL;
	for (unsigned i = 0; i < s->in_count; i++)
		spi_remove(&s->peer->engine->spis, &s->in[i].entry);
	pending_drop(s);
	lanes_session_end(s);
	session_release(s);
}

bool session_may_send(const struct session *s, struct instant now)
{
	return s && !s->worn_out && instant_since(now, s->born) < SENDING_LIFETIME &&
	       s->out[s->data].next != 0;
}

bool session_may_receive(const struct session *s, struct instant now)
{
	int64_t lifetime = s->state == SESSION_PENDING ? PENDING_LIFETIME : RECEIVING_LIFETIME;

	return !s->worn_out && instant_since(now, s->born) < lifetime;
}

/* Keep @session receive-only; the oldest of the old makes room. */
static void make_old(struct session *session, struct instant now)
{
	struct peer *peer = session->peer;
	struct session **slot = slot_of(session), **room = &peer->old[0];

	if (slot)
		*slot = NULL;
	for (unsigned i = 0; i < OLD_MAX; i++) {
		if (!peer->old[i]) {
			room = &peer->old[i];
			break;
		}
		if (peer->old[i]->generation < (*room)->generation)
			room = &peer->old[i];
	}
	if (*room)
		session_erase(*room);
	session->state = SESSION_OLD;
	session->replaced = now;
	*room = session;
}

static void came_up(struct peer *peer, const struct endpoint *from, struct instant now)
{
	bool rekeyed = peer->up;

	if (!rekeyed) {
		peer->up = true;
		peer->up_since = now;
	}
	peer_event(peer, (struct engine_event){ .kind = rekeyed ? EVENT_REKEYED : EVENT_UP,
						.endpoint = from });
}

static void went_down(struct peer *peer, enum close_reason reason, bool closed)
{
	if (!peer->up)
		return;
	peer->up = false;
	peer->pinging = false;
	peer_event(peer, (struct engine_event){ .kind = EVENT_DOWN,
						.endpoint = &peer->endpoint,
						.reason = reason,
						.closed_by_peer = closed });
}

void session_make_current(struct session *session, const struct endpoint *from, struct instant now)
{
	struct peer *peer = session->peer;
	struct session **slot = slot_of(session);

	if (slot)
		*slot = NULL;
	if (peer->current)
		make_old(peer->current, now);
	session->state = SESSION_CURRENT;
	peer->current = session;
	peer->last_success = now;
	peer->handshakes++;
	peer->remote_workers = session->remote_workers;
	peer_changed(peer);
	path_agreed(peer, session->inner_mtu);
	roaming_session(peer);
	came_up(peer, from, now);
}

void session_promote(struct session *session, const struct endpoint *from, struct instant now)
{
	struct peer *peer = session->peer;

	if (session->never_current) {
		pending_drop(session);
		make_old(session, now);
		return;
	}
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i] && peer->pending[i]->generation < session->generation)
			session_erase(peer->pending[i]);
	initiator_abandon(peer);
	session_make_current(session, from, now);
	liveness_session(peer, false, now);
	if (peer->engine->config.role == ROLE_SERVER)
		roaming_promoted(peer, session->pending, from, now);
	pending_drop(session);
	path_start(peer, now);
	staging_flush(peer, now);
}

void session_close(struct session *session, enum close_reason reason, struct instant now)
{
	struct peer *peer = session->peer;
	uint64_t generation = session->generation;

	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i] && peer->pending[i]->generation < generation)
			session_erase(peer->pending[i]);
	for (unsigned i = 0; i < OLD_MAX; i++)
		if (peer->old[i] && peer->old[i]->generation < generation)
			session_erase(peer->old[i]);
	if (peer->current && peer->current->generation < generation)
		session_erase(peer->current);
	session_erase(session);
	if (peer->current)
		return;

	went_down(peer, reason, true);
	if (peer->engine->config.role == ROLE_CLIENT) {
		handshake_want(peer, true, now);
		return;
	}
	initiator_abandon(peer);
	staging_drop(peer);
	roaming_set(peer, &(struct endpoint){ 0 }, now);
}

struct instant sessions_deadline(const struct peer *peer)
{
	struct instant at = INSTANT_NEVER;

	if (peer->current)
		at = instant_after(peer->current->born,
				   peer->up ? SENDING_LIFETIME : RECEIVING_LIFETIME);
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i])
			at = instant_earlier(
				at, instant_after(peer->pending[i]->born, PENDING_LIFETIME));
	for (unsigned i = 0; i < OLD_MAX; i++)
		if (peer->old[i])
			at = instant_earlier(at,
					     instant_after(peer->old[i]->born, RECEIVING_LIFETIME));
	return at;
}

void sessions_tick(struct peer *peer, struct instant now)
{
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (peer->pending[i] && !session_may_receive(peer->pending[i], now))
			session_erase(peer->pending[i]);
	for (unsigned i = 0; i < OLD_MAX; i++)
		if (peer->old[i] && !session_may_receive(peer->old[i], now))
			session_erase(peer->old[i]);
	if (!peer->current)
		return;
	if (peer->up && !session_may_send(peer->current, now)) {
		went_down(peer, CLOSE_STOPPING, false);
		if (peer->engine->config.role == ROLE_CLIENT)
			handshake_want(peer, true, now);
	}
	if (!session_may_receive(peer->current, now))
		session_erase(peer->current);
}
