/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All key files of a server in one piece of memory: how they come to the process that has no right to
 * open them.  A server is started with one, and `minivpn reload` brings another.
 *
 * The files in the order of their names, each as a line "NAME BYTES" and so many bytes, behind a first
 * line that says what this is.  Reading the files is apart from reading the keys in them, so that what
 * has not changed since the last bundle need not be read again.
 */
#ifndef MINIVPN_KEYS_KEYBUNDLE_H
#define MINIVPN_KEYS_KEYBUNDLE_H

#include "keys/keyfolder.h"

#include <stdbool.h>
#include <stddef.h>

enum { KEYBUNDLE_BYTES_MAX = 256 << 20 };

/**
 * struct keybundle - the bundle; locked memory, since it holds secrets
 * @text:  @bytes of it are in use, of @room
 * @path:  of the folder, or of the only file
 */
struct keybundle {
	char *text;
	size_t bytes, room;
	char path[PATH_MAX];
};

/**
 * keybundle_gather() - read a folder's files *.key, or one file
 *
 * Each must be one that keyfile_read() would read, as far as owner, mode and size go.
 *
 * Return: 0 (release with keybundle_release()); negative errno with @ret_complaint filled
 */
int keybundle_gather(const char *path, struct keybundle *ret_bundle,
		     struct keyfile_complaint *ret_complaint);

/** keybundle_gather_from() - the same for one file that comes by a descriptor, called @name */
int keybundle_gather_from(int fd, const char *name, struct keybundle *ret_bundle,
			  struct keyfile_complaint *ret_complaint);

/**
 * keybundle_send() - the bundle as a file without a name, for another process
 * Return: a descriptor, or negative errno
 */
int keybundle_send(const struct keybundle *bundle);

/**
 * keybundle_receive() - and back again
 * @path: what to call the folder in complaints
 *
 * Return: 0; -EPROTO if that is no bundle; or negative errno
 */
int keybundle_receive(int fd, const char *path, struct keybundle *ret_bundle);

/**
 * struct keybundle_file - one file of it; all of it part of the bundle
 * @name:  ends in NUL
 * @text:  has room for one byte more than @bytes
 */
struct keybundle_file {
	const char *name;
	char *text;
	size_t bytes;
};

/**
 * keybundle_next() - the next file, in the order of strcmp()
 * @cursor: 0 for the first
 *
 * A bundle can be walked once.  Return: 1; 0 at its end; -EPROTO if it is damaged
 */
int keybundle_next(struct keybundle *bundle, size_t *cursor, struct keybundle_file *ret_file);

/** keybundle_release() - wipe and free; a zeroed one is fine */
void keybundle_release(struct keybundle *bundle);

#endif
