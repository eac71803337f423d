/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The path of a packet in a further worker.  It is the engine's own (engine.c) without everything that
 * is not about sealing and opening: what would change a session, an endpoint or a timer there is a
 * report here.
 *
 * Reports are for moments, not for packets.  That data went out, or that a peer was heard where it is known
 * to be, is told every REPORT_REST; what the engine must decide on is told at once: the first packet of a
 * session, which may promote it, and a packet from elsewhere, after which the next one from the known
 * place is told at once too, since it disproves the other (docs/protocol.md section 8).
 */
#include "lane_state.h"

#include "minivpn/ecn.h"

#include "engine_state.h"

#include <string.h>

/* Silence is counted in seconds. */
#define REPORT_REST   (50 * NS_PER_MS)
#define STRANGER_REST (10 * NS_PER_MS)

void lane_start(struct lane *lane, const struct lane_hooks *hooks, void *context)
{
	lane->hooks = *hooks;
	lane->context = context;
}

void lane_count(struct lane *lane, enum verdict verdict, uint64_t n)
{
	lane->verdicts.count[verdict] += n;
}

static void count(struct lane *lane, struct lane_peer *peer, enum verdict verdict)
{
	lane->verdicts.count[verdict]++;
	if (peer)
		peer->counts.verdicts.count[verdict]++;
}

static bool report(struct lane *lane, const struct lane_report *report, const uint8_t *bytes,
		   size_t n)
{
	return lane->hooks.report(lane->hooks.shell, report, bytes, n);
}

/* ---- orders -------------------------------------------------------------------------------- */

static void session_begins(struct lane *lane, struct lane_session *session)
{
	for (unsigned i = 0; i < session->in_count; i++)
		spi_insert(&lane->spis, &session->in[i].entry);
}

static void session_ends(struct lane *lane, struct lane_session *session)
{
	struct lane_peer *peer = session->peer;

	for (unsigned i = 0; i < session->in_count; i++) {
		spi_remove(&lane->spis, &session->in[i].entry);
		sa_key_wipe(&session->in[i].key);
	}
	sa_key_wipe(&session->key);
	if (peer->way.sending == session)
		peer->way.sending = NULL;
}

static void prefixes_withdraw(struct lane *lane, struct lane_prefixes *prefixes)
{
	for (unsigned i = 0; prefixes && i < prefixes->count; i++)
		allowed_remove(&lane->allowed, &prefixes->entry[i]);
}

static void prefixes_change(struct lane *lane, struct lane_prefixes *prefixes)
{
	struct lane_peer *peer = prefixes->peer;

	prefixes_withdraw(lane, peer->prefixes);
	prefixes->order.done = peer->prefixes;
	peer->prefixes = prefixes;
	for (unsigned i = 0; i < prefixes->count; i++)
		allowed_insert(&lane->allowed, &prefixes->entry[i]);
}

static void table_grows(struct lane *lane, struct lane_table *table)
{
	struct lane_table **own = table->of_prefixes ? &lane->prefix_table : &lane->spi_table;

	if (table->of_prefixes)
		allowed_rehash(&lane->allowed, (struct allowed_entry **)table->buckets,
			       table->bucket_count);
	else
		spi_rehash(&lane->spis, (struct spi_entry **)table->buckets, table->bucket_count);
	table->order.done = *own;
	*own = table;
}

void lane_execute(struct lane *lane, struct lane_order *order)
{
	struct lane_peer *peer = order->about;

	switch ((enum lane_order_kind)order->kind) {
	case LANE_SESSION_BEGINS:
		session_begins(lane, order->about);
		break;
	case LANE_SESSION_ENDS:
		session_ends(lane, order->about);
		order->done = order->about;
		break;
	case LANE_PEER_BEGINS:
		break;
	case LANE_PEER_CHANGES:
		peer->way = peer->told;
		break;
	case LANE_PEER_ENDS:
		prefixes_withdraw(lane, peer->prefixes);
		order->done = order->about;
		break;
	case LANE_PREFIXES:
		prefixes_change(lane, order->about);
		break;
	case LANE_TABLE:
		table_grows(lane, order->about);
		break;
	}
}

/* ---- out ----------------------------------------------------------------------------------- */

