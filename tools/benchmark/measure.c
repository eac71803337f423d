/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "benchmark/measure.h"

#include "io/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

enum { SAMPLES = 7 };

static int64_t sample_ns = 20 * NS_PER_MS;
static bool json, first;

void measure_set_seconds(double seconds)
{
	sample_ns = (int64_t)(seconds / SAMPLES * (double)NS_PER_S);
}

static double take_sample(const struct work *work)
{
	/* Reading the clock must not be what is measured. */
	size_t repeat = work->prepare ? 1 : 32, runs = 0;
	struct instant end = instant_after(clock_now(), sample_ns);
	int64_t spent_ns = 0;

	while (!instant_reached(clock_now(), end) || runs == 0) {
		struct instant start;

		if (work->prepare)
			work->prepare(work->subject);
		start = clock_now();
		for (size_t i = 0; i < repeat; i++)
			work->run(work->subject);
		spent_ns += instant_since(clock_now(), start);
		runs += repeat;
	}
	return (double)spent_ns / (double)runs / (double)work->operations;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double measure_ns(const struct work *work)
{
	double samples[SAMPLES];

	for (size_t i = 0; i < SAMPLES; i++)
		samples[i] = take_sample(work);
	qsort(samples, SAMPLES, sizeof(*samples), compare);
	return samples[SAMPLES / 2];
}

static void print_machine(void)
{
	struct utsname system;
	char day[32];
	time_t now = time(NULL);
	struct tm local;

	uname(&system);
	localtime_r(&now, &local);
	strftime(day, sizeof(day), "%Y-%m-%d", &local);
	if (json)
		printf("{\"date\": \"%s\", \"kernel\": \"%s\", \"version\": \"%s\", \"figures\": [",
		       day, system.release, MINIVPN_VERSION);
	else
		printf("minivpn %s, %s, Linux %s\n\n%-10s %-28s %6s %7s %12s\n", MINIVPN_VERSION,
		       day, system.release, "", "", "bytes", "peers", "");
}

void figures_begin(bool as_json)
{
	json = as_json;
	first = true;
	print_machine();
}

static void print_count(unsigned n, int width)
{
	if (n > 0)
		printf(" %*u", width, n);
	else
		printf(" %*s", width, "");
}

void figure(const struct figure *f)
{
	if (json) {
		printf("%s\n  {\"group\": \"%s\", \"subject\": \"%s\", \"bytes\": %u, \"peers\": "
		       "%u, "
		       "\"value\": %.6g, \"unit\": \"%s\"}",
		       first ? "" : ",", f->group, f->subject, f->bytes, f->peers, f->value,
		       f->unit);
		first = false;
	} else {
		printf("%-10s %-28s", f->group, f->subject);
		print_count(f->bytes, 6);
		print_count(f->peers, 7);
		printf(" %12.*f %s\n", f->value < 100 ? 2 : 0, f->value, f->unit);
	}
	fflush(stdout);
}

void figures_end(void)
{
	if (json)
		puts("\n]}");
}
