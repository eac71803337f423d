/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/rates.h"

#include "cli/terminal.h"
#include "keys/keytext.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BARS = 30, WHO_BYTES = KEY_NAME_BYTES + 32 };

/**
 * struct history - what is known of one peer
 * @who:   interface, name and which key
 * @bytes: in and out, at the last reading
 * @rate:  in and out, bytes a second, the newest last; @count of them
 */
struct history {
	char who[WHO_BYTES];
	json_int_t bytes[2];
	double rate[2][BARS];
	unsigned count;
};

static struct {
	struct history *history;
	size_t count;
	struct timespec at;
} watched;

static void name_peer(const char *interface, const json_t *peer, char ret_who[WHO_BYTES])
{
	const char *name = json_string_value(json_object_get(peer, "name"));

	snprintf(ret_who, WHO_BYTES, "%.15s %.63s %d", interface, name ? name : "",
		 json_is_true(json_object_get(peer, "old_key")));
}

static struct history *history_of(const char *interface, const json_t *peer)
{
	char who[WHO_BYTES];

	name_peer(interface, peer, who);
	for (size_t i = 0; i < watched.count; i++)
		if (strcmp(watched.history[i].who, who) == 0)
			return &watched.history[i];
	return NULL;
}

static void add_reading(struct history *history, const json_int_t bytes[2], double seconds)
{
	if (history->count == BARS) {
		for (int way = 0; way < 2; way++)
			memmove(history->rate[way], history->rate[way] + 1,
				(BARS - 1) * sizeof(double));
		history->count--;
	}
	for (int way = 0; way < 2; way++) {
		json_int_t more = bytes[way] - history->bytes[way];

		history->rate[way][history->count] = more > 0 ? (double)more / seconds : 0;
		history->bytes[way] = bytes[way];
	}
	history->count++;
}

static void take_peer(const char *interface, const json_t *peer, double seconds)
{
	json_int_t bytes[2] = { json_integer_value(json_object_get(peer, "bytes_in")),
				json_integer_value(json_object_get(peer, "bytes_out")) };
	struct history *history = history_of(interface, peer), *grown;

	if (history) {
		add_reading(history, bytes, seconds);
		return;
	}
	grown = reallocarray(watched.history, watched.count + 1, sizeof(*grown));
	if (!grown)
		return;
	watched.history = grown;
	history = &grown[watched.count++];
	*history = (struct history){ .bytes = { bytes[0], bytes[1] } };
	name_peer(interface, peer, history->who);
}

void rates_take(const json_t *tunnels)
{
	struct timespec now;
	double seconds;

	clock_gettime(CLOCK_BOOTTIME, &now);
	seconds = (double)(now.tv_sec - watched.at.tv_sec) +
		  (double)(now.tv_nsec - watched.at.tv_nsec) / 1e9;
	watched.at = now;
	for (size_t t = 0; t < json_array_size(tunnels); t++) {
		const json_t *tunnel = json_array_get(tunnels, t);
		const json_t *peers = json_object_get(tunnel, "peers");
		const char *interface = json_string_value(json_object_get(tunnel, "interface"));

		for (size_t p = 0; interface && p < json_array_size(peers); p++)
			take_peer(interface, json_array_get(peers, p), seconds);
	}
}

static void print_rate(double bytes_a_second)
{
	static const char *const unit[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s" };
	double bits = 8 * bytes_a_second;
	size_t i = 0;

	for (; bits >= 1000 && i < sizeof(unit) / sizeof(*unit) - 1; i++)
		bits /= 1000;
	printf("%.*f %s", bits < 10 && i > 0 ? 1 : 0, bits, unit[i]);
}

/* The highest of both ways is a full bar.  Only for a terminal, which shows such characters. */
static void print_bars(const struct history *history, int way)
{
	static const char *const bar[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	double most = 1;

	for (unsigned i = 0; i < 2 * history->count; i++) {
		double rate = history->rate[i % 2][i / 2];

		most = rate > most ? rate : most;
	}
	putchar(' ');
	for (unsigned i = 0; i < history->count; i++)
		fputs(bar[(size_t)(history->rate[way][i] / most * 7.0 + 0.5)], stdout);
}

void rates_print(const char *interface, const json_t *peer)
{
	static const char *const words[] = { "in", "out" };
	const struct history *history = history_of(interface, peer);

	if (!history || history->count == 0)
		return;
	printf("    rate       ");
	for (int way = 0; way < 2; way++) {
		printf("%s%s ", way ? ", " : "", words[way]);
		print_rate(history->rate[way][history->count - 1]);
		if (terminal_has_blocks())
			print_bars(history, way);
	}
	putchar('\n');
}
