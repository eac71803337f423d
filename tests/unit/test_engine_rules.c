/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One engine, and at the other end a puppet that does what an engine of ours would not: refuse, be deaf
 * to in-band messages, answer late, ask at the wrong moment.  Each test is a rule of docs/protocol.md.
 */
#include "minivpn/engine.h"
#include "minivpn/wire.h"

#include "aead/backends.h"
#include "plain_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SENT_MAX = 256, PUPPET_SPI = 0x01020304, FORGERIES = 5 };

/* ---- the engine and what it does ----------------------------------------------------------- */

static struct engine *engine;
static struct peer *peer;
static struct instant now;
static struct aead aead;
static bool copy_dscp;
static uint32_t search_ns;
static unsigned events[EVENT_KIND_COUNT];
static struct engine_event last_event;
static struct endpoint here, there, elsewhere; /* the engine, the puppet, neither */
static const struct psk psk = { { 5, 4, 3 } };

static struct sent {
	struct endpoint to;
	uint8_t tos;
	size_t bytes;
	uint8_t data[2048];
} sent[SENT_MAX];
static unsigned sent_count;

static void hook_transmit(void *shell, const struct transmission *t)
{
	struct sent *s = &sent[sent_count++];

	(void)shell;
	assert_true(sent_count <= SENT_MAX && t->size <= sizeof(s->data));
	s->to = *t->to;
	s->tos = t->tos;
	s->bytes = t->size;
	memcpy(s->data, t->bytes, t->size);
}

static void hook_event(void *shell, const struct engine_event *event)
{
	(void)shell;
	events[event->kind]++;
	last_event = *event;
}

static struct peer *add_peer(const struct psk *key, const char *allowed, struct endpoint endpoint)
{
	struct prefix prefix;
	struct peer_config config = {
		.psk = key, .allowed = &prefix, .allowed_count = 1, .endpoint = endpoint
	};

	assert_true(prefix_parse(allowed, &prefix));
	return engine_peer_add(engine, &config, now);
}

static void begin(enum role role)
{
	struct engine_config config = plain_engine(role, NULL);

	srand(1);
	aead = aead_sodium;
	aead.forgery_limit = FORGERIES;
	now.ns = 1000 * NS_PER_S;
	sent_count = 0;
	memset(events, 0, sizeof(events));
	assert_true(endpoint_parse("192.0.2.1:4500", &here));
	assert_true(endpoint_parse("198.51.100.1:4500", &there));
	assert_true(endpoint_parse("203.0.113.1:4500", &elsewhere));
	config.hooks.transmit = hook_transmit;
	config.hooks.event = hook_event;
	config.aead = &aead;
	config.copy_dscp = copy_dscp;
	config.search_ns = search_ns;
	engine = engine_create(&config, now);
	peer = add_peer(&psk, "0.0.0.0/0", role == ROLE_CLIENT ? there : (struct endpoint){ 0 });
}

static int as_client(void **state)
{
	(void)state;
	begin(ROLE_CLIENT);
	return 0;
}

static int as_slow_server(void **state)
{
	(void)state;
	search_ns = (uint32_t)NS_PER_S; /* a millisecond for each key */
	begin(ROLE_SERVER);
	search_ns = 0;
	return 0;
}

static int as_client_that_copies_dscp(void **state)
{
	copy_dscp = true;
	as_client(state);
	copy_dscp = false;
	return 0;
}

static int as_server(void **state)
{
	(void)state;
	begin(ROLE_SERVER);
	return 0;
}

static int end(void **state)
{
	(void)state;
	engine_destroy(engine);
	return 0;
}

static void pass(int64_t ms)
{
	struct instant until = instant_after(now, ms * NS_PER_MS);

	while (engine_deadline(engine).ns <= until.ns) {
		if (engine_deadline(engine).ns > now.ns)
			now = engine_deadline(engine);
		engine_tick(engine, now);
	}
	now = until;
}

static enum verdict give_from(const struct endpoint *from, uint8_t *bytes, size_t n)
{
	struct inbound in = { .datagram = bytes, .bytes = n, .from = from };

	engine_inbound(engine, &in, 1, now);
	return in.verdict;
}

static enum verdict give(uint8_t *bytes, size_t n)
{
	return give_from(&there, bytes, n);
}

static enum verdict send_packet(const char *to)
{
	static uint8_t room[256];
	uint8_t *packet = room + ENVELOPE_HEAD_BYTES;
	struct outbound out = { .inner = packet, .inner_bytes = 64 };
	struct prefix destination;

	assert_true(prefix_parse(to, &destination));
	memset(packet, 0, 64);
	packet[0] = 0x45;
	packet[3] = 64;
	memcpy(packet + 16, destination.address.b + 12, 4);
	engine_outbound(engine, &out, 1, now);
	return out.verdict;
}

static struct peer_snapshot snapshot(void)
{
	struct peer_snapshot s;

