/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host should look like for a tunnel: the description of the tunnel, and on a client what the
 * server gave, as a plan; and how far a plan may go before that is known.  Pure.
 */
#ifndef RUN_HOSTPLAN_H
#define RUN_HOSTPLAN_H

#include "host/limits.h"
#include "host/plan.h"
#include "minivpn/payload.h"
#include "run/tunnel.h"

#include <stdbool.h>

/**
 * hostplan_make() - the plan for a tunnel
 * @tunnel: its description
 * @given:  client: the configuration in the server's Response; NULL on a server, and on a client for
 *          a preview before anything was given
 * @server: client: where the server is; NULL on a server
 *
 * On a client its own settings win over what was given, and what is beyond hostplan_limits() is left out: a
 * route, or all of a network but the address in it.  When one family goes through the tunnel
 * whole and the other cannot, the other is refused, so that nothing leaks around the tunnel.
 */
void hostplan_make(const struct tunnel *tunnel, const struct payload *given,
		   const struct endpoint *server, struct plan *ret_plan);

/** hostplan_limits() - how far the network process may go, whatever a server gives it */
void hostplan_limits(const struct tunnel *tunnel, struct limits *ret_limits);

#endif
