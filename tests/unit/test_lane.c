/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of three workers and a client of two, back to back on a wire that loses only what a test takes
 * away: lanes, and what goes between them and their engine.  Orders wait until settle(), as they would for
 * a thread to wake up; reports arrive at once, and are counted.
 */
#include "minivpn/lane.h"

#include "aead/backends.h"
#include "engine_state.h"
#include "lane_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX = 256, DATAGRAM_MAX = 2048, WORKERS = 3, FORGERIES = 5, REPORTS_MAX = 64 };

struct end {
	struct engine *engine;
	struct peer *peer;
	struct endpoint address;
	unsigned workers;
	struct lane_order *orders[WORKERS];
	bool at_once, full;
	unsigned reports[LANE_WORN_OUT + 1];
	struct told {
		struct lane_report report;
		size_t bytes;
		uint8_t room[ENVELOPE_HEAD_BYTES + DATAGRAM_MAX + ENVELOPE_TAIL_BYTES];
	} told[REPORTS_MAX];
	unsigned told_count;
	unsigned events[EVENT_KIND_COUNT];
	unsigned delivered, passed[WORKERS];
};

static struct end client, server;
static struct datagram {
	struct end *to;
	struct endpoint from;
	size_t bytes;
	uint8_t data[DATAGRAM_MAX];
} wire[WIRE_MAX];
static size_t wire_count;
static struct instant now;
static struct aead aead;

/* ---- hooks --------------------------------------------------------------------------------- */

static void hook_random(void *shell, uint8_t *bytes, size_t n)
{
	(void)shell;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(rand() >> 4);
}

static void *hook_allocate(void *shell, size_t bytes)
{
	void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

	(void)shell;
	memset(memory, 0, bytes);
	return memory;
}

static void hook_release(void *shell, void *memory)
{
	(void)shell;
	free(memory);
}

static void put_on_wire(struct end *from, const uint8_t *bytes, size_t size)
{
	struct datagram *d = &wire[wire_count++];

	assert_true(wire_count <= WIRE_MAX && size <= DATAGRAM_MAX);
	d->to = from == &client ? &server : &client;
	d->from = from->address;
	d->from.local = d->to->address.remote;
	d->bytes = size;
	memcpy(d->data, bytes, size);
}

static void hook_transmit(void *shell, const struct transmission *t)
{
	put_on_wire(shell, t->bytes, t->size);
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	struct end *end = shell;

	(void)packet;
	(void)bytes;
	end->delivered++;
}

static void hook_event(void *shell, const struct engine_event *event)
{
	((struct end *)shell)->events[event->kind]++;
}

static void follow(struct end *end, unsigned worker)
{
	struct lane_order *order;

	while ((order = end->orders[worker])) {
		end->orders[worker] = order->next;
		lane_execute(engine_lane(end->engine, worker), order);
		engine_order_done(end->engine, order);
	}
}

static void hook_order(void *shell, unsigned worker, struct lane_order *order)
{
	struct end *end = shell;
	struct lane_order **last = &end->orders[worker];

	assert_in_range(worker, 1, end->workers - 1);
	while (*last)
		last = &(*last)->next;
	order->next = NULL;
	*last = order;
	if (end->at_once)
		follow(end, worker);
}

static bool hook_report(void *shell, const struct lane_report *report, const uint8_t *bytes,
			size_t n)
{
	struct end *end = shell;
	struct told *told = &end->told[end->told_count];

	if (end->full || end->told_count == REPORTS_MAX)
		return false;
	end->reports[report->kind]++;
	end->told_count++;
	told->report = *report;
	told->bytes = n;
	if (n > 0)
		memcpy(told->room + ENVELOPE_HEAD_BYTES, bytes, n);
	return true;
}

/* ---- two ends ------------------------------------------------------------------------------ */

