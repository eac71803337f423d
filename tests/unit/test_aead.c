/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every back-end that was compiled in: the self-test, Wycheproof's vectors, and all of them against
 * each other on random batches (MINIVPN_SEED=N repeats a run).  A back-end that this machine cannot
 * run is said so.  The self-test is itself tested, on libsodium with one fault each.
 */
#include "aead/backends.h"
#include "aead/choose.h"
#include "vectors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void seal_long_texts_wrong(void *context, struct aead_op *ops, size_t n)
{
	aead_sodium.seal(context, ops, n);
	for (size_t i = 0; i < n; i++)
		if (ops[i].text_bytes > 1400)
			ops[i].text[1400] ^= 1;
}

static void seal_only_one(void *context, struct aead_op *ops, size_t n)
{
	(void)n;
	aead_sodium.seal(context, ops, 1);
}

static void seal_with_a_weak_tag(void *context, struct aead_op *ops, size_t n)
{
	aead_sodium.seal(context, ops, n);
	for (size_t i = 0; i < n; i++)
		ops[i].tag[15] &= 0x7f;
}

static void open_without_the_tag(void *context, struct aead_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t tag[AEAD_TAG_BYTES];
		struct aead_op op = ops[i];

		/* decrypting is sealing what it has sealed */
		op.tag = tag;
		aead_sodium.seal(context, &op, 1);
		ops[i].ok = true;
	}
}

static void open_but_judge_the_batch(void *context, struct aead_op *ops, size_t n)
{
	bool all = true;

	aead_sodium.open(context, ops, n);
	for (size_t i = 0; i < n; i++)
		all &= ops[i].ok;
	for (size_t i = 0; i < n; i++)
		ops[i].ok = all;
}

static void open_and_reveal(void *context, struct aead_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t tag[AEAD_TAG_BYTES], copy[2048];
		struct aead_op op = ops[i];

		memcpy(copy, op.text, op.text_bytes);
		op.tag = tag;
		op.text = copy;
		aead_sodium.seal(context, &op, 1);
		aead_sodium.open(context, &ops[i], 1);
		memcpy(ops[i].text, copy, op.text_bytes);
	}
}

static void each_fault_is_found(void **state)
{
	struct fault {
		const char *name;
		void (*seal)(void *context, struct aead_op *ops, size_t n);
		void (*open)(void *context, struct aead_op *ops, size_t n);
	} faults[] = {
		{ "wrong ciphertext far into long texts", seal_long_texts_wrong, NULL },
		{ "seals the first of a batch only", seal_only_one, NULL },
		{ "one bit of the tag is constant", seal_with_a_weak_tag, NULL },
		{ "does not look at the tag", NULL, open_without_the_tag },
		{ "one forgery spoils the batch", NULL, open_but_judge_the_batch },
		{ "leaves the plaintext of a forgery", NULL, open_and_reveal },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		struct aead faulty = aead_sodium;

		if (faults[i].seal)
			faulty.seal = faults[i].seal;
		if (faults[i].open)
			faulty.open = faults[i].open;
		if (aead_self_test(&faulty, NULL))
			fail_msg("not noticed: %s", faults[i].name);
	}
}

/* All that run here, each with a context; the last has no aead. */
enum { MAX_BACKENDS = 4 };

static struct aead_choice running[MAX_BACKENDS];

static int start_all(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct aead *const *b = aead_backends(); *b; b++) {
		char description[AEAD_DESCRIPTION_BYTES];
		int rc = aead_choose((*b)->name, &running[n]);

		if (rc == -ENODEV) {
			printf("not on this machine: %s\n", (*b)->name);
			continue;
		}
		if (rc < 0 || n + 1 == MAX_BACKENDS)
			return -1;
		(*b)->describe(running[n].context, description);
		printf("back-end: %s: %s\n", (*b)->name, description);
		n++;
	}
	return n > 0 ? 0 : -1;
}

static int stop_all(void **state)
{
	(void)state;
	for (struct aead_choice *c = running; c->aead; c++)
		aead_choice_drop(c);
	return 0;
}

struct vector {
	uint8_t key[SA_KEY_BYTES];
	uint8_t aad[1024];
	uint8_t plaintext[1024];
	uint8_t ciphertext[1024];
	uint8_t tag[AEAD_TAG_BYTES];
	uint8_t nonce[AEAD_NONCE_BYTES];
	size_t aad_bytes;
	size_t text_bytes;
	bool valid;
	json_int_t id;
};

static void read_vector(const json_t *record, struct vector *ret)
{
	vector_exactly(record, "key", ret->key, sizeof(ret->key));
	vector_exactly(record, "iv", ret->nonce, sizeof(ret->nonce));
	vector_exactly(record, "tag", ret->tag, sizeof(ret->tag));
	ret->aad_bytes = vector_bytes(record, "aad", ret->aad, sizeof(ret->aad));
	ret->text_bytes = vector_bytes(record, "msg", ret->plaintext, sizeof(ret->plaintext));
	vector_exactly(record, "ct", ret->ciphertext, ret->text_bytes);
	ret->valid = strcmp(vector_text(record, "result"), "valid") == 0;
	ret->id = vector_number(record, "tcId");
}

