/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/key.h"

#include <sodium.h>

void psk_wipe(struct psk *psk)
{
	sodium_memzero(psk, sizeof(*psk));
}

bool psk_is_zero(const struct psk *psk)
{
	return sodium_is_zero(psk->b, sizeof(psk->b));
}

bool psk_equal(const struct psk *a, const struct psk *b)
{
	return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

void sa_key_wipe(struct sa_key *key)
{
	sodium_memzero(key, sizeof(*key));
}
