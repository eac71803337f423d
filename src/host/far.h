/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses that nobody has a route of its own to: the way to them is the way to everywhere else.
 */
#ifndef HOST_FAR_H
#define HOST_FAR_H

#include "minivpn/inner.h"

#include <stdbool.h>

enum { FAR_HALVES = 2 };

/**
 * far_address() - one of them
 * @half: 0 or 1: some route halves of everything, and there is one in each
 */
struct address far_address(bool ipv4, unsigned half);

#endif
