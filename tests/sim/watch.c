/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "watch.h"

#include "aead/backends.h"
#include "world.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_fail(const struct world *world, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "at %.6f s: ", (double)world->now.ns / 1e9);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\nagain with: sim --scenario %s --loss %u --seed %llu --trace\n",
		world->scenario, world->network.loss / 100, (unsigned long long)world->seed);
	exit(1);
}

/* ---- sets ---------------------------------------------------------------------------------- */

uint64_t fingerprint(const void *bytes, size_t n)
{
	static const uint8_t key[crypto_shorthash_siphash24_KEYBYTES] = "for the sim only";
	uint64_t hash;

	crypto_shorthash_siphash24((uint8_t *)&hash, bytes, n, key);
	return hash ? hash : 1;
}

static uint64_t *slot_of(const struct set *set, uint64_t fingerprint)
{
	size_t at = fingerprint & (set->room - 1);

	while (set->slot[at] && set->slot[at] != fingerprint)
		at = (at + 1) & (set->room - 1);
	return &set->slot[at];
}

static void set_grow(struct set *set)
{
	struct set bigger = { .room = set->room ? 2 * set->room : 1024 };

	bigger.slot = calloc(bigger.room, sizeof(*bigger.slot));
	if (!bigger.slot)
		abort();
	for (size_t i = 0; i < set->room; i++)
		if (set->slot[i])
			*slot_of(&bigger, set->slot[i]) = set->slot[i];
	bigger.used = set->used;
	free(set->slot);
	*set = bigger;
}

bool set_add(struct set *set, uint64_t fingerprint)
{
	uint64_t *slot;

	if (2 * set->used >= set->room)
		set_grow(set);
	slot = slot_of(set, fingerprint);
	if (*slot)
		return false;
	*slot = fingerprint;
	set->used++;
	return true;
}

bool set_has(const struct set *set, uint64_t fingerprint)
{
	return set->room > 0 && *slot_of(set, fingerprint) != 0;
}

void set_free(struct set *set)
{
	free(set->slot);
	*set = (struct set){ 0 };
}

/* ---- life ---------------------------------------------------------------------------------- */

void watch_begin(struct watch *watch, const struct world *world)
{
	*watch = (struct watch){ .world = world };
	watch->blocks.next = watch->blocks.previous = &watch->blocks;
}

void watch_end(struct watch *watch)
{
	if (watch->blocks.next != &watch->blocks)
		sim_fail(watch->world, "%zu bytes were never released", watch->bytes_held);
	set_free(&watch->nonces);
	set_free(&watch->secrets);
	free(watch->keys);
}

/* ---- memory -------------------------------------------------------------------------------- */

static uint64_t first_eight(const uint8_t *bytes)
{
	uint64_t eight;

	memcpy(&eight, bytes, sizeof(eight));
	return eight ? eight : 1;
}

void watch_secret(struct watch *watch, const uint8_t secret[32])
{
	set_add(&watch->secrets, first_eight(secret));
}

void *watch_allocate(struct watch *watch, size_t bytes)
{
	struct block *block;

	if (watch->allocations_to_fail &&
	    fingerprint(&watch->allocations, sizeof(watch->allocations)) %
			    watch->allocations_to_fail ==
		    0) {
		watch->allocations++;
		return NULL;
	}
	watch->allocations++;
	block = aligned_alloc(64, (sizeof(*block) + bytes + 63) & ~(size_t)63);
	if (!block)
		abort();
	memset(block->memory, 0, bytes);
	block->bytes = bytes;
	block->next = &watch->blocks;
	block->previous = watch->blocks.previous;
	block->previous->next = block->next->previous = block;
	watch->bytes_held += bytes;
	if (watch->bytes_held > watch->bytes_held_most)
		watch->bytes_held_most = watch->bytes_held;
	return block->memory;
}

void watch_release(struct watch *watch, void *memory)
{
	struct block *block = (struct block *)((uint8_t *)memory - offsetof(struct block, memory));

	for (size_t at = 0; at + 8 <= block->bytes; at += 4)
		if (set_has(&watch->secrets, first_eight(block->memory + at)))
			sim_fail(watch->world,
				 "a released block of %zu bytes holds a secret at %zu",
				 block->bytes, at);
	block->next->previous = block->previous;
	block->previous->next = block->next;
	watch->bytes_held -= block->bytes;
	free(block);
}

void watch_keys_gone(const struct watch *watch, struct instant deadline)
{
	struct set gone = { 0 };

	for (size_t i = 0; i < watch->key_count && watch->keys[i].first.ns < deadline.ns; i++)
		set_add(&gone, first_eight(watch->keys[i].key));
	for (struct block *b = watch->blocks.next; b != &watch->blocks; b = b->next)
		for (size_t at = 0; at + 8 <= b->bytes; at += 4)
			if (set_has(&gone, first_eight(b->memory + at)))
				sim_fail(watch->world,
					 "a block of %zu bytes still holds a key at %zu", b->bytes,
					 at);
	set_free(&gone);
}

/* ---- the AEAD ------------------------------------------------------------------------------ */

/* No key seals for longer than 180 s; the newest keys are the ones in use. */
static void check_age(const struct watch *watch, const uint8_t *key)
{
	for (size_t i = watch->key_count; i-- > 0;) {
		if (memcmp(watch->keys[i].key, key, SA_KEY_BYTES) != 0)
			continue;
		if (instant_since(watch->world->now, watch->keys[i].first) > 180 * NS_PER_S)
			sim_fail(watch->world, "a key seals after 180 s");
		return;
	}
}

static void note_key(struct watch *watch, const uint8_t *key)
{
	if (!set_add(&watch->secrets, first_eight(key))) {
		check_age(watch, key);
		return;
	}
	if (watch->key_count == watch->key_room) {
		watch->key_room = watch->key_room ? 2 * watch->key_room : 64;
		watch->keys = realloc(watch->keys, watch->key_room * sizeof(*watch->keys));
		if (!watch->keys)
			abort();
	}
	memcpy(watch->keys[watch->key_count].key, key, SA_KEY_BYTES);
	watch->keys[watch->key_count++].first = watch->world->now;
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	struct watch *watch = context;
	uint8_t both[SA_KEY_BYTES + AEAD_NONCE_BYTES];

	for (size_t i = 0; i < n; i++) {
		memcpy(both, ops[i].key, SA_KEY_BYTES);
		memcpy(both + SA_KEY_BYTES, ops[i].nonce, AEAD_NONCE_BYTES);
		if (!set_add(&watch->nonces, fingerprint(both, sizeof(both))))
			sim_fail(watch->world, "a nonce was used twice under one key");
		note_key(watch, ops[i].key);
	}
	aead_sodium.seal(NULL, ops, n);
}

static void open(void *context, struct aead_op *ops, size_t n)
{
	(void)context;
	aead_sodium.open(NULL, ops, n);
}

const struct aead watch_aead = {
	.name = "watch",
	.seal = seal,
	.open = open,
	.seal_limit = UINT32_MAX,
	.forgery_limit = (uint64_t)1 << 36,
};
