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
#include "scope.h"

/* Before the kernel's headers, which then leave out what the C library has defined already. */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/batch.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>

/* The chains, in the order of enum ruleset_chain. */
static const struct {
	const char *name, *type, *hook, *priority_name;
	uint32_t hook_number;
	int32_t priority;
} chains[] = {
	{ "guard", "filter", "prerouting", "raw", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	{ "output", "filter", "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER },
	{ "clamp", "filter", "forward", "mangle", NF_INET_FORWARD, NF_IP_PRI_MANGLE },
	{ "forward", "filter", "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER },
	{ "postrouting", "nat", "postrouting", "srcnat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
};
static_assert(sizeof(chains) / sizeof(*chains) == CHAIN_COUNT, "every chain is described");

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
	snprintf(ret_name, RULESET_TABLE_BYTES, "minivpn-%.15s", interface);
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
				chains[chain].name, chains[chain].type, chains[chain].hook,
				chains[chain].priority_name);
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

/* --- as netlink ------------------------------------------------------------------------------- */

/* Where the messages go.  @failed: memory ran out; nothing after that counts. */
struct composer {
	char *at, *end;
	uint32_t sequence;
	struct nlmsghdr *last;
	bool failed;
};

enum { MESSAGE_BYTES_MAX = 2048 }; /* libnftnl does not ask how much room there is */

static struct nlmsghdr *begin_message(struct composer *c, uint16_t type, uint16_t flags)
{
	if (c->failed || c->end - c->at < MESSAGE_BYTES_MAX) {
		c->failed = true;
		return NULL;
	}
	c->last = nftnl_nlmsg_build_hdr(c->at, type, NFPROTO_INET, flags, ++c->sequence);
	return c->last;
}

static void end_message(struct composer *c)
{
	c->at += NLMSG_ALIGN(c->last->nlmsg_len);
}

static void free_table(struct nftnl_table **table)
{
	if (*table)
		nftnl_table_free(*table);
}

static void free_chain(struct nftnl_chain **chain)
{
	if (*chain)
		nftnl_chain_free(*chain);
}

static void free_rule(struct nftnl_rule **rule)
{
	if (*rule)
		nftnl_rule_free(*rule);
}

static void put_table(struct composer *c, const struct ruleset *ruleset, uint16_t type,
		      uint16_t flags)
{
	__attribute__((cleanup(free_table))) struct nftnl_table *table = nftnl_table_alloc();
	struct nlmsghdr *message = begin_message(c, type, flags);

	if (!table || !message) {
		c->failed = true;
		return;
	}
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, ruleset->table);
	if (type == NFT_MSG_NEWTABLE)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS,
				    ruleset->owned ? NFT_TABLE_F_OWNER : 0);
	nftnl_table_nlmsg_build_payload(message, table);
	end_message(c);
}

static void put_chain(struct composer *c, const struct ruleset *ruleset, enum ruleset_chain which)
{
	__attribute__((cleanup(free_chain))) struct nftnl_chain *chain = nftnl_chain_alloc();
	struct nlmsghdr *message = begin_message(c, NFT_MSG_NEWCHAIN, NLM_F_CREATE);

	if (!chain || !message) {
		c->failed = true;
		return;
	}
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, ruleset->table);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, chains[which].name);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, chains[which].type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, chains[which].hook_number);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, chains[which].priority);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(message, chain);
	end_message(c);
}

/* A new expression at the end of @rule.  Its values are set by number: attributes of all kinds of
 * expression begin at the same one. */
static struct nftnl_expr *expression(struct composer *c, struct nftnl_rule *rule, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e)
		nftnl_rule_add_expr(rule, e);
	else
		c->failed = true;
	return e;
}

static void put_load(struct composer *c, struct nftnl_rule *rule, const char *name, uint16_t key_at,
		     uint32_t key, uint16_t register_at)
{
	struct nftnl_expr *e = expression(c, rule, name);

	if (!e)
		return;
	nftnl_expr_set_u32(e, key_at, key);
	nftnl_expr_set_u32(e, register_at, NFT_REG_1);
}

