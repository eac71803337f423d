/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/loop.h"

#include "io/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop loop;
static struct loop_event events[LOOP_EVENTS_MAX];

static int open_loop(void **state)
{
	sigset_t signals;

	(void)state;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	return loop_open(&loop, &signals);
}

static int close_loop(void **state)
{
	(void)state;
	loop_close(&loop);
	return 0;
}

static void a_deadline_wakes_once(void **state)
{
	struct instant soon = instant_after(clock_now(), 5 * NS_PER_MS);

	(void)state;
	assert_int_equal(loop_wait(&loop, soon, events), 1);
	assert_int_equal(events[0].kind, LOOP_DEADLINE);
	assert_true(instant_reached(clock_now(), soon));
	assert_int_equal(loop_poll(&loop, events), 0);
}

static void what_is_overdue_wakes_at_once(void **state)
{
	(void)state;
	for (int64_t ns = -1; ns <= 1; ns++) {
		assert_int_equal(loop_wait(&loop, (struct instant){ ns }, events), 1);
		assert_int_equal(events[0].kind, LOOP_DEADLINE);
	}
	/* The same deadline again is a deadline again. */
	assert_int_equal(loop_wait(&loop, (struct instant){ 1 }, events), 1);
}

static void a_later_deadline_replaces_an_earlier_one(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(loop_watch(&loop, ends[0], 7), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	/* Arms the timer, but the pipe comes first. */
	assert_int_equal(loop_wait(&loop, instant_after(clock_now(), 10 * NS_PER_MS), events), 1);
	assert_int_equal(events[0].kind, LOOP_READY);
	loop_forget(&loop, ends[0]);

	struct instant later = instant_after(clock_now(), 40 * NS_PER_MS);

	assert_int_equal(loop_wait(&loop, later, events), 1);
	assert_true(instant_reached(clock_now(), later));
	close(ends[0]);
	close(ends[1]);
}

static void signals_are_events(void **state)
{
	(void)state;
	raise(SIGHUP);
	assert_int_equal(loop_wait(&loop, INSTANT_NEVER, events), 1);
	assert_int_equal(events[0].kind, LOOP_SIGNAL);
	assert_int_equal(events[0].signal, SIGHUP);
}

static void descriptors_come_with_their_tag(void **state)
{
	int first[2], second[2];

	(void)state;
	assert_int_equal(pipe(first), 0);
	assert_int_equal(pipe(second), 0);
	assert_int_equal(loop_watch(&loop, first[0], 11), 0);
	assert_int_equal(loop_watch(&loop, second[0], 0xffffffff), 0);
	assert_int_equal(loop_poll(&loop, events), 0);

	assert_int_equal(write(second[1], "x", 1), 1);
	assert_int_equal(loop_poll(&loop, events), 1);
	assert_int_equal(events[0].kind, LOOP_READY);
	assert_int_equal(events[0].tag, 0xffffffff);
	assert_int_equal(events[0].fd, second[0]);
	assert_true(events[0].readable);
	assert_false(events[0].writable);

	/* The other end is gone: readable, so that reading finds out. */
	close(first[1]);
	loop_forget(&loop, second[0]);
	assert_int_equal(loop_poll(&loop, events), 1);
	assert_int_equal(events[0].tag, 11);
	assert_true(events[0].readable);

	close(first[0]);
	close(second[0]);
	close(second[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_deadline_wakes_once, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(what_is_overdue_wakes_at_once, open_loop,
						close_loop),
		cmocka_unit_test_setup_teardown(a_later_deadline_replaces_an_earlier_one, open_loop,
						close_loop),
		cmocka_unit_test_setup_teardown(signals_are_events, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(descriptors_come_with_their_tag, open_loop,
						close_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