	engine_snapshot(engine, peer, &s);
	return s;
}

/* How many Inits it has sent. */
static unsigned inits(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sent_count; i++)
		n += control_classify(sent[i].data, sent[i].bytes) == CONTROL_INIT;
	return n;
}

static struct sent *last_sent(void)
{
	assert_true(sent_count > 0);
	return &sent[sent_count - 1];
}

/* ---- the puppet ---------------------------------------------------------------------------- */

/**
 * struct half - its half of a session
 * @spi:      on which it receives
 * @peer_spi: on which the engine does
 */
struct half {
	uint32_t spi, peer_spi, sequence;
	struct sa_key in, out;
};

static void half_begin(struct half *h, const uint8_t k_in[32], const uint8_t k_out[32],
		       uint32_t spi, uint32_t peer_spi)
{
	*h = (struct half){ .spi = spi, .peer_spi = peer_spi };
	sa_key_derive(k_in, 0, spi, &h->in);
	sa_key_derive(k_out, 0, peer_spi, &h->out);
}

static struct payload usual(uint32_t spi)
{
	return (struct payload){ .spi = { spi },
				 .spi_count = 1,
				 .mtu = 1438,
				 .workers = 1,
				 .flags = PAYLOAD_FLAG_HEARS_IN_BAND,
				 .version = 1 };
}

static struct handshake_keys keys_of(enum role initiator)
{
	struct handshake_keys by_client, by_server;

	handshake_keys_derive(&psk, &by_client, &by_server);
	return initiator == ROLE_CLIENT ? by_client : by_server;
}

/* The puppet answers the newest Init with @answer. */
static size_t make_response(enum role initiator, const struct payload *answer,
			    struct half *ret_half, uint8_t ret_message[RESPONSE_MAX_BYTES])
{
	struct handshake_keys keys = keys_of(initiator);
	struct responder responder;
	struct split_keys split;
	uint8_t secret[EPHEMERAL_BYTES];
	uint32_t spi;
	size_t bytes;
	unsigned i = sent_count;

	while (control_classify(sent[i - 1].data, sent[i - 1].bytes) != CONTROL_INIT)
		i--;
	assert_int_equal(init_open(&responder, &keys, sent[i - 1].data), VERDICT_PASS);
	spi = responder.offer.spi[0];
	plain_random(NULL, secret, sizeof(secret));
	assert_int_equal(response_create(&responder, sent[i - 1].data, answer, secret, ret_message,
					 &bytes, &split),
			 VERDICT_PASS);
	half_begin(ret_half, split.k1, split.k2, answer->spi[0], spi);
	return bytes;
}

static enum verdict answer_client(const struct payload *answer, struct half *ret_half)
{
	uint8_t message[RESPONSE_MAX_BYTES];
	size_t bytes = make_response(ROLE_CLIENT, answer, ret_half, message);

	return give(message, bytes);
}

/* The puppet begins a handshake, and takes the Response if there is one. */
static enum verdict ask(enum role role, const struct payload *offer, const struct endpoint *from,
			struct half *ret_half)
{
	struct handshake_keys keys = keys_of(role);
	struct attempt attempt;
	struct split_keys split;
	struct payload told;
	uint8_t message[INIT_BYTES], secret[EPHEMERAL_BYTES];
	unsigned before = sent_count;
	enum verdict verdict;

	plain_random(NULL, secret, sizeof(secret));
	init_create(&attempt, &keys, NULL, offer, secret, message);
	verdict = give_from(from, message, sizeof(message));
	if (sent_count == before)
		return verdict;
	assert_int_equal(response_consume(&attempt, last_sent()->data, last_sent()->bytes,
					  role == ROLE_CLIENT, &told, &split),
			 VERDICT_PASS);
	half_begin(ret_half, split.k2, split.k1, offer->spi[0], told.spi[0]);
	return verdict;
}

static enum verdict say_from(struct half *h, const struct endpoint *from,
			     const struct in_band *message)
{
	uint8_t room[ENVELOPE_HEAD_BYTES + IN_BAND_MAX_BYTES + ENVELOPE_TAIL_BYTES];
	struct sealing sealing = { .payload = room + ENVELOPE_HEAD_BYTES,
				   .key = &h->out,
				   .spi = h->peer_spi,
				   .sequence = ++h->sequence,
				   .next_header = NEXT_HEADER_NONE };

	if (message)
		sealing.payload_bytes = in_band_build(message, sealing.payload);
	envelope_seal(&aead_sodium, NULL, &sealing, 1);
	return give_from(from, sealing.record, sealing.record_bytes);
}

static enum verdict say(struct half *h, const struct in_band *message)
{
	return say_from(h, &there, message);
}

