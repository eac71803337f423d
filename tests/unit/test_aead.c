/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aead/backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/*
 * The self-test tests back-ends; here it is tested itself, on libsodium with one fault each.
 */

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

static void a_sound_back_end_passes(void **state)
{
	(void)state;
	assert_true(aead_sodium.start(NULL));
	assert_true(aead_self_test(&aead_sodium, NULL));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_back_end_passes),
		cmocka_unit_test(each_fault_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
