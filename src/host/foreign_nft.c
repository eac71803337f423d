/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of nftables, expression by expression: what one loads into a register, the next compares. */
#include "host/foreign_rule.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* After the C library's headers, lest both define the same. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

/* What the last expression has loaded. */
enum subject {
	SUBJECT_OTHER,
	SUBJECT_FAMILY,
	SUBJECT_IN,
	SUBJECT_OUT,
	SUBJECT_PROTOCOL,
	SUBJECT_PORT,
	SUBJECT_STATE,
	SUBJECT_ADDRESS,
};

/**
 * struct reading - a rule that is being read
 * @by_index: an interface is named by its number
 * @mask:     of the states, as the last expression has masked them
 */
struct reading {
	const struct foreign_packet *packet;
	struct foreign_rule *rule;
	enum subject subject;
	bool by_index;
	uint32_t mask;
};

static void read_meta(struct reading *r, const struct nftnl_expr *e)
{
	static const struct {
		uint32_t key;
		enum subject subject;
	} keys[] = {
		{ NFT_META_L4PROTO, SUBJECT_PROTOCOL }, { NFT_META_NFPROTO, SUBJECT_FAMILY },
		{ NFT_META_PROTOCOL, SUBJECT_FAMILY },  { NFT_META_IIF, SUBJECT_IN },
		{ NFT_META_IIFNAME, SUBJECT_IN },       { NFT_META_OIF, SUBJECT_OUT },
		{ NFT_META_OIFNAME, SUBJECT_OUT },
	};
	uint32_t key = nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY);

	r->subject = SUBJECT_OTHER;
	r->by_index = key == NFT_META_IIF || key == NFT_META_OIF;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (keys[i].key == key)
			r->subject = keys[i].subject;
}

static void read_payload(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t base = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t length = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_LEN);
	uint32_t addresses = r->packet->family == 4 ? 12 : 8;

	r->subject = SUBJECT_OTHER;
	if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && length == 2)
		r->subject = SUBJECT_PORT;
	/* Of IPv4 and of IPv6, which iptables compares. */
	else if (base == NFT_PAYLOAD_NETWORK_HEADER && (offset == 9 || offset == 6) && length == 1)
		r->subject = SUBJECT_PROTOCOL;
	else if (base == NFT_PAYLOAD_NETWORK_HEADER && offset >= addresses)
		r->subject = SUBJECT_ADDRESS;
}

static void read_ct(struct reading *r, const struct nftnl_expr *e)
{
	r->subject = nftnl_expr_get_u32(e, NFTNL_EXPR_CT_KEY) == NFT_CT_STATE ? SUBJECT_STATE
									      : SUBJECT_OTHER;
	r->mask = 0;
}

static void read_bitwise(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t bytes = 0;
	const void *mask = nftnl_expr_get(e, NFTNL_EXPR_BITWISE_MASK, &bytes);

	if (r->subject == SUBJECT_STATE && mask && bytes == sizeof(r->mask))
		memcpy(&r->mask, mask, sizeof(r->mask));
	else if (r->subject != SUBJECT_ADDRESS)
		r->subject = SUBJECT_OTHER;
}

static void compare_port(struct reading *r, uint32_t how, uint16_t to)
{
	switch (how) {
	case NFT_CMP_EQ:
	case NFT_CMP_NEQ:
		foreign_rule_port(r->rule, r->packet, to, to, how == NFT_CMP_NEQ);
		return;
	case NFT_CMP_LT:
	case NFT_CMP_GTE:
		foreign_rule_port(r->rule, r->packet, to, UINT16_MAX, how == NFT_CMP_LT);
		return;
	default:
		foreign_rule_port(r->rule, r->packet, 0, to, how == NFT_CMP_GT);
	}
}

