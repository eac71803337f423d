/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines as they arrive at the other end of standard error. */
#include "log.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_ends[2], real_stderr;

static int redirect(void **state)
{
	(void)state;
	assert_int_equal(pipe2(pipe_ends, O_NONBLOCK), 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(pipe_ends[1], STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	log_start(LOG_INFO);
	return 0;
}

static int restore(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	return 0;
}

static const char *written(void)
{
	static char text[4096];
	ssize_t n = read(pipe_ends[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static void a_line_is_one_line(void **state)
{
	(void)state;
	log_info("test: name: %s", "a\nb\x1b[31m\x7f");
	assert_string_equal(written(), "test: name: a?b?[31m?\n");
}

static void levels_below_are_not_shown(void **state)
{
	(void)state;
	log_debug("test: hidden");
	assert_string_equal(written(), "");
	log_start(LOG_DEBUG);
	log_debug("test: shown");
	assert_string_equal(written(), "test: shown\n");
}

static void a_long_line_is_cut(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	log_error("%s", text);

	const char *line = written();

	assert_true(strlen(line) < 1024);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void the_journal_gets_the_level(void **state)
{
	struct stat status;
	char stream[64];

	(void)state;
	fstat(STDERR_FILENO, &status);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_start(LOG_INFO);
	log_warning("test: watch out");
	assert_string_equal(written(), "<4>test: watch out\n");

	/* Standard error has been redirected since: no prefix. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_start(LOG_INFO);
	log_warning("test: watch out");
	assert_string_equal(written(), "test: watch out\n");
}

static void a_flood_is_held_back_and_counted(void **state)
{
	struct log_rate rate = { .interval_ns = 10 * NS_PER_S };
	struct instant now = { 5 * NS_PER_S };

	(void)state;
	for (int i = 0; i < 4; i++)
		log_rated(&rate, now, LOG_INFO, "test: again");
	assert_string_equal(written(), "test: again\n");
	log_rated(&rate, instant_after(now, 10 * NS_PER_S), LOG_INFO, "test: again");
	assert_string_equal(written(), "test: again (and 3 more like it)\n");
}

static void addresses_have_one_form(void **state)
{
	struct endpoint endpoint = { 0 };

	(void)state;
	assert_true(endpoint_parse("[2001:db8::1]:4500", &endpoint));
	log_info("test: from %s, that is %s", shown_endpoint(&endpoint),
		 shown_address(&endpoint.remote));
	assert_string_equal(written(), "test: from [2001:db8::1]:4500, that is 2001:db8::1\n");
}

static void who_does_not_read_is_not_waited_for(void **state)
{
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };
	char page[4096] = { 0 };

	(void)state;
	while (poll(&log, 1, 0) == 1)
		assert_int_equal(write(STDERR_FILENO, page, sizeof(page)), sizeof(page));
	fcntl(STDERR_FILENO, F_SETFL, 0);
	alarm(10); /* ends this program, if one of them waits */
	log_info("test: lost");
	log_info("test: lost too");
	alarm(0);
	while (read(pipe_ends[0], page, sizeof(page)) > 0)
		;
	log_info("test: shown");
	assert_string_equal(written(), "(2 lines before this could not be written) test: shown\n");
	log_info("test: as ever");
	assert_string_equal(written(), "test: as ever\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_is_one_line, redirect, restore),
		cmocka_unit_test_setup_teardown(levels_below_are_not_shown, redirect, restore),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut, redirect, restore),
		cmocka_unit_test_setup_teardown(the_journal_gets_the_level, redirect, restore),
		cmocka_unit_test_setup_teardown(a_flood_is_held_back_and_counted, redirect,
						restore),
		cmocka_unit_test_setup_teardown(addresses_have_one_form, redirect, restore),
		cmocka_unit_test_setup_teardown(who_does_not_read_is_not_waited_for, redirect,
						restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
