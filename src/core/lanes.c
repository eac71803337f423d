/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's side of its lanes (minivpn/lane.h): what is lent to them, and what they report.
 *
 * Sessions, peers and prefixes are told of where they come and go.  How a peer is reached follows from
 * many things that change in many places; those only mark the peer as changed, and engine_guide() compares
 * what there is with what each lane knows.  At most one such order is on its way to a lane for a
 * peer: there is one piece of memory for it.
 */
#include "engine_state.h"

#include "lane_state.h"

#include <assert.h>
#include <string.h>

static void give_order(struct engine *engine, unsigned lane, struct lane_order *order,
		       enum lane_order_kind kind, void *about)
{
	*order = (struct lane_order){ .kind = (uint8_t)kind, .about = about };
	engine->config.hooks.order(engine->config.hooks.shell, lane + 1, order);
}

/* ---- lanes --------------------------------------------------------------------------------- */

static struct lane_table *table_create(struct engine *engine, bool of_prefixes, size_t buckets)
{
	struct lane_table *table =
		engine_allocate(engine, sizeof(*table) + buckets * sizeof(table->buckets[0]));

	if (table) {
		table->of_prefixes = of_prefixes;
		table->bucket_count = buckets;
	}
	return table;
}

static struct lane *lane_create(struct engine *engine, unsigned worker)
{
	const struct engine_config *config = &engine->config;
	struct lane *lane = engine_allocate(engine, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->worker = worker;
	lane->workers = config->workers;
	lane->role = config->role;
	lane->copy_dscp = config->copy_dscp;
	lane->aead = config->aead;
	lane->spi_table = table_create(engine, false, engine->spis.bucket_count);
	lane->prefix_table = table_create(engine, true, engine->allowed.bucket_count);
	if (!lane->spi_table || !lane->prefix_table) {
		engine_release(engine, lane->spi_table);
		engine_release(engine, lane->prefix_table);
		engine_release(engine, lane);
		return NULL;
	}
	lane->spis = (struct spi_table){ (struct spi_entry **)lane->spi_table->buckets,
					 lane->spi_table->bucket_count, 0, 0 };
	allowed_init(&lane->allowed, (struct allowed_entry **)lane->prefix_table->buckets,
		     lane->prefix_table->bucket_count);
	return lane;
}

bool lanes_create(struct engine *engine)
{
	if (!engine->config.hooks.order)
		return true;
	for (unsigned worker = 1; worker < engine->config.workers; worker++) {
		struct lane *lane = lane_create(engine, worker);

		if (!lane)
			return false;
		engine->lane[engine->lane_count++] = lane;
	}
	return true;
}

void lanes_destroy(struct engine *engine)
{
	for (unsigned i = 0; i < engine->lane_count; i++) {
		engine_release(engine, engine->lane[i]->spi_table);
		engine_release(engine, engine->lane[i]->prefix_table);
		engine_release(engine, engine->lane[i]);
	}
	engine->lane_count = 0;
}

struct lane *engine_lane(struct engine *engine, unsigned worker)
{
	assert(worker > 0 && worker <= engine->lane_count);
	return engine->lane[worker - 1];
}

bool lanes_grow(struct engine *engine, bool of_prefixes, size_t buckets)
{
	for (unsigned i = 0; i < engine->lane_count; i++) {
		struct lane_table *table = table_create(engine, of_prefixes, buckets);

		if (!table)
			return false;
		give_order(engine, i, &table->order, LANE_TABLE, table);
	}
	return true;
}

/* ---- peers --------------------------------------------------------------------------------- */

static struct lane_prefixes *prefixes_create(struct engine *engine, struct lane_peer *peer,
					     const struct prefix *allowed, unsigned count)
{
	struct lane_prefixes *prefixes =
		engine_allocate(engine, sizeof(*prefixes) + count * sizeof(prefixes->entry[0]));

	if (!prefixes)
		return NULL;
	prefixes->peer = peer;
	prefixes->count = count;
	for (unsigned i = 0; i < count; i++) {
		prefixes->entry[i].network = prefix_network(&allowed[i]);
		prefixes->entry[i].owner = peer;
	}
	return prefixes;
}

static void peer_release(struct engine *engine, struct peer_lanes *lanes)
{
	for (unsigned i = 0; i < engine->lane_count; i++)
		engine_release(engine, lanes->at[i]);
	engine_release(engine, lanes);
}

bool lanes_peer_create(struct peer *peer)
{
	struct engine *engine = peer->engine;
	struct peer_lanes *lanes;

	if (engine->lane_count == 0)
		return true;
	lanes = engine_allocate(engine, sizeof(*lanes) + engine->lane_count * sizeof(lanes->at[0]));
	if (!lanes)
		return false;
	for (unsigned i = 0; i < engine->lane_count; i++) {
		lanes->at[i] = engine_allocate(engine, sizeof(*lanes->at[i]));
		if (!lanes->at[i]) {
			peer_release(engine, lanes);
			return false;
		}
		lanes->at[i]->owner = peer;
	}
	peer->lanes = lanes;
	for (unsigned i = 0; i < engine->lane_count; i++)
		give_order(engine, i, &lanes->at[i]->begins, LANE_PEER_BEGINS, lanes->at[i]);
	return true;
}

void lanes_peer_destroy(struct peer *peer)
{
	struct engine *engine = peer->engine;

	if (peer->changed) {
		struct peer **link = &engine->changed;

		while (*link != peer)
			link = &(*link)->changed_next;
		*link = peer->changed_next;
	}
	for (unsigned i = 0; peer->lanes && i < engine->lane_count; i++) {
		struct lane_peer *lane_peer = peer->lanes->at[i];

		lane_peer->owner = NULL;
		give_order(engine, i, &lane_peer->ends, LANE_PEER_ENDS, lane_peer);
	}
	engine_release(engine, peer->lanes);
	peer->lanes = NULL;
}

bool lanes_peer_own(struct peer *peer, const struct prefix *allowed, unsigned count)
{
	struct engine *engine = peer->engine;
	struct lane_prefixes *prefixes[PAYLOAD_SPIS_MAX];

	for (unsigned i = 0; i < engine->lane_count; i++) {
		prefixes[i] = prefixes_create(engine, peer->lanes->at[i], allowed, count);
		if (prefixes[i])
			continue;
		while (i > 0)
			engine_release(engine, prefixes[--i]);
		return false;
	}
	for (unsigned i = 0; i < engine->lane_count; i++)
		give_order(engine, i, &prefixes[i]->order, LANE_PREFIXES, prefixes[i]);
	return true;
}

void peer_changed(struct peer *peer)
{
	struct engine *engine = peer->engine;

	if (!peer->lanes || peer->changed)
		return;
	peer->changed = true;
	peer->changed_next = engine->changed;
	engine->changed = peer;
}

static bool way_equal(const struct lane_way *a, const struct lane_way *b)
{
	return endpoint_equal(&a->endpoint, &b->endpoint) && a->inner_mtu == b->inner_mtu &&
	       a->sending == b->sending;
}

static void guide(struct peer *peer)
{
	const struct session *current = peer->current;
	struct lane_way way = { .endpoint = peer->endpoint, .inner_mtu = path_inner_mtu(peer) };

	for (unsigned i = 0; i < peer->engine->lane_count; i++) {
		struct lane_peer *lane_peer = peer->lanes->at[i];

		way.sending = current && !current->worn_out ? current->lane[i] : NULL;
		if (lane_peer->telling || way_equal(&way, &lane_peer->known))
			continue;
		lane_peer->telling = true;
		lane_peer->told = lane_peer->known = way;
		give_order(peer->engine, i, &lane_peer->changes, LANE_PEER_CHANGES, lane_peer);
	}
}

void engine_guide(struct engine *engine)
{
	struct peer *peer;

	while ((peer = engine->changed)) {
		engine->changed = peer->changed_next;
		peer->changed = false;
		guide(peer);
	}
}

/* ---- sessions ------------------------------------------------------------------------------ */

static struct lane_session *part_create(const struct session *session, unsigned lane)
{
	struct peer *peer = session->peer;
	struct engine *engine = peer->engine;
	unsigned worker = lane + 1, workers = engine->config.workers, count = 0;
	struct lane_session *part;
	const struct sa_out *out;

