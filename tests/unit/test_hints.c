/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The search for a key by its hint, beside libsodium's hash of one key after the other. */
#include "hints.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { KEYS = 45, ROOM = 48 };

static uint64_t words[2 * ROOM];
static void *owners[ROOM];
static struct hint_key keys[KEYS];
static struct hints hints;

static int fill(void **state)
{
	(void)state;
	hints = (struct hints){ HINTS_PLAIN, { words, words + ROOM }, owners, 0, ROOM };
	randombytes_buf(keys, sizeof(keys));
	keys[30] = keys[7]; /* two that cannot be told apart */
	for (size_t i = 0; i < KEYS; i++)
		hints_add(&hints, &keys[i], &keys[i]);
	return 0;
}

static void each_key_is_found(void)
{
	uint8_t ephemeral[EPHEMERAL_BYTES], hint[HINT_BYTES];

	for (size_t i = 0; i < KEYS; i++) {
		randombytes_buf(ephemeral, sizeof(ephemeral));
		handshake_hint(&keys[i], ephemeral, hint);
		assert_int_equal(hints_find(&hints, 0, ephemeral, hint), i == 30 ? 7 : i);
		assert_int_equal(hints_find(&hints, i, ephemeral, hint), i);
		assert_int_equal(hints_find(&hints, i + 1, ephemeral, hint), i == 7 ? 30 : KEYS);
		hint[i % HINT_BYTES] ^= 1;
		assert_int_equal(hints_find(&hints, 0, ephemeral, hint), KEYS);
	}
}

static void each_key_is_found_by_its_hint(void **state)
{
	(void)state;
	for (hints.vectors = HINTS_PLAIN; hints.vectors <= hints_best(); hints.vectors++)
		each_key_is_found();
}

static void what_is_removed_is_not_found(void **state)
{
	uint8_t ephemeral[EPHEMERAL_BYTES] = { 1 }, hint[HINT_BYTES];

	(void)state;
	handshake_hint(&keys[3], ephemeral, hint);
	hints_remove(&hints, &keys[3]);
	assert_int_equal(hints_find(&hints, 0, ephemeral, hint), hints.count);
	handshake_hint(&keys[KEYS - 1], ephemeral, hint);
	assert_int_equal(hints_find(&hints, 0, ephemeral, hint), 3);
	assert_ptr_equal(hints.owner[3], &keys[KEYS - 1]);
	for (size_t i = KEYS; i-- > 0;)
		if (i != 3)
			hints_remove(&hints, &keys[i]);
	assert_int_equal(hints_find(&hints, 0, ephemeral, hint), 0);
	assert_int_equal(hints.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_key_is_found_by_its_hint, fill),
		cmocka_unit_test_setup(what_is_removed_is_not_found, fill),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
