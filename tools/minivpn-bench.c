/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * minivpn-bench - what the parts of minivpn cost on this machine, without any I/O: figures, and no
 * judgement.  The whole tunnel is measured by tools/bench.
 */
#include "benchmark/measure.h"

#include "aead/choose.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: minivpn-bench [--json] [--only PART[,PART...]] [--aead NAME] [--seconds N]\n"
	"\n"
	"  --only PART     aead, envelope, offload, handshake, engine; all of them if not given\n"
	"  --aead NAME     the back-end that the engine uses; the fastest if not given\n"
	"  --seconds N     time for each figure, 0.15 if not given\n"
	"  --json          as JSON instead of a table\n";

static const char *only, *engine_aead;

static void bench_engine_as_asked(void)
{
	bench_engine(engine_aead);
}

static const struct {
	const char *name;
	void (*bench)(void);
} parts[] = {
	{ "aead", bench_aead },
	{ "envelope", bench_envelope },
	{ "offload", bench_offload },
	{ "handshake", bench_handshake },
	{ "engine", bench_engine_as_asked },
};
enum { PARTS = sizeof(parts) / sizeof(*parts) };

static bool is_wanted(const char *part)
{
	size_t length = strlen(part);

	for (const char *at = only; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, part, length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return true;
	return !only;
}

static int misused(const char *what, const char *value)
{
	fprintf(stderr, "minivpn-bench: %s: %s\n%s", what, value, usage);
	return 2;
}

static const char *unknown_part(void)
{
	static char name[32];

	for (const char *at = only; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		bool known = false;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
		for (size_t i = 0; i < PARTS; i++)
			known |= strcmp(name, parts[i].name) == 0;
		if (!known)
			return name;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },
		{ "aead", required_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },
		{ "seconds", required_argument, NULL, 's' },
		{ 0 },
	};
	bool as_json = false;
	double seconds;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			as_json = true;
			break;
		case 'o':
			only = optarg;
			break;
		case 'a':
			engine_aead = optarg;
			break;
		case 's':
			seconds = strtod(optarg, NULL);
			if (!(seconds > 0 && seconds <= 60))
				return misused("--seconds wants more than 0 and at most 60",
					       optarg);
			measure_set_seconds(seconds);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc)
		return misused("no such argument", argv[optind]);
	if (unknown_part())
		return misused("--only: no such part", unknown_part());
	if (engine_aead && !aead_named(engine_aead))
		return misused("--aead: no such back-end in this build", engine_aead);
	if (sodium_init() < 0)
		return 1;

	figures_begin(as_json);
	for (size_t i = 0; i < PARTS; i++)
		if (is_wanted(parts[i].name))
			parts[i].bench();
	figures_end();
	return 0;
}
