/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All packets of a super-packet have most of their headers in common, and the sum over these; what
 * differs is added to it as numbers.  So nothing is summed up that has just been written: reading it
 * again in wider pieces would make the processor wait for its own stores.
 */
#include "minivpn/split.h"

#include "minivpn/checksum.h"
#include "minivpn/inner.h"
#include "minivpn/wire.h"

#include <netinet/in.h>
#include <string.h>

enum {
	TCP_HEADER_BYTES = 20, /* without options */
	TRANSPORT_HEADER_MAX = 60,
	TCP_SEQUENCE_AT = 4,
	TCP_LENGTH_AT = 12, /* in words, upper half of the byte */
	TCP_FLAGS_AT = 13,  /* the other half of that word */
	TCP_CHECKSUM_AT = 16,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
	UDP_HEADER_BYTES = 8,
	UDP_LENGTH_AT = 4,
	UDP_CHECKSUM_AT = 6,
	IPV4_HEADER_MAX = 60,
	IPV4_LENGTH_AT = 2,
	IPV4_ID_AT = 4,
	IPV4_CHECKSUM_AT = 10,
	IPV6_LENGTH_AT = 4,
};

static bool is_tcp(const struct split *s)
{
	return s->offload.type != OFFLOAD_UDP;
}

static bool type_suits_version(uint8_t type, uint8_t version)
{
	switch (type) {
	case OFFLOAD_TCP_IPV4:
	case OFFLOAD_TCP_IPV4 | OFFLOAD_TCP_ECN:
		return version == 4;
	case OFFLOAD_TCP_IPV6:
	case OFFLOAD_TCP_IPV6 | OFFLOAD_TCP_ECN:
		return version == 6;
	case OFFLOAD_UDP:
		return true;
	default:
		return false;
	}
}

/* One packet: nothing to do but, perhaps, to complete a checksum, of whatever protocol. */
static enum verdict begin_plain(struct split *s)
{
	const struct offload *o = &s->offload;
	size_t field = (size_t)o->checksum_start + o->checksum_offset;

	if (!(o->flags & OFFLOAD_NEEDS_CHECKSUM))
		return VERDICT_PASS;
	if (o->checksum_start < IPV4_HEADER_BYTES || field + sizeof(be16) > s->bytes)
		return VERDICT_BAD_OFFLOAD;
	return VERDICT_PASS;
}

static void zero_u16(uint8_t *at)
{
	memset(at, 0, sizeof(be16));
}

/* Sum up the headers without the fields that differ from packet to packet. */
static void sum_common(struct split *s)
{
	uint8_t ip[IPV4_HEADER_MAX], transport[TRANSPORT_HEADER_MAX];
	size_t transport_bytes = s->payload_at - s->transport_at;

	memcpy(transport, s->packet + s->transport_at, transport_bytes);
	if (is_tcp(s)) {
		memset(transport + TCP_SEQUENCE_AT, 0, sizeof(be32));
		zero_u16(transport + TCP_LENGTH_AT);
		zero_u16(transport + TCP_CHECKSUM_AT);
	} else {
		zero_u16(transport + UDP_LENGTH_AT);
		zero_u16(transport + UDP_CHECKSUM_AT);
	}
	s->transport_sum =
		checksum_add(checksum_pseudo(s->packet, is_tcp(s) ? IPPROTO_TCP : IPPROTO_UDP, 0),
			     transport, transport_bytes);
	if (s->packet[0] >> 4 == 6)
		return;
	memcpy(ip, s->packet, s->transport_at);
	zero_u16(ip + IPV4_LENGTH_AT);
	zero_u16(ip + IPV4_ID_AT);
	zero_u16(ip + IPV4_CHECKSUM_AT);
	s->ip_sum = checksum_add(0, ip, s->transport_at);
}

/* Where TCP or UDP begins is found in the packet; what the header says can only contradict. */
static enum verdict begin_super(struct split *s, const struct inner *inner)
{
	const struct offload *o = &s->offload;
	struct inner_payload transport;
	size_t header = UDP_HEADER_BYTES;

	if (!type_suits_version(o->type, inner->version) || o->segment_bytes == 0)
		return VERDICT_BAD_OFFLOAD;
	if (!inner_payload(s->packet, inner, &transport) || transport.fragment)
		return VERDICT_BAD_OFFLOAD;
	if (transport.protocol != (is_tcp(s) ? IPPROTO_TCP : IPPROTO_UDP))
		return VERDICT_BAD_OFFLOAD;
	if (o->flags & OFFLOAD_NEEDS_CHECKSUM && o->checksum_start != transport.at)
		return VERDICT_BAD_OFFLOAD;
	if (is_tcp(s)) {
		if (transport.at + TCP_HEADER_BYTES > s->bytes)
			return VERDICT_BAD_OFFLOAD;
		header = (size_t)(s->packet[transport.at + TCP_LENGTH_AT] >> 4) * 4;
		if (header < TCP_HEADER_BYTES)
			return VERDICT_BAD_OFFLOAD;
	}
	if (transport.at + header > s->bytes)
		return VERDICT_BAD_OFFLOAD;