static void make_end(struct end *end, enum role role, unsigned workers, const char *address)
{
	const struct lane_hooks lane_hooks = { end, hook_report };
	struct psk psk = { { 1, 2, 3 } };
	struct engine_config config = {
		.hooks = { end, hook_random, hook_allocate, hook_release, hook_transmit,
			   hook_deliver, hook_event, hook_order },
		.role = role,
		.aead = &aead,
		.inner_mtu = INNER_MTU_OVER_IPV4,
		.workers = workers,
		.keepalive_ns = 10 * NS_PER_S,
	};
	struct prefix allowed;
	struct peer_config peer = { .psk = &psk, .allowed = &allowed, .allowed_count = 1 };

	memset(end, 0, sizeof(*end));
	end->workers = workers;
	assert_true(endpoint_parse(address, &end->address));
	end->engine = engine_create(&config, now);
	assert_non_null(end->engine);
	for (unsigned i = 1; i < workers; i++)
		lane_start(engine_lane(end->engine, i), &lane_hooks, NULL);
	assert_true(prefix_parse(role == ROLE_CLIENT ? "0.0.0.0/0" : "10.9.0.2/32", &allowed));
	if (role == ROLE_CLIENT)
		peer.endpoint = server.address;
	end->peer = engine_peer_add(end->engine, &peer, now);
	assert_non_null(end->peer);
}

static void settle(struct end *end)
{
	for (unsigned i = 0; i < end->told_count; i++)
		engine_report(end->engine, &end->told[i].report,
			      end->told[i].room + ENVELOPE_HEAD_BYTES, end->told[i].bytes, now);
	end->told_count = 0;
	engine_guide(end->engine);
	for (unsigned worker = 1; worker < end->workers; worker++)
		follow(end, worker);
}

static enum verdict take(struct end *end, unsigned worker, struct datagram *d)
{
	struct inbound in = { .datagram = d->data, .bytes = d->bytes, .from = &d->from };

	if (worker == 0)
		engine_inbound(end->engine, &in, 1, now);
	else
		lane_inbound(engine_lane(end->engine, worker), &in, 1, now);
	end->passed[worker] += in.verdict == VERDICT_PASS;
	return in.verdict;
}

static unsigned worker_of(const struct datagram *d)
{
	return spi_worker(wire_u32(d->data), d->to->workers);
}

static void deliver_all(void)
{
	for (size_t i = 0; i < wire_count; i++) {
		settle(wire[i].to);
		take(wire[i].to, worker_of(&wire[i]), &wire[i]);
		settle(wire[i].to);
	}
	wire_count = 0;
}

static void pass(unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		now = instant_after(now, NS_PER_MS);
		engine_tick(client.engine, now);
		engine_tick(server.engine, now);
		settle(&client);
		settle(&server);
		deliver_all();
	}
}

static enum verdict send_by(struct end *end, unsigned worker, size_t bytes, uint8_t source)
{
	static uint8_t room[DATAGRAM_MAX];
	uint8_t *packet = room + ENVELOPE_HEAD_BYTES;
	struct outbound out = { .inner = packet, .inner_bytes = bytes };
	const uint8_t header[] = { 0x45,
				   0,
				   (uint8_t)(bytes >> 8),
				   (uint8_t)bytes,
				   0,
				   0,
				   0x40,
				   0,
				   64,
				   17,
				   0,
				   0,
				   10,
				   9,
				   0,
				   source };

	memset(packet, 0, bytes);
	memcpy(packet, header, sizeof(header));
	memcpy(packet + 16, (uint8_t[]){ 10, 9, 0, end == &client ? 1 : 2 }, 4);
	if (worker == 0)
		engine_outbound(end->engine, &out, 1, now);
	else
		lane_outbound(engine_lane(end->engine, worker), &out, 1, now);
	if (out.verdict == VERDICT_PASS)
		put_on_wire(end, out.record, out.record_bytes);
	return out.verdict;
}

static enum verdict send_packet(struct end *end, unsigned worker, size_t bytes)
{
	return send_by(end, worker, bytes, end == &client ? 2 : 1);
}

static int start(void **state)
{
	(void)state;
	srand(1);
	now.ns = 1000 * NS_PER_S;
	wire_count = 0;
	aead = aead_sodium;
	aead.forgery_limit = FORGERIES;
	make_end(&server, ROLE_SERVER, WORKERS, "192.0.2.1:4500");
	make_end(&client, ROLE_CLIENT, 2, "192.0.2.2:40000");
	return 0;
}

