/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steward: the small process that keeps the rights.  It holds no key and reads no packet; it
 * arranges the host as it is told to, within the limits it was born with, and undoes all of it when
 * the process that told it is gone, however it went.
 *
 * The functions below are the other end: what the network process calls.  Each sends one request of
 * fixed size and waits for its answer; a request out of turn or outside the limits ends the steward,
 * which undoes everything first.
 */
#ifndef HOST_STEWARD_H
#define HOST_STEWARD_H

#include "host/limits.h"
#include "host/plan.h"
#include "host/steps.h"

/**
 * struct steward - the network process's line to the steward
 * @fd: SOCK_SEQPACKET; end of file on it means that the steward is gone, and that whoever reads it
 *      has to leave as well (poll it for EPOLLHUP)
 */
struct steward {
	int fd;
};

/**
 * steward_apply() - arrange the host like this
 * @plan:       replaces the plan before, if there was one: only what differs is touched, and what is
 *              new is there before what is old goes
 * @ret_failed: on failure the step that failed, for step_print(); may be NULL
 *
 * Return: 0; or negative errno, and the host is as it was before the call.  -EEXIST with a firewall
 * step: a table of that name was installed by hand
 */
int steward_apply(struct steward *steward, const struct plan *plan, struct step *ret_failed);

/**
 * steward_endpoint() - the envelope goes to @server from now on
 *
 * To be called when the server's address changes and before the first datagram to the new one.  A
 * full tunnel needs no such call, a split one does if its routes may cover the address.
 */
int steward_endpoint(struct steward *steward, const struct endpoint *server);

/** steward_add_route() - @network lies behind a peer of ours: route it into the tunnel */
int steward_add_route(struct steward *steward, const struct prefix *network);

/** steward_remove_route() - and no longer */
int steward_remove_route(struct steward *steward, const struct prefix *network);

/**
 * steward_open_udp() - a UDP socket with what only rights can give
 * @local:        address to bind to; none = any, of both families where the host has them
 * @port:         port to bind to; 0 = the kernel chooses, and further sockets have the port of the first
 * @shared:       others have the port already, and share it (SO_REUSEPORT)
 * @buffer_bytes: for SO_RCVBUFFORCE and SO_SNDBUFFORCE; 0 = leave them
 * @ret_fd:       non-blocking, close-on-exec, marked with PLAN_SOCKET_MARK
 */
int steward_open_udp(struct steward *steward, const struct address *local, uint16_t port,
		     bool shared, uint32_t buffer_bytes, int *ret_fd);

/**
 * steward_main() - be the steward
 * @fd:       its end of the line to the network process
 * @lifeline: end of file on it means that the keeper (keeper.h) is gone
 * @state:    the instance's directory, claimed (state.h)
 * @limits:   how far it may be told to go
 *
 * Gives up all rights but those it needs.  Return: exit status, once everything is undone
 */
int steward_main(int fd, int lifeline, int state, const struct limits *limits);

#endif
