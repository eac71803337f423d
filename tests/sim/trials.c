/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Worlds with conditions of their own. */
#include "core/engine_state.h"
#include "scenarios.h"

static void start_all(struct world *world)
{
	for (unsigned i = 0; i <= world->clients; i++)
		machine_start(&world->machine[i]);
}

static unsigned long handshakes(struct world *world, unsigned client)
{
	return machine_snapshot(&world->machine[client], SERVER).handshakes;
}

/* In 20 s everybody is to be there, and answer. */
static void recovers(struct world *world)
{
	world_run(world, 20 * NS_PER_S);
	for (unsigned i = 1; i <= world->clients; i++) {
		unsigned long before = world->delivered;

		world_traffic(world, i, (struct traffic){ 0 });
		send_packets(world, i, SERVER, 1, 100);
		world_run(world, NS_PER_S);
		if (world->delivered < before + 2)
			sim_fail(world, "client %u does not find back", i);
	}
}

/* A wire that loses nothing, but delays, reorders and repeats: of what is sent through a thousand rekeys
 * every packet arrives.  Bursts go out whenever a session changes. */
static void thousand_rekeys(struct world *world)
{
	struct machine *client = &world->machine[1];
	unsigned long seen = 0;

	world->network.jitter_ms = 200;
	world->network.duplicate = RARELY / 20;
	start_all(world);
	world_run(world, NS_PER_S);
	while (handshakes(world, 1) < 1000) {
		send_packets(world, 1, SERVER, 1, 60);
		send_packets(world, SERVER, 1, 1, 60);
		if (client->events[EVENT_REKEYED] != seen) {
			seen = client->events[EVENT_REKEYED];
			send_packets(world, 1, SERVER, 70, 100);
			send_packets(world, SERVER, 1, 70, 100);
			world_run(world, world_below(world, 300) * NS_PER_MS);
		}
		world_run(world, (50 + (int64_t)world_below(world, 10000)) * NS_PER_MS);
	}
	world_run(world, 5 * NS_PER_S);
	if (world->delivered != world->packets)
		sim_fail(world, "%lu of %zu packets arrived", world->delivered, world->packets);
	for (unsigned i = 0; i <= 1; i++)
		if (world->machine[i].events[EVENT_UP] != 1 || world->machine[i].events[EVENT_DOWN])
			sim_fail(world, "machine %u was down", i);
	watch_keys_gone(&world->watch, (struct instant){ world->now.ns - 195 * NS_PER_S });
}

/* A session whose numbers come to an end: it asks for another in time, and when it gets none, it ends
 * rather than use a number twice. */
static void used_up(struct world *world)
{
	struct machine *m = world->machine;
	struct peer_snapshot before;

	m[SERVER].workers = m[1].workers = 1;
	start_all(world);
	world_run(world, 2 * NS_PER_S);
	before = machine_snapshot(&m[1], SERVER);
	m[1].peer[SERVER]->current->out[0].next = REKEY_AFTER_PACKETS - 5;
	send_packets(world, 1, SERVER, 20, 100);
	world_run(world, 2 * NS_PER_S);
	if (handshakes(world, 1) != before.handshakes)
		sim_fail(world, "a handshake without need within 5 s of the last");
	world_run(world, 2 * NS_PER_S);
	if (handshakes(world, 1) != before.handshakes + 1)
		sim_fail(world, "2^31 packets and no rekey");

	world_run(world, 10 * NS_PER_S);
	m[SERVER].peer[1]->current->out[0].next = SEQUENCE_MAX - 5;
	send_packets(world, SERVER, 1, BURST_MAX / 2, 100);
	world_run(world, 2 * NS_PER_S);
	if (world->delivered != world->packets)
		sim_fail(world, "%lu of %zu packets arrived", world->delivered, world->packets);
	if (m[SERVER].events[EVENT_DOWN] != 1)
		sim_fail(world, "a session sends on without numbers");
}

