/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign_table.h"

#include <stdlib.h>
#include <string.h>

enum {
	DEPTH_MAX = 32,
	/* Of somebody with tens of thousands of rules: some milliseconds. */
	RULES_LOOKED_AT_MAX = 1000000,
	ROOM_FIRST = 64,
};

void foreign_table_add(struct foreign_table *table, const struct foreign_rule *rule)
{
	bool is_full = table->count == 0 ||
		       (table->count >= ROOM_FIRST && (table->count & (table->count - 1)) == 0);
	struct foreign_rule *more;

	table->counted |= rule->counted;
	table->uncounted |= !rule->counted;
	if (rule->match == FOREIGN_NO || rule->verdict == FOREIGN_GOES_ON || table->incomplete)
		return;
	if (is_full) {
		more = reallocarray(table->rule, table->count ? 2 * table->count : ROOM_FIRST,
				    sizeof(*more));
		table->incomplete = !more;
		if (!more)
			return;
		table->rule = more;
	}
	table->rule[table->count++] = *rule;
}

void foreign_table_free(struct foreign_table *table)
{
	free(table->rule);
	memset(table, 0, sizeof(*table));
}

bool foreign_table_has(const struct foreign_table *table, const char *prefix)
{
	size_t bytes = strlen(prefix);

	for (size_t i = 0; i < table->count; i++)
		if (strncmp(table->rule[i].chain, prefix, bytes) == 0 ||
		    strncmp(table->rule[i].target, prefix, bytes) == 0)
			return true;
	return false;
}

/* What becomes of a packet in a chain. */
enum end { END_PASSES, END_ACCEPTED, END_DROPPED };

struct walk {
	const struct foreign_table *table;
	size_t steps;
};

static enum end follow(struct walk *walk, const char *chain, bool narrowed, int depth);

/* To some chain: one that takes what is meant for us is enough. */
static enum end follow_any(struct walk *walk, int depth)
{
	const struct foreign_rule *rule = walk->table->rule;

	for (size_t i = 0; i < walk->table->count; i++)
		if (rule[i].verdict == FOREIGN_ACCEPT && rule[i].named)
			return END_ACCEPTED;
	return depth > DEPTH_MAX ? END_ACCEPTED : END_PASSES;
}

/* A rule that may lead elsewhere.  @ret_left: the chain is left by it. */
static enum end follow_rule(struct walk *walk, const struct foreign_rule *rule, bool narrowed,
			    int depth, bool *ret_left)
{
	bool sure = rule->match == FOREIGN_YES && !rule->narrowed;
	enum end end = END_PASSES;

	*ret_left = false;
	switch (rule->verdict) {
	case FOREIGN_ACCEPT:
		return rule->named || !(narrowed || rule->narrowed) ? END_ACCEPTED : END_PASSES;
	case FOREIGN_DROP:
		return sure ? END_DROPPED : END_PASSES;
	case FOREIGN_RETURN:
		*ret_left = sure;
		return END_PASSES;
	case FOREIGN_JUMP:
	case FOREIGN_GOTO:
		end = follow(walk, rule->target, narrowed || rule->narrowed, depth + 1);
		*ret_left = sure && rule->verdict == FOREIGN_GOTO;
		return end == END_DROPPED && !sure ? END_PASSES : end;
	case FOREIGN_ANYWHERE:
		return follow_any(walk, depth);
	case FOREIGN_GOES_ON:
		break;
	}
	return END_PASSES;
}

static enum end follow(struct walk *walk, const char *chain, bool narrowed, int depth)
{
	bool may_have_left = false, left;

	for (size_t i = 0; i < walk->table->count; i++) {
		const struct foreign_rule *rule = &walk->table->rule[i];
		enum end end;

		if (++walk->steps > RULES_LOOKED_AT_MAX || depth > DEPTH_MAX)
			return END_ACCEPTED;
		if (strcmp(rule->chain, chain) != 0)
			continue;
		end = follow_rule(walk, rule, narrowed, depth, &left);
		may_have_left |= rule->verdict == FOREIGN_RETURN;
		if (end == END_DROPPED && may_have_left)
			return END_PASSES;
		if (end != END_PASSES || left)
			return end;
	}
	return END_PASSES;
}

bool foreign_table_drops(const struct foreign_table *table, const char *chain, bool policy_drops)
{
	struct walk walk = { .table = table };
	enum end end = table->incomplete ? END_ACCEPTED : follow(&walk, chain, false, 0);

	return end == END_DROPPED || (end == END_PASSES && policy_drops);
}
