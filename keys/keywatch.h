/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which key files of a folder were touched since somebody last looked?  The kernel tells (inotify(7)), so
 * that a reload has to look at these and not at all of the ten thousand.  To begin takes the right to
 * read the folder, to go on takes none.
 *
 * It wakes nobody and changes nothing by itself: what was touched waits in the kernel until somebody asks.
 * What it says is only which files need no look; what is in the others is for whoever reads them.
 *
 * It speaks of the folder's own names.  Who writes to a file by another name, a hard link or what was
 * mounted there, is seen under that one: such files are to be known by themselves (keybundle.h), and while
 * there are any, it is not to be relied on.  Where files can change without this kernel, it is not begun.
 */
#ifndef MINIVPN_KEYS_KEYWATCH_H
#define MINIVPN_KEYS_KEYWATCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYWATCH_FILES_MAX = 256 }; /* if more were touched, one may as well look at all */

/** struct keywatch_file - a file that was touched, or is there no longer; @serial of the last time */
struct keywatch_file {
	char name[NAME_MAX + 1];
	uint64_t serial;
};

/**
 * struct keywatch - what is known
 * @fd:     -1 if nothing is
 * @device, @inode: of the folder
 * @serial: counts whatever happens in the folder
 * @blind_until: the serial when too much happened to know what; 0 if that never was
 * @file:   those that were touched and not settled, @count of them in the order of strcmp()
 */
struct keywatch {
	int fd;
	uint64_t device, inode;
	uint64_t serial, blind_until;
	struct keywatch_file *file;
	size_t count;
};

/**
 * keywatch_open() - begin; whatever is touched from now on is known
 * @path: of the folder
 *
 * Return: 0 (end with keywatch_close()); negative errno, with @ret_watch one that knows nothing, among
 * them -EOPNOTSUPP for a file system whose files may change without this kernel
 */
int keywatch_open(const char *path, struct keywatch *ret_watch);

/**
 * keywatch_look() - find out what was touched
 *
 * Return: true if all that was touched since the last keywatch_settle() is in @watch->file; false if
 * any file may have been
 */
bool keywatch_look(struct keywatch *watch);

/** keywatch_settle() - all that was touched up to @serial has been looked at since */
void keywatch_settle(struct keywatch *watch, uint64_t serial);

/** keywatch_close() - one that knows nothing is fine */
void keywatch_close(struct keywatch *watch);

#endif
