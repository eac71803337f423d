/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ESP on the wire: the published packets bit for bit in both directions, the sizes, and what a
 * receiver must refuse though it is authentic.
 */
#include "aead/backends.h"
#include "minivpn/envelope.h"
#include "minivpn/inner.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 2048 };

static const struct sa_key key = { .key = { 1, 2, 3 }, .salt = { 4, 5, 6, 7 } };

static struct opening open_one(uint8_t *record, size_t record_bytes, const struct sa_key *with)
{
	struct opening o = { .record = record, .record_bytes = record_bytes, .key = with };

	envelope_open(&aead_sodium, NULL, &o, 1);
	return o;
}

static void seal_vector(const json_t *record, const struct sa_key *with, const uint8_t *expected,
			size_t expected_bytes)
{
	uint8_t room[ROOM], iv[8];
	struct sealing s = {
		.payload = room + ENVELOPE_HEAD_BYTES,
		.tfc_bytes = (size_t)vector_number(record, "tfc_len"),
		.key = with,
		.spi = (uint32_t)vector_number(record, "spi"),
		.sequence = (uint32_t)vector_number(record, "seq_lo"),
		.iv = iv,
		.next_header = (uint8_t)vector_number(record, "next_header"),
	};
	size_t least;

	memset(room, 0xee, sizeof(room));
	s.payload_bytes = vector_bytes(record, "inner", s.payload, ROOM - ENVELOPE_HEAD_BYTES);
	vector_exactly(record, "iv", iv, sizeof(iv));
	least = -(s.payload_bytes + s.tfc_bytes + ENVELOPE_TRAILER_BYTES) % ENVELOPE_ALIGN_BYTES;
	s.pad_extra = (size_t)vector_number(record, "pad_len") - least;

	envelope_seal(&aead_sodium, NULL, &s, 1);
	assert_ptr_equal(s.record, room);
	assert_int_equal(s.record_bytes, expected_bytes);
	assert_memory_equal(s.record, expected, expected_bytes);
	assert_int_equal(room[s.record_bytes], 0xee);
}

static void open_vector(const json_t *record, const struct sa_key *with, uint8_t *esp,
			size_t esp_bytes)
{
	struct opening o = open_one(esp, esp_bytes, with);
	uint8_t inner[ROOM];
	size_t inner_bytes;
	struct inner parsed;

	if (!vector_flag(record, "valid")) {
		assert_int_not_equal(o.verdict, VERDICT_PASS);
		return;
	}
	inner_bytes = vector_bytes(record, "inner", inner, sizeof(inner));
	assert_int_equal(o.verdict, VERDICT_PASS);
	assert_int_equal(o.next_header, vector_number(record, "next_header"));
	assert_int_equal(o.payload_bytes, inner_bytes + (size_t)vector_number(record, "tfc_len"));
	assert_memory_equal(o.payload, inner, inner_bytes);
	assert_int_equal(inner_parse(o.payload, o.payload_bytes, &parsed), VERDICT_PASS);
	assert_int_equal(parsed.bytes, inner_bytes);
}

static void published_packets_agree(void **state)
{
	json_t *file = vectors_load(TEST_VECTORS "/esp-chacha20poly1305.json");
	const json_t *record;
	size_t i;

	(void)state;
	json_array_foreach(vector_array(file, "vectors"), i, record)
	{
		uint8_t esp[ROOM];
		size_t esp_bytes = vector_bytes(record, "esp", esp, sizeof(esp));
		struct sa_key sa;

		print_message("%s\n", vector_text(record, "id"));
		vector_exactly(record, "key", sa.key, sizeof(sa.key));
		vector_exactly(record, "salt", sa.salt, sizeof(sa.salt));
		if (vector_flag(record, "valid"))
			seal_vector(record, &sa, esp, esp_bytes);
		open_vector(record, &sa, esp, esp_bytes);
	}
	assert_int_equal(i, 27);
	json_decref(file);
}

/* Fill @payload with a packet that looks like IPv4 as far as the envelope looks. */
static struct sealing sealing_of(uint8_t *room, size_t payload_bytes, uint32_t sequence)
{
	memset(room + ENVELOPE_HEAD_BYTES, 0x45, payload_bytes);
	return (struct sealing){
		.payload = room + ENVELOPE_HEAD_BYTES,
		.payload_bytes = payload_bytes,
		.key = &key,
		.spi = 0x1234,
		.sequence = sequence,
		.next_header = NEXT_HEADER_IPV4,
	};
}