/* How many in-band messages of this session lie in what was sent from @first on; the last of them. */
static unsigned heard(const struct half *h, unsigned first, struct in_band *ret_last)
{
	unsigned n = 0;

	for (unsigned i = first; i < sent_count; i++) {
		struct sent copy = sent[i];
		struct opening opening = { .record = copy.data,
					   .record_bytes = copy.bytes,
					   .key = &h->in };

		if (copy.bytes < ENVELOPE_MIN_BYTES)
			continue;
		envelope_open(&aead_sodium, NULL, &opening, 1);
		if (opening.verdict != VERDICT_PASS || opening.next_header != NEXT_HEADER_NONE)
			continue;
		assert_int_equal(in_band_parse(opening.payload, opening.payload_bytes, ret_last),
				 VERDICT_CONSUMED);
		n++;
	}
	return n;
}

/* The client under test gets its first session. */
static void bring_up_client(struct half *ret_half)
{
	struct payload answer = usual(PUPPET_SPI);

	pass(1);
	assert_int_equal(answer_client(&answer, ret_half), VERDICT_CONSUMED);
	assert_int_equal(say(ret_half, NULL), VERDICT_CONSUMED);
	pass(2000);
}

/* ---- the rules ----------------------------------------------------------------------------- */

/* Section 3, "client wins". */
static void client_wins(void **state)
{
	const struct in_band please = { .rekey_please = true };
	struct payload offer = usual(77777), answer = usual(88888);
	struct half first, servers, clients, none;

	(void)state;
	pass(1);
	assert_int_equal(ask(ROLE_SERVER, &offer, &there, &none), VERDICT_UNWANTED_INIT);
	answer.spi[0] = 99999;
	assert_int_equal(answer_client(&answer, &first), VERDICT_CONSUMED);
	assert_int_equal(say(&first, NULL), VERDICT_CONSUMED);
	pass(1900);
	assert_int_equal(ask(ROLE_SERVER, &offer, &there, &none), VERDICT_UNWANTED_INIT);
	pass(8000);
	say(&first, NULL);

	/* now it answers; but while that is pending it asks itself, and takes its own Response */
	assert_int_equal(ask(ROLE_SERVER, &offer, &there, &servers), VERDICT_CONSUMED);
	assert_int_equal(say(&first, &please), VERDICT_CONSUMED);
	pass(1);
	assert_int_equal(inits() > 1, 1);
	offer.spi[0]++;
	assert_int_equal(ask(ROLE_SERVER, &offer, &there, &none), VERDICT_UNWANTED_INIT);
	answer.spi[0] = 88888;
	assert_int_equal(answer_client(&answer, &clients), VERDICT_CONSUMED);
	assert_int_equal(snapshot().session_spi, clients.peer_spi);
	assert_int_equal(say(&servers, NULL), VERDICT_CONSUMED);
	assert_int_equal(snapshot().session_spi, clients.peer_spi);
}

/* Section 5: a refusal is believed for 30 s. */
static void refusal_is_respected(void **state)
{
	struct payload answer = { .refusal = REFUSAL_FULL };
	struct half none;
	unsigned before;

	(void)state;
	pass(1);
	assert_int_equal(answer_client(&answer, &none), VERDICT_REFUSED);
	assert_int_equal(events[EVENT_REFUSED], 1);
	assert_int_equal(last_event.refusal, REFUSAL_FULL);
	before = inits();
	send_packet("10.0.0.1");
	pass(29900);
	assert_int_equal(inits(), before);
	pass(200);
	assert_int_equal(inits(), before + 1);
}

/* Section 5: the sender of a critical item that we do not know is told so, once. */
static void unknown_critical_item_is_refused(void **state)
{
	static const uint8_t items[INIT_PAYLOAD_BYTES] = { 0x81, 4, 0, 0, 9, 9, 0x85, 1, 7 };
	struct handshake_keys keys = keys_of(ROLE_CLIENT);
	uint8_t message[INIT_BYTES], secret[EPHEMERAL_BYTES] = { 1 };
	struct attempt attempt;
	struct split_keys split;
	struct payload told;

	(void)state;
	init_seal(&attempt, &keys, NULL, items, 0x909, secret, message);
	assert_int_equal(give(message, sizeof(message)), VERDICT_UNKNOWN_ITEM);
	assert_int_equal(sent_count, 1);
	assert_int_equal(
		response_consume(&attempt, sent[0].data, sent[0].bytes, true, &told, &split),
		VERDICT_PASS);
	assert_int_equal(told.refusal, REFUSAL_UNKNOWN_ITEM);
	assert_int_equal(told.refusal_detail, 0x85);
	assert_int_equal(give(message, sizeof(message)), VERDICT_DUPLICATE_INIT);
	assert_int_equal(sent_count, 1);
}

/* What any stranger can send: it fits no key, and differs each time. */
static enum verdict give_nonsense(const struct endpoint *from)
{
	static uint64_t number;
	uint8_t message[INIT_BYTES] = { 0, 0, 0, 0, 1, 1 };

