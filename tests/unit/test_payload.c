/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of docs/protocol.md sections 5 and 6, one row a rule. */
#include "minivpn/payload.h"

#include "minivpn/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Hex, in which blanks may separate items. */
static size_t bytes_of(const char *hex, uint8_t *ret_bytes, size_t room)
{
	size_t bytes;

	if (sodium_hex2bin(ret_bytes, room, hex, strlen(hex), " ", &bytes, NULL) != 0)
		fail_msg("the test's own hex is wrong: '%s'", hex);
	return bytes;
}

/* Parses the items of @hex, with zeros to the end of the message behind them. */
static enum verdict parse(const char *hex, enum payload_kind kind, bool from_server,
			  struct payload *ret_payload)
{
	uint8_t message[INIT_PAYLOAD_BYTES] = { 0 };
	size_t size = kind == PAYLOAD_INIT ? INIT_PAYLOAD_BYTES : RESPONSE_PAYLOAD_MAX_BYTES;

	bytes_of(hex, message, size);
	return payload_parse(message, size, kind, from_server, ret_payload);
}

#define SPI       "8104 00000100"
#define FOUR_SPIS "00000100 00000101 00000102 00000103"
#define FIFTEEN_SPI                                                                \
	FOUR_SPIS "10000104 10000105 10000106 10000107 20000108 20000109 2000010a" \
		  "2000010b 3000010c 3000010d 3000010e"

