/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign_rule.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* What the last expression has loaded, for the next to compare. */
enum subject { SUBJECT_OTHER, SUBJECT_FAMILY, SUBJECT_INTERFACE, SUBJECT_PROTOCOL, SUBJECT_PORT };

/**
 * struct reading - what was read of a rule
 * @subject:   what is compared next
 * @elsewhere: it is about other packets
 * @udp:       it names UDP
 * @on_port:   it names the port, or something that may hold it
 * @narrowed:  it has conditions that are not understood
 * @partly:    it is about one family, or what arrives at some interface
 */
struct reading {
	uint16_t port;
	enum subject subject;
	bool elsewhere, udp, on_port, narrowed, partly;
	bool accepts, drops, jumps;
};

static void read_meta(struct reading *r, const struct nftnl_expr *e)
{
	switch (nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY)) {
	case NFT_META_L4PROTO:
		r->subject = SUBJECT_PROTOCOL;
		break;
	case NFT_META_NFPROTO:
	case NFT_META_PROTOCOL:
		r->subject = SUBJECT_FAMILY;
		break;
	case NFT_META_IIF:
	case NFT_META_IIFNAME:
		r->subject = SUBJECT_INTERFACE;
		break;
	default:
		r->subject = SUBJECT_OTHER;
	}
}

static void read_payload(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t base = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t length = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_LEN);

	r->subject = SUBJECT_OTHER;
	if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && length == 2)
		r->subject = SUBJECT_PORT;
	/* Of IPv4 and of IPv6, which iptables compares. */
	else if (base == NFT_PAYLOAD_NETWORK_HEADER && (offset == 9 || offset == 6) && length == 1)
		r->subject = SUBJECT_PROTOCOL;
}

static void compare_port(struct reading *r, uint32_t how, uint16_t to)
{
	const bool holds[] = {
		[NFT_CMP_EQ] = (r->port == to), [NFT_CMP_NEQ] = (r->port != to),
		[NFT_CMP_LT] = (r->port < to),  [NFT_CMP_LTE] = (r->port <= to),
		[NFT_CMP_GT] = (r->port > to),  [NFT_CMP_GTE] = (r->port >= to),
	};

	if (how < sizeof(holds) / sizeof(*holds) && !holds[how])
		r->elsewhere = true;
	else
		r->on_port = true;
}

static bool is_loopback(const void *value, uint32_t bytes)
{
	uint32_t index;

	if (bytes >= sizeof("lo") && strcmp(value, "lo") == 0)
		return true;
	memcpy(&index, value, bytes < sizeof(index) ? bytes : sizeof(index));
	return bytes == sizeof(index) && index == if_nametoindex("lo");
}

static void read_cmp(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t how = nftnl_expr_get_u32(e, NFTNL_EXPR_CMP_OP), bytes = 0;
	const uint8_t *value = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &bytes);

	if (r->subject == SUBJECT_PORT && value && bytes == 2) {
		compare_port(r, how, (uint16_t)(value[0] << 8 | value[1]));
	} else if (r->subject == SUBJECT_PROTOCOL && value && bytes >= 1) {
		bool same = value[0] == IPPROTO_UDP;

		r->elsewhere |= same != (how == NFT_CMP_EQ);
		r->udp |= same;
	} else if (r->subject == SUBJECT_INTERFACE && value) {
		r->elsewhere |= is_loopback(value, bytes) == (how == NFT_CMP_EQ);
		r->partly = true;
	} else if (r->subject == SUBJECT_FAMILY) {
		r->partly = true;
	} else {
		r->narrowed = true;
	}
}

