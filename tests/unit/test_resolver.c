/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A resolver in a process of its own, in a network without anybody to ask. */
#include "io/resolver.h"

#include "fresh_network.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct resolver resolver;
static pid_t child;

static int start(void **state)
{
	int ends[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(resolver_serve(ends[1]));
	}
	close(ends[1]);
	resolver_init(&resolver, ends[0]);
	return child < 0 ? -1 : 0;
}

static int wait_for_child(void)
{
	int status = -1;

	waitpid(child, &status, 0);
	return status;
}

static int stop(void **state)
{
	(void)state;
	close(resolver.fd);
	/* End of file is all it takes. */
	return wait_for_child();
}

static struct resolver_answer answer_to(const char *name)
{
	struct pollfd wanted = { resolver.fd, POLLIN, 0 };
	struct resolver_answer answer = { 0 };

	assert_int_equal(resolver_ask(&resolver, name), 0);
	assert_int_equal(resolver_ask(&resolver, name), -EBUSY);
	assert_int_equal(poll(&wanted, 1, 20000), 1);
	assert_int_equal(resolver_answer(&resolver, &answer), 0);
	assert_int_equal(resolver_answer(&resolver, &answer), -EAGAIN);
	return answer;
}

static void addresses_as_text_need_no_server(void **state)
{
	const char *texts[] = { "192.0.2.7", "2001:db8::7" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct resolver_answer answer = answer_to(texts[i]);
		struct address expected;

		assert_true(address_parse(texts[i], &expected));
		assert_int_equal(answer.error, 0);
		assert_int_equal(answer.count, 1);
		assert_true(address_equal(&answer.addresses[0].remote, &expected));
		assert_int_equal(answer.addresses[0].remote_port, 0);
	}
}

static void a_name_without_addresses_is_an_error(void **state)
{
	struct resolver_answer answer;

	(void)state;
	answer = answer_to("no such name");
	assert_int_equal(answer.count, 0);
	assert_int_not_equal(answer.error, 0);
	/* And the next question is answered all the same. */
	assert_int_equal(answer_to("127.0.0.1").count, 1);
}

static void a_name_that_is_too_long_is_not_asked(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(resolver_ask(&resolver, name), -ENAMETOOLONG);
	assert_false(resolver.waiting);
}

static void a_dead_resolver_is_noticed(void **state)
{
	struct resolver_answer answer;

	start(state);
	assert_int_equal(kill(child, SIGKILL), 0);
	wait_for_child();
	assert_int_equal(resolver_ask(&resolver, "127.0.0.1"), -EPIPE);
	assert_int_equal(resolver_answer(&resolver, &answer), -EPIPE);
	close(resolver.fd);
}

/* Whoever has taken the resolver over can lie about addresses, but no more than that. */
static void nonsense_is_not_believed(void **state)
{
	struct resolver_answer answer;
	struct {
		uint32_t number;
		struct resolver_answer answer;
	} lie = { .number = 1, .answer.count = RESOLVER_ADDRESSES_MAX + 1 };
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	resolver_init(&resolver, ends[0]);
	lie.answer.count = 1;
	assert_int_equal(send(ends[1], &lie, sizeof(lie), 0), sizeof(lie));
	assert_int_equal(resolver_answer(&resolver, &answer), -EAGAIN);

	assert_int_equal(resolver_ask(&resolver, "x"), 0);
	lie.answer.count = RESOLVER_ADDRESSES_MAX + 1;
	assert_int_equal(send(ends[1], &lie, sizeof(lie), 0), sizeof(lie));
	assert_int_equal(resolver_answer(&resolver, &answer), -EAGAIN);
	assert_int_equal(send(ends[1], &lie, 5, 0), 5);
	assert_int_equal(resolver_answer(&resolver, &answer), -EAGAIN);
	lie.answer.count = 1;
	assert_int_equal(send(ends[1], &lie, sizeof(lie), 0), sizeof(lie));
	assert_int_equal(resolver_answer(&resolver, &answer), 0);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses_as_text_need_no_server, start, stop),
		cmocka_unit_test_setup_teardown(a_name_without_addresses_is_an_error, start, stop),
		cmocka_unit_test_setup_teardown(a_name_that_is_too_long_is_not_asked, start, stop),
		cmocka_unit_test(a_dead_resolver_is_noticed),
		cmocka_unit_test(nonsense_is_not_believed),
	};

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
