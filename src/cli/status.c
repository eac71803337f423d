/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `minivpn status`: what a running tunnel says of itself (run/status.h), as a table or as it is. */
#include "cli/commands.h"
#include "cli/instances.h"
#include "cli/prometheus.h"
#include "cli/rates.h"
#include "cli/say.h"
#include "cli/terminal.h"
#include "minivpn/verdict.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_BYTES = 48 };

/* ---- Numbers for people ---- */

/* "3 d 4 h", "2 min 1 s", "0.4 s" */
static const char *duration(double seconds, char ret_text[WORDS_BYTES])
{
	static const struct {
		long s;
		const char *name;
	} unit[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	long whole = (long)seconds;
	size_t i = 0;

	if (seconds < 10) {
		snprintf(ret_text, WORDS_BYTES, "%.1f s", seconds < 0 ? 0 : seconds);
		return ret_text;
	}
	while (whole < unit[i].s)
		i++;
	if (unit[i].s == 1)
		snprintf(ret_text, WORDS_BYTES, "%ld s", whole);
	else
		snprintf(ret_text, WORDS_BYTES, "%ld %s %ld %s", whole / unit[i].s, unit[i].name,
			 whole % unit[i].s / unit[i + 1].s, unit[i + 1].name);
	return ret_text;
}

static const char *bytes(json_int_t count, char ret_text[WORDS_BYTES])
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	double value = (double)count;
	size_t i = 0;

	for (; value >= 1000 && i < sizeof(unit) / sizeof(*unit) - 1; i++)
		value /= 1000;
	snprintf(ret_text, WORDS_BYTES, i == 0 ? "%.0f %s" : "%.2f %s", value, unit[i]);
	return ret_text;
}

/* ---- Members of the reply; a missing one reads as nothing ---- */

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

/* How long ago, in words; @never where it never was. */
static const char *ago(const json_t *object, const char *member, const char *never,
		       char ret_text[WORDS_BYTES])
{
	const json_t *value = json_object_get(object, member);

	if (!json_is_number(value))
		return never;
	return duration(json_number_value(value), ret_text);
}

