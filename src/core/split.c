/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/split.h"

#include "minivpn/checksum.h"
#include "minivpn/inner.h"
#include "minivpn/wire.h"

#include <netinet/in.h>
#include <string.h>

enum {
	TCP_HEADER_BYTES = 20, /* without options */
	TCP_SEQUENCE_AT = 4,
	TCP_LENGTH_AT = 12, /* in words, upper half of the byte */
	TCP_FLAGS_AT = 13,
	TCP_CHECKSUM_AT = 16,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
	UDP_HEADER_BYTES = 8,
	UDP_LENGTH_AT = 4,
	UDP_CHECKSUM_AT = 6,
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

/* Put the checksum of @bytes at @start, on top of @sum, into the field at @offset from there.  UDP
 * sends 0 as 0xffff, since 0 says that there is none (RFC 768). */
static void complete_checksum(uint8_t *start, size_t bytes, size_t offset, uint64_t sum, bool udp)
{
	be16 checksum = checksum_finish(checksum_add(sum, start, bytes));

	if (udp && be16_to(checksum) == 0)
		checksum = be16_from(0xffff);
	memcpy(start + offset, &checksum, sizeof(checksum));
}

static void write_plain(const struct split *s, uint8_t *packet)
{
	const struct offload *o = &s->offload;

	if (packet != s->packet)
		memcpy(packet, s->packet, s->bytes);
	/* the field holds the pseudo-header's sum already and is summed up with the rest */
	if (o->flags & OFFLOAD_NEEDS_CHECKSUM)
		complete_checksum(packet + o->checksum_start, s->bytes - o->checksum_start,
				  o->checksum_offset, 0, o->checksum_offset == UDP_CHECKSUM_AT);
}

static void number_ip(uint8_t *packet, size_t bytes, size_t index)
{
	enum { LENGTH4_AT = 2, ID4_AT = 4, LENGTH6_AT = 4 };

	if (packet[0] >> 4 == 6) {
		wire_put_u16(packet + LENGTH6_AT, (uint32_t)(bytes - IPV6_HEADER_BYTES));
		return;
	}
	wire_put_u16(packet + LENGTH4_AT, (uint32_t)bytes);
	wire_put_u16(packet + ID4_AT, wire_u16(packet + ID4_AT) + (uint32_t)index);
	checksum_ipv4_header(packet);
}

static void number_tcp(uint8_t *tcp, size_t stream_offset, bool first, bool last)
{
	wire_put_u32(tcp + TCP_SEQUENCE_AT,
		     wire_u32(tcp + TCP_SEQUENCE_AT) + (uint32_t)stream_offset);
	if (!first)
		tcp[TCP_FLAGS_AT] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS_AT] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

static void write_segment(const struct split *s, uint8_t *packet, size_t bytes)
{
	size_t stream_offset = s->next * s->offload.segment_bytes;
	size_t transport_bytes = bytes - s->transport_at;
	uint8_t *transport = packet + s->transport_at;
	size_t checksum_at;

	/* with one packet the two may be the same place */
	memmove(packet, s->packet, s->payload_at);
	memmove(packet + s->payload_at, s->packet + s->payload_at + stream_offset,
		bytes - s->payload_at);
	number_ip(packet, bytes, s->next);
	if (is_tcp(s)) {
		number_tcp(transport, stream_offset, s->next == 0, s->next + 1 == s->packets);
		checksum_at = TCP_CHECKSUM_AT;
	} else {
		wire_put_u16(transport + UDP_LENGTH_AT, (uint32_t)transport_bytes);
		checksum_at = UDP_CHECKSUM_AT;
	}
	memset(transport + checksum_at, 0, sizeof(be16));
	complete_checksum(
		transport, transport_bytes, checksum_at,
		checksum_pseudo(packet, is_tcp(s) ? IPPROTO_TCP : IPPROTO_UDP, transport_bytes),
		!is_tcp(s));
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
