/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two transports on loopback, in a network namespace of their own. */
#include "io/udp.h"

#include "fresh_network.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct transport *server, *client;
static uint16_t server_port;
static struct run received[RECEIVE_RUNS_MAX];

static const struct address anywhere;

static int open_both(void **state)
{
	int fd;

	(void)state;
	if (udp_open(&anywhere, 4500, false, &fd) || udp_start(fd, &server))
		return -1;
	server_port = udp_local_port(fd);
	if (udp_open(&anywhere, 0, false, &fd) || udp_start(fd, &client))
		return -1;
	return loopback_mtu(65536) ? 0 : -1;
}

static int close_both(void **state)
{
	(void)state;
	server->kind->close(server);
	client->kind->close(client);
	return 0;
}

static struct endpoint endpoint(const char *text)
{
	struct endpoint e = { 0 };

	assert_true(endpoint_parse(text, &e));
	return e;
}

static struct run run_to(const struct endpoint *to, void *bytes, size_t total, size_t each)
{
	return (struct run){ .bytes = bytes,
			     .total_bytes = total,
			     .datagram_bytes = each,
			     .endpoint = *to,
			     .dont_fragment = true };
}

static void wait_for(struct transport *transport, short events)
{
	struct pollfd wanted = { transport->fd, events, 0 };

	assert_int_equal(poll(&wanted, 1, 2000), 1);
}

/* Receive until @datagrams have come, in order; they were filled with their number. */
static size_t receive_numbered(struct transport *transport, size_t datagrams)
{
	size_t seen = 0;

	while (seen < datagrams) {
		wait_for(transport, POLLIN);
		int n = transport->kind->receive(transport, received);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			for (size_t at = 0; at < received[i].total_bytes;
			     at += received[i].datagram_bytes)
				assert_int_equal(received[i].bytes[at], seen++);
	}
	return seen;
}

static void fill_numbered(uint8_t *bytes, size_t each, size_t total)
{
	for (size_t at = 0; at < total; at++)
		bytes[at] = (uint8_t)(at / each);
}

static void answer_leaves_by_the_address_that_was_addressed(void **state)
{
	const char *addresses[] = { "127.0.0.5:4500", "[::1]:4500" };
	uint8_t question[] = "q", answer[] = "a";

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(addresses[i]);
		struct run run = run_to(&to, question, 1, 1);

		assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
		wait_for(server, POLLIN);
		assert_int_equal(server->kind->receive(server, received), 1);
		assert_memory_equal(received[0].bytes, "q", 1);
		assert_true(address_equal(&received[0].endpoint.local, &to.remote));

		run = run_to(&received[0].endpoint, answer, 1, 1);
		assert_int_equal(server->kind->send(server, &run, 1).passed, 1);
		wait_for(client, POLLIN);
		assert_int_equal(client->kind->receive(client, received), 1);
		assert_true(endpoint_same_remote(&received[0].endpoint, &to));
	}
}

static void tos_travels_both_families(void **state)
{
	const char *addresses[] = { "127.0.0.1:4500", "[::1]:4500" };
	uint8_t byte = 1;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(addresses[i]);
		struct run run = run_to(&to, &byte, 1, 1);

		run.tos = 0x2a + (uint8_t)i;
		assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
		wait_for(server, POLLIN);
		assert_int_equal(server->kind->receive(server, received), 1);
		assert_int_equal(received[0].tos, 0x2a + i);
	}
}

static void a_run_arrives_whole_and_in_order(void **state)
{
	const char *addresses[] = { "127.0.0.1:4500", "[::1]:4500" };
	static uint8_t bytes[64 * 1000];

	(void)state;
	fill_numbered(bytes, 1000, sizeof(bytes));
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(addresses[i]);
		struct run runs[] = {
			run_to(&to, bytes, 10 * 1000, 1000),
			run_to(&to, bytes + 10 * 1000, 1000, 1000),
			run_to(&to, bytes + 11 * 1000, 53 * 1000 - 1, 1000),
		};
		struct sent sent = client->kind->send(client, runs, 3);

		assert_int_equal(sent.passed, 64);
		receive_numbered(server, 64);
	}
}

