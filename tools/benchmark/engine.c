/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine without any I/O: one server with few and with many peers, each of which is an engine
 * too, in this process, and connected as it would be over a network.
 */
#include "benchmark/measure.h"

#include "aead/choose.h"
#include "io/clock.h"
#include "minivpn/engine.h"
#include "run/keymemory.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH = 64,
	RUN = 8, /* packets that a peer has in a batch, if they come in runs */
	PACKET_MAX_BYTES = 1424,
	SLOT_BYTES = ENVELOPE_HEAD_BYTES + PACKET_MAX_BYTES + ENVELOPE_TAIL_BYTES,
	WIRE_MAX = 8,
	WIRE_BYTES = 2048,
	HANDSHAKES_ALONE = 200, /* so often for the figure with one key only */
};

/**
 * struct end - one end of a tunnel
 * @wire: datagrams that its engine sent by itself, and nobody has fetched yet
 */
struct end {
	struct engine *engine;
	struct peer *peer;
	struct endpoint address; /* as the other end sees it */
	struct {
		uint8_t bytes[WIRE_BYTES];
		size_t size;
	} wire[WIRE_MAX];
	unsigned waiting;
};

/**
 * struct hub - a server and its clients
 * @now:           the time that engines are told; it only passes between handshakes
 * @memory:        the server's, as it has it in a tunnel: where peers lie decides how long they are waited for
 * @allocated:     bytes that the server's engine holds
 * @handshake_ns:  the server's time spent on handshakes
 * @turn:          who is next to send or receive
 * @run:           so many packets go to or come from a peer before the next one's
 * @taken:         so many of them have
 * @from:          where those of @in came from, as the transport would tell
 */
struct hub {
	struct aead_choice choice;
	struct end server;
	struct end *client;
	unsigned clients;
	struct instant now;
	struct keymemory memory;
	size_t allocated;
	int64_t handshake_ns;
	unsigned turn, run, taken;
	unsigned bytes;
	uint8_t room[BATCH][SLOT_BYTES];
	struct outbound out[BATCH];
	struct inbound in[BATCH];
	struct endpoint from[BATCH];
};

static struct hub hub;

static void hook_random(void *shell, uint8_t *ret_bytes, size_t n)
{
	(void)shell;
	randombytes_buf(ret_bytes, n);
}

/* A client's: as a table of the kernel's zeroed pages, since an engine asks for more than it touches; the
 * pointer to free stands before what is handed out. */
static void *allocate_apart(size_t bytes)
{
	enum { ALIGN = 64 };
	uint8_t *all = calloc(1, bytes + 2 * ALIGN), *memory;

	if (!all)
		return NULL;
	memory = all + ALIGN + (ALIGN - (uintptr_t)all % ALIGN) % ALIGN;
	memcpy(memory - sizeof(all), &all, sizeof(all));
	return memory;
}

static void release_apart(void *memory)
{
	void *all;

	if (!memory)
		return;
	memcpy(&all, (uint8_t *)memory - sizeof(all), sizeof(all));
	free(all);
}

static void *hook_allocate(void *shell, size_t bytes)
{
	if (shell != &hub.server)
		return allocate_apart(bytes);
	hub.allocated += bytes;
	return keymemory_take(&hub.memory, bytes);
}

/* How much the server gave back is not known here: what it holds is looked at before it has given
 * back anything but handshakes. */
static void hook_release(void *shell, void *memory)
{
	if (shell == &hub.server)
		keymemory_give(&hub.memory, memory);
	else
		release_apart(memory);
}

static void hook_transmit(void *shell, const struct transmission *datagram)
{
	struct end *end = shell;

	if (end->waiting == WIRE_MAX || datagram->size > WIRE_BYTES)
		return;
	memcpy(end->wire[end->waiting].bytes, datagram->bytes, datagram->size);
	end->wire[end->waiting++].size = datagram->size;
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	(void)shell;
	(void)packet;
	(void)bytes;
}

static void hook_event(void *shell, const struct engine_event *event)
{
	(void)shell;
	(void)event;
}

static struct engine *make_engine(struct end *end, enum role role, unsigned peers)
{
	static const struct payload configuration;
	struct engine_config config = {
		.hooks = { end, hook_random, hook_allocate, hook_release, hook_transmit,
			   hook_deliver, hook_event },
		.role = role,
		.aead = hub.choice.aead,
		.aead_context = hub.choice.context,
		.inner_mtu = INNER_MTU_OVER_IPV4,
		.workers = 1,
		.configuration = role == ROLE_SERVER ? &configuration : NULL,
		.software = "minivpn-bench",
		.peers_expected = peers,
	};

