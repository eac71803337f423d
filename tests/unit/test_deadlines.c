/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap of deadlines beside a twin that looks through all of them.  MINIVPN_SEED=N repeats a run. */
#include "deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { THINGS = 100, STEPS = 100000, TIMES = 50 }; /* few times, so that many are the same */

static struct deadline thing[THINGS];
static bool is_in[THINGS];

static struct instant random_instant(unsigned *seed)
{
	int n = rand_r(seed) % TIMES;

	return n == 0 ? INSTANT_NEVER : (struct instant){ n };
}

static void check(const struct deadlines *deadlines)
{
	struct instant first = INSTANT_NEVER;
	size_t count = 0;

	for (size_t i = 0; i < THINGS; i++) {
		if (!is_in[i])
			continue;
		count++;
		assert_ptr_equal(deadlines->heap[thing[i].place], &thing[i]);
		first = instant_earlier(first, thing[i].at);
	}
	assert_int_equal(deadlines->count, count);
	for (size_t i = 1; i < count; i++)
		assert_true(deadlines->heap[(i - 1) / 2]->at.ns <= deadlines->heap[i]->at.ns);
	if (count == 0)
		assert_null(deadlines_first(deadlines));
	else
		assert_int_equal(deadlines_first(deadlines)->at.ns, first.ns);
}

static void first_is_what_a_search_finds(void **state)
{
	const char *given = getenv("MINIVPN_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	struct deadline *heap[THINGS];
	struct deadlines deadlines = { heap, 0, THINGS };

	(void)state;
	printf("seed %u\n", seed);
	for (unsigned step = 0; step < STEPS; step++) {
		size_t i = (size_t)rand_r(&seed) % THINGS;

		if (!is_in[i]) {
			thing[i].at = random_instant(&seed);
			deadlines_add(&deadlines, &thing[i]);
			is_in[i] = true;
		} else if (rand_r(&seed) % 4 == 0) {
			deadlines_remove(&deadlines, &thing[i]);
			is_in[i] = false;
		} else {
			deadlines_set(&deadlines, &thing[i], random_instant(&seed));
		}
		check(&deadlines);
	}
}

static void taken_out_in_order(void **state)
{
	struct deadline *heap[THINGS];
	struct deadlines deadlines = { heap, 0, THINGS };

	(void)state;
	for (int i = 0; i < THINGS; i++) {
		thing[i].at = (struct instant){ i * 37 % THINGS };
		deadlines_add(&deadlines, &thing[i]);
	}
	for (int i = 0; i < THINGS; i++) {
		assert_int_equal(deadlines_first(&deadlines)->at.ns, i);
		deadlines_remove(&deadlines, deadlines_first(&deadlines));
	}
	assert_null(deadlines_first(&deadlines));
}

static void moving_to_a_larger_array_keeps_all(void **state)
{
	struct deadline *small[3], *large[6], late = { { 9 }, 0 };
	struct deadlines deadlines = { 0 };

	(void)state;
	deadlines_move(&deadlines, small, 3);
	for (int i = 0; i < 3; i++) {
		thing[i].at = (struct instant){ 3 - i };
		deadlines_add(&deadlines, &thing[i]);
	}
	deadlines_move(&deadlines, large, 6);
	for (size_t i = 0; i < 3; i++)
		small[i] = NULL;
	deadlines_add(&deadlines, &late);
	assert_int_equal(deadlines.room, 6);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(deadlines_first(&deadlines), &thing[2 - i]);
		deadlines_remove(&deadlines, &thing[2 - i]);
	}
	assert_ptr_equal(deadlines_first(&deadlines), &late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_is_what_a_search_finds),
		cmocka_unit_test(taken_out_in_order),
		cmocka_unit_test(moving_to_a_larger_array_keeps_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