	for (unsigned i = worker; i < session->in_count; i += workers)
		count++;
	part = engine_allocate(engine, sizeof(*part) + count * sizeof(part->in[0]));
	if (!part)
		return NULL;
	part->peer = peer->lanes->at[lane];
	part->born = session->born;
	for (unsigned i = worker; i < session->in_count; i += workers) {
		struct lane_sa *sa = &part->in[part->in_count++];

		sa->entry = (struct spi_entry){ .spi = session->in[i].entry.spi, .kind = SPI_SA };
		sa->session = part;
		sa->key = session->in[i].key;
	}
	part->name = session->in[worker].entry.spi;
	out = session_out(session, worker);
	if (out) {
		part->spi = out->spi;
		part->key = out->key;
		part->next = 1;
	}
	return part;
}

static void part_release(struct engine *engine, struct lane_session *part)
{
	sodium_memzero(part, sizeof(*part) + part->in_count * sizeof(part->in[0]));
	engine_release(engine, part);
}

bool lanes_session_begin(struct session *session)
{
	struct engine *engine = session->peer->engine;

	for (unsigned i = 0; i < engine->lane_count; i++) {
		session->lane[i] = part_create(session, i);
		if (session->lane[i])
			continue;
		while (i > 0)
			part_release(engine, session->lane[--i]);
		return false;
	}
	for (unsigned i = 0; i < engine->lane_count; i++)
		give_order(engine, i, &session->lane[i]->begins, LANE_SESSION_BEGINS,
			   session->lane[i]);
	return true;
}

void lanes_session_end(struct session *session)
{
	struct peer *peer = session->peer;

	for (unsigned i = 0; i < peer->engine->lane_count; i++) {
		struct lane_way *known = &peer->lanes->at[i]->known;

		/* Another may come to lie in the same place. */
		if (known->sending == session->lane[i])
			known->sending = NULL;
		give_order(peer->engine, i, &session->lane[i]->ends, LANE_SESSION_ENDS,
			   session->lane[i]);
	}
	peer_changed(peer);
}

/* ---- what comes back ----------------------------------------------------------------------- */

void engine_order_done(struct engine *engine, struct lane_order *order)
{
	struct lane_peer *peer;

	switch ((enum lane_order_kind)order->kind) {
	case LANE_SESSION_BEGINS:
	case LANE_PEER_BEGINS:
		break;
	case LANE_SESSION_ENDS:
		part_release(engine, order->done);
		break;
	case LANE_PEER_CHANGES:
		peer = order->about;
		peer->telling = false;
		if (peer->owner)
			peer_changed(peer->owner);
		break;
	case LANE_PEER_ENDS:
		peer = order->done;
		engine_release(engine, peer->prefixes);
		engine_release(engine, peer);
		break;
	case LANE_PREFIXES:
	case LANE_TABLE:
		engine_release(engine, order->done);
		break;
	}
}

static void take_outbound(struct engine *engine, uint8_t *bytes, size_t n, struct instant now)
{
	struct outbound packet = { .inner = bytes, .inner_bytes = n };

	engine_outbound(engine, &packet, 1, now);
	if (packet.verdict == VERDICT_PASS)
		engine_transmit(engine, packet.to, packet.record, packet.record_bytes, packet.tos,
				true);
}

static void take_heard(struct sa_in *sa, const struct lane_report *report, struct instant now)
{
	struct session *session = sa->session;
	struct peer *peer = session->peer;

	if (sa_heard(sa, report->sequence, report->newest, &report->from, now))
		in_band_send(peer, &(struct in_band){ 0 }, 0, &report->from);
	elsewhere_packet(session, report->newest, &report->from, now);
}

/* As the lane counted it, unless there is something wrong with it. */
static void take_dummy(struct session *session, const struct lane_report *report,
		       const uint8_t *bytes, size_t n, struct instant now)
{
	struct peer *peer = session->peer;
	enum verdict verdict = in_band_receive(session, bytes, n, &report->from, now);

	if (verdict != VERDICT_CONSUMED)
		peer_count(peer->engine, peer, verdict);
}

static void take_worn_out(struct session *session, struct instant now)
{
	session->worn_out = true;
	if (session->state == SESSION_CURRENT)
		handshake_want(session->peer, true, now);
	peer_changed(session->peer);
}

void engine_report(struct engine *engine, const struct lane_report *report, uint8_t *bytes,
		   size_t n, struct instant now)
{
	struct spi_entry *entry = spi_find(&engine->spis, report->spi);
	struct sa_in *sa = entry && entry->kind == SPI_OF_LANE ? (struct sa_in *)entry : NULL;
	struct session *session = sa ? sa->session : NULL;

	if (report->kind == LANE_OUTBOUND)
		take_outbound(engine, bytes, n, now);
	if (!session || !session_may_receive(session, now))
		return;
	switch (report->kind) {
	case LANE_OUTBOUND:
		break;
	case LANE_HEARD:
		take_heard(sa, report, now);
		break;
	case LANE_DUMMY:
		take_dummy(session, report, bytes, n, now);
		break;
	case LANE_SENT:
		liveness_sent(session->peer, now);
		break;
	case LANE_USED:
		if (!session->rekey_asked)
			session->rekey_at = now;
		peer_wake(session->peer, now);
		break;
	case LANE_WORN_OUT:
		take_worn_out(session, now);
		break;
	}
}

/* ---- counters ------------------------------------------------------------------------------ */

static void verdicts_add(struct verdicts *sum, const struct verdicts *more)
{
	for (unsigned v = 0; v < VERDICT_COUNT; v++)
		sum->count[v] += more->count[v];
}

static void gather_peer(struct peer *peer)
{
	struct lane_counts *sum = &peer->lanes->gathered;

	*sum = (struct lane_counts){ 0 };
	for (unsigned i = 0; i < peer->engine->lane_count; i++) {
		const struct lane_counts *more = &peer->lanes->at[i]->counts;

		sum->packets_in += more->packets_in;
		sum->bytes_in += more->bytes_in;
		sum->packets_out += more->packets_out;
		sum->bytes_out += more->bytes_out;
		verdicts_add(&sum->verdicts, &more->verdicts);
	}
}

void engine_gather(struct engine *engine)
{
	if (engine->lane_count == 0)
		return;
	engine->gathered = engine->verdicts;
	for (unsigned i = 0; i < engine->lane_count; i++)
		verdicts_add(&engine->gathered, &engine->lane[i]->verdicts);
	for (struct peer *peer = engine->first; peer; peer = peer->next)
		gather_peer(peer);
}

void lanes_snapshot(const struct peer *peer, struct peer_snapshot *snapshot)
{
	const struct lane_counts *lanes;

	if (!peer->lanes)
		return;
	lanes = &peer->lanes->gathered;
	snapshot->packets_in += lanes->packets_in;
	snapshot->bytes_in += lanes->bytes_in;
	snapshot->packets_out += lanes->packets_out;
	snapshot->bytes_out += lanes->bytes_out;
	verdicts_add(&snapshot->verdicts, &lanes->verdicts);
}