static void put_compare(struct composer *c, struct nftnl_rule *rule, uint32_t how,
			const void *value, uint32_t bytes)
{
	struct nftnl_expr *e = expression(c, rule, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, how);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, value, bytes);
}

static void put_mask(struct composer *c, struct nftnl_rule *rule, const void *mask, uint32_t bytes)
{
	static const uint8_t zero[16];
	struct nftnl_expr *e = expression(c, rule, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, bytes);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, bytes);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero, bytes);
}

static void put_payload(struct composer *c, struct nftnl_rule *rule, uint32_t base, uint32_t offset,
			uint32_t bytes)
{
	struct nftnl_expr *e = expression(c, rule, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, bytes);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

static void put_meta(struct composer *c, struct nftnl_rule *rule, uint32_t key)
{
	put_load(c, rule, "meta", NFTNL_EXPR_META_KEY, key, NFTNL_EXPR_META_DREG);
}

static void put_interface(struct composer *c, struct nftnl_rule *rule, uint32_t key,
			  const struct ruleset_term *term)
{
	put_meta(c, rule, key);
	put_compare(c, rule, term->negate ? NFT_CMP_NEQ : NFT_CMP_EQ, term->interface,
		    sizeof(term->interface));
}

static void put_family(struct composer *c, struct nftnl_rule *rule, uint8_t family)
{
	put_meta(c, rule, NFT_META_NFPROTO);
	put_compare(c, rule, NFT_CMP_EQ, &family, sizeof(family));
}

/* Where the addresses stand in the IP headers (RFC 791 section 3.1, RFC 8200 section 3). */
static uint32_t address_offset(bool ipv4, bool source)
{
	if (ipv4)
		return source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr);
	return source ? offsetof(struct ip6_hdr, ip6_src) : offsetof(struct ip6_hdr, ip6_dst);
}

/* As nft does it: whole bytes are compared, and only if there is a rest it is masked. */
static void put_address(struct composer *c, struct nftnl_rule *rule,
			const struct ruleset_term *term)
{
	const struct prefix *p = &term->prefix;
	bool ipv4 = address_is_ipv4(&p->address);
	const uint8_t *value = ipv4 ? p->address.b + 12 : p->address.b;
	uint32_t bytes = p->length % 8 ? (ipv4 ? 4 : 16) : p->length / 8;
	uint8_t mask[16] = { 0 };

	put_family(c, rule, ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	put_payload(c, rule, NFT_PAYLOAD_NETWORK_HEADER,
		    address_offset(ipv4, term->kind == TERM_SOURCE), bytes);
	for (unsigned bit = 0; bit < p->length; bit++)
		mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	if (p->length % 8)
		put_mask(c, rule, mask, bytes);
	put_compare(c, rule, NFT_CMP_EQ, value, bytes);
}

static void put_source_not_local(struct composer *c, struct nftnl_rule *rule)
{
	uint32_t local = RTN_LOCAL;
	struct nftnl_expr *e = expression(c, rule, "fib");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	put_compare(c, rule, NFT_CMP_NEQ, &local, sizeof(local));
}

static const uint32_t established_or_related =
	NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);

static void put_established(struct composer *c, struct nftnl_rule *rule)
{
	uint32_t none = 0;

	put_load(c, rule, "ct", NFTNL_EXPR_CT_KEY, NFT_CT_STATE, NFTNL_EXPR_CT_DREG);
	put_mask(c, rule, &established_or_related, sizeof(established_or_related));
	put_compare(c, rule, NFT_CMP_NEQ, &none, sizeof(none));
}

enum { TCP_FLAGS_AT = 13 }; /* RFC 9293 section 3.1 */

static void put_tcp_syn(struct composer *c, struct nftnl_rule *rule)
{
	uint8_t tcp = IPPROTO_TCP, looked_at = TH_SYN | TH_RST, wanted = TH_SYN;

	put_meta(c, rule, NFT_META_L4PROTO);
	put_compare(c, rule, NFT_CMP_EQ, &tcp, sizeof(tcp));
	put_payload(c, rule, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_AT, sizeof(looked_at));
	put_mask(c, rule, &looked_at, sizeof(looked_at));
	put_compare(c, rule, NFT_CMP_EQ, &wanted, sizeof(wanted));
}

