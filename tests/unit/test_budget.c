/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much may be searched for the keys of strangers, by a clock that only the test moves. */
#include "budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 10000, SEARCH_NS = 12500 }; /* hence 125 us a search, and 2,000 a second */

static struct budget budget;
static struct instant now;
static uint32_t stranger;

static int begin(void **state)
{
	static const uint8_t key[crypto_shorthash_siphash24_KEYBYTES] = { 1, 2, 3 };

	(void)state;
	now.ns = 1000 * NS_PER_S;
	budget_begin(&budget, SEARCH_NS, key, now);
	return 0;
}

static void pass_us(int64_t us)
{
	now = instant_after(now, us * 1000);
}

static struct address another_stranger(void)
{
	uint8_t b[4] = { 10, (uint8_t)(stranger >> 16), (uint8_t)(stranger >> 8),
			 (uint8_t)stranger };

	stranger++;
	return address_from_ipv4(b);
}

static bool search(bool fresh)
{
	struct address from = another_stranger();
	bool allowed = budget_allows(&budget, &from, fresh, now);

	if (allowed)
		budget_spend(&budget, KEYS);
	return allowed;
}

static void a_quarter_of_the_time(void **state)
{
	unsigned first = 0, then = 0;

	(void)state;
	while (search(false))
		first++;
	assert_int_equal(first, 100); /* half of 25 ms */
	for (int64_t us = 0; us < 10000000; us += 20) {
		pass_us(20);
		then += search(false);
	}
	assert_in_range(then, 19990, 20010);
	assert_true(budget_is_spent(&budget, now));

	pass_us(60000000);
	assert_false(budget_is_spent(&budget, now));
	for (first = 0; search(false);)
		first++;
	assert_int_equal(first, 100); /* no more than at first, however long it was quiet */
}

static void who_is_fresh_goes_first(void **state)
{
	unsigned let_in = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		pass_us(10); /* of 100,000 a second one in a hundred is fresh */
		search(false);
		if (i % 100 == 0)
			let_in += search(true);
	}
	assert_int_equal(let_in, 1000);

	while (search(true))
		;
	assert_in_range(-budget.left_ns, 0, 125000);
	assert_false(search(false));
}

static bool search_from(const char *text)
{
	struct prefix from;

	assert_true(prefix_parse(text, &from));
	return budget_allows(&budget, &from.address, true, now);
}

static void twenty_a_second_for_each_source(void **state)
{
	static const char *const one[] = { "192.0.2.1/32", "2001:db8:1:1::1/128" };
	static const char *const same[] = { "192.0.2.1/32", "2001:db8:1:1:ffff::2/128" };
	static const char *const other[] = { "192.0.2.2/32", "2001:db8:1:2::1/128" };

	(void)state;
	for (unsigned family = 0; family < 2; family++) {
		for (unsigned i = 0; i < SEARCHES_A_SECOND; i++) {
			pass_us(1000);
			assert_true(search_from(i % 2 ? one[family] : same[family]));
		}
		assert_false(search_from(one[family]));
		assert_false(search_from(same[family]));
		assert_true(search_from(other[family]));
		pass_us(1000000);
		assert_true(search_from(one[family]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_quarter_of_the_time, begin),
		cmocka_unit_test_setup(who_is_fresh_goes_first, begin),
		cmocka_unit_test_setup(twenty_a_second_for_each_source, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
