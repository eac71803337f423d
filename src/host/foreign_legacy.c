/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table comes as one block of entries, those of IPv4 and of IPv6 in structures of their own.  A jump
 * names the place in the block where it leads:
 *
 *	entry | matches | target     entry | matches | target     ...
 *	            where it goes:   below 0 a verdict, else a place in the block
 *
 * A chain of the user's begins with an entry whose target is an error, and its name.
 */
#include "host/foreign_legacy.h"

#include "scope.h"

#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* After the C library's headers, lest both define the same. */
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo) &&
		      offsetof(struct ipt_get_entries, entrytable) ==
			      offsetof(struct ip6t_get_entries, entrytable),
	      "both families are asked alike");

/**
 * struct entry - what is the same in both families
 * @matches, @target, @next: places in the block
 */
struct entry {
	const char *in, *out;
	const unsigned char *in_mask, *out_mask;
	uint16_t protocol;
	bool has_protocol, has_address, is_goto;
	uint8_t inverted;
	uint32_t matches, target, next;
};

/**
 * struct block - a table as the kernel gives it
 * @bytes, @size: its entries
 */
struct block {
	const struct foreign_packet *packet;
	const char *bytes;
	uint32_t size;
	struct foreign_table *table;
};

static bool is_anything(const void *mask, size_t bytes)
{
	const char *b = mask;

	for (size_t i = 0; i < bytes; i++)
		if (b[i])
			return false;
	return true;
}

static struct entry entry_ipv4(const struct ipt_entry *e, uint32_t at)
{
	return (struct entry){ .in = e->ip.iniface,
			       .out = e->ip.outiface,
			       .in_mask = e->ip.iniface_mask,
			       .out_mask = e->ip.outiface_mask,
			       .protocol = e->ip.proto,
			       .has_protocol = e->ip.proto > 0,
			       .has_address = !is_anything(&e->ip.smsk, sizeof(e->ip.smsk)) ||
					      !is_anything(&e->ip.dmsk, sizeof(e->ip.dmsk)),
			       .is_goto = e->ip.flags & IPT_F_GOTO,
			       .inverted = e->ip.invflags,
			       .matches = at + (uint32_t)sizeof(*e),
			       .target = at + e->target_offset,
			       .next = at + e->next_offset };
}

static struct entry entry_ipv6(const struct ip6t_entry *e, uint32_t at)
{
	return (struct entry){ .in = e->ipv6.iniface,
			       .out = e->ipv6.outiface,
			       .in_mask = e->ipv6.iniface_mask,
			       .out_mask = e->ipv6.outiface_mask,
			       .protocol = e->ipv6.proto,
			       .has_protocol = e->ipv6.flags & IP6T_F_PROTO,
			       .has_address = !is_anything(&e->ipv6.smsk, sizeof(e->ipv6.smsk)) ||
					      !is_anything(&e->ipv6.dmsk, sizeof(e->ipv6.dmsk)),
			       .is_goto = e->ipv6.flags & IP6T_F_GOTO,
			       .inverted = e->ipv6.invflags,
			       .matches = at + (uint32_t)sizeof(*e),
			       .target = at + e->target_offset,
			       .next = at + e->next_offset };
}

/* Is there an entry, whole, at this place? */
static bool read_entry(const struct block *b, uint32_t at, struct entry *ret_entry)
{
	const size_t bytes =
		b->packet->family == 4 ? sizeof(struct ipt_entry) : sizeof(struct ip6t_entry);

	if (at > b->size || b->size - at < bytes)
		return false;
	*ret_entry = b->packet->family == 4 ? entry_ipv4((const void *)(b->bytes + at), at)
					    : entry_ipv6((const void *)(b->bytes + at), at);
	return ret_entry->matches <= ret_entry->target && ret_entry->next <= b->size &&
	       ret_entry->next >= ret_entry->target + sizeof(struct xt_standard_target);
}

static const struct xt_standard_target *target_of(const struct block *b, const struct entry *e)
{
	return (const void *)(b->bytes + e->target);
}

static bool begins_chain(const struct block *b, const struct entry *e)
{
	return strcmp(target_of(b, e)->target.u.user.name, XT_ERROR_TARGET) == 0;
}

/* The name of the user's chain whose first rule is at this place; it is in the entry before. */
static const char *name_of_chain(const struct block *b, uint32_t at)
{
	const size_t begins =
		b->packet->family == 4 ? sizeof(struct ipt_entry) : sizeof(struct ip6t_entry);
	const uint32_t bytes = (uint32_t)(begins + XT_ALIGN(sizeof(struct xt_error_target)));
	struct entry e;

	if (at < bytes || !read_entry(b, at - bytes, &e) || e.next != at || !begins_chain(b, &e))
		return "";
	return ((const struct xt_error_target *)(const void *)target_of(b, &e))->errorname;
}

