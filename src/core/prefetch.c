/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * With ten thousand peers what a packet needs is in no cache: a bucket of a table, what is in it, the SA,
 * its session, the peer, each found by way of the one before.  One packet after the other would wait for
 * each of them.  Here a whole batch takes each of these steps together, so that all wait at once.
 *
 * Nothing is decided: what stands first in a bucket is taken for what is looked for, and whoever looks
 * it up finds out.
 */
#include "engine_state.h"

#include <string.h>

enum {
	LINE_BYTES = 64,
	PEERS_FEW = 64, /* so many are in a cache by themselves */
};

static void ask_for(const void *memory, size_t bytes)
{
	const uint8_t *at = memory, *end = at + bytes;

	for (at -= (uintptr_t)at % LINE_BYTES; at < end; at += LINE_BYTES)
		__builtin_prefetch(at);
}

static void ask_for_peer(const struct peer *peer)
{
	ask_for(peer, offsetof(struct peer, verdicts) + sizeof(peer->verdicts.count[VERDICT_PASS]));
}

void prefetch_inbound(const struct engine *engine, const struct inbound *datagrams, size_t n)
{
	BATCH_STORAGE const struct sa_in *sa[ENGINE_BATCH];
	const struct spi_table *spis = &engine->spis;
	BATCH_STORAGE struct spi_entry *const *bucket[ENGINE_BATCH];
	size_t found = 0, records = 0;

	if (engine->peer_count < PEERS_FEW)
		return;
	for (size_t i = 0; i < n; i++) {
		be32 spi;

		if (datagrams[i].bytes < ENVELOPE_MIN_BYTES)
			continue;
		memcpy(&spi, datagrams[i].datagram, sizeof(spi));
		bucket[records] = spi_bucket(spis, be32_to(spi));
		ask_for(bucket[records++], sizeof(*bucket[0]));
	}
	for (size_t i = 0; i < records; i++)
		if (*bucket[i])
			ask_for(*bucket[i], sizeof(struct spi_entry) + sizeof(void *));
	for (size_t i = 0; i < records; i++) {
		const struct spi_entry *entry = *bucket[i];

		if (!entry || entry->kind != SPI_SA)
			continue;
		sa[found] = (const struct sa_in *)entry;
		ask_for(sa[found]->session, sizeof(struct session));
		ask_for(sa[found], offsetof(struct sa_in, replay.seen));
		found++;
	}
	for (size_t i = 0; i < found; i++) {
		ask_for_peer(sa[i]->session->peer);
		ask_for(replay_place(&sa[i]->replay), sizeof(uint64_t));
	}
	for (size_t i = 0; i < found; i++)
		ask_for(sa[i]->session->peer->allowed, sizeof(struct allowed_entry));
}

/* Where a packet comes from is not known before it is opened. */
void prefetch_sources(const struct engine *engine, const struct opening *batch, size_t n)
{
	struct inner inner;

	if (engine->peer_count < PEERS_FEW)
		return;
	for (size_t i = 0; i < n; i++)
		if (batch[i].verdict == VERDICT_PASS &&
		    inner_parse(batch[i].payload, batch[i].payload_bytes, &inner) == VERDICT_PASS)
			ask_for(allowed_bucket(&engine->allowed, &inner.source), sizeof(void *));
}

void prefetch_outbound(const struct engine *engine, const struct outbound *packets, size_t n)
{
	BATCH_STORAGE struct allowed_entry *const *bucket[ENGINE_BATCH];
	BATCH_STORAGE const struct peer *peer[ENGINE_BATCH];
	size_t destinations = 0, peers = 0, sessions = 0;
	struct inner inner;

	if (engine->peer_count < PEERS_FEW)
		return;
	for (size_t i = 0; i < n; i++) {
		if (inner_parse(packets[i].inner, packets[i].inner_bytes, &inner) != VERDICT_PASS)
			continue;
		bucket[destinations] = allowed_bucket(&engine->allowed, &inner.destination);
		ask_for(bucket[destinations++], sizeof(void *));
	}
	for (size_t i = 0; i < destinations; i++)
		if (*bucket[i])
			ask_for(*bucket[i], sizeof(struct allowed_entry));
	for (size_t i = 0; i < destinations; i++) {
		if (!*bucket[i])
			continue;
		peer[peers] = (*bucket[i])->owner;
		ask_for_peer(peer[peers++]);
	}
	for (size_t i = 0; i < peers; i++) {
		if (!peer[i]->current)
			continue;
		peer[sessions] = peer[i];
		ask_for(peer[sessions++]->current, sizeof(struct session));
	}
	for (size_t i = 0; i < sessions; i++)
		ask_for(peer[i]->current->out, sizeof(struct sa_out));
}
