/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Terms as the expressions of nf_tables' virtual machine, written the way nft itself writes them, so
 * that `nft list ruleset` shows them as ruleset_print() does.
 *
 * Reading takes a guess at what a row of expressions may be, from its first one and what can be found
 * of a parameter, writes that term again, and compares.  So there is one description of each term, and
 * nothing that only looks like it is taken for it.
 */
#include "host/ruleset_terms.h"

/* Before the kernel's headers, which then leave out what the C library has defined already. */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>

/* --- writing ---------------------------------------------------------------------------------- */

/* Where expressions go.  @failed: memory ran out, or it was no term. */
struct writer {
	struct nftnl_rule *rule;
	bool failed;
};

/* A new expression at the end of @rule.  Its values are set by number: attributes of all kinds of
 * expression begin at the same one. */
static struct nftnl_expr *expression(struct writer *w, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e)
		nftnl_rule_add_expr(w->rule, e);
	else
		w->failed = true;
	return e;
}

static void put_load(struct writer *w, const char *name, uint16_t key_at, uint32_t key,
		     uint16_t register_at)
{
	struct nftnl_expr *e = expression(w, name);

	if (!e)
		return;
	nftnl_expr_set_u32(e, key_at, key);
	nftnl_expr_set_u32(e, register_at, NFT_REG_1);
}

static void put_compare(struct writer *w, uint32_t how, const void *value, uint32_t bytes)
{
	struct nftnl_expr *e = expression(w, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, how);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, value, bytes);
}

static void put_mask(struct writer *w, const void *mask, uint32_t bytes)
{
	static const uint8_t zero[16];
	struct nftnl_expr *e = expression(w, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, bytes);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, bytes);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero, bytes);
}

static void put_payload(struct writer *w, uint32_t base, uint32_t offset, uint32_t bytes)
{
	struct nftnl_expr *e = expression(w, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, bytes);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
}

static void put_meta(struct writer *w, uint32_t key)
{
	put_load(w, "meta", NFTNL_EXPR_META_KEY, key, NFTNL_EXPR_META_DREG);
}

static void put_interface(struct writer *w, uint32_t key, const struct ruleset_term *term)
{
	put_meta(w, key);
	put_compare(w, term->negate ? NFT_CMP_NEQ : NFT_CMP_EQ, term->interface,
		    sizeof(term->interface));
}

static void put_family(struct writer *w, uint8_t family)
{
	put_meta(w, NFT_META_NFPROTO);
	put_compare(w, NFT_CMP_EQ, &family, sizeof(family));
}

/* Where the addresses stand in the IP headers (RFC 791 section 3.1, RFC 8200 section 3). */
static uint32_t address_offset(bool ipv4, bool source)
{
	if (ipv4)
		return source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr);
	return source ? offsetof(struct ip6_hdr, ip6_src) : offsetof(struct ip6_hdr, ip6_dst);
}

/* As nft does it: whole bytes are compared, and only if there is a rest it is masked. */
static void put_address(struct writer *w, const struct ruleset_term *term)
{
	const struct prefix *p = &term->prefix;
	bool ipv4 = address_is_ipv4(&p->address);
	const uint8_t *value = ipv4 ? p->address.b + 12 : p->address.b;
	uint32_t bytes = p->length % 8 ? (ipv4 ? 4 : 16) : p->length / 8;
	uint8_t mask[16] = { 0 };

	put_family(w, ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	put_payload(w, NFT_PAYLOAD_NETWORK_HEADER, address_offset(ipv4, term->kind == TERM_SOURCE),
		    bytes);
	for (unsigned bit = 0; bit < p->length; bit++)
		mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	if (p->length % 8)
		put_mask(w, mask, bytes);
	put_compare(w, NFT_CMP_EQ, value, bytes);
}

static void put_source_not_local(struct writer *w)
{
	uint32_t local = RTN_LOCAL;
	struct nftnl_expr *e = expression(w, "fib");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	put_compare(w, NFT_CMP_NEQ, &local, sizeof(local));
}

static const uint32_t established_or_related =
	NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);

static void put_established(struct writer *w)
{
	uint32_t none = 0;

	put_load(w, "ct", NFTNL_EXPR_CT_KEY, NFT_CT_STATE, NFTNL_EXPR_CT_DREG);
	put_mask(w, &established_or_related, sizeof(established_or_related));
	put_compare(w, NFT_CMP_NEQ, &none, sizeof(none));
}

