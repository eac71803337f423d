/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * split and join on random traffic, against senders that never knew of super-packets:
 *
 *   split(x)        is what a naive sender would have sent
 *   join(split(x))  is x
 *   split(join(s))  is s, in the order of each flow, for any mix of flows with disturbances
 */
#include "minivpn/join.h"
#include "minivpn/split.h"

#include "packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { FIN = 1, PSH = 8, ACK = 16, ROUNDS = 400 };

static unsigned seed;
static unsigned randomness;

static unsigned below(unsigned limit)
{
	return (unsigned)rand_r(&randomness) % limit;
}

static int print_seed(void **state)
{
	const char *given = getenv("SEED");

	(void)state;
	seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	randomness = seed;
	printf("SEED=%u\n", seed);
	return 0;
}

static struct packet_spec random_spec(void)
{
	return (struct packet_spec){
		.version = below(2) ? 4 : 6,
		.protocol = below(3) ? PACKETS_TCP : PACKETS_UDP,
		.tos = (uint8_t)below(256),
		.ttl = (uint8_t)(1 + below(255)),
		.flow_label = below(1 << 20),
		.id = (uint16_t)below(65536),
		.place = below(2) ? 0x4000 : 0,
		.sequence = (uint32_t)below(65536) << 16 | below(65536),
		.acknowledgement = below(65536),
		.flags = ACK,
		.window = (uint16_t)below(65536),
		.options_bytes = (uint8_t)(below(11) * 4),
	};
}

static void gather(const struct join_run *run, uint8_t *ret_bytes)
{
	for (unsigned i = 1; i < run->piece_count; i++) {
		memcpy(ret_bytes, run->pieces[i].iov_base, run->pieces[i].iov_len);
		ret_bytes += run->pieces[i].iov_len;
	}
}

static void there_and_back(void **state)
{
	static uint8_t super[65535], again[65535], packet[JOIN_PACKETS][2048], expected[2048];
	static struct join join;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct packet_spec spec = random_spec(), part;
		unsigned segment = 1 + below(1500), most;
		bool tcp = spec.protocol == PACKETS_TCP;
		struct offload offload;
		struct join_run *run;
		struct split s;
		size_t bytes, n = 0;

		most = (65535 - (unsigned)packet_header_bytes(&spec)) / segment;
		most = most < JOIN_PACKETS ? most : JOIN_PACKETS;
		spec.payload_bytes = segment + 1 + below(segment * (most - 1));
		spec.flags |= below(2) ? PSH : 0;
		bytes = packet_make(&spec, super);
		packet_pseudo_sum(&spec, super, bytes);
		offload = (struct offload){
			.flags = OFFLOAD_NEEDS_CHECKSUM,
			.type = !tcp                ? OFFLOAD_UDP
				: spec.version == 4 ? OFFLOAD_TCP_IPV4
						    : OFFLOAD_TCP_IPV6,
			.header_bytes = (uint16_t)packet_header_bytes(&spec),
			.segment_bytes = (uint16_t)segment,
			.checksum_start = (uint16_t)packet_transport_at(&spec),
			.checksum_offset = tcp ? 16 : 6,
		};

		memset(&join, 0, sizeof(join));
		join.tcp = join.udp = true;
		assert_int_equal(split_begin(&s, &offload, super, bytes), VERDICT_PASS);
		part = spec;
		for (unsigned left = spec.payload_bytes; left > 0; left -= part.payload_bytes) {
			part.sequence = spec.sequence + (spec.payload_bytes - left);
			part.payload_bytes = left < segment ? left : segment;
			part.flags = left <= segment ? spec.flags : ACK;
			part.id = (uint16_t)(spec.id + n);
			assert_int_equal(packet_make(&part, expected), split_next(&s, packet[n]));
			assert_memory_equal(packet[n], expected,
					    packet_header_bytes(&part) + part.payload_bytes);
			assert_true(join_add(&join, packet[n],
					     packet_header_bytes(&part) + part.payload_bytes));
			n++;
		}
		assert_int_equal(split_next(&s, expected), 0);
		assert_int_equal(s.packets, n);

		run = join_take(&join);
		assert_non_null(run);
		assert_null(join_take(&join));
		assert_int_equal(run->bytes, bytes);
		assert_memory_equal(&run->offload, &offload, sizeof(offload));
		gather(run, again);
		assert_memory_equal(again, super, bytes);
	}
}

enum { FLOWS = 12, BATCH = 300, PACKET_MAX = 1700 };

static struct packet_spec flow_spec[FLOWS];
static uint8_t sent[BATCH][PACKET_MAX], arrived[BATCH][PACKET_MAX];
static size_t sent_bytes[BATCH];
static unsigned sent_flow[BATCH];
static unsigned sent_count, arrived_count[FLOWS];

static void new_flow(unsigned i)
{
	flow_spec[i] = random_spec();
	flow_spec[i].ports = (uint8_t)i;
	flow_spec[i].payload_bytes = 1 + below(1500);
	flow_spec[i].no_checksum = below(20) == 0;
}

