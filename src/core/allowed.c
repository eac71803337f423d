/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/allowed.h"

#include <string.h>

static unsigned family_of(const struct address *a)
{
	return address_is_ipv4(a) ? 0 : 1;
}

/* Every bit of @x reaches the low bits: neighbours differ in the last byte of an address, which is
 * the highest byte of the integer it is read as. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0x9e3779b97f4a7c15;
	x = (x ^ x >> 32) * 0xbf58476d1ce4e5b9;
	return x ^ x >> 32;
}

/* Prefixes come from the operator and addresses from authenticated peers: a mix is enough, nobody can
 * gain anything by making chains long. */
static size_t bucket_of(const struct allowed *table, const struct prefix *network)
{
	uint64_t high, low;

	memcpy(&high, network->address.b, sizeof(high));
	memcpy(&low, network->address.b + 8, sizeof(low));
	return mix(mix(high ^ network->length) ^ low) & (table->bucket_count - 1);
}

static bool same_network(const struct prefix *a, const struct prefix *b)
{
	return a->length == b->length && address_equal(&a->address, &b->address) &&
	       family_of(&a->address) == family_of(&b->address);
}

void allowed_init(struct allowed *table, struct allowed_entry **buckets, size_t bucket_count)
{
	*table = (struct allowed){ .buckets = buckets, .bucket_count = bucket_count };
}

static void chain(struct allowed *table, struct allowed_entry *entry)
{
	struct allowed_entry **head = &table->buckets[bucket_of(table, &entry->network)];

	entry->next = *head;
	*head = entry;
}

void allowed_rehash(struct allowed *table, struct allowed_entry **buckets, size_t bucket_count)
{
	struct allowed_entry **old = table->buckets;
	size_t old_count = table->bucket_count;

	table->buckets = buckets;
	table->bucket_count = bucket_count;
	for (size_t i = 0; i < old_count; i++) {
		for (struct allowed_entry *e = old[i], *next; e; e = next) {
			next = e->next;
			chain(table, e);
		}
	}
}

static void length_used(struct allowed *table, unsigned family, uint8_t length)
{
	uint8_t *lengths = table->lengths[family];
	unsigned at = 0, n = table->length_count[family];

	if (table->uses[family][length]++ > 0)
		return;
	while (at < n && lengths[at] > length)
		at++;
	memmove(lengths + at + 1, lengths + at, n - at);
	lengths[at] = length;
	table->length_count[family]++;
}

static void length_unused(struct allowed *table, unsigned family, uint8_t length)
{
	uint8_t *lengths = table->lengths[family];
	unsigned at = 0;

	if (--table->uses[family][length] > 0)
		return;
	while (lengths[at] != length)
		at++;
	table->length_count[family]--;
	memmove(lengths + at, lengths + at + 1, table->length_count[family] - at);
}

static struct allowed_entry **find(const struct allowed *table, const struct prefix *network)
{
	struct allowed_entry **link = &table->buckets[bucket_of(table, network)];

	while (*link && !same_network(&(*link)->network, network))
		link = &(*link)->next;
	return link;
}

struct allowed_entry *allowed_insert(struct allowed *table, struct allowed_entry *entry)
{
	struct allowed_entry *before = *find(table, &entry->network);

	if (before)
		allowed_remove(table, before);
	chain(table, entry);
	table->entries++;
	length_used(table, family_of(&entry->network.address), entry->network.length);
	return before;
}

void allowed_remove(struct allowed *table, struct allowed_entry *entry)
{
	struct allowed_entry **link = find(table, &entry->network);

	if (*link != entry)
		return;
	*link = entry->next;
	entry->next = NULL;
	table->entries--;
	length_unused(table, family_of(&entry->network.address), entry->network.length);
}

void *allowed_lookup(const struct allowed *table, const struct address *address)
{
	unsigned family = family_of(address);
	struct prefix probe = { *address, 0 };

	for (unsigned i = 0; i < table->length_count[family]; i++) {
		struct prefix network;
		struct allowed_entry *found;

		probe.length = table->lengths[family][i];
		network = prefix_network(&probe);
		found = *find(table, &network);
		if (found)
			return found->owner;
	}
	return NULL;
}
