/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/join.h"

#include "packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32, ECE = 64, CWR = 128 };

static struct join join;
static uint8_t packet[128][2048];
static unsigned packets;

static int empty(void **state)
{
	(void)state;
	memset(&join, 0, sizeof(join));
	join.tcp = join.udp = true;
	packets = 0;
	return 0;
}

static struct packet_spec plain(uint8_t version, uint8_t protocol)
{
	return (struct packet_spec){
		.version = version,
		.protocol = protocol,
		.payload_bytes = 1000,
		.tos = 2,
		.ttl = 61,
		.flow_label = 0x12345,
		.id = 0xffff,
		.sequence = 0xfffffc00,
		.acknowledgement = 99,
		.flags = ACK,
		.window = 501,
		.options_bytes = 12,
	};
}

/* What follows @spec in its flow. */
static struct packet_spec next(struct packet_spec spec)
{
	spec.sequence += spec.payload_bytes;
	spec.id++;
	return spec;
}

static size_t add(const struct packet_spec *spec)
{
	size_t bytes = packet_make(spec, packet[packets]);

	assert_true(join_add(&join, packet[packets++], bytes));
	return bytes;
}

/* Take everything: how many packets are in each run, as digits. */
static unsigned runs(void)
{
	struct join_run *run;
	unsigned digits = 0;

	while ((run = join_take(&join)))
		digits = digits * 10 + run->packets;
	return digits;
}

static void gathered(const struct join_run *run, uint8_t *ret_bytes)
{
	size_t at = 0;

	for (unsigned i = 1; i < run->piece_count; i++) {
		memcpy(ret_bytes + at, run->pieces[i].iov_base, run->pieces[i].iov_len);
		at += run->pieces[i].iov_len;
	}
	assert_int_equal(at, run->bytes);
}

/* Three packets become what one sender's super-packet of their sum would be. */
static void makes_a_super_packet(void **state)
{
	static const uint8_t versions[] = { 4, 6 }, protocols[] = { PACKETS_TCP, PACKETS_UDP };
	static uint8_t expected[8192], written[8192];
	struct packet_spec first, second, third, sum;
	struct join_run *run;
	size_t bytes;

	for (size_t i = 0; i < 4; i++) {
		bool tcp = protocols[i / 2] == PACKETS_TCP;

		empty(state);
		first = plain(versions[i % 2], protocols[i / 2]);
		second = next(first);
		third = next(second);
		third.payload_bytes = 700;
		third.flags |= PSH;
		add(&first);
		add(&second);
		add(&third);
		assert_true(join_is_ready(&join));
		run = join_take(&join);
		assert_non_null(run);
		assert_null(join_take(&join));

		sum = first;
		sum.payload_bytes = 2700;
		sum.flags |= PSH;
		bytes = packet_make(&sum, expected);
		packet_pseudo_sum(&sum, expected, bytes);
		assert_int_equal(run->bytes, bytes);
		gathered(run, written);
		assert_memory_equal(written, expected, bytes);

		assert_ptr_equal(run->pieces[0].iov_base, &run->offload);
		assert_int_equal(run->pieces[0].iov_len, 10);
		assert_int_equal(run->offload.flags, OFFLOAD_NEEDS_CHECKSUM);
		assert_int_equal(run->offload.type, !tcp               ? OFFLOAD_UDP
						    : sum.version == 4 ? OFFLOAD_TCP_IPV4
								       : OFFLOAD_TCP_IPV6);
		assert_int_equal(run->offload.header_bytes, packet_header_bytes(&sum));
		assert_int_equal(run->offload.segment_bytes, 1000);
		assert_int_equal(run->offload.checksum_start, packet_transport_at(&sum));
		assert_int_equal(run->offload.checksum_offset, tcp ? 16 : 6);
	}
}

static void one_packet_stays_as_it_is(void **state)
{
	static const uint8_t zeros[10];
	struct packet_spec spec = plain(4, PACKETS_TCP);
	uint8_t copy[2048];
	struct join_run *run;
	size_t bytes;

	(void)state;
	bytes = add(&spec);
	memcpy(copy, packet[0], bytes);
	assert_false(join_is_ready(&join));
	run = join_take(&join);
	assert_int_equal(run->piece_count, 2);
	assert_memory_equal(run->pieces[0].iov_base, zeros, sizeof(zeros));
	assert_int_equal(run->pieces[1].iov_len, bytes);
	assert_memory_equal(run->pieces[1].iov_base, copy, bytes);
}