/* What the kernel drops for lack of room is told with what is received next, once. */
static void what_found_no_room_is_counted(void **state)
{
	static uint8_t bytes[1000];
	struct endpoint to = endpoint("127.0.0.1:4500");
	struct run run = run_to(&to, bytes, sizeof(bytes), sizeof(bytes));
	int least = 0;
	size_t sent = 0, arrived = 0;

	(void)state;
	assert_return_code(setsockopt(server->fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)),
			   errno);
	for (; sent < 100; sent++)
		assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
	for (int n; (n = server->kind->receive(server, received)) > 0;)
		arrived += (size_t)n;
	assert_in_range(arrived, 1, sent - 1);
	/* one more, since what was received was queued before anything was dropped */
	assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
	wait_for(server, POLLIN);
	assert_int_equal(server->kind->receive(server, received), 1);
	assert_int_equal(server->overflowed, sent - arrived);
	server->overflowed = 0;
	assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
	wait_for(server, POLLIN);
	assert_int_equal(server->kind->receive(server, received), 1);
	assert_int_equal(server->overflowed, 0);
}

static void an_empty_datagram_is_one(void **state)
{
	struct endpoint to = endpoint("127.0.0.1:4500");
	struct run run = run_to(&to, (uint8_t[]){ 0 }, 0, 0);

	(void)state;
	assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
	wait_for(server, POLLIN);
	assert_int_equal(server->kind->receive(server, received), 1);
	assert_int_equal(received[0].total_bytes, 0);
	assert_int_equal(run_count(&received[0]), 1);
}

static void a_closed_port_refuses_and_costs_nobody_else_anything(void **state)
{
	const char *closed[] = { "127.0.0.1:9", "[::1]:9" };
	struct endpoint open = endpoint("127.0.0.1:4500");
	static uint8_t bytes[20 * 100];

	(void)state;
	fill_numbered(bytes, 100, sizeof(bytes));
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(closed[i]);
		struct run run = run_to(&to, bytes, 1, 1);
		struct transport_event event;

		assert_false(client->kind->next_event(client, &event));
		assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
		/* The error is pending now; the next send meets it. */
		run = run_to(&open, bytes, sizeof(bytes), 100);
		assert_int_equal(client->kind->send(client, &run, 1).passed, 20);
		receive_numbered(server, 20);

		assert_true(client->kind->next_event(client, &event));
		assert_int_equal(event.kind, TRANSPORT_REFUSED);
		assert_true(endpoint_same_remote(&event.endpoint, &to));
		assert_false(client->kind->next_event(client, &event));
	}
}

static void receiving_survives_a_pending_error(void **state)
{
	struct endpoint closed = endpoint("127.0.0.1:9"), open = endpoint("127.0.0.1:4500");
	uint8_t byte = 0;
	struct run run = run_to(&open, &byte, 1, 1);

	(void)state;
	assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
	wait_for(server, POLLIN);
	assert_int_equal(server->kind->receive(server, received), 1);
	run = run_to(&received[0].endpoint, &byte, 1, 1);
	assert_int_equal(server->kind->send(server, &run, 1).passed, 1);
	run = run_to(&closed, &byte, 1, 1);
	assert_int_equal(client->kind->send(client, &run, 1).passed, 1);
	assert_int_equal(client->kind->receive(client, received), 1);
	assert_int_equal(client->kind->receive(client, received), 0);
}

static void what_is_larger_than_the_path_is_told(void **state)
{
	const char *addresses[] = { "127.0.0.1:4500", "[::1]:4500" };
	static uint8_t bytes[5 * 2000];

	(void)state;
	assert_true(loopback_mtu(1500));
	fill_numbered(bytes, 2000, sizeof(bytes));
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(addresses[i]);
		struct transport_event event;
		struct run run = run_to(&to, bytes, 4 * 2000 + 100, 2000);
		struct sent sent = client->kind->send(client, &run, 1);

		/* Only the short one at the end fits. */
		assert_int_equal(sent.too_big, 4);
		assert_int_equal(sent.passed, 1);
		assert_true(client->kind->next_event(client, &event));
		assert_int_equal(event.kind, TRANSPORT_PATH_MTU);
		assert_int_equal(event.mtu_outer_bytes, 1500);
		assert_true(address_equal(&event.endpoint.remote, &to.remote));
		while (client->kind->next_event(client, &event))
			assert_int_equal(event.kind, TRANSPORT_PATH_MTU);

		wait_for(server, POLLIN);
		assert_int_equal(server->kind->receive(server, received), 1);
		assert_int_equal(received[0].total_bytes, 100);
	}
}

