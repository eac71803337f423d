/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's workers: the engine and its lanes.  Orders lie about until their lane is next used, as
 * they would until its thread wakes up; reports are taken in when a lane is done.  Which worker a packet
 * falls to, its number says; a datagram comes to the wrong one now and then.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

enum { REPORTS_MAX = 256, ASTRAY = RARELY / 50 };

struct sent_report {
	struct lane_report report;
	size_t bytes;
	uint8_t room[ENVELOPE_HEAD_BYTES + DATAGRAM_MAX + ENVELOPE_TAIL_BYTES];
};

static void follow_orders(struct machine *machine, unsigned worker)
{
	struct lane_order *order;

	while ((order = machine->orders[worker])) {
		machine->orders[worker] = order->next;
		lane_execute(engine_lane(machine->engine, worker), order);
		engine_order_done(machine->engine, order);
	}
}

void crew_order(void *shell, unsigned worker, struct lane_order *order)
{
	struct machine *machine = shell;
	struct lane_order **last = &machine->orders[worker];

	while (*last)
		last = &(*last)->next;
	order->next = NULL;
	*last = order;
	if (machine->ending)
		follow_orders(machine, worker);
}

static bool crew_report(void *shell, const struct lane_report *report, const uint8_t *bytes,
			size_t n)
{
	struct machine *machine = shell;
	struct sent_report *r;

	if (n > DATAGRAM_MAX)
		sim_fail(machine->world, "a lane reports %zu bytes", n);
	if (machine->report_count == REPORTS_MAX)
		return false;
	r = &machine->reports[machine->report_count++];
	r->report = *report;
	r->bytes = n;
	if (n > 0)
		memcpy(r->room + ENVELOPE_HEAD_BYTES, bytes, n);
	return true;
}

void crew_start(struct machine *machine)
{
	const struct lane_hooks hooks = { machine, crew_report };

	machine->ending = false;
	machine->reports = malloc(REPORTS_MAX * sizeof(*machine->reports));
	if (!machine->reports)
		abort();
	for (unsigned worker = 1; worker < machine->workers; worker++)
		lane_start(engine_lane(machine->engine, worker), &hooks, &machine->world->watch);
}

void crew_end(struct machine *machine)
{
	machine->ending = true;
	for (unsigned worker = 1; worker < machine->workers; worker++)
		follow_orders(machine, worker);
	free(machine->reports);
	machine->reports = NULL;
	machine->report_count = 0;
}

void crew_settle(struct machine *machine, bool orders)
{
	for (unsigned i = 0; i < machine->report_count; i++) {
		struct sent_report *r = &machine->reports[i];

		engine_report(machine->engine, &r->report, r->room + ENVELOPE_HEAD_BYTES, r->bytes,
			      machine->world->now);
	}
	machine->report_count = 0;
	engine_guide(machine->engine);
	for (unsigned worker = 1; orders && worker < machine->workers; worker++)
		follow_orders(machine, worker);
}

void crew_outbound(struct machine *machine, struct outbound *packets, unsigned n, unsigned flow)
{
	unsigned worker = flow % machine->workers;

	if (worker == 0) {
		engine_outbound(machine->engine, packets, n, machine->world->now);
	} else {
		follow_orders(machine, worker);
		lane_outbound(engine_lane(machine->engine, worker), packets, n,
			      machine->world->now);
	}
	crew_settle(machine, false);
}

static void take_in(struct machine *machine, unsigned worker, struct inbound *in, size_t n)
{
	if (worker == 0) {
		engine_inbound(machine->engine, in, n, machine->world->now);
	} else {
		follow_orders(machine, worker);
		lane_inbound(engine_lane(machine->engine, worker), in, n, machine->world->now);
	}
	crew_settle(machine, false);
}

static unsigned worker_of(const struct machine *machine, const struct inbound *in)
{
	return in->bytes < 4 ? 0 : spi_worker(wire_u32(in->datagram), machine->workers);
}

void crew_inbound(struct machine *machine, struct inbound *in, size_t n)
{
	struct world *world = machine->world;

	for (size_t i = 0, same; i < n; i += same) {
		unsigned worker = worker_of(machine, &in[i]);

		for (same = 1; i + same < n && worker_of(machine, &in[i + same]) == worker;)
			same++;
		if (machine->workers > 1 && world_chance(world, ASTRAY)) {
			unsigned wrong = (worker + 1) % machine->workers;

			take_in(machine, wrong, &in[i], same);
			if (wrong != 0 && in[i].verdict != VERDICT_HANDED_OVER)
				sim_fail(world, "a lane takes what is another's");
			if (in[i].verdict != VERDICT_HANDED_OVER)
				continue;
		}
		take_in(machine, worker, &in[i], same);
	}
}
