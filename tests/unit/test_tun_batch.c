/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches of packets into a tun device, with a kernel that has io_uring and with such that have not. */
#include "io/tun_batch.h"

#include "fresh_network.h"
#include "minivpn/checksum.h"
#include "minivpn/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
	SLOT_BYTES = 128,
	PACKET_BYTES = 20 + 8 + 4, /* IPv4, UDP, a number */
	PORT = 1000,
	RESTARTS = 40,
};

static struct tun tun;
static struct tun_batch batch;
static int sink;
static uint8_t room[TUN_BATCH_MAX][SLOT_BYTES];
static uint32_t sent;

/* Kernels that differ from this one (ld --wrap). */
static int setup_fails_with, enter_fails_with;
static unsigned taken_at_most = TUN_BATCH_MAX; /* in one call, before it fails */
static unsigned single_writes;

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_io_uring_setup && setup_fails_with) {
		errno = setup_fails_with;
		return -1;
	}
	if (number == SYS_io_uring_enter && enter_fails_with && b > 0) {
		if (taken_at_most == 0) {
			errno = enter_fails_with;
			return -1;
		}
		b = b < taken_at_most ? b : taken_at_most;
		c = 0; /* whoever takes a part only does not wait either */
		taken_at_most = 0;
	}
	return __real_syscall(number, a, b, c, d, e, f);
}

int __real_tun_write(const struct tun *device, const struct iovec *pieces, unsigned count);
int __wrap_tun_write(const struct tun *device, const struct iovec *pieces, unsigned count);

int __wrap_tun_write(const struct tun *device, const struct iovec *pieces, unsigned count)
{
	single_writes++;
	return __real_tun_write(device, pieces, count);
}

static bool has_ring(void)
{
	return batch.ring.fd >= 0;
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, text, &name.sin_addr), 1);
	return name;
}

static void set_flags(short flags)
{
	struct ifreq wish = { .ifr_flags = flags };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(wish.ifr_name, tun.name);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &wish), 0);
	close(fd);
}

static void bring_up(void)
{
	struct sockaddr_in ours = address("10.9.8.1", 0), mask = address("255.255.255.0", 0);
	struct ifreq wish = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(wish.ifr_name, tun.name);
	memcpy(&wish.ifr_addr, &ours, sizeof(ours));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &wish), 0);
	memcpy(&wish.ifr_netmask, &mask, sizeof(mask));
	assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &wish), 0);
	close(fd);
	set_flags(IFF_UP);
}

static int open_device(void **state)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	(void)state;
	setup_fails_with = enter_fails_with = 0;
	taken_at_most = TUN_BATCH_MAX;
	assert_int_equal(tun_open("mvbatch", 1, &tun), 0);
	bring_up();
	tun_batch_begin(&batch, &tun);
	sink = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(sink, (struct sockaddr *)&any, sizeof(any)), 0);
	return 0;
}

static int close_device(void **state)
{
	(void)state;
	close(sink);
	tun_batch_close(&batch);
	tun_close(&tun);
	return 0;
}

static void add_packet(unsigned i)
{
	uint8_t *packet = room[i] + TUN_BATCH_ROOM_BYTES, *udp = packet + 20;

	memset(room[i], 0xee, SLOT_BYTES);
	memset(packet, 0, PACKET_BYTES);
	packet[0] = 0x45;
	wire_put_u16(packet + 2, PACKET_BYTES);
	packet[8] = 64;
	packet[9] = IPPROTO_UDP;
	inet_pton(AF_INET, "10.9.8.2", packet + 12);
	inet_pton(AF_INET, "10.9.8.1", packet + 16);
	checksum_ipv4_header(packet);
	wire_put_u16(udp, 2000 + i);
	wire_put_u16(udp + 2, PORT);
	wire_put_u16(udp + 4, PACKET_BYTES - 20);
	wire_put_u32(udp + 8, sent++);
	tun_batch_add(&batch, packet, PACKET_BYTES);
}

static struct tun_written write_packets(unsigned n)
{
	single_writes = 0;
	for (unsigned i = 0; i < n; i++)
		add_packet(i);
	assert_int_equal(tun_batch_is_full(&batch), n == TUN_BATCH_MAX);
	return tun_batch_write(&batch);
}

