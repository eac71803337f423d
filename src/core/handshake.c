/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Noise_NNpsk0_25519_ChaChaPoly_SHA512:
 *
 *	-> psk, e	Init		sealed payload under the PSK alone
 *	<- e, ee	Response	sealed payload under the PSK and Diffie-Hellman
 *
 * In a pattern with a PSK every token e also mixes the public key into the chaining key (Noise 9.2),
 * which is what keeps two Inits under one PSK from sharing a cipher key.  Each token below is a
 * function; each message reads as its line of the pattern.
 *
 * The third message, Retry, is no part of Noise: a keyed hash, by which somebody who has the PSK asks
 * for a proof of the return address before any Diffie-Hellman.
 */
#include "minivpn/handshake.h"

#include "minivpn/wire.h"

#include <assert.h>
#include <sodium.h>
#include <stdalign.h>

#define NOISE_PROTOCOL "Noise_NNpsk0_25519_ChaChaPoly_SHA512"

enum {
	MARKER_BYTES = 4, /* Non-ESP Marker, RFC 3948 section 2.2 */
	RETRY_TAG_BYTES = 16,
	PROLOGUE_BYTES = 39,
	BOUND_BYTES = 28, /* bytes 4 to 31 of an Init or a Retry: type to cookie */
};

/* How all three begin; then the hint (Init, Retry) or the SPI (Response). */
struct head {
	uint8_t marker[MARKER_BYTES];
	uint8_t type;
	uint8_t version;
	uint8_t reserved[2];
};

struct init {
	struct head head;
	uint8_t hint[HINT_BYTES];
	uint8_t cookie[COOKIE_BYTES]; /* zeros when there is none */
	uint8_t ephemeral[EPHEMERAL_BYTES];
	uint8_t sealed[INIT_PAYLOAD_BYTES + NOISE_TAG_BYTES];
};

struct response {
	struct head head;
	be32 first_spi; /* of the Init that it answers */
	uint8_t ephemeral[EPHEMERAL_BYTES];
	uint8_t sealed[]; /* 32 n + 16 bytes, n from 1 to 29 */
};

struct retry {
	struct head head;
	uint8_t hint[HINT_BYTES];
	uint8_t cookie[COOKIE_BYTES];
	uint8_t tag[RETRY_TAG_BYTES];
};

static_assert(sizeof(struct init) == INIT_BYTES && alignof(struct init) == 1, "as on the wire");
static_assert(sizeof(struct response) == RESPONSE_HEAD_BYTES && alignof(struct response) == 1, "");
static_assert(sizeof(struct retry) == RETRY_BYTES && alignof(struct retry) == 1, "");
static_assert(offsetof(struct init, ephemeral) == MARKER_BYTES + BOUND_BYTES, "");
static_assert(offsetof(struct retry, tag) == MARKER_BYTES + BOUND_BYTES, "");
static_assert(RESPONSE_HEAD_BYTES + RESPONSE_PAYLOAD_MAX_BYTES + NOISE_TAG_BYTES ==
		      RESPONSE_MAX_BYTES,
	      "");
static_assert(RESPONSE_MAX_BYTES < INIT_BYTES, "no answer is longer than the question");
static_assert(HINT_BYTES == crypto_shorthash_siphash24_BYTES, "SipHash-2-4");
static_assert(sizeof(struct hint_key) == crypto_shorthash_siphash24_KEYBYTES, "SipHash-2-4");

static struct head head_of(enum control_type type)
{
	return (struct head){ .type = (uint8_t)type, .version = PROTOCOL_VERSION };
}

enum control_type control_classify(const uint8_t *datagram, size_t bytes)
{
	const size_t response_least =
		(size_t)RESPONSE_HEAD_BYTES + RESPONSE_PAYLOAD_STEP + NOISE_TAG_BYTES;
	enum control_type type;
	struct head expected;

	if (bytes < sizeof(struct head))
		return CONTROL_NONE;
	type = ((const struct head *)datagram)->type;
	expected = head_of(type);
	if (memcmp(datagram, &expected, sizeof(expected)) != 0)
		return CONTROL_NONE;