static void check_vector(const struct aead_choice *c, const struct vector *v)
{
	uint8_t text[1024], tag[AEAD_TAG_BYTES];
	struct aead_op op = {
		.key = v->key,
		.aad = v->aad,
		.aad_bytes = v->aad_bytes,
		.text = text,
		.text_bytes = v->text_bytes,
		.tag = tag,
	};

	memcpy(op.nonce, v->nonce, sizeof(op.nonce));
	memcpy(text, v->ciphertext, v->text_bytes);
	memcpy(tag, v->tag, sizeof(tag));
	c->aead->open(c->context, &op, 1);
	if (op.ok != v->valid || (op.ok && memcmp(text, v->plaintext, v->text_bytes) != 0))
		fail_msg("%s: tcId %d opens wrong", c->aead->name, (int)v->id);

	if (!v->valid)
		return;
	c->aead->seal(c->context, &op, 1);
	if (memcmp(text, v->ciphertext, v->text_bytes) != 0 ||
	    memcmp(tag, v->tag, sizeof(tag)) != 0)
		fail_msg("%s: tcId %d seals wrong", c->aead->name, (int)v->id);
}

static void wycheproof_agrees(void **state)
{
	json_t *file = vectors_load(TEST_VECTORS "/chacha20_poly1305_test.json");
	const json_t *group, *record;
	size_t i, k, checked = 0;

	(void)state;
	json_array_foreach(vector_array(file, "testGroups"), i, group)
	{
		if (vector_number(group, "ivSize") != 8 * AEAD_NONCE_BYTES)
			continue;
		json_array_foreach(vector_array(group, "tests"), k, record)
		{
			struct vector v = { 0 };

			read_vector(record, &v);
			for (struct aead_choice *c = running; c->aead; c++)
				check_vector(c, &v);
			checked++;
		}
	}
	assert_int_equal(checked, 316);
	json_decref(file);
}

static uint32_t draw(uint64_t *noise)
{
	*noise = *noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*noise >> 33);
}

enum { CROWD = 300, CROWD_TEXT = 2000 }; /* more at once than any back-end has places for */

struct crowd {
	uint8_t keys[4 * SA_KEY_BYTES];
	uint8_t text[CROWD][CROWD_TEXT];
	uint8_t tag[CROWD][AEAD_TAG_BYTES];
	struct aead_op ops[CROWD];
};

static size_t draw_crowd(struct crowd *c, uint64_t *noise)
{
	size_t n = draw(noise) % 4 == 0 ? CROWD : draw(noise) % 70;

	for (size_t i = 0; i < sizeof(c->keys); i++)
		c->keys[i] = (uint8_t)draw(noise);
	for (size_t i = 0; i < n; i++) {
		struct aead_op *op = &c->ops[i];

		*op = (struct aead_op){
			.key = c->keys + draw(noise) % 4 * SA_KEY_BYTES,
			.aad = c->keys + draw(noise) % 4 * SA_KEY_BYTES,
			.aad_bytes = draw(noise) % 4 ? 8 : draw(noise) % SA_KEY_BYTES,
			.text = c->text[i],
			.text_bytes = draw(noise) % (draw(noise) % 2 ? 100 : CROWD_TEXT),
			.tag = c->tag[i],
		};
		for (size_t k = 0; k < sizeof(op->nonce); k++)
			op->nonce[k] = (uint8_t)draw(noise);
		for (size_t k = 0; k < op->text_bytes; k++)
			op->text[k] = (uint8_t)draw(noise);
	}
	return n;
}

/* What @from sealed (a few forged underway), @to opens: each must be judged rightly by itself. */
static void pass_on(const struct aead_choice *from, const struct aead_choice *to,
		    struct crowd *crowd, struct crowd *original, size_t n, uint64_t *noise)
{
	bool forged[CROWD];

	from->aead->seal(from->context, crowd->ops, n);
	for (size_t i = 0; i < n; i++) {
		forged[i] = draw(noise) % 8 == 0;
		if (forged[i])
			crowd->tag[i][draw(noise) % AEAD_TAG_BYTES] ^=
				(uint8_t)(1 << draw(noise) % 8);
	}
	to->aead->open(to->context, crowd->ops, n);
	for (size_t i = 0; i < n; i++) {
		const struct aead_op *op = &crowd->ops[i];

		if (op->ok == forged[i] ||
		    (op->ok && memcmp(op->text, original->text[i], op->text_bytes) != 0))
			fail_msg("%s to %s, operation %zu of %zu, %zu bytes: %s", from->aead->name,
				 to->aead->name, i, n, op->text_bytes,
				 forged[i] ? "forgery taken" : "not what was sealed");
		memcpy(op->text, original->text[i], op->text_bytes);
	}
}

static void back_ends_agree_on_random_batches(void **state)
{
	const char *given = getenv("MINIVPN_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL), noise = seed;
	struct crowd *crowd = malloc(sizeof(*crowd)), *original = malloc(sizeof(*original));

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	assert_true(crowd && original);
	for (int round = 0; round < 20; round++) {
		size_t n = draw_crowd(crowd, &noise);

		memcpy(original, crowd, sizeof(*original));
		for (struct aead_choice *from = running; from->aead; from++)
			for (struct aead_choice *to = running; to->aead; to++)
				pass_on(from, to, crowd, original, n, &noise);
	}
	free(crowd);
	free(original);
}

static void chosen_by_name_or_best_first(void **state)
{
	struct aead_choice choice = { 0 };

	(void)state;
	assert_int_equal(aead_choose("rot13", &choice), -ENOENT);
	assert_null(choice.aead);
	assert_int_equal(aead_choose("sodium", &choice), 0);
	assert_ptr_equal(choice.aead, &aead_sodium);
	aead_choice_drop(&choice);
	assert_int_equal(aead_choose(NULL, &choice), 0);
	assert_ptr_equal(choice.aead, running[0].aead);
	aead_choice_drop(&choice);
	assert_null(choice.aead);
	aead_choice_drop(&choice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fault_is_found),
		cmocka_unit_test(wycheproof_agrees),
		cmocka_unit_test(back_ends_agree_on_random_batches),
		cmocka_unit_test(chosen_by_name_or_best_first),
	};

	return cmocka_run_group_tests(tests, start_all, stop_all);
}
