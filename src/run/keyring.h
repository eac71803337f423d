/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys of a tunnel: read while there are rights to, handed to the engine as peers, and from then
 * on only names and addresses.
 */
#ifndef RUN_KEYRING_H
#define RUN_KEYRING_H

#include "keys/keytext.h"
#include "minivpn/engine.h"
#include "run/tunnel.h"

/**
 * struct keyring - the keys of a tunnel
 * @key:    one for each peer; without the secret once keyring_forget() has been called.  Its address
 *          is the tag of its peer
 * @peer:   the engine's handle for each, once keyring_add() has been called
 * @count:  how many
 */
struct keyring {
	struct keytext *key;
	struct peer **peer;
	size_t count;
};

/**
 * keyring_read() - read the key file or folder that the tunnel names
 *
 * Return: 0; or -1, and has logged what is wrong with which file
 */
int keyring_read(const struct tunnel *tunnel, struct keyring *ret_keyring);

/** keyring_add() - make a peer of key @i, at @endpoint if that is known (else none) */
int keyring_add(struct keyring *keyring, size_t i, struct engine *engine, enum role role,
		const struct endpoint *endpoint, struct instant now);

/** keyring_forget() - wipe the secrets: the engine has them */
void keyring_forget(struct keyring *keyring);

/** keyring_close() - wipe and free everything; a zeroed one is fine */
void keyring_close(struct keyring *keyring);

#endif