static void put_verdict(struct composer *c, struct nftnl_rule *rule, uint32_t verdict)
{
	struct nftnl_expr *e = expression(c, rule, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
}

static void put_reject(struct composer *c, struct nftnl_rule *rule)
{
	struct nftnl_expr *e = expression(c, rule, "reject");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_NO_ROUTE);
}

/* The kernel takes the smaller of the ways there and back, and only ever lowers the option. */
static void put_clamp_mss(struct composer *c, struct nftnl_rule *rule)
{
	struct nftnl_expr *e;

	put_load(c, rule, "rt", NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS, NFTNL_EXPR_RT_DREG);
	e = expression(c, rule, "byteorder");
	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_LEN, sizeof(uint16_t));
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SIZE, sizeof(uint16_t));
	e = expression(c, rule, "exthdr");
	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	nftnl_expr_set_u8(e, NFTNL_EXPR_EXTHDR_TYPE, TCPOPT_MAXSEG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_OFFSET, 2);
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_LEN, sizeof(uint16_t));
}

static void put_term(struct composer *c, struct nftnl_rule *rule, const struct ruleset_term *term)
{
	switch ((enum ruleset_term_kind)term->kind) {
	case TERM_IIF:
		put_interface(c, rule, NFT_META_IIFNAME, term);
		return;
	case TERM_OIF:
		put_interface(c, rule, NFT_META_OIFNAME, term);
		return;
	case TERM_IPV4:
		put_family(c, rule, NFPROTO_IPV4);
		return;
	case TERM_IPV6:
		put_family(c, rule, NFPROTO_IPV6);
		return;
	case TERM_SOURCE:
	case TERM_DESTINATION:
		put_address(c, rule, term);
		return;
	case TERM_SOURCE_NOT_LOCAL:
		put_source_not_local(c, rule);
		return;
	case TERM_ESTABLISHED:
		put_established(c, rule);
		return;
	case TERM_TCP_SYN:
		put_tcp_syn(c, rule);
		return;
	case TERM_ACCEPT:
		put_verdict(c, rule, NF_ACCEPT);
		return;
	case TERM_DROP:
		put_verdict(c, rule, NF_DROP);
		return;
	case TERM_REJECT:
		put_reject(c, rule);
		return;
	case TERM_MASQUERADE:
		expression(c, rule, "masq");
		return;
	case TERM_CLAMP_MSS:
		put_clamp_mss(c, rule);
		return;
	case TERM_NONE:
	case TERM_KIND_COUNT:
		break;
	}
	c->failed = true;
}

static void put_rule(struct composer *c, const struct ruleset *ruleset,
		     const struct ruleset_rule *what)
{
	__attribute__((cleanup(free_rule))) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct nlmsghdr *message;

	if (!rule) {
		c->failed = true;
		return;
	}
	nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, ruleset->table);
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chains[what->chain].name);
	for (size_t i = 0; i < what->term_count; i++)
		put_term(c, rule, &what->term[i]);
	message = begin_message(c, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	if (!message)
		return;
	nftnl_rule_nlmsg_build_payload(message, rule);
	end_message(c);
}

static void put_content(struct composer *c, const struct ruleset *ruleset)
{
	int made = -1;

	for (size_t i = 0; i < ruleset->rule_count; i++) {
		if (ruleset->rule[i].chain != made)
			put_chain(c, ruleset, ruleset->rule[i].chain);
		made = ruleset->rule[i].chain;
		put_rule(c, ruleset, &ruleset->rule[i]);
	}
}

