/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server that runs here, for those commands that change its keys: which it is, what it is called
 * in its folder, and how it is told.  It has no right to open a key file, so whoever runs these
 * commands reads them for it.
 */
#ifndef CLI_HUB_H
#define CLI_HUB_H

#include "host/state.h"
#include "keys/keyfolder.h"
#include "run/tunnel.h"

#include <jansson.h>

/**
 * struct hub - a server that runs here
 * @keys:      the folder of its keys, absolute; or, if it has no folder, the only file
 * @is_folder: which of the two
 * @port:      its UDP port
 * @address:   its own addresses in the tunnel
 * @retired:   names of those whose old key is used up (a list of strings)
 */
struct hub {
	char interface[STATE_NAME_BYTES];
	char keys[PATH_MAX];
	bool is_folder;
	uint16_t port;
	struct prefix address[TUNNEL_ADDRESSES_MAX];
	unsigned address_count;
	json_t *retired;
};

/**
 * hub_find() - the server that a command means
 * @interface: its interface, or NULL for the only one that runs
 *
 * Return: -1 (release with hub_release()); otherwise the exit status with which to end now
 */
int hub_find(const char *interface, struct hub *ret_hub);

/** hub_need_folder() - for commands that add or change files: -1, or exit status and it was said */
int hub_need_folder(const struct hub *hub);

/**
 * hub_reload() - hand the server all its key files
 * @ret_reply: what it changed; may be NULL
 *
 * Strikes old keys out of their files that are used up.  Return: exit status; what went wrong was said
 */
int hub_reload(struct hub *hub, json_t **ret_reply);

/**
 * hub_file_of() - the key file of the client NAME
 * @folder:   as keyfolder_read() has it
 * @ret_at:   its place there
 *
 * Return: -1; otherwise exit status 2, and that there is none was said
 */
int hub_file_of(const struct hub *hub, const struct keyfolder *folder, const char *name,
		char ret_path[PATH_MAX], size_t *ret_at);

void hub_release(struct hub *hub);

/**
 * hub_complaint() - say what is wrong with a key file
 * @error: the negative errno that came with the complaint
 *
 * Return: the exit status, 2 if it is the file that is wrong, 1 if the machine refused
 */
int hub_complaint(const struct keyfile_complaint *complaint, int error);

#endif