/* Each is there once, in order, and nothing else. */
static void all_arrive(unsigned n)
{
	uint8_t number[8];

	for (uint32_t wanted = sent - n; wanted != sent; wanted++) {
		assert_int_equal(recv(sink, number, sizeof(number), 0), 4);
		assert_int_equal(wire_u32(number), wanted);
	}
	assert_int_equal(recv(sink, number, sizeof(number), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void write_and_look(unsigned n)
{
	struct tun_written written = write_packets(n);

	assert_int_equal(written.failed, 0);
	assert_int_equal(written.error, 0);
	all_arrive(n);
}

static void packets_arrive_in_order(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		write_and_look(round % TUN_BATCH_MAX);
		write_and_look(TUN_BATCH_MAX);
		assert_int_equal(single_writes, has_ring() ? 0 : TUN_BATCH_MAX);
	}
	if (!has_ring())
		puts("this kernel has no io_uring for us: one write each");
}

static void few_packets_need_no_ring(void **state)
{
	(void)state;
	write_and_look(1);
	write_and_look(0);
	write_and_look(3);
	assert_int_equal(single_writes, 3);
	assert_true(batch.may_try);
}

static void without_io_uring_nothing_changes(void **state)
{
	static const int reasons[] = { ENOSYS, EPERM, EINVAL, ENOMEM };

	(void)state;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		tun_batch_close(&batch);
		tun_batch_begin(&batch, &tun);
		setup_fails_with = reasons[i];
		write_and_look(TUN_BATCH_MAX);
		assert_int_equal(single_writes, TUN_BATCH_MAX);
		/* It is not tried again and again. */
		setup_fails_with = 0;
		write_and_look(TUN_BATCH_MAX);
		assert_int_equal(single_writes, TUN_BATCH_MAX);
	}
}

static void a_ring_that_fails_is_given_up(void **state)
{
	(void)state;
	write_and_look(TUN_BATCH_MAX);
	if (!has_ring())
		skip();
	enter_fails_with = EAGAIN;
	taken_at_most = 10;
	write_and_look(TUN_BATCH_MAX);
	assert_int_equal(single_writes, TUN_BATCH_MAX - 10);
	assert_false(has_ring());
	enter_fails_with = 0;
	write_and_look(TUN_BATCH_MAX);
	assert_int_equal(single_writes, TUN_BATCH_MAX);
}

static void a_link_that_is_down_takes_nothing(void **state)
{
	struct tun_written written;

	(void)state;
	write_and_look(TUN_BATCH_MAX);
	for (unsigned n = 1; n <= TUN_BATCH_MAX; n *= 4) {
		set_flags(0);
		written = write_packets(n);
		assert_int_equal(written.failed, n);
		assert_int_equal(written.error, -EIO);
		set_flags(IFF_UP);
		write_and_look(n);
	}
}

static void a_bad_packet_costs_no_other(void **state)
{
	struct tun_written written;

	(void)state;
	for (unsigned i = 0; i < TUN_BATCH_MAX; i++)
		add_packet(i);
	/* No version that there is: tun refuses to guess. */
	room[TUN_BATCH_MAX - 1][TUN_BATCH_ROOM_BYTES] = 0xf5;
	written = tun_batch_write(&batch);
	assert_int_equal(written.failed, 1);
	assert_int_equal(written.error, -EINVAL);
	sent--;
	all_arrive(TUN_BATCH_MAX - 1);
}

/* The kernel tears a ring down when it finds the time to. */
static void the_device_is_free_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RESTARTS; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			open_device(NULL);
			write_packets(TUN_BATCH_MAX);
			raise(SIGKILL);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		open_device(NULL);
		write_and_look(TUN_BATCH_MAX);
		close_device(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packets_arrive_in_order, open_device, close_device),
		cmocka_unit_test_setup_teardown(few_packets_need_no_ring, open_device,
						close_device),
		cmocka_unit_test_setup_teardown(without_io_uring_nothing_changes, open_device,
						close_device),
		cmocka_unit_test_setup_teardown(a_ring_that_fails_is_given_up, open_device,
						close_device),
		cmocka_unit_test_setup_teardown(a_link_that_is_down_takes_nothing, open_device,
						close_device),
		cmocka_unit_test_setup_teardown(a_bad_packet_costs_no_other, open_device,
						close_device),
		cmocka_unit_test(the_device_is_free_at_once),
	};

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	if (tun_open("mvbatch", 1, &tun) < 0) {
		puts("skipped: no tun device here");
		return TEST_SKIPPED;
	}
	tun_close(&tun);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
