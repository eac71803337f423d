/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To be loaded before a program (LD_PRELOAD): its boot clock runs FAST_CLOCK times as fast, and so does
 * everything that is done by that clock.  For minivpn these are all of its timers, so that two minutes
 * until the next rekeying pass in seconds, with real packets over real devices, and nothing in the
 * program has to know.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

#define NS_PER_S INT64_C(1000000000)

static int64_t speed(void)
{
	const char *given = getenv("FAST_CLOCK");

	return given ? atoi(given) : 1;
}

static int64_t to_ns(const struct timespec *t)
{
	return t->tv_sec * NS_PER_S + t->tv_nsec;
}

static struct timespec from_ns(int64_t ns)
{
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

/* Both clocks alike, since their difference is how long the machine was suspended. */
EXPORTED int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	long result = syscall(SYS_clock_gettime, clock, ret_time);

	if (result == 0 && (clock == CLOCK_BOOTTIME || clock == CLOCK_MONOTONIC))
		*ret_time = from_ns(to_ns(ret_time) * speed());
	return (int)result;
}

EXPORTED int timerfd_settime(int fd, int flags, const struct itimerspec *when,
			     struct itimerspec *ret_before)
{
	struct itimerspec sooner = *when;
	int64_t ns = to_ns(&when->it_value);

	if (flags == TFD_TIMER_ABSTIME && ns > 0)
		sooner.it_value = from_ns(ns / speed() + 1);
	return (int)syscall(SYS_timerfd_settime, fd, flags, &sooner, ret_before);
}
