/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/noise.h"

#include "minivpn/wire.h"

#include <assert.h>
#include <sodium.h>

static_assert(NOISE_HASH_BYTES == crypto_hash_sha512_BYTES, "HASHLEN");
static_assert(NOISE_HASH_BYTES == crypto_auth_hmacsha512_BYTES, "HMAC-HASH");
static_assert(NOISE_KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "ChaChaPoly");
static_assert(NOISE_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "ChaChaPoly");
static_assert(NOISE_DH_BYTES == crypto_scalarmult_curve25519_BYTES, "DHLEN");

/* ---- HKDF (4.3): outputs, each the HMAC of the one before and its number ---- */

enum { HKDF_OUTPUTS_MAX = 2 }; /* of three: the third would be a cipher key that is never used */

/**
 * struct hkdf - outputs of one derivation; secret
 */
struct hkdf {
	uint8_t output[HKDF_OUTPUTS_MAX][NOISE_HASH_BYTES];
};

/* A key costs HMAC as much as two blocks of message: the one that all outputs have in common is taken
 * in once. */
static void hkdf(struct hkdf *hkdf, const uint8_t ck[NOISE_HASH_BYTES], const uint8_t *material,
		 size_t bytes, uint8_t outputs)
{
	crypto_auth_hmacsha512_state keyed, state;
	uint8_t temp_key[NOISE_HASH_BYTES];

	crypto_auth_hmacsha512_init(&state, ck, NOISE_HASH_BYTES);
	crypto_auth_hmacsha512_update(&state, material, bytes);
	crypto_auth_hmacsha512_final(&state, temp_key);
	crypto_auth_hmacsha512_init(&keyed, temp_key, sizeof(temp_key));
	for (uint8_t i = 0; i < outputs; i++) {
		uint8_t number = (uint8_t)(i + 1);

		state = keyed;
		if (i > 0)
			crypto_auth_hmacsha512_update(&state, hkdf->output[i - 1],
						      NOISE_HASH_BYTES);
		crypto_auth_hmacsha512_update(&state, &number, 1);
		crypto_auth_hmacsha512_final(&state, hkdf->output[i]);
	}
	sodium_memzero(temp_key, sizeof(temp_key));
	sodium_memzero(&keyed, sizeof(keyed));
	sodium_memzero(&state, sizeof(state));
}

/* ---- CipherState (5.1) ---- */

struct nonce {
	uint8_t b[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
};

/* Four zero bytes, then the counter; little-endian, unlike everything else here (12.3). */
static struct nonce nonce_of(uint64_t n)
{
	struct nonce nonce = { { 0 } };