	number++;
	memcpy(message + 32, &number, sizeof(number));
	return give_from(from, message, sizeof(message));
}

/* Section 3: a stranger makes us search for his key twenty times a second, and who was here before is
 * found without a search. */
static void strangers_are_limited(void **state)
{
	struct payload offer = usual(PUPPET_SPI);
	struct half h;

	(void)state;
	assert_int_equal(ask(ROLE_CLIENT, &offer, &there, &h), VERDICT_CONSUMED);
	assert_int_equal(say(&h, NULL), VERDICT_CONSUMED);
	pass(5000);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(give_nonsense(&elsewhere), VERDICT_UNKNOWN_KEY);
		assert_int_equal(give_nonsense(&there), VERDICT_UNKNOWN_KEY);
	}
	assert_int_equal(give_nonsense(&elsewhere), VERDICT_OVERLOAD);
	assert_int_equal(give_nonsense(&there), VERDICT_OVERLOAD);
	assert_int_equal(engine_verdicts(engine)->count[VERDICT_OVERLOAD], 2);
	assert_int_equal(ask(ROLE_CLIENT, &offer, &elsewhere, &h), VERDICT_OVERLOAD);
	assert_int_equal(ask(ROLE_CLIENT, &offer, &there, &h), VERDICT_CONSUMED);
	pass(1000);
	assert_int_equal(give_nonsense(&elsewhere), VERDICT_UNKNOWN_KEY);
}

/* Section 3: all strangers together have a quarter of the time; see test_budget.c. */
static void searches_are_limited(void **state)
{
	unsigned searched = 0;
	enum verdict verdict;

	(void)state;
	do {
		elsewhere.remote.b[15]++;
		verdict = give_nonsense(&elsewhere);
		searched += verdict == VERDICT_UNKNOWN_KEY;
	} while (verdict == VERDICT_UNKNOWN_KEY && searched < 100);
	assert_int_equal(verdict, VERDICT_OVERLOAD);
	assert_int_equal(searched, 13); /* half of 25 ms, and what the last one took more */
	pass(4);
	elsewhere.remote.b[15]++;
	assert_int_equal(give_nonsense(&elsewhere), VERDICT_UNKNOWN_KEY);
	elsewhere.remote.b[15]++;
	assert_int_equal(give_nonsense(&elsewhere), VERDICT_OVERLOAD);
}

/* Section 3: a Response that fails to verify changes nothing. */
static void forged_response_changes_nothing(void **state)
{
	struct payload answer = usual(PUPPET_SPI);
	uint8_t message[RESPONSE_MAX_BYTES], forged[RESPONSE_MAX_BYTES];
	struct half h;
	size_t bytes;

	(void)state;
	pass(1);
	bytes = make_response(ROLE_CLIENT, &answer, &h, message);
	memcpy(forged, message, bytes);
	forged[bytes - 1] ^= 1;
	assert_int_equal(give(forged, bytes), VERDICT_FORGED);
	assert_int_equal(events[EVENT_BAD_RESPONSE], 1);
	assert_int_equal(give_from(&elsewhere, message, bytes), VERDICT_WRONG_REMOTE);
	assert_int_equal(give(message, bytes), VERDICT_CONSUMED);
	assert_int_equal(give(message, bytes), VERDICT_STALE_RESPONSE);
	assert_int_equal(events[EVENT_UP], 1);
}

/* Section 3: an Init of more than 15 s ago is not answered any more, tick or no tick. */
static void late_response_counts_for_15_s(void **state)
{
	struct payload answer = usual(PUPPET_SPI);
	uint8_t message[RESPONSE_MAX_BYTES];
	struct half h;
	size_t bytes;

	(void)state;
	pass(1);
	bytes = make_response(ROLE_CLIENT, &answer, &h, message);
	now = instant_after(now, 15 * NS_PER_S);
	assert_int_equal(give(message, bytes), VERDICT_STALE_RESPONSE);
}

/* Section 7: who does not hear in-band messages is sent no Ping, and missed only after 15 s. */
static void deaf_peer_is_not_pinged(void **state)
{
	struct payload answer = usual(PUPPET_SPI);
	struct in_band message;
	struct half h;
	unsigned before;

	(void)state;
	answer.flags = 0;
	pass(1);
	before = sent_count;
	assert_int_equal(answer_client(&answer, &h), VERDICT_CONSUMED);
	pass(60000);
	assert_int_equal(heard(&h, before, &message), 1);
	assert_false(message.has_ping);
	before = inits();
	assert_int_equal(send_packet("10.0.0.1"), VERDICT_PASS);
	pass(14900);
	assert_int_equal(inits(), before);
	pass(200);
	assert_int_equal(inits(), before + 1);
}

