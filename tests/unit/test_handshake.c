/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the three messages promise, between two ends made here: that both come to the same keys, and
 * that nothing else than the very message does anything.  The bytes themselves are compared with a
 * second program's by tests/interop/handshake-vectors.c.
 */
#include "minivpn/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

static const struct psk psk = { "the key that both ends share ..." };
static const struct psk other_psk = { "the key that somebody else uses." };
static const uint8_t secret_i[EPHEMERAL_BYTES] = "an initiator's 32 random bytes..";
static const uint8_t secret_r[EPHEMERAL_BYTES] = "a responder's 32 random bytes...";
static const struct payload offer = { .spi = { 0xa1b2c300, 0xa1b2c301 },
				      .spi_count = 2,
				      .mtu = 1438,
				      .workers = 2,
				      .flags = PAYLOAD_FLAG_HEARS_IN_BAND,
				      .version = 1 };
static const struct payload answer = {
	.spi = { 0xd4e5f600 }, .spi_count = 1, .mtu = 1400, .workers = 1, .version = 1
};

/* A client's handshake up to some point. */
struct exchange {
	struct handshake_keys keys;
	struct attempt attempt;
	uint8_t init[INIT_BYTES];
	struct responder responder;
	uint8_t response[RESPONSE_MAX_BYTES];
	size_t response_bytes;
	struct split_keys responder_keys;
};

static void begin(struct exchange *x)
{
	handshake_keys_derive(&psk, &x->keys, NULL);
	init_create(&x->attempt, &x->keys, NULL, &offer, secret_i, x->init);
	assert_int_equal(control_classify(x->init, INIT_BYTES), CONTROL_INIT);
	assert_int_equal(init_open(&x->responder, &x->keys, x->init), VERDICT_PASS);
}

static void respond(struct exchange *x, const struct payload *with)
{
	begin(x);
	assert_int_equal(response_create(&x->responder, x->init, with, secret_r, x->response,
					 &x->response_bytes, &x->responder_keys),
			 VERDICT_PASS);
	assert_int_equal(control_classify(x->response, x->response_bytes), CONTROL_RESPONSE);
}

/* Compared by what they say: a struct's padding says nothing. */
static void assert_same_payload(const struct payload *a, const struct payload *b)
{
	uint8_t said_by_a[INIT_PAYLOAD_BYTES], said_by_b[INIT_PAYLOAD_BYTES];

	assert_int_equal(payload_build(a, PAYLOAD_RESPONSE, said_by_a, sizeof(said_by_a)),
			 payload_build(b, PAYLOAD_RESPONSE, said_by_b, sizeof(said_by_b)));
	assert_memory_equal(said_by_a, said_by_b, sizeof(said_by_a));
}

static bool is_zero(const void *bytes, size_t size)
{
	return sodium_is_zero(bytes, size);
}

static void both_ends_come_to_the_same_keys(void **state)
{
	struct split_keys keys;
	struct payload heard;
	struct exchange x;

	(void)state;
	begin(&x);
	assert_same_payload(&x.responder.offer, &offer);

	respond(&x, &answer);
	assert_int_equal(x.response_bytes, 92);
	assert_int_equal(response_first_spi(x.response), offer.spi[0]);
	assert_int_equal(
		response_consume(&x.attempt, x.response, x.response_bytes, true, &heard, &keys),
		VERDICT_PASS);
	assert_same_payload(&heard, &answer);
	assert_memory_equal(&keys, &x.responder_keys, sizeof(keys));
	assert_memory_not_equal(keys.k1, keys.k2, sizeof(keys.k1));
	assert_false(is_zero(&keys, sizeof(keys)));
}

static void an_init_shows_hint_cookie_and_ephemeral(void **state)
{
	struct cookie cookie = { "a cookie, 16 by" };
	struct handshake_keys keys;
	struct attempt attempt;
	uint8_t init[INIT_BYTES], hint[HINT_BYTES];

	(void)state;
	handshake_keys_derive(&psk, &keys, NULL);
	init_create(&attempt, &keys, &cookie, &offer, secret_i, init);
	assert_memory_equal(init_cookie(init), &cookie, COOKIE_BYTES);
	assert_memory_equal(init_ephemeral(init), attempt.ephemeral, EPHEMERAL_BYTES);
	handshake_hint(&keys.hint, attempt.ephemeral, hint);
	assert_memory_equal(init_hint(init), hint, HINT_BYTES);
	assert_int_equal(attempt.first_spi, offer.spi[0]);

	init_create(&attempt, &keys, NULL, &offer, secret_i, init);
	assert_true(is_zero(init_cookie(init), COOKIE_BYTES));
}

