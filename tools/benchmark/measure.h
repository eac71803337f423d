/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How minivpn-bench measures, and where figures go.  A figure is the median of several samples;
 * a sample repeats the work until it has taken long enough for the clock.
 */
#ifndef BENCHMARK_MEASURE_H
#define BENCHMARK_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct work - what is measured
 * @prepare:    makes @run possible (once more); its time is not counted.  NULL if nothing is needed
 * @run:        what is timed
 * @subject:    passed to both
 * @operations: how many things one @run does
 */
struct work {
	void (*prepare)(void *subject);
	void (*run)(void *subject);
	void *subject;
	size_t operations;
};

/** measure_ns() - nanoseconds one operation takes */
double measure_ns(const struct work *work);

/** measure_set_seconds() - how long one measure_ns() may take, from now on */
void measure_set_seconds(double seconds);

/**
 * struct figure - one line of the table
 * @group:   what part of the program, as "aead"
 * @subject: what was done, as "ipsec-mb seal"
 * @bytes:   size of the packets; 0 where it has none
 * @peers:   how many peers there were; 0 where it does not matter
 * @value, @unit: the figure
 */
struct figure {
	const char *group;
	const char *subject;
	unsigned bytes;
	unsigned peers;
	double value;
	const char *unit;
};

/** figures_begin() - as a table for people, or as JSON: a list of objects under "figures" */
void figures_begin(bool as_json);

/** figure() - print one */
void figure(const struct figure *figure);

void figures_end(void);

/* What there is to measure; each prints its figures.  @aead: the engine's, NULL for the fastest. */
void bench_aead(void);
void bench_envelope(void);
void bench_offload(void);
void bench_handshake(void);
void bench_engine(const char *aead);

#endif