static bool may_send(const struct lane_peer *peer, size_t bytes, struct instant now)
{
	const struct lane_session *s = peer->way.sending;

	return s && s->next > 0 && !s->worn_out && instant_since(now, s->born) < SENDING_LIFETIME &&
	       !endpoint_is_none(&peer->way.endpoint) && bytes <= peer->way.inner_mtu;
}

static void note_sent(struct lane *lane, struct lane_peer *peer, struct instant now)
{
	if (instant_since(now, peer->sent_told) < REPORT_REST)
		return;
	if (report(lane, &(struct lane_report){ LANE_SENT, .spi = peer->way.sending->name }, NULL,
		   0))
		peer->sent_told = now;
}

static void ask_for_peer(const void *owner)
{
	ask_for(owner, LANE_PEER_HOT_BYTES);
}

static void ask_for_session(const void *owner)
{
	const struct lane_session *session = ((const struct lane_peer *)owner)->way.sending;

	if (session)
		ask_for(&session->peer, LINE_BYTES);
}

/* @ret_peer: whom it is counted for.  VERDICT_PASS: @ret_sealing is ready. */
static enum verdict outbound_prepare(struct lane *lane, struct outbound *p,
				     const struct inner *inner, struct lane_peer *peer,
				     struct sealing *ret_sealing, struct lane_peer **ret_peer,
				     struct instant now)
{
	struct lane_session *session;

	if (!peer || !may_send(peer, inner->bytes, now))
		return report(lane, &(struct lane_report){ LANE_OUTBOUND }, p->inner, inner->bytes)
			       ? VERDICT_HANDED_OVER
			       : VERDICT_QUEUE_FULL;
	*ret_peer = peer;
	session = peer->way.sending;
	note_sent(lane, peer, now);
	*ret_sealing = (struct sealing){ .payload = p->inner,
					 .payload_bytes = p->inner_bytes,
					 .next_header = inner->version == 4 ? NEXT_HEADER_IPV4
									    : NEXT_HEADER_IPV6,
					 .key = &session->key,
					 .spi = session->spi,
					 .sequence = session->next++ };
	if (session->next == REKEY_AFTER_PACKETS)
		report(lane, &(struct lane_report){ LANE_USED, .spi = session->name }, NULL, 0);
	p->to = &peer->way.endpoint;
	p->tos = ecn_encapsulate(inner->tos, lane->copy_dscp);
	return VERDICT_PASS;
}

static void outbound_seal(struct lane *lane, const struct outbound_batch *b, struct span s)
{
	BATCH_STORAGE struct sealing batch[ENGINE_BATCH];
	BATCH_STORAGE struct lane_peer *peers[ENGINE_BATCH];
	size_t sealed = 0;

	for (size_t i = s.from; i < s.to; i++) {
		struct outbound *p = &b->packets[i];

		p->peer = NULL;
		peers[i - s.from] = NULL;
		if (p->verdict == VERDICT_PASS)
			p->verdict = outbound_prepare(lane, p, &b->inner[i], b->owner[i],
						      &batch[sealed], &peers[i - s.from], b->now);
		sealed += p->verdict == VERDICT_PASS;
	}
	envelope_seal(lane->aead, lane->context, batch, sealed);
	for (size_t i = s.from, at = 0; i < s.to; i++) {
		struct outbound *p = &b->packets[i];
		struct lane_peer *peer = peers[i - s.from];

		count(lane, peer, p->verdict);
		if (p->verdict != VERDICT_PASS)
			continue;
		p->record = batch[at].record;
		p->record_bytes = batch[at].record_bytes;
		at++;
		peer->counts.packets_out++;
		peer->counts.bytes_out += p->inner_bytes;
	}
}

static void outbound_batch(struct lane *lane, struct outbound *packets, size_t n,
			   struct instant now)
{
	BATCH_STORAGE struct outbound_batch b;
	struct pipeline line = pipeline_begin(n, lane->allowed.entries);

	b.allowed = &lane->allowed;
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
		outbound_seal(lane, &b, pipeline_at(&line, 4));
	} while (pipeline_next(&line, 4));
}