	return engine_create(&config, hub.now);
}

static struct address inner_address(unsigned peer)
{
	uint8_t ipv4[] = { 10, (uint8_t)(peer >> 16), (uint8_t)(peer >> 8), (uint8_t)peer };

	return address_from_ipv4(ipv4);
}

static struct endpoint outer_address(unsigned host)
{
	uint8_t ipv4[] = { 172, (uint8_t)(16 + (host >> 16)), (uint8_t)(host >> 8), (uint8_t)host };

	return (struct endpoint){ .remote = address_from_ipv4(ipv4), .remote_port = 4500 };
}

static void add_peer(struct end *end, enum role role, unsigned number)
{
	struct psk psk = { { 1, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
			     (uint8_t)number } };
	struct prefix allowed = { .address = address_from_ipv4((uint8_t[4]){ 0 }) };
	struct peer_config config = { .psk = &psk, .allowed = &allowed, .allowed_count = 1 };

	if (role == ROLE_SERVER) {
		allowed = (struct prefix){ .address = inner_address(number), .length = 32 };
		config.address[0] = allowed;
		config.address_count = 1;
	} else {
		config.endpoint = hub.server.address;
	}
	end->peer = engine_peer_add(end->engine, &config, hub.now);
}

/* Give what @from has sent to @to; returns the time that took. */
static int64_t carry(struct end *from, struct end *to)
{
	struct endpoint path = { .local = to->address.remote,
				 .remote = from->address.remote,
				 .remote_port = from->address.remote_port };
	unsigned n = from->waiting;
	struct instant start = clock_now();

	for (unsigned i = 0; i < n; i++) {
		struct inbound datagram = { .datagram = from->wire[i].bytes,
					    .bytes = from->wire[i].size,
					    .from = &path };

		engine_inbound(to->engine, &datagram, 1, hub.now);
	}
	from->waiting = 0;
	return instant_since(clock_now(), start);
}

/* Connect a client.  Only the Init counts as the handshake's cost. */
static bool connect_client(struct end *client, unsigned number)
{
	struct peer_snapshot snapshot;

	client->address = outer_address(number);
	client->engine = make_engine(client, ROLE_CLIENT, 1);
	if (!client->engine)
		return false;
	add_peer(client, ROLE_CLIENT, number);
	engine_tick(client->engine, hub.now);
	hub.handshake_ns += carry(client, &hub.server);
	/* The server sends data once it has heard the client on the new session. */
	for (unsigned i = 0; i < 3; i++) {
		carry(&hub.server, client);
		hub.now = instant_after(hub.now, NS_PER_MS);
		engine_tick(client->engine, hub.now);
		carry(client, &hub.server);
	}
	engine_snapshot(client->engine, client->peer, &snapshot);
	return snapshot.up;
}

static bool make_hub(unsigned clients)
{
	hub.clients = clients;
	hub.allocated = 0;
	hub.handshake_ns = 0;
	hub.turn = hub.taken = 0;
	hub.run = 1;
	hub.now.ns = NS_PER_S;
	hub.client = calloc(clients, sizeof(*hub.client));
	hub.server = (struct end){ .address = outer_address(0) };
	hub.server.engine = make_engine(&hub.server, ROLE_SERVER, clients);
	if (!hub.client || !hub.server.engine)
		return false;
	for (unsigned i = 0; i < clients; i++)
		add_peer(&hub.server, ROLE_SERVER, i + 1);
	for (unsigned i = 0; i < clients; i++)
		if (!connect_client(&hub.client[i], i + 1))
			return false;
	return true;
}

static void drop_hub(void)
{
	for (unsigned i = 0; i < hub.clients; i++)
		if (hub.client[i].engine)
			engine_destroy(hub.client[i].engine);
	free(hub.client);
	hub.client = NULL;
	engine_destroy(hub.server.engine);
}

/* Neighbours in a batch are far apart in memory, as with so many users they would be. */
static unsigned next_peer(void)
{
	if (hub.taken++ % hub.run != 0)
		return hub.turn;
	hub.turn = (hub.turn + 7919) % hub.clients;
	return hub.turn;
}

