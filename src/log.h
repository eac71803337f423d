/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines on standard error, for every ring but the core.  A line reads
 * `module: what happened: with what`, lower case, without a full stop, errno text at the end.
 *
 * What an unauthenticated packet can cause is logged at LOG_DEBUG or through log_rated(); the
 * counter is the record.  No key, nonce or plaintext at any level, in any build.
 */
#ifndef LOG_H
#define LOG_H

#include "minivpn/inner.h"
#include "minivpn/instant.h"

#include <stdbool.h>

/* Numbered as syslog(3) and sd-daemon(3) number them. */
enum log_level {
	LOG_ERROR = 3,   /* it failed, and somebody has to do something */
	LOG_WARNING = 4, /* it goes on, less well than asked for */
	LOG_NOTICE = 5,  /* what a person who looks once a week wants to see: up, down, who */
	LOG_INFO = 6,    /* an event: new session, roamed, fell back */
	LOG_DEBUG = 7,   /* one line a packet */
};

/**
 * log_start() - decide what is shown, and how
 * @level: the least important level that is shown; LOG_INFO before the first call
 *
 * When standard error is the systemd journal (JOURNAL_STREAM, sd-daemon(3)), each line begins with
 * its level in angle brackets.
 */
void log_start(enum log_level level);

/** log_shows() - would a line of this level be shown?  To spare the work of composing it */
bool log_shows(enum log_level level);

/**
 * log_line() - write one line, in one system call
 * @level:  how important it is
 * @format: as printf(3), without a newline; control characters are shown as '?'
 *
 * Never waits for whoever reads: what cannot be written at once is lost, and the next line that can be says
 * how many were.  Leaves errno as it was.
 */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                    \
	do {                                              \
		if (log_shows(LOG_DEBUG))                 \
			log_line(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

/**
 * struct log_rate - how often one kind of line may be shown
 * @interval_ns: least time between two of them
 * @next:        when the next one may be shown; zero at first
 * @held_back:   how many were not shown since the last one
 */
struct log_rate {
	int64_t interval_ns;
	struct instant next;
	unsigned held_back;
};

/**
 * log_rated() - log_line(), but no more often than @rate says
 * @rate: belongs to this kind of line
 * @now:  the time
 *
 * A line that is shown after others were held back ends in how many they were.
 */
void log_rated(struct log_rate *rate, struct instant now, enum log_level level, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));

/* Addresses as every log line and message shows them.  The text lives to the end of the block. */
#define shown_address(a)  address_print((a), (char[ADDRESS_TEXT_BYTES]){ 0 })
#define shown_prefix(p)   prefix_print((p), (char[PREFIX_TEXT_BYTES]){ 0 })
#define shown_endpoint(e) endpoint_print((e), (char[ENDPOINT_TEXT_BYTES]){ 0 })

#endif