/* An hour without fault: 31.5 to 32 handshakes, each end with what it should have. */
static void quiet_hour(struct world *world)
{
	unsigned long before;

	start_all(world);
	world_run(world, 10 * NS_PER_S);
	before = handshakes(world, 1);
	world_run(world, 3600 * NS_PER_S);
	if (handshakes(world, 1) - before < 30 || handshakes(world, 1) - before > 33)
		sim_fail(world, "%lu handshakes in an hour", handshakes(world, 1) - before);
	watch_keys_gone(&world->watch, (struct instant){ world->now.ns - 195 * NS_PER_S });
}

/* What passes is found, without a word from the path, by both ends. */
static void narrow_path(struct world *world)
{
	struct machine *m = world->machine;
	unsigned mtu;

	world->network.limit = 576 + world_below(world, 1500 - 576);
	start_all(world);
	world_run(world, 5 * NS_PER_S);
	mtu = machine_snapshot(&m[1], SERVER).inner_mtu;
	if (mtu != machine_snapshot(&m[SERVER], 1).inner_mtu)
		sim_fail(world, "the ends do not agree on the path");
	if (envelope_bytes(mtu) + UDP_HEADER_BYTES + IPV4_HEADER_BYTES > world->network.limit)
		sim_fail(world, "%u bytes do not fit the path", mtu);
	send_packets(world, 1, SERVER, 10, mtu);
	send_packets(world, SERVER, 1, 10, mtu);
	world_run(world, NS_PER_S);
	if (world->delivered != world->packets)
		sim_fail(world, "%lu of %zu packets arrived", world->delivered, world->packets);

	/* another network, another path */
	world->network.limit = 0;
	machine_move(&m[1], false);
	engine_network_changed(m[1].engine, world->now);
	world_run(world, 5 * NS_PER_S);
	if (machine_snapshot(&m[SERVER], 1).inner_mtu != INNER_MTU_OVER_IPV4)
		sim_fail(world, "the server still believes in the old path");
}

/* A stranger throws everything at both ends; nobody but the tunnel itself is to notice. */
static void stranger(struct world *world)
{
	start_all(world);
	world_traffic(world, 1, (struct traffic){ 100, true, true, 200 });
	world_run(world, 2 * NS_PER_S);
	for (unsigned i = 0; i < 3000; i++) {
		world_attack(world);
		world_run(world, world_below(world, 20) * NS_PER_MS);
	}
	if (!machine_is_up(&world->machine[1], SERVER) || world->machine[1].events[EVENT_DOWN])
		sim_fail(world, "the stranger ended the session");
}

/* Recorded Inits rain on the server, 200 a second; a client that comes back is served at once. */
static void replayed_inits(struct world *world)
{
	enum { INITS = 64 };
	static struct datagram init[INITS];
	unsigned inits = 0;
	struct instant began;

	world_traffic(world, 1, (struct traffic){ 20, true, false, 100 });
	start_all(world);
	while (inits < INITS) { /* harvest */
		machine_kill(&world->machine[1]);
		machine_move(&world->machine[1], true);
		machine_start(&world->machine[1]);
		world_run(world, 100 * NS_PER_MS);
		for (unsigned i = 0; i < RECORDED_MAX && i < world->recorded_count && inits < INITS;
		     i++)
			if (world->recorded[i]->bytes == 1024)
				init[inits++] = *world->recorded[i];
	}
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < 200 + world_below(world, 200); i++) {
			world_inject(world, &init[world_below(world, INITS)],
				     world_below(world, 3) == 0);
			world_run(world, 5 * NS_PER_MS);
		}
		machine_kill(&world->machine[1]);
		machine_move(&world->machine[1], true);
		machine_start(&world->machine[1]);
		began = world->now;
		while (!machine_is_up(&world->machine[1], SERVER)) {
			world_inject(world, &init[world_below(world, INITS)], false);
			world_run(world, 5 * NS_PER_MS);
			if (instant_since(world->now, began) > 600 * NS_PER_MS)
				sim_fail(world, "replayed Inits keep a client out");
		}
	}
}

