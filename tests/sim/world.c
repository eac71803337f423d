/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include "minivpn/handshake.h"
#include "minivpn/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TICKS_A_SECOND_MAX = 3000,
	REQUEST = 1,
	REPLY = 2,
	NUMBER_AT = IPV4_HEADER_BYTES, /* in a packet: its number, then what it is */
	KIND_AT = NUMBER_AT + 4,
	FILL_AT = KIND_AT + 1,
};

/* ---- chance -------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t next_random(struct world *world)
{
	uint64_t z = world->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t world_below(struct world *world, uint32_t n)
{
	return (uint32_t)((next_random(world) >> 32) * n >> 32);
}

bool world_chance(struct world *world, unsigned n)
{
	return world_below(world, RARELY) < n;
}

/* ---- what is to happen --------------------------------------------------------------------- */

static bool is_before(const struct happening *a, const struct happening *b)
{
	return a->at.ns != b->at.ns ? a->at.ns < b->at.ns : a->order < b->order;
}

static void schedule(struct world *world, struct happening happening)
{
	size_t at = world->queued++;

	if (world->queued > world->queue_room) {
		world->queue_room = world->queue_room ? 2 * world->queue_room : 256;
		world->queue = realloc(world->queue, world->queue_room * sizeof(*world->queue));
		if (!world->queue)
			abort();
	}
	happening.order = world->order++;
	while (at > 0 && is_before(&happening, &world->queue[(at - 1) / 2])) {
		world->queue[at] = world->queue[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	world->queue[at] = happening;
}

static struct happening take_next(struct world *world)
{
	struct happening first = world->queue[0], last = world->queue[--world->queued];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < world->queued) {
		if (child + 1 < world->queued &&
		    is_before(&world->queue[child + 1], &world->queue[child]))
			child++;
		if (!is_before(&world->queue[child], &last))
			break;
		world->queue[at] = world->queue[child];
		at = child;
	}
	if (world->queued > 0)
		world->queue[at] = last;
	return first;
}

/* ---- the network --------------------------------------------------------------------------- */

static void show(const struct world *world, const char *what, const struct datagram *d)
{
	char from[ENDPOINT_TEXT_BYTES], to[ENDPOINT_TEXT_BYTES];

	if (!world->trace)
		return;
	printf("%12.6f %-9s %s > %s %4zu bytes, %s %02x%02x%02x%02x seq %u\n",
	       (double)world->now.ns / 1e9, what, endpoint_print(&d->from, from),
	       endpoint_print(&d->to, to), d->bytes, d->honesty == FORGED ? "forged" : "honest",
	       d->data[0], d->data[1], d->data[2], d->data[3], wire_u32(d->data + 4));
}

/* It arrives after @delay_ms, whatever becomes of it on the way.  Whole milliseconds, so that some
 * arrive together. */
static void travel(struct world *world, const struct datagram *d, unsigned delay_ms)
{
	struct datagram *copy = malloc(sizeof(*copy));
	int64_t at = world->now.ns + delay_ms * NS_PER_MS;

	if (!copy)
		abort();
	*copy = *d;
	schedule(world, (struct happening){ .at = { (at + NS_PER_MS - 1) / NS_PER_MS * NS_PER_MS },
					    .kind = HAPPENS_DATAGRAM,
					    .datagram = copy });
}

static unsigned draw_delay(struct world *world)
{
	const struct network *n = &world->network;

	return n->delay_ms + (n->jitter_ms ? world_below(world, n->jitter_ms) : 0);
}

static void flip(struct world *world, struct datagram *d)
{
	for (unsigned flips = 1 + world_below(world, 3); flips > 0; flips--)
		d->data[world_below(world, (uint32_t)d->bytes)] ^=
			(uint8_t)(1 + world_below(world, 255));
	d->honesty = FORGED;
}

static void record(struct world *world, const struct datagram *d)
{
	unsigned slot = world->recorded_count++ % RECORDED_MAX;

	if (!world->recorded[slot])
		world->recorded[slot] = malloc(sizeof(*d));
	if (!world->recorded[slot])
		abort();
	*world->recorded[slot] = *d;
}

static void make_junk(struct world *world, struct datagram *d)
{
	static const uint8_t starts[][4] = { { 0 }, { 0xff }, { 1, 2, 3, 4 } };

	d->bytes = world_below(world, 8) ? 1 + world_below(world, 1100) : INIT_BYTES;
	for (size_t i = 0; i < d->bytes; i++)
		d->data[i] = (uint8_t)next_random(world);
	memcpy(d->data, starts[world_below(world, 3)], d->bytes < 4 ? d->bytes : 4);
	if (d->bytes == INIT_BYTES)
		memcpy(d->data, (uint8_t[]){ 0, 0, 0, 0, 1, 1, 0, 0 }, 8);
}

void world_attack(struct world *world)
{
	unsigned recorded =
		world->recorded_count < RECORDED_MAX ? world->recorded_count : RECORDED_MAX;
	struct endpoint swap;
	struct datagram d;

	if (recorded == 0)
		return;
	d = *world->recorded[world_below(world, recorded)];
	switch (world_below(world, 7)) {
	case 0: /* what he just saw, from his own address, and faster */
		d = *world->recorded[(world->recorded_count - 1) % RECORDED_MAX];
		d.from = world->attacker;
		travel(world, &d, world->network.delay_ms / 4);
		return;
	case 1: /* an old one, from his own address */
		d.from = world->attacker;
		break;
	case 2: /* an old one as it was */
		break;
	case 3: /* back to where it came from */
		swap = d.from;
		d.from = d.to;
		d.to = swap;
		d.honesty = FORGED;
		break;
	case 4: /* something like it */
		flip(world, &d);
		break;
	case 5: /* to another machine */
		d.to = world->machine[world_below(world, world->clients + 1)].address;
		break;
	case 6:
		make_junk(world, &d);
		d.honesty = FORGED;
		break;
	}
	travel(world, &d, world_below(world, 100));
}

void world_inject(struct world *world, const struct datagram *datagram, bool moved)
{
	struct datagram d = *datagram;

	if (moved)
		d.from = world->attacker;
	travel(world, &d, 1);
}

static void put_on_wire(struct machine *machine, const struct endpoint *to, const uint8_t *bytes,
			size_t size, bool df)
{
	struct world *world = machine->world;
	const struct network *n = &world->network;
	struct datagram d = { .from = machine->address, .to = *to, .df = df, .bytes = size };

	if (size > sizeof(d.data))
		sim_fail(world, "a datagram of %zu bytes", size);
	if (endpoint_is_none(to))
		sim_fail(world, "a datagram to nowhere");
	memcpy(d.data, bytes, size);
	machine->answers++;
	if (size > machine->answer_most)
		machine->answer_most = size;
	show(world, "sends", &d);
	if (endpoint_same_remote(to, &world->attacker))
		return; /* he keeps what he gets */
	record(world, &d);
	if (n->attack && world_chance(world, n->attack))
		world_attack(world);
	if (n->race && machine->role == ROLE_CLIENT)
		world_inject(world, &d, true);
	if (n->outage || (df && n->limit && size + UDP_HEADER_BYTES + IPV4_HEADER_BYTES > n->limit))
		return;
	if (world_chance(world, n->duplicate))
		travel(world, &d, draw_delay(world));
	if (world_chance(world, n->loss))
		return;
	if (world_chance(world, n->corrupt))
		flip(world, &d);
	travel(world, &d, draw_delay(world));
}

/* ---- inner packets ------------------------------------------------------------------------- */

static void make_packet(const struct packet *packet, uint32_t number, uint8_t *ret_bytes)
{
	uint8_t source = packet->spoofed ? (uint8_t)(CLIENTS_MAX + 1) : packet->from;

	memset(ret_bytes, 0, IPV4_HEADER_BYTES);
	ret_bytes[0] = 0x45;
	wire_put_u16(ret_bytes + 2, packet->bytes);
	ret_bytes[6] = 0x40; /* don't fragment */
	ret_bytes[8] = 64;
	ret_bytes[9] = 17;
	memcpy(ret_bytes + 12, (uint8_t[]){ 10, 9, 0, (uint8_t)(source + 1) }, 4);
	memcpy(ret_bytes + 16, (uint8_t[]){ 10, 9, 0, (uint8_t)(packet->to + 1) }, 4);
	wire_put_u32(ret_bytes + NUMBER_AT, number);
	ret_bytes[KIND_AT] = packet->about ? REPLY : REQUEST;
	for (unsigned i = FILL_AT; i < packet->bytes; i++)
		ret_bytes[i] = (uint8_t)(number + i);
}

/* Enter packets into the ledger and give them to the engine of @machine in one call. */
static void send_some(struct machine *machine, struct packet packet, unsigned count)
{
	static uint8_t room[BURST_MAX][DATAGRAM_MAX];
	struct world *world = machine->world;
	struct outbound out[BURST_MAX];

	if (!machine->engine || machine->asleep)
		return;
	packet.from = (uint8_t)machine->key;
	packet.sent = world->now;
	for (unsigned i = 0; i < count; i++) {
		if (world->packets == world->ledger_room) {
			world->ledger_room = world->ledger_room ? 2 * world->ledger_room : 1024;
			world->ledger =
				realloc(world->ledger, world->ledger_room * sizeof(*world->ledger));
			if (!world->ledger)
				abort();
		}
		world->ledger[world->packets++] = packet;
		out[i] = (struct outbound){ .inner = room[i] + ENVELOPE_HEAD_BYTES,
					    .inner_bytes = packet.bytes };
		make_packet(&packet, (uint32_t)world->packets, out[i].inner);
	}
	crew_outbound(machine, out, count, (unsigned)world->packets);
	for (unsigned i = 0; i < count; i++)
		if (out[i].verdict == VERDICT_PASS)
			put_on_wire(machine, out[i].to, out[i].record, out[i].record_bytes, true);
}

void send_packets(struct world *world, unsigned from, unsigned to, unsigned count, unsigned bytes)
{
	send_some(
		&world->machine[from],
		(struct packet){ .to = (uint8_t)world->machine[to].key, .bytes = (uint16_t)bytes },
		count);
}

void send_spoofed(struct world *world, unsigned from)
{
	send_some(&world->machine[from],
		  (struct packet){ .to = SERVER, .bytes = 64, .spoofed = true }, 1);
}

/* A packet came out of the tunnel.  It must be one that was put in for this machine, and the first. */
static void arrive(struct machine *machine, const uint8_t *bytes, size_t size)
{
	struct world *world = machine->world;
	uint8_t expected[DATAGRAM_MAX];
	struct packet *packet;
	uint32_t number;

	if (size < FILL_AT || (number = wire_u32(bytes + NUMBER_AT)) == 0 ||
	    number > world->packets)
		sim_fail(world, "machine %u got a packet that nobody sent", machine->number);
	packet = &world->ledger[number - 1];
	make_packet(packet, number, expected);
	if (size != packet->bytes || memcmp(bytes, expected, size) != 0)
		sim_fail(world, "packet %u came out other than it was put in", number);
	if (packet->to != machine->key)
		sim_fail(world, "packet %u came to the wrong machine", number);
	if (packet->delivered)
		sim_fail(world, "packet %u was delivered twice", number);
	if (packet->spoofed)
		sim_fail(world, "packet %u has a source that is not its sender's", number);
	packet->delivered = true;
	world->delivered++;

	if (!packet->about) {
		send_some(machine,
			  (struct packet){
				  .to = packet->from, .bytes = packet->bytes, .about = number },
			  1);
		return;
	}
	machine->answered++;
	if (packet->from + packet->to == world->echo_client &&
	    world->ledger[packet->about - 1].sent.ns >= world->echo_since.ns &&
	    world->echoed.ns == INSTANT_NEVER.ns)
		world->echoed = world->now;
}

void world_traffic(struct world *world, unsigned client, struct traffic traffic)
{
	bool silent = world->traffic[client].period_ms == 0;

	world->traffic[client] = traffic;
	if (silent && traffic.period_ms)
		schedule(world, (struct happening){ .at = world->now,
						    .kind = HAPPENS_TRAFFIC,
						    .client = client });
}

static void talk(struct world *world, unsigned client)
{
	const struct traffic *t = &world->traffic[client];

	if (t->period_ms == 0)
		return;
	if (t->client_asks)
		send_packets(world, client, SERVER, 1, t->bytes);
	if (t->server_asks)
		send_packets(world, SERVER, client, 1, t->bytes);
	schedule(world,
		 (struct happening){
			 .at = instant_after(world->now, t->period_ms * NS_PER_MS +
								 world_below(world, 1000000)),
			 .kind = HAPPENS_TRAFFIC,
			 .client = client });
}

/* ---- hooks --------------------------------------------------------------------------------- */

static void hook_random(void *shell, uint8_t *bytes, size_t n)
{
	struct world *world = ((struct machine *)shell)->world;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)next_random(world);
	for (size_t i = 0; n % 32 == 0 && i < n; i += 32)
		watch_secret(&world->watch, bytes + i);
}

