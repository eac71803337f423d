/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/handout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tunnel server(const char *first, const char *second)
{
	struct tunnel tunnel = { .role = ROLE_SERVER };

	assert_true(prefix_parse(first, &tunnel.address[tunnel.address_count++]));
	if (second)
		assert_true(prefix_parse(second, &tunnel.address[tunnel.address_count++]));
	return tunnel;
}

static void default_routes_are_of_the_families_there_are(void **state)
{
	struct tunnel both = server("10.1.2.1/24", "fd01::1/64"), one = server("fd01::1/64", NULL);
	struct payload handout;
	char text[PREFIX_TEXT_BYTES];

	(void)state;
	both.default_route_offered = one.default_route_offered = true;
	assert_int_equal(handout_make(&both, &handout), 0);
	assert_int_equal(handout.route_count, 2);
	assert_int_equal(handout_make(&one, &handout), 0);
	assert_int_equal(handout.route_count, 1);
	assert_string_equal(prefix_print(&handout.route[0], text), "::/0");
	one.default_route_offered = false;
	assert_int_equal(handout_make(&one, &handout), 0);
	assert_int_equal(handout.route_count, 0);
}

static void routes_and_dns_are_handed_on(void **state)
{
	struct tunnel tunnel = server("10.1.2.1/24", NULL);
	struct payload handout;
	char text[PREFIX_TEXT_BYTES];

	(void)state;
	assert_true(prefix_parse("192.168.0.0/16", &tunnel.route[tunnel.route_count++]));
	assert_true(address_parse("10.1.2.53", &tunnel.dns[tunnel.dns_count++]));
	strcpy(tunnel.search_domain, "example.org");
	assert_int_equal(handout_make(&tunnel, &handout), 0);
	assert_int_equal(handout.route_count, 1);
	assert_string_equal(prefix_print(&handout.route[0], text), "192.168.0.0/16");
	assert_int_equal(handout.dns_count, 1);
	assert_string_equal(handout.search_domain, "example.org");
	assert_int_equal(handout.spi_count, 0);
	assert_int_equal(handout.address_count, 0);
}

/* The bytes over are exact: that many fewer, and it fits. */
static void what_does_not_fit_is_told(void **state)
{
	struct tunnel tunnel = server("10.1.2.1/24", NULL);
	struct payload handout;
	size_t over;

	(void)state;
	memset(tunnel.search_domain, 'a', TUNNEL_HOST_BYTES - 1);
	while (tunnel.route_count < TUNNEL_ROUTES_MAX) {
		char text[PREFIX_TEXT_BYTES];

		snprintf(text, sizeof(text), "2001:db8:%x::/48", tunnel.route_count);
		assert_true(prefix_parse(text, &tunnel.route[tunnel.route_count++]));
	}
	over = handout_make(&tunnel, &handout);
	assert_true(over > 0);
	while (over > TUNNEL_HOST_BYTES - 1) {
		tunnel.route_count--;
		over = handout_make(&tunnel, &handout);
	}
	tunnel.search_domain[TUNNEL_HOST_BYTES - 1 - over] = 0;
	assert_int_equal(handout_make(&tunnel, &handout), 0);
	tunnel.search_domain[TUNNEL_HOST_BYTES - 1 - over] = 'a';
	tunnel.search_domain[TUNNEL_HOST_BYTES - over] = 0;
	assert_int_equal(handout_make(&tunnel, &handout), over > 1 ? 1 : over);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_routes_are_of_the_families_there_are),
		cmocka_unit_test(routes_and_dns_are_handed_on),
		cmocka_unit_test(what_does_not_fit_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
