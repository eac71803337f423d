/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tun device in a network namespace of its own, with an echo behind it. */
#include "io/tun.h"

#include "fresh_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tun tun;
static uint8_t packet[65535];
static struct offload offload;

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, text, &name.sin_addr), 1);
	return name;
}

static void bring_up(const char *interface)
{
	struct sockaddr_in ours = address("10.9.8.1", 0), mask = address("255.255.255.0", 0);
	struct ifreq wish = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(wish.ifr_name, interface);
	memcpy(&wish.ifr_addr, &ours, sizeof(ours));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &wish), 0);
	memcpy(&wish.ifr_netmask, &mask, sizeof(mask));
	assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &wish), 0);
	wish.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &wish), 0);
	close(fd);
}

static int open_device(void **state)
{
	(void)state;
	assert_int_equal(tun_open("mvtest%d", 1, &tun), 0);
	bring_up(tun.name);
	return 0;
}

static int close_device(void **state)
{
	(void)state;
	tun_close(&tun);
	return 0;
}

static int open_socket(void)
{
	struct sockaddr_in ours = address("10.9.8.1", 1000), theirs = address("10.9.8.2", 2000);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&ours, sizeof(ours)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&theirs, sizeof(theirs)), 0);
	return fd;
}

/* The next IPv4 packet; the kernel may send IPv6 router solicitations of its own. */
static size_t read_ipv4(void)
{
	struct pollfd wanted = { tun.fd, POLLIN, 0 };

	for (;;) {
		assert_int_equal(poll(&wanted, 1, 2000), 1);
		ssize_t n = tun_read(&tun, 0, &offload, packet, sizeof(packet));

		assert_true(n > 0);
		if (packet[0] >> 4 == 4)
			return (size_t)n;
	}
}

/* Nothing but what the kernel may send of its own, likewise. */
static void assert_nothing_more(void)
{
	static uint8_t other[65535];
	struct offload about;
	ssize_t n;

	while ((n = tun_read(&tun, 0, &about, other, sizeof(other))) > 0)
		assert_int_equal(other[0] >> 4, 6);
	assert_int_equal(n, -EAGAIN);
}

/* Turn a packet round.  Exchanging addresses and ports leaves every checksum as it is. */
static void turn_round(void)
{
	uint8_t kept[4];

	memcpy(kept, packet + 12, 4);
	memcpy(packet + 12, packet + 16, 4);
	memcpy(packet + 16, kept, 4);
	memcpy(kept, packet + 20, 2);
	memcpy(packet + 20, packet + 22, 2);
	memcpy(packet + 22, kept, 2);
}

static void a_packet_goes_out_and_comes_back(void **state)
{
	int fd = open_socket();
	char text[16] = "";

	(void)state;
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(read_ipv4(), 20 + 8 + 5);
	assert_memory_equal(packet + 28, "hello", 5);
	assert_int_equal(offload.type, OFFLOAD_NONE);
	assert_nothing_more();

	/* In pieces, as the worker writes. */
	turn_round();
	struct iovec pieces[] = { { &offload, sizeof(offload) },
				  { packet, 30 },
				  { packet + 30, 3 } };

	assert_int_equal(tun_write(&tun, pieces, 3), 0);
	assert_int_equal(recv(fd, text, sizeof(text), 0), 5);
	assert_string_equal(text, "hello");
	close(fd);
}

static void a_super_packet_goes_out_and_comes_back(void **state)
{
	int fd = open_socket(), segment = 500;
	static uint8_t bytes[1200], back[1200];

	(void)state;
	if (!tun.udp)
		skip();
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(read_ipv4(), 28 + sizeof(bytes));
	assert_int_equal(offload.type, OFFLOAD_UDP);
	assert_int_equal(offload.segment_bytes, 500);
	assert_int_equal(offload.flags, OFFLOAD_NEEDS_CHECKSUM);

	turn_round();
	struct iovec pieces[] = { { &offload, sizeof(offload) }, { packet, 28 + sizeof(bytes) } };

	assert_int_equal(tun_write(&tun, pieces, 2), 0);
	assert_int_equal(recv(fd, back, sizeof(back), 0), 500);
	assert_int_equal(recv(fd, back + 500, sizeof(back) - 500, 0), 500);
	assert_int_equal(recv(fd, back + 1000, sizeof(back) - 1000, 0), 200);
	assert_memory_equal(bytes, back, sizeof(bytes));

	/* What cannot be is refused, not taken for something else. */
	offload.segment_bytes = 0;
	assert_int_equal(tun_write(&tun, pieces, 2), -EINVAL);
	close(fd);
}

static void names_are_checked(void **state)
{
	struct tun another = { .fd = -1 };

	(void)state;
	assert_int_equal(tun_open(tun.name, 1, &another), -EBUSY);
	assert_int_equal(tun_open("lo", 1, &another), -EINVAL);
	assert_int_equal(tun_open("a-name-that-is-too-long", 1, &another), -ENAMETOOLONG);
	assert_int_equal(another.fd, -1);
}

static void queues_belong_to_one_device(void **state)
{
	struct tun first, second, third = { .fd = -1 };

	(void)state;
	assert_int_equal(tun_open("mvqueues", 2, &first), 0);
	assert_int_equal(tun_open("mvqueues", 2, &second), 0);
	assert_int_equal(first.index, second.index);
	assert_int_not_equal(tun_open("mvqueues", 1, &third), 0);
	tun_close(&first);
	assert_int_not_equal(if_nametoindex("mvqueues"), 0);
	tun_close(&second);
	assert_int_equal(if_nametoindex("mvqueues"), 0);
}

static void flows_are_spread_over_queues(void **state)
{
	struct tun spread, another = { .fd = -1 };

	(void)state;
	assert_int_equal(tun_open_spread("mvspread", &spread), 0);
	assert_int_equal(spread.queues, TUN_QUEUES_MAX);
	/* What is there already is left alone, of whatever kind it is. */
	assert_int_equal(tun_open_spread("mvspread", &another), -EBUSY);
	assert_int_equal(tun_open_spread("lo", &another), -EBUSY);
	assert_int_equal(another.fd, -1);
	tun_close(&spread);
	assert_int_equal(if_nametoindex("mvspread"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_packet_goes_out_and_comes_back, open_device,
						close_device),
		cmocka_unit_test_setup_teardown(a_super_packet_goes_out_and_comes_back, open_device,
						close_device),
		cmocka_unit_test_setup_teardown(names_are_checked, open_device, close_device),
		cmocka_unit_test(queues_belong_to_one_device),
		cmocka_unit_test(flows_are_spread_over_queues),
	};

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	if (tun_open("mvtest%d", 1, &tun) < 0) {
		puts("skipped: no tun device here");
		return TEST_SKIPPED;
	}
	tun_close(&tun);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
