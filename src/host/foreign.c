/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign.h"

#include "host/nft.h"
#include "log.h"
#include "scope.h"

#include <stdio.h>

enum { CHAINS_MAX = 16, NAME_BYTES = 64 };

/* Chains remembered while the kernel still tells of others. */
struct collection {
	int count;
	struct {
		char family[8], table[NAME_BYTES], chain[NAME_BYTES];
	} chain[CHAINS_MAX];
};

static void collect(void *context, const char *family, const char *table, const char *chain)
{
	struct collection *c = context;

	if (c->count == CHAINS_MAX)
		return;
	snprintf(c->chain[c->count].family, sizeof(c->chain->family), "%s", family);
	snprintf(c->chain[c->count].table, sizeof(c->chain->table), "%s", table);
	snprintf(c->chain[c->count].chain, sizeof(c->chain->chain), "%s", chain);
	c->count++;
}

static struct foreign_chain describe(const struct collection *c, int i, const char *interface)
{
	const char *family = c->chain[i].family, *table = c->chain[i].table,
		   *chain = c->chain[i].chain;
	struct foreign_chain told;

	snprintf(told.name, sizeof(told.name), "chain %s of table %s %s", chain, family, table);
	snprintf(told.command[0], sizeof(told.command[0]),
		 "nft insert rule %s %s %s iifname %s accept", family, table, chain, interface);
	snprintf(told.command[1], sizeof(told.command[1]),
		 "nft insert rule %s %s %s oifname %s ct state established,related accept", family,
		 table, chain, interface);
	return told;
}

int foreign_each(const char *interface,
		 void (*each)(void *context, const struct foreign_chain *chain), void *context)
{
	struct collection c = { .count = 0 };
	scoped_fd fd = -1;
	int error = nft_open(&fd), told = 0;

	if (!error)
		error = nft_dropping_chains(fd, collect, &c);
	if (error)
		return error;
	for (int i = 0; i < c.count; i++) {
		struct foreign_chain chain = describe(&c, i, interface);

		if (nft_chain_mentions(fd, c.chain[i].family, c.chain[i].table, c.chain[i].chain,
				       interface))
			continue;
		each(context, &chain);
		told++;
	}
	return told;
}

static void warn(void *context, const struct foreign_chain *chain)
{
	(void)context;
	log_warning("host: another firewall drops what clients send on: %s: run '%s' and '%s'",
		    chain->name, chain->command[0], chain->command[1]);
}

void foreign_warn(const char *interface)
{
	foreign_each(interface, warn, NULL);
}
