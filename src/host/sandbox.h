/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving up rights, in named stages.  Nothing that is given up can be had back, so the order is that
 * of what the later stages still need; see sandbox.c.
 */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

enum { SANDBOX_USER_BYTES = 33 };

/**
 * sandbox_memory() - what this process holds in memory is never written to a disk
 *
 * All pages are locked as they are touched (mlockall with MCL_ONFAULT), core dumps are off.  To be
 * called before keys are read.  Return: 0 or negative errno
 */
int sandbox_memory(void);

/**
 * sandbox_enter() - from here on this process can do nothing to the machine
 * @user: become that user; empty or NULL: minivpn if there is one, else nobody
 *
 * For who reads what comes from the network: an unprivileged user without groups, no capability and
 * none to be had by executing something, not to be looked at by others of that user.  Descriptors that
 * are open stay open.  root as @user is for containers that may not change it: root's files are in reach
 * then.  Also asks for SIGTERM should the process that forked this one die.
 *
 * Return: 0; -ENOENT if there is no such user; -EPERM if it may not be changed to; or negative errno
 */
int sandbox_enter(const char *user);

/** sandbox_enter_number() - the same, as a user that has only a number; -EINVAL: not on this host */
int sandbox_enter_number(uint32_t user);

/** sandbox_may_arrange_network() - does this process have CAP_NET_ADMIN?  Root need not */
bool sandbox_may_arrange_network(void);

/**
 * sandbox_keep_network_rights() - keep what is needed to arrange the network, nothing else
 *
 * For the steward and the keeper: the same user as before, CAP_NET_ADMIN, CAP_NET_RAW,
 * CAP_NET_BIND_SERVICE and CAP_KILL only, as far as they are there, no new privileges, no core dump.  Return: 0 or negative errno
 */
int sandbox_keep_network_rights(void);

#endif
