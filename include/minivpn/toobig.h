/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An inner packet that is larger than its path: either its sender is told (ICMP "too big"), or, if
 * it is IPv4 and permits that, it is cut into fragments.
 */
#ifndef MINIVPN_TOOBIG_H
#define MINIVPN_TOOBIG_H

#include "minivpn/inner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TOOBIG_ANSWER_BYTES = 1280, /* longest answer: RFC 4443 2.4(c) */
	IPV4_MTU_MIN = 68,          /* every link carries that much: RFC 791 3.2 */
	IPV6_MTU_MIN = 1280,        /* likewise: RFC 8200 section 5 */
};

/**
 * toobig_answer() - write the ICMP message that says "too big", if there may be one
 * @packet:   the packet that is
 * @inner:    what inner_parse() found in it
 * @mtu:      largest inner packet that would pass, in bytes; an IPv6 sender is never told less than
 *            IPV6_MTU_MIN, since it would not listen
 * @from:     address that says so, of the packet's family: the tunnel's own, or one behind it
 * @ret_room: TOOBIG_ANSWER_BYTES of room for the answer
 *
 * How often one may be sent is for the caller to limit (RFC 1812 4.3.2.8, RFC 4443 2.4(f)).
 *
 * Return: length of the answer, an inner packet for the way back; 0 if none may be sent: to an ICMP
 * error, to a fragment that is not the first, to a source that is not a single host, or (IPv4) for
 * a destination that is not; nor from an address of the other family, or from a group
 * Source: RFC 792 and RFC 1191 section 4 with RFC 1812 4.3.2; RFC 4443 section 3.2
 */
size_t toobig_answer(const uint8_t *packet, const struct inner *inner, uint32_t mtu,
		     const struct address *from, uint8_t *ret_room);

/**
 * struct fragments - an IPv4 packet on its way to being fragments
 * @packet:        the packet; must stay until the last fragments_next()
 * @header_bytes:  its header with all options: that of the first fragment
 * @bytes:         its length
 * @mtu:           longest fragment
 * @at:            offset of the first byte that no fragment has yet
 */
struct fragments {
	const uint8_t *packet;
	uint32_t header_bytes;
	uint32_t bytes;
	uint32_t mtu;
	uint32_t at;
};

/**
 * fragments_begin() - cut a packet into fragments
 * @f:      any content
 * @packet: the packet; may be a fragment itself
 * @inner:  what inner_parse() found in it
 * @mtu:    longest fragment in bytes
 *
 * Return: false if it may not or cannot be, IPv6, DF set, an @mtu below IPV4_MTU_MIN, an offset that
 * would leave the 64 KiB of a datagram; or if it need not be, being no longer than @mtu
 */
bool fragments_begin(struct fragments *f, const uint8_t *packet, const struct inner *inner,
		     uint32_t mtu);

/**
 * fragments_next() - write the next fragment
 * @f:            after a fragments_begin() that returned true
 * @ret_fragment: room for the mtu, apart from the packet
 *
 * Return: length of the fragment, or 0 when the whole packet has been given out
 * Source: RFC 791 section 3.2; options by their "copied" bit, section 3.1
 */
size_t fragments_next(struct fragments *f, uint8_t *ret_fragment);

#endif
