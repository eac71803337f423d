/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far the process that reads the network may go in arranging the host: what the command line
 * permits, told to the steward before the first packet is read.  Whoever takes over that process
 * gets no more than this.
 */
#ifndef HOST_LIMITS_H
#define HOST_LIMITS_H

#include "host/plan.h"

enum { LIMITS_ROUTES_MAX = 128 };

/**
 * struct limits - what plans and requests may ask for
 * @interface:     the one interface
 * @full_tunnel:   may it take the default route, or refuse a family?
 * @any_route:     may it take routes that are not in @route?  (On a server peers bring their own.)
 * @route:         networks whose parts may be routed into the tunnel
 * @shortest_ipv4, @shortest_ipv6: no route may be shorter than this, with @any_route, and no network that
 *                 comes with an address
 * @forward:       may it have the host forward, and masquerade?
 * @out:           the only interface to forward to, or empty for any
 * @local, @port:  what its UDP sockets are bound to; port 0: one that the kernel chooses, the same for all
 */
struct limits {
	char interface[PLAN_INTERFACE_BYTES];
	bool full_tunnel;
	bool any_route;
	uint8_t route_count;
	struct prefix route[LIMITS_ROUTES_MAX];
	uint8_t shortest_ipv4, shortest_ipv6;
	bool forward;
	char out[PLAN_INTERFACE_BYTES];
	struct address local;
	uint16_t port;
};

/**
 * limits_permit_plan() - does @plan keep within @limits?
 * @plan: one that plan_check() has nothing against
 *
 * Return: NULL, or what it may not, in words
 */
const char *limits_permit_plan(const struct limits *limits, const struct plan *plan);

/** limits_permit_route() - may this network (host bits clear) be routed into the tunnel? */
bool limits_permit_route(const struct limits *limits, const struct prefix *network);

/** limits_permit_address() - may the tunnel have this address, with whose network the kernel routes all of it? */
bool limits_permit_address(const struct limits *limits, const struct prefix *address);

#endif
