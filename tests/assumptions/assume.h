/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of this folder share.  Each proves one behaviour of the kernel that the design
 * stands on, in a network namespace of its own; what it lacks to do so makes it skipped, with the
 * reason.
 */
#ifndef TESTS_ASSUME_H
#define TESTS_ASSUME_H

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/** skip() - end as skipped, saying what is lacking */
static inline _Noreturn void skip(const char *reason)
{
	printf("skipped: %s (%s)\n", reason, strerror(errno));
	exit(77);
}

/** assume() - the behaviour under test; a sentence of it is in the text */
#define assume(condition, text)                                                              \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			printf("not so: %s (%s, line %d: %s)\n", text, #condition, __LINE__, \
			       strerror(errno));                                             \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

/** must() - something that the test needs and that is not what it tests */
#define must(condition) assume(condition, "the test can be set up")

/** link_ioctl() - an ioctl about a device; sets errno */
static inline bool link_ioctl(unsigned long request, const char *device, int value)
{
	struct ifreq ifr = { .ifr_flags = (short)value };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool done;

	if (request == SIOCSIFMTU)
		ifr.ifr_mtu = value;
	strcpy(ifr.ifr_name, device);
	done = ioctl(fd, request, &ifr) == 0;
	close(fd);
	return done;
}

/** own_namespace() - go into a new network namespace whose loopback is up */
static inline void own_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		skip("needs the right to make a network namespace");
	must(link_ioctl(SIOCSIFFLAGS, "lo", IFF_UP));
}

/** udp_pair() - two UDP sockets on loopback, the first connected to the second */
static inline void udp_pair(int *ret_from, int *ret_to)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 2 };
	socklen_t n = sizeof(at);

	*ret_from = socket(AF_INET, SOCK_DGRAM, 0);
	*ret_to = socket(AF_INET, SOCK_DGRAM, 0);
	must(bind(*ret_to, (struct sockaddr *)&at, n) == 0);
	must(getsockname(*ret_to, (struct sockaddr *)&at, &n) == 0);
	must(connect(*ret_from, (struct sockaddr *)&at, n) == 0);
	must(setsockopt(*ret_to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
}

/** set_int() - setsockopt() with an int; true if the kernel took it */
static inline bool set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/** open_tun() - a tun device called "tun0" with virtio headers, not yet up */
static inline int open_tun(void)
{
	struct ifreq ifr = { .ifr_name = "tun0", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		skip("needs a tun device");
	return fd;
}

#endif