static void compare_interface(struct reading *r, const void *value, uint32_t bytes, bool negate)
{
	char name[IF_NAMESIZE] = "";
	uint32_t index;

	if (r->by_index && bytes == sizeof(index)) {
		memcpy(&index, value, sizeof(index));
		if_indextoname(index, name);
		value = name;
		bytes = sizeof(name);
	}
	/* A whole name is followed by zeros to the end. */
	if (memchr(value, 0, bytes))
		bytes = (uint32_t)strlen(value) + 1;
	foreign_rule_interface(r->rule, r->packet,
			       r->subject == SUBJECT_IN ? &r->packet->in : &r->packet->out, value,
			       bytes, negate);
}

static uint32_t family_of(const uint8_t *value, uint32_t bytes)
{
	if (bytes == 1)
		return value[0];
	/* An EtherType. */
	return value[0] == 0x08 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

/* States are compared with none, after a mask, or with one. */
static void compare_state(struct reading *r, const void *value, uint32_t bytes, bool negate)
{
	uint32_t states = 0;

	memcpy(&states, value, bytes < sizeof(states) ? bytes : sizeof(states));
	if (r->mask && states == 0)
		foreign_rule_state(r->rule, r->packet, r->mask, !negate);
	else
		foreign_rule_state(r->rule, r->packet, states, negate);
}

static void read_cmp(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t how = nftnl_expr_get_u32(e, NFTNL_EXPR_CMP_OP), bytes = 0;
	const uint8_t *value = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &bytes);
	bool negate = how == NFT_CMP_NEQ;

	if (r->subject == SUBJECT_PORT && value && bytes == 2)
		compare_port(r, how, (uint16_t)(value[0] << 8 | value[1]));
	else if (r->subject == SUBJECT_PROTOCOL && value && bytes >= 1)
		foreign_rule_protocol(r->rule, r->packet, value[0], negate);
	else if (r->subject == SUBJECT_FAMILY && value && bytes >= 1)
		foreign_rule_family(r->rule, r->packet, family_of(value, bytes), negate);
	else if ((r->subject == SUBJECT_IN || r->subject == SUBJECT_OUT) && value && bytes >= 1)
		compare_interface(r, value, bytes, negate);
	else if (r->subject == SUBJECT_STATE && value)
		compare_state(r, value, bytes, negate);
	else if (r->subject == SUBJECT_ADDRESS)
		foreign_rule_address(r->rule, r->packet);
	else
		r->rule->narrowed = true;
}

static void read_range(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t bytes = 0, more = 0;
	const uint8_t *from = nftnl_expr_get(e, NFTNL_EXPR_RANGE_FROM_DATA, &bytes);
	const uint8_t *to = nftnl_expr_get(e, NFTNL_EXPR_RANGE_TO_DATA, &more);

	if (r->subject == SUBJECT_PORT && from && to && bytes == 2 && more == 2)
		foreign_rule_port(r->rule, r->packet, (uint16_t)(from[0] << 8 | from[1]),
				  (uint16_t)(to[0] << 8 | to[1]),
				  nftnl_expr_get_u32(e, NFTNL_EXPR_RANGE_OP) == NFT_RANGE_NEQ);
	else if (r->subject == SUBJECT_ADDRESS)
		foreign_rule_address(r->rule, r->packet);
	else
		r->rule->narrowed = true;
}

/* A map of verdicts.  By ports, one of them may be an accept; by states, it is what they are for. */
static void read_verdict_map(struct reading *r)
{
	if (r->subject == SUBJECT_PORT)
		r->rule->verdict = FOREIGN_ACCEPT;
	else if (r->subject != SUBJECT_STATE)
		r->rule->verdict = FOREIGN_ANYWHERE;
	else if (r->packet->state == FOREIGN_STATE_ESTABLISHED)
		r->rule->verdict = FOREIGN_ACCEPT;
}

