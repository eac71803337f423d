/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "budget.h"

#include <string.h>

void budget_begin(struct budget *budget, uint32_t search_ns,
		  const uint8_t key[crypto_shorthash_siphash24_KEYBYTES], struct instant now)
{
	*budget = (struct budget){ .search_ns = search_ns ? search_ns : SEARCH_NS_USUAL,
				   .left_ns = BUDGET_ROOM,
				   .filled = now };
	memcpy(budget->key, key, sizeof(budget->key));
}

static void fill(struct budget *budget, struct instant now)
{
	int64_t passed_ns = instant_since(now, budget->filled);

	budget->filled = now;
	if (passed_ns > BUDGET_SHARE * (BUDGET_ROOM - budget->left_ns))
		budget->left_ns = BUDGET_ROOM;
	else if (passed_ns > 0)
		budget->left_ns += passed_ns / BUDGET_SHARE;
}

static struct address source_of(const struct address *from)
{
	struct address prefix = *from;

	if (!address_is_ipv4(from))
		memset(prefix.b + 8, 0, 8);
	return prefix;
}

static bool source_may_search(struct budget *budget, const struct address *from, struct instant now)
{
	struct address prefix = source_of(from);
	uint8_t hash[crypto_shorthash_siphash24_BYTES];
	unsigned at;

	crypto_shorthash_siphash24(hash, prefix.b, sizeof(prefix.b), budget->key);
	at = hash[0] % BUDGET_SOURCES;
	if (!address_equal(&budget->source[at].prefix, &prefix) ||
	    instant_since(now, budget->source[at].second) >= NS_PER_S) {
		budget->source[at].prefix = prefix;
		budget->source[at].second = now;
		budget->source[at].searches = 0;
	}
	return budget->source[at].searches++ < SEARCHES_A_SECOND;
}

bool budget_allows(struct budget *budget, const struct address *from, bool fresh,
		   struct instant now)
{
	fill(budget, now);
	if (budget->left_ns <= (fresh ? 0 : BUDGET_ROOM / 2))
		return false;
	return source_may_search(budget, from, now);
}

void budget_spend(struct budget *budget, size_t keys)
{
	budget->left_ns -= (int64_t)(keys * budget->search_ns / 1000);
}

bool budget_is_spent(struct budget *budget, struct instant now)
{
	fill(budget, now);
	return budget->left_ns <= BUDGET_ROOM / 2;
}
