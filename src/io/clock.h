/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only place that reads the time.  The boot clock counts through suspend: an hour with the lid
 * closed is an hour older for a session too.
 */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include "minivpn/instant.h"

#include <time.h>

static inline struct instant clock_read(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (struct instant){ t.tv_sec * NS_PER_S + t.tv_nsec };
}

/** clock_now() - the time; read once a wake-up and passed down */
static inline struct instant clock_now(void)
{
	return clock_read(CLOCK_BOOTTIME);
}

/** clock_suspended_ns() - how long this machine has been suspended since it was started */
static inline int64_t clock_suspended_ns(void)
{
	struct instant awake = clock_read(CLOCK_MONOTONIC);

	return instant_since(clock_now(), awake);
}

#endif