	s->transport_at = transport.at;
	s->payload_at = transport.at + header;
	sum_common(s);
	if (s->bytes - s->payload_at > o->segment_bytes) {
		s->packet_bytes = s->payload_at + o->segment_bytes;
		s->packets = (s->bytes - s->payload_at + o->segment_bytes - 1) / o->segment_bytes;
	}
	return VERDICT_PASS;
}

enum verdict split_begin(struct split *s, const struct offload *offload, const uint8_t *packet,
			 size_t bytes)
{
	struct inner inner;
	enum verdict verdict = inner_parse(packet, bytes, &inner);

	if (verdict != VERDICT_PASS)
		return verdict;
	*s = (struct split){
		.packet = packet,
		.bytes = inner.bytes,
		.offload = *offload,
		.packets = 1,
		.packet_bytes = inner.bytes,
	};
	return offload->type == OFFLOAD_NONE ? begin_plain(s) : begin_super(s, &inner);
}

size_t split_next_bytes(const struct split *s)
{
	if (s->next + 1 < s->packets)
		return s->packet_bytes;
	if (s->next + 1 == s->packets)
		return s->bytes - s->next * s->offload.segment_bytes;
	return 0;
}

/* UDP sends 0 as 0xffff, since 0 says that there is no checksum (RFC 768). */
static void put_checksum(uint8_t *at, uint64_t sum, bool udp)
{
	be16 checksum = checksum_finish(sum);

	if (udp && be16_to(checksum) == 0)
		checksum = be16_from(0xffff);
	memcpy(at, &checksum, sizeof(checksum));
}

static void write_plain(const struct split *s, uint8_t *packet)
{
	const struct offload *o = &s->offload;
	size_t start = o->checksum_start;

	if (packet != s->packet)
		memcpy(packet, s->packet, s->bytes);
	if (!(o->flags & OFFLOAD_NEEDS_CHECKSUM))
		return;
	/* the field holds the pseudo-header's sum already and is summed up with the rest */
	put_checksum(packet + start + o->checksum_offset,
		     checksum_add(0, s->packet + start, s->bytes - start),
		     o->checksum_offset == UDP_CHECKSUM_AT);
}

static void number_ip(const struct split *s, uint8_t *packet, size_t bytes)
{
	uint16_t id;

	if (packet[0] >> 4 == 6) {
		wire_put_u16(packet + IPV6_LENGTH_AT, (uint32_t)(bytes - IPV6_HEADER_BYTES));
		return;
	}
	id = (uint16_t)(wire_u16(s->packet + IPV4_ID_AT) + s->next);
	wire_put_u16(packet + IPV4_LENGTH_AT, (uint32_t)bytes);
	wire_put_u16(packet + IPV4_ID_AT, id);
	put_checksum(packet + IPV4_CHECKSUM_AT,
		     s->ip_sum + checksum_word(bytes) + checksum_word(id), false);
}

static void number_tcp(const struct split *s, uint8_t *tcp, size_t stream_offset, uint64_t sum)
{
	const uint8_t *first = s->packet + s->transport_at;
	uint32_t sequence = wire_u32(first + TCP_SEQUENCE_AT) + (uint32_t)stream_offset;
	uint16_t flags = wire_u16(first + TCP_LENGTH_AT); /* and the header's length */

	if (s->next > 0)
		flags &= (uint16_t)~TCP_CWR;
	if (s->next + 1 < s->packets)
		flags &= (uint16_t) ~(TCP_FIN | TCP_PSH);
	wire_put_u32(tcp + TCP_SEQUENCE_AT, sequence);
	wire_put_u16(tcp + TCP_LENGTH_AT, flags);
	put_checksum(tcp + TCP_CHECKSUM_AT, sum + checksum_word(sequence) + checksum_word(flags),
		     false);
}

static void write_segment(const struct split *s, uint8_t *packet, size_t bytes)
{
	size_t stream_offset = s->next * s->offload.segment_bytes;
	size_t transport_bytes = bytes - s->transport_at, payload_bytes = bytes - s->payload_at;
	const uint8_t *payload = s->packet + s->payload_at + stream_offset;
	uint8_t *transport = packet + s->transport_at;
	uint64_t sum = s->transport_sum + checksum_word(transport_bytes);

	if (packet == s->packet) { /* a single packet, where it is */
		sum = checksum_add(sum, payload, payload_bytes);
	} else {
		memcpy(packet, s->packet, s->payload_at);
		sum = checksum_copy(sum, packet + s->payload_at, payload, payload_bytes);
	}
	number_ip(s, packet, bytes);
	if (is_tcp(s)) {
		number_tcp(s, transport, stream_offset, sum);
	} else {
		wire_put_u16(transport + UDP_LENGTH_AT, (uint32_t)transport_bytes);
		put_checksum(transport + UDP_CHECKSUM_AT, sum + checksum_word(transport_bytes),
			     true);
	}
}

size_t split_next(struct split *s, uint8_t *ret_packet)
{
	size_t bytes = split_next_bytes(s);

	if (bytes == 0)
		return 0;
	if (s->offload.type == OFFLOAD_NONE)
		write_plain(s, ret_packet);
	else
		write_segment(s, ret_packet, bytes);
	s->next++;
	return bytes;
}
