/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client and a server, and a wire on which everything that happens is read from the input: what
 * arrives, in which order, how often, how it was changed; how time passes; what the two machines do.
 * The AEAD lets everything pass whose tag is zero, so that changed records get through to what is inside.
 */
#include "minivpn/engine.h"
#include "minivpn/wire.h"

#include "fuzz.h"

#include <sodium.h>

enum { WIRE_MAX = 64, ROOM = 2048, BATCH_MAX = 80, SERVER = 0, CLIENT = 1 };

struct machine {
	struct engine *engine;
	struct peer *peer;
	struct endpoint address;
};

static struct datagram {
	unsigned to;
	struct endpoint from;
	size_t bytes;
	uint8_t data[ROOM];
} wire[WIRE_MAX];
static size_t on_wire;

static struct machine machine[2];
static struct instant now;
static uint64_t drawn;
static struct reader input;

/* ---- a cipher that fails only when told to ------------------------------------------------- */

static void seal(void *context, struct aead_op *ops, size_t n)
{
	(void)context;
	for (size_t i = 0; i < n; i++)
		memset(ops[i].tag, 0, AEAD_TAG_BYTES);
}

static void open(void *context, struct aead_op *ops, size_t n)
{
	(void)context;
	for (size_t i = 0; i < n; i++)
		ops[i].ok = sodium_is_zero(ops[i].tag, AEAD_TAG_BYTES);
}

static const struct aead transparent = {
	.name = "none", .seal = seal, .open = open, .seal_limit = UINT32_MAX, .forgery_limit = 20
};

/* ---- hooks --------------------------------------------------------------------------------- */

static void hook_random(void *shell, uint8_t *bytes, size_t n)
{
	(void)shell;
	for (size_t i = 0; i < n; i++) {
		drawn = drawn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		bytes[i] = (uint8_t)(drawn >> 40);
	}
}

static void *hook_allocate(void *shell, size_t bytes)
{
	size_t room = (bytes + 63) & ~(size_t)63;
	void *memory = aligned_alloc(64, room);

	(void)shell;
	fuzz_check(memory);
	return memset(memory, 0, room);
}

static void hook_release(void *shell, void *memory)
{
	(void)shell;
	free(memory);
}

static void put_on_wire(const struct machine *from, const uint8_t *bytes, size_t size)
{
	struct datagram *d = &wire[on_wire++ % WIRE_MAX];

	fuzz_check(size > 0 && size <= ROOM);
	d->to = from == &machine[SERVER] ? CLIENT : SERVER;
	d->from = from->address;
	d->bytes = size;
	memcpy(d->data, bytes, size);
}

static void hook_transmit(void *shell, const struct transmission *t)
{
	fuzz_check(!endpoint_is_none(t->to));
	put_on_wire(shell, t->bytes, t->size);
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	(void)shell;
	fuzz_check(bytes >= IPV4_HEADER_BYTES && (packet[0] >> 4 == 4 || packet[0] >> 4 == 6));
}

static void hook_event(void *shell, const struct engine_event *event)
{
	(void)shell;
	fuzz_check(event->kind != EVENT_PATH_MTU || event->inner_mtu > 0);
}

/* ---- machines ------------------------------------------------------------------------------ */

static void start(unsigned which, bool remembers)
{
	static const struct psk psk = { { 1, 2, 3, 4 } };
	struct machine *m = &machine[which];
	struct engine_config config = {
		.hooks = { m, hook_random, hook_allocate, hook_release, hook_transmit, hook_deliver,
			   hook_event },
		.role = which == SERVER ? ROLE_SERVER : ROLE_CLIENT,
		.aead = &transparent,
		.inner_mtu = INNER_MTU_OVER_IPV4,
		.workers = 1 + which,
		.keepalive_ns = 10 * NS_PER_S,
		.software = "fuzz",
	};
	struct prefix everything[2] = { { address_from_ipv4((uint8_t[4]){ 0 }), 0 },
					{ { { 0 } }, 0 } };
	struct peer_config peer = {
		.tag = m, .psk = &psk, .allowed = everything, .allowed_count = 2
	};

	if (which == CLIENT || remembers)
		peer.endpoint = machine[!which].address;
	m->engine = engine_create(&config, now);
	fuzz_check(m->engine);
	m->peer = engine_peer_add(m->engine, &peer, now);
	fuzz_check(m->peer);
}

static void restart(unsigned which, uint8_t how)
{
	if (how & 1)
		engine_stop(machine[which].engine, how >> 1 & 3, now);
	engine_destroy(machine[which].engine);
	start(which, how >> 3 & 1);
}

static void give(unsigned which, struct inbound *in, size_t n)
{
	engine_inbound(machine[which].engine, in, n, now);
	for (size_t i = 0; i < n; i++) {
		if (in[i].verdict != VERDICT_PASS)
			continue;
		fuzz_check(in[i].inner >= in[i].datagram &&
			   in[i].inner + in[i].inner_bytes <= in[i].datagram + in[i].bytes);
		fuzz_check(in[i].peer == machine[which].peer);
	}
}

