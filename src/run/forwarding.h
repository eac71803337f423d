/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client may have networks behind it, which its machine has to forward to: that is its owner's to decide. */
#ifndef RUN_FORWARDING_H
#define RUN_FORWARDING_H

#include "keys/keytext.h"

/**
 * forwarding_warn() - say which networks of a client's key this machine would not forward to
 * @interface: the tunnel's
 */
void forwarding_warn(const struct keytext *key, const char *interface);

#endif
