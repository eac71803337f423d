/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys of a tunnel and the peers made of them.  The secrets go to the engine; what stays is names,
 * addresses, and marks by which a key is known again.
 *
 * A server's keys change while it runs.  A start and a reload are the same: a bundle of files comes
 * (keys/keybundle.h), is compared with what there is, and, if nothing is wrong with any of it, takes
 * its place.  Whoever is in both is not touched, and his session does not notice.
 */
#ifndef RUN_KEYRING_H
#define RUN_KEYRING_H

#include "keys/claims.h"
#include "keys/keybundle.h"
#include "keys/keytext.h"
#include "minivpn/engine.h"
#include "run/tunnel.h"

enum { KEY_DIGEST_BYTES = 32 };

/**
 * struct keyring_entry - one key file, and its peer.  Its address is the peer's tag
 * @file:      the file's name
 * @stamp:     of the file, as it was when it was read last
 * @digest:    of its text
 * @key:       what it says, without the secrets once the engine has them
 * @marks:     of @key and of its secrets
 * @peer:      the engine's handle; NULL before there is one
 * @old:       the peer of the key before, while that is good: it has the addresses until then
 * @said_at:   where the log has it
 * @retired:   the key before has had its day, whatever the file says
 * @shared:    the file has another name elsewhere (keys/keybundle.h)
 */
struct keyring_entry {
	char *file;
	struct keystamp stamp;
	uint8_t digest[KEY_DIGEST_BYTES];
	struct keytext key;
	struct claimant marks;
	struct peer *peer, *old;
	struct endpoint said_at;
	bool retired, shared;
};

/**
 * struct keyring - the keys of a tunnel
 * @entry:  in the order of their files' names
 * @rotating, @retired, @shared: how many of them have an @old, are @retired, are @shared: to walk through
 *          ten thousand in search of none takes a millisecond
 * @claims: of all of them; while a change is neither committed nor dropped, as they will be
 */
struct keyring {
	struct keyring_entry **entry;
	size_t count;
	size_t rotating, retired, shared;
	struct claims claims;
};

/**
 * struct keychange - what a bundle changes
 * @entry:   the keyring's as they will be, @count of them; those that stay are the same
 * @fresh:   those of them that are new, @added + @changed of them
 * @gone:    entries that leave it, each with the one of the same file that takes its place, or NULL
 * @unread:  names of files, part of the bundle, whose stamp is new and whose text was not brought: it is
 *           needed.  If there are any, this is nothing to commit
 * @room:    what @entry, @fresh and @unread have
 * @added, @changed, @removed: how many files
 */
struct keychange {
	struct keyring_entry **entry, **fresh;
	size_t count, fresh_count, room;
	struct {
		struct keyring_entry *entry, *successor;
	} * gone;
	size_t gone_count;
	const char **unread;
	size_t unread_count;
	size_t added, changed, removed;
};

/**
 * keyring_gather() - read the key file or folder that the tunnel names
 *
 * Return: 0; or -1, and has logged what is wrong with which file
 */
int keyring_gather(const struct tunnel *tunnel, struct keybundle *ret_bundle);

/**
 * keyring_compare() - what would @bundle change?
 *
 * Every key that is new is looked at by itself, and beside all others.
 *
 * Return: 0 (then keyring_commit() or keychange_drop()); negative errno with @ret_complaint
 */
int keyring_compare(struct keyring *keyring, const struct keybundle *bundle,
		    struct keychange *ret_change, struct keyfile_complaint *ret_complaint);

/**
 * keyring_commit() - serve the new keys and no longer serve those that are gone
 * @endpoint_of: where a peer of that name was last known to be; none if that is not known
 *
 * Return: 0, or -ENOMEM if the engine could not take all of them (the others are served)
 */
int keyring_commit(struct keyring *keyring, struct keychange *change, struct engine *engine,
		   enum role role, struct endpoint (*endpoint_of)(void *context, const char *name),
		   void *context, struct instant now);

/** keychange_drop() - change nothing; a zeroed one is fine */
void keychange_drop(struct keyring *keyring, struct keychange *change);

/** keyring_rotates() - is that the peer of a new key, and the old one still good? */
bool keyring_rotates(const struct peer *peer);

/**
 * keyring_retire() - end the old keys of those who are connected with their new ones
 * @retired: called with each
 */
void keyring_retire(struct keyring *keyring, struct engine *engine,
		    void (*retired)(const struct keyring_entry *entry), struct instant now);

/** keyring_name() - what a peer is called; of its old key, says so */
const char *keyring_name(const struct peer *peer, char ret_name[KEY_NAME_BYTES + 16]);

/** keyring_close() - wipe and free everything; a zeroed one is fine */
void keyring_close(struct keyring *keyring);

#endif
