/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker beside the first one needs of the protocol: sealing and opening, and nothing else.
 *
 * One thread has the engine.  A further worker has a lane: SAs of its own with every peer, which nobody
 * else uses, and copies of what it must know to use them (who owns which prefix, where a peer is, how
 * large a packet its path takes).  So no two threads share anything on the path of a packet.
 *
 *	engine --- orders ---> lane     sessions, peers, prefixes, endpoints come, change and go
 *	engine <-- reports --- lane     who was heard from where, and whatever only the engine can do
 *
 * An order lies in the memory that it is about, which the engine has lent and gets back: nothing has to
 * be allocated to give one, and a lane allocates nothing at all.  Both ways are the shell's to carry, in
 * order: engine_hooks.order and lane_execute() one way and back, lane_hooks.report and engine_report() the other.
 */
#ifndef MINIVPN_LANE_H
#define MINIVPN_LANE_H

#include "minivpn/engine.h"

struct lane;

/** struct lane_order - what a lane is to do; opaque, @next is for whoever carries it */
struct lane_order {
	struct lane_order *next;
	uint8_t kind;
	void *about, *done;
};

enum lane_report_kind {
	LANE_OUTBOUND, /* a packet from the tun device that the engine has to deal with */
	LANE_HEARD,    /* a packet of the session @spi verified */
	LANE_DUMMY,    /* a dummy packet of it verified; its payload goes with the report */
	LANE_SENT,     /* data went out in the session @spi */
	LANE_USED,     /* it has sealed so many packets that new keys are due */
	LANE_WORN_OUT, /* so many forgeries were tried on an SA of it that its keys must go */
};

/**
 * struct lane_report - what the engine has to know
 * @spi:      the session, by an SPI of ours; it may have ended since
 * @sequence: LANE_HEARD: the packet's number,
 * @newest:   and whether that is above all numbers of its SA before
 * @from:     LANE_HEARD, LANE_DUMMY: where it came from
 */
struct lane_report {
	enum lane_report_kind kind;
	uint32_t spi, sequence;
	bool newest;
	struct endpoint from;
};

/**
 * struct lane_hooks - what a lane asks of its shell
 * @report: carry this, and @n bytes, to engine_report(); false if there is no room for it
 */
struct lane_hooks {
	void *shell;
	bool (*report)(void *shell, const struct lane_report *report, const uint8_t *bytes,
		       size_t n);
};

/**
 * engine_lane() - the lane of worker @worker (1 to engine_config.workers - 1)
 *
 * It lives as long as the engine; lane_start() comes before anything else.
 */
struct lane *engine_lane(struct engine *engine, unsigned worker);

/** lane_start() - @context: the AEAD context of its thread, started; outlives the lane's use */
void lane_start(struct lane *lane, const struct lane_hooks *hooks, void *context);

/** lane_execute() - follow an order of the engine; the order then goes back, to engine_order_done() */
void lane_execute(struct lane *lane, struct lane_order *order);

/** engine_order_done() - an order has been executed; what it gave back is released */
void engine_order_done(struct engine *engine, struct lane_order *order);

/**
 * engine_guide() - tell the lanes what has changed of peers' endpoints, sizes and sessions
 *
 * To be called after any calls of the engine.  What was due to leave before has left then, so that a
 * packet which had to wait is not overtaken.
 */
void engine_guide(struct engine *engine);

/**
 * engine_report() - a report of a lane
 * @bytes: @n of them went with it, with ENVELOPE_HEAD_BYTES of room before and ENVELOPE_TAIL_BYTES
 *         behind them; they are written to
 */
void engine_report(struct engine *engine, const struct lane_report *report, uint8_t *bytes,
		   size_t n, struct instant now);

/**
 * engine_gather() - add up what the lanes have counted, for engine_snapshot() and engine_verdicts()
 *
 * Nobody may be using a lane meanwhile.
 */
void engine_gather(struct engine *engine);

/**
 * lane_outbound() - engine_outbound() for a lane
 *
 * What it has no session for, what is too large and what is nobody's goes to the engine:
 * VERDICT_HANDED_OVER, or VERDICT_QUEUE_FULL if there was no room.  @peer of the packets is NULL.
 */
void lane_outbound(struct lane *lane, struct outbound *packets, size_t n, struct instant now);

/**
 * lane_inbound() - engine_inbound() for a lane
 *
 * VERDICT_HANDED_OVER: the datagram's SPI is another worker's (spi_worker()), and it is the shell's to
 * bring it there.  @peer of the datagrams is NULL.
 */
void lane_inbound(struct lane *lane, struct inbound *datagrams, size_t n, struct instant now);

/** lane_count() - engine_count() for a lane */
void lane_count(struct lane *lane, enum verdict verdict, uint64_t n);

/** spi_worker_mask() - the bits of an SPI that name one of @workers */
static inline uint32_t spi_worker_mask(unsigned workers)
{
	uint32_t mask = 0;

	while (mask < workers - 1)
		mask = mask << 1 | 1;
	return mask;
}

/**
 * spi_worker() - the worker that receives on an SPI of ours
 * @workers: how many there are
 *
 * It is the SPI's low bits, as many as are needed; what names no worker, as zero does (not an SPI but the
 * mark of a handshake message), is the first one's.  What steers datagrams to sockets computes the same.
 */
static inline unsigned spi_worker(uint32_t spi, unsigned workers)
{
	uint32_t named = spi & spi_worker_mask(workers);

	return named < workers ? named : 0;
}

#endif
