/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no two keys of one server may have in common: the key itself, the name, an address, a network.
 * A table of who has claimed what, so that ten thousand keys are compared in one pass, and one more
 * with ten thousand at once.  Pure.
 */
#ifndef MINIVPN_KEYS_CLAIMS_H
#define MINIVPN_KEYS_CLAIMS_H

#include "keys/keytext.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct psk_mark - by which equal keys are known as equal without being kept; no secret */
struct psk_mark {
	uint8_t b[16];
};

/** psk_mark() - the first bytes of SHA-512("minivpn key mark " | key) */
struct psk_mark psk_mark(const struct psk *psk);

/**
 * struct claimant - a key that claims what is in it
 * @file: name of its file, for complaints
 * @key:  what it says; its secrets are not looked at
 * @psk, @old_psk: marks of its secrets; the second counts if the key has one
 */
struct claimant {
	const char *file;
	const struct keytext *key;
	struct psk_mark psk, old_psk;
};

struct claim;

/**
 * struct claims - the table; zeroed, it is empty and ready
 * @slot, @slots: open addressing; a power of two, at most half of it in use
 * @used: how many are
 */
struct claims {
	struct claim *slot;
	size_t slots, used;
};

/**
 * claims_make() - claim all that is in a key
 * @claimant:  does not move or change until claims_drop() or claims_close()
 * @ret_other: who was first, if somebody was
 *
 * Return: NULL; or what the two have in common, in a word: then claims_drop() has to undo the rest
 */
const char *claims_make(struct claims *claims, const struct claimant *claimant,
			const struct claimant **ret_other);

/** claims_drop() - give up whatever @claimant has claimed */
void claims_drop(struct claims *claims, const struct claimant *claimant);

/** claims_of_name() - whose name is that?  NULL if nobody's */
const struct claimant *claims_of_name(const struct claims *claims, const char *name);

/** claims_of_address() - whose address is that?  NULL if nobody's */
const struct claimant *claims_of_address(const struct claims *claims,
					 const struct address *address);

/** claims_close() - a zeroed one is fine */
void claims_close(struct claims *claims);

#endif