static void *hook_allocate(void *shell, size_t bytes)
{
	return watch_allocate(&((struct machine *)shell)->world->watch, bytes);
}

static void hook_release(void *shell, void *memory)
{
	watch_release(&((struct machine *)shell)->world->watch, memory);
}

static void hook_transmit(void *shell, const struct transmission *t)
{
	put_on_wire(shell, t->to, t->bytes, t->size, t->dont_fragment);
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	struct machine *machine = shell;

	if (bytes < IPV4_HEADER_BYTES || packet[9] != 1)
		sim_fail(machine->world, "the engine made a packet that is not ICMP");
}

static const char *const event_name[] = {
	[EVENT_UP] = "up",
	[EVENT_REKEYED] = "rekeyed",
	[EVENT_DOWN] = "down",
	[EVENT_CONFIGURED] = "configured",
	[EVENT_ENDPOINT] = "endpoint",
	[EVENT_ATTEMPT_FAILED] = "attempt-failed",
	[EVENT_REFUSED] = "refused",
	[EVENT_UNKNOWN_KEY] = "unknown-key",
	[EVENT_BAD_INIT] = "bad-init",
	[EVENT_BAD_RESPONSE] = "bad-response",
	[EVENT_PATH_MTU] = "path-mtu",
	[EVENT_KEY_ELSEWHERE] = "key-elsewhere",
	[EVENT_SOFTWARE] = "software",
	[EVENT_INSIDE] = "inside",
};

