/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two engines, back to back, on a wire that loses nothing: what must work before anything may go wrong.
 * The bad network is in tests/sim. */
#include "minivpn/engine.h"

#include "aead/backends.h"
#include "plain_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX = 512, DATAGRAM_MAX = 2048 };

struct end {
	struct engine *engine;
	struct peer *peer;
	struct endpoint address;
	unsigned events[EVENT_KIND_COUNT];
	struct payload configuration;
	uint8_t delivered[2048];
	size_t delivered_bytes;
};

static struct end client, server;
static struct datagram {
	struct end *to;
	struct endpoint from;
	size_t bytes;
	uint8_t data[DATAGRAM_MAX];
} wire[WIRE_MAX];
static size_t wire_first, wire_count;
static unsigned wire_limit; /* IP packets above this are lost without a word; 0 = none */
static struct instant now;

static void put_on_wire(struct end *from, const uint8_t *bytes, size_t size, bool df)
{
	struct datagram *d = &wire[(wire_first + wire_count) % WIRE_MAX];

	if (df && wire_limit && size + 28 > wire_limit)
		return;
	assert_true(wire_count++ < WIRE_MAX && size <= DATAGRAM_MAX);
	d->to = from == &client ? &server : &client;
	d->from.local = d->to->address.remote;
	d->from.remote = from->address.remote;
	d->from.remote_port = from->address.remote_port;
	d->bytes = size;
	memcpy(d->data, bytes, size);
}

static void hook_transmit(void *shell, const struct transmission *t)
{
	put_on_wire(shell, t->bytes, t->size, t->dont_fragment);
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	struct end *end = shell;

	memcpy(end->delivered, packet, bytes);
	end->delivered_bytes = bytes;
}

static void hook_event(void *shell, const struct engine_event *event)
{
	struct end *end = shell;

	end->events[event->kind]++;
	if (event->kind == EVENT_CONFIGURED)
		end->configuration = *event->configuration;
}

static void make_end(struct end *end, enum role role, const char *address, const struct psk *psk,
		     const struct payload *configuration)
{
	struct engine_config config = plain_engine(role, end);
	struct prefix allowed[2];
	struct peer_config peer = {
		.tag = end, .psk = psk, .allowed = allowed, .allowed_count = 2
	};

	config.hooks.transmit = hook_transmit;
	config.hooks.deliver = hook_deliver;
	config.hooks.event = hook_event;
	config.aead = &aead_sodium;
	config.configuration = configuration;
	memset(end, 0, sizeof(*end));
	assert_true(endpoint_parse(address, &end->address));
	end->engine = engine_create(&config, now);
	assert_non_null(end->engine);
	assert_true(prefix_parse(role == ROLE_CLIENT ? "0.0.0.0/0" : "10.9.0.2/32", &allowed[0]));
	assert_true(prefix_parse("::/0", &allowed[1]));
	if (role == ROLE_CLIENT) {
		peer.endpoint = server.address;
	} else {
		assert_true(prefix_parse("10.9.0.2/24", &peer.address[0]));
		peer.address_count = 1;
	}
	end->peer = engine_peer_add(end->engine, &peer, now);
	assert_non_null(end->peer);
}

static void deliver_all(void)
{
	while (wire_count > 0) {
		struct datagram *d = &wire[wire_first];
		struct inbound in = { .datagram = d->data, .bytes = d->bytes, .from = &d->from };

		wire_first = (wire_first + 1) % WIRE_MAX;
		wire_count--;
		engine_inbound(d->to->engine, &in, 1, now);
		if (in.verdict == VERDICT_PASS)
			hook_deliver(d->to, in.inner, in.inner_bytes);
	}
}

/* Let @ms pass, a millisecond at a time. */
static void pass(unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		now = instant_after(now, NS_PER_MS);
		engine_tick(client.engine, now);
		engine_tick(server.engine, now);
		deliver_all();
	}
}

static enum verdict send_from(struct end *end, size_t bytes, bool df)
{
	static uint8_t room[DATAGRAM_MAX];
	uint8_t *packet = room + ENVELOPE_HEAD_BYTES;
	struct outbound out = { .inner = packet, .inner_bytes = bytes };
	uint8_t to = end == &client ? 1 : 2, from = end == &client ? 2 : 1;

