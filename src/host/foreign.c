/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign.h"

#include "host/foreign_rule.h"
#include "host/nft.h"
#include "log.h"
#include "scope.h"

#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

enum { CHAINS_MAX = 64, NAME_BYTES = 64 };

/* Chains remembered while the kernel still tells of others. */
struct collection {
	int count;
	struct {
		char family[8], table[NAME_BYTES], chain[NAME_BYTES];
		bool drops;
	} chain[CHAINS_MAX];
};

static void collect(void *context, const char *family, const char *table, const char *chain,
		    bool drops)
{
	struct collection *c = context;

	if (c->count == CHAINS_MAX)
		return;
	snprintf(c->chain[c->count].family, sizeof(c->chain->family), "%s", family);
	snprintf(c->chain[c->count].table, sizeof(c->chain->table), "%s", table);
	snprintf(c->chain[c->count].chain, sizeof(c->chain->chain), "%s", chain);
	c->chain[c->count].drops = drops;
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
		error = nft_base_chains(fd, NF_INET_FORWARD, collect, &c);
	if (error)
		return error;
	for (int i = 0; i < c.count; i++) {
		struct foreign_chain chain = describe(&c, i, interface);

		if (!c.chain[i].drops || nft_chain_mentions(fd, c.chain[i].family, c.chain[i].table,
							    c.chain[i].chain, interface))
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

/* --- what arrives ------------------------------------------------------------------------------ */

/**
 * struct inspection - what is known of a chain that all that arrives goes through
 * @accepts: a rule of its table takes at least some of what comes to the port
 * @drops:   the chain does so with the rest
 * @ufw:     its table is ufw's
 */
struct inspection {
	const char *chain;
	uint16_t port;
	bool accepts, drops, ufw;
};

/* Rules of other chains count, whether or not this one leads there: better no word than a wrong one. */
static void inspect(void *context, const struct nftnl_rule *rule)
{
	struct inspection *found = context;
	const char *chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
	enum foreign_effect effect =
		foreign_rule_effect(rule, found->port, strcmp(chain, found->chain) == 0);

	found->accepts |= effect == FOREIGN_ACCEPTS;
	found->drops |= effect == FOREIGN_DROPS;
	found->ufw |= strncmp(chain, "ufw", 3) == 0;
}

/* Whoever made the rules forgets what others put between them. */
static void say_how_to_open(const struct collection *c, int i, const struct inspection *found,
			    char ret_command[FOREIGN_COMMAND_BYTES])
{
	if (found->ufw)
		snprintf(ret_command, FOREIGN_COMMAND_BYTES, "ufw allow %u/udp", found->port);
	else if (strcmp(c->chain[i].table, "firewalld") == 0)
		snprintf(ret_command, FOREIGN_COMMAND_BYTES,
			 "firewall-cmd --permanent --add-port=%u/udp && firewall-cmd --reload",
			 found->port);
	else
		snprintf(ret_command, FOREIGN_COMMAND_BYTES,
			 "nft insert rule %s %s %s udp dport %u accept", c->chain[i].family,
			 c->chain[i].table, c->chain[i].chain, found->port);
}

void foreign_warn_of_port(uint16_t port)
{
	char command[FOREIGN_COMMAND_BYTES], last[FOREIGN_COMMAND_BYTES] = "";
	struct collection c = { .count = 0 };
	scoped_fd fd = -1;

	if (nft_open(&fd) != 0 || nft_base_chains(fd, NF_INET_LOCAL_IN, collect, &c) != 0)
		return;
	for (int i = 0; i < c.count; i++) {
		struct inspection found = { .chain = c.chain[i].chain,
					    .port = port,
					    .drops = c.chain[i].drops };

		if (nft_rules(fd, c.chain[i].family, c.chain[i].table, inspect, &found) != 0 ||
		    found.accepts || !found.drops)
			continue;
		say_how_to_open(&c, i, &found, command);
		/* One command opens it for both families. */
		if (strcmp(command, last) != 0)
			log_warning("host: another firewall may drop what clients send to UDP port "
				    "%u: chain %s of table %s %s: '%s' lets it in",
				    port, c.chain[i].chain, c.chain[i].family, c.chain[i].table,
				    command);
		strcpy(last, command);
	}
}
