/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keyfolder.h"

#include "keys/addresses.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static int is_key_name(const struct dirent *entry)
{
	size_t bytes = strlen(entry->d_name);

	return entry->d_name[0] != '.' && bytes > 4 &&
	       strcmp(entry->d_name + bytes - 4, ".key") == 0;
}

static bool shares_address(const struct keytext *a, const struct keytext *b)
{
	for (unsigned i = 0; i < a->address_count; i++)
		for (unsigned j = 0; j < b->address_count; j++)
			if (address_equal(&a->address[i].address, &b->address[j].address))
				return true;
	return false;
}

/* What two keys of one server may not have in common; NULL if nothing. */
static const char *in_common(const struct keytext *a, const struct keytext *b)
{
	if (psk_equal(&a->psk, &b->psk))
		return "key";
	if (strcmp(a->name, b->name) == 0)
		return "name";
	return shares_address(a, b) ? "address" : NULL;
}

/*
 * Finding what two keys have in common, out of ten thousand: each thing that only one may have (key,
 * name, address) leaves a mark in a table.  Two keys whose marks are equal are then compared.
 */
struct mark {
	uint64_t hash;
	size_t owner; /* place of the key in the folder, from 1; 0 = no mark here */
};

struct marks {
	struct mark *mark;
	size_t count; /* a power of two, at least twice as many as will be set */
	uint8_t seed[crypto_shorthash_KEYBYTES];
};

static bool marks_open(struct marks *marks, size_t keys)
{
	marks->count = 4;
	while (marks->count < keys * (2 + KEY_ADDRESSES_MAX) * 2)
		marks->count *= 2;
	crypto_shorthash_keygen(marks->seed);
	marks->mark = calloc(marks->count, sizeof(*marks->mark));
	return marks->mark;
}

/* Hashes of keys are no keys, but who has them and the seed could test a guess. */
static void marks_close(struct marks *marks)
{
	if (marks->mark)
		sodium_memzero(marks->mark, marks->count * sizeof(*marks->mark));
	free(marks->mark);
	sodium_memzero(marks->seed, sizeof(marks->seed));
}

/* Sets one mark for the last key of the folder.  Return: the key that has set the same and has
 * something in common with it, from 1; 0 if there is none. */
static size_t marks_set(struct marks *marks, const struct keyfolder *folder, const void *thing,
			size_t bytes)
{
	const struct keytext *own = &folder->key[folder->count];
	uint64_t hash;
	size_t at;

	crypto_shorthash((uint8_t *)&hash, thing, bytes, marks->seed);
	for (at = hash & (marks->count - 1); marks->mark[at].owner;
	     at = (at + 1) & (marks->count - 1))
		if (marks->mark[at].hash == hash && marks->mark[at].owner <= folder->count &&
		    in_common(own, &folder->key[marks->mark[at].owner - 1]))
			return marks->mark[at].owner;
	marks->mark[at] = (struct mark){ hash, folder->count + 1 };
	return 0;
}

static size_t marks_set_all(struct marks *marks, const struct keyfolder *folder)
{
	const struct keytext *key = &folder->key[folder->count];
	size_t other = marks_set(marks, folder, &key->psk, sizeof(key->psk));

	if (!other)
		other = marks_set(marks, folder, key->name, strlen(key->name));
	for (unsigned i = 0; i < key->address_count && !other; i++)
		other = marks_set(marks, folder, &key->address[i].address,
				  sizeof(key->address[i].address));
	return other;
}

static int read_entry(const char *path, const char *name, struct keyfolder *folder,
		      struct marks *marks, struct keyfile_complaint *ret_complaint)
{
	struct keytext *key = &folder->key[folder->count];
	scoped_memory char *file = NULL;
	size_t other;
	int r;

	if (asprintf(&file, "%s/%s", path, name) < 0)
		return keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
	r = keyfile_read(file, key, ret_complaint);
	if (r < 0)
		return r;
	other = marks_set_all(marks, folder);
	if (other)
		return keyfile_refuse(ret_complaint, file, EINVAL,
				      "has the same %s as '%s', expected one of its own",
				      in_common(key, &folder->key[other - 1]),
				      folder->file[other - 1]);
	snprintf(folder->file[folder->count++], sizeof(*folder->file), "%s", name);
	return 0;
}

static int check_safe(const char *path, struct keyfile_complaint *ret_complaint)
{
	struct stat s;

	if (stat(path, &s) < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
				      strerror(errno));
	if (!keyfile_owner_is_trusted(s.st_uid))
		return keyfile_refuse(
			ret_complaint, path, EPERM,
			"belongs to user %u, expected user %u or root: whoever owns it "
			"could put a key into it",
			s.st_uid, geteuid());
	if (s.st_mode & (S_IWGRP | S_IWOTH))
		return keyfile_refuse(
			ret_complaint, path, EPERM,
			"has mode %04o, expected 0700: others could put a key into it "
			"(chmod 700 '%s')",
			s.st_mode & 07777, path);
	return 0;
}

static int read_entries(const char *path, struct dirent **entry, size_t entries,
			struct keyfolder *folder, struct keyfile_complaint *ret_complaint)
{
	struct marks marks;
	int r = 0;

	folder->key = sodium_allocarray(entries, sizeof(*folder->key));
	folder->file = calloc(entries, sizeof(*folder->file));
	if (!marks_open(&marks, entries) || !folder->key || !folder->file)
		r = keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
	for (size_t i = 0; i < entries && r == 0; i++)
		r = read_entry(path, entry[i]->d_name, folder, &marks, ret_complaint);
	marks_close(&marks);
	return r;
}

int keyfolder_read(const char *path, struct keyfolder *ret_folder,
		   struct keyfile_complaint *ret_complaint)
{
	struct keyfolder folder = { 0 };
	struct dirent **entry;
	int r = check_safe(path, ret_complaint), entries;

	if (r < 0)
		return r;
	entries = scandir(path, &entry, is_key_name, alphasort);
	if (entries < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
				      strerror(errno));
	if (entries > 0)
		r = read_entries(path, entry, (size_t)entries, &folder, ret_complaint);
	for (int i = 0; i < entries; i++)
		free(entry[i]);
	free(entry);
	if (r < 0) {
		keyfolder_release(&folder);
		return r;
	}
	*ret_folder = folder;
	return 0;
}

void keyfolder_release(struct keyfolder *folder)
{
	sodium_free(folder->key);
	free(folder->file);
	*folder = (struct keyfolder){ 0 };
}

int keyfolder_open(const char *path, struct keyfile_complaint *ret_complaint)
{
	scoped_fd fd = -1;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be made: %s",
				      strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return keyfile_refuse(ret_complaint, path, errno,
				      "cannot be opened as a folder: %s", strerror(errno));
	if (flock(fd, LOCK_EX) < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be locked: %s",
				      strerror(errno));
	return take_fd(&fd);
}

int keyfolder_address(const struct keyfolder *folder, const unsigned char *random,
		      struct keytext *key)
{
	struct prefix network[NETWORKS_MAX];
	unsigned count = networks_of(folder->key, folder->count, network);

	if (count == 0) {
		networks_random(random, &network[0], &network[1]);
		count = 2;
	}
	for (unsigned i = 0; i < count && i < KEY_ADDRESSES_MAX; i++) {
		if (!network_next_free(&network[i], folder->key, folder->count, &key->address[i]))
			return -ENOSPC;
		key->address_count = i + 1;
	}
	return 0;
}