/* A run of datagrams from the wire to one machine, in one call; the first may be changed. */
static void arrive(uint8_t how)
{
	struct inbound in[BATCH_MAX];
	struct endpoint from[BATCH_MAX];
	unsigned which = how & 1;
	size_t n = 0, left = on_wire < WIRE_MAX ? on_wire : WIRE_MAX;
	size_t first = reader_u8(&input), count = how & 2 ? 1 : left;

	for (size_t i = 0; i < left && n < count; i++) {
		struct datagram *d = &wire[(first + i) % left];

		if (d->to != which)
			continue;
		from[n] = d->from;
		in[n] = (struct inbound){ .datagram = fuzz_copy(d->data, d->bytes),
					  .bytes = d->bytes,
					  .from = &from[n],
					  .tos = how >> 6 };
		n++;
	}
	if (n > 0 && how & 4) /* change bytes */
		for (unsigned i = reader_u8(&input) % 8; i > 0; i--) {
			size_t at = reader_u16(&input) % in[0].bytes;

			in[0].datagram[at] = reader_u8(&input);
		}
	if (n > 0 && how & 8) /* from somewhere else */
		from[0].remote_port = (uint16_t)(from[0].remote_port + 1);
	if (n > 0 && how & 16 &&
	    in[0].bytes > ENVELOPE_MIN_BYTES) { /* a new number, a new content */
		size_t bytes = reader_u8(&input);
		const uint8_t *content = reader_take(&input, bytes);

		memset(in[0].datagram + 6, reader_u8(&input), 1);
		if (content && ENVELOPE_HEAD_BYTES + bytes + ENVELOPE_ICV_BYTES <= in[0].bytes) {
			memcpy(in[0].datagram + ENVELOPE_HEAD_BYTES, content, bytes);
			in[0].bytes = ENVELOPE_HEAD_BYTES + bytes + ENVELOPE_ICV_BYTES;
			memset(in[0].datagram + in[0].bytes - ENVELOPE_ICV_BYTES, 0,
			       ENVELOPE_ICV_BYTES);
		}
	}
	give(which, in, n);
	for (size_t i = 0; i < n; i++)
		free(in[i].datagram);
}

static void arrive_raw(unsigned which)
{
	size_t bytes = reader_u8(&input);
	const uint8_t *raw = reader_take(&input, bytes);
	struct inbound in = { .bytes = bytes, .from = &machine[!which].address };

	if (!raw || bytes == 0)
		return;
	in.datagram = fuzz_copy(raw, bytes);
	give(which, &in, 1);
	free(in.datagram);
}

static void send(unsigned which, uint8_t how)
{
	static uint8_t room[ROOM];
	uint8_t *packet = room + ENVELOPE_HEAD_BYTES;
	struct outbound out[BATCH_MAX];
	size_t bytes = reader_u16(&input) % 1500;
	unsigned count = how & 4 ? 1 : 1 + reader_u8(&input) % BATCH_MAX;

	for (unsigned i = 0; i < count; i++) {
		memset(packet, 0, bytes);
		packet[0] = 0x45;
		wire_put_u16(packet + 2, (uint32_t)bytes);
		packet[6] = how & 8 ? 0x40 : 0;
		packet[12] = packet[16] = 10;
		if (how & 16) {
			const uint8_t *header = reader_take(&input, 40);

			if (header && bytes >= 40)
				memcpy(packet, header, 40);
		}
		out[0] = (struct outbound){ .inner = packet, .inner_bytes = bytes };
		engine_outbound(machine[which].engine, out, 1, now);
		if (out[0].verdict != VERDICT_PASS)
			continue;
		fuzz_check(out[0].record == room && out[0].record_bytes <= ROOM &&
			   !endpoint_is_none(out[0].to));
		put_on_wire(&machine[which], out[0].record, out[0].record_bytes);
	}
}

static void pass_time(uint8_t how)
{
	static const int64_t step[] = { NS_PER_MS, 100 * NS_PER_MS, NS_PER_S, 10 * NS_PER_S,
					100 * NS_PER_S };
	int64_t passes = step[how % 5] * (1 + how / 5 % 8);
	struct instant end = instant_after(now, passes);

	for (int64_t ticks = 0;; ticks++) {
		struct instant next = instant_earlier(engine_deadline(machine[CLIENT].engine),
						      engine_deadline(machine[SERVER].engine));

		if (next.ns > end.ns)
			break;
		fuzz_check(ticks < 300 + 20 * passes / NS_PER_S); /* it spins */
		now = next.ns > now.ns ? next : now;
		engine_tick(machine[CLIENT].engine, now);
		engine_tick(machine[SERVER].engine, now);
	}
	now = end;
}

static void happen(uint8_t what, uint8_t how)
{
	unsigned which = how & 1;
	struct machine *m = &machine[which];

	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		arrive(how);
		break;
	case 5:
		arrive_raw(which);
		break;
	case 6:
	case 7:
		send(which, how);
		break;
	case 8:
	case 9:
	case 10:
		pass_time(how);
		break;
	case 11:
		restart(which, how >> 1);
		break;
	case 12:
		engine_network_changed(m->engine, now);
		break;
	case 13:
		engine_path_mtu(m->engine, &machine[!which].address.remote, reader_u16(&input),
				now);
		break;
	case 14:
		m->address.remote_port++;
		if (how & 2 && which == SERVER)
			engine_peer_endpoint(machine[CLIENT].engine, machine[CLIENT].peer,
					     &m->address, now);
		break;
	case 15: /* time leaps, and nobody has ticked yet */
		now = instant_after(now, how * 3 * NS_PER_S);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (sodium_init() < 0)
		return 0;
	input = reader_over(bytes, size);
	now.ns = 1000 * NS_PER_S;
	on_wire = 0;
	drawn = 1;
	fuzz_check(endpoint_parse("192.0.2.1:4500", &machine[SERVER].address));
	fuzz_check(endpoint_parse("192.0.2.2:40000", &machine[CLIENT].address));
	start(SERVER, false);
	start(CLIENT, false);
	pass_time(0);

	for (unsigned steps = 0; input.ok && input.left > 0 && steps < 300; steps++) {
		uint8_t what = reader_u8(&input), how = reader_u8(&input);

		happen(what, how);
	}
	engine_destroy(machine[SERVER].engine);
	engine_destroy(machine[CLIENT].engine);
	return 0;
}
