/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches of packets in and out, and doing what is due for peers.
 *
 * Both directions take packets through a pipeline (pipeline.h).  Its last step looks at a group's headers and
 * chooses SAs; gives all of them to the AEAD in one call; goes through the results in order.  Control
 * messages are taken in their turn among the results; once any of them has ended a session, SPIs are looked
 * up again.
 */
#include "engine_state.h"

#include "minivpn/ecn.h"

#include <string.h>

enum {
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
	sealing->sequence = sa->next++;
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
	struct sa_out *sa = &session->out[next_header == NEXT_HEADER_NONE ? 0 : session->data];

	if (sa->next == 0)
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

static struct peer *peer_of(struct deadline *due)
{
	return (struct peer *)((uint8_t *)due - offsetof(struct peer, due));
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
		peer_tick(peer_of(first), now);
	}
}

/* ---- out ----------------------------------------------------------------------------------- */

static void ask_for_peer(const void *owner)
{
	ask_for(owner, PEER_HOT_BYTES);
}

static void ask_for_session(const void *owner)
{
	const struct peer *peer = owner;

	if (peer->current)
		ask_for(session_hot(peer->current), LINE_BYTES);
}

/* What has to be sealed of @p, and for whom.  VERDICT_PASS: @ret_sealing is ready. */
static enum verdict outbound_prepare(struct engine *engine, struct outbound *p,
				     const struct inner *inner, struct sealing *ret_sealing,
				     struct instant now)
{
	struct peer *peer = p->peer;

	if (!peer)
		return VERDICT_NO_ROUTE;
	if (!session_may_send(peer->current, now) || endpoint_is_none(&peer->endpoint)) {
		if (!session_may_send(peer->current, now))
			handshake_want(peer, true, now);
		return staging_put(peer, p->inner, inner->bytes, now);
	}
	if (inner->bytes > path_inner_mtu(peer))
		return path_too_big(peer, p->inner, inner, now);
	liveness_sent(peer, now);

	*ret_sealing = (struct sealing){ .payload = p->inner,
					 .payload_bytes = p->inner_bytes,
					 .next_header = inner->version == 4 ? NEXT_HEADER_IPV4
									    : NEXT_HEADER_IPV6 };
	sealing_reserve(peer->current, &peer->current->out[peer->current->data], ret_sealing, now);
	p->to = &peer->endpoint;
	p->tos = ecn_encapsulate(inner->tos, engine->config.copy_dscp);
	return VERDICT_PASS;
}

static void outbound_seal(struct engine *engine, const struct outbound_batch *b, struct span s)
{
	BATCH_STORAGE struct sealing batch[ENGINE_BATCH];
	size_t sealed = 0;

	for (size_t i = s.from; i < s.to; i++) {
		struct outbound *p = &b->packets[i];

		p->peer = b->owner[i];
		if (p->verdict == VERDICT_PASS)
			p->verdict =
				outbound_prepare(engine, p, &b->inner[i], &batch[sealed], b->now);
		sealed += p->verdict == VERDICT_PASS;
	}
	envelope_seal(engine->config.aead, engine->config.aead_context, batch, sealed);
	for (size_t i = s.from, at = 0; i < s.to; i++) {
		struct outbound *p = &b->packets[i];

		peer_count(engine, p->peer, p->verdict);
		if (p->verdict != VERDICT_PASS)
			continue;
		p->record = batch[at].record;
		p->record_bytes = batch[at].record_bytes;
		at++;
		p->peer->packets_out++;
		p->peer->bytes_out += p->inner_bytes;
	}
}

static void outbound_batch(struct engine *engine, struct outbound *packets, size_t n,
			   struct instant now)
{
	BATCH_STORAGE struct outbound_batch b;
	struct pipeline line = pipeline_begin(n, engine->peer_count);