static void every_rule_is_kept(void **state)
{
	enum { I = 1, R = 2, BOTH = 3 };
	static const struct {
		const char *rule;
		int in;
		enum verdict verdict;
		const char *items;
	} rows[] = {
		{ "SPIs are enough", BOTH, VERDICT_PASS, SPI },
		{ "SPIs are required", BOTH, VERDICT_BAD_PAYLOAD, "" },
		{ "SPIs are required beside others", BOTH, VERDICT_BAD_PAYLOAD, "02020500" },
		{ "SPIs come in any place", BOTH, VERDICT_PASS, "02020500" SPI "030102" },
		{ "no SPI in the list", BOTH, VERDICT_BAD_PAYLOAD, "8100" },
		{ "an SPI and a half", BOTH, VERDICT_BAD_PAYLOAD, "8106 00000100 0000" },
		{ "16 SPIs", BOTH, VERDICT_PASS, "8140" FIFTEEN_SPI "ffffffff" },
		{ "17 SPIs", BOTH, VERDICT_BAD_PAYLOAD, "8144" FIFTEEN_SPI "fffffffe ffffffff" },
		{ "SPI 255", BOTH, VERDICT_BAD_PAYLOAD, "8104 000000ff" },
		{ "SPI 0", BOTH, VERDICT_BAD_PAYLOAD, "8108 00000100 00000000" },
		{ "an SPI twice", BOTH, VERDICT_BAD_PAYLOAD, "810c 00000100 00000101 00000100" },
		{ "SPIs once", BOTH, VERDICT_BAD_PAYLOAD, SPI "8104 00000101" },

		{ "MTU of one byte", BOTH, VERDICT_BAD_PAYLOAD, SPI "020105" },
		{ "MTU of three bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "0203000500" },
		{ "MTU once", BOTH, VERDICT_BAD_PAYLOAD, SPI "02020500 02020500" },
		{ "16 workers", BOTH, VERDICT_PASS, SPI "030110" },
		{ "17 workers", BOTH, VERDICT_BAD_PAYLOAD, SPI "030111" },
		{ "no worker", BOTH, VERDICT_BAD_PAYLOAD, SPI "030100" },
		{ "workers of two bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "03020001" },
		{ "workers once", BOTH, VERDICT_BAD_PAYLOAD, SPI "030101 030101" },
		{ "flags of three bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "0403000001" },
		{ "flags of five bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "04050000000001" },
		{ "flags once", BOTH, VERDICT_BAD_PAYLOAD, SPI "040400000001 040400000001" },
		{ "transport UDP", BOTH, VERDICT_PASS, SPI "050100" },
		{ "transport ESP", BOTH, VERDICT_PASS, SPI "050101" },
		{ "transport 2", BOTH, VERDICT_BAD_PAYLOAD, SPI "050102" },
		{ "transport empty", BOTH, VERDICT_BAD_PAYLOAD, SPI "0500" },
		{ "transport once", BOTH, VERDICT_BAD_PAYLOAD, SPI "050100 050101" },
		{ "version 255", BOTH, VERDICT_PASS, SPI "0601ff" },
		{ "version 0", BOTH, VERDICT_BAD_PAYLOAD, SPI "060100" },
		{ "version of two bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "06020001" },
		{ "version once", BOTH, VERDICT_BAD_PAYLOAD, SPI "060101 060101" },

		{ "IPv4 address of four bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "10040a000001" },
		{ "IPv4 address of 17 bytes", BOTH, VERDICT_BAD_PAYLOAD,
		  SPI "1011 fd000000000000000000000000000001 40" },
		{ "IPv6 address of five bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "11050a00000118" },
		{ "IPv4 route of six bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "12060a0000000800" },
		{ "IPv6 route of 16 bytes", BOTH, VERDICT_BAD_PAYLOAD,
		  SPI "1310 fd000000000000000000000000000000" },
		{ "IPv4 DNS of five bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "14050a00000118" },
		{ "IPv6 DNS of four bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "15040a000001" },
		{ "empty search domain", BOTH, VERDICT_BAD_PAYLOAD, SPI "1600" },
		{ "search domain once", BOTH, VERDICT_BAD_PAYLOAD, SPI "160161 160162" },
		{ "seen as, of seven bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "1707c0000201119400" },
		{ "seen as, of five bytes", BOTH, VERDICT_BAD_PAYLOAD, SPI "1705c000020111" },
		{ "seen as once", BOTH, VERDICT_BAD_PAYLOAD,
		  SPI "1706c00002011194 1706c00002011194" },
		{ "addresses repeat", BOTH, VERDICT_PASS, SPI "10050a00000118 10050a00000218" },

		{ "refused", I, VERDICT_BAD_PAYLOAD, "8f0102" },
		{ "refused beside SPIs", I, VERDICT_BAD_PAYLOAD, "8f0102" SPI },
		{ "refused", R, VERDICT_PASS, "8f0102" },
		{ "refused, with a byte", R, VERDICT_PASS, "8f020191" },
		{ "refused for a reason of the future", R, VERDICT_PASS, "8f01c8" },
		{ "refused for no reason", R, VERDICT_BAD_PAYLOAD, "8f00" },
		{ "refused for reason 0", R, VERDICT_BAD_PAYLOAD, "8f0100" },
		{ "refused with two bytes", R, VERDICT_BAD_PAYLOAD, "8f03019100" },
		{ "refused alone, not with SPIs", R, VERDICT_BAD_PAYLOAD, SPI "8f0102" },
		{ "refused alone, not before SPIs", R, VERDICT_BAD_PAYLOAD, "8f0102" SPI },
		{ "refused alone, not with the unknown", R, VERDICT_BAD_PAYLOAD, "8f0102 4200" },
		{ "refused alone, not with itself", R, VERDICT_BAD_PAYLOAD, "8f0102 8f0102" },

		{ "unknown item", BOTH, VERDICT_PASS, SPI "420361626342036162634200" },
		{ "unknown item, type 1", BOTH, VERDICT_PASS, SPI "010100" },
		{ "unknown critical item", BOTH, VERDICT_UNKNOWN_ITEM, SPI "c20100" },
		{ "unknown critical item, empty", BOTH, VERDICT_UNKNOWN_ITEM, SPI "c200" },
		{ "critical bit makes another item", BOTH, VERDICT_UNKNOWN_ITEM, SPI "82020500" },
		{ "not the critical bit too", BOTH, VERDICT_BAD_PAYLOAD, "0104 00000100" },
		{ "critical before SPIs", BOTH, VERDICT_UNKNOWN_ITEM, "8000" SPI },
		{ "critical without SPIs", BOTH, VERDICT_BAD_PAYLOAD, "8000" },
		{ "critical, then bad", BOTH, VERDICT_BAD_PAYLOAD, SPI "8000 030100" },

		{ "zeros behind the end item", BOTH, VERDICT_PASS, SPI "000000" },
		{ "a byte behind the end item", BOTH, VERDICT_BAD_PAYLOAD, SPI "00 01" },
		{ "an item behind the end item", BOTH, VERDICT_BAD_PAYLOAD, SPI "00 02020500" },
		{ "end item first", BOTH, VERDICT_BAD_PAYLOAD, "00" SPI },
	};
	struct payload before, p;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int kind = PAYLOAD_INIT; kind <= PAYLOAD_RESPONSE; kind++) {
			enum verdict verdict;

			if (!(rows[i].in & (kind == PAYLOAD_INIT ? I : R)))
				continue;
			p = before;
			verdict = parse(rows[i].items, kind, true, &p);
			if (verdict != rows[i].verdict)
				fail_msg("%s (%s): %s", rows[i].rule, kind ? "Response" : "Init",
					 verdict_name(verdict));
			if (verdict == VERDICT_BAD_PAYLOAD)
				assert_memory_equal(&p, &before, sizeof(p));
		}
}

/* The list may fill the message to its last byte; no byte is read behind it. */
static void items_are_not_cut_off(void **state)
{
	static const char *const whole = SPI "02020500 4203616263";
	uint8_t message[32];
	size_t bytes = bytes_of(whole, message, sizeof(message));
	struct payload p;

	(void)state;
	assert_int_equal(payload_parse(message, bytes, PAYLOAD_INIT, false, &p), VERDICT_PASS);
	assert_int_equal(p.mtu, 1280);
	for (size_t cut = 0; cut < bytes; cut++) {
		bool between = cut == 6 || cut == 10;
		enum verdict expected = between ? VERDICT_PASS : VERDICT_BAD_PAYLOAD;
		uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees the end */

		memcpy(exact, message, cut);
		if (payload_parse(exact, cut, PAYLOAD_INIT, false, &p) != expected)
			fail_msg("cut at %zu", cut);
		free(exact);
	}
}

static void absent_items_have_defaults(void **state)
{
	struct payload p;

	(void)state;
	assert_int_equal(parse(SPI, PAYLOAD_RESPONSE, true, &p), VERDICT_PASS);
	assert_int_equal(p.spi_count, 1);
	assert_int_equal(p.spi[0], 256);
	assert_int_equal(p.mtu, UINT16_MAX);
	assert_int_equal(p.workers, 1);
	assert_int_equal(p.flags, 0);
	assert_int_equal(p.transport, TRANSPORT_UDP);
	assert_int_equal(p.version, 1);
	assert_int_equal(p.address_count + p.route_count + p.dns_count, 0);
	assert_string_equal(p.search_domain, "");
	assert_true(endpoint_is_none(&p.seen_as));
	assert_int_equal(p.refusal, REFUSAL_NONE);
	assert_int_equal(p.unknown_critical, 0);
	assert_int_equal(p.impossible, 0);
}

static void values_are_read(void **state)
{
	static const struct {
		const char *items;
		uint16_t mtu;
		uint8_t workers;
		uint32_t flags;
		enum transport_wish transport;
		uint8_t version;
	} rows[] = {
		{ SPI "0202059e 030110 040400000001 050101 060103", 1438, 16, 1, TRANSPORT_ESP, 3 },
		{ SPI "02020500", 1280, 1, 0, TRANSPORT_UDP, 1 },
		{ SPI "020204ff", 1280, 1, 0, TRANSPORT_UDP, 1 },
		{ SPI "02020000", 1280, 1, 0, TRANSPORT_UDP, 1 },
		{ SPI "0202ffff", 65535, 1, 0, TRANSPORT_UDP, 1 },
		{ SPI "0404ffffffff", 65535, 1, 1, TRANSPORT_UDP, 1 },
		{ SPI "0404fffffffe", 65535, 1, 0, TRANSPORT_UDP, 1 },
	};
	struct payload p;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(parse(rows[i].items, PAYLOAD_INIT, false, &p), VERDICT_PASS);
		assert_int_equal(p.mtu, rows[i].mtu);
		assert_int_equal(p.workers, rows[i].workers);
		assert_int_equal(p.flags, rows[i].flags);
		assert_int_equal(p.transport, rows[i].transport);
		assert_int_equal(p.version, rows[i].version);
	}
	assert_int_equal(parse("8108 a1b2c300 a1b2c301", PAYLOAD_INIT, false, &p), VERDICT_PASS);
	assert_int_equal(p.spi_count, 2);
	assert_int_equal(p.spi[0], 0xa1b2c300);
	assert_int_equal(p.spi[1], 0xa1b2c301);

	assert_int_equal(parse("8f020191", PAYLOAD_RESPONSE, true, &p), VERDICT_PASS);
	assert_int_equal(p.refusal, REFUSAL_UNKNOWN_ITEM);
	assert_int_equal(p.refusal_detail, 0x91);
	assert_int_equal(parse("8f01c8", PAYLOAD_RESPONSE, true, &p), VERDICT_PASS);
	assert_int_equal(p.refusal, 200);
	assert_int_equal(p.refusal_detail, 0);

	assert_int_equal(parse("c100 c200" SPI, PAYLOAD_INIT, false, &p), VERDICT_UNKNOWN_ITEM);
	assert_int_equal(p.unknown_critical, 0xc1);
	assert_int_equal(p.spi[0], 256);
}

/* What of a server's configuration is used, as text; and what is ignored and counted. */
static void impossible_entries_are_ignored_and_counted(void **state)
{
	static const struct {
		const char *item;
		const char *used; /* NULL: impossible */
	} rows[] = {
		{ "1005 0a010203 18", "address 10.1.2.3/24" },
		{ "1005 0a010203 20", "address 10.1.2.3/32" },
		{ "1005 0a010203 21", NULL },
		{ "1005 0a010203 00", NULL },
		{ "1005 00000000 18", NULL },
		{ "1005 7f000001 08", NULL },
		{ "1005 a9fe0101 10", NULL },
		{ "1005 e0000001 18", NULL },
		{ "1005 ffffffff 20", NULL },
		{ "1111 fd000000000000000000000000000001 40", "address fd00::1/64" },
		{ "1111 fd000000000000000000000000000001 80", "address fd00::1/128" },
		{ "1111 fd000000000000000000000000000001 81", NULL },
		{ "1111 00000000000000000000000000000000 40", NULL },
		{ "1111 00000000000000000000000000000001 80", NULL },
		{ "1111 fe800000000000000000000000000001 40", NULL },
		{ "1111 febf0000000000000000000000000001 40", NULL },
		{ "1111 ff020000000000000000000000000001 40", NULL },
		{ "1111 00000000000000000000ffff0a010203 20", NULL },
		{ "1205 00000000 00", "route 0.0.0.0/0" },
		{ "1205 00000000 01", "route 0.0.0.0/1" },
		{ "1205 80000000 01", "route 128.0.0.0/1" },
		{ "1205 e0000000 03", "route 224.0.0.0/3" },
		{ "1205 0a010200 18", "route 10.1.2.0/24" },
		{ "1205 0a010203 20", "route 10.1.2.3/32" },
		{ "1205 0a010203 18", NULL },
		{ "1205 0a010200 21", NULL },
		{ "1205 7f000000 08", NULL },
		{ "1205 7f000001 20", NULL },
		{ "1205 a9fe0000 10", NULL },
		{ "1205 e0000000 04", NULL },
		{ "1205 ef010000 10", NULL },
		{ "1205 00000000 20", NULL },
		{ "1311 00000000000000000000000000000000 00", "route ::/0" },
		{ "1311 20010db8000000000000000000000000 20", "route 2001:db8::/32" },
		{ "1311 20010db8000000000000000000000001 20", NULL },
		{ "1311 20010db8000000000000000000000000 81", NULL },
		{ "1311 fe800000000000000000000000000000 40", NULL },
		{ "1311 ff000000000000000000000000000000 08", NULL },
		{ "1311 00000000000000000000000000000001 80", NULL },
		{ "1311 00000000000000000000ffff0a000000 68", NULL },
		{ "1404 0a010201", "dns 10.1.2.1" },
		{ "1404 7f000035", NULL },
		{ "1404 00000000", NULL },
		{ "1404 e0000001", NULL },
		{ "1404 a9fe0001", NULL },
		{ "1510 20010db8000000000000000000000053", "dns 2001:db8::53" },
		{ "1510 fe800000000000000000000000000053", NULL },
		{ "1510 00000000000000000000ffff0a010201", NULL },
		{ "1607 6578616d706c65", "domain example" },
		{ "1608 612d622e392e4379", "domain a-b.9.Cy" },
		{ "1604 612e622e", NULL },
		{ "1603 2e6162", NULL },
		{ "1604 612e2e62", NULL },
		{ "1603 2d6162", NULL },
		{ "1603 61622d", NULL },
		{ "1605 61622d2e63", NULL },
		{ "1603 615f62", NULL },
		{ "1603 612062", NULL },
		{ "1603 610062", NULL },
		{ "1603 61c3a9", NULL },
		{ "163f 616161616161616161616161616161616161616161616161616161616161616161616161"
		  "616161616161616161616161616161616161616161616161616161",
		  "domain aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "1640 616161616161616161616161616161616161616161616161616161616161616161616161"
		  "61616161616161616161616161616161616161616161616161616161",
		  NULL },
		{ "1706 c0000201 1194", "seen 192.0.2.1:4500" },
		{ "1706 7f000001 1194", "seen 127.0.0.1:4500" },
		{ "1712 20010db8000000000000000000000001 ffff", "seen [2001:db8::1]:65535" },
		{ "1712 fe800000000000000000000000000001 0001", "seen [fe80::1]:1" },
		{ "1706 c0000201 0000", NULL },
		{ "1706 00000000 1194", NULL },
		{ "1706 e0000001 1194", NULL },
		{ "1712 ff020000000000000000000000000001 1194", NULL },
		{ "1712 00000000000000000000ffffc0000201 1194", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char items[400], text[300] = "";
		struct payload p;

		strcpy(items, SPI);
		strcat(items, rows[i].item);
		assert_int_equal(parse(items, PAYLOAD_RESPONSE, true, &p), VERDICT_PASS);
		if (p.address_count)
			prefix_print(&p.address[0], strcpy(text, "address ") + 8);
		if (p.route_count)
			prefix_print(&p.route[0], strcpy(text, "route ") + 6);
		if (p.dns_count)
			address_print(&p.dns[0], strcpy(text, "dns ") + 4);
		if (p.search_domain[0])
			strcat(strcpy(text, "domain "), p.search_domain);
		if (!endpoint_is_none(&p.seen_as))
			endpoint_print(&p.seen_as, strcpy(text, "seen ") + 5);
		if (strcmp(text, rows[i].used ? rows[i].used : "") != 0 ||
		    p.impossible != !rows[i].used)
			fail_msg("%s: '%s', %d ignored", rows[i].item, text, p.impossible);

		/* Anywhere else than in a server's Response it does not count at all. */
		for (int kind = PAYLOAD_INIT; kind <= PAYLOAD_RESPONSE; kind++) {
			assert_int_equal(parse(items, kind, kind == PAYLOAD_INIT, &p),
					 VERDICT_PASS);
			assert_int_equal(p.address_count + p.route_count + p.dns_count, 0);
			assert_true(endpoint_is_none(&p.seen_as) && !p.search_domain[0]);
			assert_int_equal(p.impossible, 0);
		}
	}
}

static void long_search_domains(void **state)
{
	for (size_t bytes = 253; bytes <= 254; bytes++) {
		uint8_t message[RESPONSE_PAYLOAD_MAX_BYTES] = { 0x81, 4, 0, 0, 1, 0, 0x16 };
		enum verdict expected = bytes == 253 ? VERDICT_PASS : VERDICT_BAD_PAYLOAD;
		struct payload p;

		(void)state;
		message[7] = (uint8_t)bytes;
		for (size_t i = 0; i < bytes; i++)
			message[8 + i] = i % 64 == 63 ? '.' : 'a';
		assert_int_equal(
			payload_parse(message, sizeof(message), PAYLOAD_RESPONSE, true, &p),
			expected);
		if (expected == VERDICT_PASS)
			assert_int_equal(strlen(p.search_domain), 253);
	}
}

/* Both families share the limit; a fifth, and an impossible one, takes nobody's place. */
static void at_most_four_of_a_kind(void **state)
{
	static const char *const addresses =
		SPI "1005 7f000001 08 1005 0a000001 18 1111 fd000000000000000000000000000001 40"
		    "1005 0a000002 18 1111 fd000000000000000000000000000002 40 1005 0a000003 18";
	static const char *const dns =
		SPI "1404 0a000001 1510 fd000000000000000000000000000001 1404 0a000002"
		    "1404 0a000003 1510 fd000000000000000000000000000002";
	char text[PREFIX_TEXT_BYTES];
	struct payload p;

	(void)state;
	assert_int_equal(parse(addresses, PAYLOAD_RESPONSE, true, &p), VERDICT_PASS);
	assert_int_equal(p.address_count, 4);
	assert_int_equal(p.impossible, 2);
	assert_string_equal(prefix_print(&p.address[3], text), "fd00::2/64");
	assert_int_equal(parse(dns, PAYLOAD_RESPONSE, true, &p), VERDICT_PASS);
	assert_int_equal(p.dns_count, 4);
	assert_int_equal(p.impossible, 1);
	assert_string_equal(address_print(&p.dns[3], text), "10.0.0.3");
}

static void as_many_routes_as_fit(void **state)
{
	struct payload p = { .spi = { 256 }, .spi_count = 1, .route_count = PAYLOAD_ROUTES_MAX };
	uint8_t room[RESPONSE_PAYLOAD_MAX_BYTES];
	struct payload again;
	size_t bytes;

	(void)state;
	for (uint8_t i = 0; i < PAYLOAD_ROUTES_MAX; i++)
		p.route[i] = (struct prefix){ address_from_ipv4((uint8_t[]){ 10, 0, i, 0 }), 24 };
	bytes = payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room));
	assert_int_equal(bytes, 6 + 7 * PAYLOAD_ROUTES_MAX);
	assert_true(bytes <= sizeof(room) && bytes + 7 > sizeof(room));
	assert_int_equal(payload_parse(room, sizeof(room), PAYLOAD_RESPONSE, true, &again),
			 VERDICT_PASS);
	assert_int_equal(again.route_count, PAYLOAD_ROUTES_MAX);
	assert_memory_equal(again.route, p.route, sizeof(p.route));

	p.spi_count = 8; /* does not fit any more: how many bytes are over? */
	for (uint32_t i = 0; i < 8; i++)
		p.spi[i] = 256 + i;
	assert_int_equal(payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room)),
			 2 + 4 * 8 + 7 * PAYLOAD_ROUTES_MAX);
}

/* Compared by what they say: a struct's padding says nothing. */
static void assert_same_payload(const struct payload *a, const struct payload *b)
{
	uint8_t said_by_a[RESPONSE_PAYLOAD_MAX_BYTES], said_by_b[RESPONSE_PAYLOAD_MAX_BYTES];

	assert_int_equal(payload_build(a, PAYLOAD_RESPONSE, said_by_a, sizeof(said_by_a)),
			 payload_build(b, PAYLOAD_RESPONSE, said_by_b, sizeof(said_by_b)));
	assert_memory_equal(said_by_a, said_by_b, sizeof(said_by_a));
}

/* A payload that says everything. */
static struct payload full_payload(void)
{
	struct payload p = {
		.spi = { 0xa1b2c300, 0xa1b2c301 },
		.spi_count = 2,
		.mtu = 1438,
		.workers = 2,
		.flags = PAYLOAD_FLAG_HEARS_IN_BAND,
		.transport = TRANSPORT_ESP,
		.version = 1,
		.address_count = 2,
		.route_count = 2,
		.dns_count = 2,
		.search_domain = "corp.example",
	};

	assert_true(prefix_parse("10.9.0.2/24", &p.address[0]));
	assert_true(prefix_parse("fd00:9::2/64", &p.address[1]));
	assert_true(prefix_parse("0.0.0.0/0", &p.route[0]));
	assert_true(prefix_parse("::/0", &p.route[1]));
	assert_true(address_parse("10.9.0.1", &p.dns[0]));
	assert_true(address_parse("fd00:9::1", &p.dns[1]));
	assert_true(endpoint_parse("192.0.2.7:40000", &p.seen_as));
	return p;
}

static void what_is_built_is_read_back(void **state)
{
	static const char *const expected =
		"8108 a1b2c300 a1b2c301 0202059e 030102 040400000001 050101 060101"
		"1005 0a090002 18 1111 fd000009000000000000000000000002 40"
		"1205 00000000 00 1311 00000000000000000000000000000000 00"
		"1404 0a090001 1510 fd000009000000000000000000000001"
		"160c 636f72702e6578616d706c65 1706 c0000207 9c40";
	uint8_t room[RESPONSE_PAYLOAD_MAX_BYTES], wanted[RESPONSE_PAYLOAD_MAX_BYTES] = { 0 };
	struct payload p = full_payload(), again;
	size_t bytes = bytes_of(expected, wanted, sizeof(wanted));

	(void)state;
	memset(room, 0xff, sizeof(room));
	assert_int_equal(payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room)), bytes);
	assert_memory_equal(room, wanted, sizeof(room));
	assert_int_equal(payload_parse(room, sizeof(room), PAYLOAD_RESPONSE, true, &again),
			 VERDICT_PASS);
	assert_same_payload(&again, &p);

	assert_true(endpoint_parse("[2001:db8::7]:1", &p.seen_as));
	bytes = payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room));
	assert_int_equal(payload_parse(room, bytes, PAYLOAD_RESPONSE, true, &again), VERDICT_PASS);
	assert_same_payload(&again, &p);
}

static void an_init_carries_no_configuration(void **state)
{
	uint8_t room[INIT_PAYLOAD_BYTES];
	struct payload p = full_payload();

	(void)state;
	assert_int_equal(payload_build(&p, PAYLOAD_INIT, room, sizeof(room)),
			 10 + 4 + 3 + 6 + 3 + 3);
}

static void zero_is_not_written(void **state)
{
	struct payload p = { .spi = { 256 }, .spi_count = 1 };
	uint8_t room[RESPONSE_PAYLOAD_MAX_BYTES];

	(void)state;
	assert_int_equal(payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room)), 6);
	assert_memory_equal(room, "\x81\x04\x00\x00\x01\x00\x00\x00", 8);
}

