/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Internet checksum (RFC 1071): ones' complement sums over 16-bit words, kept in 64 bits until
 * the end so that the carries cost nothing on the way.
 *
 * A sum is a uint64_t that starts at 0 (or at checksum_pseudo()) and is taken over the words as
 * they lie in memory: no byte is ever swapped, on machines of either byte order (RFC 1071 2.B).
 * It may take 4 GiB before it overflows.
 */
#ifndef MINIVPN_CHECKSUM_H
#define MINIVPN_CHECKSUM_H

#include "minivpn/wire.h"

#include <stddef.h>
#include <stdint.h>

/**
 * checksum_add() - take more bytes into a sum
 * @sum:   sum so far
 * @bytes: at any alignment
 * @n:     how many; odd only for the last piece of what is summed
 */
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t n);

/**
 * checksum_copy() - the same, and copy them, in one go
 * @ret_bytes: room for @n bytes; must not overlap @bytes
 */
uint64_t checksum_copy(uint64_t sum, void *ret_bytes, const void *bytes, size_t n);

/**
 * checksum_word() - what a number adds to a sum, as it would lie on the wire in 16 or 32 bits
 *
 * For fields that are known already and need not be read again from where they were written.
 */
static inline uint64_t checksum_word(size_t value)
{
	be32 wire = be32_from((uint32_t)value);
	uint32_t in_memory;

	memcpy(&in_memory, &wire, sizeof(in_memory));
	return in_memory;
}

/**
 * checksum_pseudo() - sum of the pseudo-header that TCP, UDP and ICMPv6 put before themselves
 * @ip:              IPv4 or IPv6 header: version and addresses are taken from it
 * @protocol:        IPPROTO_*
 * @transport_bytes: length from the transport header to the end
 *
 * Source: RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1
 */
uint64_t checksum_pseudo(const uint8_t *ip, uint8_t protocol, size_t transport_bytes);

/**
 * checksum_fold() - the sum in 16 bits, not complemented, as it is to lie in memory
 *
 * This is what a checksum field holds while "the device completes it", and what comes out as 0xffff
 * over bytes whose checksum is right.
 */
be16 checksum_fold(uint64_t sum);

/** checksum_finish() - the complement of the folded sum: what goes into a checksum field */
be16 checksum_finish(uint64_t sum);

/** checksum_ipv4_header() - recompute the header checksum of the IPv4 header at @ip, in place */
void checksum_ipv4_header(uint8_t *ip);

#endif
