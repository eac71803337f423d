/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/keyring.h"

#include "log.h"
#include "scope.h"

#include <sodium.h>
#include <string.h>

enum { ALLOWED_MAX = KEY_ADDRESSES_MAX + KEY_NETWORKS_MAX };

int keyring_gather(const struct tunnel *tunnel, struct keybundle *ret_bundle)
{
	char text[KEYFILE_COMPLAINT_BYTES];
	struct keyfile_complaint complaint;
	int error;

	if (tunnel->key_fd >= 0)
		error = keybundle_gather_from(tunnel->key_fd, "standard input", ret_bundle,
					      &complaint);
	else
		error = keybundle_gather(tunnel->key_path, KEYBUNDLE_ALL, ret_bundle, &complaint);
	if (error)
		log_error("keyring: %s", keyfile_complaint_print(&complaint, text));
	return error ? -1 : 0;
}

/* ---- Entries ---- */

/* The engine has the secrets now. */
static void forget(struct keyring_entry *entry)
{
	psk_wipe(&entry->key.psk);
	psk_wipe(&entry->key.old_psk);
}

static void entry_free(struct keyring_entry *entry)
{
	if (!entry)
		return;
	forget(entry);
	free(entry->file);
	free(entry);
}

static int out_of_memory(const char *path, struct keyfile_complaint *ret_complaint)
{
	snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s", path);
	complain(&ret_complaint->what, 0, "cannot be taken up: out of memory");
	return -ENOMEM;
}

static int entry_read(const struct keybundle *bundle, const struct keybundle_file *file,
		      const uint8_t digest[KEY_DIGEST_BYTES], struct keyring_entry **ret_entry,
		      struct keyfile_complaint *ret_complaint)
{
	struct keyring_entry *entry = calloc(1, sizeof(*entry));
	int error;

	if (!entry || !(entry->file = strdup(file->name))) {
		free(entry);
		return out_of_memory(bundle->path, ret_complaint);
	}
	error = keyfile_parse(file->text, file->bytes, file->name, &entry->key, ret_complaint);
	if (error) {
		entry_free(entry);
		return error;
	}
	entry->stamp = file->stamp;
	entry->shared = file->shared;
	memcpy(entry->digest, digest, KEY_DIGEST_BYTES);
	entry->marks = (struct claimant){ .file = entry->file,
					  .key = &entry->key,
					  .psk = psk_mark(&entry->key.psk) };
	if (entry->key.has_old)
		entry->marks.old_psk = psk_mark(&entry->key.old_psk);
	*ret_entry = entry;
	return 0;
}

/* ---- Comparing ---- */

static void note_gone(struct keychange *change, struct keyring_entry *entry,
		      struct keyring_entry *successor)
{
	change->gone[change->gone_count].entry = entry;
	change->gone[change->gone_count++].successor = successor;
	if (successor)
		change->changed++;
	else
		change->removed++;
}

static void keep(struct keychange *change, struct keyring_entry *had)
{
	change->entry[change->count++] = had;
}

/* An entry that comes, has its peers, or goes: @one is 1 or -1. */
static void tally(struct keyring *keyring, const struct keyring_entry *entry, int one)
{
	keyring->rotating += entry->old ? one : 0;
	keyring->retired += entry->retired ? one : 0;
	keyring->shared += entry->shared ? one : 0;
}

/* The file is what it was, though not its stamp; which is true whatever becomes of the change. */
static void keep_restamped(struct keyring *keyring, struct keychange *change,
			   struct keyring_entry *had, const struct keybundle_file *file)
{
	tally(keyring, had, -1);
	had->stamp = file->stamp;
	had->shared = file->shared;
	tally(keyring, had, 1);
	keep(change, had);
}

/* One file of the bundle; @had is the entry of a file of that name, if there was one. */
static int compare_file(struct keyring *keyring, struct keychange *change,
			struct keyring_entry *had, const struct keybundle *bundle,
			const struct keybundle_file *file, struct keyfile_complaint *ret_complaint)
{
	struct keyring_entry *entry;
	uint8_t digest[KEY_DIGEST_BYTES];
	int error;

	if (file->gone) {
		if (had)
			note_gone(change, had, NULL);
		return 0;
	}
	if (had && keystamp_same(&had->stamp, &file->stamp)) {
		keep(change, had);
		return 0;
	}
	if (!file->text) {
		change->unread[change->unread_count++] = file->name;
		return 0;
	}
	crypto_generichash(digest, sizeof(digest), (const uint8_t *)file->text, file->bytes, NULL,
			   0);
	if (had && sodium_memcmp(digest, had->digest, sizeof(digest)) == 0) {
		keep_restamped(keyring, change, had, file);
		return 0;
	}
	error = entry_read(bundle, file, digest, &entry, ret_complaint);
	if (error)
		return error;
	change->entry[change->count++] = entry;
	change->fresh[change->fresh_count++] = entry;
	if (had)
		note_gone(change, had, entry);
	else
		change->added++;
	return 0;
}

