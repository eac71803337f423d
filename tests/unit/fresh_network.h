/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network namespace of the test program's own, with nothing in it but loopback. */
#ifndef TEST_FRESH_NETWORK_H
#define TEST_FRESH_NETWORK_H

#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEST_SKIPPED = 77 };

static inline bool loopback_ioctl(unsigned long request, struct ifreq *wish)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done;

	strcpy(wish->ifr_name, "lo");
	done = ioctl(fd, request, wish) == 0;
	close(fd);
	return done;
}

static inline bool loopback_mtu(int mtu)
{
	struct ifreq wish = { .ifr_mtu = mtu };

	return loopback_ioctl(SIOCSIFMTU, &wish);
}

/* Leave the machine's network behind.  False (and the reason on standard output) without rights. */
static inline bool enter_fresh_network(void)
{
	struct ifreq wish = { .ifr_flags = IFF_UP };

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		puts("skipped: no right to make a network namespace");
		return false;
	}
	return loopback_ioctl(SIOCSIFFLAGS, &wish);
}

#endif
