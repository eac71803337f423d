/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * esp-vectors FILE.json - seal and open every ESP packet of a file, in the format of
 * tests/vectors/esp-chacha20poly1305.json, on every AEAD back-end that runs here.
 *
 * One line a disagreement; the last line is `N vectors, N back-ends, N disagree`.  Exit status 0 if all
 * agree, 1 if not, 2 if the file cannot be read.
 */
#include "aead/choose.h"
#include "minivpn/envelope.h"
#include "vectors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	INNER_MAX = 65535, /* an IP packet */
	ROOM = ENVELOPE_HEAD_BYTES + 2 * INNER_MAX + UINT8_MAX + ENVELOPE_TAIL_BYTES,
	BACK_ENDS_MAX = 8,
};

/**
 * struct vector - one packet of the file
 * @id:     its name there
 * @valid:  a receiver takes it; else only @key and @esp are set
 * @esn:    made with extended sequence numbers, which this envelope does not speak: it must not open
 * @inner:  what is inside, without TFC padding
 */
struct vector {
	const char *id;
	bool valid;
	bool esn;
	struct sa_key key;
	uint8_t esp[ROOM];
	size_t esp_bytes;
	uint8_t inner[INNER_MAX];
	size_t inner_bytes;
	size_t tfc_bytes;
	size_t pad_bytes;
	uint8_t iv[8];
	uint32_t spi;
	uint32_t sequence;
	uint8_t next_header;
};

/* A number that must fit into the field it is for. */
static uint32_t number_upto(const json_t *record, const char *field, uint32_t most)
{
	json_int_t number = vector_number(record, field);

	if (number < 0 || number > most) {
		fprintf(stderr,
			"test vectors: %s: field \"%s\" is %" JSON_INTEGER_FORMAT
			", expected 0 to %u\n",
			vector_text(record, "id"), field, number, most);
		exit(2);
	}
	return (uint32_t)number;
}

static void read_vector(const json_t *record, struct vector *ret)
{
	ret->id = vector_text(record, "id");
	ret->valid = vector_flag(record, "valid");
	ret->esn = vector_flag(record, "esn");
	vector_exactly(record, "key", ret->key.key, sizeof(ret->key.key));
	vector_exactly(record, "salt", ret->key.salt, sizeof(ret->key.salt));
	ret->esp_bytes = vector_bytes(record, "esp", ret->esp, sizeof(ret->esp));
	if (!ret->valid)
		return;

	ret->inner_bytes = vector_bytes(record, "inner", ret->inner, sizeof(ret->inner));
	vector_exactly(record, "iv", ret->iv, sizeof(ret->iv));
	ret->tfc_bytes = number_upto(record, "tfc_len", INNER_MAX);
	ret->pad_bytes = number_upto(record, "pad_len", UINT8_MAX);
	ret->spi = number_upto(record, "spi", UINT32_MAX);
	ret->sequence = number_upto(record, "seq_lo", UINT32_MAX);
	ret->next_header = (uint8_t)number_upto(record, "next_header", UINT8_MAX);
}

static unsigned disagree(const struct vector *v, const struct aead *aead, const char *how)
{
	printf("%s: %s: %s\n", v->id, aead->name, how);
	return 1;
}

static unsigned check_seal(const struct vector *v, const struct aead_choice *c, uint8_t *room)
{
	size_t least_pad =
		-(v->inner_bytes + v->tfc_bytes + ENVELOPE_TRAILER_BYTES) % ENVELOPE_ALIGN_BYTES;
	struct sealing s = {
		.payload = room + ENVELOPE_HEAD_BYTES,
		.payload_bytes = v->inner_bytes,
		.tfc_bytes = v->tfc_bytes,
		.pad_extra = v->pad_bytes - least_pad,
		.key = &v->key,
		.spi = v->spi,
		.sequence = v->sequence,
		.iv = v->iv,
		.next_header = v->next_header,
	};

	if (v->pad_bytes < least_pad || s.pad_extra % ENVELOPE_ALIGN_BYTES != 0)
		return disagree(v, c->aead, "its padding does not end on a word, cannot be sealed");

	memcpy(s.payload, v->inner, v->inner_bytes);
	envelope_seal(c->aead, c->context, &s, 1);
	if (s.record_bytes != v->esp_bytes)
		return disagree(v, c->aead, "sealed to another length");
	if (memcmp(s.record, v->esp, v->esp_bytes) != 0)
		return disagree(v, c->aead, "sealed to other bytes");
	return 0;
}