static int damaged(const struct keybundle *bundle, struct keyfile_complaint *ret_complaint)
{
	snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s", bundle->path);
	complain(&ret_complaint->what, 0,
		 "what came is no bundle of keys: are the server that "
		 "runs and this program of the same version?");
	return -EPROTO;
}

/* Room for @more files, whatever becomes of them. */
static bool make_room(struct keychange *change, size_t more)
{
	size_t need = change->count + change->unread_count + more;
	size_t room = need > 2 * change->room ? need : 2 * change->room;
	void *entry, *fresh, *unread;

	if (need <= change->room)
		return true;
	entry = reallocarray(change->entry, room, sizeof(*change->entry));
	fresh = reallocarray(change->fresh, room, sizeof(*change->fresh));
	unread = reallocarray(change->unread, room, sizeof(*change->unread));
	change->entry = entry ?: change->entry;
	change->fresh = fresh ?: change->fresh;
	change->unread = unread ?: change->unread;
	if (!entry || !fresh || !unread)
		return false;
	change->room = room;
	return true;
}

/* The first entry from @at on whose file does not come before @name.  Mostly it is the one at @at. */
static size_t place_of(const struct keyring *keyring, size_t at, const char *name)
{
	size_t low = at, high = keyring->count;

	while (low < high) {
		size_t middle = low == at ? at : low + (high - low) / 2;

		if (strcmp(keyring->entry[middle]->file, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Entries whose files the bundle does not have; a part of one says nothing of them. */
static bool pass_over(struct keychange *change, const struct keyring *keyring, size_t from,
		      size_t to, bool is_part)
{
	if (!make_room(change, to - from + 1))
		return false;
	for (size_t i = from; i < to; i++) {
		if (is_part)
			keep(change, keyring->entry[i]);
		else
			note_gone(change, keyring->entry[i], NULL);
	}
	return true;
}

/* Both are in the order of names, so that one walk through both finds what has come and gone. */
static int compare_files(struct keyring *keyring, const struct keybundle *bundle,
			 struct keychange *change, struct keyfile_complaint *ret_complaint)
{
	bool is_part = bundle->kind.is_part;
	struct keybundle_file file;
	const char *before = "";
	size_t cursor = 0, at = 0;
	int more = 0, error = 0;

	while (!error && (more = keybundle_next(bundle, &cursor, &file)) > 0) {
		size_t place = place_of(keyring, at, file.name);
		struct keyring_entry *had = NULL;

		if (strcmp(before, file.name) >= 0)
			return damaged(bundle, ret_complaint);
		if (!pass_over(change, keyring, at, place, is_part))
			return out_of_memory(bundle->path, ret_complaint);
		at = place;
		if (at < keyring->count && strcmp(keyring->entry[at]->file, file.name) == 0)
			had = keyring->entry[at++];
		error = compare_file(keyring, change, had, bundle, &file, ret_complaint);
		before = file.name;
	}
	if (error)
		return error;
	if (more < 0)
		return damaged(bundle, ret_complaint);
	if (!pass_over(change, keyring, at, keyring->count, is_part))
		return out_of_memory(bundle->path, ret_complaint);
	return 0;
}

/* Those who go give up what the new ones may claim. */
static int claim(struct keyring *keyring, const struct keychange *change,
		 struct keyfile_complaint *ret_complaint)
{
	const struct claimant *other;

	for (size_t i = 0; i < change->gone_count; i++)
		claims_drop(&keyring->claims, &change->gone[i].entry->marks);
	for (size_t i = 0; i < change->fresh_count; i++) {
		const struct claimant *claimant = &change->fresh[i]->marks;
		const char *same;

		same = claims_make(&keyring->claims, claimant, &other);
		if (!same)
			continue;
		snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s", claimant->file);
		complain(&ret_complaint->what, 0,
			 "has the same %s as '%s', expected one of its own", same, other->file);
		return -EINVAL;
	}
	return 0;
}

/* As it was before claim(), also if that stopped halfway or was not called at all.  The claims of those
 * who were there cannot fail: there was room for them before. */
static void unclaim(struct keyring *keyring, const struct keychange *change)
{
	const struct claimant *other;

	for (size_t i = 0; i < change->fresh_count; i++)
		claims_drop(&keyring->claims, &change->fresh[i]->marks);
	for (size_t i = 0; i < change->gone_count; i++)
		claims_make(&keyring->claims, &change->gone[i].entry->marks, &other);
}

int keyring_compare(struct keyring *keyring, const struct keybundle *bundle,
		    struct keychange *ret_change, struct keyfile_complaint *ret_complaint)
{
	struct keychange change = { 0 };
	int error;

	change.gone = calloc(keyring->count + 1, sizeof(*change.gone));
	if (!change.gone)
		return out_of_memory(bundle->path, ret_complaint);
	error = compare_files(keyring, bundle, &change, ret_complaint);
	if (!error && change.unread_count == 0)
		error = claim(keyring, &change, ret_complaint);
	if (error)
		keychange_drop(keyring, &change);
	else
		*ret_change = change;
	return error;
}

/* All of it but the entries and their list. */
static void forget_change(struct keychange *change)
{
	free(change->fresh);
	free(change->gone);
	free(change->unread);
	*change = (struct keychange){ 0 };
}

void keychange_drop(struct keyring *keyring, struct keychange *change)
{
	unclaim(keyring, change);
	for (size_t i = 0; i < change->fresh_count; i++)
		entry_free(change->fresh[i]);
	free(change->entry);
	forget_change(change);
}

/* ---- Peers ---- */

/* What comes from and goes to a client of ours: its addresses, each by itself, and its networks. */
static unsigned own_prefixes(const struct keytext *key, struct prefix allowed[ALLOWED_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < key->address_count; i++) {
		bool ipv4 = address_is_ipv4(&key->address[i].address);

		allowed[count++] = (struct prefix){ key->address[i].address, ipv4 ? 32 : 128 };
	}
	for (unsigned i = 0; i < key->network_count; i++)
		allowed[count++] = key->network[i];
	return count;
}

/* To a client everything is on the other side; which part of it, its routes decide. */
static unsigned all_prefixes(struct prefix allowed[ALLOWED_MAX])
{
	prefix_parse("0.0.0.0/0", &allowed[0]);
	prefix_parse("::/0", &allowed[1]);
	return 2;
}

/* A peer with one of the entry's secrets.  One that waits to succeed another owns nothing yet. */
static struct peer *add_peer(struct keyring_entry *entry, const struct psk *psk, bool owns,
			     struct engine *engine, enum role role, const struct endpoint *endpoint,
			     struct instant now)
{
	const struct keytext *key = &entry->key;
	struct prefix allowed[ALLOWED_MAX];
	struct peer_config config = {
		.tag = entry,
		.psk = psk,
		.allowed = allowed,
		.endpoint = *endpoint,
	};

	if (role == ROLE_SERVER) {
		config.address_count = key->address_count;
		memcpy(config.address, key->address, sizeof(config.address));
	}
	if (owns)
		config.allowed_count =
			role == ROLE_SERVER ? own_prefixes(key, allowed) : all_prefixes(allowed);
	return engine_peer_add(engine, &config, now);
}

static bool same_mark(const struct psk_mark *a, const struct psk_mark *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool same_prefixes(const struct keytext *a, const struct keytext *b)
{
	return a->address_count == b->address_count && a->network_count == b->network_count &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0 &&
	       memcmp(a->network, b->network, sizeof(a->network)) == 0;
}

/* What of @gone can go on under @successor does: its peer, if the key is the same, or, if a new key
 * takes its place, its peer as that of the old key. */
static void inherit(struct keyring_entry *gone, struct keyring_entry *successor)
{
	bool rotated = successor->key.has_old;

	if (!same_prefixes(&gone->key, &successor->key))
		return;
	if (same_mark(&gone->marks.psk, &successor->marks.psk)) {
		successor->peer = gone->peer;
		gone->peer = NULL;
		successor->retired = rotated && gone->retired;
		if (rotated && gone->old) {
			successor->old = gone->old;
			gone->old = NULL;
		}
	} else if (rotated && same_mark(&gone->marks.psk, &successor->marks.old_psk)) {
		successor->old = gone->peer;
		gone->peer = NULL;
	}
	if (successor->peer)
		peer_set_tag(successor->peer, successor);
	if (successor->old)
		peer_set_tag(successor->old, successor);
}

static void remove_peers(struct keyring_entry *entry, struct engine *engine,
			 enum close_reason reason, struct instant now)
{
	if (entry->peer)
		engine_peer_remove(engine, entry->peer, reason, now);
	if (entry->old)
		engine_peer_remove(engine, entry->old, reason, now);
	entry->peer = entry->old = NULL;
}

/* Whose key is the same but for what it owns has only to come again. */
static enum close_reason reason_for(const struct keyring_entry *gone,
				    const struct keyring_entry *successor)
{
	return successor && same_mark(&gone->marks.psk, &successor->marks.psk) ? CLOSE_RESTARTING
									       : CLOSE_KEY_REMOVED;
}

static bool serve(struct keyring_entry *entry, struct engine *engine, enum role role,
		  const struct endpoint *endpoint, struct instant now)
{
	static const struct endpoint nowhere;
	bool has_old = entry->key.has_old && !entry->retired;

	if (has_old && !entry->old)
		entry->old =
			add_peer(entry, &entry->key.old_psk, true, engine, role, endpoint, now);
	if (!entry->peer)
		entry->peer = add_peer(entry, &entry->key.psk, !entry->old, engine, role,
				       entry->old ? &nowhere : endpoint, now);
	forget(entry);
	return entry->peer && (!has_old || entry->old);
}

int keyring_commit(struct keyring *keyring, struct keychange *change, struct engine *engine,
		   enum role role, struct endpoint (*endpoint_of)(void *context, const char *name),
		   void *context, struct instant now)
{
	bool all = true;

	for (size_t i = 0; i < change->gone_count; i++) {
		struct keyring_entry *gone = change->gone[i].entry;
		struct keyring_entry *successor = change->gone[i].successor;

		tally(keyring, gone, -1);
		if (successor)
			inherit(gone, successor);
		remove_peers(gone, engine, reason_for(gone, successor), now);
		entry_free(gone);
	}
	free(keyring->entry);
	keyring->entry = change->entry;
	keyring->count = change->count;
	for (size_t i = 0; i < change->fresh_count; i++) {
		struct keyring_entry *entry = change->fresh[i];
		struct endpoint endpoint = endpoint_of(context, entry->key.name);

		all &= serve(entry, engine, role, &endpoint, now);
		tally(keyring, entry, 1);
	}
	forget_change(change);
	return all ? 0 : -ENOMEM;
}

bool keyring_rotates(const struct peer *peer)
{
	const struct keyring_entry *entry = peer_tag(peer);

	return entry->old && entry->peer == peer;
}

void keyring_retire(struct keyring *keyring, struct engine *engine,
		    void (*retired)(const struct keyring_entry *entry), struct instant now)
{
	struct prefix owned[ALLOWED_MAX];
	struct peer_snapshot snapshot;

	for (size_t i = 0; i < keyring->count && keyring->rotating > 0; i++) {
		struct keyring_entry *entry = keyring->entry[i];

		if (!entry->old || !entry->peer)
			continue;
		engine_snapshot(engine, entry->peer, &snapshot);
		if (!snapshot.up)
			continue;
		if (engine_peer_own(engine, entry->peer, owned, own_prefixes(&entry->key, owned)) <
		    0)
			continue;
		engine_peer_remove(engine, entry->old, CLOSE_KEY_REMOVED, now);
		tally(keyring, entry, -1);
		entry->old = NULL;
		entry->retired = true;
		tally(keyring, entry, 1);
		retired(entry);
	}
}

const char *keyring_name(const struct peer *peer, char ret_name[KEY_NAME_BYTES + 16])
{
	const struct keyring_entry *entry = peer_tag(peer);

	snprintf(ret_name, KEY_NAME_BYTES + 16, "%s%s", entry->key.name,
		 peer == entry->old ? " (old key)" : "");
	return ret_name;
}

void keyring_close(struct keyring *keyring)
{
	for (size_t i = 0; i < keyring->count; i++)
		entry_free(keyring->entry[i]);
	free(keyring->entry);
	claims_close(&keyring->claims);
	*keyring = (struct keyring){ 0 };
}
