/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The symmetric state against the Noise community's vectors, Diffie-Hellman against Wycheproof's. */
#include "minivpn/noise.h"

#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#define PROTOCOL "Noise_NNpsk0_25519_ChaChaPoly_SHA512"

enum { TEXT_MAX = 128 };

/* One end of a handshake, and of the session after it. */
struct end {
	struct noise noise;
	uint8_t secret[NOISE_DH_BYTES];
	uint8_t ephemeral[NOISE_DH_BYTES];
	struct noise_cipher to_responder, to_initiator;
};

static void end_begin(struct end *end, const json_t *vector, const char *side)
{
	char prologue_field[32], psks_field[32], ephemeral_field[32];
	uint8_t prologue[TEXT_MAX], psk[32];
	const char *psk_hex;
	struct noise_psk token;
	size_t bytes;

	snprintf(prologue_field, sizeof(prologue_field), "%s_prologue", side);
	snprintf(ephemeral_field, sizeof(ephemeral_field), "%s_ephemeral", side);
	snprintf(psks_field, sizeof(psks_field), "%s_psks", side);
	psk_hex = json_string_value(json_array_get(vector_array(vector, psks_field), 0));
	assert_int_equal(
		sodium_hex2bin(psk, sizeof(psk), psk_hex, strlen(psk_hex), NULL, &bytes, NULL), 0);
	assert_int_equal(bytes, sizeof(psk));
	vector_exactly(vector, ephemeral_field, end->secret, sizeof(end->secret));
	noise_public(end->secret, end->ephemeral);

	bytes = vector_bytes(vector, prologue_field, prologue, sizeof(prologue));
	noise_begin(&end->noise, PROTOCOL, prologue, bytes);
	noise_psk_derive(&token, PROTOCOL, psk, sizeof(psk));
	noise_mix_psk(&end->noise, &token);
}

static void end_split(struct end *end)
{
	noise_split(&end->noise, end->to_responder.k, end->to_initiator.k);
	end->to_responder.n = end->to_initiator.n = 0;
}

/* A message of the vector: its public part, if any, what it carries and what is sent. */
struct message {
	uint8_t payload[TEXT_MAX], sent[TEXT_MAX];
	size_t payload_bytes, sent_bytes;
};

static struct message message_at(const json_t *vector, size_t i)
{
	const json_t *record = json_array_get(vector_array(vector, "messages"), i);
	struct message m;

	m.payload_bytes = vector_bytes(record, "payload", m.payload, sizeof(m.payload));
	m.sent_bytes = vector_bytes(record, "ciphertext", m.sent, sizeof(m.sent));
	return m;
}

static void token_e(struct end *end, const uint8_t ephemeral[NOISE_DH_BYTES], bool before_ee)
{
	noise_mix_hash(&end->noise, ephemeral, NOISE_DH_BYTES);
	if (before_ee)
		noise_mix_chain(&end->noise, ephemeral, NOISE_DH_BYTES);
	else
		noise_mix_key(&end->noise, ephemeral, NOISE_DH_BYTES);
}

static void token_ee(struct end *end, const uint8_t remote[NOISE_DH_BYTES])
{
	uint8_t shared[NOISE_DH_BYTES];

	assert_true(noise_dh(end->secret, remote, shared));
	noise_mix_key(&end->noise, shared, sizeof(shared));
}

/* Message 1 or 2: e in the clear, ee if @with_ee, then the payload. */
static void say(struct end *from, struct end *to, const struct message *m, bool with_ee)
{
	uint8_t sealed[TEXT_MAX], opened[TEXT_MAX];
	size_t sealed_bytes = m->payload_bytes + NOISE_TAG_BYTES;
	struct noise before;

	assert_int_equal(m->sent_bytes, NOISE_DH_BYTES + sealed_bytes);
	assert_memory_equal(m->sent, from->ephemeral, NOISE_DH_BYTES);
	token_e(from, from->ephemeral, with_ee);
	token_e(to, from->ephemeral, with_ee);
	if (with_ee) {
		token_ee(from, to->ephemeral);
		token_ee(to, from->ephemeral);
	}
	noise_seal(&from->noise, m->payload, m->payload_bytes, sealed);
	assert_memory_equal(m->sent + NOISE_DH_BYTES, sealed, sealed_bytes);

	before = to->noise;
	sealed[0] ^= 1;
	assert_false(noise_open(&to->noise, sealed, sealed_bytes, opened));
	assert_memory_equal(&to->noise, &before, sizeof(before));
	sealed[0] ^= 1;
	assert_true(noise_open(&to->noise, sealed, sealed_bytes, opened));
	assert_memory_equal(opened, m->payload, m->payload_bytes);
}

static void send_in_session(struct noise_cipher *from, struct noise_cipher *to,
			    const struct message *m)
{
	uint8_t text[TEXT_MAX];

	memcpy(text, m->payload, m->payload_bytes);
	noise_cipher_seal(from, NULL, 0, text, m->payload_bytes, text);
	assert_int_equal(m->sent_bytes, m->payload_bytes + NOISE_TAG_BYTES);
	assert_memory_equal(text, m->sent, m->sent_bytes);
	assert_true(noise_cipher_open(to, NULL, 0, text, m->sent_bytes, text));
	assert_memory_equal(text, m->payload, m->payload_bytes);
}

