/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/hostplan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse(text, &p));
	return p;
}

static void a_server_forwards_for_its_networks(void **state)
{
	struct tunnel tunnel = { .role = ROLE_SERVER, .interface = "vpn0", .nat = true };
	struct limits limits;
	struct plan plan;

	(void)state;
	tunnel.address[0] = prefix("10.1.2.1/24");
	tunnel.address[1] = prefix("fd00:1::1/64");
	tunnel.address_count = 2;
	tunnel.bind_address = prefix("192.0.2.1/32").address;
	tunnel.bind_port = 4500;
	strcpy(tunnel.out_interface, "eth7");
	hostplan_make(&tunnel, NULL, NULL, &plan);
	hostplan_limits(&tunnel, &limits);
	assert_null(plan_check(&plan));
	assert_null(limits_permit_plan(&limits, &plan));
	assert_true(address_equal(&limits.local, &tunnel.bind_address));
	assert_int_equal(limits.port, 4500);
	assert_int_equal(plan.address_count, 2);
	assert_int_equal(plan.network_count, 2);
	assert_int_equal(plan.network[0].address.b[15], 0);
	assert_true(plan.masquerade && plan.forward_ipv4 && plan.forward_ipv6 && plan.clamp_mss);
	assert_string_equal(plan.out, "eth7");
	assert_int_equal(plan.default_ipv4, PLAN_WAY_HOST);

	tunnel.nat = false;
	tunnel.address_count = 1;
	hostplan_make(&tunnel, NULL, NULL, &plan);
	assert_false(plan.masquerade || plan.forward_ipv6);
	assert_true(plan.forward_ipv4);
}

static struct payload given(void)
{
	struct payload given = { .mtu = 1438 };

	given.address[0] = prefix("10.1.2.2/24");
	given.address_count = 1;
	given.route[0] = prefix("0.0.0.0/0");
	given.route[1] = prefix("::/0");
	given.route_count = 2;
	return given;
}

static void a_full_tunnel_leaks_in_no_family(void **state)
{
	struct tunnel tunnel = { .role = ROLE_CLIENT, .interface = "vpn0", .full_tunnel = true };
	struct endpoint server = { 0 };
	struct payload from_server = given();
	struct limits limits;
	struct plan plan;

	(void)state;
	assert_true(endpoint_parse("[2001:db8::1]:4500", &server));
	hostplan_limits(&tunnel, &limits);
	hostplan_make(&tunnel, &from_server, &server, &plan);
	assert_null(plan_check(&plan));
	assert_null(limits_permit_plan(&limits, &plan));
	assert_int_equal(plan.mtu, 1418);
	assert_int_equal(plan.default_ipv4, PLAN_WAY_TUNNEL);
	/* no IPv6 address was given, whatever the routes say */
	assert_int_equal(plan.default_ipv6, PLAN_WAY_REFUSED);
	assert_true(endpoint_equal(&plan.server, &server));

	from_server.address[1] = prefix("fd00:1::2/64");
	from_server.address_count = 2;
	from_server.mtu = 1300;
	hostplan_make(&tunnel, &from_server, &server, &plan);
	assert_int_equal(plan.default_ipv6, PLAN_WAY_TUNNEL);
	assert_int_equal(plan.mtu, 1300);
}

static void a_clients_own_settings_win(void **state)
{
	struct tunnel tunnel = { .role = ROLE_CLIENT, .interface = "vpn0" };
	struct payload from_server = given();
	struct limits limits;
	struct plan plan;

	(void)state;
	/* --no-default-route: what the server offers beside it still counts */
	from_server.route[2] = prefix("10.7.0.0/16");
	from_server.route_count = 3;
	hostplan_limits(&tunnel, &limits);
	hostplan_make(&tunnel, &from_server, NULL, &plan);
	assert_int_equal(plan.default_ipv4, PLAN_WAY_HOST);
	assert_int_equal(plan.default_ipv6, PLAN_WAY_HOST);
	assert_int_equal(plan.route_count, 1);
	assert_null(limits_permit_plan(&limits, &plan));

	/* --route, --address */
	tunnel.route[0] = prefix("192.168.0.0/16");
	tunnel.route_count = 1;
	tunnel.address[0] = prefix("10.9.9.9/24");
	tunnel.address_count = 1;
	hostplan_limits(&tunnel, &limits);
	hostplan_make(&tunnel, &from_server, NULL, &plan);
	assert_int_equal(plan.route_count, 1);
	assert_int_equal(plan.route[0].address.b[12], 192);
	assert_int_equal(plan.address_count, 1);
	assert_int_equal(plan.address[0].address.b[15], 9);
	assert_null(limits_permit_plan(&limits, &plan));
	/* a server that is taken over gets no more than that */
	tunnel.route_count = 0;
	hostplan_make(&tunnel, &from_server, NULL, &plan);
	assert_non_null(limits_permit_plan(&limits, &plan));
}

static void what_a_server_gives_keeps_within_limits(void **state)
{
	struct tunnel tunnel = { .role = ROLE_CLIENT, .interface = "vpn0" };
	struct payload from_server = given();
	struct limits limits;
	struct plan plan;

	(void)state;
	/* --no-default-route, and halves of everything all the same */
	from_server.route[0] = prefix("0.0.0.0/1");
	from_server.route[1] = prefix("128.0.0.0/1");
	from_server.route[2] = prefix("10.7.0.0/16");
	from_server.route_count = 3;
	from_server.address[1] = prefix("198.51.100.2/7");
	from_server.address[2] = prefix("2001:db8::2/6");
	from_server.address_count = 3;
	hostplan_limits(&tunnel, &limits);
	hostplan_make(&tunnel, &from_server, NULL, &plan);
	assert_null(limits_permit_plan(&limits, &plan));
	assert_int_equal(plan.route_count, 1);
	assert_int_equal(plan.route[0].length, 16);
	assert_int_equal(plan.address[0].length, 24);
	assert_int_equal(plan.address[1].length, 32);
	assert_int_equal(plan.address[2].length, 128);

	/* What a person asked for is permitted. */
	tunnel.address[0] = prefix("10.9.9.9/4");
	tunnel.address_count = 1;
	hostplan_limits(&tunnel, &limits);
	hostplan_make(&tunnel, &from_server, NULL, &plan);
	assert_int_equal(plan.address[0].length, 4);
	assert_null(limits_permit_plan(&limits, &plan));

	tunnel.full_tunnel = true;
	hostplan_limits(&tunnel, &limits);
	hostplan_make(&tunnel, &from_server, NULL, &plan);
	assert_int_equal(plan.route_count, 3);
	assert_null(limits_permit_plan(&limits, &plan));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_forwards_for_its_networks),
		cmocka_unit_test(a_full_tunnel_leaks_in_no_family),
		cmocka_unit_test(a_clients_own_settings_win),
		cmocka_unit_test(what_a_server_gives_keeps_within_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
