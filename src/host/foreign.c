/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign.h"

#include "host/foreign_legacy.h"
#include "host/nft.h"
#include "host/rtnl.h"
#include "log.h"
#include "scope.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* After the C library's headers, lest both define the same. */
#include <linux/netfilter.h>

enum {
	CHAINS_MAX = 64,
	FORWARDED_PORT = 443, /* what clients send on most */
	NUMBER_BYTES = 8,
};

/* What the tunnel needs of other firewalls. */
enum need {
	NEED_OUT,     /* what clients send on */
	NEED_ANSWERS, /* and what comes back */
	NEED_PORT,    /* what clients send to the server */
	NEED_COUNT
};

/**
 * struct chain - a chain that packets come in by
 * @family: as nft calls it; of the older iptables, the command's name
 * @drops:  by its policy
 */
struct chain {
	char family[FOREIGN_NAME_BYTES], table[FOREIGN_NAME_BYTES], name[FOREIGN_NAME_BYTES];
	bool drops, legacy;
};

/**
 * struct look - what is asked, and what is known
 * @nft:       socket of nf_tables, or -1
 * @port:      as text
 * @uplinks:   by which interfaces each family leaves
 * @chain:     those remembered while the kernel still tells of others
 */
struct look {
	int nft;
	const char *interface;
	char port[NUMBER_BYTES];
	struct foreign_interfaces uplinks[2];
	size_t count;
	struct chain chain[CHAINS_MAX];
};

/* --- the packets ------------------------------------------------------------------------------- */

static void add_uplink(void *context, const char *interface, const struct prefix *network)
{
	struct foreign_interfaces *uplinks = context;

	if (network->length > 0)
		return;
	uplinks += !address_is_ipv4(&network->address);
	/* By several at once: nobody knows by which. */
	if (uplinks->count < FOREIGN_UPLINKS_MAX && *interface)
		snprintf(uplinks->name[uplinks->count++], sizeof(*uplinks->name), "%s", interface);
}

static struct foreign_interfaces only(const char *interface)
{
	struct foreign_interfaces one = { .count = 1 };

	snprintf(one.name[0], sizeof(one.name[0]), "%s", interface);
	return one;
}

static void find_uplinks(const char *out, struct foreign_interfaces uplinks[2])
{
	scoped_fd rtnl = -1;

	if (*out) {
		uplinks[0] = uplinks[1] = only(out);
		return;
	}
	if (rtnl_open(&rtnl) == 0)
		rtnl_routes(rtnl, add_uplink, uplinks);
}

static struct foreign_packet packet_of(const struct look *look, enum need need, uint8_t family)
{
	const struct foreign_interfaces *uplinks = &look->uplinks[family == 6];
	struct foreign_packet packet = { .hook = NF_INET_FORWARD,
					 .family = family,
					 .protocol = IPPROTO_TCP,
					 .state = FOREIGN_STATE_NEW,
					 .port = FORWARDED_PORT,
					 .in = *uplinks,
					 .out = *uplinks };

	if (need == NEED_PORT) {
		packet.hook = NF_INET_LOCAL_IN;
		packet.protocol = IPPROTO_UDP;
		packet.port = (uint16_t)strtoul(look->port, NULL, 10);
		return packet;
	}
	snprintf(packet.interface, sizeof(packet.interface), "%s", look->interface);
	if (need == NEED_OUT) {
		packet.in = only(look->interface);
	} else {
		packet.out = only(look->interface);
		packet.state = FOREIGN_STATE_ESTABLISHED;
	}
	return packet;
}

/* --- the chains -------------------------------------------------------------------------------- */

static void remember(struct look *look, const struct chain *chain)
{
	if (look->count < CHAINS_MAX)
		look->chain[look->count++] = *chain;
}

static void collect(void *context, const char *family, const char *table, const char *name,
		    bool drops)
{
	struct chain chain = { .drops = drops };

	snprintf(chain.family, sizeof(chain.family), "%s", family);
	snprintf(chain.table, sizeof(chain.table), "%s", table);
	snprintf(chain.name, sizeof(chain.name), "%s", name);
	remember(context, &chain);
}

static void collect_legacy(struct look *look, uint32_t hook, uint8_t family)
{
	const struct foreign_packet packet = { .hook = hook, .family = family };
	struct foreign_table table = { .count = 0 };
	struct chain chain = { .legacy = true, .table = "filter" };

	if (foreign_legacy_read(&packet, &table, &chain.drops) == 0) {
		strcpy(chain.family, family == 4 ? "iptables-legacy" : "ip6tables-legacy");
		strcpy(chain.name, foreign_legacy_chain(hook));
		remember(look, &chain);
	}
	foreign_table_free(&table);
}

