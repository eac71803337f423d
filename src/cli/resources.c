/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/resources.h"

#include "cli/say.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>

/**
 * struct resource - one that has a limit
 * @number: RLIMIT_*
 * @least:  with less than this, what is started might fail anywhere
 * @usual:  a limit below this is raised to it as far as the machine permits
 * @unit:   of what ulimit shows, in those of setrlimit()
 * @name, @flag: for a person: what is limited, and by which of ulimit's flags
 */
static const struct resource {
	int number;
	rlim_t least, usual, unit;
	const char *name, *flag;
} resources[] = {
	{ RLIMIT_STACK, 1 << 20, 8 << 20, 1 << 10, "KiB of stack", "-s" },
	/* Sixteen queues of the tun device, and some for each further worker. */
	{ RLIMIT_NOFILE, 64, 256, 1, "open files", "-n" },
};

/* The most that may be had, up to what is usual.  Above the hard limit there is more only for who may
 * administer resources. */
static rlim_t raise_one(const struct resource *r)
{
	struct rlimit limit, wanted;

	if (getrlimit(r->number, &limit) < 0 || limit.rlim_cur >= r->usual)
		return r->usual;
	wanted = (struct rlimit){ r->usual, limit.rlim_max > r->usual ? limit.rlim_max : r->usual };
	if (setrlimit(r->number, &wanted) == 0)
		return r->usual;
	wanted = (struct rlimit){ limit.rlim_max, limit.rlim_max };
	return setrlimit(r->number, &wanted) == 0 ? wanted.rlim_cur : limit.rlim_cur;
}

int resources_raise(void)
{
	for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++) {
		const struct resource *r = &resources[i];
		rlim_t had = raise_one(r);

		if (had >= r->least)
			continue;
		say("the limit of %llu %s is too low, expected %llu at least (see 'ulimit %s')",
		    (unsigned long long)(had / r->unit), r->name,
		    (unsigned long long)(r->least / r->unit), r->flag);
		return EXIT_FAILURE;
	}
	return -1;
}