	memset(packet, 0, bytes);
	memcpy(packet,
	       (uint8_t[]){ 0x45,
			    0,
			    (uint8_t)(bytes >> 8),
			    (uint8_t)bytes,
			    0,
			    0,
			    df ? 0x40 : 0,
			    0,
			    64,
			    17,
			    0,
			    0,
			    10,
			    9,
			    0,
			    from,
			    10,
			    9,
			    0,
			    to },
	       20);
	engine_outbound(end->engine, &out, 1, now);
	if (out.verdict == VERDICT_PASS)
		put_on_wire(end, out.record, out.record_bytes, true);
	return out.verdict;
}

static int set_up(void **state)
{
	static struct payload configuration;
	struct psk psk = { { 1, 2, 3 } };

	(void)state;
	srand(1);
	now.ns = NS_PER_S;
	wire_first = wire_count = 0;
	wire_limit = 0;
	assert_true(prefix_parse("0.0.0.0/0", &configuration.route[0]));
	configuration.route_count = 1;
	make_end(&server, ROLE_SERVER, "192.0.2.1:4500", &psk, &configuration);
	make_end(&client, ROLE_CLIENT, "192.0.2.2:40000", &psk, NULL);
	return 0;
}

/* The same among so many other peers that what a batch needs is asked for before (pipeline.h). */
static int set_up_in_a_crowd(void **state)
{
	struct psk psk = { { 8 } };
	struct prefix allowed;
	struct peer_config config = { .psk = &psk, .allowed = &allowed, .allowed_count = 1 };

	set_up(state);
	assert_true(prefix_parse("10.77.0.0/32", &allowed));
	for (psk.b[1] = 0; psk.b[1] < 200; psk.b[1]++) {
		allowed.address.b[15] = psk.b[1];
		assert_non_null(engine_peer_add(server.engine, &config, now));
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	engine_destroy(client.engine);
	engine_destroy(server.engine);
	return 0;
}

static void comes_up_in_one_round_trip(void **state)
{
	struct peer_snapshot s;

	(void)state;
	pass(2);
	assert_int_equal(client.events[EVENT_UP], 1);
	assert_int_equal(server.events[EVENT_UP], 1);
	assert_int_equal(client.events[EVENT_CONFIGURED], 1);
	assert_int_equal(client.configuration.address_count, 1);
	assert_int_equal(client.configuration.route_count, 1);
	engine_snapshot(server.engine, server.peer, &s);
	assert_true(s.up && endpoint_same_remote(&s.endpoint, &client.address));
	pass(50);
	engine_snapshot(server.engine, server.peer, &s);
	assert_true(s.path_proven);
	assert_string_equal(s.software, "minivpn test");
	engine_snapshot(client.engine, client.peer, &s);
	assert_true(s.path_proven);
	assert_string_equal(s.software, "minivpn test");
}

static void packets_pass_both_ways(void **state)
{
	(void)state;
	assert_int_equal(send_from(&client, 100, true), VERDICT_STAGED);
	pass(2);
	assert_int_equal(server.delivered_bytes, 100);
	assert_int_equal(send_from(&server, INNER_MTU_OVER_IPV4, true), VERDICT_PASS);
	pass(1);
	assert_int_equal(client.delivered_bytes, INNER_MTU_OVER_IPV4);
	assert_int_equal(send_from(&client, 20, true), VERDICT_PASS);
	pass(1);
	assert_int_equal(server.delivered_bytes, 20);
}

static void rekeys_without_losing_a_packet(void **state)
{
	unsigned long sent = 0;
	struct peer_snapshot s, c;

	(void)state;
	pass(10);
	for (unsigned second = 0; second < 1800; second++) {
		for (unsigned i = 0; i < 10; i++) {
			assert_int_equal(send_from(&client, 64, true), VERDICT_PASS);
			assert_int_equal(send_from(&server, 64, true), VERDICT_PASS);
			sent++;
			pass(100);
		}
	}
	engine_snapshot(server.engine, server.peer, &s);
	engine_snapshot(client.engine, client.peer, &c);
	assert_int_equal(s.packets_in, sent);
	assert_int_equal(c.packets_in, sent);
	assert_in_range(c.handshakes, 1800 / 120, 1800 / 110 + 2);
	assert_int_equal(client.events[EVENT_UP], 1);
	assert_int_equal(client.events[EVENT_DOWN] + server.events[EVENT_DOWN], 0);
}

static void restarted_client_is_back_at_once(void **state)
{
	struct psk psk = { { 1, 2, 3 } };

	(void)state;
	pass(10);
	engine_destroy(client.engine);
	make_end(&client, ROLE_CLIENT, "192.0.2.2:40001", &psk, NULL);
	pass(10);
	assert_int_equal(client.events[EVENT_UP], 1);
	send_from(&server, 99, true);
	pass(1);
	assert_int_equal(client.delivered_bytes, 99);
}

static void moved_client_is_followed(void **state)
{
	struct peer_snapshot s;

	(void)state;
	pass(10);
	assert_true(endpoint_parse("198.51.100.7:1234", &client.address));
	assert_int_equal(send_from(&client, 64, true), VERDICT_PASS);
	pass(3);
	engine_snapshot(server.engine, server.peer, &s);
	assert_true(endpoint_same_remote(&s.endpoint, &client.address));
	assert_int_equal(server.events[EVENT_ENDPOINT], 2);
}

static void close_ends_it(void **state)
{
	(void)state;
	pass(10);
	engine_stop(client.engine, CLOSE_STOPPING, now);
	pass(2);
	assert_int_equal(server.events[EVENT_DOWN], 1);
	assert_int_equal(send_from(&server, 64, true), VERDICT_STAGED);
}

static void narrow_path_is_found_without_icmp(void **state)
{
	struct peer_snapshot s;

	(void)state;
	wire_limit = 1400;
	pass(1700);
	engine_snapshot(server.engine, server.peer, &s);
	assert_true(s.path_proven);
	assert_int_equal(s.inner_mtu, envelope_inner_max(1400 - 28));
	assert_int_equal(send_from(&server, s.inner_mtu, true), VERDICT_PASS);
	pass(1);
	assert_int_equal(client.delivered_bytes, s.inner_mtu);

	/* with DF the sender is told, without it the packet goes in pieces */
	assert_int_equal(send_from(&server, s.inner_mtu + 1, true), VERDICT_TOO_BIG);
	assert_int_equal(server.delivered[9], 1);
	assert_int_equal(server.delivered[20], 3);
	assert_int_equal(server.delivered[21], 4);
	assert_int_equal(server.delivered[26] << 8 | server.delivered[27], s.inner_mtu);
	assert_int_equal(send_from(&server, s.inner_mtu + 1, false), VERDICT_CONSUMED);
	client.delivered_bytes = 0;
	pass(1);
	assert_true(client.delivered_bytes > 0 && client.delivered_bytes < 100);

	/* and once the path has widened, that is found within ten minutes */
	wire_limit = 0;
	pass(610 * 1000);
	engine_snapshot(server.engine, server.peer, &s);
	assert_int_equal(s.inner_mtu, INNER_MTU_OVER_IPV4);
}

/* IPv6 asks for 1280 bytes of every path.  They pass, in an envelope that may be cut; more is told. */
static void narrow_path_carries_the_least_of_ipv6(void **state)
{
	static uint8_t room[DATAGRAM_MAX];
	uint8_t *packet = room + ENVELOPE_HEAD_BYTES;
	struct outbound out = { .inner = packet, .inner_bytes = 1280 };

	(void)state;
	wire_limit = 1300;
	pass(1700);
	memcpy(packet, (uint8_t[]){ 0x60, 0, 0, 0, (1280 - 40) >> 8, (1280 - 40) & 0xff, 17, 64 },
	       8);
	packet[8] = packet[24] = 0xfd;
	engine_outbound(client.engine, &out, 1, now);
	assert_int_equal(out.verdict, VERDICT_CONSUMED);
	pass(1);
	assert_int_equal(server.delivered_bytes, 1280);

	out.inner_bytes = 1281;
	packet[5]++;
	engine_outbound(client.engine, &out, 1, now);
	assert_int_equal(out.verdict, VERDICT_TOO_BIG);
	assert_int_equal(client.delivered[40], 2);
	assert_int_equal(client.delivered[46] << 8 | client.delivered[47], 1280);
}

static void wrong_key_gets_silence(void **state)
{
	struct psk other = { { 9 } };

	(void)state;
	engine_destroy(client.engine);
	make_end(&client, ROLE_CLIENT, "192.0.2.2:40000", &other, NULL);
	pass(12000);
	assert_int_equal(client.events[EVENT_UP], 0);
	assert_int_equal(client.events[EVENT_ATTEMPT_FAILED], 2);
	assert_true(server.events[EVENT_UNKNOWN_KEY] > 0);
	assert_int_equal(engine_verdicts(client.engine)->count[VERDICT_CONSUMED], 0);
}

static void replayed_and_forged_packets_are_dropped(void **state)
{
	struct datagram copy;
	struct inbound in = { .from = &copy.from };

	(void)state;
	pass(10);
	send_from(&client, 64, true);
	copy = wire[wire_first];
	pass(1);
	in.datagram = copy.data;
	in.bytes = copy.bytes;
	engine_inbound(server.engine, &in, 1, now);
	assert_int_equal(in.verdict, VERDICT_REPLAYED);
	send_from(&client, 64, true);
	wire[wire_first].data[30] ^= 1;
	copy = wire[wire_first];
	engine_inbound(server.engine, &in, 1, now);
	assert_int_equal(in.verdict, VERDICT_FORGED);
}

/* While there is no session the newest 128 packets wait, and none of them for longer than 30 s. */
static void packets_wait_in_bounds(void **state)
{
	struct peer_snapshot s;

	(void)state;
	for (unsigned i = 0; i < ENGINE_STAGED_MAX + 5; i++)
		assert_int_equal(send_from(&client, 100 + i, true), VERDICT_STAGED);
	assert_int_equal(engine_verdicts(client.engine)->count[VERDICT_QUEUE_FULL], 5);
	pass(2);
	engine_snapshot(server.engine, server.peer, &s);
	assert_int_equal(s.packets_in, ENGINE_STAGED_MAX);
	assert_int_equal(server.delivered_bytes, 100 + ENGINE_STAGED_MAX + 4);

	engine_stop(client.engine, CLOSE_STOPPING, now);
	pass(2);
	assert_int_equal(send_from(&server, 64, true), VERDICT_STAGED);
	now = instant_after(now, 31 * NS_PER_S);
	pass(1);
	engine_snapshot(server.engine, server.peer, &s);
	assert_int_equal(s.staged, 0);
	assert_int_equal(engine_verdicts(server.engine)->count[VERDICT_NO_SESSION], 1);
}

/* An Init that nobody's engine sent, from an address and port with this @number. */
static void give_init(const struct psk *psk, uint8_t number, const struct cookie *cookie,
		      struct attempt *ret_attempt)
{
	struct payload offer = { .spi = { 1000u + number }, .spi_count = 1 };
	struct handshake_keys keys;
	uint8_t message[INIT_BYTES], secret[EPHEMERAL_BYTES];
	struct endpoint from = client.address;
	struct inbound in = { .datagram = message, .bytes = sizeof(message), .from = &from };

	from.remote.b[15] = number;
	from.remote_port = number;
	plain_random(NULL, secret, sizeof(secret));
	handshake_keys_derive(psk, &keys, NULL);
	init_create(ret_attempt, &keys, cookie, &offer, secret, message);
	engine_inbound(server.engine, &in, 1, now);
}

/* Many Inits in a second: those who prove their address are answered, the others are asked to. */
static void proof_is_asked_for_under_load(void **state)
{
	enum { PEERS = 210, ANSWERED = 201 };
	struct handshake_keys keys;
	struct attempt attempt;
	struct cookie cookie;
	struct psk psk = { { 7 } };

	(void)state;
	now = instant_after(now, NS_PER_S);
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer_config config = { .psk = &psk };

		psk.b[1] = (uint8_t)i;
		assert_non_null(engine_peer_add(server.engine, &config, now));
		wire_first = wire_count = 0;
		give_init(&psk, (uint8_t)(1 + i), NULL, &attempt);
		assert_int_equal(wire_count, 1);
		assert_int_equal(wire[0].data[4], i < ANSWERED ? CONTROL_RESPONSE : CONTROL_RETRY);
	}
	handshake_keys_derive(&psk, &keys, NULL);
	assert_true(retry_consume(&keys, attempt.ephemeral, wire[0].data, &cookie));
	wire_first = wire_count = 0;
	give_init(&psk, PEERS, &cookie, &attempt);
	assert_int_equal(wire_count, 1);
	assert_int_equal(wire[0].data[4], CONTROL_RESPONSE);
	wire_count = 0;
}

