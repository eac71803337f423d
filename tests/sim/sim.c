/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Engines in bad worlds, under a virtual clock.  Without options: every fault and every trial with a few
 * seeds, in some seconds.  With --seeds N: a table of recovery times over that many.
 */
#include "scenarios.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECOVERY_MAX (20 * NS_PER_S)

struct options {
	const char *scenario;
	uint64_t seed;
	unsigned seeds;
	int loss; /* percent; -1 = 0, 10 and 30 */
	bool trace;
};

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool is_wanted(const struct options *o, const char *name)
{
	return !o->scenario || strcmp(o->scenario, name) == 0;
}

/* One row: p50, p95, max in seconds.  False if it takes longer than it may. */
static bool show_recovery(const struct options *o, const struct fault *fault, unsigned loss)
{
	int64_t *took = calloc(o->seeds, sizeof(*took));
	unsigned late = 0;
	bool good;

	if (!took)
		abort();
	for (unsigned i = 0; i < o->seeds; i++) {
		took[i] = recovery(fault, loss, (o->seed + i) % 4 == 3, o->seed + i, o->trace);
		if (took[i] <= RECOVERY_MAX)
			continue;
		late++;
		fprintf(stderr, "%.1f s: sim --scenario %s --loss %u --seed %llu --trace\n",
			(double)took[i] / 1e9, fault->name, loss,
			(unsigned long long)(o->seed + i));
	}
	qsort(took, o->seeds, sizeof(*took), by_size);
	printf("%-24s %3u %%  %7.2f %7.2f %7.2f\n", fault->name, loss,
	       (double)took[o->seeds / 2] / 1e9, (double)took[o->seeds * 95 / 100] / 1e9,
	       (double)took[o->seeds - 1] / 1e9);
	free(took);
	good = loss <= 10 ? late == 0 : late * 100 <= o->seeds;
	if (!good)
		fprintf(stderr, "%s: %u of %u take longer than 20 s\n", fault->name, late,
			o->seeds);
	return good;
}

static void run_trial(const struct options *o, const struct trial *trial)
{
	static struct world world;

	for (unsigned i = 0; i < o->seeds; i++) {
		world_begin(&world, trial->name, o->seed + i, trial->clients, o->trace);
		trial->run(&world);
		world_end(&world);
	}
	printf("%-24s %u good\n", trial->name, o->seeds);
}

static bool is_known(const char *name)
{
	for (unsigned i = 0; i < fault_count; i++)
		if (strcmp(faults[i].name, name) == 0)
			return true;
	for (unsigned i = 0; i < trial_count; i++)
		if (strcmp(trials[i].name, name) == 0)
			return true;
	return false;
}

static struct options read_options(int argc, char **argv)
{
	static const struct option names[] = { { "scenario", required_argument, NULL, 's' },
					       { "seed", required_argument, NULL, 'e' },
					       { "seeds", required_argument, NULL, 'n' },
					       { "loss", required_argument, NULL, 'l' },
					       { "trace", no_argument, NULL, 't' },
					       { 0 } };
	struct options o = { .seed = 1, .seeds = 0, .loss = -1 };
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			o.scenario = optarg;
			break;
		case 'e':
			o.seed = strtoull(optarg, NULL, 10);
			o.seeds = o.seeds ? o.seeds : 1;
			break;
		case 'n':
			o.seeds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'l':
			o.loss = atoi(optarg);
			break;
		case 't':
			o.trace = true;
			break;
		default:
			fprintf(stderr, "usage: sim [--scenario NAME] [--seed N] [--seeds N] "
					"[--loss PERCENT] [--trace]\n");
			exit(2);
		}
	}
	return o;
}

int main(int argc, char **argv)
{
	static const unsigned losses[] = { 0, 10, 30 };
	struct options o = read_options(argc, argv);
	bool ordinary = o.seeds == 0, good = true;

	if (sodium_init() < 0)
		return 1;
	if (o.scenario && !is_known(o.scenario)) {
		fprintf(stderr, "sim: no scenario is called '%s'\n", o.scenario);
		return 2;
	}
	setvbuf(stdout, NULL, o.trace ? _IOFBF : _IOLBF, 1 << 16);
	if (ordinary)
		o.seeds = 12;
	printf("%-24s %5s  %7s %7s %7s\n", "fault", "loss", "p50", "p95", "max s");
	for (unsigned l = 0; l < 3; l++)
		for (unsigned i = 0; i < fault_count; i++)
			if (is_wanted(&o, faults[i].name) &&
			    (o.loss < 0 || (unsigned)o.loss == losses[l]))
				good &= show_recovery(&o, &faults[i], losses[l]);
	for (unsigned i = 0; i < trial_count; i++) {
		if (!is_wanted(&o, trials[i].name))
			continue;
		if (ordinary)
			o.seeds = trials[i].ordinary_seeds;
		run_trial(&o, &trials[i]);
	}
	return good ? 0 : 1;
}
