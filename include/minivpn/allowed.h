/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which peer owns an address: longest-prefix match in both families ("cryptokey routing").  The same
 * table says where an inner packet goes and whether its sender may use its source.
 *
 * One hash table for each family, asked once for every prefix length that is in use, longest first.
 * A tunnel uses two or three lengths (hosts, a few networks, the default), so that a look-up costs two
 * or three probes with ten peers as with ten thousand, and needs no tree.
 */
#ifndef MINIVPN_ALLOWED_H
#define MINIVPN_ALLOWED_H

#include "minivpn/inner.h"

#include <stddef.h>
#include <stdint.h>

/**
 * struct allowed_entry - a prefix and its owner; the memory is the owner's
 * @network: the prefix, host bits clear
 * @is_host: set by the table: a single address, and in the table
 * @owner:   what a look-up returns
 * @next:    next in the same bucket
 */
struct allowed_entry {
	struct prefix network;
	bool is_host;
	void *owner;
	struct allowed_entry *next;
};

enum { ALLOWED_BUCKETS_MIN = 64 };

/**
 * struct allowed - the table
 * @buckets:      heads of the chains; the memory is the caller's
 * @bucket_count: a power of two
 * @entries:      prefixes in the table
 * @lengths:      prefix lengths in use, longest first, by family (0: IPv4, 1: IPv6)
 * @length_count: how many they are
 * @uses:         how many prefixes have each length
 */
struct allowed {
	struct allowed_entry **buckets;
	size_t bucket_count;
	size_t entries;
	uint8_t lengths[2][129];
	unsigned length_count[2];
	uint32_t uses[2][129];
};

/** allowed_init() - an empty table over @bucket_count (a power of two) zeroed buckets */
void allowed_init(struct allowed *table, struct allowed_entry **buckets, size_t bucket_count);

/** allowed_rehash() - move everything to another, larger array of zeroed buckets */
void allowed_rehash(struct allowed *table, struct allowed_entry **buckets, size_t bucket_count);

/**
 * allowed_insert() - add @entry, its @network and @owner set
 *
 * Return: the entry that had the same network before and is now out of the table, or NULL
 */
struct allowed_entry *allowed_insert(struct allowed *table, struct allowed_entry *entry);

/** allowed_remove() - take @entry out, if it is in */
void allowed_remove(struct allowed *table, struct allowed_entry *entry);

/**
 * allowed_bucket() - where allowed_lookup() will look first, for who wants that to be in the cache by then
 */
struct allowed_entry *const *allowed_bucket(const struct allowed *table,
					    const struct address *address);

/**
 * allowed_is_host() - does a look-up of @address find @entry?  Asked of @entry alone, not of the table
 *
 * Return: false also if it does, but @entry is of more than one address
 */
static inline bool allowed_is_host(const struct allowed_entry *entry, const struct address *address)
{
	return entry->is_host && address_equal(&entry->network.address, address);
}

/** allowed_lookup() - owner of the longest prefix that contains @address, or NULL */
void *allowed_lookup(const struct allowed *table, const struct address *address);

#endif
