/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sentences for a person on standard error, and the exit statuses that go with them.  For what happens
 * before a tunnel runs; from then on it is log.h.
 */
#ifndef CLI_SAY_H
#define CLI_SAY_H

enum {
	EXIT_USAGE = 2, /* what was asked for cannot be meant; nothing was done */
};

/** say() - "minivpn: ..." on standard error; control characters are shown as '?' */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
