/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands before every packet on a tun device opened with IFF_VNET_HDR: is it one packet, or a
 * super-packet that stands for many of one flow, and is its checksum still to be completed?
 * split.h makes packets of super-packets, join.h super-packets of packets.
 */
#ifndef MINIVPN_OFFLOAD_H
#define MINIVPN_OFFLOAD_H

#include <assert.h>
#include <stdint.h>

enum {
	OFFLOAD_NEEDS_CHECKSUM = 1, /* the checksum field holds the pseudo-header's sum only */
};

enum offload_type {
	OFFLOAD_NONE = 0,      /* one packet */
	OFFLOAD_TCP_IPV4 = 1,  /* TSO4 */
	OFFLOAD_TCP_IPV6 = 4,  /* TSO6 */
	OFFLOAD_UDP = 5,       /* USO, either version; Linux 6.2 */
	OFFLOAD_TCP_ECN = 128, /* may be added to a TCP type: CWR is set in the first segment */
};

/**
 * struct offload - the virtio header before a packet
 * @flags:           OFFLOAD_NEEDS_CHECKSUM or 0
 * @type:            OFFLOAD_*
 * @header_bytes:    length of all headers of a super-packet; a hint that nobody may trust
 * @segment_bytes:   payload of each packet that a super-packet stands for; the last may be shorter
 * @checksum_start:  where the bytes begin that the checksum covers, with OFFLOAD_NEEDS_CHECKSUM
 * @checksum_offset: where the checksum field lies, counted from @checksum_start
 *
 * Integers are in the byte order of the machine, as tun has them by default.  All zero says: one
 * packet, nothing to be done.
 * Source: linux/virtio_net.h, struct virtio_net_hdr; virtio 1.2 section 5.1.6
 */
struct offload {
	uint8_t flags;
	uint8_t type;
	uint16_t header_bytes;
	uint16_t segment_bytes;
	uint16_t checksum_start;
	uint16_t checksum_offset;
};
static_assert(sizeof(struct offload) == 10, "struct virtio_net_hdr");

#endif