	for (size_t i = 0; i < sizeof(n); i++)
		nonce.b[4 + i] = (uint8_t)(n >> 8 * i);
	return nonce;
}

void noise_cipher_seal(struct noise_cipher *cipher, const uint8_t *associated,
		       size_t associated_bytes, const uint8_t *plaintext, size_t bytes,
		       uint8_t *ret_sealed)
{
	struct nonce nonce = nonce_of(cipher->n++);

	crypto_aead_chacha20poly1305_ietf_encrypt(ret_sealed, NULL, plaintext, bytes, associated,
						  associated_bytes, NULL, nonce.b, cipher->k);
}

bool noise_cipher_open(struct noise_cipher *cipher, const uint8_t *associated,
		       size_t associated_bytes, const uint8_t *sealed, size_t bytes,
		       uint8_t *ret_plaintext)
{
	struct nonce nonce = nonce_of(cipher->n);

	if (crypto_aead_chacha20poly1305_ietf_decrypt(ret_plaintext, NULL, NULL, sealed, bytes,
						      associated, associated_bytes, nonce.b,
						      cipher->k) != 0)
		return false;
	cipher->n++;
	return true;
}

void noise_cipher_wipe(struct noise_cipher *cipher)
{
	sodium_memzero(cipher, sizeof(*cipher));
}

/* ---- SymmetricState (5.2) ---- */

/* A name as long as the hash or shorter is not hashed, but filled up with zeros. */
static void fill_with_name(uint8_t ret[NOISE_HASH_BYTES], const char *protocol)
{
	size_t bytes = strlen(protocol);

	assert(bytes <= NOISE_HASH_BYTES);
	memset(ret, 0, NOISE_HASH_BYTES);
	memcpy(ret, protocol, bytes);
}

void noise_begin(struct noise *noise, const char *protocol, const uint8_t *prologue, size_t bytes)
{
	*noise = (struct noise){ 0 };
	fill_with_name(noise->h, protocol);
	memcpy(noise->ck, noise->h, NOISE_HASH_BYTES);
	noise_mix_hash(noise, prologue, bytes);
}

void noise_mix_hash(struct noise *noise, const uint8_t *said, size_t bytes)
{
	crypto_hash_sha512_state state;

	crypto_hash_sha512_init(&state);
	crypto_hash_sha512_update(&state, noise->h, NOISE_HASH_BYTES);
	crypto_hash_sha512_update(&state, said, bytes);
	crypto_hash_sha512_final(&state, noise->h);
	sodium_memzero(&state, sizeof(state));
}

static void new_cipher(struct noise *noise, const uint8_t key[NOISE_HASH_BYTES])
{
	memcpy(noise->cipher.k, key, NOISE_KEY_BYTES);
	noise->cipher.n = 0;
}

void noise_mix_key(struct noise *noise, const uint8_t *shared, size_t bytes)
{
	struct hkdf derived;

	hkdf(&derived, noise->ck, shared, bytes, 2);
	memcpy(noise->ck, derived.output[0], NOISE_HASH_BYTES);
	new_cipher(noise, derived.output[1]);
	sodium_memzero(&derived, sizeof(derived));
}

void noise_mix_chain(struct noise *noise, const uint8_t *shared, size_t bytes)
{
	struct hkdf derived;

	hkdf(&derived, noise->ck, shared, bytes, 1);
	memcpy(noise->ck, derived.output[0], NOISE_HASH_BYTES);
	sodium_memzero(&derived, sizeof(derived));
}

void noise_psk_derive(struct noise_psk *derived, const char *protocol, const uint8_t *psk,
		      size_t bytes)
{
	uint8_t ck[NOISE_HASH_BYTES];
	struct hkdf outputs;

	fill_with_name(ck, protocol);
	hkdf(&outputs, ck, psk, bytes, 2);
	memcpy(derived->ck, outputs.output[0], NOISE_HASH_BYTES);
	memcpy(derived->said, outputs.output[1], NOISE_HASH_BYTES);
	sodium_memzero(&outputs, sizeof(outputs));
}

void noise_psk_wipe(struct noise_psk *derived)
{
	sodium_memzero(derived, sizeof(*derived));
}

void noise_mix_psk(struct noise *noise, const struct noise_psk *derived)
{
	memcpy(noise->ck, derived->ck, NOISE_HASH_BYTES);
	noise_mix_hash(noise, derived->said, NOISE_HASH_BYTES);
}

void noise_seal(struct noise *noise, const uint8_t *plaintext, size_t bytes, uint8_t *ret_sealed)
{
	noise_cipher_seal(&noise->cipher, noise->h, NOISE_HASH_BYTES, plaintext, bytes, ret_sealed);
	noise_mix_hash(noise, ret_sealed, bytes + NOISE_TAG_BYTES);
}

bool noise_open(struct noise *noise, const uint8_t *sealed, size_t bytes, uint8_t *ret_plaintext)
{
	if (!noise_cipher_open(&noise->cipher, noise->h, NOISE_HASH_BYTES, sealed, bytes,
			       ret_plaintext))
		return false;
	noise_mix_hash(noise, sealed, bytes);
	return true;
}

void noise_split(const struct noise *noise, uint8_t ret_k1[NOISE_KEY_BYTES],
		 uint8_t ret_k2[NOISE_KEY_BYTES])
{
	struct hkdf derived;

	hkdf(&derived, noise->ck, NULL, 0, 2);
	memcpy(ret_k1, derived.output[0], NOISE_KEY_BYTES);
	memcpy(ret_k2, derived.output[1], NOISE_KEY_BYTES);
	sodium_memzero(&derived, sizeof(derived));
}

void noise_wipe(struct noise *noise)
{
	sodium_memzero(noise, sizeof(*noise));
}

/* ---- Diffie-Hellman ---- */

void noise_public(const uint8_t secret[NOISE_DH_BYTES], uint8_t ret_public[NOISE_DH_BYTES])
{
	crypto_scalarmult_curve25519_base(ret_public, secret);
}

/* libsodium returns -1 for an all-zero result. */
bool noise_dh(const uint8_t secret[NOISE_DH_BYTES], const uint8_t remote_public[NOISE_DH_BYTES],
	      uint8_t ret_shared[NOISE_DH_BYTES])
{
	return crypto_scalarmult_curve25519(ret_shared, secret, remote_public) == 0;
}