static void a_refusal_is_said_alone(void **state)
{
	struct payload p = full_payload(), again;
	uint8_t room[32];

	(void)state;
	p.refusal = REFUSAL_UNKNOWN_ITEM;
	p.refusal_detail = 0xc2;
	assert_int_equal(payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room)), 4);
	assert_memory_equal(room, "\x8f\x02\x01\xc2\x00", 5);
	p.refusal = REFUSAL_FULL;
	assert_int_equal(payload_build(&p, PAYLOAD_RESPONSE, room, sizeof(room)), 3);
	assert_int_equal(payload_parse(room, sizeof(room), PAYLOAD_RESPONSE, true, &again),
			 VERDICT_PASS);
	assert_int_equal(again.refusal, REFUSAL_FULL);
	assert_int_equal(again.spi_count, 0);
}

static void nothing_is_written_beyond_the_room(void **state)
{
	struct payload p = full_payload();
	uint8_t all[RESPONSE_PAYLOAD_MAX_BYTES];
	size_t bytes = payload_build(&p, PAYLOAD_RESPONSE, all, sizeof(all));

	(void)state;
	for (size_t size = 0; size <= bytes; size++) {
		uint8_t *room = malloc(size ? size : 1); /* so that a sanitizer sees the end */

		assert_int_equal(payload_build(&p, PAYLOAD_RESPONSE, room, size), bytes);
		free(room);
	}
}

