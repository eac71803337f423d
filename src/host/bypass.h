/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What leaves beside a full tunnel.  Policy rules of others that come before ours, and routes to halves of
 * everything in the main table, are obeyed: whoever set them may have meant it.  But they are told of.
 */
#ifndef HOST_BYPASS_H
#define HOST_BYPASS_H

#include "host/plan.h"

/** struct bypass - what was said last: by which interface something leaves; zeroed: nothing does */
struct bypass {
	char interface[PLAN_INTERFACE_BYTES];
};

/**
 * bypass_look() - ask the kernel for the way to addresses that nobody has a route of its own to
 *
 * Says so, once, if a tunnel that takes everything does not get them; and when it does again.
 */
void bypass_look(struct bypass *bypass, int rtnl, const struct plan *plan);

#endif