static void sizes_are_as_stated(void **state)
{
	(void)state;
	/* the inner MTU on a 1500-byte path: outer IP, UDP */
	assert_int_equal(envelope_inner_max(1500 - 20 - 8), 1438);
	assert_int_equal(envelope_inner_max(1500 - 40 - 8), 1418);
	assert_int_equal(envelope_inner_max(ENVELOPE_MIN_BYTES - 1), 0);
	for (size_t n = 1; n < 200; n++) {
		uint8_t room[ROOM];
		struct sealing s = sealing_of(room, n, 1);
		size_t end = ENVELOPE_HEAD_BYTES + n + ENVELOPE_TAIL_BYTES;

		memset(room + ENVELOPE_HEAD_BYTES + n, 0xee, ROOM - ENVELOPE_HEAD_BYTES - n);
		envelope_seal(&aead_sodium, NULL, &s, 1);
		assert_int_equal(s.record_bytes, envelope_bytes(n));
		assert_true(s.record_bytes <= end);
		assert_int_equal(room[end], 0xee);
		assert_true(envelope_inner_max(s.record_bytes) >= n);
		assert_true(envelope_inner_max(s.record_bytes) < n + ENVELOPE_ALIGN_BYTES);
	}
}

static void iv_is_the_sequence_number(void **state)
{
	static const uint8_t head[] = { 0, 0, 0x12, 0x34, 0xfe, 0xdc, 0xba, 0x98,
					0, 0, 0,    0,    0xfe, 0xdc, 0xba, 0x98 };
	uint8_t room[ROOM];
	struct sealing s = sealing_of(room, 20, 0xfedcba98);

	(void)state;
	envelope_seal(&aead_sodium, NULL, &s, 1);
	assert_memory_equal(room, head, sizeof(head));
}

/* Longer than what the AEAD gets at once, with forged and short records among the good ones. */
static void each_of_a_batch_is_judged_by_itself(void **state)
{
	enum { N = 2 * ENVELOPE_BATCH + 5, BYTES = 300 };
	uint8_t(*rooms)[BYTES] = malloc(N * sizeof(*rooms));
	struct sealing seals[N];
	struct opening opens[N];

	(void)state;
	assert_non_null(rooms);
	for (size_t i = 0; i < N; i++)
		seals[i] = sealing_of(rooms[i], 1 + i, (uint32_t)i + 1);
	envelope_seal(&aead_sodium, NULL, seals, N);
	for (size_t i = 0; i < N; i++) {
		opens[i] = (struct opening){ seals[i].record, seals[i].record_bytes, &key };
		if (i % 5 == 1)
			seals[i].record[i % seals[i].record_bytes] ^= 0x10;
		if (i % 5 == 2)
			opens[i].record_bytes = ENVELOPE_MIN_BYTES - 1 - i % 36;
	}
	envelope_open(&aead_sodium, NULL, opens, N);
	for (size_t i = 0; i < N; i++) {
		enum verdict expected = i % 5 == 1   ? VERDICT_FORGED
					: i % 5 == 2 ? VERDICT_TRUNCATED
						     : VERDICT_PASS;

		assert_int_equal(opens[i].verdict, expected);
		if (expected == VERDICT_PASS) {
			assert_ptr_equal(opens[i].payload, rooms[i] + ENVELOPE_HEAD_BYTES);
			assert_int_equal(opens[i].payload_bytes, 1 + i);
			assert_int_equal(opens[i].payload[i], 0x45);
		}
	}
	free(rooms);
}

/* Seal a plaintext as it stands, trailer included, as only a broken or hostile peer would. */
static struct opening open_plaintext(uint8_t *room, const void *plaintext, size_t n)
{
	struct aead_op op = {
		.key = key.key,
		.aad = room,
		.aad_bytes = 8,
		.text = room + ENVELOPE_HEAD_BYTES,
		.text_bytes = n,
		.tag = room + ENVELOPE_HEAD_BYTES + n,
	};

	memset(room, 7, ENVELOPE_HEAD_BYTES);
	memcpy(op.nonce, key.salt, SA_SALT_BYTES);
	memset(op.nonce + SA_SALT_BYTES, 7, 8);
	memcpy(op.text, plaintext, n);
	aead_sodium.seal(NULL, &op, 1);
	return open_one(room, ENVELOPE_HEAD_BYTES + n + ENVELOPE_ICV_BYTES, &key);
}

