/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign_rule.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* After the C library's headers, lest both define the same. */
#include <linux/netfilter.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_tcpudp.h>

void foreign_rule_begin(struct foreign_rule *rule, const char *chain)
{
	memset(rule, 0, sizeof(*rule));
	rule->match = FOREIGN_YES;
	snprintf(rule->chain, sizeof(rule->chain), "%s", chain);
}

void foreign_rule_jump(struct foreign_rule *rule, enum foreign_verdict verdict, const char *target)
{
	rule->verdict = verdict;
	snprintf(rule->target, sizeof(rule->target), "%s", target);
}

/* All conditions have to be met. */
static void require(struct foreign_rule *rule, enum foreign_match match, bool negate)
{
	if (negate && match != FOREIGN_PERHAPS)
		match = match == FOREIGN_YES ? FOREIGN_NO : FOREIGN_YES;
	if (match < rule->match)
		rule->match = match;
}

static enum foreign_match whether(bool is)
{
	return is ? FOREIGN_YES : FOREIGN_NO;
}

void foreign_rule_family(struct foreign_rule *rule, const struct foreign_packet *packet,
			 uint32_t family, bool negate)
{
	require(rule, whether(family == (packet->family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6)),
		negate);
}

void foreign_rule_protocol(struct foreign_rule *rule, const struct foreign_packet *packet,
			   uint32_t protocol, bool negate)
{
	require(rule, whether(protocol == packet->protocol), negate);
}

void foreign_rule_port(struct foreign_rule *rule, const struct foreign_packet *packet, uint16_t low,
		       uint16_t high, bool negate)
{
	require(rule, whether(packet->port >= low && packet->port <= high), negate);
	rule->named = true;
}

void foreign_rule_state(struct foreign_rule *rule, const struct foreign_packet *packet,
			uint32_t states, bool negate)
{
	require(rule, whether(states & packet->state), negate);
}

static bool is_called(const char *interface, const char *name, size_t bytes)
{
	return bytes <= strlen(interface) + 1 && memcmp(interface, name, bytes) == 0;
}

void foreign_rule_interface(struct foreign_rule *rule, const struct foreign_packet *packet,
			    const struct foreign_interfaces *interfaces, const char *name,
			    size_t bytes, bool negate)
{
	size_t same = 0;

	for (size_t i = 0; i < interfaces->count; i++)
		same += is_called(interfaces->name[i], name, bytes);
	if (interfaces->count == 0)
		require(rule, is_called("lo", name, bytes) ? FOREIGN_NO : FOREIGN_PERHAPS, negate);
	else if (same > 0 && same < interfaces->count)
		require(rule, FOREIGN_PERHAPS, negate);
	else
		require(rule, whether(same > 0), negate);
	if (packet->interface[0] && is_called(packet->interface, name, bytes))
		rule->named = true;
}

/* Of what arrives at this host, its sender may be anybody; what is forwarded has addresses of the
 * tunnel's, and who makes rules for addresses may mean these. */
void foreign_rule_address(struct foreign_rule *rule, const struct foreign_packet *packet)
{
	if (packet->hook == NF_INET_FORWARD)
		require(rule, FOREIGN_PERHAPS, false);
	else
		rule->narrowed = true;
}

/* --- iptables --------------------------------------------------------------------------------- */

/* Of TCP and of UDP: both begin with the ports, from and to. */
static void read_ports(struct foreign_rule *rule, const struct foreign_packet *packet,
		       uint32_t protocol, const uint16_t from[2], const uint16_t to[2], bool negate)
{
	foreign_rule_protocol(rule, packet, protocol, false);
	if (to[0] > 0 || to[1] < UINT16_MAX)
		foreign_rule_port(rule, packet, to[0], to[1], negate);
	rule->narrowed |= from[0] > 0 || from[1] < UINT16_MAX;
}

static void read_udp(struct foreign_rule *rule, const struct foreign_packet *packet,
		     const void *info)
{
	const struct xt_udp *udp = info;

	read_ports(rule, packet, IPPROTO_UDP, udp->spts, udp->dpts,
		   udp->invflags & XT_UDP_INV_DSTPT);
}

static void read_tcp(struct foreign_rule *rule, const struct foreign_packet *packet,
		     const void *info)
{
	const struct xt_tcp *tcp = info;

	read_ports(rule, packet, IPPROTO_TCP, tcp->spts, tcp->dpts,
		   tcp->invflags & XT_TCP_INV_DSTPT);
	rule->narrowed |= tcp->option || tcp->flg_mask;
}

static void read_conntrack(struct foreign_rule *rule, const struct foreign_packet *packet,
			   const void *info)
{
	const struct xt_conntrack_mtinfo3 *ct = info;

	if (ct->match_flags & XT_CONNTRACK_STATE)
		foreign_rule_state(rule, packet, ct->state_mask,
				   ct->invert_flags & XT_CONNTRACK_STATE);
	rule->narrowed |= ct->match_flags & ~XT_CONNTRACK_STATE;
}

/* Which ports, is not looked at. */
static void read_multiport(struct foreign_rule *rule, const struct foreign_packet *packet,
			   const void *info)
{
	(void)packet;
	(void)info;
	require(rule, FOREIGN_PERHAPS, false);
	rule->named = true;
}

static void read_comment(struct foreign_rule *rule, const struct foreign_packet *packet,
			 const void *info)
{
	(void)rule;
	(void)packet;
	(void)info;
}

void foreign_rule_xt_match(struct foreign_rule *rule, const struct foreign_packet *packet,
			   const char *name, const void *info, size_t bytes)
{
	static const struct {
		const char *name;
		size_t bytes;
		void (*read)(struct foreign_rule *rule, const struct foreign_packet *packet,
			     const void *info);
	} matches[] = {
		{ "udp", sizeof(struct xt_udp), read_udp },
		{ "tcp", sizeof(struct xt_tcp), read_tcp },
		{ "conntrack", sizeof(struct xt_conntrack_mtinfo3), read_conntrack },
		{ "multiport", 0, read_multiport },
		{ "comment", 0, read_comment },
	};

	for (size_t i = 0; i < sizeof(matches) / sizeof(*matches); i++)
		if (strcmp(name, matches[i].name) == 0 && info && bytes >= matches[i].bytes) {
			matches[i].read(rule, packet, info);
			return;
		}
	rule->narrowed = true;
}

void foreign_rule_xt_target(struct foreign_rule *rule, const char *name)
{
	if (strcmp(name, "REJECT") == 0 || strcmp(name, "DROP") == 0)
		rule->verdict = FOREIGN_DROP;
}
