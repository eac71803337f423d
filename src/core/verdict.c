/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/verdict.h"

#include <assert.h>

static const char *const names[] = {
#define X(constant, name, words) name,
	VERDICTS(X)
#undef X
};

static const char *const words_for_people[] = {
#define X(constant, name, words) words,
	VERDICTS(X)
#undef X
};

static_assert(sizeof(names) / sizeof(*names) == VERDICT_COUNT, "every verdict has a name");

const char *verdict_name(enum verdict v)
{
	return (unsigned)v < VERDICT_COUNT ? names[v] : "?";
}

const char *verdict_words(enum verdict v)
{
	return (unsigned)v < VERDICT_COUNT ? words_for_people[v] : "?";
}