void lane_outbound(struct lane *lane, struct outbound *packets, size_t n, struct instant now)
{
	for (size_t done = 0; done < n; done += ENGINE_BATCH)
		outbound_batch(lane, packets + done,
			       n - done < ENGINE_BATCH ? n - done : ENGINE_BATCH, now);
}

/* ---- in ------------------------------------------------------------------------------------ */

static void ask_for_sa(const struct spi_entry *entry)
{
	const struct lane_sa *sa = (const struct lane_sa *)entry;

	ask_for(&sa->session->peer, 2 * LINE_BYTES);
	ask_for(replay_place(&sa->replay), sizeof(sa->replay.seen[0]));
}

static void ask_for_sender(const struct spi_entry *entry)
{
	ask_for_peer(((const struct lane_sa *)entry)->session->peer);
}

static void ask_for_prefixes(const struct spi_entry *entry)
{
	const struct lane_prefixes *prefixes =
		((const struct lane_sa *)entry)->session->peer->prefixes;

	if (prefixes)
		ask_for(&prefixes->count, sizeof(prefixes->count) + sizeof(prefixes->entry[0]));
}

static struct lane_sa *sa_find(const struct lane *lane, uint32_t spi)
{
	return (struct lane_sa *)spi_find(&lane->spis, spi);
}

/* VERDICT_PASS: @ret_opening is ready. */
static enum verdict inbound_prepare(struct lane *lane, struct inbound *d,
				    struct opening *ret_opening, struct lane_sa **ret_sa,
				    struct instant now)
{
	struct lane_session *session;
	struct lane_sa *sa;

	d->peer = NULL;
	*ret_sa = NULL;
	if (d->bytes < sizeof(be32) || spi_worker(inbound_spi(d), lane->workers) != lane->worker)
		return VERDICT_HANDED_OVER;
	if (d->bytes < ENVELOPE_MIN_BYTES)
		return VERDICT_TRUNCATED;
	sa = sa_find(lane, inbound_spi(d));
	if (!sa)
		return VERDICT_UNKNOWN_SPI;
	session = sa->session;
	if (lane->role == ROLE_CLIENT &&
	    !endpoint_same_remote(d->from, &session->peer->way.endpoint))
		return VERDICT_WRONG_REMOTE;
	*ret_sa = sa;
	if (session->worn_out || instant_since(now, session->born) >= RECEIVING_LIFETIME)
		return VERDICT_EXPIRED;
	return inbound_opening(d, &sa->replay, &sa->key, ret_opening);
}

static void forged(struct lane *lane, struct lane_sa *sa)
{
	struct lane_session *session = sa->session;

	if (++sa->forged < lane->aead->forgery_limit || session->worn_out)
		return;
	session->worn_out = true;
	report(lane, &(struct lane_report){ LANE_WORN_OUT, .spi = session->name }, NULL, 0);
}

/* Is this one of the moments that the engine has to know of? */
static bool is_news(const struct lane *lane, const struct lane_session *session, bool newest,
		    bool stranger, struct instant now)
{
	int64_t since = instant_since(now, session->heard_told);

	if (!session->heard || since >= REPORT_REST)
		return true;
	if (lane->role == ROLE_CLIENT || !newest)
		return false;
	return stranger ? since >= STRANGER_REST || !session->stranger : session->stranger;
}

static void note_heard(struct lane *lane, struct lane_sa *sa, const struct inbound *d, bool newest,
		       bool at_once, struct instant now)
{
	struct lane_session *session = sa->session;
	bool stranger = !endpoint_equal(d->from, &session->peer->way.endpoint);
	const struct lane_report heard = { .kind = LANE_HEARD,
					   .spi = sa->entry.spi,
					   .sequence = d->sequence,
					   .newest = newest,
					   .from = *d->from };

	if (!at_once && !is_news(lane, session, newest, stranger, now))
		return;
	if (!report(lane, &heard, NULL, 0))
		return;
	session->heard = true;
	session->stranger = stranger;
	session->heard_told = now;
}

static enum verdict dummy_receive(struct lane *lane, const struct lane_sa *sa,
				  const struct inbound *d, const struct opening *opening)
{
	const struct lane_report dummy = { .kind = LANE_DUMMY,
					   .spi = sa->entry.spi,
					   .from = *d->from };

	return report(lane, &dummy, opening->payload, opening->payload_bytes) ? VERDICT_CONSUMED
									      : VERDICT_QUEUE_FULL;
}

