/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several threads put letters into a mailbox and one takes them out; what one of them says stays in order. */
#include "run/mailbox.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SENDERS = 3, LETTERS = 5000, ROOM_BYTES = 4096, BYTES_MAX = 700 };

static struct mailbox box;
static atomic_bool failed;

static struct letter letter_of(unsigned sender, unsigned number)
{
	return (struct letter){ .kind = LETTER_BROKEN,
				.bytes = number * 7 % BYTES_MAX,
				.error = (int)(sender * LETTERS + number) };
}

static void *send_letters(void *context)
{
	unsigned sender = (unsigned)(uintptr_t)context;
	uint8_t bytes[BYTES_MAX];

	memset(bytes, (int)sender + 1, sizeof(bytes));
	for (unsigned i = 0; i < LETTERS; i++) {
		struct letter letter = letter_of(sender, i);

		while (!mailbox_put(&box, &letter, bytes))
			poll(NULL, 0, 1); /* full */
	}
	return NULL;
}

static bool wait_for_mail(void)
{
	struct pollfd bell = { box.event, POLLIN, 0 };

	return poll(&bell, 1, 5000) == 1;
}

static void letters_arrive_whole_and_in_order(void **state)
{
	unsigned next[SENDERS] = { 0 }, all = 0;
	uint8_t bytes[LETTER_BYTES_MAX];
	pthread_t threads[SENDERS];
	struct letter letter;

	(void)state;
	for (uintptr_t i = 0; i < SENDERS; i++)
		pthread_create(&threads[i], NULL, send_letters, (void *)i);
	while (all < SENDERS * LETTERS) {
		assert_true(wait_for_mail());
		mailbox_begin(&box);
		while (mailbox_take(&box, &letter, bytes)) {
			unsigned sender = (unsigned)letter.error / LETTERS;
			struct letter expected = letter_of(sender, next[sender]++);

			assert_int_equal(letter.error, expected.error);
			assert_int_equal(letter.bytes, expected.bytes);
			for (size_t i = 0; i < letter.bytes; i++)
				assert_int_equal(bytes[i], sender + 1);
			all++;
		}
	}
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	assert_false(mailbox_take(&box, &letter, bytes));
	for (size_t i = 0; i < ROOM_BYTES; i++)
		assert_int_equal(box.ring[i], 0); /* nothing stays behind */
}

static void what_does_not_fit_is_refused(void **state)
{
	uint8_t bytes[ROOM_BYTES] = { 0 }, room[LETTER_BYTES_MAX];
	struct letter letter = { .kind = LETTER_STRAY, .bytes = ROOM_BYTES - sizeof(letter) + 1 };

	(void)state;
	assert_false(mailbox_put(&box, &letter, bytes));
	assert_false(mailbox_waits(&box));
	letter.bytes--;
	assert_true(mailbox_put(&box, &letter, bytes));
	assert_true(mailbox_waits(&box));
	letter.bytes = 0;
	assert_false(mailbox_put(&box, &letter, bytes));
	assert_true(mailbox_take(&box, &letter, room));
	letter.bytes = 0;
	assert_true(mailbox_put(&box, &letter, bytes));
	assert_true(mailbox_take(&box, &letter, room));
}

static void orders_always_fit_and_stay_in_order(void **state)
{
	struct lane_order orders[100] = { 0 }, *o;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		mailbox_put_order(&box, &orders[i]);
	for (o = mailbox_orders(&box); o; o = o->next)
		assert_ptr_equal(o, &orders[n++]);
	assert_int_equal(n, 100);
	assert_null(mailbox_orders(&box));
}

static unsigned counted; /* of the resting thread, read only while it rests */

static void *count_on(void *context)
{
	(void)context;
	while (!mailbox_has_ended(&box)) {
		if (!wait_for_mail())
			failed = true;
		mailbox_begin(&box);
		for (unsigned i = 0; i < 1000; i++)
			counted++;
		mailbox_rest(&box);
	}
	return NULL;
}

static void its_owner_stands_still_when_asked_to(void **state)
{
	pthread_t thread;

	(void)state;
	counted = 0;
	pthread_create(&thread, NULL, count_on, NULL);
	for (unsigned i = 1; i <= 200; i++) {
		unsigned before;

		mailbox_ask_rest(&box);
		assert_true(mailbox_await_rest(&box));
		before = counted;
		assert_int_equal(before % 1000, 0);
		if (i % 50 == 0)
			poll(NULL, 0, 2);
		assert_int_equal(counted, before);
		mailbox_rest_over(&box);
	}
	mailbox_end(&box);
	pthread_join(thread, NULL);
	assert_false(failed);
}

static void who_does_not_rest_is_not_waited_for_long(void **state)
{
	(void)state;
	mailbox_ask_rest(&box);
	assert_false(mailbox_await_rest(&box));
	mailbox_rest_over(&box);
}

static int open_box(void **state)
{
	(void)state;
	failed = false;
	if (mailbox_open(&box, ROOM_BYTES))
		return -1;
	memset(box.ring, 0, ROOM_BYTES);
	return 0;
}

static int close_box(void **state)
{
	(void)state;
	mailbox_close(&box);
	return 0;
}

int main(void)
{
#define BOXED(test) cmocka_unit_test_setup_teardown(test, open_box, close_box)
	const struct CMUnitTest tests[] = {
		BOXED(letters_arrive_whole_and_in_order),
		BOXED(what_does_not_fit_is_refused),
		BOXED(orders_always_fit_and_stay_in_order),
		BOXED(its_owner_stands_still_when_asked_to),
		BOXED(who_does_not_rest_is_not_waited_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