static void what_may_be_fragmented_passes_a_narrow_path(void **state)
{
	const char *addresses[] = { "127.0.0.1:4500", "[::1]:4500" };
	static uint8_t bytes[2][2000];

	(void)state;
	assert_true(loopback_mtu(1500));
	memset(bytes[1], 1, sizeof(bytes[1]));
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(addresses[i]);
		struct run runs[] = {
			run_to(&to, bytes[0], 2000, 2000), /* too big */
			run_to(&to, bytes[0], 1000, 1000),
			run_to(&to, bytes[1], 2000, 2000), /* may be fragmented */
		};
		struct sent sent;

		runs[2].dont_fragment = false;
		sent = client->kind->send(client, runs, 3);
		assert_int_equal(sent.too_big, 1);
		assert_int_equal(sent.passed, 2);
		receive_numbered(server, 2);
	}
}

static void a_local_address_that_is_gone_is_left_out(void **state)
{
	const char *addresses[] = { "127.0.0.1:4500", "[::1]:4500" };
	const char *gone[] = { "192.0.2.1", "2001:db8::1" };
	static uint8_t bytes[3 * 500];

	(void)state;
	fill_numbered(bytes, 500, sizeof(bytes));
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(addresses[i]);
		struct transport_event event;
		struct run run;

		assert_true(address_parse(gone[i], &to.local));
		run = run_to(&to, bytes, sizeof(bytes), 500);
		assert_int_equal(client->kind->send(client, &run, 1).passed, 3);
		receive_numbered(server, 3);
		assert_true(client->kind->next_event(client, &event));
		assert_int_equal(event.kind, TRANSPORT_LOCAL_GONE);
		assert_true(address_equal(&event.endpoint.local, &to.local));
	}
}

static void no_route_is_said(void **state)
{
	const char *nowhere[] = { "203.0.113.1:4500", "[2001:db8::1]:4500" };
	uint8_t byte = 0;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct endpoint to = endpoint(nowhere[i]);
		struct run run = run_to(&to, &byte, 1, 1);
		struct transport_event event;

		assert_int_equal(client->kind->send(client, &run, 1).failed, 1);
		assert_true(client->kind->next_event(client, &event));
		assert_int_equal(event.kind, TRANSPORT_UNREACHABLE);
		assert_int_equal(event.why, ENETUNREACH);
		assert_true(endpoint_same_remote(&event.endpoint, &to));
	}
}

static void an_ipv4_socket_serves_ipv4_only(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct endpoint to = endpoint("127.0.0.1:4500"), ipv6 = endpoint("[::1]:4500");
	struct transport *old;
	static uint8_t bytes[3 * 500];
	struct run runs[2];
	struct sent sent;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(udp_start(fd, &old), 0);
	fill_numbered(bytes, 500, sizeof(bytes));
	to.local = to.remote;
	runs[0] = run_to(&ipv6, bytes, sizeof(bytes), 500);
	runs[1] = run_to(&to, bytes, sizeof(bytes), 500);
	sent = old->kind->send(old, runs, 2);
	assert_int_equal(sent.failed, 3);
	assert_int_equal(sent.passed, 3);
	receive_numbered(server, 3);

	runs[0] = run_to(&received[0].endpoint, bytes, 1, 1);
	runs[0].tos = 3;
	assert_int_equal(server->kind->send(server, runs, 1).passed, 1);
	wait_for(old, POLLIN);
	assert_int_equal(old->kind->receive(old, received), 1);
	assert_true(endpoint_same_remote(&received[0].endpoint, &to));
	assert_true(address_equal(&received[0].endpoint.local, &to.local));
	assert_int_equal(received[0].tos, 3);
	old->kind->close(old);
}