/* Most peers are one address. */
static bool owns(const struct lane *lane, const struct lane_peer *peer,
		 const struct address *source)
{
	const struct lane_prefixes *prefixes = peer->prefixes;

	return (prefixes && prefixes->count > 0 && allowed_is_host(&prefixes->entry[0], source)) ||
	       allowed_lookup(&lane->allowed, source) == peer;
}

static enum verdict record_receive(struct lane *lane, struct lane_sa *sa, struct inbound *d,
				   const struct opening *opening, struct instant now)
{
	struct lane_peer *peer = sa->session->peer;
	struct inner inner;
	enum verdict verdict = opening->verdict;
	bool newest, is_dummy;

	if (verdict == VERDICT_FORGED)
		forged(lane, sa);
	if (verdict == VERDICT_FORGED || verdict == VERDICT_TRUNCATED)
		return verdict;
	newest = d->sequence > sa->replay.highest;
	if (!replay_commit(&sa->replay, d->sequence))
		return VERDICT_REPLAYED;
	is_dummy = verdict == VERDICT_PASS && opening->next_header == NEXT_HEADER_NONE;
	note_heard(lane, sa, d, newest, is_dummy, now);
	if (verdict != VERDICT_PASS)
		return verdict;
	if (is_dummy)
		return dummy_receive(lane, sa, d, opening);

	verdict = inner_parse(opening->payload, opening->payload_bytes, &inner);
	if (verdict != VERDICT_PASS)
		return verdict;
	if (!owns(lane, peer, &inner.source))
		return VERDICT_WRONG_SOURCE;
	if (!ecn_decapsulate(opening->payload, d->tos))
		return VERDICT_ECN_DROPPED;
	d->inner = opening->payload;
	d->inner_bytes = inner.bytes;
	peer->counts.packets_in++;
	peer->counts.bytes_in += inner.bytes;
	return VERDICT_PASS;
}

static void inbound_open(struct lane *lane, const struct inbound_batch *b, struct span s)
{
	BATCH_STORAGE struct opening batch[ENGINE_BATCH];
	BATCH_STORAGE struct lane_sa *sas[ENGINE_BATCH];
	size_t opened = 0, at = 0;

	for (size_t i = s.from; i < s.to; i++) {
		struct inbound *d = &b->datagrams[i];

		d->verdict = inbound_prepare(lane, d, &batch[opened], &sas[i - s.from], b->now);
		opened += d->verdict == VERDICT_PASS;
	}
	envelope_open(lane->aead, lane->context, batch, opened);
	for (size_t i = s.from; i < s.to; i++) {
		struct inbound *d = &b->datagrams[i];
		struct lane_sa *sa = sas[i - s.from];

		if (d->verdict == VERDICT_PASS)
			d->verdict = record_receive(lane, sa, d, &batch[at++], b->now);
		count(lane, sa ? sa->session->peer : NULL, d->verdict);
	}
}

static void inbound_batch(struct lane *lane, struct inbound *datagrams, size_t n,
			  struct instant now)
{
	BATCH_STORAGE struct inbound_batch b;
	struct pipeline line = pipeline_begin(n, lane->allowed.entries);

	b.spis = &lane->spis;
	b.datagrams = datagrams;
	b.now = now;
	do {
		if (line.asks) {
			inbound_spis(&b, pipeline_at(&line, 0));
			inbound_entries(&b, pipeline_at(&line, 1));
			inbound_each(&b, pipeline_at(&line, 2), ask_for_sa);
			inbound_each(&b, pipeline_at(&line, 3), ask_for_sender);
			inbound_each(&b, pipeline_at(&line, 4), ask_for_prefixes);
		}
		inbound_open(lane, &b, pipeline_at(&line, 5));
	} while (pipeline_next(&line, 5));
}

void lane_inbound(struct lane *lane, struct inbound *datagrams, size_t n, struct instant now)
{
	for (size_t done = 0; done < n; done += ENGINE_BATCH)
		inbound_batch(lane, datagrams + done,
			      n - done < ENGINE_BATCH ? n - done : ENGINE_BATCH, now);
}
