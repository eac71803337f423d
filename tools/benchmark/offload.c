/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Split and join: a TCP super-packet to packets, and back. */
#include "benchmark/measure.h"

#include "minivpn/checksum.h"
#include "minivpn/envelope.h"
#include "minivpn/join.h"
#include "minivpn/split.h"

#include <string.h>

enum {
	HEADER_BYTES = 20 + 20,
	SEGMENT_BYTES = 1384,
	SEGMENTS = 44, /* as many as one send takes */
	SUPER_BYTES = HEADER_BYTES + SEGMENTS * SEGMENT_BYTES,
	PACKET_BYTES = HEADER_BYTES + SEGMENT_BYTES,
	SLOT_BYTES = ENVELOPE_HEAD_BYTES + PACKET_BYTES + ENVELOPE_TAIL_BYTES,
};

/**
 * struct pieces - a super-packet and what it is made of
 * @fresh:  the packets as split made them, as often as they are needed
 * @packet: those that join may change
 */
struct pieces {
	struct offload offload;
	uint8_t super[SUPER_BYTES];
	uint8_t fresh[SEGMENTS][SLOT_BYTES];
	uint8_t packet[SEGMENTS][SLOT_BYTES];
	struct join join;
	unsigned runs;
};

static void split_all(void *subject)
{
	struct pieces *p = subject;
	struct split split;

	if (split_begin(&split, &p->offload, p->super, sizeof(p->super)) != VERDICT_PASS)
		return;
	for (unsigned i = 0; split_next(&split, p->fresh[i] + ENVELOPE_HEAD_BYTES) > 0; i++)
		;
}

static void bring_packets(void *subject)
{
	struct pieces *p = subject;

	memcpy(p->packet, p->fresh, sizeof(p->packet));
}

static void join_all(void *subject)
{
	struct pieces *p = subject;

	for (unsigned i = 0; i < SEGMENTS; i++)
		join_add(&p->join, p->packet[i] + ENVELOPE_HEAD_BYTES, PACKET_BYTES);
	while (join_take(&p->join))
		p->runs++;
}

static void make_super(struct pieces *p)
{
	static const uint8_t head[HEADER_BYTES] = {
		0x45,
		0,
		SUPER_BYTES >> 8,
		SUPER_BYTES & 0xff,
		0,
		1,
		0x40,
		0,
		64,
		6,
		0,
		0,
		10,
		9,
		0,
		1,
		10,
		9,
		0,
		2, /* TCP: ports, sequence, acknowledgement, offset, ACK */
		0x14,
		0x51,
		0x9c,
		0x40,
		0,
		0,
		0,
		1,
		0,
		0,
		0,
		1,
		0x50,
		0x10,
		0xff,
		0xff,
		0,
		0,
		0,
		0
	};

	memcpy(p->super, head, sizeof(head));
	p->offload = (struct offload){
		.flags = OFFLOAD_NEEDS_CHECKSUM,
		.type = OFFLOAD_TCP_IPV4,
		.header_bytes = HEADER_BYTES,
		.segment_bytes = SEGMENT_BYTES,
		.checksum_start = 20,
		.checksum_offset = 16,
	};
}

void bench_offload(void)
{
	static struct pieces p;
	struct work splitting = { .run = split_all, .subject = &p, .operations = SEGMENTS };
	struct work joining = {
		.prepare = bring_packets, .run = join_all, .subject = &p, .operations = SEGMENTS
	};

	make_super(&p);
	p.join.tcp = p.join.udp = true;
	figure(&(struct figure){ "offload", "split, TCP over IPv4", PACKET_BYTES, 0,
				 measure_ns(&splitting), "ns/packet" });
	figure(&(struct figure){ "offload", "join, TCP over IPv4", PACKET_BYTES, 0,
				 measure_ns(&joining), "ns/packet" });
}
