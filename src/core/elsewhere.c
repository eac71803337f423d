/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two machines with one key.  Each, when it is not answered any more, begins a handshake and so takes
 * the peer's place from the other: without a rule they would do that for ever, every few seconds.
 *
 * How it is known: a machine that has taken a Response sends in the new session from then on.  So a
 * packet with a new number in a session that was replaced seconds ago, from another address than the
 * peer's, was made by a second machine.  A restart or a change of network looks different: the old
 * session falls silent.
 *
 * The rule (docs/decisions/0008-two-machines.md): who came last stays.  The other is told, and its
 * Inits are refused for as long as the first is heard; it asks again every 30 s.
 */
#include "engine_state.h"

static bool is_live(const struct peer *peer, struct instant now)
{
	return session_may_send(peer->current, now) && !endpoint_is_none(&peer->endpoint) &&
	       instant_since(now, peer->heard) < ELSEWHERE_SILENCE;
}

/* Apart from the question, which every packet asks: the message is some hundred bytes to clear. */
static void tell_elsewhere(struct session *session, const struct endpoint *from, struct instant now)
{
	struct peer *peer = session->peer;
	struct in_band message = { .has_close = true, .close = CLOSE_KEY_ELSEWHERE };

	peer->elsewhere_until = instant_after(now, ELSEWHERE_LIFETIME);
	peer_event(peer, (struct engine_event){ .kind = EVENT_KEY_ELSEWHERE,
						.endpoint = &peer->endpoint,
						.elsewhere = from });
	if (session_may_send(session, now))
		in_band_send_in(session, &message, 0, from);
	session_erase(session);
}

void elsewhere_packet(struct session *session, bool newest, const struct endpoint *from,
		      struct instant now)
{
	struct peer *peer = session->peer;

	if (peer->engine->config.role != ROLE_SERVER || session->state != SESSION_OLD || !newest ||
	    instant_since(now, session->replaced) < ELSEWHERE_AFTER || !is_live(peer, now) ||
	    endpoint_same_remote(from, &peer->endpoint))
		return;
	tell_elsewhere(session, from, now);
}

bool elsewhere_refuses(struct peer *peer, const struct endpoint *from, struct instant now)
{
	if (instant_reached(now, peer->elsewhere_until) || !is_live(peer, now) ||
	    endpoint_same_remote(from, &peer->endpoint))
		return false;
	peer->elsewhere_until = instant_after(now, ELSEWHERE_LIFETIME);
	return true;
}
