/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a server last knew its peers to be, kept in a file beside its directory, so that after a
 * restart, and after kill -9, it can call them instead of waiting until they miss it.
 *
 * One line a peer: name, remote address and port, our own address.  All lines are of one length, so that
 * who moves costs one small write, however many there are.  Readable by root alone: it says who was where.
 */
#ifndef RUN_ENDPOINTS_H
#define RUN_ENDPOINTS_H

#include "minivpn/inner.h"

#include <stdbool.h>

struct endpoints;

/**
 * endpoints_open() - open the file, making it if need be, and read it; needs rights, the others do not
 * Return: the file, or NULL with errno
 */
struct endpoints *endpoints_open(const char *path);

/** endpoints_close() - NULL is fine */
void endpoints_close(struct endpoints *endpoints);

/**
 * endpoints_find() - where was the peer of that name last?
 * Return: false if the file did not say, or said what cannot be
 */
bool endpoints_find(struct endpoints *endpoints, const char *name, struct endpoint *ret_endpoint);

/**
 * endpoints_put() - the peer of that name is there now; no endpoint: that is not known any more
 * Return: 0 or negative errno
 */
int endpoints_put(struct endpoints *endpoints, const char *name, const struct endpoint *endpoint);

/** endpoints_tidy() - forget those whom endpoints_find() was never asked for; 0 or negative errno */
int endpoints_tidy(struct endpoints *endpoints);

#endif
