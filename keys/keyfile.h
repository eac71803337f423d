/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Key files on disk, and folders of them: read with distrust, written so that nobody else ever
 * could have read them and no half of one is ever seen.
 */
#ifndef MINIVPN_KEYS_KEYFILE_H
#define MINIVPN_KEYS_KEYFILE_H

#include "complaint.h"
#include "keys/keytext.h"

#include <limits.h>
#include <stddef.h>

enum {
	KEYFILE_BYTES_MAX = 16384, /* comments included */
	KEYFILE_COMPLAINT_BYTES = PATH_MAX + COMPLAINT_TEXT_BYTES + 16,
};

/**
 * struct keyfile_complaint - what is wrong with which key file
 * @path: the file, or the folder itself
 * @what: line, what was found, what was expected
 */
struct keyfile_complaint {
	char path[PATH_MAX];
	struct complaint what;
};

/**
 * keyfile_complaint_print() - "FILE:LINE: what" or "FILE: what"
 * @ret_text: at least KEYFILE_COMPLAINT_BYTES
 *
 * Return: @ret_text
 */
char *keyfile_complaint_print(const struct keyfile_complaint *complaint, char *ret_text);

/**
 * keyfile_read() - read one key file
 *
 * Refuses a symbolic link, anything but a regular file, an owner other than root, ourselves or
 * the person who called sudo, any right for group or world, and more than KEYFILE_BYTES_MAX.
 * What was read is wiped; @ret_key is the caller's to lock and to wipe.
 *
 * Return: 0; negative errno with @ret_complaint filled (-EINVAL: the text is wrong)
 */
int keyfile_read(const char *path, struct keytext *ret_key,
		 struct keyfile_complaint *ret_complaint);

/**
 * keyfile_read_from() - read a key from a descriptor, to its end: the text of a key file, or an invite
 * @fd:   stays open; nothing is asked of who owns it
 * @path: what to call it in a complaint
 *
 * Return: as keyfile_read()
 */
int keyfile_read_from(int fd, const char *path, struct keytext *ret_key,
		      struct keyfile_complaint *ret_complaint);

/**
 * keyfile_write() - make a new key file, mode 0600
 *
 * It appears under its name whole and synced, or not at all.  One that exists is left alone.
 *
 * Return: 0; negative errno with @ret_complaint filled (-EEXIST: there is one)
 */
int keyfile_write(const char *path, const struct keytext *key,
		  struct keyfile_complaint *ret_complaint);

/**
 * struct keyfolder - the keys of all files *.key in a folder
 * @key, @file: in alphabetical order of file names; locked memory where the limit allows it
 */
struct keyfolder {
	struct keytext *key;
	char (*file)[NAME_MAX + 1];
	size_t count;
};

/**
 * keyfolder_read() - read a folder; an empty one is no error
 *
 * Refuses the same key, name or address in two files, naming both.
 *
 * Return: 0 (release with keyfolder_release()); negative errno with @ret_complaint filled
 */
int keyfolder_read(const char *path, struct keyfolder *ret_folder,
		   struct keyfile_complaint *ret_complaint);

/** keyfolder_release() - wipe and free; a zeroed one is fine */
void keyfolder_release(struct keyfolder *folder);

/**
 * keyfolder_open() - open a folder to write into, making it (0700) if need be, and lock it against
 * others who choose addresses
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
