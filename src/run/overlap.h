/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's tunnel and the network that its machine is in may bear the same addresses. */
#ifndef RUN_OVERLAP_H
#define RUN_OVERLAP_H

#include "host/plan.h"

/** overlap_warn() - say which networks of the tunnel this machine has a route to by another interface */
void overlap_warn(const struct plan *plan);

#endif
