/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must always hold (docs/protocol.md section 9), watched from outside the engine: an AEAD that
 * knows every nonce ever used, an allocator that knows every key, a ledger of every inner packet.  What
 * does not hold ends the run through sim_fail().
 */
#ifndef TESTS_SIM_WATCH_H
#define TESTS_SIM_WATCH_H

#include "minivpn/aead.h"
#include "minivpn/instant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

/** sim_fail() - say what does not hold, and how to run this again; does not return */
_Noreturn void sim_fail(const struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * struct set - a set of 64-bit fingerprints
 * @slot: 0 is empty
 */
struct set {
	uint64_t *slot;
	size_t room, used;
};

/** set_add() - false if it was there already */
bool set_add(struct set *set, uint64_t fingerprint);
bool set_has(const struct set *set, uint64_t fingerprint);
void set_free(struct set *set);

/** fingerprint() - 64 bits that stand for @n bytes; never 0 */
uint64_t fingerprint(const void *bytes, size_t n);

/**
 * struct key_use - an AEAD key and when it was seen first
 */
struct key_use {
	uint8_t key[SA_KEY_BYTES];
	struct instant first;
};

/** struct block - memory that an engine holds */
struct block {
	struct block *next, *previous;
	size_t bytes;
	_Alignas(64) uint8_t memory[];
};

/**
 * struct watch - all that is watched in one world
 * @nonces:  key and nonce of everything sealed
 * @secrets: the first eight bytes of each secret, which no released memory may hold
 * @keys:    AEAD keys in the order they were first used
 * @blocks:  memory that engines hold
 */
struct watch {
	const struct world *world;
	struct set nonces, secrets;
	struct key_use *keys;
	size_t key_count, key_room;
	struct block blocks;
	size_t bytes_held, bytes_held_most;
	unsigned allocations_to_fail; /* one in so many fails; 0 = none */
	unsigned long allocations;
};

void watch_begin(struct watch *watch, const struct world *world);
void watch_end(struct watch *watch);

/** watch_aead - seals and opens with libsodium, the context being a struct watch */
extern const struct aead watch_aead;

/** watch_secret() - 32 bytes that no memory may keep once it is released */
void watch_secret(struct watch *watch, const uint8_t secret[32]);

void *watch_allocate(struct watch *watch, size_t bytes);
void watch_release(struct watch *watch, void *memory);

/** watch_keys_gone() - no memory holds an AEAD key that was first used before @deadline */
void watch_keys_gone(const struct watch *watch, struct instant deadline);

#endif