static void hook_event(void *shell, const struct engine_event *event)
{
	struct machine *machine = shell;
	struct world *world = machine->world;
	size_t number;

	machine->events[event->kind]++;
	if (world->trace)
		printf("%12.6f machine %u: %s\n", (double)world->now.ns / 1e9, machine->number,
		       event_name[event->kind]);
	if (event->kind != EVENT_ENDPOINT)
		return;
	number = (size_t)((struct machine *)peer_tag(event->peer) - world->machine);
	machine->file[number] = *event->endpoint;
}

/* ---- machines ------------------------------------------------------------------------------ */

static void server_peers(struct machine *server)
{
	struct world *world = server->world;

	for (unsigned i = 1; i <= world->clients; i++) {
		uint8_t inner[4] = { 10, 9, 0, (uint8_t)(i + 1) };
		struct prefix host = { address_from_ipv4(inner), 32 };
		struct peer_config config = { .tag = &world->machine[i],
					      .psk = &world->psk[i],
					      .address = { { host.address, 24 } },
					      .address_count = 1,
					      .allowed = &host,
					      .allowed_count = 1,
					      .endpoint = server->file[i] };

		if (world->machine[i].key != i)
			continue;
		server->peer[i] = engine_peer_add(server->engine, &config, world->now);
		if (!server->peer[i])
			sim_fail(world, "a peer could not be added");
	}
}

