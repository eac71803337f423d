/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handshake: Noise_NNpsk0_25519_ChaChaPoly_SHA512 in three messages, Init, Response and Retry
 * (docs/protocol.md section 3).  Create and consume, each a pure step: random bytes are arguments, no
 * peer, no timer, no retry is known here.  A step that fails has changed nothing.
 */
#ifndef MINIVPN_HANDSHAKE_H
#define MINIVPN_HANDSHAKE_H

#include "minivpn/key.h"
#include "minivpn/noise.h"
#include "minivpn/payload.h"
#include "minivpn/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	INIT_BYTES = 1024,
	INIT_PAYLOAD_BYTES = 944,
	RESPONSE_MAX_BYTES = 988,
	RESPONSE_PAYLOAD_MAX_BYTES = 928,
	RESPONSE_PAYLOAD_STEP = 32, /* what its payload is padded to a multiple of */
	RESPONSE_HEAD_BYTES = 44,
	RETRY_BYTES = 48,
	HINT_BYTES = 8,
	COOKIE_BYTES = 16,
	EPHEMERAL_BYTES = NOISE_DH_BYTES,
	PROTOCOL_VERSION = 1,
};

/* The initiator's role is part of the prologue and of the keys derived from the PSK, so that no end
 * ever accepts or answers its own reflected Init. */
enum role { ROLE_CLIENT = 'C', ROLE_SERVER = 'S' };

struct hint_key {
	uint8_t b[16];
};
struct retry_key {
	uint8_t b[32];
};
struct cookie {
	uint8_t b[COOKIE_BYTES];
};

/**
 * struct handshake_keys - what a PSK yields for handshakes begun by one role; secret
 * @psk:   the token psk
 * @role:  the initiator's role
 * @hint:  K_hint
 * @retry: K_retry
 */
struct handshake_keys {
	struct noise_psk psk;
	enum role role;
	struct hint_key hint;
	struct retry_key retry;
};

/**
 * handshake_keys_derive() - both sets that @psk yields, or one of them
 * @ret_by_client: for handshakes that the client begins, or NULL
 * @ret_by_server: likewise
 */
void handshake_keys_derive(const struct psk *psk, struct handshake_keys *ret_by_client,
			   struct handshake_keys *ret_by_server);
void handshake_keys_wipe(struct handshake_keys *keys);

/** handshake_hint() - SipHash-2-4(@key, @ephemeral), 8 bytes as libsodium writes them */
void handshake_hint(const struct hint_key *key, const uint8_t ephemeral[EPHEMERAL_BYTES],
		    uint8_t ret_hint[HINT_BYTES]);

/** enum control_type - kind of a control message, by its form alone */
enum control_type { CONTROL_INIT = 1, CONTROL_RESPONSE = 2, CONTROL_RETRY = 3, CONTROL_NONE = 0 };

/**
 * control_classify() - marker, type, version, reserved and length: which message is it?
 * @datagram: UDP payload that begins with the Non-ESP Marker
 *
 * Return: the kind, or CONTROL_NONE for whatever is not exactly right: dropped without an answer
 */
enum control_type control_classify(const uint8_t *datagram, size_t bytes);

/* Fields of messages that control_classify() has taken. */
const uint8_t *init_hint(const uint8_t *init);
const uint8_t *init_cookie(const uint8_t *init);
const uint8_t *init_ephemeral(const uint8_t *init);
uint32_t response_first_spi(const uint8_t *response);

/**
 * struct attempt - an Init of ours that may still be answered
 * @noise:     state after message 1
 * @secret:    our ephemeral private key
 * @ephemeral: the public half, e
 * @first_spi: first SPI of its payload, by which a Response names it
 *
 * Secret: wipe with attempt_wipe() when a Response is taken or the attempt is over.
 */
struct attempt {
	struct noise noise;
	uint8_t secret[EPHEMERAL_BYTES];
	uint8_t ephemeral[EPHEMERAL_BYTES];
	uint32_t first_spi;
};

void attempt_wipe(struct attempt *attempt);

/** struct split_keys - what Noise Split() yields; k1 is initiator to responder */
struct split_keys {
	uint8_t k1[32], k2[32];
};

void split_keys_wipe(struct split_keys *keys);

/**
 * init_create() - message 1
 * @attempt:     filled
 * @keys:        of our own role
 * @cookie:      the newest cookie for this address, or NULL
 * @payload:     our items; its SPIs have to be fresh
 * @secret:      32 random bytes, used for this Init only
 * @ret_message: INIT_BYTES
 */
void init_create(struct attempt *attempt, const struct handshake_keys *keys,
		 const struct cookie *cookie, const struct payload *payload,
		 const uint8_t secret[EPHEMERAL_BYTES], uint8_t ret_message[INIT_BYTES]);

/**
 * init_seal() - message 1 around a payload as it stands; init_create() with the items built already
 * @plaintext: the payload, padding included
 * @first_spi: first SPI in it
 */
void init_seal(struct attempt *attempt, const struct handshake_keys *keys,
	       const struct cookie *cookie, const uint8_t plaintext[INIT_PAYLOAD_BYTES],
	       uint32_t first_spi, const uint8_t secret[EPHEMERAL_BYTES],
	       uint8_t ret_message[INIT_BYTES]);

