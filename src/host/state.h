/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an instance keeps what others look for while it runs (control socket, journal), and who holds
 * that place.  /run is shared between network namespaces, names of interfaces are not: outside of the
 * initial namespace the path has the namespace in it.
 */
#ifndef HOST_STATE_H
#define HOST_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	STATE_PATH_BYTES = 96,
	STATE_NAME_BYTES = 16, /* an instance is called as its interface is */
};

/**
 * state_directory() - the directory of an instance, whether it exists or not
 * @name:     the instance's name; NULL for the directory that has all of them
 * @ret_path: /run/minivpn/NAME, or /run/minivpn/netns-INODE/NAME
 *
 * Return: @ret_path
 */
char *state_directory(const char *name, char ret_path[STATE_PATH_BYTES]);

/**
 * state_lock() - be the only one of all instances that changes what they share
 * @ret_fd: close() unlocks; no process may hold two
 *
 * Waits.  Return: 0 or negative errno
 */
int state_lock(int *ret_fd);

/**
 * state_claim() - take an instance's directory for as long as this process or a child of it lives
 * @ret_fd: the directory, created if needed; closing it in all of them ends the claim
 *
 * Return: 0; -EBUSY if an instance of that name is running; or negative errno
 */
int state_claim(const char *name, int *ret_fd);

/** state_is_alive() - does a running instance hold that directory?  Under state_lock() */
bool state_is_alive(const char *name);

/**
 * state_keeper() - which process has claimed that directory, by the kernel's word
 *
 * Return: 0; -ESRCH if there is none, or none that can be seen from here; or negative errno
 */
int state_keeper(const char *name, pid_t *ret_pid);

/**
 * state_each() - call @each with the name of every instance that has a directory
 *
 * Under state_lock(); @each may remove the directory.  Return: 0 or negative errno
 */
int state_each(void (*each)(void *context, const char *name), void *context);

/**
 * state_note_keys() - write down where an instance has its keys, while there are rights
 *
 * Who reads, changes or deletes files there for it has more rights than it, and must not be told by it where.
 * Return: 0 or negative errno
 */
int state_note_keys(const char *name, const char *path);

/** state_keys() - where it has them: @ret_path, empty if that was not written down */
char *state_keys(const char *name, char ret_path[PATH_MAX]);

/**
 * state_remove() - remove an instance's directory with the files that are in it
 *
 * The claim, if there is one, ends with its descriptor.  Nothing happens if it is not there.
 */
void state_remove(const char *name);

#endif