static void client_peer(struct machine *client)
{
	struct world *world = client->world;
	struct prefix everything = { address_from_ipv4((uint8_t[]){ 0, 0, 0, 0 }), 0 };
	struct peer_config config = { .tag = &world->machine[SERVER],
				      .psk = &world->psk[client->number],
				      .allowed = &everything,
				      .allowed_count = 1,
				      .endpoint = world->machine[SERVER].address };

	client->peer[SERVER] = engine_peer_add(client->engine, &config, world->now);
	if (!client->peer[SERVER])
		sim_fail(world, "a peer could not be added");
}

void machine_copies_key(struct machine *machine, unsigned of)
{
	machine->key = of;
	machine->world->psk[machine->number] = machine->world->psk[of];
}

void machine_start(struct machine *machine)
{
	struct world *world = machine->world;
	struct engine_config config = {
		.hooks = { machine, hook_random, hook_allocate, hook_release, hook_transmit,
			   hook_deliver, hook_event, crew_order },
		.role = machine->role,
		.aead = &watch_aead,
		.aead_context = &world->watch,
		.inner_mtu = INNER_MTU_OVER_IPV4,
		.workers = machine->workers,
		.keepalive_ns = world->keepalive_s * NS_PER_S,
		.software = "minivpn sim",
	};

	unsigned fail = world->watch.allocations_to_fail;

	world->watch.allocations_to_fail = 0;
	machine->asleep = false;
	machine->engine = engine_create(&config, world->now);
	if (!machine->engine)
		sim_fail(world, "an engine could not be made");
	crew_start(machine);
	if (machine->role == ROLE_SERVER)
		server_peers(machine);
	else
		client_peer(machine);
	world->watch.allocations_to_fail = fail;
}