	if (type == CONTROL_INIT && bytes == INIT_BYTES)
		return CONTROL_INIT;
	if (type == CONTROL_RESPONSE && bytes >= response_least && bytes <= RESPONSE_MAX_BYTES &&
	    (bytes - response_least) % RESPONSE_PAYLOAD_STEP == 0)
		return CONTROL_RESPONSE;
	if (type == CONTROL_RETRY && bytes == RETRY_BYTES)
		return CONTROL_RETRY;
	return CONTROL_NONE;
}

const uint8_t *init_hint(const uint8_t *init)
{
	return ((const struct init *)init)->hint;
}

const uint8_t *init_cookie(const uint8_t *init)
{
	return ((const struct init *)init)->cookie;
}

const uint8_t *init_ephemeral(const uint8_t *init)
{
	return ((const struct init *)init)->ephemeral;
}

uint32_t response_first_spi(const uint8_t *response)
{
	return be32_to(((const struct response *)response)->first_spi);
}

/* ---- keys that a PSK yields ---- */

/* One piece of what goes into an HMAC. */
struct piece {
	const void *at;
	size_t bytes;
};

/* First @mac_bytes of HMAC-SHA512(key of @keyed, @pieces one after the other). */
static void hmac_keyed(const crypto_auth_hmacsha512_state *keyed, const struct piece *pieces,
		       size_t count, uint8_t *ret_mac, size_t mac_bytes)
{
	uint8_t mac[crypto_auth_hmacsha512_BYTES];
	crypto_auth_hmacsha512_state state = *keyed;

	for (size_t i = 0; i < count; i++)
		crypto_auth_hmacsha512_update(&state, pieces[i].at, pieces[i].bytes);
	crypto_auth_hmacsha512_final(&state, mac);
	memcpy(ret_mac, mac, mac_bytes);
	sodium_memzero(mac, sizeof(mac));
	sodium_memzero(&state, sizeof(state));
}

static void hmac(const uint8_t key[32], const struct piece *pieces, size_t count, uint8_t *ret_mac,
		 size_t mac_bytes)
{
	crypto_auth_hmacsha512_state keyed;

	crypto_auth_hmacsha512_init(&keyed, key, 32);
	hmac_keyed(&keyed, pieces, count, ret_mac, mac_bytes);
	sodium_memzero(&keyed, sizeof(keyed));
}

static void derive(const crypto_auth_hmacsha512_state *psk, const char *label, enum role initiator,
		   uint8_t *ret_key, size_t key_bytes)
{
	uint8_t role = (uint8_t)initiator;
	struct piece pieces[] = { { label, strlen(label) }, { &role, sizeof(role) } };

	hmac_keyed(psk, pieces, 2, ret_key, key_bytes);
}

static void derive_set(const crypto_auth_hmacsha512_state *psk, const struct noise_psk *token,
		       enum role initiator, struct handshake_keys *ret_keys)
{
	ret_keys->psk = *token;
	ret_keys->role = initiator;
	derive(psk, "minivpn 1 hint ", initiator, ret_keys->hint.b, sizeof(ret_keys->hint.b));
	derive(psk, "minivpn 1 retry ", initiator, ret_keys->retry.b, sizeof(ret_keys->retry.b));
}

void handshake_keys_derive(const struct psk *psk, struct handshake_keys *ret_by_client,
			   struct handshake_keys *ret_by_server)
{
	crypto_auth_hmacsha512_state keyed;
	struct noise_psk token;

	crypto_auth_hmacsha512_init(&keyed, psk->b, sizeof(psk->b));
	noise_psk_derive(&token, NOISE_PROTOCOL, psk->b, sizeof(psk->b));
	if (ret_by_client)
		derive_set(&keyed, &token, ROLE_CLIENT, ret_by_client);
	if (ret_by_server)
		derive_set(&keyed, &token, ROLE_SERVER, ret_by_server);
	noise_psk_wipe(&token);
	sodium_memzero(&keyed, sizeof(keyed));
}

void handshake_keys_wipe(struct handshake_keys *keys)
{
	sodium_memzero(keys, sizeof(*keys));
}

void handshake_hint(const struct hint_key *key, const uint8_t ephemeral[EPHEMERAL_BYTES],
		    uint8_t ret_hint[HINT_BYTES])
{
	crypto_shorthash_siphash24(ret_hint, ephemeral, EPHEMERAL_BYTES, key->b);
}

