/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Key types.  Each kind of key is a struct of one array, so that handing one where another is
 * wanted does not compile.  Whoever creates a secret wipes it on every way out.
 */
#ifndef MINIVPN_KEY_H
#define MINIVPN_KEY_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PSK_BYTES = 32,
	SA_KEY_BYTES = 32,
	SA_SALT_BYTES = 4,
};

/** struct psk - the pre-shared key of a peer, 256 bits from the kernel's randomness */
struct psk {
	uint8_t b[PSK_BYTES];
};

/** psk_wipe() - overwrite the key, in a way the compiler cannot leave out */
void psk_wipe(struct psk *psk);

/** psk_is_zero() - all zero?  Such a key is no key and is refused wherever one is read */
bool psk_is_zero(const struct psk *psk);

/** psk_equal() - the same key?  In constant time */
bool psk_equal(const struct psk *a, const struct psk *b);

/**
 * struct sa_key - key material of one SA in one direction, as RFC 7634 section 2 lays it out
 * @key:  ChaCha20-Poly1305 key
 * @salt: first four bytes of every nonce
 */
struct sa_key {
	uint8_t key[SA_KEY_BYTES];
	uint8_t salt[SA_SALT_BYTES];
};

void sa_key_wipe(struct sa_key *key);

#endif