/* Return: 0, or negative errno where there is no nf_tables. */
static int collect_all(struct look *look, uint32_t hook)
{
	int error = nft_open(&look->nft);

	if (!error)
		error = nft_base_chains(look->nft, hook, collect, look);
	collect_legacy(look, hook, 4);
	collect_legacy(look, hook, 6);
	return error;
}

struct reading {
	const struct foreign_packet *packet;
	struct foreign_table *table;
};

static void take_rule(void *context, const struct nftnl_rule *nft)
{
	const struct reading *reading = context;
	struct foreign_rule rule;

	foreign_rule_read(nft, reading->packet, &rule);
	foreign_table_add(reading->table, &rule);
}

static int read_table(const struct look *look, const struct chain *chain,
		      const struct foreign_packet *packet, struct foreign_table *table)
{
	struct reading reading = { packet, table };
	bool ignored;

	if (chain->legacy)
		return foreign_legacy_read(packet, table, &ignored);
	return nft_rules(look->nft, chain->family, chain->table, take_rule, &reading);
}

static bool is_of(const struct chain *chain, uint8_t family)
{
	return strcmp(chain->family, "inet") == 0 ||
	       (strncmp(chain->family, "ip6", 3) == 0) == (family == 6);
}

/* Does it drop that, of every family that it is for?  @ret_table is what it was found in. */
static bool drops(const struct look *look, const struct chain *chain, enum need need,
		  struct foreign_table *ret_table)
{
	bool any = false;

	for (uint8_t family = 4; family <= 6; family += 2) {
		const struct foreign_packet packet = packet_of(look, need, family);

		if (!is_of(chain, family))
			continue;
		foreign_table_free(ret_table);
		if (read_table(look, chain, &packet, ret_table) != 0 ||
		    !foreign_table_drops(ret_table, chain->name, chain->drops))
			return false;
		any = true;
	}
	return any;
}

/* --- what to type ------------------------------------------------------------------------------ */

static bool is_ufws(const struct chain *chain, const struct foreign_table *table)
{
	(void)chain;
	return foreign_table_has(table, "ufw");
}

static bool is_firewallds(const struct chain *chain, const struct foreign_table *table)
{
	return strcmp(chain->table, "firewalld") == 0 || foreign_table_has(table, "INPUT_ZONES") ||
	       foreign_table_has(table, "FORWARD_ZONES");
}

static bool is_legacy(const struct chain *chain, const struct foreign_table *table)
{
	(void)table;
	return chain->legacy;
}