/* What the other end of a tunnel says is shown to root: nothing of it may move his cursor. */
static void print_clean(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void print_list(const json_t *list)
{
	const char *item;

	for (size_t i = 0; i < json_array_size(list); i++) {
		item = json_string_value(json_array_get(list, i));
		fputs(i ? ", " : "", stdout);
		print_clean(item ? item : "");
	}
}

/* ---- The table ---- */

/* "2026-11-22 03:15:59", so many seconds ago */
static const char *since(double seconds, char ret_text[WORDS_BYTES])
{
	time_t then = time(NULL) - (time_t)seconds;
	struct tm parts;

	localtime_r(&then, &parts);
	strftime(ret_text, WORDS_BYTES, "%Y-%m-%d %H:%M:%S", &parts);
	return ret_text;
}

/* @name: what to call it: on a client there is only the server */
static void print_peer(const char *interface, const json_t *peer, const char *name)
{
	bool up = json_is_true(json_object_get(peer, "up"));
	const char *endpoint = text_of(peer, "endpoint");
	char a[WORDS_BYTES], b[WORDS_BYTES];

	printf("\n  ");
	print_clean(name);
	printf("%s  %s", json_is_true(json_object_get(peer, "old_key")) ? " (old key)" : "",
	       up ? "up " : "down");
	if (up)
		printf("%s, since %s", ago(peer, "up_s", "", a),
		       since(json_number_value(json_object_get(peer, "up_s")), b));
	printf("%s", *endpoint ? ", at " : "");
	print_clean(endpoint);
	if (json_array_size(json_object_get(peer, "addresses")) > 0) {
		printf("\n    addresses  ");
		print_list(json_object_get(peer, "addresses"));
	}
	if (json_array_size(json_object_get(peer, "networks")) > 0) {
		printf("\n    networks   ");
		print_list(json_object_get(peer, "networks"));
	}
	printf("\n    handshake  %s", ago(peer, "last_handshake_s", "never", a));
	printf("%s, heard %s", number_of(peer, "handshakes") ? " ago" : "",
	       ago(peer, "last_heard_s", "never", b));
	printf("%s\n", json_is_number(json_object_get(peer, "last_heard_s")) ? " ago" : "");
	printf("    in         %s, %" JSON_INTEGER_FORMAT " packets\n",
	       bytes(number_of(peer, "bytes_in"), a), number_of(peer, "packets_in"));
	printf("    out        %s, %" JSON_INTEGER_FORMAT " packets, at most %" JSON_INTEGER_FORMAT
	       " bytes each\n",
	       bytes(number_of(peer, "bytes_out"), a), number_of(peer, "packets_out"),
	       number_of(peer, "inner_mtu"));
	rates_print(interface, peer);
	if (*text_of(peer, "software")) {
		printf("    runs       ");
		print_clean(text_of(peer, "software"));
		putchar('\n');
	}
}

/* Verdicts that are no refusal come first in their list (minivpn/verdict.h). */
static void print_drops(const json_t *counters)
{
	json_int_t count;
	bool any = false;

	for (int v = VERDICT_NAT_KEEPALIVE + 1; v < VERDICT_COUNT; v++) {
		count = number_of(counters, verdict_name((enum verdict)v));
		if (count == 0)
			continue;
		if (!any)
			printf("\n  not passed\n");
		any = true;
		printf("  %12" JSON_INTEGER_FORMAT "  %s\n", count, verdict_words((enum verdict)v));
	}
}

/* What goes into the tunnel, on a client. */
static void print_routes(const json_t *tunnel)
{
	static const char *const families[] = { "default_ipv4", "default_ipv6" };
	static const char *const names[] = { "all IPv4", "all IPv6" };
	bool any = json_array_size(json_object_get(tunnel, "routes")) > 0;

	if (any) {
		printf("\n  routes     ");
		print_list(json_object_get(tunnel, "routes"));
	}
	for (size_t i = 0; i < 2; i++) {
		const char *way = text_of(tunnel, families[i]);

		if (!*way || strcmp(way, "host") == 0)
			continue;
		printf("%s%s%s", any ? ", " : "\n  routes     ", names[i],
		       strcmp(way, "refused") == 0 ? " is refused" : "");
		any = true;
	}
}

static void print_tunnel(const json_t *tunnel)
{
	const json_t *peers = json_object_get(tunnel, "peers"), *peer;
	bool is_client = strcmp(text_of(tunnel, "role"), "client") == 0;
	char a[WORDS_BYTES];

	print_clean(text_of(tunnel, "interface"));
	printf(": %s, running %s, AEAD %s", text_of(tunnel, "role"),
	       ago(tunnel, "running_s", "?", a), text_of(tunnel, "aead"));
	if (number_of(tunnel, "workers") > 1)
		printf(", %" JSON_INTEGER_FORMAT " workers", number_of(tunnel, "workers"));
	if (json_array_size(json_object_get(tunnel, "addresses")) > 0) {
		printf("\n  addresses  ");
		print_list(json_object_get(tunnel, "addresses"));
	}
	print_routes(tunnel);
	if (json_array_size(json_object_get(tunnel, "dns")) > 0) {
		printf("\n  %-9s  ", is_client ? "given dns" : "gives dns");
		print_list(json_object_get(tunnel, "dns"));
	}
	putchar('\n');
	for (size_t i = 0; i < json_array_size(peers); i++) {
		peer = json_array_get(peers, i);
		print_peer(text_of(tunnel, "interface"), peer,
			   is_client ? "server" : text_of(peer, "name"));
	}
	print_drops(json_object_get(tunnel, "verdicts"));
}

/* ---- The command ---- */

/* By its flag. */
enum form { FORM_TABLE, FORM_WATCH = 'w', FORM_JSON = 'j', FORM_PROMETHEUS = 'p' };

static int ask_all(const struct instances *instances, json_t **ret_tunnels)
{
	json_t *tunnels = json_array(), *reply;
	int r = 0;

	for (unsigned n = 0; n < instances->count; n++) {
		if (instance_ask(instances->name[n], "status", -1, &reply) == 0)
			json_array_append_new(tunnels, reply);
		else
			r = EXIT_FAILURE;
	}
	*ret_tunnels = tunnels;
	return r;
}

/**
 * struct piece - what is to be printed: a status comes in words, and to print each by itself takes longer
 * than to make them
 */
struct piece {
	char text[64 << 10];
	size_t bytes;
};

static int print_piece(const char *text, size_t bytes, void *context)
{
	struct piece *piece = context;

	if (piece->bytes + bytes > sizeof(piece->text)) {
		fwrite(piece->text, 1, piece->bytes, stdout);
		piece->bytes = 0;
	}
	if (bytes > sizeof(piece->text))
		return fwrite(text, 1, bytes, stdout) == bytes ? 0 : -1;
	memcpy(piece->text + piece->bytes, text, bytes);
	piece->bytes += bytes;
	return 0;
}

static void print_json(json_t *tunnels)
{
	struct piece piece = { .bytes = 0 };
	json_t *whole = json_pack("{s:s, s:O}", "minivpn", MINIVPN_VERSION, "tunnels", tunnels);

	json_dump_callback(whole, print_piece, &piece, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	fwrite(piece.text, 1, piece.bytes, stdout);
	putchar('\n');
	json_decref(whole);
}

static void print_table(const json_t *tunnels)
{
	for (size_t i = 0; i < json_array_size(tunnels); i++) {
		fputs(i ? "\n" : "", stdout);
		print_tunnel(json_array_get(tunnels, i));
	}
}

static int print_all(const struct instances *instances, enum form form)
{
	json_t *tunnels;
	int r = ask_all(instances, &tunnels);

	switch (form) {
	case FORM_TABLE:
	case FORM_WATCH:
		print_table(tunnels);
		break;
	case FORM_JSON:
		print_json(tunnels);
		break;
	case FORM_PROMETHEUS:
		r = prometheus_print(tunnels, stdout) ? r : EXIT_FAILURE;
		break;
	}
	json_decref(tunnels);
	return fflush(stdout) == 0 ? r : EXIT_FAILURE;
}

/* Those of them that run now, or all that do. */
static bool run_still(int count, char *names[], struct instances *ret_instances)
{
	if (count == 1)
		return state_is_alive(names[0]);
	instances_running(ret_instances);
	return ret_instances->count > 0;
}

/* Until it is interrupted, or the tunnels are gone. */
static int watch(int count, char *names[], struct instances *instances)
{
	const char *clear = terminal_can_clear() ? "\033[H\033[2J" : "";
	json_t *tunnels;
	int r;

	do {
		r = ask_all(instances, &tunnels);
		if (r && json_array_size(tunnels) == 0) {
			json_decref(tunnels);
			return r;
		}
		rates_take(tunnels);
		fputs(clear, stdout);
		print_table(tunnels);
		json_decref(tunnels);
		if (fflush(stdout) != 0)
			return EXIT_FAILURE;
		sleep(1);
	} while (run_still(count, names, instances));
	if (count == 1)
		say("%s: the tunnel has ended", names[0]);
	else
		say("no tunnel runs any more");
	return EXIT_FAILURE;
}

static const char usage[] =
	"usage: minivpn status [--json|--prometheus|--watch] [NAME]\n"
	"Shows the tunnel whose interface is NAME, or all that run.\n"
	"  -w, --watch       again every second, with rates and how they went\n"
	"  -j, --json        for programs: {\"minivpn\": VERSION, \"tunnels\": [...]}\n"
	"  -p, --prometheus  for Prometheus, in its text format\n";

int command_status(int argc, char *argv[])
{
	static const struct option flags[] = { { "watch", no_argument, NULL, 'w' },
					       { "json", no_argument, NULL, 'j' },
					       { "prometheus", no_argument, NULL, 'p' },
					       { "help", no_argument, NULL, 'h' },
					       { 0 } };
	enum form form = FORM_TABLE;
	struct instances meant;
	int flag, r;

	opterr = 0;
	while ((flag = getopt_long(argc, argv, "wjph", flags, NULL)) != -1) {
		switch (flag) {
		case FORM_WATCH:
		case FORM_JSON:
		case FORM_PROMETHEUS:
			if (form != FORM_TABLE && (int)form != flag) {
				say("--watch, --json and --prometheus exclude each other");
				return EXIT_USAGE;
			}
			form = (enum form)flag;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			say("%s: no such option (minivpn status --help)", argv[optind - 1]);
			return EXIT_USAGE;
		}
	}
	r = instances_meant(argc - optind, argv + optind, &meant);
	if (r >= 0)
		return r;
	return form == FORM_WATCH ? watch(argc - optind, argv + optind, &meant)
				  : print_all(&meant, form);
}