/* An attacker next to the client is always faster.  He must not get the stream, nor keep it away. */
static void racing_attacker(struct world *world)
{
	struct machine *client = &world->machine[1];

	world_traffic(world, 1, (struct traffic){ 100, true, true, 200 });
	world->network.race = true;
	start_all(world);
	for (unsigned round = 0; round < 20; round++) {
		unsigned long before;

		world_run(world, world_below(world, 10000) * NS_PER_MS);
		if (round % 2) {
			machine_move(client, true);
			engine_network_changed(client->engine, world->now);
		} else {
			machine_kill(client);
			machine_move(client, true);
			machine_start(client);
		}
		world_run(world, 10 * NS_PER_S);
		before = world->delivered;
		world_run(world, NS_PER_S);
		if (world->delivered < before + 10)
			sim_fail(world, "the attacker keeps the client out");
	}
}

/* Memory comes and goes.  Nothing may break by that, and with the memory the tunnel comes back. */
static void no_memory(struct world *world)
{
	start_all(world);
	world_traffic(world, 1, (struct traffic){ 500, true, true, 200 });
	world->watch.allocations_to_fail = 3;
	for (unsigned i = 0; i < 40; i++) {
		world_run(world, world_below(world, 200) * NS_PER_S);
		machine_move(&world->machine[1], false);
		world_run(world, world_below(world, 30000) * NS_PER_MS);
		machine_kill(&world->machine[i % 2]);
		machine_start(&world->machine[i % 2]);
	}
	world->watch.allocations_to_fail = 0;
	recovers(world);
}

/* How often a session of @machine became the one in use. */
static unsigned long takes(const struct machine *machine)
{
	return machine->events[EVENT_UP] + machine->events[EVENT_REKEYED];
}

/* Ten minutes in which one machine has the key and another wants it. */
static void as_they_should(struct world *world, const struct machine *stays,
			   const struct machine *goes)
{
	const struct machine *server = &world->machine[SERVER];
	struct machine was = *stays, other = *goes;
	unsigned long moves = server->events[EVENT_ENDPOINT], answered, asked;

	world_run(world, 600 * NS_PER_S);
	asked = 600000 / (world->traffic[stays->number].period_ms + 1);
	answered = stays->answered - was.answered;
	if (answered < asked * 8 / 10)
		sim_fail(world, "who has the key gets %lu answers to %lu questions", answered,
			 asked);
	if (stays->events[EVENT_DOWN] != was.events[EVENT_DOWN] ||
	    takes(stays) - takes(&was) > 600 / 110 + 1)
		sim_fail(world, "who has the key does not keep it");
	if (takes(goes) != takes(&other) || server->events[EVENT_ENDPOINT] != moves)
		sim_fail(world, "the key goes from one machine to the other and back");
	asked = goes->events[EVENT_REFUSED] - other.events[EVENT_REFUSED];
	if (asked == 0 || asked > 600 / 30 + 1)
		sim_fail(world, "who is refused asks %lu times in ten minutes", asked);
}

/* A key file was copied: two machines use it.  The server says so.  Who came last, by his start or by a
 * rekey that was just under way, stays and does not notice; the other asks every 30 s, until the first
 * one is gone. */
static void two_machines(struct world *world)
{
	struct machine *m = world->machine, *first = &m[1], *last = &m[2], *stays, *goes;
	unsigned long answered, answered_last;

	world->network.loss = world_below(world, RARELY / 20);
	world->network.duplicate = RARELY / 100;
	world->network.jitter_ms = world_below(world, 300);
	machine_copies_key(last, 1);
	for (unsigned i = 1; i <= 2; i++)
		world_traffic(world, i,
			      (struct traffic){ 100 + world_below(world, 900), true, false, 200 });
	machine_start(&m[SERVER]);
	machine_start(first);
	world_run(world, 10 * NS_PER_S + world_below(world, 200000) * NS_PER_MS);
	if (m[SERVER].events[EVENT_KEY_ELSEWHERE])
		sim_fail(world, "one machine was taken for two");

	machine_start(last);
	world_run(world, 15 * NS_PER_S);
	if (!m[SERVER].events[EVENT_KEY_ELSEWHERE])
		sim_fail(world, "two machines are not noticed in 15 s");

	if (last->events[EVENT_UP] == 0)
		sim_fail(world, "who came last was not let in");
	world_run(world, 30 * NS_PER_S);
	answered = first->answered;
	answered_last = last->answered;
	world_run(world, 15 * NS_PER_S);
	if ((first->answered == answered) == (last->answered == answered_last))
		sim_fail(world, "not one of two machines has the key, but both or none");
	stays = first->answered > answered ? first : last;
	goes = stays == first ? last : first;
	as_they_should(world, stays, goes);

	if (world_below(world, 2))
		machine_kill(stays);
	else
		machine_stop(stays, CLOSE_STOPPING);
	answered = goes->answered;
	world_run(world, 60 * NS_PER_S);
	if (goes->answered == answered)
		sim_fail(world, "the key is free, and is not given");
}

