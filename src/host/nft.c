/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/nft.h"

#include "scope.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	REQUEST_BYTES = 512,
	ANSWER_BYTES = 32768,
	PATIENCE_S = 5, /* a kernel that does not answer must not hold us for ever */
};

int nft_open(int *ret_fd)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int one = 1;
	scoped_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The message that asks for the answer: the only one of the batch that does. */
static uint32_t awaited_sequence(const void *messages, size_t bytes)
{
	const struct nlmsghdr *message = messages;
	int left = (int)bytes;

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		if (message->nlmsg_flags & NLM_F_ACK)
			return message->nlmsg_seq;
	return 0;
}

/* What the answers so far say.  The kernel tells the errors of all messages and then the answer that
 * was asked for; only if it refuses the batch as a whole it answers to its first message alone. */
struct outcome {
	uint32_t first, awaited;
	int error;
	bool complete;
};

static void take_answers(const void *answers, int left, struct outcome *outcome)
{
	const struct nlmsghdr *answer = answers;

	for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(answer);

		if (answer->nlmsg_type != NLMSG_ERROR)
			continue;
		if (e->error && !outcome->error)
			outcome->error = e->error;
		if (answer->nlmsg_seq == outcome->first || answer->nlmsg_seq == outcome->awaited)
			outcome->complete = true;
	}
}

static int commit(int fd, const void *messages, size_t bytes)
{
	_Alignas(struct nlmsghdr) char answers[ANSWER_BYTES];
	struct outcome outcome = { .first = ((const struct nlmsghdr *)messages)->nlmsg_seq,
				   .awaited = awaited_sequence(messages, bytes) };

	if (send(fd, messages, bytes, 0) < 0)
		return -errno;
	while (!outcome.complete) {
		ssize_t got = recv(fd, answers, sizeof(answers), 0);

		if (got < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		take_answers(answers, (int)got, &outcome);
	}
	return outcome.error;
}

int nft_apply(int fd, const struct ruleset *ruleset, enum ruleset_verb verb)
{
	scoped_memory void *room = malloc(RULESET_MESSAGES_BYTES);
	size_t bytes;
	int error;

	if (!room)
		return -ENOMEM;
	error = ruleset_messages(ruleset, verb, room, &bytes);
	return error ? error : commit(fd, room, bytes);
}

/* Sends @request and hands each message of the answer to @take. */
static int ask(int fd, struct nlmsghdr *request, mnl_cb_t take, void *context)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	int verdict;

	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	do {
		ssize_t got = recv(fd, answer, sizeof(answer), 0);

		if (got < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		verdict = mnl_cb_run(answer, (size_t)got, request->nlmsg_seq, 0, take, context);
	} while (verdict > MNL_CB_STOP);
	return verdict < 0 ? -errno : 0;
}

static int take_table(const struct nlmsghdr *message, void *context)
{
	struct nft_table *table = context;
	struct nftnl_table *t = nftnl_table_alloc();

	if (!t)
		return MNL_CB_OK;
	if (nftnl_table_nlmsg_parse(message, t) == 0) {
		table->exists = true;
		table->owned = nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS) & NFT_TABLE_F_OWNER;
	}
	nftnl_table_free(t);
	return MNL_CB_OK;
}

static int take_rule(const struct nlmsghdr *message, void *context)
{
	struct nft_table *table = context;

	if (!ruleset_read_rule(&table->ruleset, message))
		table->foreign_rules++;
	return MNL_CB_OK;
}

static int read_table(int fd, struct nft_table *table)
{
	_Alignas(struct nlmsghdr) char room[REQUEST_BYTES];
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr(room, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_ACK, 1);

	mnl_attr_put_strz(request, NFTA_TABLE_NAME, table->ruleset.table);
	return ask(fd, request, take_table, table);
}

static int read_rules(int fd, struct nft_table *table)
{
	_Alignas(struct nlmsghdr) char room[REQUEST_BYTES];
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr(room, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 2);

	mnl_attr_put_strz(request, NFTA_RULE_TABLE, table->ruleset.table);
	return ask(fd, request, take_rule, table);
}

