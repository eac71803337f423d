/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rule of somebody else's firewall, held against one packet: does it concern the packet, and what does
 * it do with it?  Conditions are gathered one by one, from nft's expressions or from the entries of the
 * older iptables, and a rule is all that is known after the last.
 */
#ifndef HOST_FOREIGN_RULE_H
#define HOST_FOREIGN_RULE_H

#include "host/plan.h"

#include <libnftnl/rule.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FOREIGN_NAME_BYTES = 64,
	FOREIGN_UPLINKS_MAX = 4,

	/* Bits of conntrack's states, in nftables as in iptables. */
	FOREIGN_STATE_ESTABLISHED = 2,
	FOREIGN_STATE_NEW = 8,
};

/**
 * struct foreign_interfaces - what a packet may arrive or leave by
 * @count: 0: nobody knows, or it does not leave
 */
struct foreign_interfaces {
	size_t count;
	char name[FOREIGN_UPLINKS_MAX][PLAN_INTERFACE_BYTES];
};

/**
 * struct foreign_packet - a packet of which is asked whether it gets through
 * @hook:      NF_INET_LOCAL_IN or NF_INET_FORWARD
 * @family:    4 or 6
 * @protocol:  IPPROTO_UDP or IPPROTO_TCP
 * @port:      the one it goes to
 * @state:     FOREIGN_STATE_*
 * @in, @out:  interfaces
 * @interface: the one of them that a rule for this packet would name, or empty
 */
struct foreign_packet {
	uint32_t hook;
	uint8_t family, protocol, state;
	uint16_t port;
	struct foreign_interfaces in, out;
	char interface[PLAN_INTERFACE_BYTES];
};

enum foreign_verdict {
	FOREIGN_GOES_ON, /* whatever it does, the next rule is asked */
	FOREIGN_ACCEPT,
	FOREIGN_DROP,
	FOREIGN_RETURN,
	FOREIGN_JUMP,
	FOREIGN_GOTO,
	FOREIGN_ANYWHERE, /* to other chains, by a map that is not looked at */
};

enum foreign_match { FOREIGN_NO, FOREIGN_PERHAPS, FOREIGN_YES };

/**
 * struct foreign_rule - a rule, as far as one packet is concerned
 * @match:    does it concern the packet, by what is understood of it?
 * @narrowed: it has conditions that are not understood, which most packets do not meet
 * @named:    it names the packet's port or interface: somebody has thought of it
 * @counted:  it counts packets, as all rules of iptables do
 * @target:   of a jump
 */
struct foreign_rule {
	char chain[FOREIGN_NAME_BYTES], target[FOREIGN_NAME_BYTES];
	enum foreign_match match;
	enum foreign_verdict verdict;
	bool narrowed, named, counted;
};

/** foreign_rule_begin() - without a condition, and without a verdict */
void foreign_rule_begin(struct foreign_rule *rule, const char *chain);

/** foreign_rule_jump() - it leads to @target; @verdict is FOREIGN_JUMP or FOREIGN_GOTO */
void foreign_rule_jump(struct foreign_rule *rule, enum foreign_verdict verdict, const char *target);

/** foreign_rule_family() - it is about this family, NFPROTO_*, or with @negate about others */
void foreign_rule_family(struct foreign_rule *rule, const struct foreign_packet *packet,
			 uint32_t family, bool negate);

/** foreign_rule_protocol() - it is about this IP protocol */
void foreign_rule_protocol(struct foreign_rule *rule, const struct foreign_packet *packet,
			   uint32_t protocol, bool negate);

/** foreign_rule_port() - it is about ports from @low to @high */
void foreign_rule_port(struct foreign_rule *rule, const struct foreign_packet *packet, uint16_t low,
		       uint16_t high, bool negate);

/** foreign_rule_state() - it is about connections in one of these states */
void foreign_rule_state(struct foreign_rule *rule, const struct foreign_packet *packet,
			uint32_t states, bool negate);

/**
 * foreign_rule_interface() - it is about what arrives or leaves by this interface
 * @interfaces: the packet's, on that side
 * @name, @bytes: the first @bytes of its name, with the NUL unless more may follow
 */
void foreign_rule_interface(struct foreign_rule *rule, const struct foreign_packet *packet,
			    const struct foreign_interfaces *interfaces, const char *name,
			    size_t bytes, bool negate);

/** foreign_rule_address() - it is about some addresses: which, is not looked at */
void foreign_rule_address(struct foreign_rule *rule, const struct foreign_packet *packet);

/** foreign_rule_xt_match() - a match of iptables */
void foreign_rule_xt_match(struct foreign_rule *rule, const struct foreign_packet *packet,
			   const char *name, const void *info, size_t bytes);

/** foreign_rule_xt_target() - a target of iptables that has a name */
void foreign_rule_xt_target(struct foreign_rule *rule, const char *name);

/** foreign_rule_read() - a rule of nft's, or one that iptables makes of it */
void foreign_rule_read(const struct nftnl_rule *nft, const struct foreign_packet *packet,
		       struct foreign_rule *ret_rule);

#endif