/* Two packets of which the second differs in one respect: joined or not? */
static void rules_for_the_second_packet(void **state)
{
	struct packet_spec first, second;

	for (unsigned v = 4; v <= 6; v += 2) {
#define EXPECT(first_change, second_change, expected)                                     \
	do {                                                                              \
		empty(state);                                                             \
		first = plain((uint8_t)v, protocol);                                      \
		(void)(first_change);                                                     \
		second = next(first);                                                     \
		(void)(second_change);                                                    \
		add(&first);                                                              \
		add(&second);                                                             \
		if (runs() != (expected))                                                 \
			fail_msg("IPv%u protocol %u: %s; %s", v, protocol, #first_change, \
				 #second_change);                                         \
	} while (0)
		uint8_t protocol = PACKETS_TCP;

		EXPECT(0, 0, 2);
		EXPECT(0, second.flags |= PSH, 2);
		EXPECT(first.flags |= PSH, 0, 11);
		EXPECT(0, second.flags |= FIN, 11);
		EXPECT(0, second.flags |= RST, 11);
		EXPECT(0, second.flags |= URG, 11);
		EXPECT(0, second.flags |= ECE, 11);
		EXPECT(0, second.flags |= CWR, 11);
		EXPECT(0, second.flags |= SYN, 11);
		EXPECT(first.flags = SYN, second.flags = SYN, 11);
		EXPECT(first.flags = 0, second.flags = 0, 11);
		EXPECT(0, second.sequence++, 11);
		EXPECT(0, second.sequence--, 11);
		EXPECT(0, second.sequence = first.sequence, 11);
		EXPECT(0, second.acknowledgement++, 11);
		EXPECT(0, second.window++, 11);
		EXPECT(0, second.urgent++, 11);
		EXPECT(0, second.options_bytes = 8, 11);
		EXPECT(0, second.options_bytes = 16, 11);
		EXPECT(0, second.payload_bytes = 0, 11);
		EXPECT(first.payload_bytes = 0, second.payload_bytes = 100, 11);
		for (unsigned i = 0; i < 2; i++) {
			protocol = i ? PACKETS_UDP : PACKETS_TCP;
			EXPECT(0, second.payload_bytes--, 2);
			EXPECT(0, second.payload_bytes++, 11);
			EXPECT(0, second.payload_bytes = 1, 2);
			EXPECT(0, second.hosts++, 11);
			EXPECT(0, second.ports++, 11);
			EXPECT(0, second.tos++, 11);
			EXPECT(0, second.ttl++, 11);
			EXPECT(0, second.flow_label++, v == 6 ? 11 : 2);
			EXPECT(0, second.id++, v == 4 ? 11 : 2);
			EXPECT(0, second.id = first.id, v == 4 ? 11 : 2);
			EXPECT(first.place = 0x4000, second.id += 7, 2);
			EXPECT(first.place = 0x4000, second.id = first.id, 2);
			EXPECT(first.place = 0x4000, second.place = 0, v == 4 ? 11 : 2);
			EXPECT(first.place = 0x8000, second.place = 0, v == 4 ? 11 : 2);
			EXPECT(0, second.place = 0x2000, v == 4 ? 11 : 2);
			EXPECT(0, second.place = 1, v == 4 ? 11 : 2);
			EXPECT(first.place = 0x2000, 0, v == 4 ? 11 : 2);
			EXPECT(join.tcp = i, join.udp = !i, 11);
		}
		EXPECT(first.no_checksum = true, 0, 11);
		EXPECT(0, second.no_checksum = true, 11);
		EXPECT(first.payload_bytes = 0, 0, 11);
	}
}

static void a_shorter_packet_ends_the_run(void **state)
{
	struct packet_spec spec = plain(4, PACKETS_UDP);

	(void)state;
	add(&spec);
	spec = next(spec);
	spec.payload_bytes = 999;
	add(&spec);
	spec = next(spec);
	add(&spec);
	spec = next(spec);
	add(&spec);
	assert_int_equal(runs(), 22);
}

static void different_options_are_seen(void **state)
{
	struct packet_spec spec = plain(6, PACKETS_TCP);
	size_t bytes;

	(void)state;
	add(&spec);
	spec = next(spec);
	bytes = packet_make(&spec, packet[1]);
	packet[1][40 + 20 + 11]++; /* last byte of the options */
	packet_seal_checksums(&spec, packet[1], bytes);
	assert_true(join_add(&join, packet[1], bytes));
	assert_int_equal(runs(), 11);
}

/* A damaged byte anywhere must reach the receiver as it is: never joined, on either side. */
static void damage_is_not_hidden(void **state)
{
	static const uint8_t versions[] = { 4, 6 }, protocols[] = { PACKETS_TCP, PACKETS_UDP };

	for (unsigned i = 0; i < 4; i++) {
		struct packet_spec first = plain(versions[i % 2], protocols[i / 2]), second;
		uint8_t copy[2048];
		size_t bytes;

		first.payload_bytes = 40;
		second = next(first);
		bytes = packet_header_bytes(&first) + first.payload_bytes;
		for (size_t at = 0; at < 2 * bytes; at++) {
			struct join_run *run;
			unsigned victim = at >= bytes;

			empty(state);
			packet_make(&first, packet[0]);
			packet_make(&second, packet[1]);
			packet[victim][at % bytes] ^= 0x10;
			memcpy(copy, packet[victim], bytes);
			/* IPv6 has no checksum of its own: flow label and hop limit are anybody's,
			 * but then differ from the other packet's */
			assert_true(join_add(&join, packet[0], bytes));
			assert_true(join_add(&join, packet[1], bytes));
			for (unsigned k = 0; k < 2; k++) {
				run = join_take(&join);
				assert_int_equal(run->packets, 1);
				if (k == victim)
					assert_memory_equal(run->pieces[1].iov_base, copy, bytes);
			}
		}
	}
}

static void full_runs_end(void **state)
{
	struct packet_spec spec = plain(4, PACKETS_TCP);
	struct join_run *run;

	(void)state;
	spec.payload_bytes = 100;
	for (unsigned i = 0; i < JOIN_PACKETS + 1; i++) {
		assert_int_equal(join_is_ready(&join), i == JOIN_PACKETS);
		add(&spec);
		spec = next(spec);
	}
	run = join_take(&join);
	assert_int_equal(run->packets, JOIN_PACKETS);
	assert_int_equal(run->piece_count, JOIN_PACKETS + 1);
	run = join_take(&join);
	assert_int_equal(run->packets, 1);

	empty(state);
	spec.payload_bytes = 1948; /* 33 of them and the headers have 64,336 bytes, 34 too many */
	for (unsigned i = 0; i < 34; i++) {
		add(&spec);
		spec = next(spec);
	}
	run = join_take(&join);
	assert_int_equal(run->packets, 33);
	assert_true(run->bytes <= JOIN_BYTES);
}

static void flows_are_kept_apart(void **state)
{
	struct packet_spec flow[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		flow[i] = plain(i % 2 ? 4 : 6, i / 2 % 2 ? PACKETS_TCP : PACKETS_UDP);
		flow[i].ports = (uint8_t)(i / 4);
	}
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 8; i++) {
			add(&flow[i]);
			flow[i] = next(flow[i]);
		}
	}
	assert_int_equal(runs(), 55555555);
}

