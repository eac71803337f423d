/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/claims.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { CLAIMS_A_KEY_MAX = 3 + KEY_ADDRESSES_MAX + KEY_NETWORKS_MAX };

/**
 * struct claim - something that one key has
 * @what:  "key", "name", "address" or "network"; NULL in a free slot
 * @bytes, @size: the thing itself, part of its claimant
 */
struct claim {
	const char *what;
	const void *bytes;
	size_t size;
	uint64_t hash;
	const struct claimant *claimant;
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

bool claims_open(struct claims *claims, size_t keys)
{
	size_t slots = 128;

	/* Most keys claim a key, a name and two addresses; the table grows for those that claim more. */
	while (slots < 8 * keys)
		slots *= 2;
	*claims = (struct claims){ calloc(slots, sizeof(struct claim)), slots, 0 };
	return claims->slot;
}

void claims_close(struct claims *claims)
{
	free(claims->slot);
	*claims = (struct claims){ 0 };
}

/* FNV-1a: keys come from whoever runs the server, who gains nothing by long searches. */
static uint64_t hash_of(const char *what, const void *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325 ^ (uint64_t)*what;

	for (const uint8_t *b = bytes; size > 0; b++, size--)
		hash = (hash ^ *b) * 0x100000001b3;
	return hash ^ hash >> 29;
}

static struct claim *find(const struct claims *claims, const struct claim *wanted)
{
	size_t at = wanted->hash & (claims->slots - 1);

	for (;; at = (at + 1) & (claims->slots - 1)) {
		struct claim *slot = &claims->slot[at];

		if (!slot->what)
			return slot;
		if (slot->hash == wanted->hash && slot->size == wanted->size &&
		    strcmp(slot->what, wanted->what) == 0 &&
		    memcmp(slot->bytes, wanted->bytes, wanted->size) == 0)
			return slot;
	}
}

/* Room for one more key, whatever it claims; false without memory. */
static bool grow(struct claims *claims)
{
	struct claims larger = { .slots = 2 * claims->slots, .used = claims->used };

	if (2 * (claims->used + CLAIMS_A_KEY_MAX) <= claims->slots)
		return true;
	larger.slot = calloc(larger.slots, sizeof(struct claim));
	if (!larger.slot)
		return false;
	for (size_t i = 0; i < claims->slots; i++)
		if (claims->slot[i].what)
			*find(&larger, &claims->slot[i]) = claims->slot[i];
	claims_close(claims);
	*claims = larger;
	return true;
}

const char *claims_make(struct claims *claims, const struct claimant *claimant,
			const struct claimant **ret_other)
{
	const struct keytext *key = claimant->key;
	struct claim claim[CLAIMS_A_KEY_MAX];
	size_t n = 0;

	if (!grow(claims))
		return "table without memory";
	*ret_other = claimant;
	claim[n++] = (struct claim){ "key", &claimant->psk, sizeof(claimant->psk), 0, claimant };
	if (key->has_old)
		claim[n++] = (struct claim){ "key", &claimant->old_psk, sizeof(claimant->old_psk),
					     0, claimant };
	claim[n++] = (struct claim){ "name", key->name, strlen(key->name), 0, claimant };
	for (unsigned i = 0; i < key->address_count; i++)
		claim[n++] = (struct claim){ "address", &key->address[i].address,
					     sizeof(struct address), 0, claimant };
	for (unsigned i = 0; i < key->network_count; i++)
		claim[n++] = (struct claim){ "network", &key->network[i], sizeof(struct prefix), 0,
					     claimant };

	for (size_t i = 0; i < n; i++) {
		struct claim *slot;

		claim[i].hash = hash_of(claim[i].what, claim[i].bytes, claim[i].size);
		slot = find(claims, &claim[i]);
		if (slot->what && slot->claimant != claimant) {
			*ret_other = slot->claimant;
			return claim[i].what;
		}
		claims->used += !slot->what;
		*slot = claim[i];
	}
	return NULL;
}
