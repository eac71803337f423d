/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/split.h"

#include "packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16, CWR = 128 };

static const struct packet_spec tcp4 = {
	.version = 4,
	.protocol = PACKETS_TCP,
	.payload_bytes = 3500,
	.tos = 2,
	.ttl = 64,
	.id = 0xfffe,
	.place = 0x4000,
	.sequence = 0xfffffff0,
	.acknowledgement = 77,
	.flags = ACK,
	.window = 512,
	.options_bytes = 12,
};

static uint8_t super[65535 + 64], packet[65535], expected[65535];

/* The offload header the kernel gives with a super-packet; hdr_len is a hint, and here a lie. */
static struct offload offload_for(const struct packet_spec *spec, uint16_t segment_bytes)
{
	bool tcp = spec->protocol == PACKETS_TCP;

	return (struct offload){
		.flags = OFFLOAD_NEEDS_CHECKSUM,
		.type = !tcp                 ? OFFLOAD_UDP
			: spec->version == 4 ? OFFLOAD_TCP_IPV4
					     : OFFLOAD_TCP_IPV6,
		.header_bytes = 9999,
		.segment_bytes = segment_bytes,
		.checksum_start = (uint16_t)packet_transport_at(spec),
		.checksum_offset = tcp ? 16 : 6,
	};
}

static size_t make_super(const struct packet_spec *spec)
{
	size_t bytes = packet_make(spec, super);

	packet_pseudo_sum(spec, super, bytes);
	return bytes;
}

/* Split @spec and see that every packet is what a sender would have made of its part. */
static void expect_split(const struct packet_spec *spec, uint16_t segment_bytes, size_t packets)
{
	struct offload offload = offload_for(spec, segment_bytes);
	struct packet_spec part = *spec;
	size_t bytes = make_super(spec), left = spec->payload_bytes, n;
	struct split s;

	assert_int_equal(split_begin(&s, &offload, super, bytes), VERDICT_PASS);
	assert_int_equal(s.packets, packets);
	for (size_t i = 0; i < packets; i++) {
		part.payload_bytes = left < segment_bytes ? (uint32_t)left : segment_bytes;
		part.flags = spec->flags;
		if (i > 0)
			part.flags &= (uint8_t)~CWR;
		if (i + 1 < packets)
			part.flags &= (uint8_t) ~(FIN | PSH);
		n = packet_make(&part, expected);

		assert_int_equal(split_next_bytes(&s), n);
		assert_int_equal(split_next(&s, packet), n);
		assert_memory_equal(packet, expected, n);
		part.sequence += part.payload_bytes;
		part.id++;
		left -= part.payload_bytes;
	}
	assert_int_equal(split_next_bytes(&s), 0);
	assert_int_equal(split_next(&s, packet), 0);
}

static void tcp_over_ipv4(void **state)
{
	struct packet_spec spec = tcp4;

	(void)state;
	expect_split(&spec, 1388, 3);
	spec.payload_bytes = 1388 * 2;
	expect_split(&spec, 1388, 2);
	spec.payload_bytes = 1388;
	expect_split(&spec, 1388, 1);
	spec.payload_bytes = 1;
	expect_split(&spec, 1388, 1);
	spec.payload_bytes = 65535 - 52;
	expect_split(&spec, 1388, 48);
}

static void tcp_over_ipv6(void **state)
{
	struct packet_spec spec = tcp4;

	(void)state;
	spec.version = 6;
	spec.flow_label = 0xabcde;
	expect_split(&spec, 1366, 3);
}

static void udp(void **state)
{
	struct packet_spec spec = tcp4;

	(void)state;
	spec.protocol = PACKETS_UDP;
	expect_split(&spec, 500, 7);
	spec.version = 6;
	expect_split(&spec, 501, 7);
	spec.place = 0;
	spec.version = 4;
	expect_split(&spec, 1, 3500);
}

static void flags_go_to_their_ends(void **state)
{
	struct packet_spec spec = tcp4;

	(void)state;
	spec.flags = ACK | PSH | FIN | CWR;
	expect_split(&spec, 1388, 3);
	spec.payload_bytes = 100;
	expect_split(&spec, 1388, 1);
}

static void ecn_may_be_told(void **state)
{
	struct offload offload = offload_for(&tcp4, 1388);
	size_t bytes = make_super(&tcp4);
	struct split s;

	(void)state;
	offload.type |= OFFLOAD_TCP_ECN;
	assert_int_equal(split_begin(&s, &offload, super, bytes), VERDICT_PASS);
	assert_int_equal(s.packets, 3);
}

/* A UDP datagram whose checksum comes out as 0 sends 0xffff. */
static void udp_never_sends_zero(void **state)
{
	struct packet_spec spec = { .version = 4, .protocol = PACKETS_UDP, .payload_bytes = 2 };
	struct offload none = offload_for(&spec, 0), segmented = offload_for(&spec, 2);
	size_t bytes = packet_make(&spec, super);
	struct split s;

	(void)state;
	/* what is summed up, and its own checksum as payload, make all ones, and that complements to 0 */
	none.type = OFFLOAD_NONE;
	memset(super + 28, 0, 2);
	packet_seal_checksums(&spec, super, bytes);
	memcpy(super + 28, super + 26, 2);
	packet_pseudo_sum(&spec, super, bytes);
	assert_int_equal(split_begin(&s, &none, super, bytes), VERDICT_PASS);
	assert_int_equal(split_next(&s, packet), bytes);
	assert_int_equal(packet[26] << 8 | packet[27], 0xffff);
	assert_int_equal(split_begin(&s, &segmented, super, bytes), VERDICT_PASS);
	assert_int_equal(split_next(&s, packet), bytes);
	assert_int_equal(packet[26] << 8 | packet[27], 0xffff);
}

