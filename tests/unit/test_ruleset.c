/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firewall of a plan: what is in it, and that its three forms say the same. */
#include "host/ruleset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse(text, &p));
	return p;
}

static struct plan server_plan(void)
{
	struct plan plan;

	plan_init(&plan, "tun0", 1420);
	assert_true(plan_add_address(&plan, &(struct prefix){ prefix("10.9.0.1").address, 24 }));
	assert_true(plan_add_network(&plan, &(struct prefix){ prefix("10.9.0.1").address, 24 }));
	assert_true(plan_add_network(&plan, &(struct prefix){ prefix("10.64.0.0").address, 10 }));
	assert_true(plan_add_network(&plan, &(struct prefix){ prefix("fd09::1").address, 64 }));
	plan.masquerade = plan.isolate_peers = plan.clamp_mss = 1;
	plan.forward_ipv4 = plan.forward_ipv6 = 1;
	return plan;
}

static struct plan client_plan(void)
{
	struct plan plan;

	plan_init(&plan, "tun0", 1420);
	assert_true(plan_add_address(&plan, &(struct prefix){ prefix("10.9.0.2").address, 24 }));
	plan.default_ipv4 = PLAN_WAY_TUNNEL;
	plan.default_ipv6 = PLAN_WAY_REFUSED;
	return plan;
}