/* Section 2: a session that saw too many forgeries accepts nothing more, and another is asked for. */
static void forgeries_wear_a_session_out(void **state)
{
	uint8_t forged[ENVELOPE_MIN_BYTES] = { 0 };
	struct half h;
	unsigned before;

	(void)state;
	bring_up_client(&h);
	before = inits();
	wire_put_u32(forged, h.peer_spi);
	for (unsigned i = 0; i < FORGERIES; i++) {
		assert_int_equal(inits(), before);
		forged[7] = (uint8_t)(100 + i);
		assert_int_equal(give(forged, sizeof(forged)), VERDICT_FORGED);
	}
	assert_int_equal(say(&h, NULL), VERDICT_EXPIRED);
	pass(1);
	assert_int_equal(inits(), before + 1);
	assert_int_equal(events[EVENT_DOWN], 1);
}

/* Section 3: one e for one address. */
static void another_address_gets_another_init(void **state)
{
	(void)state;
	pass(1);
	assert_int_equal(inits(), 1);
	engine_peer_endpoint(engine, peer, &elsewhere, now);
	pass(1);
	assert_int_equal(inits(), 2);
	assert_true(endpoint_equal(&sent[1].to, &elsewhere));
	assert_memory_not_equal(init_ephemeral(sent[0].data), init_ephemeral(sent[1].data),
				EPHEMERAL_BYTES);
}

/* Section 7: how often it asks. */
static void init_follows_its_schedule(void **state)
{
	static const int64_t at_ms[] = { 0, 250, 750, 1750, 3750 };

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		pass(at_ms[i] - (i > 0 ? at_ms[i - 1] : 0));
		assert_int_equal(inits(), i + 1);
		assert_memory_equal(sent[0].data, sent[i].data, INIT_BYTES);
	}
	pass(5500 - 3750);
	assert_int_equal(events[EVENT_ATTEMPT_FAILED], 1);
	assert_int_equal(inits(), 6);
	assert_memory_not_equal(sent[0].data, sent[5].data, INIT_BYTES);
	pass(1000);
	assert_int_equal(inits(), 7);
	pass(3000);
	assert_int_equal(inits(), 7);
}

/* A server that was restarted calls everybody, but lets packets pass between. */
static void many_are_not_called_at_one_go(void **state)
{
	enum { PEERS = 100 };
	struct psk key = { { 6 } };

	(void)state;
	for (key.b[1] = 0; key.b[1] < PEERS; key.b[1]++)
		assert_non_null(add_peer(&key, "10.0.0.0/8", there));
	engine_tick(engine, now);
	assert_in_range(inits(), 1, PEERS / 2);
	assert_true(instant_reached(now, engine_deadline(engine)));
	pass(1);
	assert_int_equal(inits(), PEERS);
}

/* Section 6: at most 20 Pongs a second, to where the Ping came from and to the endpoint. */
static void pongs_are_limited(void **state)
{
	struct payload offer = usual(PUPPET_SPI);
	struct in_band ping = { .has_ping = true, .ping = { 1, 2, 3 } }, message;
	unsigned before, to_elsewhere = 0, to_there = 0;
	struct peer_snapshot s;
	struct half h;

	(void)state;
	assert_int_equal(ask(ROLE_CLIENT, &offer, &there, &h), VERDICT_CONSUMED);
	assert_int_equal(say(&h, NULL), VERDICT_CONSUMED);
	s = snapshot();
	assert_true(endpoint_same_remote(&s.endpoint, &there));
	pass(5000);
	before = sent_count;
	for (unsigned i = 0; i < 30; i++)
		say_from(&h, &elsewhere, &ping);
	heard(&h, before, &message);
	assert_true(message.has_pong);
	assert_memory_equal(message.pong, ping.ping, PING_BYTES);
	for (unsigned i = before; i < sent_count; i++) {
		to_elsewhere += endpoint_same_remote(&sent[i].to, &elsewhere);
		to_there += endpoint_same_remote(&sent[i].to, &there);
	}
	assert_int_equal(to_there, 20);
	assert_int_equal(to_elsewhere, 20);
}

/* Section 6: Close ends its session; a client asks for another at once, a server forgets the address. */
static void close_from_server(void **state)
{
	const struct in_band close = { .has_close = true, .close = CLOSE_RESTARTING };
	struct half h;
	unsigned before;

	(void)state;
	bring_up_client(&h);
	before = inits();
	assert_int_equal(say(&h, &close), VERDICT_CONSUMED);
	assert_int_equal(events[EVENT_DOWN], 1);
	assert_int_equal(last_event.reason, CLOSE_RESTARTING);
	assert_int_equal(say(&h, NULL), VERDICT_UNKNOWN_SPI);
	pass(1);
	assert_int_equal(inits(), before + 1);
}