static void versions_can_only_be_forced_down_by_a_third(void **state)
{
	struct payload old = { .version = 1 }, new = { .version = 2 };

	(void)state;
	assert_false(payload_forced_down(&old, &old, 1));
	assert_false(payload_forced_down(&old, &new, 1));
	assert_false(payload_forced_down(&new, &old, 1));
	assert_true(payload_forced_down(&new, &new, 1));
	assert_false(payload_forced_down(&new, &new, 2));
}

#define MAGIC "6d767031"

static void every_in_band_rule_is_kept(void **state)
{
	static const struct {
		const char *rule;
		enum verdict verdict;
		const char *payload;
	} rows[] = {
		{ "empty: a keepalive", VERDICT_CONSUMED, "" },
		{ "magic alone", VERDICT_CONSUMED, MAGIC },
		{ "magic and padding", VERDICT_CONSUMED, MAGIC "00000000" },
		{ "half the magic", VERDICT_FOREIGN_DUMMY, "6d7670" },
		{ "another magic", VERDICT_FOREIGN_DUMMY, "6d767032" },
		{ "zeros, as TFC padding may be", VERDICT_FOREIGN_DUMMY, "0000000000000000" },
		{ "Ping", VERDICT_CONSUMED, MAGIC "0108 0102030405060708 00" },
		{ "Ping, padded", VERDICT_CONSUMED, MAGIC "0108 0102030405060708 00000000" },
		{ "Ping, bad padding", VERDICT_IN_BAND_MALFORMED,
		  MAGIC "0108 0102030405060708 000001" },
		{ "Ping of seven bytes", VERDICT_IN_BAND_MALFORMED, MAGIC "0107 01020304050607" },
		{ "Ping of nine bytes", VERDICT_IN_BAND_MALFORMED,
		  MAGIC "0109 010203040506070809" },
		{ "Ping, cut off", VERDICT_IN_BAND_MALFORMED, MAGIC "0108 01020304050607" },
		{ "Ping, length cut off", VERDICT_IN_BAND_MALFORMED, MAGIC "01" },
		{ "Pong of four bytes", VERDICT_IN_BAND_MALFORMED, MAGIC "0204 01020304" },
		{ "Close", VERDICT_CONSUMED, MAGIC "030101" },
		{ "Close for a reason of the future", VERDICT_CONSUMED, MAGIC "0301ff" },
		{ "Close without reason", VERDICT_IN_BAND_MALFORMED, MAGIC "0300" },
		{ "Close with two", VERDICT_IN_BAND_MALFORMED, MAGIC "03020000" },
		{ "Rekey, please", VERDICT_CONSUMED, MAGIC "0400" },
		{ "Rekey with a value", VERDICT_IN_BAND_MALFORMED, MAGIC "040100" },
		{ "Software", VERDICT_CONSUMED, MAGIC "0503 612031" },
		{ "Software, empty", VERDICT_IN_BAND_MALFORMED, MAGIC "0500" },
		{ "Software with a newline", VERDICT_IN_BAND_MALFORMED, MAGIC "0502 610a" },
		{ "Software with an escape", VERDICT_IN_BAND_MALFORMED, MAGIC "0502 1b63" },
		{ "Software beyond ASCII", VERDICT_IN_BAND_MALFORMED, MAGIC "0502 c3a9" },
		{ "Software with DEL", VERDICT_IN_BAND_MALFORMED, MAGIC "0501 7f" },
		{ "Software of 64 characters", VERDICT_CONSUMED,
		  MAGIC "0540 6161616161616161616161616161616161616161616161616161616161616161"
			"6161616161616161616161616161616161616161616161616161616161616161" },
		{ "Software of 65 characters", VERDICT_IN_BAND_MALFORMED,
		  MAGIC "0541 6161616161616161616161616161616161616161616161616161616161616161"
			"616161616161616161616161616161616161616161616161616161616161616161" },
		{ "unknown items are skipped", VERDICT_CONSUMED, MAGIC "7f020102 c200 0400" },
		{ "unknown item, cut off", VERDICT_IN_BAND_MALFORMED, MAGIC "7f020102 c201" },
	};
	struct in_band before, m;

	(void)state;
	memset(&before, 0, sizeof(before));
	before.has_ping = true;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t payload[128];
		size_t bytes = bytes_of(rows[i].payload, payload, sizeof(payload));
		enum verdict verdict;

		m = before;
		verdict = in_band_parse(payload, bytes, &m);
		if (verdict != rows[i].verdict)
			fail_msg("%s: %s", rows[i].rule, verdict_name(verdict));
		if (verdict != VERDICT_CONSUMED)
			assert_memory_equal(&m, &before, sizeof(m));
	}
}

