/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What udp.c, udp_send.c, udp_receive.c and udp_events.c share; nobody else includes this.
 */
#ifndef IO_UDP_SOCKET_H
#define IO_UDP_SOCKET_H

#include "io/sockaddr.h"
#include "io/transport.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
	RECEIVE_SLOT_BYTES = 65536, /* a merged run of datagrams; IP knows nothing longer */
	RECEIVE_AIM_BYTES =
		256 << 10, /* of one receipt: more saves nothing, and what is to be sent waits .. */
	RECEIVE_RUNS_MIN = BATCHING ? 4 : 1, /* .. when the runs are as long as they can be */
	WITHOUT_SEGMENTS_MAX = 16,
	MESSAGES_MAX = RECEIVE_RUNS_MAX,
};

/* Room for what goes with a datagram to and from the kernel: our address in both families, TOS, size
 * of the pieces, drops. */
union details {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo)) +
		   4 * CMSG_SPACE(sizeof(int))];
	struct cmsghdr aligned;
};

/**
 * struct messages - as many messages as one call of recvmmsg() or sendmmsg() takes
 *
 * All belong to message i: headers[i] points at the rest.
 */
struct messages {
	struct mmsghdr headers[MESSAGES_MAX];
	struct iovec payloads[MESSAGES_MAX];
	union sockaddr_any names[MESSAGES_MAX];
	union details details[MESSAGES_MAX];
};

/**
 * struct udp - a UDP socket as a transport
 * @transport:      its public side
 * @family:         AF_INET or AF_INET6 (which does both)
 * @fragmenting:    is the socket set to fragment what is larger than the path?  Datagrams differ in
 *                  this, the kernel only knows it as a property of the socket
 * @segments:       does this kernel do segmented sends at all?
 * @without_segments: remotes whose way out refused a segmented send (a device without checksum
 *                  offload), @without_count of them.  When there are too many, it is this machine
 *                  that cannot do it
 * @pending:        an event that our own kernel caused while sending, not yet taken
 * @receive_room:   RECEIVE_RUNS_MAX slots; only as many as are filled are ever touched
 * @received:       how many of @in the last call filled, and the next has to set up again
 * @dropped:        what the kernel said last of how many it has dropped in all; wraps around
 * @wanted:         how many runs the next call asks for
 * @in, @out:       messages received and sent
 */
struct udp {
	struct transport transport;
	int family;
	bool fragmenting;
	bool segments;
	struct address without_segments[WITHOUT_SEGMENTS_MAX];
	unsigned without_count;
	struct transport_event pending;
	bool has_pending;
	uint8_t *receive_room;
	uint32_t dropped;
	int received;
	unsigned wanted;
	struct messages in, out;
};

static inline struct udp *udp_of(struct transport *transport)
{
	return (struct udp *)transport;
}

struct sent udp_send(struct transport *transport, const struct run *runs, size_t n);
int udp_receive(struct transport *transport, struct run *ret_runs);
bool udp_next_event(struct transport *transport, struct transport_event *ret_event);

/** udp_receive_prepare() - make messages @from (included) to @to (not) ready to be received into */
void udp_receive_prepare(struct udp *udp, int from, int to);

/** udp_set_fragmenting() - may the datagrams sent from now on be fragmented? */
void udp_set_fragmenting(struct udp *udp, bool fragmenting);

#endif