static void read_range(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t bytes = 0, more = 0;
	const uint8_t *from = nftnl_expr_get(e, NFTNL_EXPR_RANGE_FROM_DATA, &bytes);
	const uint8_t *to = nftnl_expr_get(e, NFTNL_EXPR_RANGE_TO_DATA, &more);

	if (r->subject != SUBJECT_PORT || !from || !to || bytes != 2 || more != 2) {
		r->narrowed = true;
		return;
	}
	if ((r->port >= (from[0] << 8 | from[1]) && r->port <= (to[0] << 8 | to[1])) ==
	    (nftnl_expr_get_u32(e, NFTNL_EXPR_RANGE_OP) == NFT_RANGE_EQ))
		r->on_port = true;
	else
		r->elsewhere = true;
}

/* What is in a set or a map is not looked at. */
static void read_lookup(struct reading *r, const struct nftnl_expr *e)
{
	if (r->subject == SUBJECT_PORT)
		r->on_port = true;
	else
		r->narrowed = true;
	/* A map of verdicts; of ports, one of them may be an accept. */
	if (nftnl_expr_is_set(e, NFTNL_EXPR_LOOKUP_DREG) && r->subject == SUBJECT_PORT)
		r->accepts = true;
}

static void read_match(struct reading *r, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_MT_NAME);
	uint32_t bytes = 0;
	const struct xt_udp *udp = nftnl_expr_get(e, NFTNL_EXPR_MT_INFO, &bytes);

	if (strcmp(name, "comment") == 0)
		return;
	if (strcmp(name, "multiport") == 0) {
		r->on_port = true;
	} else if (strcmp(name, "udp") == 0 && udp && bytes >= sizeof(*udp)) {
		bool within = r->port >= udp->dpts[0] && r->port <= udp->dpts[1];

		r->udp = true;
		r->elsewhere |= within == !!(udp->invflags & XT_UDP_INV_DSTPT);
		r->on_port |= udp->dpts[0] > 0 || udp->dpts[1] < UINT16_MAX;
		r->narrowed |= udp->spts[0] > 0 || udp->spts[1] < UINT16_MAX;
	} else {
		r->narrowed = true;
	}
}

static void read_verdict(struct reading *r, const struct nftnl_expr *e)
{
	if (!nftnl_expr_is_set(e, NFTNL_EXPR_IMM_VERDICT))
		return;
	switch ((int)nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT)) {
	case NF_ACCEPT:
		r->accepts = true;
		break;
	case NF_DROP:
		r->drops = true;
		break;
	case NFT_JUMP:
	case NFT_GOTO:
		r->jumps = true;
		break;
	default:
		break;
	}
}

static void read_target(struct reading *r, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME);

	r->drops |= strcmp(name, "REJECT") == 0 || strcmp(name, "DROP") == 0;
}

static void read_reject(struct reading *r, const struct nftnl_expr *e)
{
	(void)e;
	r->drops = true;
}

static void read_nothing(struct reading *r, const struct nftnl_expr *e)
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
		{ "cmp", read_cmp },       { "range", read_range },
		{ "lookup", read_lookup }, { "match", read_match },
		{ "target", read_target }, { "immediate", read_verdict },
		{ "reject", read_reject }, { "counter", read_nothing },
		{ "log", read_nothing },
	};
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct reading *r = context;

	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (strcmp(name, readers[i].name) == 0) {
			readers[i].read(r, e);
			return 0;
		}
	r->subject = SUBJECT_OTHER;
	r->narrowed = true;
	return 0;
}

enum foreign_effect foreign_rule_effect(const struct nftnl_rule *rule, uint16_t port, bool in_base)
{
	struct reading r = { .port = port };

	nftnl_expr_foreach((struct nftnl_rule *)rule, read_expression, &r);
	if (r.elsewhere)
		return FOREIGN_NONE;
	if (r.on_port && (r.accepts || r.jumps))
		return FOREIGN_ACCEPTS;
	if (r.accepts && !r.narrowed && (r.udp || in_base))
		return FOREIGN_ACCEPTS;
	if (r.drops && in_base && !r.narrowed && !r.partly)
		return FOREIGN_DROPS;
	return FOREIGN_NONE;
}
