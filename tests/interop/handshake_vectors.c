/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handshake-vectors FILE.json - make every handshake of a file again from its inputs, in the format
 * of tests/vectors/minivpn-handshake.json: each message as its sender makes it, and the file's own
 * message as its receiver reads it.
 *
 * One line a disagreement; the last line is `N vectors, N disagree`.  Exit status 0 if all agree, 1 if
 * not, 2 if the file cannot be read.
 */
#include "minivpn/handshake.h"
#include "minivpn/wire.h"
#include "vectors.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROLOGUE_BYTES = 39, VALUE_MAX = INIT_BYTES };

/**
 * struct vector - inputs of one handshake of the file
 * @record:    where they, and what should come of them, stand
 * @number:    its place in the file, from 0
 * @disagreements: lines printed for it
 */
struct vector {
	const json_t *record;
	size_t number;
	unsigned disagreements;
	struct handshake_keys keys;
	struct cookie cookie, retry_cookie;
	uint8_t initiator_secret[EPHEMERAL_BYTES], responder_secret[EPHEMERAL_BYTES];
	uint8_t payload1[INIT_PAYLOAD_BYTES];
	uint8_t payload2[RESPONSE_PAYLOAD_MAX_BYTES];
	size_t payload2_bytes;
};

__attribute__((format(printf, 2, 3))) static void disagree(struct vector *v, const char *format,
							   ...)
{
	va_list args;

	printf("vector %zu: ", v->number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	v->disagreements++;
}

/* Is @computed what @record says of @field? */
static void expect_in(struct vector *v, const json_t *record, const char *field,
		      const uint8_t *computed, size_t bytes)
{
	uint8_t told[VALUE_MAX];
	size_t told_bytes = vector_bytes(record, field, told, sizeof(told));

	if (told_bytes != bytes) {
		disagree(v, "%s: %zu bytes, the file has %zu", field, bytes, told_bytes);
		return;
	}
	for (size_t i = 0; i < bytes; i++)
		if (computed[i] != told[i]) {
			disagree(v, "%s: byte %zu is %02x, the file has %02x", field, i,
				 computed[i], told[i]);
			return;
		}
}

static void expect(struct vector *v, const char *field, const uint8_t *computed, size_t bytes)
{
	expect_in(v, v->record, field, computed, bytes);
}

static enum role role_of(const json_t *record)
{
	const char *role = vector_text(record, "initiator_role");

	if (strcmp(role, "C") == 0)
		return ROLE_CLIENT;
	if (strcmp(role, "S") == 0)
		return ROLE_SERVER;
	fprintf(stderr, "test vectors: initiator_role is \"%s\", expected \"C\" or \"S\"\n", role);
	exit(2);
}

static void read_vector(const json_t *record, struct vector *ret)
{
	struct handshake_keys by_client, by_server;
	struct psk psk;

	*ret = (struct vector){ .record = record, .number = ret->number };
	vector_exactly(record, "psk", psk.b, sizeof(psk.b));
	handshake_keys_derive(&psk, &by_client, &by_server);
	ret->keys = role_of(record) == ROLE_CLIENT ? by_client : by_server;
	vector_exactly(record, "cookie", ret->cookie.b, COOKIE_BYTES);
	vector_exactly(record, "retry_cookie", ret->retry_cookie.b, COOKIE_BYTES);
	vector_exactly(record, "initiator_ephemeral_private", ret->initiator_secret,
		       EPHEMERAL_BYTES);
	vector_exactly(record, "responder_ephemeral_private", ret->responder_secret,
		       EPHEMERAL_BYTES);
	vector_bytes(record, "payload1", ret->payload1, sizeof(ret->payload1));
	ret->payload2_bytes =
		vector_bytes(record, "payload2", ret->payload2, sizeof(ret->payload2));
}

static void check_keys(struct vector *v)
{
	expect(v, "k_hint", v->keys.hint.b, sizeof(v->keys.hint.b));
	expect(v, "k_retry", v->keys.retry.b, sizeof(v->keys.retry.b));
}

static void check_init(struct vector *v, struct attempt *ret_attempt, uint8_t ret_init[INIT_BYTES])
{
	uint8_t prologue[PROLOGUE_BYTES] = "minivpn 1 ";
	struct payload offer = { 0 };

	if (vector_number(v->record, "payload1_padded_to") != INIT_PAYLOAD_BYTES)
		disagree(v, "payload1_padded_to: %d, always", INIT_PAYLOAD_BYTES);
	payload_parse(v->payload1, sizeof(v->payload1), PAYLOAD_INIT, false, &offer);
	init_seal(ret_attempt, &v->keys, &v->cookie, v->payload1, offer.spi[0], v->initiator_secret,
		  ret_init);
	expect(v, "init", ret_init, INIT_BYTES);
	expect(v, "hint", init_hint(ret_init), HINT_BYTES);

	prologue[10] = (uint8_t)v->keys.role;
	memcpy(prologue + 11, ret_init + 4, sizeof(prologue) - 11);
	expect(v, "prologue", prologue, sizeof(prologue));
}

/* The responder reads the file's Init; with ours instead if that does not open, to go on. */
static bool open_init(struct vector *v, const uint8_t our_init[INIT_BYTES],
		      struct responder *ret_responder, uint8_t ret_init[INIT_BYTES])
{
	enum verdict verdict = VERDICT_MALFORMED;
	size_t bytes = vector_bytes(v->record, "init", ret_init, INIT_BYTES);

	if (control_classify(ret_init, bytes) == CONTROL_INIT)
		verdict = init_open(ret_responder, &v->keys, ret_init);
	if (verdict == VERDICT_PASS)
		return true;
	disagree(v, "init: cannot be read: %s", verdict_words(verdict));
	memcpy(ret_init, our_init, INIT_BYTES);
	return init_open(ret_responder, &v->keys, ret_init) == VERDICT_PASS;
}

/* The initiator reads the file's Response. */
static void open_response(struct vector *v, const struct attempt *attempt)
{
	uint8_t response[RESPONSE_MAX_BYTES], plaintext[RESPONSE_PAYLOAD_MAX_BYTES];
	size_t bytes = vector_bytes(v->record, "response", response, sizeof(response));
	enum verdict verdict = VERDICT_MALFORMED;
	struct noise noise;

	if (control_classify(response, bytes) == CONTROL_RESPONSE)
		verdict = response_open(attempt, response, bytes, &noise, plaintext);
	if (verdict == VERDICT_PASS)
		expect(v, "payload2", plaintext, bytes - RESPONSE_HEAD_BYTES - NOISE_TAG_BYTES);
	else
		disagree(v, "response: cannot be read: %s", verdict_words(verdict));
}

/* The initiator reads our Response, which leaves it with the whole of the handshake. */
static void check_hash(struct vector *v, const struct attempt *attempt, const uint8_t *response,
		       size_t bytes)
{
	uint8_t plaintext[RESPONSE_PAYLOAD_MAX_BYTES];
	struct noise noise;

	if (response_open(attempt, response, bytes, &noise, plaintext) == VERDICT_PASS)
		expect(v, "handshake_hash", noise.h, sizeof(noise.h));
	else
		disagree(v, "response: the initiator does not take what the responder made");
}

static bool check_response(struct vector *v, const struct attempt *attempt,
			   const uint8_t opened[INIT_BYTES], struct responder *responder,
			   struct split_keys *ret_keys)
{
	size_t bytes = RESPONSE_HEAD_BYTES + v->payload2_bytes + NOISE_TAG_BYTES;
	uint8_t response[RESPONSE_MAX_BYTES];

	if (v->payload2_bytes == 0 || v->payload2_bytes % RESPONSE_PAYLOAD_STEP != 0) {
		disagree(v, "payload2: %zu bytes, not padded to a multiple of %d",
			 v->payload2_bytes, RESPONSE_PAYLOAD_STEP);
		return false;
	}
	if (response_seal(responder, opened, v->payload2, v->payload2_bytes, v->responder_secret,
			  response, ret_keys) != VERDICT_PASS) {
		disagree(v, "response: Diffie-Hellman gives all zeros");
		return false;
	}
	expect(v, "response", response, bytes);
	expect(v, "split_k1", ret_keys->k1, sizeof(ret_keys->k1));
	expect(v, "split_k2", ret_keys->k2, sizeof(ret_keys->k2));
	check_hash(v, attempt, response, bytes);
	open_response(v, attempt);
	return true;
}

static bool is_to_responder(const json_t *sa)
{
	const char *direction = vector_text(sa, "direction");

	if (strcmp(direction, "initiator to responder") == 0)
		return true;
	if (strcmp(direction, "responder to initiator") == 0)
		return false;
	fprintf(stderr, "test vectors: direction is \"%s\"\n", direction);
	exit(2);
}

/* Keys of the SAs, by the SPIs that the receiver listed. */
static void check_sas(struct vector *v, const struct payload *offer, const struct split_keys *keys)
{
	struct payload answer = { 0 };
	const json_t *sa;
	size_t i;

	payload_parse(v->payload2, v->payload2_bytes, PAYLOAD_RESPONSE, false, &answer);
	json_array_foreach(vector_array(v->record, "sa"), i, sa)
	{
		bool to_responder = is_to_responder(sa);
		const struct payload *receiver = to_responder ? &answer : offer;
		json_int_t position = vector_number(sa, "index");
		struct sa_key key;
		uint32_t spi;
		be32 wire_spi;

		if (position < 0 || position >= receiver->spi_count) {
			disagree(v, "sa %zu: the receiver lists no SPI at %" JSON_INTEGER_FORMAT, i,
				 position);
			continue;
		}
		spi = receiver->spi[position];
		wire_spi = be32_from(spi);
		sa_key_derive(to_responder ? keys->k1 : keys->k2, (uint8_t)position, spi, &key);
		expect_in(v, sa, "spi", wire_spi.b, sizeof(wire_spi.b));
		expect_in(v, sa, "keymat", (const uint8_t *)&key, sizeof(key));
	}
}

static void check_retry(struct vector *v, const struct attempt *attempt, const uint8_t *init)
{
	uint8_t ours[RETRY_BYTES], retry[RETRY_BYTES];
	struct cookie cookie;
	size_t bytes;

	retry_create(&v->keys, init_hint(init), &v->retry_cookie, attempt->ephemeral, ours);
	expect(v, "retry", ours, sizeof(ours));

	bytes = vector_bytes(v->record, "retry", retry, sizeof(retry));
	if (control_classify(retry, bytes) != CONTROL_RETRY ||
	    !retry_consume(&v->keys, attempt->ephemeral, retry, &cookie))
		disagree(v, "retry: does not verify");
	else
		expect(v, "retry_cookie", cookie.b, sizeof(cookie.b));
}

static void check_vector(struct vector *v)
{
	uint8_t init[INIT_BYTES], opened[INIT_BYTES];
	struct responder responder;
	struct split_keys keys;
	struct attempt attempt;
	struct payload offer;

	check_keys(v);
	check_init(v, &attempt, init);
	check_retry(v, &attempt, init);
	if (!open_init(v, init, &responder, opened))
		return;
	offer = responder.offer;
	if (check_response(v, &attempt, opened, &responder, &keys))
		check_sas(v, &offer, &keys);
}

int main(int argc, char **argv)
{
	struct vector v = { 0 };
	unsigned disagreements = 0;
	const json_t *vectors, *record;
	json_t *file;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: handshake-vectors FILE.json\n");
		return 2;
	}
	if (sodium_init() < 0)
		abort();
	file = vectors_load(argv[1]);
	vectors = vector_array(file, "vectors");
	if (json_array_size(vectors) == 0) {
		fprintf(stderr, "handshake-vectors: %s: holds no vectors\n", argv[1]);
		return 2;
	}
	json_array_foreach(vectors, v.number, record)
	{
		read_vector(record, &v);
		check_vector(&v);
		disagreements += v.disagreements;
	}
	printf("%zu vectors, %u disagree\n", json_array_size(vectors), disagreements);
	json_decref(file);
	return disagreements > 0;
}