int ruleset_messages(const struct ruleset *ruleset, enum ruleset_verb verb, void *room,
		     size_t *ret_bytes)
{
	struct composer c = { .at = room, .end = (char *)room + RULESET_MESSAGES_BYTES };

	c.at += NLMSG_ALIGN(nftnl_batch_begin(c.at, ++c.sequence)->nlmsg_len);
	switch (verb) {
	case RULESET_INSTALL:
		put_table(&c, ruleset, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
		put_content(&c, ruleset);
		break;
	case RULESET_REPLACE:
		put_table(&c, ruleset, NFT_MSG_NEWTABLE, NLM_F_CREATE);
		put_table(&c, ruleset, NFT_MSG_DELTABLE, 0);
		put_table(&c, ruleset, NFT_MSG_NEWTABLE, NLM_F_CREATE);
		put_content(&c, ruleset);
		break;
	case RULESET_REMOVE:
		put_table(&c, ruleset, NFT_MSG_DELTABLE, 0);
		break;
	}
	if (c.failed)
		return -ENOMEM;
	c.last->nlmsg_flags |= NLM_F_ACK;
	c.at += NLMSG_ALIGN(nftnl_batch_end(c.at, ++c.sequence)->nlmsg_len);
	*ret_bytes = (size_t)(c.at - (char *)room);
	return 0;
}

/* --- from netlink ----------------------------------------------------------------------------- */

enum { EXPRESSIONS_MAX = 32 };

/* The expressions of a rule, and how far they have been understood. */
struct reader {
	struct nftnl_expr *expression[EXPRESSIONS_MAX];
	size_t count, at;
};

static int take_expression(struct nftnl_expr *e, void *context)
{
	struct reader *r = context;

	if (r->count == EXPRESSIONS_MAX)
		return -1;
	r->expression[r->count++] = e;
	return 0;
}

/* The expression that is @ahead of where we are, if it is of that name. */
static const struct nftnl_expr *look(const struct reader *r, size_t ahead, const char *name)
{
	const struct nftnl_expr *e;

	if (r->at + ahead >= r->count)
		return NULL;
	e = r->expression[r->at + ahead];
	return strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), name) == 0 ? e : NULL;
}

/* What the comparison that is @ahead compares with, up to @max bytes of it. */
static bool look_compared(const struct reader *r, size_t ahead, void *ret_value, size_t max)
{
	const struct nftnl_expr *e = look(r, ahead, "cmp");
	const void *value;
	uint32_t bytes;

	if (!e)
		return false;
	value = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &bytes);
	if (!value)
		return false;
	memcpy(ret_value, value, bytes < max ? bytes : max);
	return true;
}

static void guess_interface(const struct reader *r, uint8_t kind, struct ruleset_term *ret_term)
{
	const struct nftnl_expr *compare = look(r, 1, "cmp");

	if (!compare || !look_compared(r, 1, ret_term->interface, PLAN_INTERFACE_BYTES - 1))
		return;
	ret_term->kind = kind;
	ret_term->negate = nftnl_expr_get_u32(compare, NFTNL_EXPR_CMP_OP) == NFT_CMP_NEQ;
}

static uint8_t bits_of(const uint8_t *mask, uint32_t bytes)
{
	unsigned bits = 0;

	for (uint32_t i = 0; i < bytes; i++)
		bits += (unsigned)__builtin_popcount(mask[i]);
	return (uint8_t)bits;
}

/* Behind the family's comparison: an address, or nothing and the family is all. */
static void guess_family(const struct reader *r, struct ruleset_term *ret_term)
{
	const struct nftnl_expr *payload = look(r, 2, "payload"), *mask = look(r, 3, "bitwise");
	uint8_t family = 0, value[16] = { 0 };
	uint32_t bytes, offset;

	if (!look_compared(r, 1, &family, sizeof(family)))
		return;
	ret_term->kind = family == NFPROTO_IPV4 ? TERM_IPV4 : TERM_IPV6;
	if (!payload || !look_compared(r, mask ? 4 : 3, value, sizeof(value)))
		return;
	offset = nftnl_expr_get_u32(payload, NFTNL_EXPR_PAYLOAD_OFFSET);
	bytes = nftnl_expr_get_u32(payload, NFTNL_EXPR_PAYLOAD_LEN);
	ret_term->kind = offset == address_offset(family == NFPROTO_IPV4, true) ? TERM_SOURCE
										: TERM_DESTINATION;
	ret_term->prefix.address =
		family == NFPROTO_IPV4 ? address_from_ipv4(value) : address_from_ipv6(value);
	ret_term->prefix.length = (uint8_t)(bytes * 8);
	if (mask)
		ret_term->prefix.length =
			bits_of(nftnl_expr_get(mask, NFTNL_EXPR_BITWISE_MASK, &bytes), bytes);
}