void sa_key_derive(const uint8_t k[32], uint8_t position, uint32_t spi, struct sa_key *ret_key)
{
	static const char label[] = "minivpn 1 esp";
	static const uint8_t block = 1; /* HKDF-Expand numbers its blocks; we need only one */
	be32 wire_spi = be32_from(spi);
	struct piece pieces[] = {
		{ label, strlen(label) },
		{ &position, sizeof(position) },
		{ &wire_spi, sizeof(wire_spi) },
		{ &block, sizeof(block) },
	};
	uint8_t material[SA_KEY_BYTES + SA_SALT_BYTES];

	hmac(k, pieces, 4, material, sizeof(material));
	memcpy(ret_key->key, material, SA_KEY_BYTES);
	memcpy(ret_key->salt, material + SA_KEY_BYTES, SA_SALT_BYTES);
	sodium_memzero(material, sizeof(material));
}

void split_keys_wipe(struct split_keys *keys)
{
	sodium_memzero(keys, sizeof(*keys));
}

/* ---- the tokens of the pattern ---- */

static void token_psk(struct noise *noise, const struct noise_psk *psk)
{
	noise_mix_psk(noise, psk);
}

/* In the first message: a sealed payload is next. */
static void token_e(struct noise *noise, const uint8_t ephemeral[EPHEMERAL_BYTES])
{
	noise_mix_hash(noise, ephemeral, EPHEMERAL_BYTES);
	noise_mix_key(noise, ephemeral, EPHEMERAL_BYTES);
}

/* In the second: ee is next, with a cipher key of its own. */
static void token_e_before_ee(struct noise *noise, const uint8_t ephemeral[EPHEMERAL_BYTES])
{
	noise_mix_hash(noise, ephemeral, EPHEMERAL_BYTES);
	noise_mix_chain(noise, ephemeral, EPHEMERAL_BYTES);
}

