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
 * @retired:   those whose old key is used up: an object of their names and files
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
 * hub_reload() - see to it that the server serves what is in its folder
 * @ret_reply: what it changed; may be NULL
 *
 * Strikes old keys out of their files that are used up.  Return: exit status; what went wrong was said
 */
int hub_reload(struct hub *hub, json_t **ret_reply);

/**
 * hub_bring() - have the server serve what is now in one file of its folder, whose name we have chosen or
 * checked; or no longer, if the file is gone
 *
 * Return: exit status; what went wrong was said
 */
int hub_bring(struct hub *hub, const char *file);

/**
 * struct hub_client - what the server knows that is of use to who makes, changes or deletes a client's key
 * @is_known: it has one of that name
 * @file:     that one's file; empty if there is none, or its name cannot be said
 * @endpoint: where clients' files say that the server is; host empty if none says it
 * @free:     if there is none: addresses for it, @free_count of them, one for each of the server's networks
 *            in their order, up to the first that is full
 */
struct hub_client {
	bool is_known;
	char file[NAME_MAX + 1];
	struct hostport endpoint;
	struct prefix free[KEY_ADDRESSES_MAX];
	unsigned free_count;
};

/** hub_ask_client() - -1, or exit status and it was said */
int hub_ask_client(const struct hub *hub, const char *name, struct hub_client *ret_client);

/** hub_path_of() - the path of a file in its folder; returns @ret_path */
char *hub_path_of(const struct hub *hub, const char *file, char ret_path[PATH_MAX]);

/**
 * hub_read_key() - read the key of the client @name
 * @client:   what hub_ask_client() says of it
 * @ret_path: of its file
 * @ret_key:  the caller's to lock and to wipe
 *
 * Return: -1; otherwise exit status, and that there is none was said
 */
int hub_read_key(const struct hub *hub, const char *name, const struct hub_client *client,
		 char ret_path[PATH_MAX], struct keytext *ret_key);

void hub_release(struct hub *hub);

/**
 * hub_complaint() - say what is wrong with a key file
 * @error: the negative errno that came with the complaint
 *
 * Return: the exit status, 2 if it is the file that is wrong, 1 if the machine refused
 */
int hub_complaint(const struct keyfile_complaint *complaint, int error);

#endif
