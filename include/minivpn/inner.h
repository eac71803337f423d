/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An inner IP packet seen from outside: version, addresses, length; and what belongs to that: an
 * address, a prefix, an endpoint.  Transport headers and checksums are not looked at here.
 */
#ifndef MINIVPN_INNER_H
#define MINIVPN_INNER_H

#include "minivpn/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * struct address - an IPv4 or IPv6 address in one shape
 * @b: 16 bytes in network order; IPv4 as an IPv4-mapped IPv6 address (::ffff:a.b.c.d, RFC 4291
 *     section 2.5.5.2)
 *
 * All zero is "no address".
 */
struct address {
	uint8_t b[16];
};

struct address address_from_ipv4(const uint8_t ipv4[4]);
struct address address_from_ipv6(const uint8_t ipv6[16]);

/** address_is_ipv4() - is it IPv4-mapped?  Its four bytes are then b[12] to b[15] */
static inline bool address_is_ipv4(const struct address *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

static inline bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool address_is_none(const struct address *a)
{
	return address_equal(a, &(const struct address){ { 0 } });
}

/**
 * struct prefix - an address and how many of its leading bits count
 * @address: host bits may be set (an interface address) or clear (a network)
 * @length:  0..32 for IPv4, 0..128 for IPv6, counted in the address's own family
 */
struct prefix {
	struct address address;
	uint8_t length;
};

/** prefix_is_valid() - is the length possible in the address's family? */
bool prefix_is_valid(const struct prefix *p);

/** prefix_network() - the same prefix with all host bits cleared */
struct prefix prefix_network(const struct prefix *p);

/** prefix_contains() - does @p contain @a?  Never across families */
bool prefix_contains(const struct prefix *p, const struct address *a);

/**
 * struct endpoint - where a peer is reached, and by which of our addresses
 * @local:       our own address that it uses; none = the kernel chooses
 * @remote:      the peer's address
 * @remote_port: the peer's UDP port, host order
 * @scope:       interface index, for a link-local IPv6 remote; else 0
 *
 * All zero is "no endpoint".
 */
struct endpoint {
	struct address local;
	struct address remote;
	uint16_t remote_port;
	uint32_t scope;
};

static inline bool endpoint_is_none(const struct endpoint *e)
{
	return address_is_none(&e->remote);
}

/** endpoint_same_remote() - same remote address, port and scope? */
static inline bool endpoint_same_remote(const struct endpoint *a, const struct endpoint *b)
{
	return a->remote_port == b->remote_port && a->scope == b->scope &&
	       address_equal(&a->remote, &b->remote);
}

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return endpoint_same_remote(a, b) && address_equal(&a->local, &b->local);
}

enum {
	ADDRESS_TEXT_BYTES = 46,  /* longest IPv6 text and NUL, as INET6_ADDRSTRLEN */
	PREFIX_TEXT_BYTES = 50,   /* address, slash, three digits, NUL */
	ENDPOINT_TEXT_BYTES = 64, /* [address%scope]:port and NUL */
	IPV4_HEADER_BYTES = 20,
	IPV6_HEADER_BYTES = 40,
};

/**
 * address_print() - the address as text (RFC 5952 for IPv6)
 * @a:        address to print
 * @ret_text: at least ADDRESS_TEXT_BYTES bytes
 *
 * Return: @ret_text
 */
char *address_print(const struct address *a, char *ret_text);

/** prefix_print() - the same with /length; at least PREFIX_TEXT_BYTES bytes */
char *prefix_print(const struct prefix *p, char *ret_text);

/** endpoint_print() - ADDR:PORT or [ADDR6]:PORT; at least ENDPOINT_TEXT_BYTES bytes */
char *endpoint_print(const struct endpoint *e, char *ret_text);

/**
 * address_parse() - read an address in text form, all of @text
 * Return: true and @ret_address set; false (untouched) when it is neither dotted quad nor RFC 4291
 */
bool address_parse(const char *text, struct address *ret_address);

/** prefix_parse() - ADDR/LENGTH, or ADDR alone for a single host */
bool prefix_parse(const char *text, struct prefix *ret_prefix);

/**
 * endpoint_parse() - ADDR:PORT or [ADDR6]:PORT into @ret_endpoint's remote half
 *
 * Names are not resolved; the port is 1..65535.
 */
bool endpoint_parse(const char *text, struct endpoint *ret_endpoint);

/**
 * struct inner - what the tunnel needs to know of an inner packet
 * @version:     4 or 6
 * @source:      its source address
 * @destination: its destination address
 * @bytes:       its length by its own header
 * @tos:         IPv4 type of service or IPv6 traffic class: DSCP (6 bits), ECN (2 bits)
 * @protocol:    IPv4 protocol or IPv6 next header, for showing
 * @dont_fragment: IPv4 DF; always true for IPv6
 */
struct inner {
	uint8_t version;
	struct address source;
	struct address destination;
	uint32_t bytes;
	uint8_t tos;
	uint8_t protocol;
	bool dont_fragment;
};

/**
 * inner_parse() - look at the IP header of a packet
 * @packet:    first byte of the IP header
 * @bytes:     bytes there are; may be more than the header says (TFC padding, RFC 4303 2.7)
 * @ret_inner: filled on success, untouched otherwise
 *
 * Return: VERDICT_PASS, or VERDICT_NOT_IP when version, header length or total length cannot be, or an
 * address of IPv6 is an IPv4-mapped one
 * Source: RFC 791 section 3.1, RFC 8200 section 3
 */
enum verdict inner_parse(const uint8_t *packet, size_t bytes, struct inner *ret_inner);

/**
 * struct inner_payload - what an IP packet carries, behind IPv6 extension headers if there are any
 * @protocol:       IPPROTO_* of what begins at @at, were the packet not a fragment
 * @at:             its offset; no more than the packet's length
 * @fragment:       is the packet a fragment?
 * @first_fragment: and if so, the first one, so that @protocol is indeed found at @at?
 */
struct inner_payload {
	uint8_t protocol;
	uint32_t at;
	bool fragment;
	bool first_fragment;
};

/**
 * inner_payload() - find what an IP packet carries
 * @packet:      the packet
 * @inner:       what inner_parse() found in it
 * @ret_payload: filled on success, untouched otherwise
 *
 * Hop-by-hop options, routing, destination options and fragment headers are passed over; what comes
 * behind any other is not looked for.
 *
 * Return: false if an IPv6 extension header reaches beyond the packet
 * Source: RFC 791 section 3.1, RFC 8200 section 4
 */
bool inner_payload(const uint8_t *packet, const struct inner *inner,
		   struct inner_payload *ret_payload);

/**
 * inner_is_acknowledgement() - does a packet do no more than to acknowledge?
 * @packet: the packet, whatever it is
 * @bytes:  bytes there are
 *
 * Return: true for TCP without payload that neither begins nor ends a connection
 */
bool inner_is_acknowledgement(const uint8_t *packet, size_t bytes);

#endif
