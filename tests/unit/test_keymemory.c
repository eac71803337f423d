/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/keymemory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
	struct keymemory memory = { 0 };
	uint8_t *piece[300];

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		piece[i] = keymemory_take(&memory, i * 7 + 1);
		assert_non_null(piece[i]);
		assert_int_equal((uintptr_t)piece[i] % 64, 0);
		for (size_t at = 0; at < i * 7 + 1; at++)
			assert_int_equal(piece[i][at], 0);
		memset(piece[i], (int)i | 1, i * 7 + 1);
	}
	for (size_t i = 0; i < 300; i++) {
		for (size_t at = 0; at < i * 7 + 1; at++)
			assert_int_equal(piece[i][at], (uint8_t)i | 1);
		keymemory_give(&memory, piece[i]);
	}
}

static void what_is_given_back_is_taken_again(void **state)
{
	struct keymemory memory = { 0 };
	uint8_t *first = keymemory_take(&memory, 1000), *other = keymemory_take(&memory, 2000);

	(void)state;
	memset(first, 0xff, 1000);
	keymemory_give(&memory, first);
	keymemory_give(&memory, other);
	assert_ptr_equal(keymemory_take(&memory, 1000), first);
	for (size_t at = 0; at < 1000; at++)
		assert_int_equal(first[at], 0);
	keymemory_give(&memory, NULL);
}

/* Every size up to the largest: not more lists than there is room for, and no piece too short. */
static void all_sizes_fit(void **state)
{
	struct keymemory memory = { 0 };

	(void)state;
	for (size_t bytes = 1; bytes < 200000; bytes += bytes / 50 + 1) {
		uint8_t *piece = keymemory_take(&memory, bytes);

		assert_non_null(piece);
		memset(piece, 1, bytes);
		keymemory_give(&memory, piece);
	}
	assert_null(keymemory_take(&memory, SIZE_MAX - 10));
}

/* Much of it lies in pieces of memory that can be huge pages: begun and ended where such a page is. */
static void what_is_much_lies_in_huge_pages(void **state)
{
	enum { PIECE = 50000, HUGE = 2 << 20 };
	struct keymemory memory = { 0 };
	uintptr_t page = 0;
	unsigned here = 0, most = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		uint8_t *piece = keymemory_take(&memory, PIECE);

		assert_non_null(piece);
		memset(piece, 0xff, PIECE);
		here = (uintptr_t)piece / HUGE == page ? here + 1 : 1;
		page = (uintptr_t)piece / HUGE;
		most = here > most ? here : most;
		if (memory.chunks_bytes > 8 << 20)
			assert_true(((uintptr_t)piece + PIECE - 1) / HUGE == page);
	}
	assert_true(most > 30);
}

/* ---- Kept out of swap ---- */

int __real_mlock(const void *start, size_t bytes);
int __wrap_mlock(const void *start, size_t bytes);

/* What was asked for last. */
static struct {
	uintptr_t start, end;
} lock;

int __wrap_mlock(const void *start, size_t bytes)
{
	lock.start = (uintptr_t)start;
	lock.end = lock.start + bytes;
	return __real_mlock(start, bytes);
}

static size_t locked_kb(void)
{
	char line[256];
	size_t kb = 0;
	FILE *status = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "VmLck: %zu", &kb) == 1)
			break;
	fclose(status);
	return kb;
}

/* Whether mlock() locks: sanitizers have it do nothing, and a limit may forbid it. */
static bool mlock_works(void)
{
	static const uint8_t page[1];
	size_t before = locked_kb();
	bool works = __real_mlock(page, sizeof(page)) == 0 && locked_kb() > before;

	munlock(page, sizeof(page));
	return works;
}

static void it_is_locked(void **state)
{
	enum { SMALL = 100, LARGE = 100000 };
	struct keymemory memory = { 0 };

	(void)state;
	for (size_t bytes = SMALL; bytes <= LARGE; bytes *= LARGE / SMALL) {
		size_t before = locked_kb();
		uintptr_t piece = (uintptr_t)keymemory_take(&memory, bytes);

		assert_in_range(piece, lock.start, lock.end - bytes);
		if (mlock_works())
			assert_true(locked_kb() > before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
		cmocka_unit_test(what_is_given_back_is_taken_again),
		cmocka_unit_test(all_sizes_fit),
		cmocka_unit_test(what_is_much_lies_in_huge_pages),
		cmocka_unit_test(it_is_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
