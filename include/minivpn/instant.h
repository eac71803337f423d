/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A point in time on the boot clock, which never goes back and counts on through suspend.  The
 * core never reads a clock: every function that needs the time takes it as an argument.
 */
#ifndef MINIVPN_INSTANT_H
#define MINIVPN_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

/* Wrapped so that it can be neither added to a count of bytes nor compared with a wall-clock
 * time.  The origin is arbitrary; 0 is "before anything happened". */
struct instant {
	int64_t ns;
};

#define NS_PER_MS ((int64_t)1000000)
#define NS_PER_S  ((int64_t)1000000000)

/* Later than anything: the deadline of what has none. */
#define INSTANT_NEVER ((struct instant){ INT64_MAX })

static inline bool instant_reached(struct instant now, struct instant deadline)
{
	return now.ns >= deadline.ns;
}

/** instant_after() - @start plus @delay_ns, never beyond INSTANT_NEVER */
static inline struct instant instant_after(struct instant start, int64_t delay_ns)
{
	if (start.ns > INT64_MAX - delay_ns)
		return INSTANT_NEVER;
	return (struct instant){ start.ns + delay_ns };
}

/** instant_since() - nanoseconds from @then to @now; negative if @then is still to come */
static inline int64_t instant_since(struct instant now, struct instant then)
{
	return now.ns - then.ns;
}

static inline struct instant instant_earlier(struct instant a, struct instant b)
{
	return a.ns <= b.ns ? a : b;
}

#endif