/* Is @bytes all that it should be: the inner packet, then TFC padding? */
static bool holds(const struct vector *v, const struct opening *o)
{
	if (o->payload_bytes != v->inner_bytes + v->tfc_bytes ||
	    memcmp(o->payload, v->inner, v->inner_bytes) != 0)
		return false;
	for (size_t i = v->inner_bytes; i < o->payload_bytes; i++)
		if (o->payload[i] != 0)
			return false;
	return true;
}

static unsigned check_open(const struct vector *v, const struct aead_choice *c, uint8_t *room)
{
	struct opening o = { .record = room, .record_bytes = v->esp_bytes, .key = &v->key };
	bool expected = v->valid && !v->esn;

	memcpy(room, v->esp, v->esp_bytes);
	envelope_open(c->aead, c->context, &o, 1);
	if (!expected)
		return o.verdict == VERDICT_PASS ? disagree(v, c->aead, "opened, must not") : 0;
	if (o.verdict != VERDICT_PASS)
		return disagree(v, c->aead, verdict_words(o.verdict));
	if (o.next_header != v->next_header)
		return disagree(v, c->aead, "opened, with another next header inside");
	if (!holds(v, &o))
		return disagree(v, c->aead, "opened, with another packet inside");
	return 0;
}

/* Start every back-end that this machine can run; the last entry of @ret_choices stays zero. */
static size_t start_all(struct aead_choice ret_choices[static BACK_ENDS_MAX])
{
	size_t n = 0;

	for (const struct aead *const *b = aead_backends(); *b && n + 1 < BACK_ENDS_MAX; b++) {
		int rc = aead_choose((*b)->name, &ret_choices[n]);

		if (rc == 0)
			n++;
		else
			fprintf(stderr, "esp-vectors: %s: left out: %s\n", (*b)->name,
				strerror(-rc));
	}
	return n;
}

static unsigned check_file(const json_t *vectors, const struct aead_choice *choices)
{
	struct vector *v = calloc(1, sizeof(*v));
	uint8_t *room = malloc(ROOM);
	unsigned disagreements = 0;
	const json_t *record;
	size_t i;

	if (!v || !room)
		abort();
	json_array_foreach(vectors, i, record)
	{
		read_vector(record, v);
		for (const struct aead_choice *c = choices; c->aead; c++) {
			if (v->valid && !v->esn)
				disagreements += check_seal(v, c, room);
			disagreements += check_open(v, c, room);
		}
	}
	free(room);
	free(v);
	return disagreements;
}

int main(int argc, char **argv)
{
	struct aead_choice choices[BACK_ENDS_MAX] = { 0 };
	const json_t *vectors;
	unsigned disagreements;
	size_t back_ends;
	json_t *file;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: esp-vectors FILE.json\n");
		return 2;
	}
	file = vectors_load(argv[1]);
	vectors = vector_array(file, "vectors");
	if (json_array_size(vectors) == 0) {
		fprintf(stderr, "esp-vectors: %s: holds no vectors\n", argv[1]);
		return 2;
	}

	back_ends = start_all(choices);
	disagreements = check_file(vectors, choices);
	printf("%zu vectors, %zu back-ends, %u disagree\n", json_array_size(vectors), back_ends,
	       disagreements);
	for (size_t i = 0; i < back_ends; i++)
		aead_choice_drop(&choices[i]);
	json_decref(file);
	return disagreements > 0 || back_ends == 0;
}
