/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From packets that came out of the tunnel to what is written to the tun device: neighbours of one
 * flow become one super-packet, gathered from where they lie, without a copy.  The inverse is
 * split.h.
 *
 *	for each packet of the batch
 *		while (!join_add(&join, packet, bytes))
 *			write(join_take(&join));
 *	while ((run = join_take(&join)))
 *		write(run);
 *
 * Nothing is held beyond that: the batch that the kernel had for us is the only thing that
 * decides how much can be joined.
 */
#ifndef MINIVPN_JOIN_H
#define MINIVPN_JOIN_H

#include "minivpn/offload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	JOIN_RUNS = 64,    /* runs that may wait to be taken, a power of 2 */
	JOIN_PACKETS = 64, /* most packets in a run: what every Linux cuts apart again */
	JOIN_BYTES = 65535 /* longest super-packet */
};

/**
 * struct join_run - packets to be written to the tun device as one
 * @pieces:        for writev: @offload, the first packet, the payload of each further one
 * @piece_count:   how many of @pieces
 * @bytes:         length of the packet they make, without @offload
 * @packets:       how many packets were joined: 1 = a packet as it came
 * @offload:       what tun is told
 *
 * What follows belongs to join.c:
 * @open:          may still take packets
 * @verified:      the first packet's checksum has been looked at and is right
 * @transport_at:  offset of the first packet's TCP or UDP header
 * @payload_at:    offset of its payload
 * @segment_bytes: length of its payload
 * @sequence:      TCP: sequence number that the next packet must have
 */
struct join_run {
	struct iovec pieces[1 + JOIN_PACKETS];
	unsigned piece_count;
	unsigned bytes;
	unsigned packets;
	struct offload offload;
	bool open;
	bool verified;
	uint16_t transport_at;
	uint16_t payload_at;
	uint16_t segment_bytes;
	uint32_t sequence;
};

/**
 * struct join - a queue of runs, the open ones among them growing
 * @tcp:   join TCP (TSO is on)
 * @udp:   join UDP (USO is on; an older kernel takes no such packet)
 * @taken: runs taken so far
 * @begun: runs begun so far; the queue is what lies between the two
 * @flow:  a hash of each run's flow, to find the one that a packet continues
 * @runs:  ring of runs
 *
 * Zero-initialised is empty and joins nothing; the caller sets @tcp and @udp, at any time.
 * A flow is never reordered: it has at most one open run, the last of its runs in the queue.
 */
struct join {
	bool tcp;
	bool udp;
	unsigned taken;
	unsigned begun;
	uint32_t flow[JOIN_RUNS];
	struct join_run runs[JOIN_RUNS];
};

/**
 * join_add() - put a packet behind those of its flow
 * @j:      the queue
 * @packet: first byte of the IP header; headers may be changed in place, and the bytes must stay
 *          until their run has been written
 * @bytes:  length of the packet, at least 1
 *
 * What cannot be joined, and that includes whatever is not IP at all, becomes a run of its own as
 * it is.  So does a packet whose checksum is wrong: the receiver has to see that.
 *
 * Return: false if the queue is full and the packet not taken: call join_take() and come again
 */
bool join_add(struct join *j, uint8_t *packet, size_t bytes);

/**
 * join_take() - the oldest run, complete, to be written now
 *
 * Return: valid until the next join_add(); NULL when the queue is empty
 */
struct join_run *join_take(struct join *j);

/** join_is_ready() - has the oldest run all it will ever get?  Writing it finds a warm cache */
static inline bool join_is_ready(const struct join *j)
{
	return j->taken != j->begun && !j->runs[j->taken % JOIN_RUNS].open;
}

#endif