void machine_kill(struct machine *machine)
{
	crew_end(machine);
	engine_destroy(machine->engine);
	machine->engine = NULL;
}

void machine_stop(struct machine *machine, enum close_reason reason)
{
	engine_stop(machine->engine, reason, machine->world->now);
	machine_kill(machine);
}

void machine_move(struct machine *machine, bool port_only)
{
	struct world *world = machine->world;

	machine->address.remote_port = (uint16_t)(1024 + world_below(world, 60000));
	if (!port_only)
		machine->address.remote =
			address_from_ipv4((uint8_t[]){ 203, 0, (uint8_t)world_below(world, 256),
						       (uint8_t)(1 + world_below(world, 250)) });
}

void machine_sleep(struct machine *machine)
{
	machine->asleep = true;
}

void machine_wake(struct machine *machine, bool told)
{
	struct world *world = machine->world;
	bool tick_first = world_chance(world, RARELY / 2);

	machine->asleep = false;
	if (tick_first)
		engine_tick(machine->engine, world->now);
	if (told)
		engine_network_changed(machine->engine, world->now);
}

bool machine_is_up(const struct machine *machine, unsigned with)
{
	return machine->engine && machine_snapshot(machine, with).up;
}

struct peer_snapshot machine_snapshot(const struct machine *machine, unsigned with)
{
	struct peer_snapshot s = { 0 };

	engine_gather(machine->engine);
	if (machine->peer[with])
		engine_snapshot(machine->engine, machine->peer[with], &s);
	return s;
}

/* ---- datagrams that arrive ----------------------------------------------------------------- */

static struct machine *reached(struct world *world, const struct datagram *d)
{
	for (unsigned i = 0; i <= world->clients; i++) {
		struct machine *m = &world->machine[i];

		if (m->engine && !m->asleep && endpoint_same_remote(&m->address, &d->to))
			return m;
	}
	return NULL;
}

static bool is_same(const struct peer_snapshot *a, const struct peer_snapshot *b)
{
	return endpoint_equal(&a->endpoint, &b->endpoint) && a->up == b->up &&
	       a->up_since.ns == b->up_since.ns && a->last_handshake.ns == b->last_handshake.ns &&
	       a->last_heard.ns == b->last_heard.ns && a->session_spi == b->session_spi &&
	       a->packets_in == b->packets_in && a->packets_out == b->packets_out &&
	       a->handshakes == b->handshakes && a->inner_mtu == b->inner_mtu &&
	       a->path_proven == b->path_proven && a->staged == b->staged &&
	       strcmp(a->software, b->software) == 0;
}

