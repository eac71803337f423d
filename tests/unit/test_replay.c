/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replay window: its edges by table, and against a naive twin that remembers every number.
 * MINIVPN_SEED=N repeats a run.
 */
#include "minivpn/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { W = REPLAY_WINDOW_BITS };

struct step {
	uint32_t seq;
	bool accepted;
};

static void walk(const char *name, const struct step *steps, size_t n)
{
	struct replay r = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct replay before = r;
		bool would = replay_would_accept(&r, steps[i].seq);

		assert_memory_equal(&r, &before, sizeof(r));
		if (would != steps[i].accepted || replay_commit(&r, steps[i].seq) != would)
			fail_msg("%s, step %zu: %u is %saccepted", name, i, steps[i].seq,
				 would ? "" : "not ");
		if (!would)
			assert_memory_equal(&r, &before, sizeof(r));
	}
}

#define WALK(...)                                                      \
	do {                                                           \
		static const struct step steps[] = __VA_ARGS__;        \
		walk(__func__, steps, sizeof(steps) / sizeof(*steps)); \
	} while (0)

static void zero_is_never_accepted(void **state)
{
	(void)state;
	WALK({ { 0, false }, { 1, true }, { 0, false }, { W, true }, { 0, false } });
}

static void each_number_once(void **state)
{
	(void)state;
	WALK({ { 1, true }, { 1, false }, { 3, true }, { 2, true }, { 2, false }, { 3, false } });
}

static void window_holds_the_last_8192(void **state)
{
	(void)state;
	WALK({ { W, true }, { 1, true }, { 1, false } });
	WALK({ { W + 1, true }, { 1, false }, { 2, true }, { 2, false } });
	WALK({ { 100 * W + 63, true }, { 99 * W + 63, false }, { 99 * W + 64, true } });
	WALK({ { 100 * W + 64, true }, { 99 * W + 64, false }, { 99 * W + 65, true } });
}

static void jumps_forget_everything_behind(void **state)
{
	(void)state;
	/* one more than the ring, exactly the ring, and multiples of it: same word, other number */
	WALK({ { 7, true }, { 7 + W + 64, true }, { 7 + W + 63, true }, { 8 + 64, true } });
	WALK({ { 7, true }, { 7 + 5 * (W + 64), true }, { 7 + 4 * (W + 64), false } });
	WALK({ { 7, true }, { 7 + W, true }, { 8, true }, { 7, false } });
}

static void numbers_go_to_the_end(void **state)
{
	(void)state;
	WALK({ { UINT32_MAX - 1, true },
	       { UINT32_MAX, true },
	       { UINT32_MAX, false },
	       { UINT32_MAX - W, false },
	       { UINT32_MAX - W + 1, true },
	       { 0, false },
	       { 1, false } });
}

/* The twin: a byte for each number there is in the test, and no cleverness. */
enum { TWIN_NUMBERS = 1 << 24 };

struct twin {
	uint32_t highest;
	uint8_t seen[TWIN_NUMBERS];
};

static bool twin_commit(struct twin *t, uint32_t seq)
{
	if (seq == 0 || t->seen[seq] || (uint64_t)seq + W <= t->highest)
		return false;
	t->seen[seq] = 1;
	if (seq > t->highest)
		t->highest = seq;
	return true;
}

static uint32_t draw(uint64_t *noise)
{
	*noise = *noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*noise >> 33);
}

/* Mostly near the top, as traffic is; now and then at the edge of the window or far ahead. */
static uint32_t draw_seq(uint64_t *noise, uint32_t highest)
{
	uint32_t back = draw(noise) % 300;

	switch (draw(noise) % 64) {
	case 0:
		return highest + draw(noise) % (3 * W);
	case 1:
	case 2:
	case 3:
		back = W - 70 + draw(noise) % 140;
		break;
	case 4:
		return draw(noise) % (highest + 2);
	default:
		break;
	}
	return highest + 4 > back ? highest + 4 - back : draw(noise) % 8;
}

static void agrees_with_the_naive_twin(void **state)
{
	const char *given = getenv("MINIVPN_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL), noise = seed;
	struct twin *twin = malloc(sizeof(*twin));

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	assert_non_null(twin);
	for (int run = 0; run < 4; run++) {
		struct replay r = { 0 };

		memset(twin, 0, sizeof(*twin));
		for (int i = 0; i < 200000; i++) {
			uint32_t seq = draw_seq(&noise, r.highest);

			assert_true(seq < TWIN_NUMBERS || i > 50000);
			if (seq >= TWIN_NUMBERS)
				break;
			if (replay_commit(&r, seq) != twin_commit(twin, seq))
				fail_msg("run %d, packet %d: disagree about %u below %u", run, i,
					 seq, r.highest);
			assert_int_equal(r.highest, twin->highest);
		}
	}
	free(twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_never_accepted),
		cmocka_unit_test(each_number_once),
		cmocka_unit_test(window_holds_the_last_8192),
		cmocka_unit_test(jumps_forget_everything_behind),
		cmocka_unit_test(numbers_go_to_the_end),
		cmocka_unit_test(agrees_with_the_naive_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
