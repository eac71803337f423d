/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of the handshake, each by itself. */
#include "benchmark/measure.h"

#include "minivpn/handshake.h"

#include <sodium.h>
#include <string.h>

/**
 * struct steps - both ends of one handshake, and what is on the wire between them
 */
struct steps {
	struct handshake_keys keys;
	struct payload payload;
	struct attempt attempt;
	struct responder responder;
	uint8_t secret[EPHEMERAL_BYTES];
	uint8_t init[INIT_BYTES];
	uint8_t response[RESPONSE_MAX_BYTES];
	size_t response_bytes;
	struct split_keys session;
};

static void create_init(void *subject)
{
	struct steps *s = subject;

	init_create(&s->attempt, &s->keys, NULL, &s->payload, s->secret, s->init);
}

static void open_init(void *subject)
{
	struct steps *s = subject;

	init_open(&s->responder, &s->keys, s->init);
}

static void create_response(void *subject)
{
	struct steps *s = subject;

	response_create(&s->responder, s->init, &s->payload, s->secret, s->response,
			&s->response_bytes, &s->session);
}

static void consume_response(void *subject)
{
	struct steps *s = subject;
	struct payload answer;

	response_consume(&s->attempt, s->response, s->response_bytes, true, &answer, &s->session);
}

static void compute_hint(void *subject)
{
	struct steps *s = subject;
	uint8_t hint[HINT_BYTES];

	handshake_hint(&s->keys.hint, s->attempt.ephemeral, hint);
}

void bench_handshake(void)
{
	static const struct {
		const char *name;
		void (*prepare)(void *subject);
		void (*run)(void *subject);
	} step[] = {
		{ "client: make an Init", NULL, create_init },
		{ "server: open an Init", NULL, open_init },
		{ "server: make a Response", open_init, create_response },
		{ "client: take a Response", NULL, consume_response },
		{ "hint of one key", NULL, compute_hint },
	};
	static struct steps s;
	struct psk psk = { { 1, 2, 3 } };

	handshake_keys_derive(&psk, &s.keys, NULL);
	s.payload.spi_count = 1;
	s.payload.spi[0] = 4711;
	randombytes_buf(s.secret, sizeof(s.secret));
	for (size_t i = 0; i < sizeof(step) / sizeof(*step); i++) {
		struct work work = { .prepare = step[i].prepare,
				     .run = step[i].run,
				     .subject = &s,
				     .operations = 1 };

		figure(&(struct figure){ "handshake", step[i].name, 0, 0, measure_ns(&work) / 1e3,
					 "us" });
	}
}
