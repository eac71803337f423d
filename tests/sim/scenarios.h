/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens in a world.  A fault is something after which traffic has to flow again by itself; a
 * trial is a world of its own, with its own conditions.
 */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include "world.h"

/**
 * struct fault - something goes wrong on a tunnel that works
 * @strike: make it so; returns when whoever is to recover can begin to
 */
struct fault {
	const char *name;
	void (*strike)(struct world *world);
};

/** struct trial - a test with a seed, and with how many it is run when nobody says */
struct trial {
	const char *name;
	void (*run)(struct world *world);
	unsigned clients, ordinary_seeds;
};

extern const struct fault faults[];
extern const unsigned fault_count;
extern const struct trial trials[];
extern const unsigned trial_count;

/**
 * recovery() - one tunnel, some traffic, one fault
 * @loss_percent: of the network, from beginning to end
 * @attacked:     an attacker is there
 *
 * Return: nanoseconds from the fault until a request asked since was answered
 */
int64_t recovery(const struct fault *fault, unsigned loss_percent, bool attacked, uint64_t seed,
		 bool trace);

#endif