/* A packet that cannot be joined closes its own flow, and no other. */
static void order_is_kept_within_a_flow(void **state)
{
	struct packet_spec a = plain(4, PACKETS_TCP), b = a, ack;

	(void)state;
	b.ports++;
	add(&a);
	a = next(a);
	add(&b);
	b = next(b);
	ack = a;
	ack.payload_bytes = 0;
	add(&ack);
	add(&a);
	a = next(a);
	add(&a);
	add(&b);
	assert_int_equal(runs(), 1212); /* a, bb, ack, aa */
}

/* Nobody can say which flow a fragment belongs to: it overtakes none between its addresses. */
static void fragments_keep_their_place(void **state)
{
	struct packet_spec a = plain(4, PACKETS_UDP), b = a, elsewhere = a, fragment = a;

	(void)state;
	b.ports++;
	elsewhere.hosts++;
	fragment.place = 0x0040;
	add(&a);
	add(&b);
	add(&elsewhere);
	add(&fragment);
	a = next(a);
	b = next(b);
	elsewhere = next(elsewhere);
	add(&a);
	add(&b);
	add(&elsewhere);
	assert_int_equal(runs(), 112111); /* a, b, elsewhere twice, fragment, a, b */
}

static void junk_passes_through(void **state)
{
	static uint8_t junk[4][64] = { { 0 }, { 0x45, 0, 0, 64, [9] = 6 }, { 0x60 }, { 0x4f } };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		for (size_t n = 1; n <= 64; n += 7)
			assert_true(join_add(&join, junk[i], n));
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(join_take(&join)->packets, 1);
	assert_null(join_take(&join));
}

static void a_length_that_disagrees_stays_alone(void **state)
{
	struct packet_spec spec = plain(4, PACKETS_TCP);
	size_t bytes;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		bytes = packet_make(&spec, packet[i]);
		assert_true(join_add(&join, packet[i], bytes + 1));
		spec = next(spec);
	}
	assert_int_equal(runs(), 11);

	spec = plain(4, PACKETS_UDP);
	for (unsigned i = 0; i < 2; i++) {
		bytes = packet_make(&spec, packet[i]);
		packet[i][25]--; /* UDP length */
		packet_seal_checksums(&spec, packet[i], bytes);
		assert_true(join_add(&join, packet[i], bytes));
		spec = next(spec);
	}
	assert_int_equal(runs(), 11);
}