static void form_is_exact(void **state)
{
	uint8_t datagram[RESPONSE_MAX_BYTES + INIT_BYTES] = { 0 };

	(void)state;
	for (uint8_t type = 0; type <= 5; type++)
		for (size_t bytes = 0; bytes <= sizeof(datagram); bytes++) {
			enum control_type expected = CONTROL_NONE;

			if (type == 1 && bytes == 1024)
				expected = CONTROL_INIT;
			if (type == 2 && bytes >= 92 && bytes <= 988 && (bytes - 60) % 32 == 0)
				expected = CONTROL_RESPONSE;
			if (type == 3 && bytes == 48)
				expected = CONTROL_RETRY;
			datagram[4] = type;
			datagram[5] = 1;
			if (control_classify(datagram, bytes) != expected)
				fail_msg("type %d, %zu bytes", type, bytes);
			for (size_t i = 0; i < 8 && bytes >= 8; i++) {
				datagram[i] ^= 0x80;
				assert_int_equal(control_classify(datagram, bytes), CONTROL_NONE);
				datagram[i] ^= 0x80;
			}
		}
}

static void no_byte_of_an_init_can_be_changed(void **state)
{
	struct responder responder, before;
	struct exchange x;

	(void)state;
	begin(&x);
	memset(&before, 0x5a, sizeof(before));
	responder = before;
	for (size_t i = 0; i < INIT_BYTES; i++) {
		x.init[i] ^= 1;
		if (control_classify(x.init, INIT_BYTES) == CONTROL_INIT &&
		    init_open(&responder, &x.keys, x.init) != VERDICT_FORGED)
			fail_msg("byte %zu", i);
		assert_memory_equal(&responder, &before, sizeof(before));
		x.init[i] ^= 1;
	}
	assert_int_equal(init_open(&responder, &x.keys, x.init), VERDICT_PASS);
}

static void no_byte_of_a_response_can_be_changed(void **state)
{
	struct payload heard, heard_before;
	struct split_keys keys, keys_before;
	struct attempt before;
	struct exchange x;

	(void)state;
	respond(&x, &answer);
	memset(&heard_before, 0x5a, sizeof(heard_before));
	memset(&keys_before, 0x5a, sizeof(keys_before));
	heard = heard_before;
	keys = keys_before;
	before = x.attempt;
	for (size_t i = 0; i < x.response_bytes; i++) {
		x.response[i] ^= 0x80; /* X25519 ignores the top bit of e, Noise must not */
		if (control_classify(x.response, x.response_bytes) == CONTROL_RESPONSE &&
		    response_consume(&x.attempt, x.response, x.response_bytes, true, &heard,
				     &keys) != VERDICT_FORGED)
			fail_msg("byte %zu", i);
		assert_memory_equal(&heard, &heard_before, sizeof(heard));
		assert_memory_equal(&keys, &keys_before, sizeof(keys));
		assert_memory_equal(&x.attempt, &before, sizeof(before));
		x.response[i] ^= 0x80;
	}
	assert_int_equal(
		response_consume(&x.attempt, x.response, x.response_bytes, true, &heard, &keys),
		VERDICT_PASS);
}

static void no_byte_of_a_retry_can_be_changed(void **state)
{
	struct cookie cookie = { "sixteen bytes .." }, taken, before;
	uint8_t retry[RETRY_BYTES];
	struct exchange x;

	(void)state;
	begin(&x);
	memset(&before, 0x5a, sizeof(before));
	taken = before;
	retry_create(&x.keys, init_hint(x.init), &cookie, init_ephemeral(x.init), retry);
	assert_int_equal(control_classify(retry, RETRY_BYTES), CONTROL_RETRY);
	for (size_t i = 0; i < RETRY_BYTES; i++) {
		retry[i] ^= 1;
		if (control_classify(retry, RETRY_BYTES) == CONTROL_RETRY &&
		    retry_consume(&x.keys, x.attempt.ephemeral, retry, &taken))
			fail_msg("byte %zu", i);
		assert_memory_equal(&taken, &before, sizeof(before));
		retry[i] ^= 1;
	}
	assert_true(retry_consume(&x.keys, x.attempt.ephemeral, retry, &taken));
	assert_memory_equal(&taken, &cookie, sizeof(cookie));
}

