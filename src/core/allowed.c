/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/allowed.h"

#include "minivpn/wire.h"

#include <string.h>

/* An address as two words in the byte order of the wire: a look-up masks, hashes and compares these.
 * IPv4 is the mapped form, so that equal words are equal addresses of one family. */
struct words {
	uint64_t high, low;
};

static struct words words_of(const struct address *a)
{
	struct words w;

	memcpy(&w.high, a->b, sizeof(w.high));
	memcpy(&w.low, a->b + sizeof(w.high), sizeof(w.low));
	return w;
}

static unsigned family_of(const struct address *a)
{
	return address_is_ipv4(a) ? 0 : 1;
}

/* The first @bits of a word of the wire. */
static uint64_t mask(unsigned bits)
{
	be64 wire = be64_from(bits == 0 ? 0 : UINT64_MAX << (64 - bits));
	uint64_t word;

	memcpy(&word, &wire, sizeof(word));
	return word;
}

static struct words network_of(struct words w, unsigned family, unsigned length)
{
	unsigned bits = family == 0 ? 96 + length : length;

	w.high &= mask(bits < 64 ? bits : 64);
	w.low &= mask(bits < 64 ? 0 : bits - 64);
	return w;
}

/* Prefixes come from the operator and addresses from authenticated peers: a mix is enough, nobody can
 * gain anything by making chains long.  Hosts of one network differ in the last byte, which is the top
 * one of its word on most machines: hence it is folded before it is multiplied. */
static size_t bucket_of(const struct allowed *table, struct words w, unsigned length)
{
	uint64_t high = (w.high ^ length) * 0x9e3779b97f4a7c15, low = w.low ^ high >> 29;

	low = (low ^ low >> 32) * 0xbf58476d1ce4e5b9;
	return (low ^ low >> 32) & (table->bucket_count - 1);
}

/* The link to the entry of this network, or to the end of its chain. */
static struct allowed_entry **find(const struct allowed *table, struct words w, unsigned length)
{
	struct allowed_entry **link = &table->buckets[bucket_of(table, w, length)];

	for (; *link; link = &(*link)->next) {
		struct words other = words_of(&(*link)->network.address);

		if (other.high == w.high && other.low == w.low && (*link)->network.length == length)
			break;
	}
	return link;
}

static struct allowed_entry **find_prefix(const struct allowed *table, const struct prefix *network)
{
	return find(table, words_of(&network->address), network->length);
}

void allowed_init(struct allowed *table, struct allowed_entry **buckets, size_t bucket_count)
{
	*table = (struct allowed){ .buckets = buckets, .bucket_count = bucket_count };
}

static void chain(struct allowed *table, struct allowed_entry *entry)
{
	struct allowed_entry **end = find_prefix(table, &entry->network);

	entry->next = NULL;
	*end = entry;
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

struct allowed_entry *allowed_insert(struct allowed *table, struct allowed_entry *entry)
{
	struct allowed_entry *before = *find_prefix(table, &entry->network);

	unsigned family = family_of(&entry->network.address);

	if (before)
		allowed_remove(table, before);
	chain(table, entry);
	entry->is_host = entry->network.length == (family == 0 ? 32 : 128);
	table->entries++;
	length_used(table, family, entry->network.length);
	return before;
}

void allowed_remove(struct allowed *table, struct allowed_entry *entry)
{
	struct allowed_entry **link = find_prefix(table, &entry->network);

	if (*link != entry)
		return;
	*link = entry->next;
	entry->next = NULL;
	entry->is_host = false;
	table->entries--;
	length_unused(table, family_of(&entry->network.address), entry->network.length);
}

struct allowed_entry *const *allowed_bucket(const struct allowed *table,
					    const struct address *address)
{
	unsigned family = family_of(address), length = table->lengths[family][0];

	return &table->buckets[bucket_of(table, network_of(words_of(address), family, length),
					 length)];
}

void *allowed_lookup(const struct allowed *table, const struct address *address)
{
	unsigned family = family_of(address);
	struct words w = words_of(address);

	for (unsigned i = 0; i < table->length_count[family]; i++) {
		unsigned length = table->lengths[family][i];
		struct allowed_entry *found = *find(table, network_of(w, family, length), length);

		if (found)
			return found->owner;
	}
	return NULL;
}
