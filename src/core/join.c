/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel takes one super-packet about as fast as one packet, so every packet that can be
 * hidden behind another is nearly free.  What is at stake is that nobody may be able to tell: the
 * super-packet, cut apart again, must give the very packets that came (split.h), in their order.
 *
 * The queue is a ring of runs in the order in which they were begun:
 *
 *	        taken                              begun
 *	          |                                  |
 *	   . . .  A open   B closed  C closed  B open  . . .
 *
 * A packet goes to the open run of its flow, if it continues it in every respect; else that run is
 * closed, and the packet begins a new one at the end.  So the runs of one flow stand in the order
 * of their packets, and only the last of them is open.  What is not seen to belong to a flow (a
 * fragment, an unknown header) closes all runs between its two addresses, since it may belong to
 * any of them.
 *
 * A super-packet is handed to the kernel as "checksum still to be completed" and would come out
 * right even if a packet was damaged on its way to us.  Hence a packet is only joined after its
 * checksums have been verified; a packet that stays alone is left to whoever receives it.
 */
#include "minivpn/join.h"

#include "minivpn/checksum.h"
#include "minivpn/inner.h"
#include "minivpn/wire.h"

#include <netinet/in.h>
#include <string.h>

enum {
	IPV4_LENGTH_AT = 2,
	IPV4_ID_AT = 4,
	IPV4_PLACE_AT = 6, /* flags and fragment offset */
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_TTL_AT = 8,
	IPV4_ADDRESSES_AT = 12,
	IPV6_LENGTH_AT = 4,
	IPV6_HOP_LIMIT_AT = 7,
	IPV6_ADDRESSES_AT = 8,
	PORTS_BYTES = 4, /* where TCP and UDP begin */
	TCP_HEADER_BYTES = 20,
	TCP_SEQUENCE_AT = 4,
	TCP_ACKNOWLEDGEMENT_AT = 8,
	TCP_LENGTH_AT = 12,
	TCP_FLAGS_AT = 13,
	TCP_WINDOW_AT = 14,
	TCP_CHECKSUM_AT = 16,
	TCP_URGENT_AT = 18,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	UDP_HEADER_BYTES = 8,
	UDP_LENGTH_AT = 4,
	UDP_CHECKSUM_AT = 6,
	NO_FLOW = 0, /* in join.flow: this run is closed */
};

static_assert((JOIN_RUNS & (JOIN_RUNS - 1)) == 0, "indices wrap around at 2^32");

/**
 * struct candidate - a packet that wants to be added
 * @flow:          hash of its flow, or NO_FLOW if it is not seen to belong to one
 * @type:          what a run of its kind would be; OFFLOAD_NONE if it must stay alone
 * @transport_at:  offset of the TCP or UDP header, if it has a flow
 * @payload_at:    offset of the payload, if it has a type
 * @payload_bytes: length of the payload, likewise
 */
struct candidate {
	uint8_t *packet;
	uint32_t bytes;
	uint32_t flow;
	uint8_t type;
	uint32_t transport_at;
	uint32_t payload_at;
	uint32_t payload_bytes;
};

static inline struct join_run *run_at(struct join *j, unsigned index)
{
	return &j->runs[index % JOIN_RUNS];
}

static inline uint8_t *first_packet(const struct join_run *run)
{
	return run->pieces[1].iov_base;
}

static inline bool is_ipv4(const uint8_t *packet)
{
	return packet[0] >> 4 == 4;
}

static inline bool equal_bytes(const uint8_t *a, const uint8_t *b, size_t at, size_t n)
{
	return memcmp(a + at, b + at, n) == 0;
}

/* Fibonacci hashing, a word at a time.  A good hash saves comparisons; nothing else depends on it. */
static inline uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static inline uint64_t mix_bytes(uint64_t hash, const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return mix(hash, word);
}