static void plain_packets(void **state)
{
	static const struct offload nothing;
	struct packet_spec spec = tcp4;
	struct offload complete = offload_for(&spec, 0);
	size_t bytes;
	struct split s;

	(void)state;
	spec.flags = SYN;
	spec.payload_bytes = 0;
	complete.type = OFFLOAD_NONE;
	bytes = packet_make(&spec, expected);

	/* as it is */
	assert_int_equal(split_begin(&s, &nothing, expected, bytes), VERDICT_PASS);
	assert_int_equal(split_next(&s, packet), bytes);
	assert_memory_equal(packet, expected, bytes);
	assert_int_equal(split_next(&s, packet), 0);

	/* with its checksum to be completed, elsewhere and in place */
	assert_int_equal(make_super(&spec), bytes);
	assert_int_equal(split_begin(&s, &complete, super, bytes), VERDICT_PASS);
	assert_int_equal(split_next(&s, packet), bytes);
	assert_memory_equal(packet, expected, bytes);
	assert_int_equal(split_begin(&s, &complete, super, bytes), VERDICT_PASS);
	assert_int_equal(split_next(&s, super), bytes);
	assert_memory_equal(super, expected, bytes);
}

static void trailing_bytes_are_not_the_packet(void **state)
{
	struct packet_spec spec = tcp4;
	struct offload complete = offload_for(&spec, 0);
	size_t bytes = make_super(&spec);
	struct split s;

	(void)state;
	complete.type = OFFLOAD_NONE;
	packet_make(&spec, expected);
	assert_int_equal(split_begin(&s, &complete, super, bytes + 9), VERDICT_PASS);
	assert_int_equal(split_next(&s, packet), bytes);
	assert_memory_equal(packet, expected, bytes);
}

static void behind_extension_headers(void **state)
{
	struct packet_spec spec = { .version = 6, .protocol = PACKETS_UDP, .payload_bytes = 50 };
	struct offload offload = offload_for(&spec, 20);
	size_t bytes = make_super(&spec), n = 0;
	struct split s;

	(void)state;
	memmove(super + 48, super + 40, bytes - 40);
	memcpy(super + 40, (uint8_t[8]){ PACKETS_UDP, 0, 1, 4 }, 8);
	bytes += 8;
	super[5] = (uint8_t)(bytes - 40);
	super[6] = 60; /* destination options */
	offload.checksum_start = 48;
	assert_int_equal(split_begin(&s, &offload, super, bytes), VERDICT_PASS);
	assert_int_equal(s.packets, 3);
	while (split_next(&s, packet) > 0) {
		assert_int_equal(packet[52] << 8 | packet[53], n < 2 ? 28 : 18);
		assert_int_equal(packet[4] << 8 | packet[5], n < 2 ? 36 : 26);
		n++;
	}
	assert_int_equal(n, 3);
}

static void what_does_not_fit_is_refused(void **state)
{
	struct offload good = offload_for(&tcp4, 1388), bad;
	size_t bytes = make_super(&tcp4);
	struct split s;

	(void)state;
#define REFUSED(change)                                                         \
	do {                                                                    \
		bad = good;                                                     \
		change;                                                         \
		if (split_begin(&s, &bad, super, bytes) != VERDICT_BAD_OFFLOAD) \
			fail_msg("taken: %s", #change);                         \
	} while (0)

	REFUSED(bad.segment_bytes = 0);
	REFUSED(bad.type = OFFLOAD_TCP_IPV6);
	REFUSED(bad.type = OFFLOAD_UDP);
	REFUSED(bad.type = 3); /* UFO, which nobody asked for */
	REFUSED(bad.type = OFFLOAD_UDP | OFFLOAD_TCP_ECN);
	REFUSED(bad.type = OFFLOAD_TCP_ECN);
	REFUSED(bad.checksum_start = 24);
	REFUSED((bad.type = OFFLOAD_NONE, bad.checksum_start = 0));
	REFUSED((bad.type = OFFLOAD_NONE, bad.checksum_start = (uint16_t)(bytes - 17)));
	REFUSED((bad.type = OFFLOAD_NONE, bad.checksum_offset = 0xffff));

	super[6] |= 0x20; /* a fragment */
	REFUSED(bad = good);
	super[6] &= 0x1f;
	super[32] = 0x40; /* TCP header of 16 bytes */
	REFUSED(bad = good);
	super[32] = 0xf0; /* one that ends beyond the packet */
	super[2] = 0;
	super[3] = 79;
	REFUSED(bad = good);
	super[3] = 39; /* none at all */
	REFUSED(bad = good);
#undef REFUSED
}

static void what_is_not_ip_is_refused(void **state)
{
	static const struct offload nothing;
	struct split s;

	(void)state;
	memset(super, 0, 100);
	assert_int_equal(split_begin(&s, &nothing, super, 100), VERDICT_NOT_IP);
	assert_int_equal(split_begin(&s, &nothing, super, 0), VERDICT_NOT_IP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_over_ipv4),
		cmocka_unit_test(tcp_over_ipv6),
		cmocka_unit_test(udp),
		cmocka_unit_test(flags_go_to_their_ends),
		cmocka_unit_test(ecn_may_be_told),
		cmocka_unit_test(udp_never_sends_zero),
		cmocka_unit_test(plain_packets),
		cmocka_unit_test(trailing_bytes_are_not_the_packet),
		cmocka_unit_test(behind_extension_headers),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(what_is_not_ip_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