/* The next packet of a flow, with something unusual about it now and then. */
static void send_packet(unsigned i)
{
	struct packet_spec *spec = &flow_spec[i], odd = *spec;
	uint8_t *packet = sent[sent_count];
	size_t bytes;

	switch (below(40)) {
	case 0:
		odd.flags |= PSH;
		break;
	case 1:
		odd.flags |= (uint8_t)(1u << below(8));
		break;
	case 2:
		odd.payload_bytes = below(odd.payload_bytes + 1);
		break;
	case 3:
		odd.payload_bytes = odd.payload_bytes % 1500 + 1;
		break;
	case 4:
		odd.acknowledgement = ++spec->acknowledgement;
		break;
	case 5:
		odd.id = (uint16_t)below(65536);
		break;
	case 6:
		odd.tos ^= 1;
		break;
	case 7:
		odd.place ^= (uint16_t)(1u << below(16));
		break;
	case 8:
		odd.sequence -= below(3000);
		break;
	case 9:
		odd.urgent = 1;
		break;
	default:
		break;
	}
	bytes = packet_make(&odd, packet);
	if (below(50) == 0) { /* damage, but not of what tells the flow */
		size_t at = packet_transport_at(&odd) + 4;

		packet[at + below((unsigned)(bytes - at))] ^= (uint8_t)(1u << below(8));
	}
	spec->sequence = odd.sequence + odd.payload_bytes;
	spec->id++;
	sent_flow[sent_count] = i;
	sent_bytes[sent_count++] = bytes;
}

/* IPv4 with DF: the identification means nothing and need not survive. */
static void blank_meaningless_id(uint8_t *packet)
{
	if (packet[0] >> 4 == 4 && packet[6] & 0x40)
		memset(packet + 4, 0, 2), memset(packet + 10, 0, 2);
}

/* The packet must be the oldest of its flow that has not arrived yet: which, its bytes tell. */
static void arrive(const uint8_t *packet, size_t bytes, const unsigned *flow_of)
{
	uint8_t theirs[PACKET_MAX], ours[PACKET_MAX];
	unsigned i = *flow_of, nth = arrived_count[i], k;

	for (k = 0; k < sent_count; k++)
		if (sent_flow[k] == i && nth-- == 0)
			break;
	assert_true(k < sent_count);
	assert_int_equal(bytes, sent_bytes[k]);
	memcpy(theirs, packet, bytes);
	memcpy(ours, sent[k], bytes);
	blank_meaningless_id(theirs);
	blank_meaningless_id(ours);
	assert_memory_equal(theirs, ours, bytes);
	arrived_count[i]++;
}

/* The flow of a run is that of the packet it begins with, which is still where it was added. */
static unsigned flow_of_run(const struct join_run *run)
{
	size_t k = (size_t)((uint8_t *)run->pieces[1].iov_base - arrived[0]) / PACKET_MAX;

	return sent_flow[k];
}

static void receive_run(const struct join_run *run)
{
	static uint8_t super[65535], packet[65535];
	unsigned flow = flow_of_run(run), packets = 0;
	struct split s;
	size_t n;

	gather(run, super);
	if (run->packets == 1) {
		arrive(super, run->bytes, &flow);
		return;
	}
	assert_int_equal(split_begin(&s, &run->offload, super, run->bytes), VERDICT_PASS);
	while ((n = split_next(&s, packet)) > 0) {
		arrive(packet, n, &flow);
		packets++;
	}
	assert_int_equal(packets, run->packets);
}

static void any_traffic_survives(void **state)
{
	static struct join join;
	unsigned long packets = 0, runs = 0;

	(void)state;
	join.tcp = join.udp = true;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned flows = 1 + below(FLOWS), burst = 1 + below(20);
		struct join_run *run;

		sent_count = 0;
		memset(arrived_count, 0, sizeof(arrived_count));
		for (unsigned i = 0; i < flows; i++)
			new_flow(i);
		while (sent_count < BATCH) {
			unsigned i = below(flows);

			for (unsigned n = 1 + below(burst); n > 0 && sent_count < BATCH; n--)
				send_packet(i);
		}
		memcpy(arrived, sent, sizeof(sent));
		for (unsigned k = 0; k < sent_count; k++) {
			while (!join_add(&join, arrived[k], sent_bytes[k])) {
				receive_run(join_take(&join));
				runs++;
			}
			if (below(30) == 0 && (run = join_take(&join))) {
				receive_run(run);
				runs++;
			}
		}
		while ((run = join_take(&join))) {
			receive_run(run);
			runs++;
		}
		packets += sent_count;
		for (unsigned i = 0; i < flows; i++)
			sent_count -= arrived_count[i];
		assert_int_equal(sent_count, 0);
	}
	/* that it joins at all, other tests ask of well-behaved traffic */
	printf("%lu packets in %lu runs\n", packets, runs);
	assert_true(runs < packets / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(any_traffic_survives),
	};

	return cmocka_run_group_tests(tests, print_seed, NULL);
}