static uint32_t flow_hash(const uint8_t *packet, uint8_t protocol, size_t transport_at)
{
	uint64_t hash = mix(protocol, wire_u32(packet + transport_at)); /* both ports */

	if (is_ipv4(packet)) {
		hash = mix_bytes(hash, packet + IPV4_ADDRESSES_AT);
	} else {
		for (size_t at = IPV6_ADDRESSES_AT; at < IPV6_HEADER_BYTES; at += 8)
			hash = mix_bytes(hash, packet + at);
	}
	return (uint32_t)hash | 1; /* never NO_FLOW */
}

static bool same_addresses(const uint8_t *a, const uint8_t *b)
{
	if (is_ipv4(a) != is_ipv4(b))
		return false;
	return is_ipv4(a) ? equal_bytes(a, b, IPV4_ADDRESSES_AT, 8)
			  : equal_bytes(a, b, IPV6_ADDRESSES_AT, 32);
}

/* May a packet with this TCP header be in a run at all? */
static void examine_tcp(struct candidate *c)
{
	const uint8_t *tcp = c->packet + c->transport_at;
	uint32_t header;

	if (c->bytes < c->transport_at + TCP_HEADER_BYTES)
		return;
	header = (uint32_t)(tcp[TCP_LENGTH_AT] >> 4) * 4;
	if (header < TCP_HEADER_BYTES || c->bytes <= c->transport_at + header)
		return; /* no payload */
	if ((tcp[TCP_FLAGS_AT] & ~TCP_PSH) != TCP_ACK)
		return;
	c->payload_at = c->transport_at + header;
	c->payload_bytes = c->bytes - c->payload_at;
	c->type = is_ipv4(c->packet) ? OFFLOAD_TCP_IPV4 : OFFLOAD_TCP_IPV6;
}

static void examine_udp(struct candidate *c)
{
	const uint8_t *udp = c->packet + c->transport_at;

	if (c->bytes <= c->transport_at + UDP_HEADER_BYTES)
		return;
	if (wire_u16(udp + UDP_LENGTH_AT) != c->bytes - c->transport_at)
		return;
	if (wire_u16(udp + UDP_CHECKSUM_AT) == 0)
		return; /* sent without one */
	c->payload_at = c->transport_at + UDP_HEADER_BYTES;
	c->payload_bytes = c->bytes - c->payload_at;
	c->type = OFFLOAD_UDP;
}

/* What can be said of a packet without looking at any other. */
static void examine(const struct join *j, uint8_t *packet, size_t bytes, struct candidate *ret_c)
{
	struct inner_payload transport;
	struct inner inner;

	ret_c->packet = packet;
	ret_c->bytes = (uint32_t)bytes;
	ret_c->flow = NO_FLOW;
	ret_c->type = OFFLOAD_NONE;
	if (inner_parse(packet, bytes, &inner) != VERDICT_PASS)
		return;
	if (!inner_payload(packet, &inner, &transport) || transport.fragment)
		return;
	if (transport.protocol != IPPROTO_TCP && transport.protocol != IPPROTO_UDP)
		return;
	if (transport.at + PORTS_BYTES > inner.bytes)
		return;
	ret_c->transport_at = transport.at;
	ret_c->flow = flow_hash(packet, transport.protocol, transport.at);

	if (transport.at != (inner.version == 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES))
		return; /* IP options, extension headers */
	if (inner.bytes != bytes || bytes > JOIN_BYTES)
		return;
	if (transport.protocol == IPPROTO_TCP && j->tcp)
		examine_tcp(ret_c);
	else if (transport.protocol == IPPROTO_UDP && j->udp)
		examine_udp(ret_c);
}

static bool is_udp(uint8_t type)
{
	return type == OFFLOAD_UDP;
}

static bool sums_up(uint64_t sum)
{
	return be16_to(checksum_fold(sum)) == 0xffff;
}

static bool is_undamaged(const uint8_t *packet, size_t bytes, size_t transport_at, bool udp)
{
	size_t transport_bytes = bytes - transport_at;
	uint64_t sum = checksum_pseudo(packet, udp ? IPPROTO_UDP : IPPROTO_TCP, transport_bytes);

	if (is_ipv4(packet) && !sums_up(checksum_add(0, packet, IPV4_HEADER_BYTES)))
		return false;
	return sums_up(checksum_add(sum, packet + transport_at, transport_bytes));
}