/* Inits that fit no key, until no more is searched for this address in this second. */
static void use_up_searches(uint8_t number)
{
	struct attempt attempt;

	for (unsigned i = 0; i < 20; i++)
		give_init(&(struct psk){ { 9 } }, number, NULL, &attempt);
	assert_int_equal(engine_verdicts(server.engine)->count[VERDICT_OVERLOAD], 0);
	give_init(&(struct psk){ { 9 } }, number, NULL, &attempt);
	assert_int_equal(engine_verdicts(server.engine)->count[VERDICT_OVERLOAD], 1);
	wire_first = wire_count = 0;
}

/* Whoever is where he was needs no search, however many others there are in his network. */
static void neighbours_are_told_apart(void **state)
{
	enum { PEERS = 100 };
	struct attempt attempt;

	(void)state;
	for (unsigned i = 0; i < PEERS; i++) {
		struct psk psk = { { 7, (uint8_t)i } };
		struct peer_config config = { .psk = &psk, .endpoint = client.address };

		config.endpoint.remote.b[15] = (uint8_t)(100 + i);
		assert_non_null(engine_peer_add(server.engine, &config, now));
	}
	use_up_searches(100);
	give_init(&(struct psk){ { 7, 0 } }, 100, NULL, &attempt);
	assert_int_equal(wire_count, 1);
	assert_int_equal(wire[0].data[4], CONTROL_RESPONSE);
	wire_count = 0;
}