static void close_from_client(void **state)
{
	const struct in_band close = { .has_close = true };
	struct payload offer = usual(PUPPET_SPI);
	struct peer_snapshot s;
	struct half h;

	(void)state;
	ask(ROLE_CLIENT, &offer, &there, &h);
	say(&h, NULL);
	assert_int_equal(events[EVENT_ENDPOINT], 1);
	say(&h, &close);
	assert_int_equal(events[EVENT_ENDPOINT], 2);
	s = snapshot();
	assert_true(endpoint_is_none(&s.endpoint));
	pass(60000);
	assert_int_equal(inits(), 0);
}

static void removed_peer_is_told(void **state)
{
	struct payload offer = usual(PUPPET_SPI);
	struct in_band message;
	unsigned before;
	struct half h;

	(void)state;
	ask(ROLE_CLIENT, &offer, &there, &h);
	say(&h, NULL);
	before = sent_count;
	engine_peer_remove(engine, peer, CLOSE_KEY_REMOVED, now);
	assert_int_equal(heard(&h, before, &message), 1);
	assert_true(message.has_close);
	assert_int_equal(message.close, CLOSE_KEY_REMOVED);
	assert_int_equal(say(&h, NULL), VERDICT_UNKNOWN_SPI);
	assert_int_equal(ask(ROLE_CLIENT, &offer, &there, &h), VERDICT_UNKNOWN_KEY);
}

/* The server under test gets a session that was begun, and is heard first, from @from. */
static void bring_up_server(uint32_t spi, const struct endpoint *from, struct half *ret_half)
{
	struct payload offer = usual(spi);

	assert_int_equal(ask(ROLE_CLIENT, &offer, from, ret_half), VERDICT_CONSUMED);
	assert_int_equal(say_from(ret_half, from, NULL), VERDICT_CONSUMED);
	assert_int_equal(snapshot().session_spi, ret_half->peer_spi);
}

static bool is_at(const struct endpoint *endpoint)
{
	struct peer_snapshot s = snapshot();

	return endpoint_same_remote(&s.endpoint, endpoint);
}

/* A packet from elsewhere, which is answered by a Ping; returns the Pong to that. */
static struct in_band appear_elsewhere(struct half *h)
{
	unsigned before = sent_count;
	struct in_band ping, pong = { .has_pong = true };

	assert_int_equal(say_from(h, &elsewhere, NULL), VERDICT_CONSUMED);
	pass(0);
	assert_int_equal(heard(h, before, &ping), 1);
	assert_true(ping.has_ping && endpoint_same_remote(&last_sent()->to, &elsewhere));
	memcpy(pong.pong, ping.ping, PING_BYTES);
	return pong;
}

/* Section 8: a new address is believed when it answers, unless the old one has been heard since: then
 * somebody copied a packet and was faster. */
static void old_address_heard_since_spoils_a_candidate(void **state)
{
	struct in_band pong;
	struct half h, late;

	(void)state;
	bring_up_server(PUPPET_SPI, &there, &h);
	pass(2000); /* for what a new session has to say */
	pong = appear_elsewhere(&h);
	assert_int_equal(say(&h, NULL), VERDICT_CONSUMED);
	assert_int_equal(say_from(&h, &elsewhere, &pong), VERDICT_CONSUMED);
	assert_true(is_at(&there));
	pass(3000);
	assert_true(is_at(&there));

	/* What was sent before, and is late, spoils nothing; nor does a Pong from where nobody was asked. */
	late = h;
	h.sequence++;
	pong = appear_elsewhere(&h);
	assert_int_equal(say(&late, NULL), VERDICT_CONSUMED);
	assert_int_equal(say_from(&h, &elsewhere, &pong), VERDICT_CONSUMED);
	assert_true(is_at(&elsewhere));
}

/* Section 8: nobody else can answer a Ping for who is asked, neither from another address nor blindly. */
static void candidate_is_proven_by_its_own_answer(void **state)
{
	struct endpoint third;
	struct in_band pong;
	struct half h;

	(void)state;
	assert_true(endpoint_parse("203.0.113.9:4500", &third));
	bring_up_server(PUPPET_SPI, &there, &h);
	pass(2000); /* for what a new session has to say */
	pong = appear_elsewhere(&h);
	say_from(&h, &third, &pong);
	assert_true(is_at(&there));
	pong.pong[0] ^= 1;
	say_from(&h, &elsewhere, &pong);
	assert_true(is_at(&there));
	pass(3000);
	pong.pong[0] ^= 1;
	say_from(&h, &elsewhere, &pong);
	assert_true(is_at(&there));
}

/* Section 3: of the sessions that were replaced, the four newest are still received on. */
static void four_old_sessions_are_kept(void **state)
{
	enum { SESSIONS = 9, KEPT = 4 };
	struct half h[SESSIONS];

	(void)state;
	for (unsigned i = 0; i < SESSIONS; i++) {
		bring_up_server(PUPPET_SPI + i, &there, &h[i]);
		for (unsigned old = 0; old < i; old++)
			assert_int_equal(say(&h[old], NULL),
					 i - old > KEPT ? VERDICT_UNKNOWN_SPI : VERDICT_CONSUMED);
		assert_int_equal(snapshot().session_spi, h[i].peer_spi);
		pass(1000);
	}
	pass(185 * 1000);
	assert_int_equal(say(&h[SESSIONS - 3], NULL), VERDICT_CONSUMED);
	pass(5000);
	for (unsigned i = 0; i < SESSIONS; i++)
		assert_int_equal(say(&h[i], NULL), VERDICT_UNKNOWN_SPI);
}