static void a_port_in_use_is_said(void **state)
{
	struct address not_ours;
	int fd = -1;

	(void)state;
	assert_int_equal(udp_open(&anywhere, server_port, false, &fd), -EADDRINUSE);
	assert_true(address_parse("192.0.2.1", &not_ours));
	assert_int_equal(udp_open(&not_ours, 4501, false, &fd), -EADDRNOTAVAIL);
	assert_int_equal(fd, -1);
}

/* Sockets of one port, as many as there are words to steer by but one. */
static void open_shared(int fds[3])
{

	assert_int_equal(udp_open(&anywhere, 0, false, &fds[0]), 0);
	assert_int_equal(udp_share(fds[0]), 0);
	for (int i = 1; i < 3; i++)
		assert_int_equal(udp_open(&anywhere, udp_local_port(fds[0]), true, &fds[i]), 0);
}

/* The socket at which a datagram arrives; -1 if at none. */
static int arrives_at(const int fds[3], int from, const void *bytes, size_t n)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(udp_local_port(fds[0])),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char room[64];
	int found = -1;

	assert_int_equal(sendto(from, bytes, n, 0, (struct sockaddr *)&to, sizeof(to)), n);
	for (int i = 0; i < 3; i++) {
		if (recv(fds[i], room, sizeof(room), MSG_DONTWAIT) < 0)
			continue;
		assert_int_equal(found, -1);
		found = i;
	}
	return found;
}

static void the_first_word_steers(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t n;
		int socket;
	} rows[] = {
		{ { 0x12, 0x34, 0x56, 0x70, 1 }, 8, 0 },
		{ { 0x12, 0x34, 0x56, 0x71 }, 8, 1 },
		{ { 0xff, 0xff, 0xff, 0xfe }, 8, 2 },
		{ { 0xff, 0xff, 0xff, 0xff }, 8, 0 },
		{ { 0, 0, 0, 0, 1, 2, 3 }, 7, 0 },
		{ { 0xff }, 1, 0 },
		{ { 1, 1, 1 }, 3, 0 },
		{ { 0 }, 0, 0 },
		{ { 0, 0, 1, 2 }, 4, 2 },
	};
	int fds[3], from = socket(AF_INET, SOCK_DGRAM, 0), hops = 0;
	socklen_t size = sizeof(hops);

	(void)state;
	open_shared(fds);
	assert_int_equal(udp_steer(fds, 3, 3), 0);
	for (int again = 0; again < 4; again++) { /* whatever its own port is */
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
			assert_int_equal(arrives_at(fds, from, rows[i].bytes, rows[i].n),
					 rows[i].socket);
		close(from);
		from = socket(AF_INET, SOCK_DGRAM, 0);
	}
	assert_int_equal(getsockopt(fds[2], IPPROTO_IP, IP_TTL, &hops, &size), 0);
	assert_int_equal(hops, 62);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(from);
}

static void a_shared_port_is_taken_for_all_others(void **state)
{
	int fds[3], other;

	(void)state;
	open_shared(fds);
	assert_int_equal(udp_open(&anywhere, udp_local_port(fds[0]), false, &other), -EADDRINUSE);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answer_leaves_by_the_address_that_was_addressed,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(tos_travels_both_families, open_both, close_both),
		cmocka_unit_test_setup_teardown(a_run_arrives_whole_and_in_order, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(what_found_no_room_is_counted, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(an_empty_datagram_is_one, open_both, close_both),
		cmocka_unit_test_setup_teardown(
			a_closed_port_refuses_and_costs_nobody_else_anything, open_both,
			close_both),
		cmocka_unit_test_setup_teardown(receiving_survives_a_pending_error, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(what_is_larger_than_the_path_is_told, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(what_may_be_fragmented_passes_a_narrow_path,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(a_local_address_that_is_gone_is_left_out, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(no_route_is_said, open_both, close_both),
		cmocka_unit_test_setup_teardown(an_ipv4_socket_serves_ipv4_only, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_said, open_both, close_both),
		cmocka_unit_test(the_first_word_steers),
		cmocka_unit_test(a_shared_port_is_taken_for_all_others),
	};

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
