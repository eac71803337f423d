/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/inner.h"

#include "minivpn/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum {
	TCP_HEADER_BYTES = 20,
	TCP_LENGTH_AT = 12,
	TCP_FLAGS_AT = 13,
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
};

static const uint8_t ipv4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct address address_from_ipv4(const uint8_t ipv4[4])
{
	struct address a;

	memcpy(a.b, ipv4_mapped, sizeof(ipv4_mapped));
	memcpy(a.b + sizeof(ipv4_mapped), ipv4, 4);
	return a;
}

struct address address_from_ipv6(const uint8_t ipv6[16])
{
	struct address a;

	memcpy(a.b, ipv6, sizeof(a.b));
	return a;
}

/* Where a family's own bits begin in the 128 of a struct address. */
static unsigned first_bit(const struct address *a)
{
	return address_is_ipv4(a) ? 96 : 0;
}

bool prefix_is_valid(const struct prefix *p)
{
	return p->length <= 128 - first_bit(&p->address);
}

static struct address masked(const struct address *a, unsigned bits)
{
	struct address m = { { 0 } };

	memcpy(m.b, a->b, bits / 8);
	if (bits % 8)
		m.b[bits / 8] = (uint8_t)(a->b[bits / 8] & 0xff00 >> bits % 8);
	return m;
}

struct prefix prefix_network(const struct prefix *p)
{
	return (struct prefix){ masked(&p->address, p->length + first_bit(&p->address)),
				p->length };
}

bool prefix_contains(const struct prefix *p, const struct address *a)
{
	unsigned bits = p->length + first_bit(&p->address);
	struct address network, candidate;

	if (address_is_ipv4(&p->address) != address_is_ipv4(a))
		return false;
	network = masked(&p->address, bits);
	candidate = masked(a, bits);
	return address_equal(&network, &candidate);
}

char *address_print(const struct address *a, char *ret_text)
{
	if (address_is_ipv4(a))
		inet_ntop(AF_INET, a->b + 12, ret_text, ADDRESS_TEXT_BYTES);
	else
		inet_ntop(AF_INET6, a->b, ret_text, ADDRESS_TEXT_BYTES);
	return ret_text;
}

/* Appends @value in decimal and a NUL; returns where the NUL is. */
static char *decimal(char *at, uint32_t value)
{
	char digits[10];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n > 0)
		*at++ = digits[--n];
	*at = '\0';
	return at;
}

char *prefix_print(const struct prefix *p, char *ret_text)
{
	char *at = ret_text;

	address_print(&p->address, ret_text);
	at += strlen(ret_text);
	*at++ = '/';
	decimal(at, p->length);
	return ret_text;
}

char *endpoint_print(const struct endpoint *e, char *ret_text)
{
	char *at = ret_text;
	bool brackets = !address_is_ipv4(&e->remote);

	if (brackets)
		*at++ = '[';
	address_print(&e->remote, at);
	at += strlen(at);
	if (e->scope) {
		*at++ = '%';
		at = decimal(at, e->scope);
	}
	if (brackets)
		*at++ = ']';
	*at++ = ':';
	decimal(at, e->remote_port);
	return ret_text;
}

bool address_parse(const char *text, struct address *ret_address)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1) {
		*ret_address = address_from_ipv4(bytes);
		return true;
	}
	if (inet_pton(AF_INET6, text, bytes) == 1) {
		*ret_address = address_from_ipv6(bytes);
		return true;
	}
	return false;
}

/* A decimal number without sign, blanks or leading zeros, all of @text, at most @limit. */
static bool number_parse(const char *text, uint32_t limit, uint32_t *ret_value)
{
	uint32_t value = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > limit)
			return false;
	}
	*ret_value = value;
	return true;
}

bool prefix_parse(const char *text, struct prefix *ret_prefix)
{
	char address[ADDRESS_TEXT_BYTES];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct prefix p;
	uint32_t length;

	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	if (!address_parse(address, &p.address))
		return false;
	length = 128 - first_bit(&p.address);
	if (slash && !number_parse(slash + 1, length, &length))
		return false;
	p.length = (uint8_t)length;
	*ret_prefix = p;
	return true;
}

bool endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	char address[ADDRESS_TEXT_BYTES];
	bool brackets = *text == '[';
	const char *end = brackets ? strchr(text, ']') : strchr(text, ':');
	struct address remote;
	uint32_t port;
	size_t n;

	text += brackets;
	if (!end || (size_t)(end - text) >= sizeof(address))
		return false;
	n = (size_t)(end - text);
	memcpy(address, text, n);
	address[n] = '\0';
	end += brackets;
	if (*end != ':' || !number_parse(end + 1, UINT16_MAX, &port) || port == 0)
		return false;
	if (!address_parse(address, &remote) || address_is_ipv4(&remote) == brackets)
		return false;
	ret_endpoint->remote = remote;
	ret_endpoint->remote_port = (uint16_t)port;
	ret_endpoint->scope = 0;
	return true;
}

static enum verdict parse_ipv4(const uint8_t *packet, size_t bytes, struct inner *ret_inner)
{
	uint32_t header, total;