/* What is in a set or a map is not looked at: states are those of connections that are there already. */
static void read_lookup(struct reading *r, const struct nftnl_expr *e)
{
	bool negate = nftnl_expr_get_u32(e, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV;

	switch (r->subject) {
	case SUBJECT_PORT:
		/* Perhaps, that is. */
		foreign_rule_port(r->rule, r->packet, r->packet->port, r->packet->port, false);
		if (r->rule->match == FOREIGN_YES)
			r->rule->match = FOREIGN_PERHAPS;
		break;
	case SUBJECT_IN:
	case SUBJECT_OUT:
		if (r->rule->match == FOREIGN_YES)
			r->rule->match = FOREIGN_PERHAPS;
		break;
	case SUBJECT_STATE:
		foreign_rule_state(r->rule, r->packet, FOREIGN_STATE_ESTABLISHED, negate);
		break;
	case SUBJECT_ADDRESS:
		foreign_rule_address(r->rule, r->packet);
		break;
	case SUBJECT_FAMILY:
	case SUBJECT_PROTOCOL:
	case SUBJECT_OTHER:
		r->rule->narrowed = true;
	}
	if (nftnl_expr_is_set(e, NFTNL_EXPR_LOOKUP_DREG) &&
	    nftnl_expr_get_u32(e, NFTNL_EXPR_LOOKUP_DREG) == NFT_REG_VERDICT)
		read_verdict_map(r);
}

static void read_match(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t bytes = 0;
	const void *info = nftnl_expr_get(e, NFTNL_EXPR_MT_INFO, &bytes);

	foreign_rule_xt_match(r->rule, r->packet, nftnl_expr_get_str(e, NFTNL_EXPR_MT_NAME), info,
			      bytes);
}

static void read_target(struct reading *r, const struct nftnl_expr *e)
{
	foreign_rule_xt_target(r->rule, nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME));
}

static void read_verdict(struct reading *r, const struct nftnl_expr *e)
{
	if (!nftnl_expr_is_set(e, NFTNL_EXPR_IMM_VERDICT))
		return;
	switch ((int)nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT)) {
	case NF_ACCEPT:
		r->rule->verdict = FOREIGN_ACCEPT;
		break;
	case NF_DROP:
		r->rule->verdict = FOREIGN_DROP;
		break;
	case NFT_RETURN:
		r->rule->verdict = FOREIGN_RETURN;
		break;
	case NFT_JUMP:
		foreign_rule_jump(r->rule, FOREIGN_JUMP,
				  nftnl_expr_get_str(e, NFTNL_EXPR_IMM_CHAIN));
		break;
	case NFT_GOTO:
		foreign_rule_jump(r->rule, FOREIGN_GOTO,
				  nftnl_expr_get_str(e, NFTNL_EXPR_IMM_CHAIN));
		break;
	default:
		break;
	}
}

static void read_reject(struct reading *r, const struct nftnl_expr *e)
{
	(void)e;
	r->rule->verdict = FOREIGN_DROP;
}

static void read_counter(struct reading *r, const struct nftnl_expr *e)
{
	(void)e;
	r->rule->counted = true;
}

static void read_log(struct reading *r, const struct nftnl_expr *e)
{
	(void)r;
	(void)e;
}

static int read_expression(struct nftnl_expr *e, void *context)
{
	static const struct {
		const char *name;
		void (*read)(struct reading *r, const struct nftnl_expr *e);
	} readers[] = {
		{ "meta", read_meta },     { "payload", read_payload },
		{ "ct", read_ct },         { "bitwise", read_bitwise },
		{ "cmp", read_cmp },       { "range", read_range },
		{ "lookup", read_lookup }, { "match", read_match },
		{ "target", read_target }, { "immediate", read_verdict },
		{ "reject", read_reject }, { "counter", read_counter },
		{ "log", read_log },
	};
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct reading *r = context;

	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (strcmp(name, readers[i].name) == 0) {
			readers[i].read(r, e);
			return 0;
		}
	r->subject = SUBJECT_OTHER;
	r->rule->narrowed = true;
	return 0;
}

void foreign_rule_read(const struct nftnl_rule *nft, const struct foreign_packet *packet,
		       struct foreign_rule *ret_rule)
{
	struct reading r = { .packet = packet, .rule = ret_rule };

	foreign_rule_begin(ret_rule, nftnl_rule_get_str(nft, NFTNL_RULE_CHAIN));
	nftnl_expr_foreach((struct nftnl_rule *)nft, read_expression, &r);
}
