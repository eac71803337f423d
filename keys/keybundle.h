/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key files of a server in one piece of memory: how they come to the process that has no right to
 * open them.  A server is started with one of all its files, and `minivpn reload` brings another; or,
 * where it is known which files were touched since (keywatch.h), a part, which has only those.
 *
 * Reading the files is apart from reading the keys in them, and each file comes with a stamp, so that
 * of what has not changed since the last bundle neither the file nor the key need be read again: a file
 * may stand in a bundle with its stamp alone.
 *
 * A first line and a struct keybundle_kind say what this is; then for each file, in the order of their
 * names, a struct keybundle_head, the name with its NUL, and the text if it is there.  Only two processes
 * of the same build and machine exchange it.
 */
#ifndef MINIVPN_KEYS_KEYBUNDLE_H
#define MINIVPN_KEYS_KEYBUNDLE_H

#include "keys/keyfolder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

enum {
	KEYBUNDLE_BYTES_MAX = 256 << 20,
	KEYSTAMP_REST_S = 2, /* FAT counts in these; all others tick faster */
};

/**
 * struct keybundle_kind - which files it speaks of
 * @until:   a keywatch's serial: what was touched up to then is in it as it is now
 * @is_part: of files that are not in it nothing is said; otherwise there are no others
 */
struct keybundle_kind {
	uint64_t until;
	uint64_t is_part;
};

/**
 * struct keybundle - the bundle; locked memory, since it holds secrets
 * @text:  @bytes of it are in use, of @room
 * @path:  of the folder, or of the only file
 */
struct keybundle {
	char *text;
	size_t bytes, room;
	char path[PATH_MAX];
	struct keybundle_kind kind;
};

/**
 * struct keystamp - by which a file is known as the one that was read before; all zero: it is not known
 * @changed_ns: of the inode: whatever is done to the file or its rights sets it, and nobody can set it
 *              back.  The others tell apart what a clock that was set back, or files that were renamed
 *              upon each other, could give the same time
 */
struct keystamp {
	uint64_t device, inode, bytes;
	int64_t modified_ns, changed_ns;
};

/**
 * keystamp_of() - the stamp of a file
 * @now: of the wall clock, not later than when @s was asked for
 *
 * Return: all zero for what was changed less than KEYSTAMP_REST_S before: the clock that stamps files
 * may tick as rarely as that, and a change that comes after the reading could bear the same time
 */
struct keystamp keystamp_of(const struct stat *s, const struct timespec *now);

/** keystamp_same() - are both known, and the same? */
bool keystamp_same(const struct keystamp *a, const struct keystamp *b);

enum keybundle_texts {
	KEYBUNDLE_ALL,   /* of all files */
	KEYBUNDLE_YOUNG, /* of those that have no stamp */
};

/**
 * keybundle_gather() - read a folder's files *.key, or one file
 * @texts: which of a folder's files are to be read; of the others the stamp has to do
 *
 * Each must be one that keyfile_read() would read, as far as owner, mode and size go.
 *
 * Return: 0 (release with keybundle_release()); negative errno with @ret_complaint filled
 */
int keybundle_gather(const char *path, enum keybundle_texts texts, struct keybundle *ret_bundle,
		     struct keyfile_complaint *ret_complaint);

/**
 * keybundle_gather_part() - read some files of a folder, each of which may be there no longer
 * @name: @count of them, in the order of strcmp(), each one that keyfolder_has_name() knows
 *
 * Return: as keybundle_gather()
 */
int keybundle_gather_part(const char *path, const char *const *name, size_t count,
			  struct keybundle *ret_bundle, struct keyfile_complaint *ret_complaint);

/**
 * keybundle_fill() - read files of a folder that are in @bundle with their stamps alone
 * @wanted: is the text of the file wanted?  Asked in the order of names
 *
 * Return: as keybundle_gather(); @bundle is the same if it fails
 */
int keybundle_fill(struct keybundle *bundle, bool (*wanted)(void *context, const char *name),
		   void *context, struct keyfile_complaint *ret_complaint);

/** keybundle_gather_from() - the same for one file that comes by a descriptor, called @name */
int keybundle_gather_from(int fd, const char *name, struct keybundle *ret_bundle,
			  struct keyfile_complaint *ret_complaint);

/**
 * keybundle_send() - the bundle as a file without a name, for another process
 * Return: a descriptor, or negative errno
 */
int keybundle_send(struct keybundle *bundle);

/**
 * keybundle_receive() - and back again
 * @path: what to call the folder in complaints
 *
 * Return: 0; -EPROTO if that is no bundle; or negative errno
 */
int keybundle_receive(int fd, const char *path, struct keybundle *ret_bundle);

/**
 * struct keybundle_file - one file of it; all of it part of the bundle
 * @name:   ends in NUL
 * @stamp:  of the file
 * @text:   has room for one byte more than @bytes; NULL if the stamp has to do
 * @gone:   in a part: there is no such file any more
 * @shared: the file has another name elsewhere, a hard link or a mount, so that a keywatch of the folder
 *          need not see who writes to it
 */
struct keybundle_file {
	const char *name;
	struct keystamp stamp;
	char *text;
	size_t bytes;
	bool gone, shared;
};

/**
 * keybundle_next() - the next file, in the order of strcmp()
 * @cursor: 0 for the first
 *
 * Return: 1; 0 at its end; -EPROTO if the bundle is damaged
 */
int keybundle_next(const struct keybundle *bundle, size_t *cursor, struct keybundle_file *ret_file);

/** keybundle_release() - wipe and free; a zeroed one is fine */
void keybundle_release(struct keybundle *bundle);

#endif