/**
 * struct responder - an Init that was opened and not yet answered; secret
 * @noise: state after message 1, but for its last MixHash: most of what it costs to read an Init, and
 *         for nothing where a Retry is the answer
 * @offer: the initiator's items
 */
struct responder {
	struct noise noise;
	struct payload offer;
};

void responder_wipe(struct responder *responder);

/**
 * init_open() - decrypt and read message 1; no Diffie-Hellman yet
 * @responder: filled on VERDICT_PASS and VERDICT_UNKNOWN_ITEM
 * @keys:      of the initiator's role
 * @message:   an Init that control_classify() has taken
 *
 * Return: VERDICT_PASS; VERDICT_FORGED; VERDICT_BAD_PAYLOAD; VERDICT_UNKNOWN_ITEM (to be answered by a
 * refusal)
 */
enum verdict init_open(struct responder *responder, const struct handshake_keys *keys,
		       const uint8_t message[INIT_BYTES]);

/**
 * response_create() - message 2
 * @responder:   consumed: wiped on every way out
 * @init:        the message that it was filled from
 * @answer:      our items, or a refusal
 * @secret:      32 random bytes, used for this Response only
 * @ret_message: RESPONSE_MAX_BYTES of room
 * @ret_bytes:   length of the message
 * @ret_keys:    session keys
 *
 * Return: VERDICT_PASS, or VERDICT_FORGED for an all-zero X25519 result (RFC 7748 section 6.1); or
 * VERDICT_BAD_PAYLOAD if @answer does not fit
 */
enum verdict response_create(struct responder *responder, const uint8_t init[INIT_BYTES],
			     const struct payload *answer, const uint8_t secret[EPHEMERAL_BYTES],
			     uint8_t *ret_message, size_t *ret_bytes, struct split_keys *ret_keys);

/**
 * response_seal() - message 2 around a payload as it stands
 * @plaintext: the payload, padding included; a multiple of RESPONSE_PAYLOAD_STEP
 * @bytes:     its length, at most RESPONSE_PAYLOAD_MAX_BYTES
 *
 * The rest as of response_create(), with @ret_message RESPONSE_HEAD_BYTES + @bytes + NOISE_TAG_BYTES
 * long.
 */
enum verdict response_seal(struct responder *responder, const uint8_t init[INIT_BYTES],
			   const uint8_t *plaintext, size_t bytes,
			   const uint8_t secret[EPHEMERAL_BYTES], uint8_t *ret_message,
			   struct split_keys *ret_keys);

/**
 * response_consume() - verify and read message 2
 * @attempt:     the attempt it names; unchanged, whatever comes
 * @message:     a Response that control_classify() has taken
 * @from_server: did a server make it?
 * @ret_answer:  filled on VERDICT_PASS and VERDICT_UNKNOWN_ITEM
 * @ret_keys:    filled on VERDICT_PASS, unless it is a refusal
 *
 * Return: VERDICT_PASS; VERDICT_FORGED; VERDICT_BAD_PAYLOAD; VERDICT_UNKNOWN_ITEM; a refusal passes, with
 * @ret_answer->refusal set, and leaves no keys
 */
enum verdict response_consume(const struct attempt *attempt, const uint8_t *message, size_t bytes,
			      bool from_server, struct payload *ret_answer,
			      struct split_keys *ret_keys);

/**
 * response_open() - verify and decrypt message 2; response_consume() without reading the items
 * @ret_noise:     state at the end of the handshake; secret, wiped if it does not verify
 * @ret_plaintext: @bytes - RESPONSE_HEAD_BYTES - NOISE_TAG_BYTES
 *
 * Return: VERDICT_PASS or VERDICT_FORGED
 */
enum verdict response_open(const struct attempt *attempt, const uint8_t *message, size_t bytes,
			   struct noise *ret_noise, uint8_t *ret_plaintext);

/** retry_create() - message 3, answering the Init with that ephemeral */
void retry_create(const struct handshake_keys *keys, const uint8_t hint[HINT_BYTES],
		  const struct cookie *cookie, const uint8_t ephemeral[EPHEMERAL_BYTES],
		  uint8_t ret_message[RETRY_BYTES]);

/** retry_consume() - verify message 3 against the Init we sent; true and the cookie if it is genuine */
bool retry_consume(const struct handshake_keys *keys, const uint8_t ephemeral[EPHEMERAL_BYTES],
		   const uint8_t message[RETRY_BYTES], struct cookie *ret_cookie);

/** sa_key_derive() - key material of the SA at @position of the receiver's SPI list (section 4) */
void sa_key_derive(const uint8_t k[32], uint8_t position, uint32_t spi, struct sa_key *ret_key);

/**
 * cookie_make() - proof that somebody receives at @remote (section 3)
 * @secret: 32 random bytes of the responder, new every 120 s
 */
void cookie_make(const uint8_t secret[32], const struct endpoint *remote,
		 struct cookie *ret_cookie);
bool cookie_equal(const struct cookie *a, const struct cookie *b);
bool cookie_is_none(const struct cookie *cookie);

#endif
