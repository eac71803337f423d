/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/inner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void prefixes_round_trip(void **state)
{
	static const char *const texts[] = { "10.1.2.3/24",   "0.0.0.0/0", "255.255.255.255/32",
					     "fd00::1/64",    "::/0",      "2001:db8::/127",
					     "192.0.2.128/25" };
	char again[PREFIX_TEXT_BYTES];
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_true(prefix_parse(texts[i], &p));
		assert_string_equal(prefix_print(&p, again), texts[i]);
	}
}

static void bad_prefixes_are_refused(void **state)
{
	static const char *const texts[] = { "",          "10.1.2/24",   "10.1.2.3/33",
					     "10.1.2.3/", "10.1.2.3/ 1", "fd00::/129",
					     "::1/-1",    "a.b.c.d/8",   "10.0.0.0/08" };
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (prefix_parse(texts[i], &p))
			fail_msg("taken: '%s'", texts[i]);
}

static void containment_stays_in_its_family(void **state)
{
	struct prefix all4, all6, net;
	struct address a4, a6;

	(void)state;
	assert_true(prefix_parse("0.0.0.0/0", &all4) && prefix_parse("::/0", &all6));
	assert_true(prefix_parse("192.0.2.128/25", &net));
	assert_true(address_parse("192.0.2.129", &a4) && address_parse("2001:db8::1", &a6));
	assert_true(prefix_contains(&all4, &a4) && prefix_contains(&all6, &a6));
	assert_false(prefix_contains(&all4, &a6) || prefix_contains(&all6, &a4));
	assert_true(prefix_contains(&net, &a4));
	assert_true(address_parse("192.0.2.127", &a4));
	assert_false(prefix_contains(&net, &a4));
}

static void endpoints_round_trip(void **state)
{
	static const char *const good[] = { "192.0.2.1:4500", "[2001:db8::1]:1", "[::1]:65535" };
	static const char *const bad[] = { "192.0.2.1",       "192.0.2.1:0",
					   "192.0.2.1:65536", "2001:db8::1:1",
					   "[192.0.2.1]:1",   "[::1]",
					   "[::1]4500",       "",
					   "host:1" };
	char again[ENDPOINT_TEXT_BYTES];
	struct endpoint e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(endpoint_parse(good[i], &e));
		assert_string_equal(endpoint_print(&e, again), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (endpoint_parse(bad[i], &e))
			fail_msg("taken: '%s'", bad[i]);
}

static void lengths_must_agree(void **state)
{
	uint8_t p4[28] = {
		0x45, 0x03, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
	};
	uint8_t p6[44] = { 0x6a, 0x50, 0, 0, 0, 4, 17, 64 };
	struct inner inner;

	(void)state;
	assert_int_equal(inner_parse(p4, sizeof(p4), &inner), VERDICT_PASS);
	assert_int_equal(inner.bytes, 28);
	assert_int_equal(inner.tos, 3);
	assert_int_equal(inner.protocol, 17);
	assert_true(inner.dont_fragment);
	assert_int_equal(inner_parse(p4, 27, &inner), VERDICT_NOT_IP);
	p4[3] = 19;
	assert_int_equal(inner_parse(p4, sizeof(p4), &inner), VERDICT_NOT_IP);
	p4[0] = 0x44;
	assert_int_equal(inner_parse(p4, sizeof(p4), &inner), VERDICT_NOT_IP);

	assert_int_equal(inner_parse(p6, sizeof(p6), &inner), VERDICT_PASS);
	assert_int_equal(inner.bytes, 44);
	assert_int_equal(inner.tos, 0xa5);
	assert_int_equal(inner_parse(p6, 43, &inner), VERDICT_NOT_IP);
	assert_int_equal(inner_parse(p6, 0, &inner), VERDICT_NOT_IP);
}

/* Otherwise whoever may use the IPv4 address could send from it in IPv6, past what is said of either family. */
static void no_family_passes_for_the_other(void **state)
{
	const struct address ipv4 = address_from_ipv4((uint8_t[]){ 10, 0, 0, 1 });
	uint8_t p6[40] = { 0x60, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2 };
	struct inner inner;

	(void)state;
	assert_int_equal(inner_parse(p6, sizeof(p6), &inner), VERDICT_PASS);
	memcpy(p6 + 8, ipv4.b, sizeof(ipv4.b));
	assert_int_equal(inner_parse(p6, sizeof(p6), &inner), VERDICT_NOT_IP);
	memcpy(p6 + 24, ipv4.b, sizeof(ipv4.b));
	p6[8] = 0xfd;
	assert_int_equal(inner_parse(p6, sizeof(p6), &inner), VERDICT_NOT_IP);
	p6[24] = 0xfd;
	assert_int_equal(inner_parse(p6, sizeof(p6), &inner), VERDICT_PASS);
}

static void an_acknowledgement_has_nothing_else(void **state)
{
	enum { LENGTH_AT = 3, FLAGS_AT = 33 };
	uint8_t p4[53] = { 0x45, 0, 0, 52, 0, 0, 0x40, 0, 64, 6, 0, 0,           10,
			   0,    0, 1, 10, 0, 0, 2,    1, 2,  3, 4, [32] = 0x80, 0x10 };
	uint8_t p6[60] = { 0x60, 0, 0, 0, 0, 20, 6, 64, [52] = 0x50, 0x10 };

	(void)state;
	assert_true(inner_is_acknowledgement(p4, 52));
	assert_true(inner_is_acknowledgement(p4, 53)); /* what is behind is no part of it */
	assert_true(inner_is_acknowledgement(p6, sizeof(p6)));
	for (unsigned flag = 1; flag <= 4; flag <<= 1) { /* FIN, SYN, RST */
		p4[FLAGS_AT] = (uint8_t)(0x10 | flag);
		assert_false(inner_is_acknowledgement(p4, 52));
	}
	p4[FLAGS_AT] = 0x10;
	p4[LENGTH_AT] = 53;
	assert_false(inner_is_acknowledgement(p4, 53)); /* a byte of payload */
	p4[LENGTH_AT] = 39;
	assert_false(inner_is_acknowledgement(p4, 39)); /* no whole header */
	p4[LENGTH_AT] = 52;
	p4[6] = 0x20;
	assert_false(inner_is_acknowledgement(p4, 52)); /* a fragment */
	p4[6] = 0x40;
	p4[9] = 17;
	assert_false(inner_is_acknowledgement(p4, 52));
	assert_false(inner_is_acknowledgement(p4, 51));
	assert_false(inner_is_acknowledgement(p4, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_family_passes_for_the_other),
		cmocka_unit_test(prefixes_round_trip),
		cmocka_unit_test(bad_prefixes_are_refused),
		cmocka_unit_test(containment_stays_in_its_family),
		cmocka_unit_test(endpoints_round_trip),
		cmocka_unit_test(lengths_must_agree),
		cmocka_unit_test(an_acknowledgement_has_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