static void read_interface(const struct block *b, struct foreign_rule *rule,
			   const struct foreign_interfaces *interfaces, const char *name,
			   const unsigned char mask[IFNAMSIZ], bool negate)
{
	size_t bytes = 0;

	while (bytes < IFNAMSIZ && mask[bytes])
		bytes++;
	if (bytes > 0)
		foreign_rule_interface(rule, b->packet, interfaces, name, bytes, negate);
}

static void read_matches(const struct block *b, const struct entry *e, struct foreign_rule *rule)
{
	uint32_t at = e->matches;

	while (at < e->target && e->target - at >= sizeof(struct xt_entry_match)) {
		const struct xt_entry_match *match = (const void *)(b->bytes + at);
		uint32_t bytes = match->u.match_size;

		if (bytes < sizeof(*match) || bytes > e->target - at)
			break;
		foreign_rule_xt_match(rule, b->packet, match->u.user.name, match->data,
				      bytes - sizeof(*match));
		at += bytes;
	}
}

static void read_target(const struct block *b, const struct entry *e, struct foreign_rule *rule)
{
	const struct xt_standard_target *target = target_of(b, e);

	if (target->target.u.user.name[0]) {
		foreign_rule_xt_target(rule, target->target.u.user.name);
	} else if (target->verdict >= 0) {
		/* The place behind this one is where "no target" leads. */
		if ((uint32_t)target->verdict != e->next)
			foreign_rule_jump(rule, e->is_goto ? FOREIGN_GOTO : FOREIGN_JUMP,
					  name_of_chain(b, (uint32_t)target->verdict));
	} else if (target->verdict == XT_RETURN) {
		rule->verdict = FOREIGN_RETURN;
	} else {
		rule->verdict = -target->verdict - 1 == NF_ACCEPT ? FOREIGN_ACCEPT : FOREIGN_DROP;
	}
}

static void read_rule(const struct block *b, const struct entry *e, const char *chain)
{
	struct foreign_rule rule;

	foreign_rule_begin(&rule, chain);
	rule.counted = true;
	read_interface(b, &rule, &b->packet->in, e->in, e->in_mask, e->inverted & IPT_INV_VIA_IN);
	read_interface(b, &rule, &b->packet->out, e->out, e->out_mask,
		       e->inverted & IPT_INV_VIA_OUT);
	if (e->has_protocol)
		foreign_rule_protocol(&rule, b->packet, e->protocol, e->inverted & XT_INV_PROTO);
	if (e->has_address)
		foreign_rule_address(&rule, b->packet);
	read_matches(b, e, &rule);
	read_target(b, e, &rule);
	foreign_table_add(b->table, &rule);
}

/* The entries from the hook's first to its policy, then the chains of the user's. */
static int read_block(const struct block *b, uint32_t begin, uint32_t policy, bool *ret_drops)
{
	const char *chain = foreign_legacy_chain(b->packet->hook);
	struct entry e;
	bool is_users = false;

	for (uint32_t at = 0; at < b->size; at = e.next) {
		if (!read_entry(b, at, &e))
			return -EINVAL;
		if (begins_chain(b, &e)) {
			is_users = true;
			chain = name_of_chain(b, e.next);
		} else if (at == policy) {
			*ret_drops = target_of(b, &e)->verdict != -NF_ACCEPT - 1;
		} else if (is_users || (at >= begin && at < policy)) {
			read_rule(b, &e, chain);
		}
	}
	return 0;
}

bool foreign_legacy_exists(uint8_t family, const char *table)
{
	const char *path = family == 4 ? "/proc/net/ip_tables_names" : "/proc/net/ip6_tables_names";
	scoped_file file = fopen(path, "re");
	char name[XT_TABLE_MAXNAMELEN + 1];

	while (file && fscanf(file, "%32s", name) == 1)
		if (strcmp(name, table) == 0)
			return true;
	return false;
}

const char *foreign_legacy_chain(uint32_t hook)
{
	return hook == NF_INET_FORWARD ? "FORWARD" : "INPUT";
}

int foreign_legacy_read(const struct foreign_packet *packet, struct foreign_table *table,
			bool *ret_drops)
{
	const int level = packet->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
	struct ipt_getinfo info = { .name = "filter" };
	struct block block = { .packet = packet, .table = table };
	scoped_memory struct ipt_get_entries *entries = NULL;
	socklen_t bytes = sizeof(info);
	scoped_fd fd = -1;

	if (!foreign_legacy_exists(packet->family, info.name))
		return -ENOENT;
	fd = socket(packet->family == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0 || getsockopt(fd, level, IPT_SO_GET_INFO, &info, &bytes) < 0)
		return -errno;
	bytes = (socklen_t)(sizeof(*entries) + info.size);
	entries = calloc(1, bytes);
	if (!entries)
		return -ENOMEM;
	strcpy(entries->name, info.name);
	entries->size = info.size;
	if (getsockopt(fd, level, IPT_SO_GET_ENTRIES, entries, &bytes) < 0)
		return -errno;
	block.bytes = (const char *)entries->entrytable;
	block.size = info.size;
	return read_block(&block, info.hook_entry[packet->hook], info.underflow[packet->hook],
			  ret_drops);
}
