/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/toobig.h"

#include "minivpn/checksum.h"
#include "minivpn/wire.h"

#include <netinet/in.h>
#include <string.h>

enum {
	ICMP_BYTES = 8,              /* header before what is quoted, both versions */
	ICMP_CHECKSUM_AT = 2,        /* offset in it */
	IPV4_ANSWER_BYTES = 576,     /* longest ICMPv4 error: RFC 1812 4.3.2.3 */
	INTERNETWORK_CONTROL = 0xc0, /* precedence 6 for ICMP errors: RFC 1812 4.3.2.5 */
	HOP_LIMIT = 64,
	IPV6_MULTICAST = 0xff, /* first byte of an address */
	DONT_FRAGMENT = 0x4000,
	MORE_FRAGMENTS = 0x2000,
	FRAGMENT_OFFSET = 0x1fff, /* in units of eight bytes */
};

static uint32_t header_bytes_ipv4(const uint8_t *packet)
{
	return (uint32_t)(packet[0] & 15) * 4;
}

/* RFC 1812 4.3.2.7: 0/8, 127/8, multicast, class E and the broadcast address name no single host. */
static bool is_host_ipv4(const uint8_t address[4])
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

static bool is_error_icmpv4(uint8_t type)
{
	switch (type) {
	case 3:  /* destination unreachable */
	case 4:  /* source quench */
	case 5:  /* redirect */
	case 11: /* time exceeded */
	case 12: /* parameter problem */
		return true;
	default:
		return false;
	}
}

static bool is_error_icmpv6(uint8_t type)
{
	enum { REDIRECT = 137, FIRST_INFORMATIONAL = 128 };

	return type < FIRST_INFORMATIONAL || type == REDIRECT;
}

/* May @from be the source of a packet?  Callers who answer for a destination could name a group. */
static bool may_answer_from(const struct address *from, uint8_t version)
{
	if (address_is_none(from) || address_is_ipv4(from) != (version == 4))
		return false;
	return version == 4 ? is_host_ipv4(from->b + 12) : from->b[0] != IPV6_MULTICAST;
}

/* A multicast destination is an obstacle for IPv4 only: RFC 4443 2.4(e) exempts "too big", since
 * path MTU discovery would not work for multicast without. */
static bool may_answer_addresses(const uint8_t *packet, const struct inner *inner)
{
	if (inner->version == 4)
		return is_host_ipv4(packet + 12) && is_host_ipv4(packet + 16);
	return !address_is_none(&inner->source) && packet[8] != IPV6_MULTICAST;
}

/* What cannot be read as far as its type might be an error message: silence is the safe side. */
static bool may_answer(const uint8_t *packet, const struct inner *inner)
{
	struct inner_payload payload;
	bool icmpv4, icmpv6;

	if (!may_answer_addresses(packet, inner) || !inner_payload(packet, inner, &payload))
		return false;
	if (payload.fragment && !payload.first_fragment)
		return false;
	icmpv4 = inner->version == 4 && payload.protocol == IPPROTO_ICMP;
	icmpv6 = inner->version == 6 && payload.protocol == IPPROTO_ICMPV6;
	if (!icmpv4 && !icmpv6)
		return true;
	if (payload.at >= inner->bytes)
		return false;
	return icmpv4 ? !is_error_icmpv4(packet[payload.at]) : !is_error_icmpv6(packet[payload.at]);
}

static size_t answer_ipv4(const uint8_t *packet, const struct inner *inner, uint32_t mtu,
			  const struct address *from, uint8_t *ret_room)
{
	enum { QUOTE_MAX = IPV4_ANSWER_BYTES - IPV4_HEADER_BYTES - ICMP_BYTES };
	uint32_t quote = inner->bytes < QUOTE_MAX ? inner->bytes : QUOTE_MAX;
	uint32_t bytes = IPV4_HEADER_BYTES + ICMP_BYTES + quote;
	uint8_t *icmp = ret_room + IPV4_HEADER_BYTES;
	be16 checksum;

	memset(ret_room, 0, IPV4_HEADER_BYTES + ICMP_BYTES);
	ret_room[0] = 0x45;
	ret_room[1] = INTERNETWORK_CONTROL;
	wire_put_u16(ret_room + 2, bytes);
	/* what is never fragmented needs no identification: RFC 6864 */
	wire_put_u16(ret_room + 6, DONT_FRAGMENT);
	ret_room[8] = HOP_LIMIT;
	ret_room[9] = IPPROTO_ICMP;
	memcpy(ret_room + 12, from->b + 12, 4);
	memcpy(ret_room + 16, packet + 12, 4);
	checksum_ipv4_header(ret_room);

	icmp[0] = 3; /* destination unreachable */
	icmp[1] = 4; /* fragmentation needed and DF set */
	wire_put_u16(icmp + 6, mtu < UINT16_MAX ? mtu : UINT16_MAX);
	memcpy(icmp + ICMP_BYTES, packet, quote);
	checksum = checksum_finish(checksum_add(0, icmp, ICMP_BYTES + quote));
	memcpy(icmp + ICMP_CHECKSUM_AT, &checksum, sizeof(checksum));
	return bytes;
}