static void check_forged(const struct machine *machine, const struct inbound *in,
			 struct instant deadline)
{
	const struct world *world = machine->world;

	if (in->verdict == VERDICT_PASS || in->verdict == VERDICT_CONSUMED ||
	    in->verdict == VERDICT_STAGED || in->verdict == VERDICT_RETRIED)
		sim_fail(world, "a forged datagram was taken (%s)", verdict_name(in->verdict));
	if (machine->answers > 0)
		sim_fail(world, "a forged datagram was answered (%s)", verdict_name(in->verdict));
	if (engine_deadline(machine->engine).ns != deadline.ns)
		sim_fail(world, "a forged datagram moved a timer (%s)", verdict_name(in->verdict));
}

/* Nobody has proved anything by @d: it may be answered, shorter and once, but nothing else. */
static void take_unproven(struct machine *machine, struct datagram *d, struct inbound *in)
{
	struct world *world = machine->world;
	struct peer_snapshot before[MACHINES_MAX], after;
	struct instant deadline = engine_deadline(machine->engine);

	for (unsigned i = 0; i <= world->clients; i++)
		before[i] = machine_snapshot(machine, i);
	machine->answers = 0;
	machine->answer_most = 0;
	crew_inbound(machine, in, 1);
	if (machine->answers > 1 || machine->answer_most > d->bytes)
		sim_fail(world, "an unproven datagram of %zu bytes: %u answers, the largest of %zu",
			 d->bytes, machine->answers, machine->answer_most);
	for (unsigned i = 0; i <= world->clients; i++) {
		after = machine_snapshot(machine, i);
		if (!is_same(&before[i], &after))
			sim_fail(world, "an unproven datagram changed a peer (%s)",
				 verdict_name(in->verdict));
	}
	if (d->honesty == FORGED)
		check_forged(machine, in, deadline);
}

static bool is_init(const struct datagram *d)
{
	return wire_u32(d->data) == 0 && control_classify(d->data, d->bytes) == CONTROL_INIT;
}

static bool is_unproven(const struct datagram *d)
{
	return d->honesty == FORGED || is_init(d);
}

static void after_inbound(struct machine *machine, struct inbound *in, size_t n)
{
	struct world *world = machine->world;

	for (size_t i = 0; i < n; i++) {
		if (world->trace)
			printf("%12.6f machine %u: %s\n", (double)world->now.ns / 1e9,
			       machine->number, verdict_name(in[i].verdict));
		if (in[i].verdict == VERDICT_PASS)
			arrive(machine, in[i].inner, in[i].inner_bytes);
	}
	for (unsigned i = 0; i <= world->clients && machine->role == ROLE_SERVER; i++) {
		struct peer_snapshot s = machine_snapshot(machine, i);

		if (endpoint_same_remote(&s.endpoint, &world->attacker))
			sim_fail(world, "the attacker gets the stream of client %u", i);
	}
}

/* What arrives at one machine at one time is taken in as one batch, as far as it proves itself. */
static void take_datagrams(struct world *world, struct happening first)
{
	struct machine *machine = reached(world, first.datagram);
	struct datagram *batch[BURST_MAX];
	struct inbound in[BURST_MAX];
	size_t n = 0;

	batch[n++] = first.datagram;
	while (machine && !is_unproven(first.datagram) && world->queued > 0 && n < BURST_MAX) {
		const struct happening *next = &world->queue[0];

		if (next->at.ns > world->now.ns || next->kind != HAPPENS_DATAGRAM ||
		    is_unproven(next->datagram) || reached(world, next->datagram) != machine)
			break;
		batch[n++] = take_next(world).datagram;
	}
	for (size_t i = 0; i < n; i++) {
		show(world, machine ? "arrives" : "is lost", batch[i]);
		in[i] = (struct inbound){ .datagram = batch[i]->data,
					  .bytes = batch[i]->bytes,
					  .from = &batch[i]->from };
	}
	if (machine && is_unproven(first.datagram))
		take_unproven(machine, first.datagram, in);
	else if (machine)
		crew_inbound(machine, in, n);
	if (machine)
		after_inbound(machine, in, n);
	for (size_t i = 0; i < n; i++)
		free(batch[i]);
}

