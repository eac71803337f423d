/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the other end there?  Pings and what follows from their silence, rekeys by age, in-band messages
 * (docs/protocol.md sections 6 and 7).
 *
 * Three things make us ask: data went out and nothing came back; nothing came for as long as the
 * keepalive says (client); the machine's network changed.  And one more: a session we began is used for
 * the first time.  All are the same series of Pings on different schedules, ended by whatever verifies
 * in the current session, or by a handshake.
 */
#include "engine_state.h"

#include <string.h>

static const struct schedule silence = { { 0, 1000, 2000, 3000 }, 4, 5000 };
static const struct schedule network_changed = { { 0, 1000, 2000, 3000 }, 4, 3001 };
static const struct schedule fresh_session = { { 0, 250, 750, 1750 }, 4, 5000 };

static void pings_begin(struct peer *peer, const struct schedule *schedule, struct instant now)
{
	peer->pinging = true;
	peer->ping_schedule = schedule;
	peer->ping_started = now;
	peer->pings_sent = 0;
	peer_wake(peer, now);
}

void liveness_session(struct peer *peer, bool initiated, struct instant now)
{
	peer->heard = now;
	peer->unheard.ns = 0;
	peer->pinging = false;
	if (initiated && peer->current->hears_in_band)
		pings_begin(peer, &fresh_session, now);
	else if (initiated) /* it still has to hear that we took its Response */
		in_band_send(peer, &(struct in_band){ 0 }, 0, &peer->endpoint);
	peer_wake(peer, liveness_deadline(peer));
}

void liveness_sent(struct peer *peer, struct instant now)
{
	if (peer->unheard.ns)
		return;
	peer->unheard = now;
	peer_wake(peer, instant_after(now, UNHEARD_PING));
}

void liveness_heard(struct peer *peer, struct instant now)
{
	peer->heard = now;
	peer->unheard.ns = 0;
	peer->pinging = false;
}

void liveness_network_changed(struct peer *peer, struct instant now)
{
	if (session_may_send(peer->current, now) && peer->current->hears_in_band &&
	    !endpoint_is_none(&peer->endpoint))
		pings_begin(peer, &network_changed, now);
}

/* When silence will have lasted long enough to ask. */
static struct instant silence_due(const struct peer *peer)
{
	const struct engine_config *config = &peer->engine->config;
	struct instant at = INSTANT_NEVER;

	if (peer->unheard.ns)
		at = instant_after(peer->unheard,
				   peer->current->hears_in_band ? UNHEARD_PING : UNHEARD_HANDSHAKE);
	if (config->role == ROLE_CLIENT && config->keepalive_ns > 0 && peer->current->hears_in_band)
		at = instant_earlier(at, instant_after(peer->heard, config->keepalive_ns));
	return at;
}

struct instant liveness_deadline(const struct peer *peer)
{
	struct instant at = INSTANT_NEVER;

	if (!peer->current)
		return at;
	if (!peer->current->rekey_asked)
		at = peer->current->rekey_at;
	if (peer->pinging)
		return instant_earlier(at, schedule_due(peer->ping_schedule, peer->ping_started,
							peer->pings_sent));
	if (peer->attempting || !peer->up)
		return at;
	return instant_earlier(at, silence_due(peer));
}

static void ping(struct peer *peer)
{
	struct in_band message = { .has_ping = true };

	engine_random(peer->engine, message.ping, sizeof(message.ping));
	in_band_send(peer, &message, 0, &peer->endpoint);
}

static void pings_tick(struct peer *peer, struct instant now)
{
	if (!instant_reached(
		    now, schedule_due(peer->ping_schedule, peer->ping_started, peer->pings_sent)))
		return;
	if (peer->pings_sent < peer->ping_schedule->count) {
		peer->pings_sent++;
		ping(peer);
		return;
	}
	peer->pinging = false;
	handshake_want(peer, true, now);
}

void liveness_tick(struct peer *peer, struct instant now)
{
	if (!peer->current)
		return;
	if (!peer->current->rekey_asked && instant_reached(now, peer->current->rekey_at)) {
		peer->current->rekey_asked = true;
		handshake_want(peer, false, now);
	}
	if (!peer->pinging && !peer->attempting && peer->up &&
	    instant_reached(now, silence_due(peer))) {
		if (!peer->current->hears_in_band) {
			peer->unheard = now;
			handshake_want(peer, true, now);
			return;
		}
		pings_begin(peer, &silence, now);
	}
	if (peer->pinging)
		pings_tick(peer, now);
}

void in_band_send(struct peer *peer, const struct in_band *message, size_t pad_to,
		  const struct endpoint *to)
{
	in_band_send_in(peer->current, message, pad_to, to);
}

void in_band_send_in(struct session *session, const struct in_band *message, size_t pad_to,
		     const struct endpoint *to)
{
	struct engine *engine = session->peer->engine;
	uint8_t *payload = engine->scratch + ENVELOPE_HEAD_BYTES;
	struct in_band told = *message;
	size_t bytes = 0;

	/* What hears no messages still hears that we are there. */
	if (session->hears_in_band) {
		if (session->heard && !session->software_told) {
			memcpy(told.software, engine->software, sizeof(told.software));
			session->software_told = true;
		}
		bytes = in_band_build(&told, payload);
	}
	if (pad_to > bytes) {
		memset(payload + bytes, 0, pad_to - bytes);
		bytes = pad_to;
	}
	seal_and_transmit(session, payload, bytes, NEXT_HEADER_NONE, 0, to, true);
}

static void pong(struct peer *peer, const uint8_t bytes[PING_BYTES], const struct endpoint *from,
		 struct instant now)
{
	struct in_band message = { .has_pong = true };

	if (!session_may_send(peer->current, now))
		return;
	if (instant_since(now, peer->pong_second) >= NS_PER_S) {
		peer->pong_second = now;
		peer->pongs = 0;
	}
	if (peer->pongs++ >= PONGS_A_SECOND)
		return;
	memcpy(message.pong, bytes, sizeof(message.pong));
	in_band_send(peer, &message, 0, from);
	if (peer->engine->config.role == ROLE_SERVER && !endpoint_is_none(&peer->endpoint) &&
	    !endpoint_equal(from, &peer->endpoint))
		in_band_send(peer, &message, 0, &peer->endpoint);
}

static void software_told(struct peer *peer, const char *software)
{
	if (strcmp(peer->software, software) == 0)
		return;
	memcpy(peer->software, software, sizeof(peer->software));
	peer_event(peer, (struct engine_event){ .kind = EVENT_SOFTWARE, .text = peer->software });
}

enum verdict in_band_receive(struct session *session, const uint8_t *payload, size_t bytes,
			     const struct endpoint *from, struct instant now)
{
	struct peer *peer = session->peer;
	struct in_band message;
	enum verdict verdict = in_band_parse(payload, bytes, &message);

	if (verdict != VERDICT_CONSUMED)
		return verdict;
	if (message.software[0])
		software_told(peer, message.software);
	if (message.has_pong) {
		roaming_pong(peer, message.pong, from, now);
		path_pong(peer, message.pong, now);
	}
	if (message.has_ping)
		pong(peer, message.ping, from, now);
	if (message.rekey_please && peer->engine->config.role == ROLE_CLIENT && peer->current &&
	    instant_since(now, peer->current->born) >= HANDSHAKE_REST)
		handshake_want(peer, false, now);
	if (message.has_close)
		session_close(session, message.close, now);
	return VERDICT_CONSUMED;
}