static size_t answer_ipv6(const uint8_t *packet, const struct inner *inner, uint32_t mtu,
			  const struct address *from, uint8_t *ret_room)
{
	enum { QUOTE_MAX = TOOBIG_ANSWER_BYTES - IPV6_HEADER_BYTES - ICMP_BYTES };
	uint32_t quote = inner->bytes < QUOTE_MAX ? inner->bytes : QUOTE_MAX;
	uint8_t *icmp = ret_room + IPV6_HEADER_BYTES;
	uint64_t sum;
	be16 checksum;

	memset(ret_room, 0, IPV6_HEADER_BYTES + ICMP_BYTES);
	ret_room[0] = 0x60;
	wire_put_u16(ret_room + 4, ICMP_BYTES + quote);
	ret_room[6] = IPPROTO_ICMPV6;
	ret_room[7] = HOP_LIMIT;
	memcpy(ret_room + 8, from->b, 16);
	memcpy(ret_room + 24, packet + 8, 16);

	icmp[0] = 2; /* packet too big */
	wire_put_u32(icmp + 4, mtu > IPV6_MTU_MIN ? mtu : IPV6_MTU_MIN);
	memcpy(icmp + ICMP_BYTES, packet, quote);
	sum = checksum_pseudo(ret_room, IPPROTO_ICMPV6, ICMP_BYTES + quote);
	checksum = checksum_finish(checksum_add(sum, icmp, ICMP_BYTES + quote));
	memcpy(icmp + ICMP_CHECKSUM_AT, &checksum, sizeof(checksum));
	return IPV6_HEADER_BYTES + ICMP_BYTES + quote;
}

size_t toobig_answer(const uint8_t *packet, const struct inner *inner, uint32_t mtu,
		     const struct address *from, uint8_t *ret_room)
{
	if (!may_answer_from(from, inner->version) || !may_answer(packet, inner))
		return 0;
	return inner->version == 4 ? answer_ipv4(packet, inner, mtu, from, ret_room)
				   : answer_ipv6(packet, inner, mtu, from, ret_room);
}

bool fragments_begin(struct fragments *f, const uint8_t *packet, const struct inner *inner,
		     uint32_t mtu)
{
	uint32_t header, end;

	if (inner->version != 4 || inner->dont_fragment || mtu < IPV4_MTU_MIN ||
	    inner->bytes <= mtu)
		return false;
	header = header_bytes_ipv4(packet);
	end = inner->bytes + (wire_u16(packet + 6) & FRAGMENT_OFFSET) * 8u;
	if (end > UINT16_MAX)
		return false; /* offsets would begin again at 0 */
	f->packet = packet;
	f->header_bytes = header;
	f->bytes = inner->bytes;
	f->mtu = mtu;
	f->at = header;
	return true;
}

/**
 * copy_options() - the options that go into every fragment, padded to whole words
 * @from, @bytes: the packet's options
 * @to:           at least as much room
 *
 * An option that claims to reach beyond the header ends the list, as it would for whoever reads it.
 *
 * Return: bytes written, a multiple of 4
 */
static uint32_t copy_options(const uint8_t *from, uint32_t bytes, uint8_t *to)
{
	enum { END = 0, NO_OPERATION = 1, COPIED = 0x80 };
	uint32_t kept = 0;

	for (uint32_t at = 0, size; at < bytes && from[at] != END; at += size) {
		size = 1;
		if (from[at] == NO_OPERATION)
			continue;
		if (at + 1 >= bytes || from[at + 1] < 2 || from[at + 1] > bytes - at)
			break;
		size = from[at + 1];
		if (from[at] & COPIED) {
			memcpy(to + kept, from + at, size);
			kept += size;
		}
	}
	while (kept % 4 != 0)
		to[kept++] = END;
	return kept;
}

size_t fragments_next(struct fragments *f, uint8_t *ret_fragment)
{
	bool first = f->at == f->header_bytes;
	uint32_t left = f->bytes - f->at, header = f->header_bytes, payload, offset;
	uint16_t place = wire_u16(f->packet + 6);

	if (left == 0)
		return 0;
	memcpy(ret_fragment, f->packet, first ? header : IPV4_HEADER_BYTES);
	if (!first)
		header = IPV4_HEADER_BYTES + copy_options(f->packet + IPV4_HEADER_BYTES,
							  f->header_bytes - IPV4_HEADER_BYTES,
							  ret_fragment + IPV4_HEADER_BYTES);
	payload = f->mtu - header;
	payload = left <= payload ? left : payload & ~7u;
	memcpy(ret_fragment + header, f->packet + f->at, payload);

	offset = (place & FRAGMENT_OFFSET) + (f->at - f->header_bytes) / 8;
	place = (uint16_t)((place & ~FRAGMENT_OFFSET) | offset);
	if (payload < left)
		place |= MORE_FRAGMENTS;
	ret_fragment[0] = (uint8_t)(0x40 | header / 4);
	wire_put_u16(ret_fragment + 2, header + payload);
	wire_put_u16(ret_fragment + 6, place);
	checksum_ipv4_header(ret_fragment);
	f->at += payload;
	return header + payload;
}
