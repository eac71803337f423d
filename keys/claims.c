/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/claims.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLAIM_KEY,
	CLAIM_OLD_KEY,
	CLAIM_NAME,
	CLAIM_ADDRESS,
	CLAIM_NETWORK = CLAIM_ADDRESS + KEY_ADDRESSES_MAX,
	CLAIMS_A_KEY_MAX = CLAIM_NETWORK + KEY_NETWORKS_MAX,

	SLOTS_MIN = 128,
};

/**
 * struct claim - something that one key has
 * @claimant: NULL in a free slot
 * @which:    CLAIM_...; of addresses and networks, with the place in their array added
 */
struct claim {
	const struct claimant *claimant;
	uint32_t hash;
	uint32_t which;
};

/** struct thing - what is claimed; @bytes NULL if the key has no such thing */
struct thing {
	const char *what;
	const void *bytes;
	size_t size;
};

struct psk_mark psk_mark(const struct psk *psk)
{
	static const char label[] = "minivpn key mark ";
	uint8_t labelled[sizeof(label) - 1 + PSK_BYTES], whole[crypto_hash_sha512_BYTES];
	struct psk_mark mark;

	memcpy(labelled, label, sizeof(label) - 1);
	memcpy(labelled + sizeof(label) - 1, psk->b, PSK_BYTES);
	crypto_hash_sha512(whole, labelled, sizeof(labelled));
	memcpy(mark.b, whole, sizeof(mark.b));
	sodium_memzero(labelled, sizeof(labelled));
	sodium_memzero(whole, sizeof(whole));
	return mark;
}

void claims_close(struct claims *claims)
{
	free(claims->slot);
	*claims = (struct claims){ 0 };
}

static struct thing thing_of(const struct claimant *claimant, uint32_t which)
{
	const struct keytext *key = claimant->key;
	uint32_t address = which - CLAIM_ADDRESS, network = which - CLAIM_NETWORK;

	if (which == CLAIM_KEY)
		return (struct thing){ "key", &claimant->psk, sizeof(claimant->psk) };
	if (which == CLAIM_OLD_KEY)
		return (struct thing){ "key", key->has_old ? &claimant->old_psk : NULL,
				       sizeof(claimant->old_psk) };
	if (which == CLAIM_NAME)
		return (struct thing){ "name", key->name, strlen(key->name) };
	if (which < CLAIM_NETWORK)
		return (struct thing){
			"address",
			address < key->address_count ? &key->address[address].address : NULL,
			sizeof(struct address),
		};
	return (struct thing){ "network",
			       network < key->network_count ? &key->network[network] : NULL,
			       sizeof(struct prefix) };
}

/* FNV-1a: keys come from whoever runs the server, who gains nothing by long searches. */
static uint32_t hash_of(const struct thing *thing)
{
	uint64_t hash = 0xcbf29ce484222325 ^ (uint64_t)*thing->what;
	const uint8_t *b = thing->bytes;

	for (size_t i = 0; i < thing->size; i++)
		hash = (hash ^ b[i]) * 0x100000001b3;
	return (uint32_t)(hash ^ hash >> 32);
}

static bool same(const struct thing *a, const struct thing *b)
{
	return a->size == b->size && strcmp(a->what, b->what) == 0 &&
	       memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The slot of whoever has claimed @thing, or the free one where that would stand. */
static struct claim *find(const struct claims *claims, const struct thing *thing, uint32_t hash)
{
	size_t at = hash & (claims->slots - 1);

	for (;; at = (at + 1) & (claims->slots - 1)) {
		struct claim *slot = &claims->slot[at];
		struct thing other;

		if (!slot->claimant)
			return slot;
		if (slot->hash != hash)
			continue;
		other = thing_of(slot->claimant, slot->which);
		if (same(&other, thing))
			return slot;
	}
}

/* Room for one more key, whatever it claims; false without memory. */
static bool grow(struct claims *claims)
{
	struct claims larger = { .slots = claims->slots ? 2 * claims->slots : SLOTS_MIN,
				 .used = claims->used };

	if (2 * (claims->used + CLAIMS_A_KEY_MAX) <= claims->slots)
		return true;
	larger.slot = calloc(larger.slots, sizeof(struct claim));
	if (!larger.slot)
		return false;
	for (size_t i = 0; i < claims->slots; i++) {
		size_t at = claims->slot[i].hash & (larger.slots - 1);

		if (!claims->slot[i].claimant)
			continue;
		while (larger.slot[at].claimant)
			at = (at + 1) & (larger.slots - 1);
		larger.slot[at] = claims->slot[i];
	}
	claims_close(claims);
	*claims = larger;
	return true;
}

const char *claims_make(struct claims *claims, const struct claimant *claimant,
			const struct claimant **ret_other)
{
	if (!grow(claims))
		return "table without memory";
	*ret_other = claimant;
	for (uint32_t which = 0; which < CLAIMS_A_KEY_MAX; which++) {
		struct thing thing = thing_of(claimant, which);
		struct claim *slot;
		uint32_t hash;

		if (!thing.bytes)
			continue;
		hash = hash_of(&thing);
		slot = find(claims, &thing, hash);
		if (!slot->claimant) {
			*slot = (struct claim){ claimant, hash, which };
			claims->used++;
		} else if (slot->claimant != claimant) {
			*ret_other = slot->claimant;
			return thing.what;
		}
	}
	return NULL;
}

/* What comes after a hole moves up, unless it would then stand before the place where a search for it
 * begins. */
static void empty(struct claims *claims, size_t hole)
{
	size_t mask = claims->slots - 1;

	for (size_t at = (hole + 1) & mask; claims->slot[at].claimant; at = (at + 1) & mask) {
		size_t from_home = (at - claims->slot[at].hash) & mask;

		if (from_home < ((at - hole) & mask))
			continue;
		claims->slot[hole] = claims->slot[at];
		hole = at;
	}
	claims->slot[hole] = (struct claim){ 0 };
	claims->used--;
}

void claims_drop(struct claims *claims, const struct claimant *claimant)
{
	for (uint32_t which = 0; which < CLAIMS_A_KEY_MAX && claims->slots > 0; which++) {
		struct thing thing = thing_of(claimant, which);
		struct claim *slot;

		if (!thing.bytes)
			continue;
		slot = find(claims, &thing, hash_of(&thing));
		if (slot->claimant == claimant)
			empty(claims, (size_t)(slot - claims->slot));
	}
}

static const struct claimant *holder(const struct claims *claims, struct thing thing)
{
	return claims->slots > 0 ? find(claims, &thing, hash_of(&thing))->claimant : NULL;
}

const struct claimant *claims_of_name(const struct claims *claims, const char *name)
{
	return holder(claims, (struct thing){ "name", name, strlen(name) });
}

const struct claimant *claims_of_address(const struct claims *claims, const struct address *address)
{
	return holder(claims, (struct thing){ "address", address, sizeof(*address) });
}