static void assert_prints(const struct plan *plan, const char *expected)
{
	struct ruleset ruleset;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	ruleset_of_plan(plan, false, &ruleset);
	ruleset_print(&ruleset, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void test_server(void **state)
{
	struct plan plan = server_plan();

	(void)state;
	assert_prints(
		&plan,
		"table inet minivpn-tun0\n"
		"delete table inet minivpn-tun0\n"
		"table inet minivpn-tun0 {\n"
		"\tchain clamp {\n"
		"\t\ttype filter hook forward priority mangle; policy accept;\n"
		"\t\tiifname \"tun0\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n"
		"\t\toifname \"tun0\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n"
		"\t}\n"
		"\tchain forward {\n"
		"\t\ttype filter hook forward priority filter; policy accept;\n"
		"\t\tiifname \"tun0\" oifname \"tun0\" drop\n"
		"\t\tiifname \"tun0\" ip saddr 10.9.0.0/24 accept\n"
		"\t\tiifname \"tun0\" ip saddr 10.64.0.0/10 accept\n"
		"\t\tiifname \"tun0\" ip6 saddr fd09::/64 accept\n"
		"\t\toifname \"tun0\" ct state established,related accept\n"
		"\t\tiifname != \"tun0\" oifname \"tun0\" ip daddr 10.9.0.0/24 drop\n"
		"\t\tiifname != \"tun0\" oifname \"tun0\" ip daddr 10.64.0.0/10 drop\n"
		"\t\tiifname != \"tun0\" oifname \"tun0\" ip6 daddr fd09::/64 drop\n"
		"\t}\n"
		"\tchain postrouting {\n"
		"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		"\t\tip saddr 10.9.0.0/24 oifname != \"tun0\" masquerade\n"
		"\t\tip saddr 10.64.0.0/10 oifname != \"tun0\" masquerade\n"
		"\t\tip6 saddr fd09::/64 oifname != \"tun0\" masquerade\n"
		"\t}\n"
		"}\n");
}

static void test_one_way_out(void **state)
{
	struct plan plan;

	(void)state;
	plan_init(&plan, "tun0", 1420);
	plan_add_network(&plan, &(struct prefix){ prefix("10.9.0.0").address, 24 });
	plan.masquerade = 1;
	strcpy(plan.out, "eth1");
	assert_prints(&plan, "table inet minivpn-tun0\n"
			     "delete table inet minivpn-tun0\n"
			     "table inet minivpn-tun0 {\n"
			     "\tchain forward {\n"
			     "\t\ttype filter hook forward priority filter; policy accept;\n"
			     "\t\tiifname \"tun0\" oifname \"eth1\" ip saddr 10.9.0.0/24 accept\n"
			     "\t\tiifname \"tun0\" oifname != \"tun0\" ip saddr 10.9.0.0/24 drop\n"
			     "\t\toifname \"tun0\" ct state established,related accept\n"
			     "\t\tiifname != \"tun0\" oifname \"tun0\" ip daddr 10.9.0.0/24 drop\n"
			     "\t}\n"
			     "\tchain postrouting {\n"
			     "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
			     "\t\tip saddr 10.9.0.0/24 oifname \"eth1\" masquerade\n"
			     "\t}\n"
			     "}\n");
}

static void test_client(void **state)
{
	struct plan plan = client_plan();

	(void)state;
	assert_prints(&plan,
		      "table inet minivpn-tun0\n"
		      "delete table inet minivpn-tun0\n"
		      "table inet minivpn-tun0 {\n"
		      "\tchain guard {\n"
		      "\t\ttype filter hook prerouting priority raw; policy accept;\n"
		      "\t\tiifname != \"tun0\" ip daddr 10.9.0.2 fib saddr type != local drop\n"
		      "\t}\n"
		      "\tchain output {\n"
		      "\t\ttype filter hook output priority filter; policy accept;\n"
		      "\t\toifname \"tun0\" meta nfproto ipv6 reject with icmpx no-route\n"
		      "\t}\n"
		      "\tchain forward {\n"
		      "\t\ttype filter hook forward priority filter; policy accept;\n"
		      "\t\toifname \"tun0\" meta nfproto ipv6 reject with icmpx no-route\n"
		      "\t}\n"
		      "}\n");
}

static void test_split_client_needs_none(void **state)
{
	struct plan plan;
	struct ruleset ruleset;

	(void)state;
	plan_init(&plan, "tun0", 1420);
	plan_add_route(&plan, &(struct prefix){ prefix("10.0.0.0").address, 8 });
	ruleset_of_plan(&plan, true, &ruleset);
	assert_int_equal(ruleset.rule_count, 0);
}

/* Takes the rules out of the messages again and compares them with what went in. */
static void assert_reads_back(const struct plan *plan)
{
	struct ruleset ruleset, again = { .rule_count = 0 };
	void *room = malloc(RULESET_MESSAGES_BYTES);
	const struct nlmsghdr *message = room;
	size_t bytes;
	int left;

	ruleset_of_plan(plan, true, &ruleset);
	memcpy(again.table, ruleset.table, sizeof(again.table));
	assert_int_equal(ruleset_messages(&ruleset, RULESET_INSTALL, room, &bytes), 0);
	left = (int)bytes;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
			assert_true(ruleset_read_rule(&again, message));
	assert_int_equal(left, 0);
	assert_int_equal(again.rule_count, ruleset.rule_count);
	assert_true(ruleset_equal(&again, &ruleset));
	free(room);
}

static void test_messages_read_back(void **state)
{
	struct plan server = server_plan(), client = client_plan(), crowded = server_plan();

	(void)state;
	assert_reads_back(&server);
	assert_reads_back(&client);
	/* As many of everything as a plan holds, of awkward lengths. */
	strcpy(crowded.out, "eth0");
	crowded.default_ipv6 = PLAN_WAY_REFUSED;
	while (crowded.network_count < PLAN_NETWORKS_MAX) {
		struct prefix p = prefix("2001:db8::");

		p.length = (uint8_t)(33 + crowded.network_count);
		p.address.b[4] = (uint8_t)(0x80 | crowded.network_count);
		p = prefix_network(&p);
		assert_true(plan_add_network(&crowded, &p));
	}
	while (crowded.address_count < PLAN_ADDRESSES_MAX)
		assert_true(plan_add_address(&crowded, &crowded.network[3]));
	assert_reads_back(&crowded);
}

/* Every transaction is one batch, and exactly its last message asks for an answer. */
static void test_one_answer_a_batch(void **state)
{
	struct plan plan = server_plan();
	struct ruleset ruleset;
	void *room = malloc(RULESET_MESSAGES_BYTES);

	(void)state;
	ruleset_of_plan(&plan, false, &ruleset);
	for (enum ruleset_verb verb = RULESET_INSTALL; verb <= RULESET_REMOVE; verb++) {
		const struct nlmsghdr *message = room, *before = NULL;
		size_t bytes;
		int left, asking = 0;

		assert_int_equal(ruleset_messages(&ruleset, verb, room, &bytes), 0);
		left = (int)bytes;
		assert_int_equal(message->nlmsg_type, NFNL_MSG_BATCH_BEGIN);
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			asking += message->nlmsg_flags & NLM_F_ACK ? 1 : 0;
			if (message->nlmsg_type == NFNL_MSG_BATCH_END)
				assert_true(before && before->nlmsg_flags & NLM_F_ACK);
			before = message;
		}
		assert_int_equal(before->nlmsg_type, NFNL_MSG_BATCH_END);
		assert_int_equal(asking, 1);
	}
	free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_one_way_out),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_split_client_needs_none),
		cmocka_unit_test(test_messages_read_back),
		cmocka_unit_test(test_one_answer_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