/* False if there is no shared secret: the other end's e is a point of low order. */
static bool token_ee(struct noise *noise, const uint8_t secret[EPHEMERAL_BYTES],
		     const uint8_t remote_ephemeral[EPHEMERAL_BYTES])
{
	uint8_t shared[NOISE_DH_BYTES];
	bool ok = noise_dh(secret, remote_ephemeral, shared);

	if (ok)
		noise_mix_key(noise, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

/* The prologue binds what an Init says in the clear, and who begins: a reflected Init is not one. */
static void begin(struct noise *noise, enum role initiator, const struct init *init)
{
	uint8_t prologue[PROLOGUE_BYTES];
	struct writer w = writer_over(prologue, sizeof(prologue));

	writer_copy(&w, "minivpn 1 ", 10);
	writer_u8(&w, (uint8_t)initiator);
	writer_copy(&w, (const uint8_t *)init + MARKER_BYTES, BOUND_BYTES);
	assert(w.ok && w.left == 0);
	noise_begin(noise, NOISE_PROTOCOL, prologue, sizeof(prologue));
}

/* ---- -> psk, e ---- */

void init_seal(struct attempt *attempt, const struct handshake_keys *keys,
	       const struct cookie *cookie, const uint8_t plaintext[INIT_PAYLOAD_BYTES],
	       uint32_t first_spi, const uint8_t secret[EPHEMERAL_BYTES],
	       uint8_t ret_message[INIT_BYTES])
{
	struct init *init = (struct init *)ret_message;

	attempt->first_spi = first_spi;
	memcpy(attempt->secret, secret, EPHEMERAL_BYTES);
	noise_public(secret, attempt->ephemeral);

	init->head = head_of(CONTROL_INIT);
	handshake_hint(&keys->hint, attempt->ephemeral, init->hint);
	memset(init->cookie, 0, COOKIE_BYTES);
	if (cookie)
		memcpy(init->cookie, cookie->b, COOKIE_BYTES);
	memcpy(init->ephemeral, attempt->ephemeral, EPHEMERAL_BYTES);

	begin(&attempt->noise, keys->role, init);
	token_psk(&attempt->noise, &keys->psk);
	token_e(&attempt->noise, attempt->ephemeral);
	noise_seal(&attempt->noise, plaintext, INIT_PAYLOAD_BYTES, init->sealed);
}

void init_create(struct attempt *attempt, const struct handshake_keys *keys,
		 const struct cookie *cookie, const struct payload *payload,
		 const uint8_t secret[EPHEMERAL_BYTES], uint8_t ret_message[INIT_BYTES])
{
	uint8_t plaintext[INIT_PAYLOAD_BYTES];
	size_t bytes = payload_build(payload, PAYLOAD_INIT, plaintext, sizeof(plaintext));

	assert(bytes <= sizeof(plaintext));
	init_seal(attempt, keys, cookie, plaintext, payload->spi[0], secret, ret_message);
}

enum verdict init_open(struct responder *responder, const struct handshake_keys *keys,
		       const uint8_t message[INIT_BYTES])
{
	const struct init *init = (const struct init *)message;
	uint8_t plaintext[INIT_PAYLOAD_BYTES];
	enum verdict verdict = VERDICT_FORGED;
	struct payload offer;
	struct noise noise;

	begin(&noise, keys->role, init);
	token_psk(&noise, &keys->psk);
	token_e(&noise, init->ephemeral);
	if (noise_cipher_open(&noise.cipher, noise.h, sizeof(noise.h), init->sealed,
			      sizeof(init->sealed), plaintext))
		verdict = payload_parse(plaintext, sizeof(plaintext), PAYLOAD_INIT,
					keys->role == ROLE_SERVER, &offer);

	if (verdict == VERDICT_PASS || verdict == VERDICT_UNKNOWN_ITEM) {
		responder->noise = noise;
		responder->offer = offer;
	}
	noise_wipe(&noise);
	return verdict;
}

/* ---- <- e, ee ---- */

enum verdict response_seal(struct responder *responder, const uint8_t init[INIT_BYTES],
			   const uint8_t *plaintext, size_t bytes,
			   const uint8_t secret[EPHEMERAL_BYTES], uint8_t *ret_message,
			   struct split_keys *ret_keys)
{
	const struct init *answered = (const struct init *)init;
	struct response *response = (struct response *)ret_message;
	struct noise *noise = &responder->noise;
	uint8_t ephemeral[EPHEMERAL_BYTES];
	enum verdict verdict = VERDICT_FORGED;

	noise_mix_hash(noise, answered->sealed, sizeof(answered->sealed));
	noise_public(secret, ephemeral);
	token_e_before_ee(noise, ephemeral);
	if (token_ee(noise, secret, answered->ephemeral)) {
		response->head = head_of(CONTROL_RESPONSE);
		response->first_spi = be32_from(responder->offer.spi[0]);
		memcpy(response->ephemeral, ephemeral, EPHEMERAL_BYTES);
		/* The last message: nothing comes that its hash would go into. */
		noise_cipher_seal(&noise->cipher, noise->h, sizeof(noise->h), plaintext, bytes,
				  response->sealed);
		noise_split(noise, ret_keys->k1, ret_keys->k2);
		verdict = VERDICT_PASS;
	}
	responder_wipe(responder);
	return verdict;
}

enum verdict response_create(struct responder *responder, const uint8_t init[INIT_BYTES],
			     const struct payload *answer, const uint8_t secret[EPHEMERAL_BYTES],
			     uint8_t *ret_message, size_t *ret_bytes, struct split_keys *ret_keys)
{
	uint8_t plaintext[RESPONSE_PAYLOAD_MAX_BYTES];
	size_t bytes = payload_build(answer, PAYLOAD_RESPONSE, plaintext, sizeof(plaintext));
	enum verdict verdict;

	if (bytes > sizeof(plaintext)) {
		responder_wipe(responder);
		return VERDICT_BAD_PAYLOAD;
	}
	bytes = (bytes + RESPONSE_PAYLOAD_STEP - 1) / RESPONSE_PAYLOAD_STEP * RESPONSE_PAYLOAD_STEP;
	verdict = response_seal(responder, init, plaintext, bytes, secret, ret_message, ret_keys);
	if (verdict == VERDICT_PASS)
		*ret_bytes = RESPONSE_HEAD_BYTES + bytes + NOISE_TAG_BYTES;
	return verdict;
}

enum verdict response_open(const struct attempt *attempt, const uint8_t *message, size_t bytes,
			   struct noise *ret_noise, uint8_t *ret_plaintext)
{
	const struct response *response = (const struct response *)message;

	if (response_first_spi(message) != attempt->first_spi)
		return VERDICT_FORGED;
	*ret_noise = attempt->noise;
	token_e_before_ee(ret_noise, response->ephemeral);
	if (token_ee(ret_noise, attempt->secret, response->ephemeral) &&
	    noise_open(ret_noise, response->sealed, bytes - RESPONSE_HEAD_BYTES, ret_plaintext))
		return VERDICT_PASS;
	noise_wipe(ret_noise);
	return VERDICT_FORGED;
}

enum verdict response_consume(const struct attempt *attempt, const uint8_t *message, size_t bytes,
			      bool from_server, struct payload *ret_answer,
			      struct split_keys *ret_keys)
{
	uint8_t plaintext[RESPONSE_PAYLOAD_MAX_BYTES];
	enum verdict verdict;
	struct noise noise;

	verdict = response_open(attempt, message, bytes, &noise, plaintext);
	if (verdict != VERDICT_PASS)
		return verdict;
	verdict = payload_parse(plaintext, bytes - RESPONSE_HEAD_BYTES - NOISE_TAG_BYTES,
				PAYLOAD_RESPONSE, from_server, ret_answer);
	if (verdict == VERDICT_PASS && ret_answer->refusal == REFUSAL_NONE)
		noise_split(&noise, ret_keys->k1, ret_keys->k2);
	noise_wipe(&noise);
	return verdict;
}

void attempt_wipe(struct attempt *attempt)
{
	sodium_memzero(attempt, sizeof(*attempt));
}

void responder_wipe(struct responder *responder)
{
	sodium_memzero(responder, sizeof(*responder));
}

/* ---- Retry ---- */

static void retry_tag(const struct handshake_keys *keys, const struct retry *retry,
		      const uint8_t ephemeral[EPHEMERAL_BYTES], uint8_t ret_tag[RETRY_TAG_BYTES])
{
	struct piece pieces[] = {
		{ (const uint8_t *)retry + MARKER_BYTES, BOUND_BYTES },
		{ ephemeral, EPHEMERAL_BYTES },
	};

	hmac(keys->retry.b, pieces, 2, ret_tag, RETRY_TAG_BYTES);
}

void retry_create(const struct handshake_keys *keys, const uint8_t hint[HINT_BYTES],
		  const struct cookie *cookie, const uint8_t ephemeral[EPHEMERAL_BYTES],
		  uint8_t ret_message[RETRY_BYTES])
{
	struct retry *retry = (struct retry *)ret_message;

	retry->head = head_of(CONTROL_RETRY);
	memcpy(retry->hint, hint, HINT_BYTES);
	memcpy(retry->cookie, cookie->b, COOKIE_BYTES);
	retry_tag(keys, retry, ephemeral, retry->tag);
}

bool retry_consume(const struct handshake_keys *keys, const uint8_t ephemeral[EPHEMERAL_BYTES],
		   const uint8_t message[RETRY_BYTES], struct cookie *ret_cookie)
{
	const struct retry *retry = (const struct retry *)message;
	uint8_t tag[RETRY_TAG_BYTES];

	retry_tag(keys, retry, ephemeral, tag);
	if (sodium_memcmp(tag, retry->tag, sizeof(tag)) != 0)
		return false;
	memcpy(ret_cookie->b, retry->cookie, COOKIE_BYTES);
	return true;
}

/* ---- cookies ---- */

void cookie_make(const uint8_t secret[32], const struct endpoint *remote, struct cookie *ret_cookie)
{
	be16 port = be16_from(remote->remote_port);
	struct piece pieces[] = {
		{ remote->remote.b, sizeof(remote->remote.b) },
		{ &port, sizeof(port) },
	};

	hmac(secret, pieces, 2, ret_cookie->b, COOKIE_BYTES);
}

bool cookie_equal(const struct cookie *a, const struct cookie *b)
{
	return sodium_memcmp(a->b, b->b, COOKIE_BYTES) == 0;
}

bool cookie_is_none(const struct cookie *cookie)
{
	return sodium_is_zero(cookie->b, COOKIE_BYTES);
}
