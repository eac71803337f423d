/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults, and how long traffic needs to flow again after one. */
#include "scenarios.h"

static void first_contact(struct world *world)
{
	machine_kill(&world->machine[1]);
	machine_kill(&world->machine[SERVER]);
	world_run(world, 200 * NS_PER_S);
	world->machine[SERVER].file[1] = (struct endpoint){ 0 };
	machine_start(&world->machine[SERVER]);
	machine_start(&world->machine[1]);
}

static void client_killed(struct world *world)
{
	machine_kill(&world->machine[1]);
	machine_move(&world->machine[1], true);
	machine_start(&world->machine[1]);
}

static void server_killed(struct world *world)
{
	machine_kill(&world->machine[SERVER]);
	machine_start(&world->machine[SERVER]);
}

static void server_killed_file_lost(struct world *world)
{
	machine_kill(&world->machine[SERVER]);
	world->machine[SERVER].file[1] = (struct endpoint){ 0 };
	machine_start(&world->machine[SERVER]);
}

static void server_stopped(struct world *world)
{
	machine_stop(&world->machine[SERVER], CLOSE_RESTARTING);
	world_run(world, world_below(world, 5000) * NS_PER_MS);
	machine_start(&world->machine[SERVER]);
}

static void nat_rebinding(struct world *world)
{
	machine_move(&world->machine[1], true);
}

static void roaming_with_event(struct world *world)
{
	machine_move(&world->machine[1], false);
	engine_network_changed(world->machine[1].engine, world->now);
}

static void suspend_and_new_nat(struct world *world)
{
	machine_sleep(&world->machine[1]);
	world_run(world, (1 + (int64_t)world_below(world, 1800)) * NS_PER_S);
	machine_move(&world->machine[1], true);
	machine_wake(&world->machine[1], true);
}

static void server_suspended(struct world *world)
{
	machine_sleep(&world->machine[SERVER]);
	world_run(world, (1 + (int64_t)world_below(world, 600)) * NS_PER_S);
	machine_wake(&world->machine[SERVER], true);
}

static void outage(struct world *world)
{
	world->network.outage = true;
	world_run(world, (1 + (int64_t)world_below(world, 400)) * NS_PER_S);
	world->network.outage = false;
}

static void both_initiate(struct world *world)
{
	machine_kill(&world->machine[1]);
	machine_kill(&world->machine[SERVER]);
	machine_start(&world->machine[SERVER]);
	world_run(world, world_below(world, 60) * NS_PER_MS);
	machine_start(&world->machine[1]);
}

static void both_rekey(struct world *world)
{
	/* Each dead to the other for long enough that both ask; then the line is mended. */
	world_traffic(
		world, 1,
		(struct traffic){
			.period_ms = 200, .client_asks = true, .server_asks = true, .bytes = 100 });
	world->network.outage = true;
	world_run(world, (9500 + (int64_t)world_below(world, 3000)) * NS_PER_MS);
	world->network.outage = false;
}

const struct fault faults[] = {
	{ "first-contact", first_contact },
	{ "client-killed", client_killed },
	{ "server-killed", server_killed },
	{ "server-killed-file-lost", server_killed_file_lost },
	{ "server-stopped", server_stopped },
	{ "nat-rebinding", nat_rebinding },
	{ "roaming-with-event", roaming_with_event },
	{ "suspend-and-new-nat", suspend_and_new_nat },
	{ "server-suspended", server_suspended },
	{ "outage", outage },
	{ "both-initiate", both_initiate },
	{ "both-rekey", both_rekey },
};
const unsigned fault_count = sizeof(faults) / sizeof(*faults);

int64_t recovery(const struct fault *fault, unsigned loss_percent, bool attacked, uint64_t seed,
		 bool trace)
{
	static struct world world;
	struct traffic traffic = { .bytes = 200 };
	int64_t took;

	world_begin(&world, fault->name, seed, 1, trace);
	world.network.loss = loss_percent * (RARELY / 100);
	world.network.duplicate = RARELY / 100;
	world.network.attack = attacked ? RARELY / 20 : 0;
	traffic.period_ms = 100 + world_below(&world, 400);
	traffic.client_asks = world_below(&world, 3) != 0;
	traffic.server_asks = !traffic.client_asks || world_below(&world, 2) != 0;

	machine_start(&world.machine[SERVER]);
	machine_start(&world.machine[1]);
	world_traffic(&world, 1, traffic);
	world_run(&world, 15 * NS_PER_S + world_below(&world, 130000) * NS_PER_MS);

	fault->strike(&world);
	world.echo_client = 1;
	world.echo_since = world.now;
	world.echoed = INSTANT_NEVER;
	while (world.echoed.ns == INSTANT_NEVER.ns) {
		world_run(&world, NS_PER_MS * 10);
		if (instant_since(world.now, world.echo_since) > 300 * NS_PER_S)
			sim_fail(&world, "nothing flows for five minutes");
	}
	took = instant_since(world.echoed, world.echo_since);
	if (!attacked && world.machine[SERVER].events[EVENT_KEY_ELSEWHERE])
		sim_fail(&world, "one machine was taken for two");
	world_run(&world, world_below(&world, 10000) * NS_PER_MS);
	watch_keys_gone(&world.watch, (struct instant){ world.now.ns - 195 * NS_PER_S });
	world_end(&world);
	return took;
}