static void write_packet(uint8_t *packet, unsigned from, unsigned to)
{
	struct address source = inner_address(from), destination = inner_address(to);
	uint8_t head[20] = { 0x45, 0, (uint8_t)(hub.bytes >> 8), (uint8_t)hub.bytes, 0, 0, 0x40, 0,
			     64,   17 };

	memcpy(head + 12, source.b + 12, 4);
	memcpy(head + 16, destination.b + 12, 4);
	memcpy(packet, head, sizeof(head));
}

static void bring_packets(void *subject)
{
	(void)subject;
	for (unsigned i = 0; i < BATCH; i++) {
		uint8_t *packet = hub.room[i] + ENVELOPE_HEAD_BYTES;

		write_packet(packet, 0, next_peer() + 1);
		hub.out[i] = (struct outbound){ .inner = packet, .inner_bytes = hub.bytes };
	}
}

static void send_packets(void *subject)
{
	(void)subject;
	engine_outbound(hub.server.engine, hub.out, BATCH, hub.now);
}

static void bring_records(void *subject)
{
	(void)subject;
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned number = next_peer();
		struct end *client = &hub.client[number];
		uint8_t *packet = hub.room[i] + ENVELOPE_HEAD_BYTES;
		struct outbound record = { .inner = packet, .inner_bytes = hub.bytes };

		write_packet(packet, number + 1, 0);
		engine_outbound(client->engine, &record, 1, hub.now);
		hub.from[i] = client->address;
		hub.from[i].local = hub.server.address.remote;
		hub.in[i] = (struct inbound){ .datagram = record.record,
					      .bytes = record.record_bytes,
					      .from = &hub.from[i] };
	}
}

static void receive_records(void *subject)
{
	(void)subject;
	engine_inbound(hub.server.engine, hub.in, BATCH, hub.now);
}

static void tell(const char *subject, unsigned bytes, double value, const char *unit)
{
	figure(&(struct figure){ "engine", subject, bytes, hub.clients, value, unit });
}

/* @words: of how they come */
static void measure_packets(unsigned run, const char *words)
{
	static const unsigned sizes[] = { 64, 512, 1424 };
	struct work sending = { bring_packets, send_packets, NULL, BATCH };
	struct work receiving = { bring_records, receive_records, NULL, BATCH };
	char subject[48];

	hub.run = run;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		hub.bytes = sizes[i];
		snprintf(subject, sizeof(subject), "outbound%s, %s", words, hub.choice.aead->name);
		tell(subject, hub.bytes, measure_ns(&sending), "ns/packet");
		snprintf(subject, sizeof(subject), "inbound%s, %s", words, hub.choice.aead->name);
		tell(subject, hub.bytes, measure_ns(&receiving), "ns/packet");
	}
}

/* All of it must be let through, or what was measured is how fast packets are refused. */
static bool packets_pass(void)
{
	unsigned passed = 0;

	hub.bytes = PACKET_MAX_BYTES;
	bring_packets(NULL);
	send_packets(NULL);
	for (unsigned i = 0; i < BATCH; i++)
		passed += hub.out[i].verdict == VERDICT_PASS;
	bring_records(NULL);
	receive_records(NULL);
	for (unsigned i = 0; i < BATCH; i++)
		passed += hub.in[i].verdict == VERDICT_PASS;
	return passed == 2 * BATCH;
}

static void measure_hub(unsigned clients)
{
	if (!make_hub(clients) || !packets_pass()) {
		fprintf(stderr, "minivpn-bench: engine: %u clients did not connect\n", clients);
	} else {
		if (clients > 1) {
			tell("handshakes a second, server", 0,
			     clients / ((double)hub.handshake_ns / (double)NS_PER_S), "1/s");
			tell("memory of a connected peer", 0, (double)hub.allocated / clients,
			     "bytes");
		}
		measure_packets(1, "");
		if (clients > 1)
			measure_packets(RUN, " in runs");
	}
	drop_hub();
}

static void measure_lone_handshakes(void)
{
	int64_t spent_ns = 0;

	for (unsigned i = 0; i < HANDSHAKES_ALONE; i++) {
		if (make_hub(1))
			spent_ns += hub.handshake_ns;
		drop_hub();
	}
	tell("handshakes a second, server", 0,
	     HANDSHAKES_ALONE / ((double)spent_ns / (double)NS_PER_S), "1/s");
}

void bench_engine(const char *aead)
{
	if (aead_choose(aead, &hub.choice))
		return;
	measure_lone_handshakes();
	measure_hub(1);
	measure_hub(1000);
	measure_hub(10000);
	aead_choice_drop(&hub.choice);
}
