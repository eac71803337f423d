/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of somebody else's firewall, as far as one packet is concerned, and the packet's way through
 * it.  It is in memory as long as a look at it takes.
 */
#ifndef HOST_FOREIGN_TABLE_H
#define HOST_FOREIGN_TABLE_H

#include "host/foreign_rule.h"

/**
 * struct foreign_table - rules in their order, chain by chain
 * @rule:       those that concern the packet and decide or lead somewhere
 * @counted, @uncounted: there is a rule that counts packets, as all of iptables do, or one that does not
 * @incomplete: there was no memory for all of them
 */
struct foreign_table {
	size_t count;
	struct foreign_rule *rule;
	bool counted, uncounted, incomplete;
};

/** foreign_table_add() - one more rule, behind those there are */
void foreign_table_add(struct foreign_table *table, const struct foreign_rule *rule);

/** foreign_table_free() - without rules; good for more */
void foreign_table_free(struct foreign_table *table);

/** foreign_table_has() - does a chain that a rule is in or leads to begin with @prefix? */
bool foreign_table_has(const struct foreign_table *table, const char *prefix);

/**
 * foreign_table_drops() - does a packet that enters at @chain end here?
 * @policy_drops: what no rule of the chain decides is dropped
 *
 * In doubt (a condition that may be met, a set or a map that is not looked at, too many rules) it is let
 * through: better no word than a wrong one.
 */
bool foreign_table_drops(const struct foreign_table *table, const char *chain, bool policy_drops);

#endif