/* Nor whoever is new and was asked to prove his address. */
static void who_follows_a_retry_is_expected(void **state)
{
	enum { PEERS = 202 };
	struct handshake_keys keys;
	struct attempt attempt;
	struct cookie cookie;
	struct psk psk = { { 7 } };

	(void)state;
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer_config config = { .psk = &psk };

		psk.b[1] = (uint8_t)i;
		assert_non_null(engine_peer_add(server.engine, &config, now));
		wire_first = wire_count = 0;
		give_init(&psk, (uint8_t)(1 + i), NULL, &attempt);
	}
	handshake_keys_derive(&psk, &keys, NULL);
	assert_true(retry_consume(&keys, attempt.ephemeral, wire[0].data, &cookie));
	now = instant_after(now, NS_PER_S);
	use_up_searches(PEERS);
	give_init(&psk, PEERS, &cookie, &attempt);
	assert_int_equal(wire_count, 1);
	assert_int_equal(wire[0].data[4], CONTROL_RESPONSE);
	wire_count = 0;
}

/* Whatever comes in one batch: what names no session, is short, or is no packet of IP. */
static void a_batch_of_nonsense(void **state)
{
	static uint8_t bytes[40][ENVELOPE_HEAD_BYTES + 64 + ENVELOPE_TAIL_BYTES];
	struct outbound out[40];
	struct inbound in[40];

	(void)state;
	send_from(&client, 100, true);
	pass(2);
	assert_int_equal(server.delivered_bytes, 100);
	for (size_t i = 0; i < 40; i++) {
		plain_random(NULL, bytes[i], sizeof(bytes[i]));
		in[i] = (struct inbound){ .datagram = bytes[i],
					  .bytes = i + 1,
					  .from = &client.address };
	}
	engine_inbound(server.engine, in, 40, now);
	for (size_t i = 0; i < 40; i++)
		assert_int_not_equal(in[i].verdict, VERDICT_PASS);
	for (size_t i = 0; i < 40; i++) {
		uint8_t *packet = bytes[i] + ENVELOPE_HEAD_BYTES;

		packet[0] = (uint8_t)(i << 4);
		out[i] = (struct outbound){ .inner = packet, .inner_bytes = i };
	}
	engine_outbound(server.engine, out, 40, now);
	for (size_t i = 0; i < 40; i++)
		assert_int_not_equal(out[i].verdict, VERDICT_PASS);
	assert_int_equal(send_from(&client, 64, true), VERDICT_PASS);
	pass(1);
	assert_int_equal(server.delivered_bytes, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "packets_pass_both_ways, in a crowd", packets_pass_both_ways, set_up_in_a_crowd,
		  tear_down, NULL },
		{ "replayed_and_forged_packets_are_dropped, in a crowd",
		  replayed_and_forged_packets_are_dropped, set_up_in_a_crowd, tear_down, NULL },
		{ "restarted_client_is_back_at_once, in a crowd", restarted_client_is_back_at_once,
		  set_up_in_a_crowd, tear_down, NULL },
		cmocka_unit_test_setup_teardown(a_batch_of_nonsense, set_up_in_a_crowd, tear_down),
		cmocka_unit_test_setup_teardown(packets_wait_in_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(proof_is_asked_for_under_load, set_up, tear_down),
		cmocka_unit_test_setup_teardown(neighbours_are_told_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_follows_a_retry_is_expected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(comes_up_in_one_round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(packets_pass_both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rekeys_without_losing_a_packet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(restarted_client_is_back_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(moved_client_is_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(close_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(narrow_path_is_found_without_icmp, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(narrow_path_carries_the_least_of_ipv6, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(wrong_key_gets_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replayed_and_forged_packets_are_dropped, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
