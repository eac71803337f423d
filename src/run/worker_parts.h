/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What worker.c, outgoing.c, incoming.c and crew.c share; nobody else includes this. */
#ifndef RUN_WORKER_PARTS_H
#define RUN_WORKER_PARTS_H

#include "io/tun_batch.h"
#include "minivpn/join.h"
#include "minivpn/split.h"
#include "run/crew.h"
#include "run/keymemory.h"
#include "run/mailbox.h"
#include "run/worker.h"

enum {
	TUN_ROOM_BYTES = 65536, /* the largest packet or super-packet */

	/* What is sealed and sent at once: two whole super-packets as records. */
	OUTGOING_ROOM_BYTES = 144 << 10,
	OUTGOING_PACKETS_MAX = BATCHING ? 256 : 1,
	OUTGOING_RUNS_MAX = 64,

	/* How the device's queues take turns. */
	OUTGOING_TURN_BYTES = 64 << 10, /* what a queue may give in its turn */
	OUTGOING_SPARSE_BYTES =
		16 << 10, /* a queue that held less when it was last emptied comes first */

	INCOMING_PACKETS_MAX = 256, /* what is opened at once */

	SERVE_BYTES = 256 << 10, /* after so many it is time to ask what else is ready, or .. */
	SHORT_BYTES = 64 << 10, /* .. after so many, while somebody waits for an answer; a packet */
	PACKET_BYTES = 1 << 10, /* costs as much as so many, beside its own */
};

/* Who sends a little more often than this is waited for: a voice every 20 ms, a game every 15. */
#define SHORT_NS (50 * NS_PER_MS)
/* What a stream has left when its queue is almost empty is not little that somebody sends. */
#define BULK_NS NS_PER_S

/**
 * struct turn - a queue of the device among others
 * @credit:  bytes that it may give before its next turn; less than 0 if it has given too many
 * @is_bulk: when it was last asked it held much
 * @bulk_at: when it last did
 */
struct turn {
	int credit;
	bool is_bulk;
	struct instant bulk_at;
};

/**
 * struct outgoing - packets on their way from the tun device to the transport
 * @super:  what was read last
 * @room:   packets laid so that their records follow one another
 * @used:   bytes of @room in use
 * @packet: the packets in @room, @count of them
 * @shown:  for --debug: what they were before they were sealed
 * @packets of the device in this round,
 * @one_by_one: and no more than one in the last
 * @awaited: of this turn, a packet that somebody may wait for an answer to
 * @turn:   of each queue of the device
 * @next:   the queue whose turn is next, among those with much
 */
struct outgoing {
	uint8_t super[TUN_ROOM_BYTES];
	uint8_t room[OUTGOING_ROOM_BYTES];
	size_t used;
	struct outbound packet[OUTGOING_PACKETS_MAX];
	size_t count;
	struct inner shown[OUTGOING_PACKETS_MAX];
	struct run run[OUTGOING_RUNS_MAX];
	size_t packets;
	bool one_by_one;
	bool awaited;
	struct turn turn[TUN_QUEUES_MAX];
	unsigned next;
};

/**
 * struct incoming - packets on their way from the transport to the tun device
 * @run:     what was received last; their bytes are the transport's until the next receipt
 * @packet:  datagrams of them that the engine sees at once, @count of them
 * @join:    packets not yet written; empty between two receipts
 * @singles: packets that came out of @join alone and are not yet written; likewise
 * @super:   a super-packet that the kernel did not take, to be cut again
 */
struct incoming {
	struct run run[RECEIVE_RUNS_MAX];
	struct inbound packet[INCOMING_PACKETS_MAX];
	size_t count;
	struct join join;
	struct tun_batch singles;
	uint8_t super[TUN_ROOM_BYTES];
	uint8_t piece[TUN_ROOM_BYTES];
};

/**
 * struct worker - one of them
 * @tun_ready: which queues of the device can be read, a bit each
 * @now:    when the last round began
 * @load:   bytes moved since it was last asked what is ready (worker_load_max())
 * @short_until: till then that is asked often, since somebody waits
 * @number: 0 for the first
 * @engine: the first one's; NULL in the others,
 * @lane:   which have this
 * @crew, @mail: NULL where there is but one worker
 */
struct worker {
	struct worker_config config;
	unsigned number;
	struct tun tun;
	struct transport *transport;
	struct engine *engine;
	struct lane *lane;
	struct crew *crew;
	struct mailbox *mail;
	struct keymemory keys;
	struct instant now;
	uint32_t tun_ready;
	int load;
	struct instant short_until;
	bool transport_ready, has_events;
	int broken; /* negative errno, once the device or the transport is */
	struct outgoing outgoing;
	struct incoming incoming;
};

/**
 * outgoing_sparse() - take packets out of those queues that are ready and had little, and send them
 * Return: how many packets or super-packets were read
 */
size_t outgoing_sparse(struct worker *worker, struct instant now);

/** outgoing_bulk() - the same of what is still ready then, worker_load_max() bytes at the most */
size_t outgoing_bulk(struct worker *worker, struct instant now);

/**
 * incoming_pump() - take datagrams in and write what is in them to the tun device
 * Return: how many datagrams there were
 */
size_t incoming_pump(struct worker *worker, struct instant now);

/** incoming_take() - take in datagrams, as @n runs, that were received already */
size_t incoming_take(struct worker *worker, const struct run *runs, int n, struct instant now);

/** incoming_deliver() - write one packet that the engine made */
void incoming_deliver(struct worker *worker, const uint8_t *packet, size_t bytes);

/** worker_send() - send runs and count what did not leave */
void worker_send(struct worker *worker, const struct run *runs, size_t n);

/** worker_equip() - with a queue and a transport */
void worker_equip(struct worker *worker, const struct tun *tun, struct transport *transport);

/** worker_take_event() - the first worker: the network said something about datagrams of ours */
void worker_take_event(struct worker *worker, const struct transport_event *event,
		       struct instant now);

/** worker_load_max() - how many bytes may be moved before it is asked again what is ready */
static inline int worker_load_max(const struct worker *worker, struct instant now)
{
	return instant_reached(now, worker->short_until) ? SERVE_BYTES : SHORT_BYTES;
}

/* The engine's or the lane's. */

static inline void worker_outbound(struct worker *worker, struct outbound *packets, size_t n,
				   struct instant now)
{
	if (worker->lane)
		lane_outbound(worker->lane, packets, n, now);
	else
		engine_outbound(worker->engine, packets, n, now);
}

static inline void worker_inbound(struct worker *worker, struct inbound *datagrams, size_t n,
				  struct instant now)
{
	if (!worker->lane) {
		engine_inbound(worker->engine, datagrams, n, now);
		return;
	}
	/* Whatever the engine had said before it sent what these are answers to has to be known. */
	if (mailbox_waits(worker->mail))
		crew_follow_orders(worker);
	lane_inbound(worker->lane, datagrams, n, now);
}

static inline void worker_count(struct worker *worker, enum verdict verdict, uint64_t n)
{
	if (worker->lane)
		lane_count(worker->lane, verdict, n);
	else
		engine_count(worker->engine, NULL, verdict, n);
}

#endif
