/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tunnel needs of whatever carries its datagrams: send a batch, receive a batch, hear what
 * became of them.  UDP is the first such thing (udp.h); IP protocol 50 will be the second.
 *
 * The unit in both directions is the run: datagrams of one endpoint laid one behind the other in
 * memory, all of one size but the last, which may be shorter.  That is what the kernel takes in one
 * segmented send (UDP_SEGMENT) and what it gives after merging what it received (UDP_GRO), so that
 * joining datagrams into a send and cutting what was received are only arithmetic on lengths.
 */
#ifndef IO_TRANSPORT_H
#define IO_TRANSPORT_H

#include "io/batching.h"
#include "minivpn/inner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RUN_DATAGRAMS_MAX =
		BATCHING ? 64
			 : 1,  /* Linux before 6.9 takes no more in one send; GRO makes no more */
	RUN_BYTES_MAX = 65507, /* the largest UDP payload over IPv4 */
	RECEIVE_RUNS_MAX = BATCHING ? 64 : 1, /* runs one receive call can give */
};

/**
 * struct run - datagrams of one endpoint, one behind the other
 * @bytes:         the first
 * @total_bytes:   all of them together
 * @datagram_bytes: size of each but the last; at least 1 if @total_bytes is not 0
 * @endpoint:      where to or where from, and by which of our addresses
 * @tos:           TOS or traffic class of the outer header (DSCP and ECN)
 * @dont_fragment: sending only: refuse what is larger than the path instead of fragmenting it
 */
struct run {
	uint8_t *bytes;
	size_t total_bytes;
	size_t datagram_bytes;
	struct endpoint endpoint;
	uint8_t tos;
	bool dont_fragment;
};

/** run_count() - how many datagrams; an empty run is one empty datagram */
static inline size_t run_count(const struct run *run)
{
	if (run->total_bytes <= run->datagram_bytes)
		return 1;
	return (run->total_bytes + run->datagram_bytes - 1) / run->datagram_bytes;
}

/**
 * struct sent - what became of a batch of runs; datagrams, all of them together those of the batch
 * @passed:  handed to the kernel
 * @full:    dropped because the socket's buffer is full
 * @too_big: dropped because larger than the path; transport_next_event() says how large that is
 * @failed:  refused for another reason
 * @events:  is there something that the next_event call should be asked for?
 */
struct sent {
	size_t passed, full, too_big, failed;
	bool events;
};

enum transport_event_kind {
	TRANSPORT_PATH_MTU,    /* the path takes outer packets of @mtu_outer_bytes */
	TRANSPORT_REFUSED,     /* nobody listens there (ICMP port unreachable) */
	TRANSPORT_UNREACHABLE, /* it cannot be reached: @why */
	TRANSPORT_LOCAL_GONE,  /* the endpoint's local address is no longer ours; sent without it */
};

/**
 * struct transport_event - what the network or our own kernel says of datagrams that we sent
 * @kind:            which
 * @endpoint:        whom it is about; the local half only for TRANSPORT_LOCAL_GONE
 * @mtu_outer_bytes: largest IP packet, outer header included
 * @why:             positive errno
 *
 * ICMP messages are not authenticated: whoever can guess the ports can make them.  They are hints.
 */
struct transport_event {
	enum transport_event_kind kind;
	struct endpoint endpoint;
	uint32_t mtu_outer_bytes;
	int why;
};

struct transport;

/**
 * struct transport_kind - one way of carrying datagrams
 * @name:                as the log says it
 * @overhead_ipv4_bytes: from the start of the outer IP header to the start of the datagram
 * @overhead_ipv6_bytes: the same over IPv6
 * @send:                send @n runs, in order; never waits, never retries later
 * @receive:             what has arrived, at most RECEIVE_RUNS_MAX runs, each good until the next
 *                       call; returns their number, 0 when there is nothing more, or negative errno
 * @next_event:          takes out the next event, if there is one
 * @close:               closes it and frees what it holds
 */
struct transport_kind {
	const char *name;
	unsigned overhead_ipv4_bytes, overhead_ipv6_bytes;
	struct sent (*send)(struct transport *transport, const struct run *runs, size_t n);
	int (*receive)(struct transport *transport, struct run *ret_runs);
	bool (*next_event)(struct transport *transport, struct transport_event *ret_event);
	void (*close)(struct transport *transport);
};

/**
 * struct transport - a transport in use; the first member of what implements it
 * @kind: what it is
 * @fd:   what to wait on
 * @overflowed: how many receipts the kernel dropped because we did not take what was there before;
 *        grows in @receive, for whoever counts them to set to 0
 */
struct transport {
	const struct transport_kind *kind;
	int fd;
	size_t overflowed;
};

#endif
