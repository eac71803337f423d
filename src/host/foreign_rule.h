/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a rule of somebody else's firewall does to datagrams to a UDP port of this machine, as far as a
 * look at the rule alone can tell: nft's rules and those that iptables makes of nft.
 */
#ifndef HOST_FOREIGN_RULE_H
#define HOST_FOREIGN_RULE_H

#include <libnftnl/rule.h>
#include <stdint.h>

enum foreign_effect {
	FOREIGN_NONE,    /* none that can be told */
	FOREIGN_ACCEPTS, /* some of them, that is */
	FOREIGN_DROPS,   /* all of them */
};

/**
 * foreign_rule_effect() - of @rule on datagrams to @port
 * @in_base: it is in a base chain, which all that arrives goes through.  In another an accept counts only
 *           if it is about UDP.
 *
 * In doubt (a set, a map, a jump elsewhere by this port) it is an accept.
 */
enum foreign_effect foreign_rule_effect(const struct nftnl_rule *rule, uint16_t port, bool in_base);

#endif
