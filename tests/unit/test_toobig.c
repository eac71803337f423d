/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/toobig.h"

#include "minivpn/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>

static struct address from4, from6;
static uint8_t packet[65535];
static uint8_t room[TOOBIG_ANSWER_BYTES];

static int addresses(void **state)
{
	(void)state;
	return !address_parse("10.7.0.1", &from4) || !address_parse("fd00::1", &from6);
}

/* An IPv4 packet from 10.7.0.2 to 192.0.2.9 whose payload bytes all differ from their neighbours. */
static void make_ipv4(unsigned bytes, uint8_t protocol, unsigned place)
{
	static const uint8_t header[20] = { 0x45, 0x2e, 0,  0, 0x12, 0x34, 0,   0, 63, 0,
					    0,    0,    10, 7, 0,    2,    192, 0, 2,  9 };

	for (unsigned i = 0; i < bytes; i++)
		packet[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(packet, header, sizeof(header));
	packet[2] = (uint8_t)(bytes >> 8);
	packet[3] = (uint8_t)bytes;
	packet[6] = (uint8_t)(place >> 8);
	packet[7] = (uint8_t)place;
	packet[9] = protocol;
	checksum_ipv4_header(packet);
}

/* An IPv6 packet from fd00::2 to 2001:db8::9. */
static void make_ipv6(unsigned bytes, uint8_t next_header)
{
	for (unsigned i = 0; i < bytes; i++)
		packet[i] = (uint8_t)(i * 7 + i / 256);
	memset(packet, 0, IPV6_HEADER_BYTES);
	packet[0] = 0x60;
	packet[4] = (uint8_t)((bytes - IPV6_HEADER_BYTES) >> 8);
	packet[5] = (uint8_t)(bytes - IPV6_HEADER_BYTES);
	packet[6] = next_header;
	packet[7] = 63;
	packet[8] = 0xfd;
	packet[23] = 2;
	memcpy(packet + 24, (uint8_t[4]){ 0x20, 0x01, 0x0d, 0xb8 }, 4);
	packet[39] = 9;
}

static size_t answer(uint32_t mtu)
{
	struct inner inner;

	assert_int_equal(inner_parse(packet, sizeof(packet), &inner), VERDICT_PASS);
	return toobig_answer(packet, &inner, mtu, inner.version == 4 ? &from4 : &from6, room);
}

static void ipv4_answer(void **state)
{
	struct inner inner;
	size_t n;

	(void)state;
	make_ipv4(1500, IPPROTO_TCP, 0x4000);
	n = answer(1438);
	assert_int_equal(n, 576);
	assert_int_equal(inner_parse(room, n, &inner), VERDICT_PASS);
	assert_int_equal(inner.bytes, n);
	assert_int_equal(inner.protocol, IPPROTO_ICMP);
	assert_true(address_equal(&inner.source, &from4));
	assert_memory_equal(room + 16, packet + 12, 4);
	assert_int_equal(room[20], 3);
	assert_int_equal(room[21], 4);
	assert_int_equal(room[26] << 8 | room[27], 1438);
	assert_memory_equal(room + 28, packet, n - 28);
	assert_int_equal(be16_to(checksum_fold(checksum_add(0, room, 20))), 0xffff);
	assert_int_equal(be16_to(checksum_fold(checksum_add(0, room + 20, n - 20))), 0xffff);
}

static void ipv6_answer(void **state)
{
	struct inner inner;
	uint64_t sum;
	size_t n;

	(void)state;
	make_ipv6(1500, IPPROTO_UDP);
	n = answer(1418);
	assert_int_equal(n, 1280);
	assert_int_equal(inner_parse(room, n, &inner), VERDICT_PASS);
	assert_int_equal(inner.bytes, n);
	assert_int_equal(inner.protocol, IPPROTO_ICMPV6);
	assert_true(address_equal(&inner.source, &from6));
	assert_memory_equal(room + 24, packet + 8, 16);
	assert_int_equal(room[40], 2);
	assert_int_equal(room[41], 0);
	assert_int_equal(room[46] << 8 | room[47], 1418);
	assert_memory_equal(room + 48, packet, n - 48);
	sum = checksum_pseudo(room, IPPROTO_ICMPV6, n - 40);
	assert_int_equal(be16_to(checksum_fold(checksum_add(sum, room + 40, n - 40))), 0xffff);
}

static void short_packets_are_quoted_whole(void **state)
{
	(void)state;
	make_ipv4(200, IPPROTO_UDP, 0x4000);
	assert_int_equal(answer(100), 20 + 8 + 200);
	make_ipv6(1281, IPPROTO_UDP);
	assert_int_equal(answer(1280), 1280);
}

static void ipv6_is_never_told_less_than_1280(void **state)
{
	(void)state;
	make_ipv6(1400, IPPROTO_UDP);
	assert_int_equal(answer(600), 1280);
	assert_int_equal(room[46] << 8 | room[47], 1280);
}

static void ipv4_silence(void **state)
{
	static const struct {
		const char *why;
		uint8_t protocol;
		unsigned place;
		unsigned at;
		uint8_t value;
		bool answered;
	} rows[] = {
		{ "plain", IPPROTO_UDP, 0, 1, 0, true },
		{ "first fragment", IPPROTO_UDP, 0x2000, 1, 0, true },
		{ "later fragment", IPPROTO_UDP, 0x2001, 1, 0, false },
		{ "last fragment", IPPROTO_UDP, 0x00b9, 1, 0, false },
		{ "echo request", IPPROTO_ICMP, 0, 20, 8, true },
		{ "unreachable", IPPROTO_ICMP, 0, 20, 3, false },
		{ "source quench", IPPROTO_ICMP, 0, 20, 4, false },
		{ "redirect", IPPROTO_ICMP, 0, 20, 5, false },
		{ "time exceeded", IPPROTO_ICMP, 0, 20, 11, false },
		{ "parameter problem", IPPROTO_ICMP, 0, 20, 12, false },
		{ "from 0/8", IPPROTO_UDP, 0, 12, 0, false },
		{ "from loopback", IPPROTO_UDP, 0, 12, 127, false },
		{ "from multicast", IPPROTO_UDP, 0, 12, 224, false },
		{ "to multicast", IPPROTO_UDP, 0, 16, 239, false },
		{ "to broadcast", IPPROTO_UDP, 0, 16, 255, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		make_ipv4(1500, rows[i].protocol, rows[i].place);
		packet[rows[i].at] = rows[i].value;
		if ((answer(1400) != 0) != rows[i].answered)
			fail_msg("%s", rows[i].why);
	}
}

static void ipv6_silence(void **state)
{
	static const struct {
		const char *why;
		uint8_t next_header;
		uint8_t payload[16];
		bool answered;
	} rows[] = {
		{ "echo request", IPPROTO_ICMPV6, { 128 }, true },
		{ "unreachable", IPPROTO_ICMPV6, { 1 }, false },
		{ "unassigned error", IPPROTO_ICMPV6, { 127 }, false },
		{ "redirect", IPPROTO_ICMPV6, { 137 }, false },
		{ "first fragment", IPPROTO_FRAGMENT, { IPPROTO_UDP, 0, 0, 1 }, true },
		{ "later fragment", IPPROTO_FRAGMENT, { IPPROTO_UDP, 0, 0, 8 }, false },
		{ "error in a first fragment",
		  IPPROTO_FRAGMENT,
		  { IPPROTO_ICMPV6, 0, 0, 1, 0, 0, 0, 0, 1 },
		  false },
		{ "error behind options",
		  IPPROTO_DSTOPTS,
		  { IPPROTO_ICMPV6, 0, 1, 4, 0, 0, 0, 0, 3 },
		  false },
		{ "UDP behind options",
		  IPPROTO_HOPOPTS,
		  { IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0, 3 },
		  true },
		{ "options without end", IPPROTO_HOPOPTS, { IPPROTO_ICMPV6, 255, 1, 4 }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		make_ipv6(1500, rows[i].next_header);
		memcpy(packet + IPV6_HEADER_BYTES, rows[i].payload, sizeof(rows[i].payload));
		if ((answer(1400) != 0) != rows[i].answered)
			fail_msg("%s", rows[i].why);
	}
	make_ipv6(1500, IPPROTO_UDP);
	packet[8] = 0xff;
	assert_int_equal(answer(1400), 0);
	memset(packet + 8, 0, 16);
	assert_int_equal(answer(1400), 0);
	make_ipv6(1500, IPPROTO_UDP);
	packet[24] = 0xff;
	assert_int_not_equal(answer(1400), 0);
}

static void families_do_not_mix(void **state)
{
	struct address none = { { 0 } };
	struct inner inner;

	(void)state;
	make_ipv4(1500, IPPROTO_UDP, 0);
	assert_int_equal(inner_parse(packet, sizeof(packet), &inner), VERDICT_PASS);
	assert_int_equal(toobig_answer(packet, &inner, 1400, &from6, room), 0);
	assert_int_equal(toobig_answer(packet, &inner, 1400, &none, room), 0);
	make_ipv6(1500, IPPROTO_UDP);
	assert_int_equal(inner_parse(packet, sizeof(packet), &inner), VERDICT_PASS);
	assert_int_equal(toobig_answer(packet, &inner, 1400, &from4, room), 0);
	assert_int_equal(toobig_answer(packet, &inner, 1400, &none, room), 0);
}

static void no_answer_comes_from_a_group(void **state)
{
	struct address group4, group6;
	struct inner inner;

	(void)state;
	assert_true(address_parse("239.1.2.3", &group4) && address_parse("ff02::1", &group6));
	make_ipv4(1500, IPPROTO_UDP, 0);
	assert_int_equal(inner_parse(packet, sizeof(packet), &inner), VERDICT_PASS);
	assert_int_equal(toobig_answer(packet, &inner, 1400, &group4, room), 0);
	make_ipv6(1500, IPPROTO_UDP);
	assert_int_equal(inner_parse(packet, sizeof(packet), &inner), VERDICT_PASS);
	assert_int_equal(toobig_answer(packet, &inner, 1400, &group6, room), 0);
}

/* Put fragments together again, each at the place it names; true if they cover @bytes of payload
 * behind @base, only the last of them without "more fragments" (unless @more). */
static bool reassemble(struct fragments *f, uint32_t base, bool more, uint8_t *to, size_t bytes)
{
	uint8_t fragment[65535];
	struct inner inner;
	size_t n, covered = 0;
	bool last = false;

	while ((n = fragments_next(f, fragment)) > 0) {
		size_t header = (size_t)(fragment[0] & 15) * 4, offset;

		assert_true(n <= f->mtu);
		assert_int_equal(inner_parse(fragment, n, &inner), VERDICT_PASS);
		assert_int_equal(inner.bytes, n);
		assert_int_equal(be16_to(checksum_fold(checksum_add(0, fragment, header))), 0xffff);
		assert_memory_equal(fragment + 4, f->packet + 4, 2);
		assert_memory_equal(fragment + 8, f->packet + 8, 2);
		assert_memory_equal(fragment + 12, f->packet + 12, 8);
		assert_false(last);
		last = !(fragment[6] & 0x20);
		offset = (size_t)((fragment[6] & 0x1f) << 8 | fragment[7]) * 8 - base;
		assert_int_equal(offset, covered);
		assert_true(offset + n - header <= bytes);
		memcpy(to + offset, fragment + header, n - header);
		covered += n - header;
	}
	return covered == bytes && last == !more;
}

static void fragments_make_the_packet_again(void **state)
{
	static const uint32_t mtus[] = { 68, 69, 576, 1280, 1399, 1400 };
	static uint8_t again[65535];
	struct fragments f;
	struct inner inner;

	(void)state;
	for (size_t i = 0; i < sizeof(mtus) / sizeof(*mtus); i++) {
		for (unsigned bytes = 1401; bytes < 1420; bytes++) {
			make_ipv4(bytes, IPPROTO_UDP, 0);
			assert_int_equal(inner_parse(packet, bytes, &inner), VERDICT_PASS);
			assert_true(fragments_begin(&f, packet, &inner, mtus[i]));
			assert_true(reassemble(&f, 0, false, again, bytes - 20));
			assert_memory_equal(again, packet + 20, bytes - 20);
			assert_int_equal(fragments_next(&f, again), 0);
		}
	}
}

static void fragments_of_fragments(void **state)
{
	static uint8_t again[65535];
	struct fragments f;
	struct inner inner;

	(void)state;
	make_ipv4(1420, IPPROTO_UDP, 0x2000 | 100);
	assert_int_equal(inner_parse(packet, 1420, &inner), VERDICT_PASS);
	assert_true(fragments_begin(&f, packet, &inner, 600));
	assert_true(reassemble(&f, 800, true, again, 1400));
	assert_memory_equal(again, packet + 20, 1400);

	make_ipv4(1420, IPPROTO_UDP, 100);
	assert_true(fragments_begin(&f, packet, &inner, 600));
	assert_true(reassemble(&f, 800, false, again, 1400));
}

static void only_copied_options_go_on(void **state)
{
	/* record route (not copied), two NOPs, router alert (copied), stream id (copied), end */
	static const uint8_t options[20] = { 7, 7, 4, 0,    0, 0, 0, 1, 1, 0x94,
					     4, 0, 0, 0x88, 4, 1, 2, 0, 9, 9 };
	static const uint8_t copied[8] = { 0x94, 4, 0, 0, 0x88, 4, 1, 2 };
	uint8_t fragment[600];
	struct fragments f;
	struct inner inner;

	(void)state;
	make_ipv4(1400, IPPROTO_UDP, 0);
	packet[0] = 0x4a;
	memcpy(packet + 20, options, sizeof(options));
	assert_int_equal(inner_parse(packet, 1400, &inner), VERDICT_PASS);
	assert_true(fragments_begin(&f, packet, &inner, 600));
	assert_int_equal(fragments_next(&f, fragment), 600);
	assert_int_equal(fragment[0], 0x4a);
	assert_memory_equal(fragment + 20, options, sizeof(options));
	assert_int_equal(fragments_next(&f, fragment), 28 + 568);
	assert_int_equal(fragment[0], 0x47);
	assert_memory_equal(fragment + 20, copied, sizeof(copied));
	assert_memory_equal(fragment + 28, packet + 600, 568);

	/* an option that reaches beyond the header: the fragments do without */
	packet[30] = 12;
	assert_true(fragments_begin(&f, packet, &inner, 600));
	assert_int_equal(fragments_next(&f, fragment), 600);
	assert_int_equal(fragments_next(&f, fragment), 20 + 576);
	assert_int_equal(fragment[0], 0x45);
}

static void what_is_not_cut(void **state)
{
	struct fragments f;
	struct inner inner;

	(void)state;
	make_ipv4(1400, IPPROTO_UDP, 0x4000);
	assert_int_equal(inner_parse(packet, 1400, &inner), VERDICT_PASS);
	assert_false(fragments_begin(&f, packet, &inner, 600));
	make_ipv4(1400, IPPROTO_UDP, 0);
	assert_int_equal(inner_parse(packet, 1400, &inner), VERDICT_PASS);
	assert_false(fragments_begin(&f, packet, &inner, 67));
	assert_false(fragments_begin(&f, packet, &inner, 1400));
	make_ipv4(1400, IPPROTO_UDP, 0x1fff);
	assert_false(fragments_begin(&f, packet, &inner, 600));
	make_ipv6(1400, IPPROTO_UDP);
	assert_int_equal(inner_parse(packet, 1400, &inner), VERDICT_PASS);
	assert_false(fragments_begin(&f, packet, &inner, 600));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_answer),
		cmocka_unit_test(ipv6_answer),
		cmocka_unit_test(short_packets_are_quoted_whole),
		cmocka_unit_test(ipv6_is_never_told_less_than_1280),
		cmocka_unit_test(ipv4_silence),
		cmocka_unit_test(ipv6_silence),
		cmocka_unit_test(families_do_not_mix),
		cmocka_unit_test(no_answer_comes_from_a_group),
		cmocka_unit_test(fragments_make_the_packet_again),
		cmocka_unit_test(fragments_of_fragments),
		cmocka_unit_test(only_copied_options_go_on),
		cmocka_unit_test(what_is_not_cut),
	};

	return cmocka_run_group_tests(tests, addresses, NULL);
}
