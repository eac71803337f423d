/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * With ten thousand peers what a packet needs is in no cache: a bucket of a table, what is in it, the SA,
 * its session, the peer, each found by way of the one before.  So packets are taken through these steps in
 * small groups, each group a step behind the one that came after it, and a step asks for the memory that the
 * next will need: by then it is there, since meanwhile other packets were sealed or opened.
 *
 * Of packets that go the same way one after the other only the first one asks.  Asking decides nothing: what
 * stands first in a bucket is taken for what is looked for, and whoever looks it up finds out.
 *
 * The engine and lanes have the first steps in common.
 */
#ifndef CORE_PIPELINE_H
#define CORE_PIPELINE_H

#include "spi.h"

#include "minivpn/allowed.h"
#include "minivpn/engine.h"

enum {
	LINE_BYTES = 64,    /* of a cache */
	ENGINE_BATCH = 64,  /* packets that one pipeline takes at most */
	PIPELINE_GROUP = 8, /* as many as memory can be asked for at once */
	PEERS_FEW = 64,     /* so many are in a cache by themselves */
};

/* A batch on the stack is written before it is read.  The build clears whatever lies there first
 * (-ftrivial-auto-var-init); for one packet that costs more than all else. */
#define BATCH_STORAGE __attribute__((uninitialized))

/** ask_for() - have @bytes at @memory brought nearer, a cache line at a time */
static inline void ask_for(const void *memory, size_t bytes)
{
	const uint8_t *at = memory, *end = at + bytes;

	for (at -= (uintptr_t)at % LINE_BYTES; at < end; at += LINE_BYTES)
		__builtin_prefetch(at);
	/* A function that does nothing else is one without effect to GCC, which leaves out its calls. */
	__asm__ volatile("");
}

/**
 * struct pipeline - @n packets in groups of @group; a round takes one of them into the first step
 * @lag: how many rounds a step is behind the one before: none where there is but one group, which has nothing
 *       to wait for
 * @asks: are the steps worth while that do nothing but ask?  Not for what is in a cache by itself, nor for one
 *       packet, which needs at once what it asks for
 */
struct pipeline {
	size_t n, group, round;
	unsigned lag;
	bool asks;
};

/** pipeline_begin() - all at once where @peers are so few that nothing has to be asked for */
static inline struct pipeline pipeline_begin(size_t n, size_t peers)
{
	bool few = peers < PEERS_FEW;
	size_t group = few ? n : PIPELINE_GROUP;

	return (struct pipeline){ .n = n, .group = group, .lag = n > group, .asks = !few && n > 1 };
}

/** struct span - packets from @from to before @to; perhaps none */
struct span {
	size_t from, to;
};

/** pipeline_at() - those that are to take step @step, counted from 0, in this round */
static inline struct span pipeline_at(const struct pipeline *p, unsigned step)
{
	size_t after = step * p->lag, from = (p->round - after) * p->group, to = from + p->group;

	if (p->round < after || from >= p->n)
		return (struct span){ 0, 0 };
	return (struct span){ from, to < p->n ? to : p->n };
}

/** pipeline_next() - go on to the next round; false if all have taken the last step, @last */
static inline bool pipeline_next(struct pipeline *p, unsigned last)
{
	size_t after = last * p->lag;

	p->round++;
	return p->round < after || (p->round - after) * p->group < p->n;
}

/**
 * struct outbound_batch - packets out
 * @inner:  what was found in those whose verdict is VERDICT_PASS
 * @bucket: where their owners are looked for; NULL: as the packet before
 * @owner:  of their destination, or NULL
 */
struct outbound_batch {
	const struct allowed *allowed;
	struct outbound *packets;
	struct instant now;
	struct inner inner[ENGINE_BATCH];
	struct allowed_entry *const *bucket[ENGINE_BATCH];
	void *owner[ENGINE_BATCH];
};

/* The first three steps. */
void outbound_headers(struct outbound_batch *b, struct span s);
void outbound_entries(const struct outbound_batch *b, struct span s);
void outbound_owners(struct outbound_batch *b, struct span s);

/** outbound_each() - further steps: call @ask for the owners in @s */
void outbound_each(const struct outbound_batch *b, struct span s, void (*ask)(const void *owner));

/**
 * struct inbound_batch - datagrams in
 * @bucket: where their SPIs are looked for; NULL: as the datagram before, or there is none
 */
struct inbound_batch {
	const struct spi_table *spis;
	struct inbound *datagrams;
	struct instant now;
	struct spi_entry *const *bucket[ENGINE_BATCH];
};

/* The first two steps. */
void inbound_spis(struct inbound_batch *b, struct span s);
void inbound_entries(const struct inbound_batch *b, struct span s);

/** inbound_each() - further steps: call @ask for what stands first where SPIs are looked for */
void inbound_each(const struct inbound_batch *b, struct span s,
		  void (*ask)(const struct spi_entry *entry));

/** inbound_spi() - the first word of a datagram of at least four bytes */
static inline uint32_t inbound_spi(const struct inbound *d)
{
	be32 spi;

	memcpy(&spi, d->datagram, sizeof(spi));
	return be32_to(spi);
}

#endif
