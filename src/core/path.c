/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How large a packet the path to a peer takes.
 *
 * Two sources: the kernel tells what ICMP or a local interface told it (path_learned()), and Pings
 * padded to a size prove that this size passes (RFC 8899 calls them probes).  As soon as a session
 * works, one Ping of full size is sent.  On a wide path it is answered within a round trip, and nobody
 * was ever told "too big", which Linux would remember for ten minutes.  A path that does not answer in
 * a quarter of a second is asked with a ladder of usual sizes at once; after a second and a half the
 * largest size that was answered counts.  If nothing at all was answered, nothing is known, and the
 * next session asks again.
 *
 * A size that was lowered is questioned again every ten minutes, since paths also widen.
 */
#include "engine_state.h"

#include "minivpn/ecn.h"
#include "minivpn/toobig.h"

#include <string.h>

enum {
	PATH_UNKNOWN = UINT16_MAX,
	TOOBIG_WINDOW_ANSWERS = 16, /* ICMP answers in a window: a super-packet needs one, not 45 */
};
#define TOOBIG_WINDOW (10 * NS_PER_MS)

/* Outer IP packets: PPPoE, tunnels in tunnels, the IPv6 minimum, what satellites and hotels have. */
static const unsigned ladder[] = { 1492, 1452, 1400, 1360, 1320, 1280, 1200, 1000, PATH_MTU_MIN };

/* Full size, full size and ladder, what is still open, verdict. */
static const struct schedule path_schedule = { { 0, 250, 750 }, 3, 1500 };

static unsigned inner_over(const struct peer *peer, unsigned outer)
{
	unsigned headers = path_headers(&peer->endpoint);

	return outer > headers ? (unsigned)envelope_inner_max(outer - headers) : 0;
}

/* The largest packet that there is ever to send. */
static unsigned outer_full(const struct peer *peer)
{
	return path_headers(&peer->endpoint) + (unsigned)envelope_bytes(peer->inner_agreed);
}

static unsigned outer_believed(const struct peer *peer)
{
	return outer_full(peer) < peer->outer_limit ? outer_full(peer) : peer->outer_limit;
}

unsigned path_inner_mtu(const struct peer *peer)
{
	unsigned inner;

	if (peer->outer_limit == PATH_UNKNOWN)
		return peer->inner_agreed;
	inner = inner_over(peer, peer->outer_limit);
	return inner < peer->inner_agreed ? inner : peer->inner_agreed;
}

void path_forget(struct peer *peer)
{
	peer->outer_limit = PATH_UNKNOWN;
	peer_changed(peer);
	peer->path_proven = false;
	peer->path_probing = false;
	peer->path_raise = INSTANT_NEVER;
}

void path_agreed(struct peer *peer, unsigned inner_mtu)
{
	if (inner_mtu > peer->inner_agreed) /* what was proven was less */
		peer->path_proven = false;
	peer->inner_agreed = inner_mtu;
	peer_changed(peer);
}

static bool may_probe(const struct peer *peer, struct instant now)
{
	return !peer->path_probing && !endpoint_is_none(&peer->endpoint) &&
	       session_may_send(peer->current, now) && peer->current->hears_in_band;
}

/* Ask for @full and the rungs below it. */
static void probing_begin(struct peer *peer, unsigned full, struct instant now)
{
	peer->path_probing = true;
	peer->path_started = now;
	peer->path_step = 0;
	peer->best_outer = 0;
	peer->rung_count = 0;
	peer->rung_outer[peer->rung_count++] = full;
	for (unsigned i = 0; i < sizeof(ladder) / sizeof(*ladder); i++)
		if (ladder[i] < full)
			peer->rung_outer[peer->rung_count++] = ladder[i];
	engine_random(peer->engine, peer->rung_ping, (size_t)peer->rung_count * PING_BYTES);
	peer_wake(peer, now);
}

void path_start(struct peer *peer, struct instant now)
{
	if (!peer->path_proven && may_probe(peer, now))
		probing_begin(peer, outer_believed(peer), now);
}

static void set_limit(struct peer *peer, unsigned outer, struct instant now)
{
	unsigned before = path_inner_mtu(peer);

	peer->outer_limit = outer;
	peer_changed(peer);
	if (outer < outer_full(peer)) {
		peer->path_raise = instant_after(now, PATH_RAISE_AFTER);
		peer_wake(peer, peer->path_raise);
	}
	if (path_inner_mtu(peer) != before)
		peer_event(peer, (struct engine_event){ .kind = EVENT_PATH_MTU,
							.endpoint = &peer->endpoint,
							.inner_mtu = path_inner_mtu(peer) });
}

void path_learned(struct peer *peer, unsigned mtu_outer, struct instant now)
{
	if (mtu_outer < PATH_MTU_MIN)
		mtu_outer = PATH_MTU_MIN;
	if (mtu_outer >= outer_believed(peer))
		return;
	set_limit(peer, mtu_outer, now);
	peer->path_proven = false;
	peer->path_probing = false;
	path_start(peer, now);
}

static void probe(struct peer *peer, unsigned rung)
{
	struct in_band message = { .has_ping = true };

	memcpy(message.ping, peer->rung_ping[rung], PING_BYTES);
	in_band_send(peer, &message, inner_over(peer, peer->rung_outer[rung]), &peer->endpoint);
}