static void replay(const json_t *vector)
{
	struct message first = message_at(vector, 0), second = message_at(vector, 1);
	size_t messages = json_array_size(vector_array(vector, "messages"));
	uint8_t hash[NOISE_HASH_BYTES];
	struct end initiator, responder;

	end_begin(&initiator, vector, "init");
	end_begin(&responder, vector, "resp");
	say(&initiator, &responder, &first, false);
	say(&responder, &initiator, &second, true);

	vector_exactly(vector, "handshake_hash", hash, sizeof(hash));
	assert_memory_equal(initiator.noise.h, hash, sizeof(hash));
	assert_memory_equal(responder.noise.h, hash, sizeof(hash));

	end_split(&initiator);
	end_split(&responder);
	assert_true(messages > 4);
	for (size_t i = 2; i < messages; i++) {
		struct message m = message_at(vector, i);

		if (i % 2 == 0)
			send_in_session(&initiator.to_responder, &responder.to_responder, &m);
		else
			send_in_session(&responder.to_initiator, &initiator.to_initiator, &m);
	}
}

static void published_handshakes_are_replayed(void **state)
{
	json_t *file = vectors_load(TEST_VECTORS "/noise-NNpsk0.json");
	const json_t *vector;
	size_t i, replayed = 0;

	(void)state;
	json_array_foreach(vector_array(file, "vectors"), i,
			   vector) if (strcmp(vector_text(vector, "protocol_name"), PROTOCOL) == 0)
	{
		replay(vector);
		replayed++;
	}
	assert_int_equal(replayed, 1);
	json_decref(file);
}

static bool has_flag(const json_t *test, const char *wanted)
{
	const json_t *flag;
	size_t i;

	json_array_foreach(vector_array(test, "flags"), i,
			   flag) if (strcmp(json_string_value(flag), wanted) == 0) return true;
	return false;
}

static void wycheproof_agrees_on_x25519(void **state)
{
	json_t *file = vectors_load(TEST_VECTORS "/x25519_test.json");
	const json_t *group, *test;
	size_t i, j, tests = 0, refused = 0;

	(void)state;
	json_array_foreach(vector_array(file, "testGroups"), i, group)
		json_array_foreach(vector_array(group, "tests"), j, test)
	{
		uint8_t secret[32], remote[32], expected[32], shared[32];
		bool zero = has_flag(test, "ZeroSharedSecret");

		vector_exactly(test, "private", secret, sizeof(secret));
		vector_exactly(test, "public", remote, sizeof(remote));
		vector_exactly(test, "shared", expected, sizeof(expected));
		if (noise_dh(secret, remote, shared) == zero ||
		    (!zero && memcmp(shared, expected, sizeof(shared)) != 0))
			fail_msg("tcId %d", (int)vector_number(test, "tcId"));
		tests++;
		refused += zero;
	}
	assert_int_equal(tests, 518);
	assert_int_equal(refused, 31);
	json_decref(file);
}

static void nonces_count_in_little_endian(void **state)
{
	struct noise_cipher counting = { .k = { 1 }, .n = 0x0102030405060708 };
	static const uint8_t nonce[12] = { 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
	uint8_t sealed[4 + NOISE_TAG_BYTES], expected[4 + NOISE_TAG_BYTES];

	(void)state;
	crypto_aead_chacha20poly1305_ietf_encrypt(expected, NULL, (const uint8_t *)"text", 4, NULL,
						  0, NULL, nonce, counting.k);
	noise_cipher_seal(&counting, NULL, 0, (const uint8_t *)"text", 4, sealed);
	assert_memory_equal(sealed, expected, sizeof(sealed));
	assert_true(counting.n == 0x0102030405060709);
}

static void a_text_shorter_than_its_tag_does_not_open(void **state)
{
	struct noise_cipher cipher = { .k = { 1 } }, before = cipher;
	uint8_t sealed[NOISE_TAG_BYTES] = { 0 }, opened[1];

	(void)state;
	for (size_t bytes = 0; bytes < NOISE_TAG_BYTES; bytes++)
		assert_false(noise_cipher_open(&cipher, NULL, 0, sealed, bytes, opened));
	assert_memory_equal(&cipher, &before, sizeof(cipher));
}

static void what_is_wiped_is_zero(void **state)
{
	struct noise noise, zero = { 0 };

	(void)state;
	noise_begin(&noise, PROTOCOL, NULL, 0);
	noise_mix_key(&noise, (const uint8_t *)"secret", 6);
	noise_cipher_wipe(&noise.cipher);
	assert_memory_equal(&noise.cipher, &zero.cipher, sizeof(zero.cipher));
	noise_wipe(&noise);
	assert_memory_equal(&noise, &zero, sizeof(zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_handshakes_are_replayed),
		cmocka_unit_test(wycheproof_agrees_on_x25519),
		cmocka_unit_test(nonces_count_in_little_endian),
		cmocka_unit_test(a_text_shorter_than_its_tag_does_not_open),
		cmocka_unit_test(what_is_wiped_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
