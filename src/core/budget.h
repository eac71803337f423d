/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the search for the key of an Init may cost (docs/protocol.md section 3).  A stranger's Init makes
 * us hash with every key that we have, and anybody can send what looks like one.  Hence all searches
 * together have a quarter of the time, and each source so many a second; what is over that is dropped.
 *
 * The core reads no clock, so it does not see how long a search takes: it counts keys tried, and the
 * shell has measured what one costs.  The budget fills with the time that passes between calls, up to
 * what a short burst needs; an Init whose sender has proved its address may use all of it, others only
 * the upper half, so that a flood of those leaves room for these.
 *
 * Sources are kept in a table in which a new one may push out another: that one is then not limited for
 * once, as the budget limits all of them.
 */
#ifndef CORE_BUDGET_H
#define CORE_BUDGET_H

#include "minivpn/inner.h"
#include "minivpn/instant.h"

#include <sodium.h>
#include <stdbool.h>

enum {
	BUDGET_SHARE = 4,        /* this part of the time */
	BUDGET_SOURCES = 256,    /* remembered */
	SEARCHES_A_SECOND = 20,  /* for each source */
	SEARCH_NS_USUAL = 20000, /* for a thousand keys, where nobody has measured it */
};

#define BUDGET_ROOM (25 * NS_PER_MS) /* a quarter of the last tenth of a second */

/**
 * struct budget - how much may be searched
 * @search_ns: what it takes to try a thousand keys
 * @left_ns:   of searching; below zero if the last search took more than there was
 * @filled:    when it was last added to
 * @key:       makes it impossible to say which sources share a place
 * @source:    an address, or the first half of an IPv6 address; and its searches since @second
 */
struct budget {
	uint32_t search_ns;
	int64_t left_ns;
	struct instant filled;
	uint8_t key[crypto_shorthash_siphash24_KEYBYTES];
	struct {
		struct address prefix;
		struct instant second;
		unsigned searches;
	} source[BUDGET_SOURCES];
};

/** budget_begin() - a full budget; @key is random */
void budget_begin(struct budget *budget, uint32_t search_ns,
		  const uint8_t key[crypto_shorthash_siphash24_KEYBYTES], struct instant now);

/**
 * budget_allows() - may a search begin for an Init from @from?
 * @fresh: it proves that its sender receives there
 *
 * Counts it for its source.
 */
bool budget_allows(struct budget *budget, const struct address *from, bool fresh,
		   struct instant now);

/** budget_spend() - so many keys were tried */
void budget_spend(struct budget *budget, size_t keys);

/** budget_is_spent() - is there nothing left for those who prove nothing? */
bool budget_is_spent(struct budget *budget, struct instant now);

#endif