static void trailers_are_checked(void **state)
{
	static const struct row {
		const char *what;
		uint8_t text[12];
		size_t text_bytes;
		enum verdict verdict;
		size_t payload_bytes;
	} rows[] = {
		{ "least of all", { 0x45, 1, 1, 4 }, 4, VERDICT_PASS, 1 },
		{ "empty dummy", { 1, 2, 2, 59 }, 4, VERDICT_PASS, 0 },
		{ "dummy with anything", { 0x99, 0x88, 0, 59 }, 4, VERDICT_PASS, 2 },
		{ "more padding than needed", { 0x60, 1, 2, 3, 4, 5, 5, 41 }, 8, VERDICT_PASS, 1 },
		{ "no payload for IPv4", { 1, 2, 2, 4 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "no payload for IPv6", { 1, 2, 2, 41 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "IPv6 called IPv4", { 0x60, 1, 1, 4 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "IPv4 called IPv6", { 0x45, 1, 1, 41 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "transport mode", { 0x45, 1, 1, 17 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "padding counts from 0", { 0x45, 0, 1, 4 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "padding of zeros", { 0x45, 0, 0, 0, 0, 0, 5, 4 }, 8, VERDICT_BAD_PADDING, 0 },
		{ "last padding byte wrong",
		  { 0x45, 1, 2, 3, 4, 6, 5, 4 },
		  8,
		  VERDICT_BAD_PADDING,
		  0 },
		{ "more padding than text", { 0x45, 1, 3, 4 }, 4, VERDICT_BAD_PADDING, 0 },
		{ "padding of 255 in 8 bytes",
		  { 0x45, 1, 2, 3, 4, 5, 255, 4 },
		  8,
		  VERDICT_BAD_PADDING,
		  0 },
		{ "not a multiple of 4", { 0x45, 1, 2, 2, 4 }, 5, VERDICT_BAD_PADDING, 0 },
		{ "one byte short", { 0x45, 0, 4 }, 3, VERDICT_TRUNCATED, 0 },
	};
	uint8_t room[ROOM];

	(void)state;
	for (const struct row *row = rows; row < rows + sizeof(rows) / sizeof(*rows); row++) {
		struct opening o = open_plaintext(room, row->text, row->text_bytes);

		if (o.verdict != row->verdict || o.payload_bytes != row->payload_bytes)
			fail_msg("%s: %s, %zu bytes", row->what, verdict_name(o.verdict),
				 o.payload_bytes);
	}
}

static void padding_up_to_255_bytes(void **state)
{
	uint8_t room[ROOM];
	struct sealing s = sealing_of(room, 21, 1);
	struct opening o;

	(void)state;
	s.pad_extra = 252; /* 1 + 252 = 253: trailer ends on a word */
	s.tfc_bytes = 100;
	envelope_seal(&aead_sodium, NULL, &s, 1);
	assert_int_equal(s.record_bytes % ENVELOPE_ALIGN_BYTES, 0);
	o = open_one(s.record, s.record_bytes, &key);
	assert_int_equal(o.verdict, VERDICT_PASS);
	assert_int_equal(o.payload_bytes, 121);
	for (size_t i = 21; i < 121; i++)
		assert_int_equal(o.payload[i], 0);
}

static void any_flipped_bit_is_a_forgery(void **state)
{
	(void)state;
	for (size_t bit = 0; bit < 8 * envelope_bytes(40); bit++) {
		uint8_t room[ROOM];
		struct sealing s = sealing_of(room, 40, 9);

		envelope_seal(&aead_sodium, NULL, &s, 1);
		room[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_one(s.record, s.record_bytes, &key).verdict, VERDICT_FORGED);
	}
}

static int start_sodium(void **state)
{
	(void)state;
	return aead_sodium.start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_packets_agree),
		cmocka_unit_test(sizes_are_as_stated),
		cmocka_unit_test(iv_is_the_sequence_number),
		cmocka_unit_test(each_of_a_batch_is_judged_by_itself),
		cmocka_unit_test(trailers_are_checked),
		cmocka_unit_test(padding_up_to_255_bytes),
		cmocka_unit_test(any_flipped_bit_is_a_forgery),
	};

	return cmocka_run_group_tests(tests, start_sodium, NULL);
}
