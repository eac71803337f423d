/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keyfolder.h"

#include "keys/addresses.h"
#include "keys/claims.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

bool keyfolder_has_name(const char *name)
{
	size_t bytes = strlen(name);

	return *name != '.' && bytes > 4 && strcmp(name + bytes - 4, ".key") == 0 &&
	       !strpbrk(name, "\n/") && bytes <= NAME_MAX;
}

static int is_key_name(const struct dirent *entry)
{
	return keyfolder_has_name(entry->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int keyfolder_check(const char *path, struct keyfile_complaint *ret_complaint)
{
	struct stat s;

	if (stat(path, &s) < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
				      strerror(errno));
	if (!keyfile_owner_is_trusted(s.st_uid))
		return keyfile_refuse(
			ret_complaint, path, EPERM,
			"belongs to user %u, expected user %u or root: whoever owns it "
			"could put a key into it (chown %u '%s')",
			s.st_uid, geteuid(), geteuid(), path);
	if (s.st_mode & (S_IWGRP | S_IWOTH))
		return keyfile_refuse(
			ret_complaint, path, EPERM,
			"has mode %04o, expected 0700: others could put a key into it "
			"(chmod 700 '%s')",
			s.st_mode & 07777, path);
	return 0;
}

int keyfolder_list(const char *path, struct dirent ***ret_entries,
		   struct keyfile_complaint *ret_complaint)
{
	int r = keyfolder_check(path, ret_complaint), entries;

	if (r < 0)
		return r;
	entries = scandir(path, ret_entries, is_key_name, by_name);
	if (entries < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
				      strerror(errno));
	return entries;
}

static int refuse_common(const char *path, const char *what, const struct claimant *claimant,
			 const struct claimant *other, struct keyfile_complaint *ret_complaint)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s/%s", path, claimant->file);
	return keyfile_refuse(ret_complaint, file, EINVAL,
			      "has the same %s as '%s', expected one of its own", what,
			      other->file);
}

static int check_distinct(const char *path, const struct keyfolder *folder,
			  struct keyfile_complaint *ret_complaint)
{
	scoped_memory struct claimant *claimant = calloc(folder->count + 1, sizeof(*claimant));
	const struct claimant *other;
	struct claims claims = { 0 };
	const char *same;
	int r = 0;

	if (!claimant)
		return keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
	for (size_t i = 0; i < folder->count && r == 0; i++) {
		const struct keytext *key = &folder->key[i];

		claimant[i] = (struct claimant){ folder->file[i], key, psk_mark(&key->psk),
						 psk_mark(&key->old_psk) };
		same = claims_make(&claims, &claimant[i], &other);
		if (same)
			r = refuse_common(path, same, &claimant[i], other, ret_complaint);
	}
	claims_close(&claims);
	return r;
}

static int read_entry(const char *path, const char *name, char *room, struct keyfolder *folder,
		      struct keyfile_complaint *ret_complaint)
{
	struct keytext *key = &folder->key[folder->count];
	scoped_memory char *file = NULL;
	int r;

	if (asprintf(&file, "%s/%s", path, name) < 0)
		return keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
	r = keyfile_read_in(room, file, key, ret_complaint);
	if (r == 0)
		snprintf(folder->file[folder->count++], sizeof(*folder->file), "%s", name);
	return r;
}

static int read_entries(const char *path, struct dirent **entry, size_t entries,
			struct keyfolder *folder, struct keyfile_complaint *ret_complaint)
{
	char *room = keyfile_room();
	int r = 0;

	folder->key = sodium_allocarray(entries, sizeof(*folder->key));
	folder->file = calloc(entries, sizeof(*folder->file));
	if (!room || !folder->key || !folder->file)
		r = keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
	for (size_t i = 0; i < entries && r == 0; i++)
		r = read_entry(path, entry[i]->d_name, room, folder, ret_complaint);
	sodium_free(room);
	return r ? r : check_distinct(path, folder, ret_complaint);
}

int keyfolder_read(const char *path, struct keyfolder *ret_folder,
		   struct keyfile_complaint *ret_complaint)
{
	struct keyfolder folder = { 0 };
	struct dirent **entry;
	int entries = keyfolder_list(path, &entry, ret_complaint), r = 0;

	if (entries < 0)
		return entries;
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

/* With the folder above it if need be, which on a fresh machine is /etc/minivpn. */
static int make(const char *path)
{
	char above[PATH_MAX], *slash;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	snprintf(above, sizeof(above), "%s", path);
	for (slash = above + strlen(above); slash > above && slash[-1] == '/'; slash--)
		slash[-1] = '\0';
	slash = strrchr(above, '/');
	if (!slash || slash == above)
		return -ENOENT;
	*slash = '\0';
	if (mkdir(above, 0755) < 0)
		return -errno;
	return mkdir(path, 0700) == 0 ? 0 : -errno;
}

int keyfolder_open(const char *path, struct keyfile_complaint *ret_complaint)
{
	scoped_fd fd = -1;
	int error = make(path);

	if (error)
		return keyfile_refuse(ret_complaint, path, -error, "cannot be made: %s",
				      strerror(-error));
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