static void a_retry_answers_one_init_of_one_role_only(void **state)
{
	static const uint8_t another[EPHEMERAL_BYTES] = { 9 };
	struct handshake_keys server, stranger;
	struct cookie cookie = { { 1 } }, taken;
	uint8_t retry[RETRY_BYTES];
	struct exchange x;

	(void)state;
	begin(&x);
	handshake_keys_derive(&psk, NULL, &server);
	handshake_keys_derive(&other_psk, &stranger, NULL);
	retry_create(&x.keys, init_hint(x.init), &cookie, init_ephemeral(x.init), retry);
	assert_false(retry_consume(&x.keys, another, retry, &taken));
	assert_false(retry_consume(&server, x.attempt.ephemeral, retry, &taken));
	assert_false(retry_consume(&stranger, x.attempt.ephemeral, retry, &taken));
}

static void other_keys_and_roles_open_nothing(void **state)
{
	struct handshake_keys server, stranger;
	struct responder responder;
	struct exchange x;

	(void)state;
	begin(&x);
	handshake_keys_derive(&psk, NULL, &server);
	handshake_keys_derive(&other_psk, &stranger, NULL);
	assert_memory_not_equal(&server.hint, &x.keys.hint, sizeof(server.hint));
	assert_memory_not_equal(&server.retry, &x.keys.retry, sizeof(server.retry));
	assert_int_equal(init_open(&responder, &server, x.init), VERDICT_FORGED);
	assert_int_equal(init_open(&responder, &stranger, x.init), VERDICT_FORGED);
}

static void a_response_fits_its_own_init_only(void **state)
{
	static const uint8_t another[EPHEMERAL_BYTES] = "other random bytes of that side.";
	struct attempt second, third;
	uint8_t init[INIT_BYTES];
	struct payload elsewhere = offer, heard;
	struct split_keys keys;
	struct exchange x;

	(void)state;
	respond(&x, &answer);
	init_create(&second, &x.keys, NULL, &offer, another, init);
	assert_int_equal(
		response_consume(&second, x.response, x.response_bytes, true, &heard, &keys),
		VERDICT_FORGED);
	elsewhere.spi[0]++;
	elsewhere.spi[1]++;
	init_create(&third, &x.keys, NULL, &elsewhere, secret_i, init);
	assert_int_equal(
		response_consume(&third, x.response, x.response_bytes, true, &heard, &keys),
		VERDICT_FORGED);
}

/* Message 1 as somebody who has the PSK makes it to whom it does not matter what e is. */
static void init_around(const uint8_t ephemeral[EPHEMERAL_BYTES], const struct handshake_keys *keys,
			uint8_t init[INIT_BYTES], struct noise *ret_noise)
{
	uint8_t plaintext[INIT_PAYLOAD_BYTES], prologue[39] = "minivpn 1 C";
	const char *protocol = "Noise_NNpsk0_25519_ChaChaPoly_SHA512";
	struct noise_psk token;

	memset(init, 0, INIT_BYTES);
	init[4] = init[5] = 1;
	handshake_hint(&keys->hint, ephemeral, init + 8);
	memcpy(init + 32, ephemeral, EPHEMERAL_BYTES);
	memcpy(prologue + 11, init + 4, 28);
	payload_build(&offer, PAYLOAD_INIT, plaintext, sizeof(plaintext));

	noise_psk_derive(&token, protocol, psk.b, sizeof(psk.b));
	noise_begin(ret_noise, protocol, prologue, sizeof(prologue));
	noise_mix_psk(ret_noise, &token);
	noise_mix_hash(ret_noise, ephemeral, EPHEMERAL_BYTES);
	noise_mix_key(ret_noise, ephemeral, EPHEMERAL_BYTES);
	noise_seal(ret_noise, plaintext, sizeof(plaintext), init + 64);
}

