/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans: what can be one, how far one may go, and the steps that it takes. */
#include "host/limits.h"
#include "host/plan.h"
#include "host/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse(text, &p));
	return p;
}

static void add_route(struct plan *plan, const char *text)
{
	struct prefix p = prefix(text);

	assert_true(plan_add_route(plan, &p));
}

static void add_address(struct plan *plan, const char *text)
{
	struct prefix p = prefix(text);

	assert_true(plan_add_address(plan, &p));
}

static void set_server(struct plan *plan, const char *text)
{
	assert_true(endpoint_parse(text, &plan->server));
}

static void test_routes(void **state)
{
	struct plan plan;

	(void)state;
	plan_init(&plan, "tun0", 1420);
	add_route(&plan, "10.1.2.3/8");
	add_route(&plan, "10.0.0.0/8");
	assert_int_equal(plan.route_count, 1);
	assert_int_equal(plan.default_ipv4, PLAN_WAY_HOST);
	add_route(&plan, "0.0.0.0/0");
	assert_int_equal(plan.route_count, 1);
	assert_int_equal(plan.default_ipv4, PLAN_WAY_TUNNEL);
	assert_int_equal(plan.default_ipv6, PLAN_WAY_HOST);
	add_route(&plan, "::/0");
	assert_int_equal(plan.default_ipv6, PLAN_WAY_TUNNEL);
	assert_null(plan_check(&plan));
	for (unsigned i = 1; i < PLAN_ROUTES_MAX; i++) {
		struct prefix p = prefix("172.16.0.0/24");

		p.address.b[14] = (uint8_t)i;
		assert_true(plan_add_route(&plan, &p));
	}
	assert_false(plan_add_route(&plan, &(struct prefix){ prefix("192.0.2.0").address, 24 }));
}

/* A full tunnel of one family takes the other along, or refuses it. */
static void test_refuse_rest(void **state)
{
	struct plan plan;

	(void)state;
	plan_init(&plan, "tun0", 1420);
	add_address(&plan, "10.9.0.2/24");
	add_route(&plan, "10.0.0.0/8");
	add_route(&plan, "fd00::/8");
	plan_refuse_rest(&plan); /* a split tunnel stays one */
	assert_int_equal(plan.route_count, 2);
	assert_int_equal(plan.default_ipv6, PLAN_WAY_HOST);

	add_route(&plan, "0.0.0.0/0");
	plan_refuse_rest(&plan);
	assert_int_equal(plan.default_ipv6, PLAN_WAY_REFUSED);
	assert_int_equal(plan.route_count, 1);
	assert_null(plan_check(&plan));

	plan_init(&plan, "tun0", 1420);
	add_address(&plan, "10.9.0.2/24");
	add_address(&plan, "fd09::2/64");
	add_route(&plan, "10.0.0.0/8");
	add_route(&plan, "::/0");
	plan_refuse_rest(&plan);
	assert_int_equal(plan.default_ipv4, PLAN_WAY_TUNNEL);
	assert_int_equal(plan.route_count, 1);
	assert_null(plan_check(&plan));
}