/* The IP headers are what one super-packet would give to both. */
static bool ip_continues(const struct join_run *run, const uint8_t *packet)
{
	const uint8_t *first = first_packet(run);
	uint16_t id;

	if (!is_ipv4(packet))
		return equal_bytes(first, packet, 0, 4) && /* version, class, flow label */
		       first[IPV6_HOP_LIMIT_AT] == packet[IPV6_HOP_LIMIT_AT];
	if (!equal_bytes(first, packet, 0, 2) || /* version, header length, type of service */
	    !equal_bytes(first, packet, IPV4_PLACE_AT, 2) ||
	    first[IPV4_TTL_AT] != packet[IPV4_TTL_AT])
		return false;
	if (wire_u16(packet + IPV4_PLACE_AT) & IPV4_DONT_FRAGMENT)
		return true; /* the identification means nothing: RFC 6864 */
	id = (uint16_t)(wire_u16(first + IPV4_ID_AT) + run->packets);
	return wire_u16(packet + IPV4_ID_AT) == id;
}

static bool tcp_continues(const struct join_run *run, const struct candidate *c)
{
	const uint8_t *first = first_packet(run) + run->transport_at;
	const uint8_t *tcp = c->packet + c->transport_at;

	/* flags: examine_tcp() has let pass ACK with or without PSH, and PSH has closed the run */
	return wire_u32(tcp + TCP_SEQUENCE_AT) == run->sequence &&
	       equal_bytes(first, tcp, TCP_ACKNOWLEDGEMENT_AT, 5) && /* with header length */
	       equal_bytes(first, tcp, TCP_WINDOW_AT, 2) &&
	       equal_bytes(first, tcp, TCP_URGENT_AT,
			   c->payload_at - c->transport_at - TCP_URGENT_AT);
}

/* Does the packet, which is of the run's flow, come next in it, and is it undamaged? */
static bool continues(struct join_run *run, const struct candidate *c)
{
	bool udp = is_udp(c->type);

	if (run->offload.type != c->type)
		return false;
	if (c->payload_bytes > run->segment_bytes || run->bytes + c->payload_bytes > JOIN_BYTES)
		return false;
	if (!ip_continues(run, c->packet) || (!udp && !tcp_continues(run, c)))
		return false;
	if (!run->verified)
		run->verified = is_undamaged(first_packet(run), run->bytes, run->transport_at, udp);
	return run->verified && is_undamaged(c->packet, c->bytes, c->transport_at, udp);
}

static void close_run(struct join *j, unsigned index)
{
	run_at(j, index)->open = false;
	j->flow[index % JOIN_RUNS] = NO_FLOW;
}

/* A packet that has PSH set, or a full run, ends it. */
static void close_if_complete(struct join *j, unsigned index, const struct candidate *c)
{
	const struct join_run *run = run_at(j, index);
	bool push = !is_udp(c->type) && c->packet[c->transport_at + TCP_FLAGS_AT] & TCP_PSH;

	if (push || c->payload_bytes < run->segment_bytes || run->packets == JOIN_PACKETS)
		close_run(j, index);
}

static void append(struct join *j, unsigned index, const struct candidate *c)
{
	struct join_run *run = run_at(j, index);

	run->pieces[run->piece_count++] =
		(struct iovec){ c->packet + c->payload_at, c->payload_bytes };
	run->bytes += c->payload_bytes;
	run->packets++;
	run->sequence += c->payload_bytes;
	if (!is_udp(c->type)) /* of PSH there is one for all, and it goes to the last: split.h */
		first_packet(run)[run->transport_at + TCP_FLAGS_AT] |=
			c->packet[c->transport_at + TCP_FLAGS_AT];
	close_if_complete(j, index, c);
}

