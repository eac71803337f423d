/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what a tun device gives, plain or super-packet, to packets that may travel: one by one,
 * each written where the caller wants it, with lengths, sequence numbers and checksums complete.
 *
 *	if (split_begin(&split, &offload, bytes, n) != VERDICT_PASS)
 *		...
 *	while ((size = split_next(&split, at + ENVELOPE_HEAD_BYTES)))
 *		at += envelope_bytes(size);
 *
 * lays the packets so that each can be sealed in place and the records follow each other without
 * a gap, as a segmented send wants them.  The inverse is join.h.
 */
#ifndef MINIVPN_SPLIT_H
#define MINIVPN_SPLIT_H

#include "minivpn/offload.h"
#include "minivpn/verdict.h"

#include <stddef.h>
#include <stdint.h>

/**
 * struct split - a packet on its way to being packets
 * @packet:          what the tun device gave; must stay until the last split_next()
 * @bytes:           its length
 * @offload:         what it said about it
 * @transport_at:    offset of the TCP or UDP header, for super-packets
 * @payload_at:      offset of the first byte to be divided up
 * @ip_sum:          of what the IPv4 headers have in common
 * @transport_sum:   of what the TCP or UDP headers and their pseudo-headers have in common
 * @packets:         how many packets it makes, at least 1
 * @packet_bytes:    length of each of them but the last, which may be shorter
 * @next:            index of the packet that split_next() makes next
 *
 * The caller reads @packets, @packet_bytes and @next, and writes nothing.
 */
struct split {
	const uint8_t *packet;
	size_t bytes;
	struct offload offload;
	size_t transport_at;
	size_t payload_at;
	uint64_t ip_sum;
	uint64_t transport_sum;
	size_t packets;
	size_t packet_bytes;
	size_t next;
};

/**
 * split_begin() - take a packet to pieces
 * @s:       any content
 * @offload: what the tun device said before the packet; copied
 * @packet:  first byte of the IP header
 * @bytes:   length of the packet
 *
 * Return: VERDICT_PASS; or VERDICT_NOT_IP for what is no IP packet, VERDICT_BAD_OFFLOAD for an
 * @offload that is unknown or does not fit the packet; there is then nothing to split
 */
enum verdict split_begin(struct split *s, const struct offload *offload, const uint8_t *packet,
			 size_t bytes);

/**
 * split_next() - write the next packet
 * @s:          after a split_begin() that passed
 * @ret_packet: room for split_next_bytes() bytes; apart from the source, or, if there is one packet
 *              only, the source itself
 *
 * Return: length of the packet, or 0 when there is none left
 */
size_t split_next(struct split *s, uint8_t *ret_packet);

/** split_next_bytes() - length of the packet that split_next() would write; 0 after the last */
size_t split_next_bytes(const struct split *s);

#endif
