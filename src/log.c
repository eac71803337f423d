/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

/* The only mutable state at file scope: where lines go is a property of the process. */
static enum log_level least_important = LOG_INFO;
static bool to_journal;
static atomic_uint lost; /* lines, since the last that was written; any thread may write one */

/* Is standard error the stream that JOURNAL_STREAM names, or has somebody redirected it since? */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	if (fstat(STDERR_FILENO, &status) < 0)
		return false;
	return status.st_dev == device && status.st_ino == inode;
}

void log_start(enum log_level level)
{
	least_important = level;
	to_journal = stderr_is_journal();
}

bool log_shows(enum log_level level)
{
	return level <= least_important;
}

/* What came from outside must not be able to start a line of its own or to move the cursor. */
static void blot_control_characters(char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
}

static size_t append(char line[LINE_BYTES], size_t used, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

/* Append to a line, keeping room for its newline; what does not fit is cut off. */
static size_t append(char line[LINE_BYTES], size_t used, const char *format, va_list arguments)
{
	size_t room = LINE_BYTES - 1 - used;
	int wanted = vsnprintf(line + used, room, format, arguments);

	if (wanted < 0)
		return used;
	return used + ((size_t)wanted < room ? (size_t)wanted : room - 1);
}

static size_t append_text(char line[LINE_BYTES], size_t used, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static size_t append_text(char line[LINE_BYTES], size_t used, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	used = append(line, used, format, arguments);
	va_end(arguments);
	return used;
}

/* A terminal that is stopped (Ctrl-S) and a pipe that nobody empties would have us wait, and with us every
 * packet. */
static bool would_wait(void)
{
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&log, 1, 0) == 0;
}

static void write_line(enum log_level level, unsigned held_back, const char *format,
		       va_list arguments) __attribute__((format(printf, 3, 0)));

static void write_line(enum log_level level, unsigned held_back, const char *format,
		       va_list arguments)
{
	char line[LINE_BYTES];
	int saved = errno;
	size_t used = 0;
	unsigned before;

	if (would_wait()) {
		lost++;
		errno = saved;
		return;
	}
	before = atomic_exchange(&lost, 0);
	if (to_journal)
		used = append_text(line, used, "<%d>", level);
	if (before > 0)
		used = append_text(line, used, "(%u lines before this could not be written) ",
				   before);
	used = append(line, used, format, arguments);
	if (held_back > 0)
		used = append_text(line, used, " (and %u more like it)", held_back);
	blot_control_characters(line, used);
	line[used++] = '\n';

	/* A log that cannot be written has nowhere to say so. */
	if (write(STDERR_FILENO, line, used) < 0)
		errno = 0;
	errno = saved;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list arguments;

	if (!log_shows(level))
		return;
	va_start(arguments, format);
	write_line(level, 0, format, arguments);
	va_end(arguments);
}

void log_rated(struct log_rate *rate, struct instant now, enum log_level level, const char *format,
	       ...)
{
	va_list arguments;

	if (!log_shows(level))
		return;
	if (!instant_reached(now, rate->next)) {
		rate->held_back++;
		return;
	}
	va_start(arguments, format);
	write_line(level, rate->held_back, format, arguments);
	va_end(arguments);
	rate->held_back = 0;
	rate->next = instant_after(now, rate->interval_ns);
}