static void begin(struct join *j, const struct candidate *c)
{
	unsigned index = j->begun++;
	struct join_run *run = run_at(j, index);

	run->pieces[0] = (struct iovec){ &run->offload, sizeof(run->offload) };
	run->pieces[1] = (struct iovec){ c->packet, c->bytes };
	run->piece_count = 2;
	run->bytes = c->bytes;
	run->packets = 1;
	run->offload = (struct offload){ .type = OFFLOAD_NONE };
	run->open = c->type != OFFLOAD_NONE;
	j->flow[index % JOIN_RUNS] = NO_FLOW;
	if (!run->open)
		return;

	j->flow[index % JOIN_RUNS] = c->flow;
	run->offload.type = c->type; /* complete() takes it back if there is nothing to join */
	run->verified = false;
	run->transport_at = (uint16_t)c->transport_at;
	run->payload_at = (uint16_t)c->payload_at;
	run->segment_bytes = (uint16_t)c->payload_bytes;
	if (!is_udp(c->type))
		run->sequence =
			wire_u32(c->packet + c->transport_at + TCP_SEQUENCE_AT) + c->payload_bytes;
	close_if_complete(j, index, c);
}

/* The open run of the packet's flow; or j->begun if there is none. */
static unsigned find(struct join *j, const struct candidate *c)
{
	for (unsigned index = j->begun; index != j->taken;) {
		const struct join_run *run;

		index--;
		if (j->flow[index % JOIN_RUNS] != c->flow)
			continue;
		run = run_at(j, index);
		if (same_addresses(first_packet(run), c->packet) &&
		    memcmp(first_packet(run) + run->transport_at, c->packet + c->transport_at,
			   PORTS_BYTES) == 0)
			return index;
	}
	return j->begun;
}

static void close_between_addresses(struct join *j, const struct candidate *c)
{
	struct inner inner;

	if (inner_parse(c->packet, c->bytes, &inner) != VERDICT_PASS)
		return;
	for (unsigned index = j->taken; index != j->begun; index++)
		if (run_at(j, index)->open &&
		    same_addresses(first_packet(run_at(j, index)), c->packet))
			close_run(j, index);
}

bool join_add(struct join *j, uint8_t *packet, size_t bytes)
{
	struct candidate c;
	unsigned index;

	if (j->begun - j->taken == JOIN_RUNS)
		return false;
	examine(j, packet, bytes, &c);
	if (c.flow == NO_FLOW) {
		close_between_addresses(j, &c);
		begin(j, &c);
		return true;
	}
	index = find(j, &c);
	if (index != j->begun) {
		if (c.type != OFFLOAD_NONE && continues(run_at(j, index), &c)) {
			append(j, index, &c);
			return true;
		}
		close_run(j, index);
	}
	begin(j, &c);
	return true;
}

/* Make the first packet's headers those of the super-packet, and tell the kernel what it is. */
static void complete(struct join_run *run)
{
	uint8_t *packet = first_packet(run);
	uint8_t *transport = packet + run->transport_at;
	bool udp = is_udp(run->offload.type);
	uint32_t transport_bytes = run->bytes - run->transport_at;
	uint16_t checksum_at = udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT;
	be16 pseudo;

	if (is_ipv4(packet)) {
		wire_put_u16(packet + IPV4_LENGTH_AT, run->bytes);
		checksum_ipv4_header(packet);
	} else {
		wire_put_u16(packet + IPV6_LENGTH_AT, run->bytes - IPV6_HEADER_BYTES);
	}
	if (udp)
		wire_put_u16(transport + UDP_LENGTH_AT, transport_bytes);
	pseudo = checksum_fold(
		checksum_pseudo(packet, udp ? IPPROTO_UDP : IPPROTO_TCP, transport_bytes));
	memcpy(transport + checksum_at, &pseudo, sizeof(pseudo));

	run->offload.flags = OFFLOAD_NEEDS_CHECKSUM;
	run->offload.header_bytes = run->payload_at;
	run->offload.segment_bytes = run->segment_bytes;
	run->offload.checksum_start = run->transport_at;
	run->offload.checksum_offset = checksum_at;
}

struct join_run *join_take(struct join *j)
{
	struct join_run *run;

	if (j->taken == j->begun)
		return NULL;
	run = run_at(j, j->taken);
	close_run(j, j->taken++);
	if (run->packets > 1)
		complete(run);
	else
		run->offload.type = OFFLOAD_NONE;
	return run;
}
