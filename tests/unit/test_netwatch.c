/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes to a network of the test's own, made with loopback and tun devices. */
#include "io/netwatch.h"

#include "fresh_network.h"
#include "io/clock.h"
#include "io/tun.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tun ours, another;
static struct netwatch watch;

static void swallow(void)
{
	struct pollfd wanted = { watch.fd, POLLIN, 0 };

	while (poll(&wanted, 1, 50) == 1)
		netwatch_read(&watch, clock_now());
	watch.due = INSTANT_NEVER;
}

static int open_all(void **state)
{
	(void)state;
	if (tun_open("mvours", 1, &ours) || tun_open("mvanother", 1, &another) ||
	    netwatch_open(ours.index, &watch))
		return -1;
	swallow();
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	netwatch_close(&watch);
	tun_close(&ours);
	tun_close(&another);
	return 0;
}

static void bring_up(const char *interface, uint32_t address)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	struct ifreq wish = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(wish.ifr_name, interface);
	memcpy(&wish.ifr_addr, &name, sizeof(name));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &wish), 0);
	wish.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &wish), 0);
	close(fd);
}

static void read_what_there_is(struct instant now)
{
	struct pollfd wanted = { watch.fd, POLLIN, 0 };

	while (poll(&wanted, 1, 50) == 1)
		netwatch_read(&watch, now);
}

static void a_swarm_of_changes_is_one(void **state)
{
	struct instant now = { 1000 * NS_PER_S };

	(void)state;
	bring_up(another.name, 0x0a010101);
	read_what_there_is(now);
	assert_int_equal(watch.due.ns, now.ns + NETWATCH_SETTLE_NS);
	assert_false(netwatch_changed(&watch, now));

	/* More of it puts nothing off. */
	bring_up(another.name, 0x0a010102);
	read_what_there_is(instant_after(now, NS_PER_MS));
	assert_int_equal(watch.due.ns, now.ns + NETWATCH_SETTLE_NS);
	assert_true(netwatch_changed(&watch, watch.due));
	assert_int_equal(watch.due.ns, INSTANT_NEVER.ns);
	assert_false(netwatch_changed(&watch, instant_after(now, NS_PER_S)));
}

static void our_own_doing_is_no_change(void **state)
{
	(void)state;
	bring_up(ours.name, 0x0a020101);
	read_what_there_is((struct instant){ 0 });
	assert_int_equal(watch.due.ns, INSTANT_NEVER.ns);
}

static void waking_up_is_a_change(void **state)
{
	struct instant now = { 1000 * NS_PER_S };

	(void)state;
	netwatch_slept(&watch, watch.suspended_ns + NS_PER_MS, now);
	assert_int_equal(watch.due.ns, INSTANT_NEVER.ns);
	netwatch_slept(&watch, watch.suspended_ns + 60 * NS_PER_S, now);
	assert_true(netwatch_changed(&watch, instant_after(now, NETWATCH_SETTLE_NS)));
	netwatch_slept(&watch, watch.suspended_ns, now);
	assert_int_equal(watch.due.ns, INSTANT_NEVER.ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_swarm_of_changes_is_one, open_all, close_all),
		cmocka_unit_test_setup_teardown(our_own_doing_is_no_change, open_all, close_all),
		cmocka_unit_test_setup_teardown(waking_up_is_a_change, open_all, close_all),
	};

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	if (tun_open("mvtest%d", 1, &ours) < 0) {
		puts("skipped: no tun device here");
		return TEST_SKIPPED;
	}
	tun_close(&ours);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