/* ---- time ---------------------------------------------------------------------------------- */

static void tick(struct machine *machine)
{
	struct world *world = machine->world;

	if (!machine->engine || machine->asleep ||
	    !instant_reached(world->now, engine_deadline(machine->engine)))
		return;
	if (instant_since(world->now, machine->ticks_since) >= NS_PER_S) {
		machine->ticks_since = world->now;
		machine->ticks = 0;
	}
	if (machine->ticks++ > TICKS_A_SECOND_MAX)
		sim_fail(world, "machine %u spins", machine->number);
	engine_tick(machine->engine, world->now);
	crew_settle(machine, world_chance(world, RARELY / 2));
}

static struct instant next_instant(const struct world *world)
{
	struct instant at = world->queued > 0 ? world->queue[0].at : INSTANT_NEVER;

	for (unsigned i = 0; i <= world->clients; i++)
		if (world->machine[i].engine && !world->machine[i].asleep)
			at = instant_earlier(at, engine_deadline(world->machine[i].engine));
	return at;
}

void world_run(struct world *world, int64_t ns)
{
	struct instant end = instant_after(world->now, ns), next;

	while ((next = next_instant(world)).ns <= end.ns) {
		if (next.ns > world->now.ns)
			world->now = next;
		for (unsigned i = 0; i <= world->clients; i++)
			tick(&world->machine[i]);
		while (world->queued > 0 && world->queue[0].at.ns <= world->now.ns) {
			struct happening h = take_next(world);

			if (h.kind == HAPPENS_DATAGRAM)
				take_datagrams(world, h);
			else
				talk(world, h.client);
		}
	}
	world->now = end;
	for (unsigned i = 0; i <= world->clients; i++)
		if (world->machine[i].engine)
			crew_settle(&world->machine[i], true);
}

/* ---- life ---------------------------------------------------------------------------------- */

void world_begin(struct world *world, const char *scenario, uint64_t seed, unsigned clients,
		 bool trace)
{
	*world = (struct world){ .scenario = scenario,
				 .seed = seed,
				 .random = seed,
				 .trace = trace,
				 .now = { 1000 * NS_PER_S },
				 .clients = clients,
				 .network = { .delay_ms = 20, .jitter_ms = 5 },
				 .echoed = INSTANT_NEVER,
				 .keepalive_s = 10 };
	watch_begin(&world->watch, world);
	endpoint_parse("198.51.100.66:6666", &world->attacker);
	for (unsigned i = 0; i <= clients; i++) {
		struct machine *m = &world->machine[i];

		m->world = world;
		m->number = m->key = i;
		m->workers = 1 + (i + (unsigned)(seed % 7)) % WORKERS_MAX;
		m->role = i == SERVER ? ROLE_SERVER : ROLE_CLIENT;
		endpoint_parse("192.0.2.1:4500", &m->address);
		if (i != SERVER)
			machine_move(m, false);
		for (size_t b = 0; b < PSK_BYTES; b++)
			world->psk[i].b[b] = (uint8_t)next_random(world);
		watch_secret(&world->watch, world->psk[i].b);
	}
}

void world_end(struct world *world)
{
	for (unsigned i = 0; i <= world->clients; i++)
		if (world->machine[i].engine)
			machine_stop(&world->machine[i], CLOSE_STOPPING);
	watch_end(&world->watch);
	while (world->queued > 0)
		free(take_next(world).datagram);
	for (unsigned i = 0; i < RECORDED_MAX; i++)
		free(world->recorded[i]);
	free(world->queue);
	free(world->ledger);
}