/* UDP without a checksum is not joined even if its sum happens to come out right. */
static void a_missing_checksum_is_none(void **state)
{
	struct packet_spec spec = plain(4, PACKETS_UDP);
	size_t bytes;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		bytes = packet_make(&spec, packet[i]);
		/* the checksum among the payload, where there was 0, complements the rest */
		memset(packet[i] + 28, 0, 2);
		packet_seal_checksums(&spec, packet[i], bytes);
		memcpy(packet[i] + 28, packet[i] + 26, 2);
		memset(packet[i] + 26, 0, 2);
		assert_true(join_add(&join, packet[i], bytes));
		spec = next(spec);
	}
	assert_int_equal(runs(), 11);
}

/* Both addresses vary, so that both halves of what is hashed do, in either byte order. */
static void set_addresses(uint8_t *ipv4, uint32_t source)
{
	uint32_t address[2] = { source, source * 0x9e3779b1 };

	memcpy(ipv4 + 12, address, sizeof(address));
}

/* Two flows whose hashes are equal remain two flows.  Among so many, two such are soon found. */
static void equal_hashes_are_not_equal_flows(void **state)
{
	enum { SLOTS = 1 << 18, TRIES = 1 << 22 };
	static struct {
		uint32_t hash, source;
	} seen[SLOTS];
	struct packet_spec spec = plain(4, PACKETS_UDP);
	size_t bytes = packet_make(&spec, packet[0]);
	uint32_t source, hash, slot;

	(void)state;
	for (source = 1;; source++) {
		assert_true(source < TRIES);
		set_addresses(packet[0], source);
		assert_true(join_add(&join, packet[0], bytes));
		hash = join.flow[join.taken % JOIN_RUNS];
		join_take(&join);
		slot = hash / 2 % SLOTS;
		if (seen[slot].hash == hash)
			break;
		seen[slot].hash = hash;
		seen[slot].source = source;
	}
	spec = next(spec);
	packet_make(&spec, packet[1]);
	set_addresses(packet[1], seen[slot].source);
	for (unsigned i = 0; i < 2; i++) {
		packet_seal_checksums(&spec, packet[i], bytes);
		assert_true(join_add(&join, packet[i], bytes));
	}
	assert_int_equal(runs(), 11);
}

static void a_full_queue_says_so(void **state)
{
	struct packet_spec spec = plain(4, PACKETS_UDP);
	static uint8_t more[2048];
	size_t bytes;

	(void)state;
	for (unsigned i = 0; i < JOIN_RUNS; i++) {
		spec.ports = (uint8_t)i;
		add(&spec);
	}
	spec.ports = JOIN_RUNS;
	bytes = packet_make(&spec, more);
	assert_false(join_add(&join, more, bytes));
	assert_ptr_equal(join_take(&join)->pieces[1].iov_base, packet[0]);
	assert_true(join_add(&join, more, bytes));
	for (unsigned i = 1; i < JOIN_RUNS; i++)
		assert_ptr_equal(join_take(&join)->pieces[1].iov_base, packet[i]);
	assert_ptr_equal(join_take(&join)->pieces[1].iov_base, more);
	assert_null(join_take(&join));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(makes_a_super_packet, empty),
		cmocka_unit_test_setup(one_packet_stays_as_it_is, empty),
		cmocka_unit_test_setup(rules_for_the_second_packet, empty),
		cmocka_unit_test_setup(a_shorter_packet_ends_the_run, empty),
		cmocka_unit_test_setup(different_options_are_seen, empty),
		cmocka_unit_test_setup(damage_is_not_hidden, empty),
		cmocka_unit_test_setup(full_runs_end, empty),
		cmocka_unit_test_setup(flows_are_kept_apart, empty),
		cmocka_unit_test_setup(order_is_kept_within_a_flow, empty),
		cmocka_unit_test_setup(fragments_keep_their_place, empty),
		cmocka_unit_test_setup(junk_passes_through, empty),
		cmocka_unit_test_setup(a_length_that_disagrees_stays_alone, empty),
		cmocka_unit_test_setup(a_missing_checksum_is_none, empty),
		cmocka_unit_test_setup(equal_hashes_are_not_equal_flows, empty),
		cmocka_unit_test_setup(a_full_queue_says_so, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