static void guess_meta(const struct reader *r, struct ruleset_term *ret_term)
{
	switch (nftnl_expr_get_u32(r->expression[r->at], NFTNL_EXPR_META_KEY)) {
	case NFT_META_IIFNAME:
		guess_interface(r, TERM_IIF, ret_term);
		return;
	case NFT_META_OIFNAME:
		guess_interface(r, TERM_OIF, ret_term);
		return;
	case NFT_META_NFPROTO:
		guess_family(r, ret_term);
		return;
	case NFT_META_L4PROTO:
		ret_term->kind = TERM_TCP_SYN;
		return;
	default:
		return;
	}
}

/* Which term this may be the beginning of.  Only a guess: what it leads to is compared afterwards. */
static struct ruleset_term guess(const struct reader *r)
{
	struct ruleset_term term = { .kind = TERM_NONE };

	if (look(r, 0, "meta"))
		guess_meta(r, &term);
	else if (look(r, 0, "fib"))
		term.kind = TERM_SOURCE_NOT_LOCAL;
	else if (look(r, 0, "ct"))
		term.kind = TERM_ESTABLISHED;
	else if (look(r, 0, "rt"))
		term.kind = TERM_CLAMP_MSS;
	else if (look(r, 0, "reject"))
		term.kind = TERM_REJECT;
	else if (look(r, 0, "masq"))
		term.kind = TERM_MASQUERADE;
	else if (look(r, 0, "immediate"))
		term.kind = nftnl_expr_get_u32(r->expression[r->at], NFTNL_EXPR_IMM_VERDICT) ==
					    NF_ACCEPT
				    ? TERM_ACCEPT
				    : TERM_DROP;
	return term;
}

static bool is_same_expression(const struct nftnl_expr *a, const struct nftnl_expr *b)
{
	char text_a[512], text_b[512];

	if (strcmp(nftnl_expr_get_str(a, NFTNL_EXPR_NAME),
		   nftnl_expr_get_str(b, NFTNL_EXPR_NAME)) != 0)
		return false;
	nftnl_expr_snprintf(text_a, sizeof(text_a), a, NFTNL_OUTPUT_DEFAULT, 0);
	nftnl_expr_snprintf(text_b, sizeof(text_b), b, NFTNL_OUTPUT_DEFAULT, 0);
	return strcmp(text_a, text_b) == 0;
}

/* Would @term be written as what stands there?  Then go on behind it. */
static bool pass_over(struct reader *r, const struct ruleset_term *term)
{
	__attribute__((cleanup(free_rule))) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct composer c = { .failed = !rule };
	struct reader ours = { .count = 0 };

	if (!rule)
		return false;
	put_term(&c, rule, term);
	nftnl_expr_foreach(rule, take_expression, &ours);
	if (c.failed || r->at + ours.count > r->count)
		return false;
	for (size_t i = 0; i < ours.count; i++)
		if (!is_same_expression(r->expression[r->at + i], ours.expression[i]))
			return false;
	r->at += ours.count;
	return true;
}

static bool read_chain(const char *name, struct ruleset_rule *rule)
{
	for (uint8_t chain = 0; chain < CHAIN_COUNT; chain++)
		if (strcmp(chains[chain].name, name) == 0) {
			rule->chain = chain;
			return true;
		}
	return false;
}

bool ruleset_read_rule(struct ruleset *ruleset, const struct nlmsghdr *message)
{
	__attribute__((cleanup(free_rule))) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct ruleset_rule found = { .term_count = 0 };
	struct reader r = { .count = 0 };

	if (!rule || ruleset->rule_count == RULESET_RULES_MAX)
		return false;
	if (nftnl_rule_nlmsg_parse(message, rule) < 0 ||
	    nftnl_expr_foreach(rule, take_expression, &r) < 0 ||
	    !read_chain(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), &found))
		return false;
	while (r.at < r.count) {
		struct ruleset_term term = guess(&r);

		if (found.term_count == RULESET_TERMS_MAX || !pass_over(&r, &term))
			return false;
		found.term[found.term_count++] = term;
	}
	ruleset->rule[ruleset->rule_count++] = found;
	return true;
}