enum { TCP_FLAGS_AT = 13 }; /* RFC 9293 section 3.1 */

static void put_tcp_syn(struct writer *w)
{
	uint8_t tcp = IPPROTO_TCP, looked_at = TH_SYN | TH_RST, wanted = TH_SYN;

	put_meta(w, NFT_META_L4PROTO);
	put_compare(w, NFT_CMP_EQ, &tcp, sizeof(tcp));
	put_payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_AT, sizeof(looked_at));
	put_mask(w, &looked_at, sizeof(looked_at));
	put_compare(w, NFT_CMP_EQ, &wanted, sizeof(wanted));
}

static void put_verdict(struct writer *w, uint32_t verdict)
{
	struct nftnl_expr *e = expression(w, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
}

static void put_reject(struct writer *w)
{
	struct nftnl_expr *e = expression(w, "reject");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_NO_ROUTE);
}

/* The kernel takes the smaller of the ways there and back, and only ever lowers the option. */
static void put_clamp_mss(struct writer *w)
{
	struct nftnl_expr *e;

	put_load(w, "rt", NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS, NFTNL_EXPR_RT_DREG);
	e = expression(w, "byteorder");
	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_LEN, sizeof(uint16_t));
	nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SIZE, sizeof(uint16_t));
	e = expression(w, "exthdr");
	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	nftnl_expr_set_u8(e, NFTNL_EXPR_EXTHDR_TYPE, TCPOPT_MAXSEG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_OFFSET, 2);
	nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_LEN, sizeof(uint16_t));
}

static void put_term(struct writer *w, const struct ruleset_term *term)
{
	switch ((enum ruleset_term_kind)term->kind) {
	case TERM_IIF:
		put_interface(w, NFT_META_IIFNAME, term);
		return;
	case TERM_OIF:
		put_interface(w, NFT_META_OIFNAME, term);
		return;
	case TERM_IPV4:
		put_family(w, NFPROTO_IPV4);
		return;
	case TERM_IPV6:
		put_family(w, NFPROTO_IPV6);
		return;
	case TERM_SOURCE:
	case TERM_DESTINATION:
		put_address(w, term);
		return;
	case TERM_SOURCE_NOT_LOCAL:
		put_source_not_local(w);
		return;
	case TERM_ESTABLISHED:
		put_established(w);
		return;
	case TERM_TCP_SYN:
		put_tcp_syn(w);
		return;
	case TERM_ACCEPT:
		put_verdict(w, NF_ACCEPT);
		return;
	case TERM_DROP:
		put_verdict(w, NF_DROP);
		return;
	case TERM_REJECT:
		put_reject(w);
		return;
	case TERM_MASQUERADE:
		expression(w, "masq");
		return;
	case TERM_CLAMP_MSS:
		put_clamp_mss(w);
		return;
	case TERM_NONE:
	case TERM_KIND_COUNT:
		break;
	}
	w->failed = true;
}

/* --- from netlink ----------------------------------------------------------------------------- */

enum { EXPRESSIONS_MAX = 32 };

bool ruleset_put_term(struct nftnl_rule *rule, const struct ruleset_term *term)
{
	struct writer w = { .rule = rule };

	put_term(&w, term);
	return !w.failed;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void free_rule(struct nftnl_rule **rule)
{
	if (*rule)
		nftnl_rule_free(*rule);
}

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
	struct reader ours = { .count = 0 };

	if (!rule || !ruleset_put_term(rule, term))
		return false;
	nftnl_expr_foreach(rule, take_expression, &ours);
	if (r->at + ours.count > r->count)
		return false;
	for (size_t i = 0; i < ours.count; i++)
		if (!is_same_expression(r->expression[r->at + i], ours.expression[i]))
			return false;
	r->at += ours.count;
	return true;
}

bool ruleset_take_terms(struct nftnl_rule *rule, struct ruleset_rule *ret_rule)
{
	struct reader r = { .count = 0 };

	ret_rule->term_count = 0;
	if (nftnl_expr_foreach(rule, take_expression, &r) < 0)
		return false;
	while (r.at < r.count) {
		struct ruleset_term term = guess(&r);

		if (ret_rule->term_count == RULESET_TERMS_MAX || !pass_over(&r, &term))
			return false;
		ret_rule->term[ret_rule->term_count++] = term;
	}
	return true;
}