void path_pong(struct peer *peer, const uint8_t bytes[PING_BYTES], struct instant now)
{
	for (unsigned i = 0; peer->path_probing && i < peer->rung_count; i++) {
		if (memcmp(bytes, peer->rung_ping[i], PING_BYTES) != 0)
			continue;
		if (peer->rung_outer[i] > peer->best_outer)
			peer->best_outer = peer->rung_outer[i];
		if (i == 0) {
			peer->path_probing = false;
			peer->path_proven = true;
			if (peer->outer_limit < peer->best_outer)
				set_limit(peer, peer->best_outer, now);
			return;
		}
	}
}

static void probing_end(struct peer *peer, struct instant now)
{
	peer->path_probing = false;
	if (peer->best_outer == 0)
		return;
	peer->path_proven = true;
	set_limit(peer, peer->best_outer, now);
}

struct instant path_deadline(const struct peer *peer)
{
	if (peer->path_probing)
		return schedule_due(&path_schedule, peer->path_started, peer->path_step);
	return peer->current ? peer->path_raise : INSTANT_NEVER;
}

void path_tick(struct peer *peer, struct instant now)
{
	if (!instant_reached(now, path_deadline(peer)))
		return;
	if (!peer->path_probing) {
		/* has the path widened?  The old limit stands until that is known */
		peer->path_raise = instant_after(now, PATH_RAISE_AFTER);
		if (may_probe(peer, now))
			probing_begin(peer, outer_full(peer), now);
		return;
	}
	if (peer->path_step == path_schedule.count || !session_may_send(peer->current, now)) {
		probing_end(peer, now);
		return;
	}
	probe(peer, 0);
	for (unsigned i = 1; peer->path_step > 0 && i < peer->rung_count; i++)
		if (peer->rung_outer[i] > peer->best_outer)
			probe(peer, i);
	peer->path_step++;
}

static bool toobig_rests(struct engine *engine, struct instant now)
{
	if (instant_since(now, engine->toobig_window) >= TOOBIG_WINDOW) {
		engine->toobig_window = now;
		engine->toobig_answers = 0;
	}
	return engine->toobig_answers++ >= TOOBIG_WINDOW_ANSWERS;
}

/* A payload that lies in the engine's scratch room. */
static enum verdict send_scratch(struct peer *peer, size_t bytes, uint8_t next_header, uint8_t tos,
				 bool dont_fragment)
{
	uint8_t *payload = peer->engine->scratch + ENVELOPE_HEAD_BYTES;
	enum verdict verdict = seal_and_transmit(peer->current, payload, bytes, next_header, tos,
						 &peer->endpoint, dont_fragment);

	peer->packets_out += verdict == VERDICT_CONSUMED;
	peer->bytes_out += verdict == VERDICT_CONSUMED ? bytes : 0;
	return verdict;
}

static enum verdict send_fragments(struct peer *peer, struct fragments *fragments, uint8_t tos)
{
	uint8_t *payload = peer->engine->scratch + ENVELOPE_HEAD_BYTES;
	enum verdict verdict = VERDICT_CONSUMED;
	size_t bytes;

	while (verdict == VERDICT_CONSUMED && (bytes = fragments_next(fragments, payload)) > 0)
		verdict = send_scratch(peer, bytes, NEXT_HEADER_IPV4, tos, true);
	return verdict;
}

/* Of every link IPv6 asks for 1280 bytes (RFC 8200 section 5), and no sender makes smaller ones for
 * being told so.  On a path that is narrower it is the envelope that may be cut, as a whole. */
static enum verdict send_least_ipv6(struct peer *peer, const uint8_t *packet,
				    const struct inner *inner)
{
	memcpy(peer->engine->scratch + ENVELOPE_HEAD_BYTES, packet, inner->bytes);
	return send_scratch(peer, inner->bytes, NEXT_HEADER_IPV6,
			    ecn_encapsulate(inner->tos, peer->engine->config.copy_dscp), false);
}

enum verdict path_too_big(struct peer *peer, const uint8_t *packet, const struct inner *inner,
			  struct instant now)
{
	struct engine *engine = peer->engine;
	unsigned mtu = path_inner_mtu(peer);
	uint8_t answer[TOOBIG_ANSWER_BYTES];
	struct fragments fragments;
	size_t bytes;

	if (fragments_begin(&fragments, packet, inner, mtu)) {
		liveness_sent(peer, now);
		return send_fragments(peer, &fragments,
				      ecn_encapsulate(inner->tos, engine->config.copy_dscp));
	}
	if (inner->version == 6 && inner->bytes <= IPV6_MTU_MIN) {
		liveness_sent(peer, now);
		return send_least_ipv6(peer, packet, inner);
	}
	if (toobig_rests(engine, now))
		return VERDICT_TOO_BIG;
	/* From the packet's own destination: an address of ours would be a martian to our own kernel,
	 * and any other might fail its reverse-path check. */
	bytes = toobig_answer(packet, inner, mtu, &inner->destination, answer);
	if (bytes > 0)
		engine->config.hooks.deliver(engine->config.hooks.shell, answer, bytes);
	return VERDICT_TOO_BIG;
}
