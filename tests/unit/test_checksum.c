/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>

/* RFC 1071 as its section 1 has it: big-endian words, carries taken round at once. */
static uint16_t naive(const uint8_t *bytes, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static void example_of_the_rfc(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	uint64_t sum = checksum_add(0, bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(be16_to(checksum_fold(sum)), 0xddf2); /* RFC 1071 section 3 */
	assert_int_equal(be16_to(checksum_finish(sum)), 0x220d);
}

static void agrees_with_the_naive_sum(void **state)
{
	static uint8_t bytes[4096];
	unsigned seed = 20260101;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(rand_r(&seed) >> 8);
	for (size_t n = 0; n < 600; n++)
		for (size_t start = 0; start < 9; start++)
			assert_int_equal(be16_to(checksum_fold(checksum_add(0, bytes + start, n))),
					 naive(bytes + start, n));
}

static void carries_are_not_lost(void **state)
{
	static uint8_t ones[65535];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (size_t n = 0; n < sizeof(ones); n += n < 200 ? 1 : 997)
		assert_int_equal(be16_to(checksum_fold(checksum_add(UINT32_MAX, ones, n))),
				 n % 2 ? 0xff00 : 0xffff);
}

static void pieces_give_the_same_as_the_whole(void **state)
{
	uint8_t bytes[300];
	uint64_t whole, pieces;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37);
	whole = checksum_add(0, bytes, 299);
	pieces = checksum_add(checksum_add(0, bytes, 130), bytes + 130, 169);
	assert_int_equal(be16_to(checksum_fold(whole)), be16_to(checksum_fold(pieces)));
}

static void copying_sums_up_the_same_and_writes_no_more(void **state)
{
	static uint8_t bytes[1600], copy[1600];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 >> 3);
	for (size_t n = 0; n < 1500; n++) {
		size_t start = n % 11;

		memset(copy, 0xa5, sizeof(copy));
		assert_int_equal(
			be16_to(checksum_fold(checksum_copy(0, copy + 8, bytes + start, n))),
			naive(bytes + start, n));
		assert_memory_equal(copy + 8, bytes + start, n);
		assert_int_equal(copy[7], 0xa5);
		assert_int_equal(copy[8 + n], 0xa5);
	}
}

static void pseudo_headers(void **state)
{
	static const uint8_t expected4[12] = {
		10, 1, 2, 3, 192, 0, 2, 9, 0, IPPROTO_TCP, 0x05, 0x14
	};
	uint8_t ip4[20] = { 0x45 }, ip6[40] = { 0x60 }, expected6[40] = { 0 };

	(void)state;
	memcpy(ip4 + 12, expected4, 8);
	assert_int_equal(be16_to(checksum_fold(checksum_pseudo(ip4, IPPROTO_TCP, 1300))),
			 naive(expected4, sizeof(expected4)));

	for (size_t i = 0; i < 32; i++)
		ip6[8 + i] = expected6[i] = (uint8_t)(i * 11 + 1);
	expected6[34] = 0xea; /* 60000 */
	expected6[35] = 0x60;
	expected6[39] = IPPROTO_UDP;
	assert_int_equal(be16_to(checksum_fold(checksum_pseudo(ip6, IPPROTO_UDP, 60000))),
			 naive(expected6, sizeof(expected6)));
}

static void header_checksum_of_ipv4(void **state)
{
	uint8_t ip[24] = { 0x46, 0, 0, 24, 0x12, 0x34, 0x40, 0, 64,   IPPROTO_UDP, 0xaa, 0xaa,
			   10,   0, 0, 1,  10,   0,    0,    2, 0x94, 4,           0,    0 };

	(void)state;
	checksum_ipv4_header(ip);
	assert_int_equal(naive(ip, sizeof(ip)), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example_of_the_rfc),
		cmocka_unit_test(agrees_with_the_naive_sum),
		cmocka_unit_test(carries_are_not_lost),
		cmocka_unit_test(pieces_give_the_same_as_the_whole),
		cmocka_unit_test(copying_sums_up_the_same_and_writes_no_more),
		cmocka_unit_test(pseudo_headers),
		cmocka_unit_test(header_checksum_of_ipv4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
