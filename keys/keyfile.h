/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Key files on disk: read with distrust, written so that nobody else ever could have read them and no
 * half of one is ever seen.  Folders of them are keyfolder.h.
 */
#ifndef MINIVPN_KEYS_KEYFILE_H
#define MINIVPN_KEYS_KEYFILE_H

#include "complaint.h"
#include "keys/keytext.h"

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
	KEYFILE_BYTES_MAX = 16384, /* comments included */
	KEYFILE_COMPLAINT_BYTES = PATH_MAX + COMPLAINT_TEXT_BYTES + 16,
};

/**
 * struct keyfile_complaint - what is wrong with which key file
 * @path: the file, or the folder of files
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

/** keyfile_room() - locked memory that a key file's text fits in; sodium_free() wipes it.  NULL without memory */
char *keyfile_room(void);

/** keyfile_read_in() - keyfile_read() for who reads many: @room is used for each, and wiped by its owner */
int keyfile_read_in(char *room, const char *path, struct keytext *ret_key,
		    struct keyfile_complaint *ret_complaint);

/**
 * keyfile_open() - open a key file, unless it is one that keyfile_read() would refuse
 * @folder, @name: as for openat(2)
 * @path:          what to call it in a complaint
 *
 * Return: a descriptor; negative errno with @ret_complaint filled
 */
int keyfile_open(int folder, const char *name, const char *path,
		 struct keyfile_complaint *ret_complaint);

/**
 * keyfile_check() - is that a file that keyfile_read() would read?
 * @s: as lstat(2) or fstat(2) tell it
 *
 * Return: 0; negative errno with @ret_complaint filled
 */
int keyfile_check(const struct stat *s, const char *path, struct keyfile_complaint *ret_complaint);

/**
 * keyfile_parse() - read what a key file holds: the text of a key, or an invite
 * @text: @bytes, and room for one more, which is left as it was
 * @path: what to call it in a complaint
 *
 * Return: 0; -EINVAL with @ret_complaint filled
 */
int keyfile_parse(char *text, size_t bytes, const char *path, struct keytext *ret_key,
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
 * keyfile_replace() - the same for one that exists: whoever reads it finds the old or the new one, and after
 *                     the return the new one, come what may
 *
 * Return: 0; negative errno with @ret_complaint filled
 */
int keyfile_replace(const char *path, const struct keytext *key,
		    struct keyfile_complaint *ret_complaint);

/**
 * keyfile_remove() - delete a key file, so that it stays away
 *
 * Return: 0; negative errno with @ret_complaint filled
 */
int keyfile_remove(const char *path, struct keyfile_complaint *ret_complaint);

/**
 * keyfile_refuse() - fill in a complaint about @path as a whole
 * Return: -@error, so that who refuses can end in `return keyfile_refuse(...)`
 */
int keyfile_refuse(struct keyfile_complaint *ret_complaint, const char *path, int error,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));

/** keyfile_owner_is_trusted() - root, ourselves, or the person who called sudo */
bool keyfile_owner_is_trusted(uid_t owner);

#endif
