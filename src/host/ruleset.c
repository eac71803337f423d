/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the table is there for:
 *
 *	guard        nobody on a local network can send to the tunnel's own address from outside of it
 *	             (CVE-2019-14899); only with a full tunnel
 *	output       a family that a full tunnel does not carry is refused at once
 *	clamp        TCP connections that are forwarded never learn of a smaller path otherwise, where
 *	             ICMP is filtered
 *	forward      the tunnel's networks get out; what comes back to them is an answer
 *	postrouting  on their way out they get an address that the world can answer
 *
 * No outgoing interface is named unless somebody asked for it: "not the tunnel" is right on every
 * machine, and stays right when the uplink changes.
 */
#include "host/ruleset.h"

#include "log.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

/* After the C library's headers, lest both define the same. */
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>

const struct ruleset_chain_form ruleset_chain_forms[] = {
	{ "guard", "filter", "prerouting", "raw", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	{ "output", "filter", "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER },
	{ "clamp", "filter", "forward", "mangle", NF_INET_FORWARD, NF_IP_PRI_MANGLE },
	{ "forward", "filter", "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER },
	{ "postrouting", "nat", "postrouting", "srcnat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
};
static_assert(sizeof(ruleset_chain_forms) / sizeof(*ruleset_chain_forms) == CHAIN_COUNT,
	      "every chain is described");

/* --- from a plan ------------------------------------------------------------------------------ */

static struct ruleset_term arrived_by(const char *interface)
{
	struct ruleset_term term = { .kind = TERM_IIF };

	memcpy(term.interface, interface, strnlen(interface, sizeof(term.interface) - 1));
	return term;
}

static struct ruleset_term leaves_by(const char *interface)
{
	struct ruleset_term term = arrived_by(interface);

	term.kind = TERM_OIF;
	return term;
}

static struct ruleset_term never(struct ruleset_term term)
{
	term.negate = 1;
	return term;
}

static struct ruleset_term from(const struct prefix *network)
{
	return (struct ruleset_term){ .kind = TERM_SOURCE, .prefix = *network };
}

static struct ruleset_term to(const struct prefix *network)
{
	return (struct ruleset_term){ .kind = TERM_DESTINATION, .prefix = *network };
}

static struct ruleset_term simply(enum ruleset_term_kind kind)
{
	return (struct ruleset_term){ .kind = (uint8_t)kind };
}

/* Room is there for every plan: see the assertion. */
static_assert(RULESET_RULES_MAX >= PLAN_ADDRESSES_MAX + 2 + 2 + 2 + 1 + 3 * PLAN_NETWORKS_MAX + 1 +
					   PLAN_NETWORKS_MAX,
	      "every plan fits");

static void add(struct ruleset *ruleset, enum ruleset_chain chain, size_t count,
		const struct ruleset_term *terms)
{
	struct ruleset_rule *rule = &ruleset->rule[ruleset->rule_count++];

	memset(rule, 0, sizeof(*rule));
	rule->chain = (uint8_t)chain;
	rule->term_count = (uint8_t)count;
	memcpy(rule->term, terms, count * sizeof(*terms));
}

#define add_rule(ruleset, chain, ...)                                                     \
	add(ruleset, chain,                                                               \
	    sizeof((struct ruleset_term[]){ __VA_ARGS__ }) / sizeof(struct ruleset_term), \
	    (struct ruleset_term[]){ __VA_ARGS__ })

static void guard_addresses(struct ruleset *ruleset, const struct plan *plan)
{
	for (size_t i = 0; i < plan->address_count; i++) {
		struct prefix host = plan->address[i];

		if (plan_way(plan, &host.address) != PLAN_WAY_TUNNEL)
			continue;
		host.length = address_is_ipv4(&host.address) ? 32 : 128;
		add_rule(ruleset, CHAIN_GUARD, never(arrived_by(plan->interface)), to(&host),
			 simply(TERM_SOURCE_NOT_LOCAL), simply(TERM_DROP));
	}
}

static void refuse(struct ruleset *ruleset, const struct plan *plan, enum ruleset_chain chain)
{
	if (plan->default_ipv4 == PLAN_WAY_REFUSED)
		add_rule(ruleset, chain, leaves_by(plan->interface), simply(TERM_IPV4),
			 simply(TERM_REJECT));
	if (plan->default_ipv6 == PLAN_WAY_REFUSED)
		add_rule(ruleset, chain, leaves_by(plan->interface), simply(TERM_IPV6),
			 simply(TERM_REJECT));
}

static void clamp(struct ruleset *ruleset, const struct plan *plan)
{
	add_rule(ruleset, CHAIN_CLAMP, arrived_by(plan->interface), simply(TERM_TCP_SYN),
		 simply(TERM_CLAMP_MSS));
	add_rule(ruleset, CHAIN_CLAMP, leaves_by(plan->interface), simply(TERM_TCP_SYN),
		 simply(TERM_CLAMP_MSS));
}

/* The tunnel's networks may leave, by one interface or by any. */
static void let_out(struct ruleset *ruleset, const struct plan *plan)
{
	for (size_t i = 0; i < plan->network_count; i++) {
		const struct prefix *network = &plan->network[i];

		if (!plan->out[0]) {
			add_rule(ruleset, CHAIN_FORWARD, arrived_by(plan->interface), from(network),
				 simply(TERM_ACCEPT));
			continue;
		}
		add_rule(ruleset, CHAIN_FORWARD, arrived_by(plan->interface), leaves_by(plan->out),
			 from(network), simply(TERM_ACCEPT));
		add_rule(ruleset, CHAIN_FORWARD, arrived_by(plan->interface),
			 never(leaves_by(plan->interface)), from(network), simply(TERM_DROP));
	}
}

/* What goes to networks that nobody outside can know is an answer, or somebody is trying. */
static void let_answers_in(struct ruleset *ruleset, const struct plan *plan)
{
	add_rule(ruleset, CHAIN_FORWARD, leaves_by(plan->interface), simply(TERM_ESTABLISHED),
		 simply(TERM_ACCEPT));
	for (size_t i = 0; i < plan->network_count; i++)
		add_rule(ruleset, CHAIN_FORWARD, never(arrived_by(plan->interface)),
			 leaves_by(plan->interface), to(&plan->network[i]), simply(TERM_DROP));
}

static void masquerade(struct ruleset *ruleset, const struct plan *plan)
{
	for (size_t i = 0; i < plan->network_count; i++)
		add_rule(ruleset, CHAIN_POSTROUTING, from(&plan->network[i]),
			 plan->out[0] ? leaves_by(plan->out) : never(leaves_by(plan->interface)),
			 simply(TERM_MASQUERADE));
}

char *ruleset_table_name(const char *interface, char ret_name[RULESET_TABLE_BYTES])
{
	snprintf(ret_name, RULESET_TABLE_BYTES, RULESET_TABLE_PREFIX "%.15s", interface);
	return ret_name;
}

void ruleset_of_plan(const struct plan *plan, bool owned, struct ruleset *ret_ruleset)
{
	memset(ret_ruleset, 0, sizeof(*ret_ruleset));
	ruleset_table_name(plan->interface, ret_ruleset->table);
	ret_ruleset->owned = owned;
	guard_addresses(ret_ruleset, plan);
	refuse(ret_ruleset, plan, CHAIN_OUTPUT);
	if (plan->clamp_mss)
		clamp(ret_ruleset, plan);
	refuse(ret_ruleset, plan, CHAIN_FORWARD);
	if (plan->isolate_peers)
		add_rule(ret_ruleset, CHAIN_FORWARD, arrived_by(plan->interface),
			 leaves_by(plan->interface), simply(TERM_DROP));
	if (plan->masquerade || plan->out[0])
		let_out(ret_ruleset, plan);
	if (!plan->masquerade || !plan->network_count)
		return;
	let_answers_in(ret_ruleset, plan);
	masquerade(ret_ruleset, plan);
}

bool ruleset_equal(const struct ruleset *a, const struct ruleset *b)
{
	return strcmp(a->table, b->table) == 0 && a->rule_count == b->rule_count &&
	       memcmp(a->rule, b->rule, a->rule_count * sizeof(*a->rule)) == 0;
}

/* --- as text ---------------------------------------------------------------------------------- */

static void print_term(const struct ruleset_term *term, FILE *out)
{
	const char *family = address_is_ipv4(&term->prefix.address) ? "ip" : "ip6";
	const char *not = term->negate ? "!= " : "";
	char where[PREFIX_TEXT_BYTES];

	/* A single host is written as nft writes it, without the length. */
	if (term->prefix.length == (address_is_ipv4(&term->prefix.address) ? 32 : 128))
		address_print(&term->prefix.address, where);
	else
		prefix_print(&term->prefix, where);

	switch ((enum ruleset_term_kind)term->kind) {
	case TERM_IIF:
		fprintf(out, "iifname %s\"%s\"", not, term->interface);
		return;
	case TERM_OIF:
		fprintf(out, "oifname %s\"%s\"", not, term->interface);
		return;
	case TERM_IPV4:
		fprintf(out, "meta nfproto ipv4");
		return;
	case TERM_IPV6:
		fprintf(out, "meta nfproto ipv6");
		return;
	case TERM_SOURCE:
		fprintf(out, "%s saddr %s", family, where);
		return;
	case TERM_DESTINATION:
		fprintf(out, "%s daddr %s", family, where);
		return;
	case TERM_SOURCE_NOT_LOCAL:
		fprintf(out, "fib saddr type != local");
		return;
	case TERM_ESTABLISHED:
		fprintf(out, "ct state established,related");
		return;
	case TERM_TCP_SYN:
		fprintf(out, "tcp flags syn / syn,rst");
		return;
	case TERM_ACCEPT:
		fprintf(out, "accept");
		return;
	case TERM_DROP:
		fprintf(out, "drop");
		return;
	case TERM_REJECT:
		fprintf(out, "reject with icmpx no-route");
		return;
	case TERM_MASQUERADE:
		fprintf(out, "masquerade");
		return;
	case TERM_CLAMP_MSS:
		fprintf(out, "tcp option maxseg size set rt mtu");
		return;
	case TERM_NONE:
	case TERM_KIND_COUNT:
		break;
	}
	fprintf(out, "# not a term");
}

static void print_chain(const struct ruleset *ruleset, enum ruleset_chain chain, FILE *out)
{
	bool begun = false;

	for (size_t i = 0; i < ruleset->rule_count; i++) {
		const struct ruleset_rule *rule = &ruleset->rule[i];

		if (rule->chain != chain)
			continue;
		if (!begun)
			fprintf(out,
				"\tchain %s {\n\t\ttype %s hook %s priority %s; policy accept;\n",
				ruleset_chain_forms[chain].name, ruleset_chain_forms[chain].type,
				ruleset_chain_forms[chain].hook,
				ruleset_chain_forms[chain].priority_name);
		begun = true;
		fputc('\t', out);
		for (size_t j = 0; j < rule->term_count; j++) {
			fputc(j ? ' ' : '\t', out);
			print_term(&rule->term[j], out);
		}
		fputc('\n', out);
	}
	if (begun)
		fprintf(out, "\t}\n");
}

void ruleset_print(const struct ruleset *ruleset, FILE *out)
{
	/* The first two lines empty a table that is there, and do no harm if there is none. */
	fprintf(out, "table inet %s\ndelete table inet %s\n", ruleset->table, ruleset->table);
	fprintf(out, "table inet %s {\n", ruleset->table);
	for (enum ruleset_chain chain = 0; chain < CHAIN_COUNT; chain++)
		print_chain(ruleset, chain, out);
	fprintf(out, "}\n");
}