/* RFC 7748 section 6.1: with a point of low order everybody would know the "shared secret". */
static void a_point_of_low_order_ends_the_handshake(void **state)
{
	static const uint8_t points[][EPHEMERAL_BYTES] = {
		{ 0 },
		{ 1 },
		{ 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
		  0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
		  0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
	};
	static const uint8_t zero[NOISE_DH_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		struct split_keys keys, untouched;
		uint8_t init[INIT_BYTES], plaintext[32];
		struct exchange x;
		struct noise noise;
		struct payload heard;

		/* as an initiator's e ... */
		begin(&x);
		memset(&untouched, 0x5a, sizeof(untouched));
		keys = untouched;
		init_around(points[i], &x.keys, init, &noise);
		assert_int_equal(init_open(&x.responder, &x.keys, init), VERDICT_PASS);
		assert_int_equal(response_create(&x.responder, init, &answer, secret_r, x.response,
						 &x.response_bytes, &keys),
				 VERDICT_FORGED);
		assert_memory_equal(&keys, &untouched, sizeof(keys));
		assert_true(is_zero(&x.responder, sizeof(x.responder)));

		/* ... and as a responder's, who goes on with the zeros that it yields */
		respond(&x, &answer);
		noise = x.attempt.noise;
		memcpy(x.response + 12, points[i], EPHEMERAL_BYTES);
		noise_mix_hash(&noise, points[i], EPHEMERAL_BYTES);
		noise_mix_key(&noise, points[i], EPHEMERAL_BYTES);
		noise_mix_key(&noise, zero, sizeof(zero));
		payload_build(&answer, PAYLOAD_RESPONSE, plaintext, sizeof(plaintext));
		noise_seal(&noise, plaintext, sizeof(plaintext), x.response + 44);
		assert_int_equal(response_consume(&x.attempt, x.response, 92, true, &heard, &keys),
				 VERDICT_FORGED);
		assert_memory_equal(&keys, &untouched, sizeof(keys));
	}
}

static void the_hand_made_init_is_a_true_one(void **state)
{
	uint8_t init[INIT_BYTES];
	struct noise noise;
	struct exchange x;

	(void)state;
	begin(&x);
	init_around(x.attempt.ephemeral, &x.keys, init, &noise);
	assert_memory_equal(init, x.init, INIT_BYTES);
}

static void a_refusal_passes_and_leaves_no_keys(void **state)
{
	struct payload refusal = { .refusal = REFUSAL_FULL }, heard;
	struct split_keys keys, untouched;
	struct exchange x;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	keys = untouched;
	respond(&x, &refusal);
	assert_int_equal(
		response_consume(&x.attempt, x.response, x.response_bytes, true, &heard, &keys),
		VERDICT_PASS);
	assert_int_equal(heard.refusal, REFUSAL_FULL);
	assert_memory_equal(&keys, &untouched, sizeof(keys));
}

static void unknown_critical_items_are_told_apart(void **state)
{
	uint8_t first[INIT_PAYLOAD_BYTES] = { 0x81, 4, 0, 0, 1, 0, 0xc5, 1, 7 };
	struct split_keys keys, untouched;
	struct payload heard;
	struct exchange x;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	keys = untouched;
	respond(&x, &answer);
	init_seal(&x.attempt, &x.keys, NULL, first, 256, secret_i, x.init);
	assert_int_equal(init_open(&x.responder, &x.keys, x.init), VERDICT_UNKNOWN_ITEM);
	assert_int_equal(x.responder.offer.unknown_critical, 0xc5);

	assert_int_equal(response_seal(&x.responder, x.init, first, 32, secret_r, x.response,
				       &x.responder_keys),
			 VERDICT_PASS);
	assert_int_equal(response_consume(&x.attempt, x.response, 92, true, &heard, &keys),
			 VERDICT_UNKNOWN_ITEM);
	assert_int_equal(heard.unknown_critical, 0xc5);
	assert_memory_equal(&keys, &untouched, sizeof(keys));
}

static void unreadable_items_do_nothing(void **state)
{
	static const uint8_t nothing[INIT_PAYLOAD_BYTES];
	struct responder responder, before;
	struct split_keys keys, untouched;
	struct payload heard;
	struct exchange x;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	memset(&untouched, 0x5a, sizeof(untouched));
	responder = before;
	keys = untouched;
	begin(&x);
	assert_int_equal(response_seal(&x.responder, x.init, nothing, 64, secret_r, x.response,
				       &x.responder_keys),
			 VERDICT_PASS);
	assert_int_equal(response_consume(&x.attempt, x.response, 124, true, &heard, &keys),
			 VERDICT_BAD_PAYLOAD);
	assert_memory_equal(&keys, &untouched, sizeof(keys));

	init_seal(&x.attempt, &x.keys, NULL, nothing, 256, secret_i, x.init);
	assert_int_equal(init_open(&responder, &x.keys, x.init), VERDICT_BAD_PAYLOAD);
	assert_memory_equal(&responder, &before, sizeof(before));
}

static void configuration_counts_from_a_server_only(void **state)
{
	struct payload with_address = answer, heard;
	struct split_keys keys;
	struct exchange x;

	(void)state;
	assert_true(prefix_parse("10.9.0.2/24", &with_address.address[0]));
	with_address.address_count = 1;
	respond(&x, &with_address);
	response_consume(&x.attempt, x.response, x.response_bytes, true, &heard, &keys);
	assert_int_equal(heard.address_count, 1);
	response_consume(&x.attempt, x.response, x.response_bytes, false, &heard, &keys);
	assert_int_equal(heard.address_count, 0);
}

static void an_answer_may_fill_the_response_and_no_more(void **state)
{
	struct payload large = answer, heard;
	struct split_keys keys;
	struct exchange x;

	(void)state;
	for (uint8_t i = 0; i < PAYLOAD_ROUTES_MAX; i++)
		large.route[i] =
			(struct prefix){ address_from_ipv4((uint8_t[]){ 10, i, 0, 0 }), 16 };
	large.mtu = 0;
	large.workers = 0;
	large.version = 0;
	large.route_count = PAYLOAD_ROUTES_MAX;
	respond(&x, &large);
	assert_int_equal(x.response_bytes, RESPONSE_MAX_BYTES);
	assert_int_equal(
		response_consume(&x.attempt, x.response, x.response_bytes, true, &heard, &keys),
		VERDICT_PASS);
	assert_int_equal(heard.route_count, PAYLOAD_ROUTES_MAX);

	begin(&x);
	large.spi_count = 3;
	large.spi[1] = 300;
	large.spi[2] = 301;
	assert_int_equal(response_create(&x.responder, x.init, &large, secret_r, x.response,
					 &x.response_bytes, &keys),
			 VERDICT_BAD_PAYLOAD);
	assert_true(is_zero(&x.responder, sizeof(x.responder)));
}

static void secrets_are_wiped(void **state)
{
	struct exchange x;

	(void)state;
	respond(&x, &answer);
	assert_true(is_zero(&x.responder, sizeof(x.responder)));
	attempt_wipe(&x.attempt);
	assert_true(is_zero(&x.attempt, sizeof(x.attempt)));
	split_keys_wipe(&x.responder_keys);
	assert_true(is_zero(&x.responder_keys, sizeof(x.responder_keys)));
	handshake_keys_wipe(&x.keys);
	assert_true(is_zero(&x.keys, sizeof(x.keys)));
}

/* Values by Python's hmac. */
static void cookies_belong_to_address_and_port(void **state)
{
	static const struct {
		const char *remote, *cookie;
	} rows[] = {
		{ "192.0.2.1:4500", "d485dd2b8f6c5784afc6c3b127e4107a" },
		{ "[2001:db8::1]:40000", "9dd3f44f79238d2ef881c14b83ff2d3c" },
	};
	uint8_t secret[32], expected[COOKIE_BYTES];
	struct cookie cookie, other;
	struct endpoint remote = { 0 };

	(void)state;
	for (uint8_t i = 0; i < sizeof(secret); i++)
		secret[i] = i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_true(endpoint_parse(rows[i].remote, &remote));
		sodium_hex2bin(expected, sizeof(expected), rows[i].cookie, 32, NULL, NULL, NULL);
		cookie_make(secret, &remote, &cookie);
		assert_memory_equal(cookie.b, expected, sizeof(expected));
		assert_true(cookie_equal(&cookie, &cookie));
		remote.remote_port ^= 1;
		cookie_make(secret, &remote, &other);
		assert_false(cookie_equal(&cookie, &other));
	}
	assert_false(cookie_is_none(&cookie));
	assert_true(cookie_is_none(&(struct cookie){ 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_come_to_the_same_keys),
		cmocka_unit_test(an_init_shows_hint_cookie_and_ephemeral),
		cmocka_unit_test(form_is_exact),
		cmocka_unit_test(no_byte_of_an_init_can_be_changed),
		cmocka_unit_test(no_byte_of_a_response_can_be_changed),
		cmocka_unit_test(no_byte_of_a_retry_can_be_changed),
		cmocka_unit_test(a_retry_answers_one_init_of_one_role_only),
		cmocka_unit_test(other_keys_and_roles_open_nothing),
		cmocka_unit_test(a_response_fits_its_own_init_only),
		cmocka_unit_test(the_hand_made_init_is_a_true_one),
		cmocka_unit_test(a_point_of_low_order_ends_the_handshake),
		cmocka_unit_test(a_refusal_passes_and_leaves_no_keys),
		cmocka_unit_test(unknown_critical_items_are_told_apart),
		cmocka_unit_test(unreadable_items_do_nothing),
		cmocka_unit_test(configuration_counts_from_a_server_only),
		cmocka_unit_test(an_answer_may_fill_the_response_and_no_more),
		cmocka_unit_test(secrets_are_wiped),
		cmocka_unit_test(cookies_belong_to_address_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
