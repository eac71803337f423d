/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder of key files: the clients of a server. */
#ifndef MINIVPN_KEYS_KEYFOLDER_H
#define MINIVPN_KEYS_KEYFOLDER_H

#include "keys/keyfile.h"
#include "keys/keytext.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct keyfolder - the keys of all files *.key in a folder
 * @key, @file: in alphabetical order of file names; locked memory where the limit allows it
 */
struct keyfolder {
	struct keytext *key;
	char (*file)[NAME_MAX + 1];
	size_t count;
};

/** keyfolder_has_name() - does a file of that name count as a key?  A path does not. */
bool keyfolder_has_name(const char *name);

/** keyfolder_check() - could nobody else put a key into it?  0; negative errno with @ret_complaint filled */
int keyfolder_check(const char *path, struct keyfile_complaint *ret_complaint);

/**
 * keyfolder_list() - the names of a folder's keys, in the order of strcmp()
 * @ret_entries: as scandir(3) leaves it, the caller's to free
 *
 * Return: how many; or negative errno with @ret_complaint, also if others could put a key into it
 */
int keyfolder_list(const char *path, struct dirent ***ret_entries,
		   struct keyfile_complaint *ret_complaint);

/**
 * keyfolder_read() - read a folder; an empty one is no error
 *
 * Refuses the same key, name, address or network in two files, naming both; and a folder that somebody else
 * could put a key into.
 *
 * Return: 0 (release with keyfolder_release()); negative errno with @ret_complaint filled
 */
int keyfolder_read(const char *path, struct keyfolder *ret_folder,
		   struct keyfile_complaint *ret_complaint);

/** keyfolder_release() - wipe and free; a zeroed one is fine */
void keyfolder_release(struct keyfolder *folder);

/**
 * keyfolder_open() - open a folder to write into, making it (0700) and the one above it (0755) if need be,
 * and lock it against others who choose addresses
 *
 * Return: a descriptor, closing which unlocks; negative errno with @ret_complaint filled
 */
int keyfolder_open(const char *path, struct keyfile_complaint *ret_complaint);

/**
 * keyfolder_address() - give @key the next free address in each network of @folder
 * @random: NETWORK_RANDOM_BYTES, used when the folder has no networks yet
 *
 * Return: 0; -ENOSPC when a network is full
 */
int keyfolder_address(const struct keyfolder *folder, const unsigned char *random,
		      struct keytext *key);

#endif