/* Two machines with one key: the one that was replaced goes on, from its own address, for longer than
 * anything can have been on its way. */
static void second_machine_is_noticed(void **state)
{
	struct payload offer = usual(PUPPET_SPI + 2);
	struct half first, last, late, again;
	struct in_band message;
	unsigned before;

	(void)state;
	bring_up_server(PUPPET_SPI, &there, &first);
	pass(5000);
	bring_up_server(PUPPET_SPI + 1, &elsewhere, &last);
	assert_true(is_at(&elsewhere));
	late = first;
	first.sequence++;
	pass(2900);
	assert_int_equal(say(&first, NULL), VERDICT_CONSUMED); /* it may not know yet */
	pass(200);
	assert_int_equal(say(&late, NULL), VERDICT_CONSUMED); /* made long ago */
	assert_int_equal(say_from(&first, &elsewhere, NULL),
			 VERDICT_CONSUMED); /* the same machine */
	assert_int_equal(events[EVENT_KEY_ELSEWHERE], 0);

	before = sent_count;
	assert_int_equal(say(&first, NULL), VERDICT_CONSUMED);
	assert_int_equal(events[EVENT_KEY_ELSEWHERE], 1);
	assert_true(heard(&first, before, &message) == 1 && message.has_close);
	assert_int_equal(message.close, CLOSE_KEY_ELSEWHERE);
	assert_true(endpoint_same_remote(&last_sent()->to, &there));
	assert_int_equal(say(&first, NULL), VERDICT_UNKNOWN_SPI);
	assert_int_equal(say_from(&last, &elsewhere, NULL), VERDICT_CONSUMED);

	/* It is refused while the other is heard; that one may ask as it likes. */
	assert_int_equal(ask(ROLE_CLIENT, &offer, &there, &again), VERDICT_KEY_ELSEWHERE);
	bring_up_server(PUPPET_SPI + 3, &elsewhere, &again);
	pass(19900);
	offer.spi[0]++;
	assert_int_equal(ask(ROLE_CLIENT, &offer, &there, &first), VERDICT_KEY_ELSEWHERE);
	pass(200);
	bring_up_server(PUPPET_SPI + 9, &there, &first);
}

/* Peers that are away cannot keep all room for packets that wait. */
static void oldest_waiting_packet_makes_room(void **state)
{
	struct psk other = psk;
	char address[] = "10.0.1.1";

	(void)state;
	for (unsigned p = 0; p < 9; p++) {
		other.b[9] = (uint8_t)(1 + p);
		address[7] = (char)('1' + p);
		assert_non_null(add_peer(&other, address, (struct endpoint){ 0 }));
		for (unsigned i = 0; i < ENGINE_STAGED_MAX; i++)
			assert_int_equal(send_packet(address), VERDICT_STAGED);
		now = instant_after(now, NS_PER_MS);
	}
	assert_int_equal(engine_verdicts(engine)->count[VERDICT_QUEUE_FULL], ENGINE_STAGED_MAX);
}

static void *allocate_counted(void *shell, size_t bytes)
{
	*(size_t *)shell += bytes;
	return plain_allocate(shell, bytes);
}

/* An unprivileged process may often lock no more than 8 MB. */
static void large_packets_do_not_use_up_locked_memory(void **state)
{
	size_t allocated = 0;
	struct engine_config config = plain_engine(ROLE_CLIENT, &allocated);
	struct engine *large;

	(void)state;
	config.hooks.allocate = allocate_counted;
	config.aead = &aead_sodium;
	config.inner_mtu = 65000;
	large = engine_create(&config, now);
	assert_non_null(large);
	assert_true(allocated < 4 << 20);
	engine_destroy(large);
}

static void kernel_tells_of_a_narrow_path(void **state)
{
	struct half h;

	(void)state;
	bring_up_client(&h);
	engine_path_mtu(engine, &elsewhere.remote, 1300, now);
	assert_int_equal(snapshot().inner_mtu, INNER_MTU_OVER_IPV4);
	engine_path_mtu(engine, &there.remote, 1300, now);
	assert_int_equal(snapshot().inner_mtu, envelope_inner_max(1300 - 28));
	engine_path_mtu(engine, &there.remote, 100, now);
	assert_int_equal(snapshot().inner_mtu, envelope_inner_max(PATH_MTU_MIN - 28));
}

