/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A look at the keys before a tunnel starts: are they all right, and what do they say that is no
 * secret?  On a first run they are made or asked for.
 */
#ifndef CLI_KEYLOOK_H
#define CLI_KEYLOOK_H

#include "conf/config.h"
#include "conf/role.h"

/**
 * keylook() - look at the keys that @config names
 * @config:     its key is filled in with the usual path if it has none, and emptied for "-"
 * @ret_facts:  what may be known of them
 * @ret_key_fd: -1; for "-" where the key can be read from (a pipe: once)
 *
 * Return: -1; otherwise the exit status with which to end now, which has been explained
 */
int keylook(enum role role, struct config *config, struct key_facts *ret_facts, int *ret_key_fd);

#endif