/* The kernel tells rules chain by chain in the order in which the chains were made, which is ours, if
 * we made them; for others, put them in order. */
static void sort_by_chain(struct ruleset *ruleset)
{
	struct ruleset_rule sorted[RULESET_RULES_MAX];
	size_t n = 0;

	for (int chain = 0; chain < CHAIN_COUNT; chain++)
		for (size_t i = 0; i < ruleset->rule_count; i++)
			if (ruleset->rule[i].chain == chain)
				sorted[n++] = ruleset->rule[i];
	memcpy(ruleset->rule, sorted, n * sizeof(*sorted));
}

int nft_read(int fd, const char *interface, struct nft_table *ret_table)
{
	scoped_memory struct nft_table *table = calloc(1, sizeof(*table));
	int error;

	if (!table)
		return -ENOMEM;
	ruleset_table_name(interface, table->ruleset.table);
	error = read_table(fd, table);
	if (!error)
		error = read_rules(fd, table);
	if (error && error != -ENOENT)
		return error;
	table->ruleset.owned = table->owned;
	sort_by_chain(&table->ruleset);
	*ret_table = *table;
	return 0;
}

struct chain_listener {
	uint32_t hook;
	void (*each)(void *context, const char *family, const char *table, const char *chain,
		     bool drops);
	void *context;
};

static const struct {
	const char *name;
	uint16_t number;
} families[] = { { "inet", NFPROTO_INET }, { "ip", NFPROTO_IPV4 }, { "ip6", NFPROTO_IPV6 } };

static const char *family_name(uint32_t number)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		if (families[i].number == number)
			return families[i].name;
	return NULL;
}

static uint16_t family_number(const char *name)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		if (strcmp(families[i].name, name) == 0)
			return families[i].number;
	return NFPROTO_UNSPEC;
}

static void tell_if_on_hook(const struct nftnl_chain *c, const struct chain_listener *listener)
{
	const char *family = family_name(nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY));

	if (family && nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) == listener->hook)
		listener->each(listener->context, family, nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE),
			       nftnl_chain_get_str(c, NFTNL_CHAIN_NAME),
			       nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP);
}

static int take_chain(const struct nlmsghdr *message, void *context)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (c && nftnl_chain_nlmsg_parse(message, c) == 0)
		tell_if_on_hook(c, context);
	if (c)
		nftnl_chain_free(c);
	return MNL_CB_OK;
}

int nft_base_chains(int fd, uint32_t hook,
		    void (*each)(void *context, const char *family, const char *table,
				 const char *chain, bool drops),
		    void *context)
{
	_Alignas(struct nlmsghdr) char room[REQUEST_BYTES];
	struct chain_listener listener = { hook, each, context };
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr(room, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NLM_F_DUMP, 3);

	return ask(fd, request, take_chain, &listener);
}

struct rule_listener {
	void (*each)(void *context, const struct nftnl_rule *rule);
	void *context;
};

static int tell_rule(const struct nlmsghdr *message, void *context)
{
	const struct rule_listener *listener = context;
	struct nftnl_rule *rule = nftnl_rule_alloc();

	if (rule && nftnl_rule_nlmsg_parse(message, rule) == 0)
		listener->each(listener->context, rule);
	if (rule)
		nftnl_rule_free(rule);
	return MNL_CB_OK;
}

int nft_rules(int fd, const char *family, const char *table,
	      void (*each)(void *context, const struct nftnl_rule *rule), void *context)
{
	_Alignas(struct nlmsghdr) char room[REQUEST_BYTES];
	struct rule_listener listener = { each, context };
	struct nlmsghdr *request =
		nftnl_nlmsg_build_hdr(room, NFT_MSG_GETRULE, family_number(family), NLM_F_DUMP, 5);

	mnl_attr_put_strz(request, NFTA_RULE_TABLE, table);
	return ask(fd, request, tell_rule, &listener);
}