/* Send a packet with DSCP 46 and ECT(0); what went out by the transmit hook must bear @outer. */
static void send_marked(uint8_t version, size_t bytes, enum verdict verdict, uint8_t outer)
{
	static uint8_t room[2048];
	uint8_t *packet = room + ENVELOPE_HEAD_BYTES;
	struct outbound out = { .inner = packet, .inner_bytes = bytes };
	unsigned before = sent_count;

	memset(packet, 0, bytes);
	if (version == 4) {
		memcpy(packet, (uint8_t[]){ 0x45, 46 << 2 | 2 }, 2);
		wire_put_u16(packet + 2, (uint16_t)bytes);
		packet[16] = 10;
	} else {
		memcpy(packet, (uint8_t[]){ 0x60 | 46 >> 2, (46 << 6 & 0xff) | 2 << 4 }, 2);
		wire_put_u16(packet + 4, (uint16_t)(bytes - 40));
		packet[24] = 0xfd;
	}
	engine_outbound(engine, &out, 1, now);
	assert_int_equal(out.verdict, verdict);
	if (verdict == VERDICT_PASS)
		assert_int_equal(out.tos, outer);
	if (verdict == VERDICT_CONSUMED)
		assert_true(sent_count > before);
	for (unsigned i = before; i < sent_count; i++)
		assert_int_equal(sent[i].tos, outer);
}

/* Each way in which a packet leaves: from the queue, at once, in pieces, in an envelope to be cut. */
static void each_way_out_is_marked(uint8_t outer)
{
	struct prefix any[2];
	struct half h;
	unsigned i = 0;

	assert_true(prefix_parse("0.0.0.0/0", &any[0]) && prefix_parse("::/0", &any[1]));
	assert_int_equal(engine_peer_own(engine, peer, any, 2), 0);
	send_marked(4, 400, VERDICT_STAGED, 0);
	bring_up_client(&h);
	while (i < sent_count && sent[i].bytes != envelope_bytes(400))
		i++;
	assert_true(i < sent_count);
	assert_int_equal(sent[i].tos, outer);

	send_marked(4, 400, VERDICT_PASS, outer);
	send_marked(6, 400, VERDICT_PASS, outer);
	engine_path_mtu(engine, &there.remote, 1200, now);
	send_marked(4, 1400, VERDICT_CONSUMED, outer);
	send_marked(6, 1280, VERDICT_CONSUMED, outer);
}

static void traffic_class_stays_inside(void **state)
{
	(void)state;
	each_way_out_is_marked(2);
}

static void traffic_class_is_copied_on_request(void **state)
{
	(void)state;
	each_way_out_is_marked(46 << 2 | 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(client_wins, as_client, end),
		cmocka_unit_test_setup_teardown(refusal_is_respected, as_client, end),
		cmocka_unit_test_setup_teardown(unknown_critical_item_is_refused, as_server, end),
		cmocka_unit_test_setup_teardown(strangers_are_limited, as_server, end),
		cmocka_unit_test_setup_teardown(searches_are_limited, as_slow_server, end),
		cmocka_unit_test_setup_teardown(forged_response_changes_nothing, as_client, end),
		cmocka_unit_test_setup_teardown(late_response_counts_for_15_s, as_client, end),
		cmocka_unit_test_setup_teardown(deaf_peer_is_not_pinged, as_client, end),
		cmocka_unit_test_setup_teardown(forgeries_wear_a_session_out, as_client, end),
		cmocka_unit_test_setup_teardown(another_address_gets_another_init, as_client, end),
		cmocka_unit_test_setup_teardown(init_follows_its_schedule, as_client, end),
		cmocka_unit_test_setup_teardown(many_are_not_called_at_one_go, as_server, end),
		cmocka_unit_test_setup_teardown(pongs_are_limited, as_server, end),
		cmocka_unit_test_setup_teardown(close_from_server, as_client, end),
		cmocka_unit_test_setup_teardown(close_from_client, as_server, end),
		cmocka_unit_test_setup_teardown(removed_peer_is_told, as_server, end),
		cmocka_unit_test_setup_teardown(old_address_heard_since_spoils_a_candidate,
						as_server, end),
		cmocka_unit_test_setup_teardown(candidate_is_proven_by_its_own_answer, as_server,
						end),
		cmocka_unit_test_setup_teardown(four_old_sessions_are_kept, as_server, end),
		cmocka_unit_test_setup_teardown(second_machine_is_noticed, as_server, end),
		cmocka_unit_test_setup_teardown(oldest_waiting_packet_makes_room, as_server, end),
		cmocka_unit_test(large_packets_do_not_use_up_locked_memory),
		cmocka_unit_test_setup_teardown(kernel_tells_of_a_narrow_path, as_client, end),
		cmocka_unit_test_setup_teardown(traffic_class_stays_inside, as_client, end),
		cmocka_unit_test_setup_teardown(traffic_class_is_copied_on_request,
						as_client_that_copies_dscp, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