/* Up, each worker with an SA of its own, and nothing to say. */
static int start_and_connect(void **state)
{
	start(state);
	pass(6500);
	assert_int_equal(client.peer->handshakes, 2);
	memset(server.reports, 0, sizeof(server.reports));
	memset(client.reports, 0, sizeof(client.reports));
	memset(server.passed, 0, sizeof(server.passed));
	memset(client.passed, 0, sizeof(client.passed));
	return 0;
}

static void end_one(struct end *end)
{
	for (unsigned worker = 1; worker < end->workers; worker++)
		follow(end, worker);
	end->at_once = true;
	engine_destroy(end->engine);
}

static int finish(void **state)
{
	(void)state;
	end_one(&client);
	end_one(&server);
	return 0;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void each_worker_has_an_sa_of_its_own(void **state)
{
	uint32_t spis[WORKERS];

	(void)state;
	for (unsigned w = 0; w < WORKERS; w++) {
		assert_int_equal(send_packet(&server, w, 100), VERDICT_PASS);
		spis[w] = wire_u32(wire[w].data);
		for (unsigned other = 0; other < w; other++)
			assert_int_not_equal(spis[w], spis[other]);
		assert_int_equal(spi_worker(spis[w], 2), w % 2);
		assert_true(endpoint_same_remote(&client.address, &server.peer->endpoint));
	}
	deliver_all();
	assert_int_equal(client.passed[0] + client.passed[1], 3);
	assert_true(client.passed[0] > 0 && client.passed[1] > 0);
	for (unsigned w = 0; w < 2; w++)
		assert_int_equal(send_packet(&client, w, 100), VERDICT_PASS);
	assert_int_not_equal(worker_of(&wire[0]), worker_of(&wire[1]));
	deliver_all();
	assert_int_equal(server.passed[0] + server.passed[1] + server.passed[2], 2);
}

static void what_lanes_counted_is_in_the_sum(void **state)
{
	struct peer_snapshot before, after;

	(void)state;
	engine_gather(server.engine);
	engine_snapshot(server.engine, server.peer, &before);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(send_packet(&server, i % WORKERS, 100), VERDICT_PASS);
	engine_gather(server.engine);
	engine_snapshot(server.engine, server.peer, &after);
	assert_int_equal(after.packets_out - before.packets_out, 12);
	assert_int_equal(after.bytes_out - before.bytes_out, 1200);
	assert_int_equal(engine_verdicts(server.engine)->count[VERDICT_PASS] -
				 before.verdicts.count[VERDICT_PASS],
			 12);
}

/* A datagram of the client for a lane of the server. */
static struct datagram for_a_lane(unsigned *ret_worker)
{
	struct datagram d;

	wire_count = 0;
	for (unsigned w = 0; w < 2; w++) {
		assert_int_equal(send_packet(&client, w, 100), VERDICT_PASS);
		d = wire[--wire_count];
		*ret_worker = worker_of(&d);
		if (*ret_worker > 0)
			return d;
	}
	fail();
	return d;
}

static void what_is_sent_twice_is_taken_once(void **state)
{
	struct datagram first, again, old;
	unsigned w;

	(void)state;
	first = again = for_a_lane(&w);
	assert_int_equal(take(&server, w, &first), VERDICT_PASS);
	first = again;
	assert_int_equal(take(&server, w, &first), VERDICT_REPLAYED);
	old = for_a_lane(&w);
	for (unsigned i = 0; i < REPLAY_WINDOW_BITS + 64; i++) {
		again = for_a_lane(&w);
		assert_int_equal(take(&server, w, &again), VERDICT_PASS);
	}
	assert_int_equal(take(&server, w, &old), VERDICT_REPLAYED);
}

static void twice_in_one_batch_is_taken_once(void **state)
{
	struct datagram one, two;
	struct inbound in[2];
	unsigned w;

	(void)state;
	one = two = for_a_lane(&w);
	in[0] = (struct inbound){ .datagram = one.data, .bytes = one.bytes, .from = &one.from };
	in[1] = (struct inbound){ .datagram = two.data, .bytes = two.bytes, .from = &two.from };
	lane_inbound(engine_lane(server.engine, w), in, 2, now);
	assert_int_equal(in[0].verdict, VERDICT_PASS);
	assert_int_equal(in[1].verdict, VERDICT_REPLAYED);
}

/* Nobody's, or that of another peer. */
static void a_source_that_is_not_the_peer_s(void **state)
{
	struct psk psk = { { 9, 9, 9 } };
	struct prefix allowed;
	struct peer_config other = { .psk = &psk, .allowed = &allowed, .allowed_count = 1 };

	(void)state;
	assert_true(prefix_parse("10.9.0.3/32", &allowed));
	assert_non_null(engine_peer_add(server.engine, &other, now));
	settle(&server);
	for (unsigned w = 0; w < 2; w++) {
		assert_int_equal(send_by(&client, w, 100, 77), VERDICT_PASS);
		assert_int_equal(send_by(&client, w, 100, 3), VERDICT_PASS);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(take(&server, worker_of(&wire[i]), &wire[i]),
				 VERDICT_WRONG_SOURCE);
}

static void what_is_another_s_is_handed_over(void **state)
{
	struct datagram d, stranger;
	unsigned w;

	(void)state;
	d = for_a_lane(&w);
	stranger = d;
	assert_int_equal(take(&server, 0, &d), VERDICT_HANDED_OVER);
	assert_int_equal(take(&server, 3 - w, &d), VERDICT_HANDED_OVER);
	assert_int_equal(take(&server, w, &d), VERDICT_PASS);
	stranger.data[0] ^= 0xff;
	assert_int_equal(take(&server, w, &stranger), VERDICT_UNKNOWN_SPI);
	assert_int_equal(take(&server, 0, &stranger), VERDICT_UNKNOWN_SPI);
	stranger.bytes = 3;
	assert_int_equal(take(&server, w, &stranger), VERDICT_HANDED_OVER);
	d.bytes = ENVELOPE_MIN_BYTES - 1;
	assert_int_equal(take(&server, w, &d), VERDICT_TRUNCATED);
}

static void a_client_takes_from_its_server_only(void **state)
{
	struct datagram d;

	(void)state;
	assert_int_equal(send_packet(&server, 1, 100), VERDICT_PASS);
	d = wire[--wire_count];
	assert_int_equal(worker_of(&d), 1);
	d.from.remote_port++;
	assert_int_equal(take(&client, 1, &d), VERDICT_WRONG_REMOTE);
	d.from.remote_port--;
	assert_int_equal(take(&client, 1, &d), VERDICT_PASS);
}

/* Of the client's first packets only data arrive, at a lane. */
static void data_promotes_a_session(void **state)
{
	struct datagram d;
	unsigned w = 0;

	(void)state;
	engine_tick(client.engine, now);
	settle(&client);
	assert_int_equal(wire_count, 1);
	deliver_all(); /* the Init; and there is the Response */
	assert_int_equal(server.events[EVENT_UP], 0);
	settle(&client);
	wire_count = 0;
	pass(0);
	engine_tick(client.engine, now);
	for (unsigned i = 0; i < 40 && !client.events[EVENT_UP]; i++) {
		now = instant_after(now, 10 * NS_PER_MS);
		engine_tick(client.engine, now); /* the Init again */
		for (size_t n = 0; n < wire_count; n++)
			take(wire[n].to, 0, &wire[n]);
		settle(&server);
		wire_count = wire_count > 1 ? wire_count : 0;
		for (size_t n = 0; n < wire_count; n++)
			if (wire[n].to == &client)
				take(&client, 0, &wire[n]);
		settle(&client);
		wire_count = 0;
	}
	assert_int_equal(client.events[EVENT_UP], 1);
	assert_int_equal(server.events[EVENT_UP], 0);
	settle(&server);
	d = for_a_lane(&w);
	assert_int_equal(take(&server, w, &d), VERDICT_PASS);
	assert_int_equal(server.events[EVENT_UP], 0);
	assert_int_equal(server.reports[LANE_HEARD], 1);
	settle(&server);
	assert_int_equal(server.events[EVENT_UP], 1);
	assert_true(wire_count > 0); /* whoever began waits to hear us */
	assert_int_equal(send_packet(&server, w, 100), w < 2 ? VERDICT_PASS : VERDICT_HANDED_OVER);
}

static void reports_are_for_moments(void **state)
{
	struct datagram d;
	unsigned w;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		now = instant_after(now, NS_PER_MS);
		d = for_a_lane(&w);
		assert_int_equal(take(&server, w, &d), VERDICT_PASS);
		settle(&server);
		settle(&client);
	}
	assert_in_range(server.reports[LANE_HEARD], 10, 21);
	assert_in_range(client.reports[LANE_SENT], 0, 21);
	assert_int_equal(server.reports[LANE_OUTBOUND] + server.reports[LANE_DUMMY], 0);
}

static void another_address_is_told_at_once_and_so_is_the_known_one(void **state)
{
	struct datagram d;
	unsigned w, before;

	(void)state;
	d = for_a_lane(&w);
	take(&server, w, &d);
	before = server.reports[LANE_HEARD];
	d = for_a_lane(&w);
	d.from.remote_port = 666;
	assert_int_equal(take(&server, w, &d), VERDICT_PASS);
	assert_int_equal(server.reports[LANE_HEARD], before + 1);
	d = for_a_lane(&w);
	take(&server, w, &d);
	assert_int_equal(server.reports[LANE_HEARD], before + 2);
	d = for_a_lane(&w);
	take(&server, w, &d);
	assert_int_equal(server.reports[LANE_HEARD], before + 2);
	settle(&server);
	pass(10);
	/* the copy from elsewhere was disproved: the endpoint stays, whatever answers come from there */
	assert_int_equal(server.peer->endpoint.remote_port, client.address.remote_port);
	assert_true(server.peer->candidate_spoiled);
}

static void a_client_that_moves_is_followed(void **state)
{
	struct datagram d;
	unsigned w;

	(void)state;
	assert_true(endpoint_parse("198.51.100.7:1234", &client.address));
	d = for_a_lane(&w);
	assert_int_equal(take(&server, w, &d), VERDICT_PASS);
	pass(3);
	assert_true(endpoint_same_remote(&server.peer->endpoint, &client.address));
	for (unsigned i = 0; i < WORKERS; i++) {
		struct outbound out;
		uint8_t room[256] = { 0 };

		memcpy(room + ENVELOPE_HEAD_BYTES,
		       (uint8_t[]){ 0x45, 0, 0,  20, 0, 0, 0,  0, 64, 17,
				    0,    0, 10, 9,  0, 1, 10, 9, 0,  2 },
		       20);
		out = (struct outbound){ .inner = room + ENVELOPE_HEAD_BYTES, .inner_bytes = 20 };
		if (i == 0)
			engine_outbound(server.engine, &out, 1, now);
		else
			lane_outbound(engine_lane(server.engine, i), &out, 1, now);
		assert_int_equal(out.verdict, VERDICT_PASS);
		assert_true(endpoint_same_remote(out.to, &client.address));
	}
}

static void a_peer_that_is_removed_is_gone_from_lanes(void **state)
{
	struct datagram d;
	unsigned w;

	(void)state;
	d = for_a_lane(&w);
	engine_peer_remove(server.engine, server.peer, CLOSE_KEY_REMOVED, now);
	/* A lane that has not yet heard of it uses what it still has. */
	assert_int_equal(take(&server, w, &d), VERDICT_PASS);
	d = for_a_lane(&w);
	settle(&server);
	assert_int_equal(take(&server, w, &d), VERDICT_UNKNOWN_SPI);
	assert_int_equal(send_packet(&server, w, 100), VERDICT_HANDED_OVER);
	settle(&server);
	assert_int_equal(engine_lane(server.engine, w)->spis.entries, 0);
	assert_int_equal(engine_lane(server.engine, w)->allowed.entries, 0);
}

static void prefixes_move_in_lanes_too(void **state)
{
	struct prefix other;
	struct datagram d;
	unsigned w;

	(void)state;
	assert_true(prefix_parse("10.9.0.3/32", &other));
	assert_int_equal(engine_peer_own(server.engine, server.peer, &other, 1), 0);
	settle(&server);
	d = for_a_lane(&w);
	assert_int_equal(take(&server, w, &d), VERDICT_WRONG_SOURCE);
	assert_int_equal(engine_lane(server.engine, w)->allowed.entries, 1);
}

static void what_has_no_session_waits_with_the_engine(void **state)
{
	(void)state;
	settle(&server);
	assert_int_equal(send_packet(&server, 1, 100), VERDICT_HANDED_OVER);
	settle(&server);
	assert_int_equal(server.peer->staged, 1);
	server.full = true;
	assert_int_equal(send_packet(&server, 1, 100), VERDICT_QUEUE_FULL);
	server.full = false;
	pass(5);
	assert_int_equal(server.peer->staged, 0);
	assert_int_equal(client.passed[0] + client.passed[1], 1);
}

static void what_is_too_large_is_answered_by_the_engine(void **state)
{
	(void)state;
	assert_int_equal(send_packet(&server, 1, 1400), VERDICT_PASS);
	engine_path_mtu(server.engine, &client.address.remote, 1300, now);
	assert_int_equal(send_packet(&server, 1, 1400), VERDICT_PASS); /* not yet heard */
	settle(&server);
	assert_int_equal(send_packet(&server, 1, 1400), VERDICT_HANDED_OVER);
	assert_int_equal(server.delivered, 0);
	settle(&server);
	assert_int_equal(server.delivered, 1); /* ICMP */
	assert_int_equal(send_packet(&server, 1, 1200), VERDICT_PASS);
}

static void forgeries_wear_a_session_out(void **state)
{
	struct datagram d, good;
	unsigned w;

	(void)state;
	for (unsigned i = 0; i < FORGERIES; i++) {
		d = for_a_lane(&w);
		d.data[40] ^= 1;
		assert_int_equal(take(&server, w, &d), VERDICT_FORGED);
	}
	good = for_a_lane(&w);
	assert_int_equal(take(&server, w, &good), VERDICT_EXPIRED);
	assert_int_equal(server.reports[LANE_WORN_OUT], 1);
	assert_int_equal(server.reports[LANE_HEARD], 0);
	settle(&server);
	assert_int_equal(send_packet(&server, w, 100), VERDICT_HANDED_OVER);
	pass(2000); /* a client does not answer so soon after it was answered itself */
	assert_int_equal(server.peer->handshakes, 3);
	assert_int_equal(send_packet(&server, w, 100), VERDICT_PASS);
}

static void numbers_come_to_an_end(void **state)
{
	struct lane_session *s;

	(void)state;
	s = client.peer->current->lane[0];
	s->next = REKEY_AFTER_PACKETS - 2;
	send_packet(&client, 1, 100);
	assert_int_equal(client.reports[LANE_USED], 0);
	send_packet(&client, 1, 100);
	assert_int_equal(client.reports[LANE_USED], 1);
	s->next = SEQUENCE_MAX;
	assert_int_equal(send_packet(&client, 1, 100), VERDICT_PASS);
	assert_int_equal(wire_u32(wire[wire_count - 1].data + 4), UINT32_MAX);
	assert_int_equal(send_packet(&client, 1, 100), VERDICT_HANDED_OVER);
	pass(6000);
	assert_int_equal(client.peer->handshakes, 3);
	assert_int_equal(send_packet(&client, 1, 100), VERDICT_PASS);
}

static void a_session_ends_in_a_lane_by_its_age(void **state)
{
	struct datagram d;
	unsigned w;

	(void)state;
	d = for_a_lane(&w);
	now = instant_after(server.peer->current->born, SENDING_LIFETIME);
	assert_int_equal(send_packet(&server, w, 100), VERDICT_HANDED_OVER);
	now = instant_after(server.peer->current->born, RECEIVING_LIFETIME);
	assert_int_equal(take(&server, w, &d), VERDICT_EXPIRED);
}

static uint32_t lane_spi;
static struct sa_key lane_key;

static void find_key(void *context, const struct engine_sa *sa)
{
	(void)context;
	if (!sa->inbound && sa->spi == lane_spi)
		lane_key = *sa->key;
}

/* Ours are for the first worker; those of others may come on any SA. */
static void a_message_that_comes_to_a_lane_is_the_engine_s(void **state)
{
	uint8_t room[ENVELOPE_HEAD_BYTES + IN_BAND_MAX_BYTES + ENVELOPE_TAIL_BYTES];
	struct in_band ping = { .has_ping = true, .ping = "12345678" };
	struct datagram d;
	struct sealing sealing;
	unsigned w;

	(void)state;
	d = for_a_lane(&w);
	lane_spi = wire_u32(d.data);
	engine_keylog(client.peer, find_key, NULL);
	for (unsigned broken = 0; broken < 2; broken++) {
		sealing = (struct sealing){
			.payload = room + ENVELOPE_HEAD_BYTES,
			.payload_bytes = in_band_build(&ping, room + ENVELOPE_HEAD_BYTES),
			.key = &lane_key,
			.spi = lane_spi,
			.sequence = 70000 + broken,
			.next_header = NEXT_HEADER_NONE,
		};
		if (broken)
			room[ENVELOPE_HEAD_BYTES] ^= 1;
		envelope_seal(&aead_sodium, NULL, &sealing, 1);
		memcpy(d.data, sealing.record, sealing.record_bytes);
		d.bytes = sealing.record_bytes;
		assert_int_equal(take(&server, w, &d), VERDICT_CONSUMED);
		assert_int_equal(server.reports[LANE_DUMMY], broken + 1);
		wire_count = 0;
		settle(&server);
		assert_int_equal(wire_count, broken ? 0 : 1); /* the Pong */
	}
	assert_int_equal(server.peer->verdicts.count[VERDICT_FOREIGN_DUMMY], 1);
}

/* One that knows of more SAs than it has workers has always the same for a peer. */
static void clients_of_one_worker_spread(void **state)
{
	struct engine engine = { .config.workers = 1 };
	struct peer peer = { .engine = &engine };
	static struct session session = { .out_count = 4, .out = { { 0 }, { 0 }, { 0 }, { 0 } } };
	const struct sa_out *out = session.out;
	unsigned hits[4] = { 0 };

	(void)state;
	session.peer = &peer;
	for (unsigned i = 0; i < 256; i++) {
		peer.spread = (uint8_t)i;
		hits[session_out(&session, 0) - out]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(hits[i], 64);
	engine.config.workers = 3;
	assert_true(session_out(&session, 1) == &out[1] && session_out(&session, 2) == &out[2]);
	session.out_count = 2;
	assert_null(session_out(&session, 2));
	session.peer = NULL;
}

static void spis_name_workers(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 16; workers++) {
		assert_int_equal(spi_worker(0, workers), 0);
		for (unsigned w = 0; w < workers; w++)
			assert_int_equal(spi_worker(0xabcdef00 | w, workers), w);
		assert_true(spi_worker(0xffffffff, workers) < workers);
	}
}

int main(void)
{
#define CONNECTED(test) cmocka_unit_test_setup_teardown(test, start_and_connect, finish)
	const struct CMUnitTest tests[] = {
		CONNECTED(each_worker_has_an_sa_of_its_own),
		CONNECTED(what_lanes_counted_is_in_the_sum),
		CONNECTED(what_is_sent_twice_is_taken_once),
		CONNECTED(twice_in_one_batch_is_taken_once),
		CONNECTED(a_source_that_is_not_the_peer_s),
		CONNECTED(what_is_another_s_is_handed_over),
		CONNECTED(a_client_takes_from_its_server_only),
		cmocka_unit_test_setup_teardown(data_promotes_a_session, start, finish),
		CONNECTED(reports_are_for_moments),
		CONNECTED(another_address_is_told_at_once_and_so_is_the_known_one),
		CONNECTED(a_client_that_moves_is_followed),
		CONNECTED(a_peer_that_is_removed_is_gone_from_lanes),
		CONNECTED(prefixes_move_in_lanes_too),
		cmocka_unit_test_setup_teardown(what_has_no_session_waits_with_the_engine, start,
						finish),
		CONNECTED(what_is_too_large_is_answered_by_the_engine),
		CONNECTED(forgeries_wear_a_session_out),
		CONNECTED(numbers_come_to_an_end),
		CONNECTED(a_session_ends_in_a_lane_by_its_age),
		CONNECTED(a_message_that_comes_to_a_lane_is_the_engine_s),
		cmocka_unit_test(clients_of_one_worker_spread),
		cmocka_unit_test(spis_name_workers),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