static void in_band_values_are_read(void **state)
{
	uint8_t payload[IN_BAND_MAX_BYTES];
	struct in_band m;
	size_t bytes = bytes_of(MAGIC "0108 1111111111111111 0208 2222222222222222 030102 0400"
				      "0502 6161 0108 3333333333333333",
				payload, sizeof(payload));

	(void)state;
	assert_int_equal(in_band_parse(payload, bytes, &m), VERDICT_CONSUMED);
	assert_true(m.has_ping && m.has_pong && m.has_close && m.rekey_please);
	assert_memory_equal(m.ping, "33333333", PING_BYTES); /* of a repeat the last */
	assert_memory_equal(m.pong, "\"\"\"\"\"\"\"\"", PING_BYTES);
	assert_int_equal(m.close, CLOSE_KEY_REMOVED);
	assert_string_equal(m.software, "aa");

	bytes = bytes_of(MAGIC "030104", payload, sizeof(payload));
	assert_int_equal(in_band_parse(payload, bytes, &m), VERDICT_CONSUMED);
	assert_int_equal(m.close, CLOSE_STOPPING);
	assert_false(m.has_ping || m.has_pong || m.rekey_please || m.software[0]);
}

static void in_band_messages_round_trip(void **state)
{
	struct in_band m = { .has_ping = true,
			     .has_pong = true,
			     .has_close = true,
			     .rekey_please = true,
			     .ping = "pingpin",
			     .pong = "pongpon",
			     .close = CLOSE_RESTARTING };
	struct in_band ping = { .has_ping = true, .ping = "12345678" }, again;
	uint8_t room[IN_BAND_MAX_BYTES];
	size_t bytes;

	(void)state;
	memset(m.software, '~', SOFTWARE_BYTES - 1);
	bytes = in_band_build(&m, room);
	assert_int_equal(bytes, IN_BAND_MAX_BYTES);
	assert_int_equal(in_band_parse(room, bytes, &again), VERDICT_CONSUMED);
	assert_memory_equal(again.ping, m.ping, PING_BYTES);
	assert_memory_equal(again.pong, m.pong, PING_BYTES);
	assert_true(again.has_ping && again.has_pong && again.has_close && again.rekey_please);
	assert_int_equal(again.close, m.close);
	assert_string_equal(again.software, m.software);

	bytes = in_band_build(&ping, room);
	assert_int_equal(bytes, 15);
	assert_memory_equal(room,
			    "mvp1\x01\x08"
			    "12345678\x00",
			    15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_kept),
		cmocka_unit_test(items_are_not_cut_off),
		cmocka_unit_test(absent_items_have_defaults),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(impossible_entries_are_ignored_and_counted),
		cmocka_unit_test(long_search_domains),
		cmocka_unit_test(at_most_four_of_a_kind),
		cmocka_unit_test(as_many_routes_as_fit),
		cmocka_unit_test(what_is_built_is_read_back),
		cmocka_unit_test(an_init_carries_no_configuration),
		cmocka_unit_test(zero_is_not_written),
		cmocka_unit_test(a_refusal_is_said_alone),
		cmocka_unit_test(nothing_is_written_beyond_the_room),
		cmocka_unit_test(versions_can_only_be_forced_down_by_a_third),
		cmocka_unit_test(every_in_band_rule_is_kept),
		cmocka_unit_test(in_band_values_are_read),
		cmocka_unit_test(in_band_messages_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