static bool has_iptables(void)
{
	static const char *const paths[] = { "/usr/sbin/iptables-nft", "/sbin/iptables-nft",
					     "/usr/bin/iptables-nft" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (access(paths[i], X_OK) == 0)
			return true;
	return false;
}

/* A rule that nft puts into a table of iptables' may be one that iptables cannot show: it then refuses to
 * do anything with that table.  One without rules may be anybody's. */
static bool is_iptables(const struct chain *chain, const struct foreign_table *table)
{
	return strcmp(chain->family, "inet") != 0 && strcmp(chain->table, "filter") == 0 &&
	       (strcmp(chain->name, "FORWARD") == 0 || strcmp(chain->name, "INPUT") == 0) &&
	       !table->uncounted && (table->counted || has_iptables());
}

static bool is_anybodys(const struct chain *chain, const struct foreign_table *table)
{
	(void)chain;
	(void)table;
	return true;
}

#define TRUST "firewall-cmd --permanent --zone=trusted --add-interface=@i && firewall-cmd --reload"

/* Whoever makes the rules of a chain forgets what others put between them, so each is told in its own words:
 * @i interface, @p port, @f family, @t table, @c chain. */
static const struct maker {
	bool (*made)(const struct chain *chain, const struct foreign_table *table);
	const char *command[NEED_COUNT];
} makers[] = {
	{ is_ufws,
	  { "ufw route allow in on @i", "ufw route allow out on @i", "ufw allow @p/udp" } },
	{ is_firewallds,
	  { TRUST, TRUST, "firewall-cmd --permanent --add-port=@p/udp && firewall-cmd --reload" } },
	{ is_legacy,
	  { "@f -I @c -i @i -j ACCEPT",
	    "@f -I @c -o @i -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
	    "@f -I @c -p udp --dport @p -j ACCEPT" } },
	{ is_iptables,
	  { "@ftables-nft -I @c -i @i -j ACCEPT",
	    "@ftables-nft -I @c -o @i -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
	    "@ftables-nft -I @c -p udp --dport @p -j ACCEPT" } },
	{ is_anybodys,
	  { "nft insert rule @f @t @c iifname @i accept",
	    "nft insert rule @f @t @c oifname @i ct state established,related accept",
	    "nft insert rule @f @t @c udp dport @p accept" } },
};

static void write_command(const struct look *look, const struct chain *chain, const char *template,
			  char ret_command[FOREIGN_COMMAND_BYTES])
{
	size_t at = 0;

	for (const char *c = template; *c && at < FOREIGN_COMMAND_BYTES - 1; c++) {
		const char *word = *c != '@'   ? NULL
				   : c[1] == 'i' ? look->interface
				   : c[1] == 'p' ? look->port
				   : c[1] == 'f' ? chain->family
				   : c[1] == 't' ? chain->table
						 : chain->name;
		size_t left = FOREIGN_COMMAND_BYTES - at;

		if (!word) {
			ret_command[at++] = *c;
			continue;
		}
		snprintf(ret_command + at, left, "%s", word);
		at += strnlen(word, left - 1);
		c++;
	}
	ret_command[at] = '\0';
}

static void add_command(const struct look *look, const struct chain *chain, enum need need,
			const struct foreign_table *table, struct foreign_chain *told)
{
	const struct maker *maker = makers;
	char *command = told->command[told->commands];

	while (!maker->made(chain, table))
		maker++;
	write_command(look, chain, maker->command[need], command);
	/* One may open it for both. */
	if (told->commands == 0 || strcmp(command, told->command[0]) != 0)
		told->commands++;
}

/* Tells of each chain of the hook that drops what is needed, but those that the same commands open.
 * Return: how many, or negative errno. */
static int tell_each(struct look *look, uint32_t hook, const enum need *needs, size_t count,
		     void (*each)(void *context, const struct foreign_chain *chain), void *context)
{
	struct foreign_chain last = { .commands = 0 };
	int told = 0, error = collect_all(look, hook);

	for (size_t i = 0; i < look->count; i++) {
		const struct chain *chain = &look->chain[i];
		struct foreign_chain found = { .commands = 0 };
		struct foreign_table table = { .count = 0 };

		for (size_t j = 0; j < count; j++)
			if (drops(look, chain, needs[j], &table))
				add_command(look, chain, needs[j], &table, &found);
		foreign_table_free(&table);
		if (!found.commands ||
		    memcmp(found.command, last.command, sizeof(last.command)) == 0)
			continue;
		snprintf(found.name, sizeof(found.name), "chain %s of table %s %s", chain->name,
			 chain->family, chain->table);
		each(context, &found);
		last = found;
		told++;
	}
	close_fd(&look->nft);
	return told > 0 ? told : error;
}

int foreign_each(const char *interface, const char *out,
		 void (*each)(void *context, const struct foreign_chain *chain), void *context)
{
	const enum need needs[] = { NEED_OUT, NEED_ANSWERS };
	struct look look = { .nft = -1, .interface = interface };

	find_uplinks(out, look.uplinks);
	return tell_each(&look, NF_INET_FORWARD, needs, 2, each, context);
}

static void warn(void *context, const struct foreign_chain *chain)
{
	(void)context;
	if (chain->commands == 1)
		log_warning("host: another firewall drops what clients send on: %s: run '%s'",
			    chain->name, chain->command[0]);
	else
		log_warning(
			"host: another firewall drops what clients send on: %s: run '%s' and '%s'",
			chain->name, chain->command[0], chain->command[1]);
}

void foreign_warn(const char *interface, const char *out)
{
	foreign_each(interface, out, warn, NULL);
}

static void warn_of_port(void *context, const struct foreign_chain *chain)
{
	log_warning("host: another firewall may drop what clients send to UDP port %s: %s: '%s' "
		    "lets it in",
		    (const char *)context, chain->name, chain->command[0]);
}

void foreign_warn_of_port(uint16_t port)
{
	const enum need needs[] = { NEED_PORT };
	struct look look = { .nft = -1, .interface = "" };

	snprintf(look.port, sizeof(look.port), "%u", port);
	find_uplinks("", look.uplinks);
	tell_each(&look, NF_INET_LOCAL_IN, needs, 1, warn_of_port, look.port);
}
