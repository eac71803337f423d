/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/keyring.h"

#include "keys/keyfolder.h"
#include "log.h"
#include "scope.h"

#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

enum { ALLOWED_MAX = KEY_ADDRESSES_MAX + KEY_NETWORKS_MAX };

static int say(const struct keyfile_complaint *complaint)
{
	char text[KEYFILE_COMPLAINT_BYTES];

	log_error("keyring: %s", keyfile_complaint_print(complaint, text));
	return -1;
}

static int make_room(struct keyring *keyring, size_t count)
{
	keyring->key = calloc(count ? count : 1, sizeof(*keyring->key));
	keyring->peer = calloc(count ? count : 1, sizeof(struct peer *));
	if (!keyring->key || !keyring->peer) {
		log_error("keyring: out of memory for %zu keys", count);
		return -1;
	}
	sodium_mlock(keyring->key, count * sizeof(*keyring->key));
	keyring->count = count;
	return 0;
}

static int read_folder(const char *path, struct keyring *keyring)
{
	struct keyfile_complaint complaint;
	struct keyfolder folder = { 0 };
	int result;

	if (keyfolder_read(path, &folder, &complaint) < 0)
		return say(&complaint);
	result = make_room(keyring, folder.count);
	if (result == 0)
		memcpy(keyring->key, folder.key, folder.count * sizeof(*keyring->key));
	keyfolder_release(&folder);
	return result;
}

static int read_file(const char *path, struct keyring *keyring)
{
	struct keyfile_complaint complaint;

	if (make_room(keyring, 1) < 0)
		return -1;
	if (keyfile_read(path, &keyring->key[0], &complaint) < 0)
		return say(&complaint);
	return 0;
}

/* An invite, or the text of a key file, from a descriptor; what is read is wiped. */
static int read_descriptor(int fd, struct keyring *keyring)
{
	char text[KEYFILE_BYTES_MAX];
	struct complaint complaint = { 0 };
	size_t bytes = 0;
	ssize_t n;
	bool good;

	if (make_room(keyring, 1) < 0)
		return -1;
	while ((n = read(fd, text + bytes, sizeof(text) - 1 - bytes)) > 0)
		bytes += (size_t)n;
	text[bytes] = 0;
	if (invite_looks_like(text)) {
		text[strcspn(text, "\r\n")] = 0;
		good = invite_parse(text, &keyring->key[0], &complaint);
	} else {
		good = keytext_parse(text, bytes, &keyring->key[0], &complaint);
	}
	sodium_memzero(text, sizeof(text));
	if (good)
		return 0;
	log_error("keyring: key from standard input: %s", complaint.text);
	return -1;
}

int keyring_read(const struct tunnel *tunnel, struct keyring *ret_keyring)
{
	struct keyring keyring = { 0 };
	struct stat status;
	int result;

	if (tunnel->key_fd >= 0)
		result = read_descriptor(tunnel->key_fd, &keyring);
	else if (stat(tunnel->key_path, &status) == 0 && S_ISDIR(status.st_mode))
		result = read_folder(tunnel->key_path, &keyring);
	else
		result = read_file(tunnel->key_path, &keyring);
	if (result < 0) {
		keyring_close(&keyring);
		return result;
	}
	*ret_keyring = keyring;
	return 0;
}

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

int keyring_add(struct keyring *keyring, size_t i, struct engine *engine, enum role role,
		const struct endpoint *endpoint, struct instant now)
{
	struct keytext *key = &keyring->key[i];
	struct prefix allowed[ALLOWED_MAX];
	struct peer_config config = {
		.tag = key,
		.psk = &key->psk,
		.allowed = allowed,
		.endpoint = *endpoint,
	};

	if (role == ROLE_SERVER) {
		config.allowed_count = own_prefixes(key, allowed);
		config.address_count = key->address_count;
		memcpy(config.address, key->address, sizeof(config.address));
	} else {
		config.allowed_count = all_prefixes(allowed);
	}
	keyring->peer[i] = engine_peer_add(engine, &config, now);
	return keyring->peer[i] ? 0 : -ENOMEM;
}

void keyring_forget(struct keyring *keyring)
{
	for (size_t i = 0; i < keyring->count; i++)
		psk_wipe(&keyring->key[i].psk);
}

void keyring_close(struct keyring *keyring)
{
	if (keyring->key) {
		sodium_munlock(keyring->key, keyring->count * sizeof(*keyring->key));
		sodium_memzero(keyring->key, keyring->count * sizeof(*keyring->key));
	}
	free(keyring->key);
	free(keyring->peer);
	*keyring = (struct keyring){ 0 };
}
