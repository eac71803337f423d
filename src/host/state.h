/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an instance keeps what others look for while it runs (control socket, journal), and who holds
 * that place.  /run is shared between network namespaces, names of interfaces are not: outside of the
 * initial namespace the path has the namespace in it.
 */
#ifndef HOST_STATE_H
#define HOST_STATE_H

#include <stddef.h>

enum {
	STATE_PATH_BYTES = 96,
	STATE_NAME_BYTES = 32,
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
 * state_claim() - take an instance's directory for as long as this process or a child of it lives
 * @ret_fd: the directory, created if needed, locked
 *
 * Return: 0; -EBUSY if an instance of that name is running; or negative errno
 */
int state_claim(const char *name, int *ret_fd);

/** state_is_alive() - does a running instance hold that directory? */
int state_is_alive(const char *name);

/** state_release() - remove all that is in the directory, and the directory; closes @fd */
void state_release(const char *name, int fd);

#endif
