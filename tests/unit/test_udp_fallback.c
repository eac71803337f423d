/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other kernels, drivers and full queues do to a send, played by a kernel of the test's own: the
 * system calls go through __wrap_*() (ld --wrap).
 */
#include "io/udp.h"

#include "fresh_network.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags);
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes);

/* How this kernel behaves, and what it was asked. */
static struct {
	int refuse_segments; /* errno for every segmented send */
	int fail_next;       /* errno for the next message, whatever it is; then 0 */
	int fail_all;        /* errno for everything */
	bool old;            /* never heard of UDP_SEGMENT and UDP_GRO */
	unsigned segmented;  /* segmented sends that were tried */
} kernel;

static bool is_segmented(const struct msghdr *message)
{
	struct msghdr *header = (struct msghdr *)message;

	for (struct cmsghdr *detail = CMSG_FIRSTHDR(header); detail;
	     detail = CMSG_NXTHDR(header, detail))
		if (detail->cmsg_level == IPPROTO_UDP && detail->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

/* The errno for this message; 0 lets it pass. */
static int refusal(const struct msghdr *message)
{
	int error = kernel.fail_all ? kernel.fail_all : kernel.fail_next;

	kernel.fail_next = 0;
	if (!is_segmented(message))
		return error;
	kernel.segmented++;
	return error ? error : kernel.refuse_segments;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	int error = refusal(message);

	if (error) {
		errno = error;
		return -1;
	}
	return __real_sendmsg(fd, message, flags);
}

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
	unsigned good = 0;

	while (good < n) {
		int error = refusal(&messages[good].msg_hdr);

		if (error && good == 0) {
			errno = error;
			return -1;
		}
		if (error)
			break;
		good++;
	}
	return __real_sendmmsg(fd, messages, good, flags);
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	if (kernel.old && level == IPPROTO_UDP) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(fd, level, option, value, bytes);
}

static struct transport *server, *client;
static struct run received[RECEIVE_RUNS_MAX];
static uint8_t numbered[64 * 100];

static struct transport *open_transport(uint16_t port)
{
	const struct address anywhere = { 0 };
	struct transport *transport;
	int fd;

	assert_int_equal(udp_open(&anywhere, port, false, &fd), 0);
	assert_int_equal(udp_start(fd, &transport), 0);
	return transport;
}

static int open_both(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	server = open_transport(4500);
	client = open_transport(0);
	for (size_t at = 0; at < sizeof(numbered); at++)
		numbered[at] = (uint8_t)(at / 100);
	return 0;
}

static int close_both(void **state)
{
	(void)state;
	server->kind->close(server);
	client->kind->close(client);
	return 0;
}

static struct run run_of(size_t from, size_t datagrams, const char *to)
{
	struct run run = {
		.bytes = numbered + from * 100,
		.total_bytes = datagrams * 100,
		.datagram_bytes = 100,
		.dont_fragment = true,
	};

	assert_true(endpoint_parse(to, &run.endpoint));
	return run;
}

static struct sent send_runs(const struct run *runs, size_t n)
{
	return client->kind->send(client, runs, n);
}

/* All that has arrived, and in which order. */
static void assert_received(const uint8_t *numbers, size_t n)
{
	size_t seen = 0;

	while (seen < n) {
		struct pollfd wanted = { server->fd, POLLIN, 0 };

		assert_int_equal(poll(&wanted, 1, 1000), 1);
		int runs = server->kind->receive(server, received);

		for (int i = 0; i < runs; i++)
			for (size_t at = 0; at < received[i].total_bytes;
			     at += received[i].datagram_bytes)
				assert_int_equal(received[i].bytes[at], numbers[seen++]);
	}
	assert_int_equal(server->kind->receive(server, received), 0);
}

static void assert_received_in_order(uint8_t first, size_t n)
{
	uint8_t numbers[256];

	for (size_t i = 0; i < n; i++)
		numbers[i] = (uint8_t)(first + i);
	assert_received(numbers, n);
}

static void segments_refused_are_sent_one_by_one_from_then_on(void **state)
{
	const int errors[] = { EIO, EINVAL };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const char *to = i == 0 ? "127.0.0.1:4500" : "127.0.0.2:4500";
		struct run runs[] = { run_of(0, 1, to), run_of(1, 20, to), run_of(21, 1, to) };
		unsigned tried;

		kernel.refuse_segments = errors[i];
		assert_int_equal(send_runs(runs, 3).passed, 22);
		assert_received_in_order(0, 22);
		tried = kernel.segmented;
		assert_true(tried > 0);

		/* That way is known now... */
		assert_int_equal(send_runs(runs, 3).passed, 22);
		assert_received_in_order(0, 22);
		assert_int_equal(kernel.segmented, tried);

		/* ... and says nothing about others. */
		kernel.refuse_segments = 0;
		runs[1] = run_of(1, 20, "[::1]:4500");
		assert_int_equal(send_runs(&runs[1], 1).passed, 20);
		assert_received_in_order(1, 20);
		assert_true(kernel.segmented > tried);
	}
}

