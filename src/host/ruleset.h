/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firewall that goes with a plan: one table of our own, as data, as text in nft's language and as
 * netlink messages.  Pure: nothing here has a socket (that is nft.h).
 *
 * A rule is a row of terms: conditions, then what to do with a packet that meets them all.  There is
 * one such row for each of the three forms to start from, so what --dry-run shows is what is sent.
 */
#ifndef HOST_RULESET_H
#define HOST_RULESET_H

#include "host/plan.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	RULESET_TABLE_BYTES = 32,
	RULESET_RULES_MAX = 96,
	RULESET_TERMS_MAX = 5,
	RULESET_MESSAGES_BYTES = 65536, /* room for the largest ruleset */
};

/** enum ruleset_chain - where in a packet's way a rule stands; a chain without rules is not made */
enum ruleset_chain {
	CHAIN_GUARD,       /* everything that arrives, before connections are looked at */
	CHAIN_OUTPUT,      /* what this host sends */
	CHAIN_CLAMP,       /* what is forwarded: to be changed */
	CHAIN_FORWARD,     /* what is forwarded: to be allowed */
	CHAIN_POSTROUTING, /* what leaves: to be translated */
	CHAIN_COUNT
};

/** struct ruleset_chain_form - how nf_tables knows a chain, in words and in numbers */
struct ruleset_chain_form {
	const char *name, *type, *hook, *priority_name;
	uint32_t hook_number;
	int32_t priority;
};

/** ruleset_chain_forms - by enum ruleset_chain */
extern const struct ruleset_chain_form ruleset_chain_forms[];

enum ruleset_term_kind {
	TERM_NONE,
	/* conditions */
	TERM_IIF,              /* arrived by @interface */
	TERM_OIF,              /* leaves by @interface */
	TERM_IPV4,             /* is IPv4 */
	TERM_IPV6,             /* is IPv6 */
	TERM_SOURCE,           /* comes from @prefix */
	TERM_DESTINATION,      /* goes to @prefix */
	TERM_SOURCE_NOT_LOCAL, /* comes from an address that is not this host's */
	TERM_ESTABLISHED,      /* belongs to a connection that is there, or has to do with one */
	TERM_TCP_SYN,          /* opens a TCP connection, or answers the opening */
	/* actions */
	TERM_ACCEPT,
	TERM_DROP,
	TERM_REJECT,     /* tell the sender that there is no way */
	TERM_MASQUERADE, /* give it the address of the interface that it leaves by */
	TERM_CLAMP_MSS,  /* no segment larger than the path takes, in either direction */
	TERM_KIND_COUNT
};

/**
 * struct ruleset_term - one condition or action
 * @kind:   enum ruleset_term_kind
 * @negate: 1: the condition must not hold (TERM_IIF and TERM_OIF only)
 */
struct ruleset_term {
	uint8_t kind;
	uint8_t negate;
	char interface[PLAN_INTERFACE_BYTES];
	struct prefix prefix;
};

struct ruleset_rule {
	uint8_t chain; /* enum ruleset_chain */
	uint8_t term_count;
	struct ruleset_term term[RULESET_TERMS_MAX];
};

/**
 * struct ruleset - a table of ours
 * @table: its name: "minivpn-" and the interface
 * @owned: the kernel removes it when the socket is closed that made it
 * @rule:  sorted by chain
 */
struct ruleset {
	char table[RULESET_TABLE_BYTES];
	bool owned;
	uint8_t rule_count;
	struct ruleset_rule rule[RULESET_RULES_MAX];
};

/* Every table of ours is called so, and as the interface is. */
#define RULESET_TABLE_PREFIX "minivpn-"

/** ruleset_table_name() - the table that goes with an interface; returns @ret_name */
char *ruleset_table_name(const char *interface, char ret_name[RULESET_TABLE_BYTES]);

/**
 * ruleset_of_plan() - the firewall for a plan
 * @plan: one that plan_check() has nothing against
 *
 * Without rules (@rule_count 0) the plan needs no table.
 */
void ruleset_of_plan(const struct plan *plan, bool owned, struct ruleset *ret_ruleset);

/** ruleset_equal() - the same rules in the same table, whoever owns it? */
bool ruleset_equal(const struct ruleset *a, const struct ruleset *b);

/** ruleset_print() - in nft's own language, for `nft -f`: making it again changes nothing */
void ruleset_print(const struct ruleset *ruleset, FILE *out);

enum ruleset_verb {
	RULESET_INSTALL, /* fails (EEXIST) if there is a table of that name */
	RULESET_REPLACE, /* whether there is one or not */
	RULESET_REMOVE,  /* fails (ENOENT) if there is none */
};

/**
 * ruleset_messages() - the netlink messages that make it so, one transaction
 * @room:      RULESET_MESSAGES_BYTES, aligned as struct nlmsghdr is
 * @ret_bytes: how much of it is used
 *
 * The last message before the end of the batch asks for an answer (nft_commit() waits for it).
 *
 * Return: 0 or -ENOMEM
 */
int ruleset_messages(const struct ruleset *ruleset, enum ruleset_verb verb, void *room,
		     size_t *ret_bytes);

struct nlmsghdr;

/**
 * ruleset_read_rule() - take a rule as the kernel tells it into a ruleset
 * @message: an NFT_MSG_NEWRULE message
 *
 * Return: true and the rule added; false if we never make such a rule
 */
bool ruleset_read_rule(struct ruleset *ruleset, const struct nlmsghdr *message);

#endif
