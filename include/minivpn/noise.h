/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Noise Protocol Framework (revision 34) with 25519, ChaChaPoly and SHA512: the symmetric state
 * that every handshake pattern is made of, and Diffie-Hellman.  Which pattern, is the caller's
 * business: handshake.h speaks NNpsk0.
 */
#ifndef MINIVPN_NOISE_H
#define MINIVPN_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NOISE_HASH_BYTES = 64, /* HASHLEN of SHA512 */
	NOISE_KEY_BYTES = 32,
	NOISE_TAG_BYTES = 16,
	NOISE_DH_BYTES = 32, /* DHLEN of 25519, private and public */
};

/**
 * struct noise_cipher - a key and how often it has been used (CipherState, 5.1); secret
 * @k: ChaCha20-Poly1305 key
 * @n: nonce of the next operation
 */
struct noise_cipher {
	uint8_t k[NOISE_KEY_BYTES];
	uint64_t n;
};

/**
 * noise_cipher_seal() - EncryptWithAd
 * @associated, @associated_bytes: authenticated along with it; may be NULL, 0
 * @plaintext, @bytes:             any length
 * @ret_sealed:                    @bytes + NOISE_TAG_BYTES; may be @plaintext
 */
void noise_cipher_seal(struct noise_cipher *cipher, const uint8_t *associated,
		       size_t associated_bytes, const uint8_t *plaintext, size_t bytes,
		       uint8_t *ret_sealed);

/**
 * noise_cipher_open() - DecryptWithAd
 * @sealed, @bytes: tag included
 * @ret_plaintext:  @bytes - NOISE_TAG_BYTES; may be @sealed
 *
 * Return: false if it does not verify; then @cipher is unchanged and @ret_plaintext zeroed at most
 */
bool noise_cipher_open(struct noise_cipher *cipher, const uint8_t *associated,
		       size_t associated_bytes, const uint8_t *sealed, size_t bytes,
		       uint8_t *ret_plaintext);

void noise_cipher_wipe(struct noise_cipher *cipher);

/**
 * struct noise - state of one end of one handshake (SymmetricState, 5.2); secret
 * @h:      hash of all that both ends have said
 * @ck:     chaining key, of all that they share
 * @cipher: of the next payload
 */
struct noise {
	uint8_t h[NOISE_HASH_BYTES];
	uint8_t ck[NOISE_HASH_BYTES];
	struct noise_cipher cipher;
};

/**
 * noise_begin() - InitializeSymmetric, and MixHash of the prologue
 * @protocol: name of the protocol, at most NOISE_HASH_BYTES characters
 *
 * There is no cipher key before the first noise_mix_key*(): a pattern that encrypts nothing at
 * first has to call noise_mix_hash() for itself.
 */
void noise_begin(struct noise *noise, const char *protocol, const uint8_t *prologue, size_t bytes);

/** noise_mix_hash() - MixHash */
void noise_mix_hash(struct noise *noise, const uint8_t *said, size_t bytes);

/** noise_mix_key() - MixKey */
void noise_mix_key(struct noise *noise, const uint8_t *shared, size_t bytes);

/** noise_mix_chain() - MixKey without the cipher key, where another follows before it would be used */
void noise_mix_chain(struct noise *noise, const uint8_t *shared, size_t bytes);

/**
 * struct noise_psk - what a PSK contributes as the first token of a pattern; secret
 * @ck:   the chaining key that it leaves
 * @said: what of it goes into the hash
 *
 * The chaining key before the first token is the name of the protocol.  So MixKeyAndHash(psk), which is a
 * third of what it takes to read a first message, is the same in all handshakes with one PSK.
 */
struct noise_psk {
	uint8_t ck[NOISE_HASH_BYTES];
	uint8_t said[NOISE_HASH_BYTES];
};

/** noise_psk_derive() - @protocol as of noise_begin(); @psk of any length */
void noise_psk_derive(struct noise_psk *derived, const char *protocol, const uint8_t *psk,
		      size_t bytes);
void noise_psk_wipe(struct noise_psk *derived);

/**
 * noise_mix_psk() - the token psk, straight after noise_begin() with the same protocol
 *
 * As noise_mix_chain(): where a token psk comes first, e and with it noise_mix_key() is next.
 */
void noise_mix_psk(struct noise *noise, const struct noise_psk *derived);

/** noise_seal() - EncryptAndHash; arguments as of noise_cipher_seal() */
void noise_seal(struct noise *noise, const uint8_t *plaintext, size_t bytes, uint8_t *ret_sealed);

/**
 * noise_open() - DecryptAndHash; arguments as of noise_cipher_open(), but not in place
 *
 * Return: false if it does not verify; then @noise is unchanged
 */
bool noise_open(struct noise *noise, const uint8_t *sealed, size_t bytes, uint8_t *ret_plaintext);

/**
 * noise_split() - the keys of the session
 * @ret_k1: initiator to responder
 * @ret_k2: responder to initiator
 */
void noise_split(const struct noise *noise, uint8_t ret_k1[NOISE_KEY_BYTES],
		 uint8_t ret_k2[NOISE_KEY_BYTES]);

void noise_wipe(struct noise *noise);

/** noise_public() - the public half of a 25519 private key, which may be any 32 random bytes */
void noise_public(const uint8_t secret[NOISE_DH_BYTES], uint8_t ret_public[NOISE_DH_BYTES]);

/**
 * noise_dh() - X25519
 *
 * Return: false, and @ret_shared of no meaning, if the result is all zero: the other end sent a point
 * of low order, and the "secret" would be known to everybody (RFC 7748 section 6.1)
 */
bool noise_dh(const uint8_t secret[NOISE_DH_BYTES], const uint8_t remote_public[NOISE_DH_BYTES],
	      uint8_t ret_shared[NOISE_DH_BYTES]);

#endif