	b.allowed = &engine->allowed;
	b.packets = packets;
	b.now = now;
	do {
		outbound_headers(&b, pipeline_at(&line, 0));
		if (line.asks)
			outbound_entries(&b, pipeline_at(&line, 1));
		outbound_owners(&b, pipeline_at(&line, 2));
		if (line.asks) {
			outbound_each(&b, pipeline_at(&line, 2), ask_for_peer);
			outbound_each(&b, pipeline_at(&line, 3), ask_for_session);
		}
		outbound_seal(engine, &b, pipeline_at(&line, 4));
	} while (pipeline_next(&line, 4));
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
static enum verdict inbound_prepare(struct engine *engine, struct inbound *d, struct sa_in **ret_sa,
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
	*ret_sa = sa;
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
	if (!allowed_is_host(&peer->own, &inner.source) &&
	    allowed_lookup(&engine->allowed, &inner.source) != peer)
		return VERDICT_WRONG_SOURCE;
	if (!ecn_decapsulate(opening->payload, d->tos))
		return VERDICT_ECN_DROPPED;
	d->inner = opening->payload;
	d->inner_bytes = inner.bytes;
	peer->packets_in++;
	peer->bytes_in += inner.bytes;
	return VERDICT_PASS;
}

/* @sa: of the record, NULL if it was ended by an earlier datagram of the batch */
static enum verdict record_receive(struct engine *engine, struct inbound *d, struct sa_in *sa,
				   const struct opening *opening, struct instant now)
{
	struct session *session;
	uint64_t removed;
	enum verdict verdict;
	bool newest, promoted;

	if (!sa) {
		d->peer = NULL;
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
	removed = engine->spis.removed;
	verdict = payload_receive(engine, d, opening, session, promoted, now);
	if (engine->spis.removed != removed)
		sa = sa_find(engine,
			     inbound_spi(d)); /* what was in it may have ended the session */
	if (sa)
		elsewhere_packet(sa->session, newest, d->from, now);
	return verdict;
}

static void ask_for_sa(const struct spi_entry *entry)
{
	const struct sa_in *sa = (const struct sa_in *)entry;

	if (entry->kind != SPI_SA)
		return;
	ask_for(session_hot(sa->session), LINE_BYTES);
	ask_for(replay_place(&sa->replay), sizeof(sa->replay.seen[0]));
}

static void ask_for_sender(const struct spi_entry *entry)
{
	if (entry->kind == SPI_SA)
		ask_for_peer(((const struct sa_in *)entry)->session->peer);
}

static void inbound_open(struct engine *engine, const struct inbound_batch *b, struct span s)
{
	BATCH_STORAGE struct opening batch[ENGINE_BATCH];
	BATCH_STORAGE struct sa_in *sas[ENGINE_BATCH];
	uint64_t removed = engine->spis.removed;
	size_t opened = 0, at = 0;

	for (size_t i = s.from; i < s.to; i++) {
		struct inbound *d = &b->datagrams[i];

		d->verdict = inbound_prepare(engine, d, &sas[opened], &batch[opened], b->now);
		opened += d->verdict == VERDICT_PASS;
	}
	envelope_open(engine->config.aead, engine->config.aead_context, batch, opened);
	for (size_t i = s.from; i < s.to; i++) {
		struct inbound *d = &b->datagrams[i];

		if (d->verdict == VERDICT_CONSUMED) {
			d->verdict = control_receive(engine, d, b->now);
		} else if (d->verdict == VERDICT_PASS) {
			if (engine->spis.removed != removed)
				sas[at] = sa_find(engine, inbound_spi(d));
			d->verdict = record_receive(engine, d, sas[at], &batch[at], b->now);
			at++;
		}
		peer_count(engine, d->peer, d->verdict);
	}
}

static void inbound_batch(struct engine *engine, struct inbound *datagrams, size_t n,
			  struct instant now)
{
	BATCH_STORAGE struct inbound_batch b;
	struct pipeline line = pipeline_begin(n, engine->peer_count);

	b.spis = &engine->spis;
	b.datagrams = datagrams;
	b.now = now;
	do {
		if (line.asks) {
			inbound_spis(&b, pipeline_at(&line, 0));
			inbound_entries(&b, pipeline_at(&line, 1));
			inbound_each(&b, pipeline_at(&line, 2), ask_for_sa);
			inbound_each(&b, pipeline_at(&line, 3), ask_for_sender);
		}
		inbound_open(engine, &b, pipeline_at(&line, 4));
	} while (pipeline_next(&line, 4));
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
