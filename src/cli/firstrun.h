/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The very first start, with nothing but a program: a server makes its first key and prints the invite
 * that a client then asks for.  To be called apart (apart.h): both handle secrets.
 */
#ifndef CLI_FIRSTRUN_H
#define CLI_FIRSTRUN_H

#include "conf/config.h"

#include <stdbool.h>

/**
 * firstrun_server() - make the folder and its first key, and print the invite
 * @config: where clients find this server (endpoint, or the machine's address), and the port
 * @folder: for the keys
 *
 * Networks that no route of this machine overlaps are chosen, and written down in the key.
 *
 * Return: exit status; what went wrong has been said
 */
int firstrun_server(const struct config *config, const char *folder);

/**
 * firstrun_client() - ask for the invite, without echo, and keep it
 * @path: where to keep it as a key file
 *
 * Return: exit status; what went wrong has been said
 */
int firstrun_client(const char *path);

#endif
