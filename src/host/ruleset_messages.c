/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ruleset as netlink messages, and rules as the kernel tells them. */
#include "host/ruleset.h"
#include "host/ruleset_terms.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/batch.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

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
	nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, ruleset_chain_forms[which].name);
	nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, ruleset_chain_forms[which].type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, ruleset_chain_forms[which].hook_number);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, ruleset_chain_forms[which].priority);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(message, chain);
	end_message(c);
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
	nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, ruleset_chain_forms[what->chain].name);
	for (size_t i = 0; i < what->term_count; i++)
		if (!ruleset_put_term(rule, &what->term[i]))
			c->failed = true;
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

static bool read_chain(const char *name, struct ruleset_rule *ret_rule)
{
	for (int chain = 0; chain < CHAIN_COUNT; chain++)
		if (strcmp(ruleset_chain_forms[chain].name, name) == 0) {
			ret_rule->chain = (uint8_t)chain;
			return true;
		}
	return false;
}

bool ruleset_read_rule(struct ruleset *ruleset, const struct nlmsghdr *message)
{
	__attribute__((cleanup(free_rule))) struct nftnl_rule *rule = nftnl_rule_alloc();
	struct ruleset_rule found = { .term_count = 0 };

	if (!rule || ruleset->rule_count == RULESET_RULES_MAX)
		return false;
	if (nftnl_rule_nlmsg_parse(message, rule) < 0 ||
	    !read_chain(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), &found) ||
	    !ruleset_take_terms(rule, &found))
		return false;
	ruleset->rule[ruleset->rule_count++] = found;
	return true;
}
