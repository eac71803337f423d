/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper: the process that the user started, once it has understood what it is to do.  It starts
 * the other three (steward, resolver, network process), passes signals on, and stays until all that
 * was done to the host is undone, whichever of them dies, and however.
 */
#ifndef HOST_KEEPER_H
#define HOST_KEEPER_H

#include "host/limits.h"
#include "host/steward.h"

/**
 * struct household - what the keeper is to start
 * @limits:  for the steward; the instance is called as @limits.interface is (state.h)
 * @port:    UDP port that others send to, for a look at other people's firewalls; 0 = none
 * @user:    whom the resolver becomes where it cannot be PLAN_RESOLVER_USER, see sandbox_enter()
 * @resolve: the resolver's whole life; @fd is SOCK_SEQPACKET, end of file ends it; NULL = none.
 *           It starts without rights
 * @network: the network process's whole life; starts with all rights and gives them up by itself
 *           (sandbox.h).  It has to leave on SIGTERM (the only signal that it gets: the keeper turns
 *           SIGINT, SIGQUIT and SIGHUP into it) and on end of file from @steward.  @resolver_fd is
 *           non-blocking, or -1.  Like all others it has no terminal and no standard input
 * @context: handed to both
 */
struct household {
	struct limits limits;
	uint16_t port;
	const char *user;
	int (*resolve)(void *context, int fd);
	int (*network)(void *context, struct steward *steward, int resolver_fd);
	void *context;
};

/**
 * keeper_run() - start everything, wait for its end, leave no trace
 *
 * First puts right what instances that were killed have left behind.  The caller must have no
 * threads.
 *
 * Return: exit status: the network process's, or 1 when something died; what happened is logged
 */
int keeper_run(const struct household *household);

#endif
