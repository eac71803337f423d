/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server hands out to every client: routes, DNS servers, search domain.  Pure. */
#ifndef RUN_HANDOUT_H
#define RUN_HANDOUT_H

#include "minivpn/payload.h"
#include "run/tunnel.h"

#include <stddef.h>

/**
 * handout_make() - the configuration items that go into every Response
 * @tunnel:       of a server
 * @ret_handout:  those items; the rest of it is zero
 *
 * Return: 0, or by how many bytes a Response with them would be too long
 */
size_t handout_make(const struct tunnel *tunnel, struct payload *ret_handout);

#endif