static void mishap(struct world *world)
{
	unsigned i = world_below(world, world->clients + 1);
	struct machine *m = &world->machine[i];

	switch (world_below(world, 12)) {
	case 0:
	case 1:
		if (m->engine && !m->asleep)
			machine_kill(m);
		else if (!m->engine)
			machine_start(m);
		break;
	case 2:
		if (m->engine && !m->asleep)
			machine_stop(m, world_below(world, 4));
		break;
	case 3:
		if (i != SERVER)
			machine_move(m, world_below(world, 2));
		break;
	case 4:
		if (m->engine && !m->asleep)
			machine_sleep(m);
		break;
	case 5:
		if (m->asleep)
			machine_wake(m, world_below(world, 2));
		break;
	case 6:
		world->network.outage = world_below(world, 3) == 0;
		break;
	case 7:
		world->network.loss = world_below(world, RARELY / 3);
		world->network.jitter_ms = world_below(world, 300);
		world->network.duplicate = world_below(world, RARELY / 10);
		world->network.corrupt = world_below(world, RARELY / 50);
		break;
	case 8:
		send_packets(world, SERVER, 1 + world_below(world, world->clients), BURST_MAX, 400);
		send_packets(world, 1 + world_below(world, world->clients), SERVER, BURST_MAX, 400);
		break;
	case 9:
		if (m->engine && !m->asleep)
			engine_network_changed(m->engine, world->now);
		break;
	case 10:
		send_spoofed(world, 1 + world_below(world, world->clients));
		break;
	case 11:
		world->machine[SERVER].file[1 + world_below(world, world->clients)] =
			(struct endpoint){ 0 };
		break;
	}
}

static void heal(struct world *world)
{
	world->network = (struct network){ .delay_ms = 20, .jitter_ms = 5 };
	for (unsigned i = 0; i <= world->clients; i++) {
		if (!world->machine[i].engine)
			machine_start(&world->machine[i]);
		else if (world->machine[i].asleep)
			machine_wake(&world->machine[i], true);
	}
}

/* Everything at once, to all; and then peace, in which everybody finds back. */
static void chaos(struct world *world)
{
	start_all(world);
	for (unsigned i = 1; i <= world->clients; i++)
		world_traffic(world, i,
			      (struct traffic){ 200 + world_below(world, 3000),
						world_below(world, 2), world_below(world, 2),
						300 });
	world->network.attack = RARELY / 10;
	for (unsigned step = 0; step < 300; step++) {
		mishap(world);
		world_run(world, world_below(world, 2) ? world_below(world, 500) * NS_PER_MS
						       : world_below(world, 30000) * NS_PER_MS);
		watch_keys_gone(&world->watch, (struct instant){ world->now.ns - 3000 * NS_PER_S });
	}
	heal(world);
	recovers(world);
}

/* clang-format off */
const struct trial trials[] = {
	{ "thousand-rekeys", thousand_rekeys, 1, 1 },
	{ "quiet-hour",      quiet_hour,      2, 3 },
	{ "used-up",         used_up,         1, 3 },
	{ "narrow-path",     narrow_path,     1, 20 },
	{ "stranger",        stranger,        1, 3 },
	{ "racing-attacker", racing_attacker, 1, 3 },
	{ "replayed-inits",  replayed_inits,  1, 2 },
	{ "no-memory",       no_memory,       1, 3 },
	{ "two-machines",    two_machines,    2, 10 },
	{ "chaos",           chaos,           CLIENTS_MAX, 4 },
};
/* clang-format on */
const unsigned trial_count = sizeof(trials) / sizeof(*trials);