static void many_ways_without_segments_are_all_served(void **state)
{
	char to[32];

	(void)state;
	kernel.refuse_segments = EIO;
	for (int i = 1; i <= 40; i++) {
		struct run run;

		snprintf(to, sizeof(to), "127.0.0.%d:4500", i);
		run = run_of(0, 5, to);
		assert_int_equal(send_runs(&run, 1).passed, 5);
		assert_received_in_order(0, 5);
	}
	/* Nobody goes on asking for ever. */
	assert_in_range(kernel.segmented, 1, 2 * (16 + 1));
}

static void an_old_kernel_gets_datagrams_only(void **state)
{
	struct run run = run_of(0, 64, "127.0.0.1:4500");
	struct transport *modern = client;

	(void)state;
	kernel.old = true;
	client = open_transport(0);
	assert_int_equal(send_runs(&run, 1).passed, 64);
	assert_received_in_order(0, 64);
	assert_int_equal(kernel.segmented, 0);
	client->kind->close(client);
	client = modern;
}

static void an_error_that_is_not_its_own_costs_nothing(void **state)
{
	const int errors[] = { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH };
	struct run runs[] = { run_of(0, 20, "127.0.0.1:4500"), run_of(20, 20, "127.0.0.1:4500") };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		kernel.fail_next = errors[i];
		assert_int_equal(send_runs(runs, 2).passed, 40);
		assert_received_in_order(0, 40);
	}
}

static void a_full_buffer_drops_the_newest(void **state)
{
	struct run runs[] = { run_of(0, 20, "127.0.0.1:4500"), run_of(20, 3, "127.0.0.1:4500") };
	struct sent sent;

	(void)state;
	kernel.fail_all = EAGAIN;
	sent = send_runs(runs, 2);
	assert_int_equal(sent.full, 23);
	assert_int_equal(sent.passed + sent.failed + sent.too_big, 0);
	assert_false(sent.events);
	kernel.fail_all = ENOBUFS;
	sent = send_runs(runs, 2);
	assert_int_equal(sent.full, 23);
	kernel.fail_all = 0;
	assert_received(NULL, 0);
}

static void what_fails_for_good_is_counted_and_told(void **state)
{
	struct run runs[] = { run_of(0, 20, "127.0.0.1:4500"), run_of(20, 1, "127.0.0.1:4500") };
	struct transport_event event;
	struct sent sent;

	(void)state;
	kernel.fail_all = EPERM; /* a firewall of this machine */
	sent = send_runs(runs, 2);
	assert_int_equal(sent.failed, 21);
	assert_true(sent.events);
	assert_true(client->kind->next_event(client, &event));
	assert_int_equal(event.kind, TRANSPORT_UNREACHABLE);
	assert_int_equal(event.why, EPERM);
	assert_false(client->kind->next_event(client, &event));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segments_refused_are_sent_one_by_one_from_then_on,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(many_ways_without_segments_are_all_served,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(an_old_kernel_gets_datagrams_only, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(an_error_that_is_not_its_own_costs_nothing,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(a_full_buffer_drops_the_newest, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(what_fails_for_good_is_counted_and_told, open_both,
						close_both),
	};

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
