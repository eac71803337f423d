/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a server last knew its peers to be, kept in a file beside its directory, so that after a
 * restart, and after kill -9, it can call them instead of waiting until they miss it.
 *
 * One line a peer: name, remote address and port, our own address.  Readable by root alone: it says
 * who was where.
 */
#ifndef RUN_ENDPOINTS_H
#define RUN_ENDPOINTS_H

#include "minivpn/inner.h"

#include <stdbool.h>
#include <stdio.h>

/**
 * endpoints_open() - open the file, making it if need be; needs rights, reading and writing do not
 * Return: the file, or NULL with errno
 */
FILE *endpoints_open(const char *path);

/**
 * endpoints_find() - where was the peer of that name?
 * Return: false if the file does not say, or says what cannot be
 */
bool endpoints_find(FILE *file, const char *name, struct endpoint *ret_endpoint);

/**
 * endpoints_begin() - write the file anew: then endpoints_put() for each peer, then endpoints_end()
 */
void endpoints_begin(FILE *file);

/** endpoints_put() - no endpoint leaves the peer out */
void endpoints_put(FILE *file, const char *name, const struct endpoint *endpoint);

/** endpoints_end() - 0 or negative errno */
int endpoints_end(FILE *file);

#endif