static void test_interface_names(void **state)
{
	static const char *const good[] = { "tun0", "minivpn0", "a", "Home-Office_1.2",
					    "fifteenletters_" };
	static const char *const bad[] = { "",
					   "0tun",
					   "all",
					   "default",
					   "lo",
					   "tun 0",
					   "tun\"0",
					   "../eth0",
					   "tun/0",
					   "-tun",
					   ".hidden",
					   "t\xc3\xbcn",
					   "sixteen_letters_",
					   "tun0;drop" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!plan_interface_is_valid(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (plan_interface_is_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
}

static struct plan good_plan(void)
{
	struct plan plan;

	plan_init(&plan, "tun0", 1420);
	add_address(&plan, "10.9.0.2/24");
	add_route(&plan, "192.168.7.0/24");
	assert_true(plan_add_network(&plan, &(struct prefix){ prefix("10.9.0.0").address, 24 }));
	assert_null(plan_check(&plan));
	return plan;
}

/* Each field out of its range, as somebody might send it who has taken over the network process. */
static void test_check_refuses(void **state)
{
	struct plan plan;

	(void)state;
#define refuses(change)                                      \
	do {                                                 \
		plan = good_plan();                          \
		change;                                      \
		if (!plan_check(&plan))                      \
			fail_msg("passes with %s", #change); \
	} while (0)
	refuses(memset(plan.interface, 'a', sizeof(plan.interface)));
	refuses(plan.interface[0] = '\0');
	refuses(plan.mtu = 1279);
	refuses(plan.address_count = PLAN_ADDRESSES_MAX + 1);
	refuses(plan.address[0].length = 33);
	refuses(plan.address[0].length = 0);
	refuses(plan.route_count = PLAN_ROUTES_MAX + 1);
	refuses(plan.route[0].length = 33);
	refuses(plan.route[0].length = 0);
	refuses(plan.route[0].length = 8);
	refuses(plan.network_count = PLAN_NETWORKS_MAX + 1);
	refuses(plan.network[0].length = 16; plan.network[0].address.b[15] = 1);
	refuses(plan.default_ipv4 = PLAN_WAY_COUNT);
	refuses(plan.default_ipv6 = 255);
	refuses(plan.default_ipv4 = PLAN_WAY_REFUSED);
	refuses(strcpy(plan.out, "a b"));
	refuses(memset(plan.out, 'a', sizeof(plan.out)));
	refuses(plan.masquerade = 2);
	refuses(plan.isolate_peers = 2);
	refuses(plan.forward_ipv4 = 2);
	refuses(plan.forward_ipv6 = 2);
	refuses(plan.clamp_mss = 2);
#undef refuses
}

static void test_limits(void **state)
{
	struct limits split = { .interface = "tun0", .route_count = 1 };
	struct limits full = { .interface = "tun0",
			       .full_tunnel = true,
			       .any_route = true,
			       .shortest_ipv4 = 8,
			       .shortest_ipv6 = 16 };
	struct plan plan;

	(void)state;
	split.route[0] = prefix("192.168.0.0/16");
	plan = good_plan();
	plan.network_count = 0;
	assert_null(limits_permit_plan(&split, &plan));
	assert_null(limits_permit_plan(&full, &plan));

	plan.default_ipv4 = PLAN_WAY_TUNNEL;
	assert_string_equal(limits_permit_plan(&split, &plan), "a full tunnel");
	assert_null(limits_permit_plan(&full, &plan));
	plan.default_ipv4 = PLAN_WAY_HOST;
	plan.default_ipv6 = PLAN_WAY_REFUSED;
	assert_string_equal(limits_permit_plan(&split, &plan), "a full tunnel");
	plan.default_ipv6 = PLAN_WAY_HOST;

	add_route(&plan, "10.0.0.0/8");
	assert_string_equal(limits_permit_plan(&split, &plan), "a route to other networks");
	assert_null(limits_permit_plan(&full, &plan));
	add_route(&plan, "128.0.0.0/1");
	assert_string_equal(limits_permit_plan(&full, &plan), "a route to other networks");

	/* The kernel makes a route of it. */
	plan = good_plan();
	plan.network_count = 0;
	plan.address[0] = prefix("9.0.0.1/7");
	assert_string_equal(limits_permit_plan(&full, &plan), "an address of too large a network");
	plan.address[0] = prefix("9.0.0.1/8");
	assert_null(limits_permit_plan(&full, &plan));
	split.shortest_ipv4 = 17;
	assert_non_null(limits_permit_plan(&split, &plan));
	plan.address[0] = prefix("192.168.7.1/16");
	assert_null(limits_permit_plan(&split, &plan));

	plan = good_plan();
	assert_string_equal(limits_permit_plan(&full, &plan), "forwarding");
	full.forward = true;
	assert_null(limits_permit_plan(&full, &plan));
	strcpy(full.out, "eth0");
	assert_string_equal(limits_permit_plan(&full, &plan), "forwarding to another interface");
	strcpy(full.interface, "tun1");
	assert_string_equal(limits_permit_plan(&full, &plan), "another interface");
}

/* The steps of a plan, one a line. */
static void assert_steps(const struct plan *plan, const struct facts *facts, const char *expected)
{
	static struct steps steps;
	char text[STEPS_MAX * STEP_TEXT_BYTES] = "";

	assert_null(plan_check(plan));
	steps_of_plan(plan, facts, &steps);
	for (size_t i = 0; i < steps.count; i++) {
		char line[STEP_TEXT_BYTES];

		assert_null(step_check(&steps.step[i]));
		strcat(text, step_print(&steps.step[i], line));
		strcat(text, "\n");
	}
	assert_string_equal(text, expected);
}

static void test_split_tunnel(void **state)
{
	struct facts facts = { .table = 900 };
	struct plan plan;

	(void)state;
	plan_init(&plan, "tun0", 1420);
	add_address(&plan, "10.9.0.2/24");
	add_route(&plan, "10.9.0.0/24"); /* the kernel makes that one */
	add_route(&plan, "192.168.7.0/24");
	set_server(&plan, "192.0.2.1:4500");
	assert_steps(&plan, &facts,
		     "interface tun0 up, MTU 1420\n"
		     "firewall table minivpn-tun0\n"
		     "address 10.9.0.2/24 on tun0\n"
		     "route 192.168.7.0/24 into tun0 in table 254\n");
}

static void test_split_tunnel_around_its_server(void **state)
{
	struct facts facts = { .table = 900, .own_count = 1 };
	struct plan plan;

	(void)state;
	facts.own[0] = prefix("192.0.2.9").address;
	plan_init(&plan, "tun0", 1420);
	add_route(&plan, "192.0.0.0/16");
	set_server(&plan, "192.0.2.1:4500");
	assert_steps(&plan, &facts,
		     "interface tun0 up, MTU 1420\n"
		     "firewall table minivpn-tun0\n"
		     "route 192.0.0.0/16 into tun0 in table 900\n"
		     "IPv4 policy rule 30009: all: nothing\n"
		     "IPv4 policy rule 30000: mark 0x6d: go on at 30009\n"
		     "IPv4 policy rule 30000: user 2104885248: go on at 30009\n"
		     "IPv4 policy rule 30001: from 192.0.2.9: go on at 30009\n"
		     "IPv4 policy rule 30002: all: ask table 254 without its default route\n"
		     "IPv4 policy rule 30004: all: ask table 900\n");
}

static void test_full_tunnel(void **state)
{
	struct facts facts = { .table = 900, .own_count = 2 };
	struct plan plan;

	(void)state;
	facts.own[0] = prefix("192.0.2.9").address;
	facts.own[1] = prefix("2001:db8::9").address;
	plan_init(&plan, "tun0", 1420);
	add_address(&plan, "10.9.0.2/24");
	add_route(&plan, "0.0.0.0/0");
	plan.default_ipv6 = PLAN_WAY_REFUSED;
	assert_steps(&plan, &facts,
		     "interface tun0 up, MTU 1420\n"
		     "firewall table minivpn-tun0\n"
		     "address 10.9.0.2/24 on tun0\n"
		     "address 100:0:0:1::1/128 on tun0\n"
		     "route 0.0.0.0/0 into tun0 in table 900\n"
		     "route ::/0 into tun0 in table 900\n"
		     "IPv4 policy rule 30009: all: nothing\n"
		     "IPv4 policy rule 30000: mark 0x6d: go on at 30009\n"
		     "IPv4 policy rule 30000: user 2104885248: go on at 30009\n"
		     "IPv4 policy rule 30001: from 192.0.2.9: go on at 30009\n"
		     "IPv4 policy rule 30002: all: ask table 254 without its default route\n"
		     "IPv4 policy rule 30003: from 10.9.0.2: ask table 900\n"
		     "IPv4 policy rule 30004: all: ask table 900\n"
		     "IPv6 policy rule 30009: all: nothing\n"
		     "IPv6 policy rule 30000: mark 0x6d: go on at 30009\n"
		     "IPv6 policy rule 30000: user 2104885248: go on at 30009\n"
		     "IPv6 policy rule 30001: from 2001:db8::9: go on at 30009\n"
		     "IPv6 policy rule 30002: all: ask table 254 without its default route\n"
		     "IPv6 policy rule 30004: all: ask table 900\n");
}

static void test_server(void **state)
{
	struct facts facts = { .table = 900, .advertised_count = 1, .advertised = { "eth0" } };
	struct plan plan = good_plan();

	(void)state;
	plan.forward_ipv4 = plan.forward_ipv6 = 1;
	assert_steps(&plan, &facts,
		     "interface tun0 up, MTU 1420\n"
		     "firewall table minivpn-tun0\n"
		     "setting /proc/sys/net/ipv4/ip_forward to 1\n"
		     "setting /proc/sys/net/ipv6/conf/eth0/accept_ra to 2\n"
		     "setting /proc/sys/net/ipv6/conf/all/forwarding to 1\n"
		     "address 10.9.0.2/24 on tun0\n"
		     "route 192.168.7.0/24 into tun0 in table 254\n");
}

/* What was taken over from a file is looked at as what comes from another process. */
static void test_step_check_refuses(void **state)
{
	static const char *const bad_keys[] = { "kernel/core_pattern", "net/ipv4/../../kernel/x",
						"net/core/somaxconn", "" };
	struct step step;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_keys) / sizeof(*bad_keys); i++) {
		step = (struct step){ .kind = STEP_SYSCTL, .interface = "tun0" };
		strcpy(step.sysctl.key, bad_keys[i]);
		assert_non_null(step_check(&step));
	}
	memset(step.sysctl.key, 'n', sizeof(step.sysctl.key));
	assert_non_null(step_check(&step));
	step = (struct step){ .kind = STEP_RULE,
			      .interface = "tun0",
			      .rule = { .family = 4, .priority = 0 } };
	assert_non_null(step_check(&step));
	step.rule.priority = STEP_PRIORITY_LOCAL;
	assert_null(step_check(&step));
	step.rule.family = 5;
	assert_non_null(step_check(&step));
	step = (struct step){ .kind = STEP_KIND_COUNT, .interface = "tun0" };
	assert_non_null(step_check(&step));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_refuse_rest),
		cmocka_unit_test(test_interface_names),
		cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_split_tunnel),
		cmocka_unit_test(test_split_tunnel_around_its_server),
		cmocka_unit_test(test_full_tunnel),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_step_check_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
