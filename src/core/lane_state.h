/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine lends to its lanes, shared by lane.c, which uses it, and lanes.c, which lends it.
 *
 * Everything here belongs to the lane from the order that brings it to the order that takes it away;
 * only what is marked is the engine's, which the lane never looks at.
 */
#ifndef CORE_LANE_STATE_H
#define CORE_LANE_STATE_H

#include "minivpn/allowed.h"
#include "minivpn/lane.h"
#include "minivpn/replay.h"

#include "pipeline.h"
#include "spi.h"

#include <assert.h>

enum lane_order_kind {
	LANE_SESSION_BEGINS, /* about a struct lane_session */
	LANE_SESSION_ENDS,
	LANE_PEER_BEGINS, /* about a struct lane_peer */
	LANE_PEER_CHANGES,
	LANE_PEER_ENDS,
	LANE_PREFIXES, /* about a struct lane_prefixes; its peer's former ones are done with */
	LANE_TABLE,    /* about a struct lane_table; the former is done with */
};

/** struct lane_prefixes - what a peer owns; @count may be 0 */
struct lane_prefixes {
	struct lane_order order;
	struct lane_peer *peer;
	unsigned count;
	struct allowed_entry entry[];
};

/** struct lane_table - a larger table of SPIs or of prefixes */
struct lane_table {
	struct lane_order order;
	bool of_prefixes;
	size_t bucket_count;
	void *buckets[];
};

/** struct lane_counts - what a lane did for a peer */
struct lane_counts {
	uint64_t packets_in, bytes_in, packets_out, bytes_out;
	struct verdicts verdicts;
};

/**
 * struct lane_way - how a peer is reached
 * @endpoint:  none if that is not known
 * @inner_mtu: largest inner packet
 * @sending:   the session to send in; NULL: there is none
 */
struct lane_way {
	struct endpoint endpoint;
	unsigned inner_mtu;
	struct lane_session *sending;
};

/**
 * struct lane_peer - a peer
 * @way:       as last told
 * @prefixes:  what it owns
 * @sent_told: when the engine was last told that data went out
 * @begins, @changes, @ends: orders; @changes brings @told, which is the engine's while @telling is not set
 * @known:     the engine's: what the lane will know when it has followed all orders
 * @owner:     the engine's: its peer, NULL once that is gone
 * @telling:   the engine's: @changes is on its way
 */
struct lane_peer {
	struct lane_way way;
	struct lane_prefixes *prefixes;
	struct instant sent_told;
	struct lane_counts counts;

	struct lane_order begins, changes, ends;
	struct lane_way told;
	struct lane_way known;
	struct peer *owner;
	bool telling;
};

/* What packets touch of a peer, from its start. */
enum { LANE_PEER_HOT_BYTES = offsetof(struct lane_peer, counts.verdicts.count[VERDICT_PASS + 1]) };

/** struct peer_lanes - a peer in all lanes; the engine's, as is the sum of what they counted */
struct peer_lanes {
	struct lane_counts gathered;
	struct lane_peer *at[];
};

/** struct lane_sa - an SA on which we receive */
struct lane_sa {
	struct spi_entry entry; /* first, so that an entry is its SA */
	struct lane_session *session;
	struct sa_key key;
	struct replay replay;
	uint64_t forged;
};

/**
 * struct lane_session - one worker's part of a session
 * @born:       its age is counted from then
 * @heard:      has anything verified in it here?
 * @stranger:   the last report was of another address than the peer's
 * @worn_out:   it accepts nothing more
 * @spi, @key, @next: the SA that this worker sends on; @next 0: it has none, or all numbers are used up
 * @heard_told: when the engine was last told that it was heard
 * @name:       an SPI of ours in it, by which reports name it
 *
 * Orders take a cache line; what every packet takes are the next ones, with the first SA.
 */
struct lane_session {
	struct lane_order begins, ends;
	struct lane_peer *peer;
	struct instant born;
	bool heard, stranger, worn_out;
	uint32_t spi, next;
	struct sa_key key;
	struct instant heard_told;
	uint32_t name;
	unsigned in_count;
	struct lane_sa in[];
};
static_assert(offsetof(struct lane_session, peer) == LINE_BYTES &&
		      offsetof(struct lane_session, heard_told) == 2 * LINE_BYTES,
	      "what it takes to send is one line");

/**
 * struct lane - one worker's share of the protocol
 * @worker, @workers: which of how many
 * @spi_table, @prefix_table: the memory of the tables, lent as well
 */
struct lane {
	unsigned worker, workers;
	enum role role;
	bool copy_dscp;
	const struct aead *aead;
	void *context;
	struct lane_hooks hooks;
	struct spi_table spis;
	struct allowed allowed;
	struct lane_table *spi_table, *prefix_table;
	struct verdicts verdicts;
};

#endif