	if (bytes < IPV4_HEADER_BYTES)
		return VERDICT_NOT_IP;
	header = (uint32_t)(packet[0] & 15) * 4;
	total = (uint32_t)packet[2] << 8 | packet[3];
	if (header < IPV4_HEADER_BYTES || total < header || total > bytes)
		return VERDICT_NOT_IP;

	/* field by field: a struct made elsewhere and copied here would wait for its own stores */
	ret_inner->version = 4;
	ret_inner->source = address_from_ipv4(packet + 12);
	ret_inner->destination = address_from_ipv4(packet + 16);
	ret_inner->bytes = total;
	ret_inner->tos = packet[1];
	ret_inner->protocol = packet[9];
	ret_inner->dont_fragment = packet[6] & 0x40;
	return VERDICT_PASS;
}

/* On no wire (RFC 4291 2.5.5.2, RFC 6890): in a struct address it would be of the other family. */
static bool is_mapped(const uint8_t *ipv6)
{
	return memcmp(ipv6, ipv4_mapped, sizeof(ipv4_mapped)) == 0;
}

static enum verdict parse_ipv6(const uint8_t *packet, size_t bytes, struct inner *ret_inner)
{
	uint32_t total;

	if (bytes < IPV6_HEADER_BYTES)
		return VERDICT_NOT_IP;
	total = IPV6_HEADER_BYTES + ((uint32_t)packet[4] << 8 | packet[5]);
	if (total > bytes || is_mapped(packet + 8) || is_mapped(packet + 24))
		return VERDICT_NOT_IP;

	ret_inner->version = 6;
	ret_inner->source = address_from_ipv6(packet + 8);
	ret_inner->destination = address_from_ipv6(packet + 24);
	ret_inner->bytes = total;
	ret_inner->tos = (uint8_t)(packet[0] << 4 | packet[1] >> 4);
	ret_inner->protocol = packet[6];
	ret_inner->dont_fragment = true;
	return VERDICT_PASS;
}

enum verdict inner_parse(const uint8_t *packet, size_t bytes, struct inner *ret_inner)
{
	if (bytes == 0)
		return VERDICT_NOT_IP;
	if (packet[0] >> 4 == 4)
		return parse_ipv4(packet, bytes, ret_inner);
	if (packet[0] >> 4 == 6)
		return parse_ipv6(packet, bytes, ret_inner);
	return VERDICT_NOT_IP;
}

static bool payload_ipv4(const uint8_t *packet, const struct inner *inner,
			 struct inner_payload *ret_payload)
{
	enum { MORE_FRAGMENTS = 0x2000, FRAGMENT_OFFSET = 0x1fff };
	uint16_t place = wire_u16(packet + 6);

	ret_payload->protocol = inner->protocol;
	ret_payload->at = (uint32_t)(packet[0] & 15) * 4;
	ret_payload->fragment = place & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
	ret_payload->first_fragment =
		(place & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) == MORE_FRAGMENTS;
	return true;
}

static bool payload_ipv6(const uint8_t *packet, const struct inner *inner,
			 struct inner_payload *ret_payload)
{
	enum {
		UNIT_BYTES = 8,
		OFFSET_MASK = 0xfff8
	}; /* RFC 8200 4.5: offset in the upper 13 bits */
	struct inner_payload p = { .protocol = inner->protocol, .at = IPV6_HEADER_BYTES };

	while (p.protocol == IPPROTO_HOPOPTS || p.protocol == IPPROTO_ROUTING ||
	       p.protocol == IPPROTO_DSTOPTS || p.protocol == IPPROTO_FRAGMENT) {
		const uint8_t *header = packet + p.at;
		uint32_t bytes = UNIT_BYTES;

		if (p.at + bytes > inner->bytes)
			return false;
		if (p.protocol != IPPROTO_FRAGMENT) {
			bytes += header[1] * (uint32_t)UNIT_BYTES;
		} else {
			p.fragment = true;
			p.first_fragment = (wire_u16(header + 2) & OFFSET_MASK) == 0;
		}
		if (p.at + bytes > inner->bytes)
			return false;
		p.protocol = header[0];
		p.at += bytes;
		if (p.fragment && !p.first_fragment)
			break;
	}
	*ret_payload = p;
	return true;
}

bool inner_payload(const uint8_t *packet, const struct inner *inner,
		   struct inner_payload *ret_payload)
{
	return inner->version == 4 ? payload_ipv4(packet, inner, ret_payload)
				   : payload_ipv6(packet, inner, ret_payload);
}

bool inner_is_acknowledgement(const uint8_t *packet, size_t bytes)
{
	struct inner_payload payload;
	struct inner inner;
	const uint8_t *tcp;

	if (inner_parse(packet, bytes, &inner) != VERDICT_PASS ||
	    !inner_payload(packet, &inner, &payload) || payload.fragment ||
	    payload.protocol != IPPROTO_TCP || inner.bytes - payload.at < TCP_HEADER_BYTES)
		return false;
	tcp = packet + payload.at;
	return inner.bytes == payload.at + (uint32_t)(tcp[TCP_LENGTH_AT] >> 4) * 4 &&
	       !(tcp[TCP_FLAGS_AT] & (TCP_FIN | TCP_SYN | TCP_RST));
}
