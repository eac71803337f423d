/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has the network changed under us?  Addresses, links and routes (rtnetlink), and waking up from
 * suspend, which may be in another network.  What exactly happened does not matter: whoever is told
 * asks its peers whether they still hear it.
 */
#ifndef IO_NETWATCH_H
#define IO_NETWATCH_H

#include "minivpn/instant.h"

#include <stdbool.h>

struct mnl_socket;

/**
 * struct netwatch - somebody who listens
 * @fd:           what to wait on; call netwatch_read() when it can be read
 * @own_index:    the interface whose changes are our own doing
 * @netlink:      rtnetlink messages
 * @clock:        becomes readable when the clock was set, which a wake-up does too
 * @suspended_ns: how long the machine had been suspended when last looked
 * @due:          when the change will be told; INSTANT_NEVER if there is none
 */
struct netwatch {
	int fd;
	unsigned own_index;
	struct mnl_socket *netlink;
	int clock;
	int64_t suspended_ns;
	struct instant due;
};

/* Changes come in swarms (link, address, routes): one is told for all of them. */
#define NETWATCH_SETTLE_NS (100 * NS_PER_MS)

/**
 * netwatch_open() - listen from now on
 * @own_index: interface to take no notice of
 *
 * Needs no rights.  Return: 0 or negative errno
 */
int netwatch_open(unsigned own_index, struct netwatch *ret_watch);

void netwatch_close(struct netwatch *watch);

/** netwatch_read() - take in what there is; never waits */
void netwatch_read(struct netwatch *watch, struct instant now);

/**
 * netwatch_changed() - has the network changed since this was last true?
 *
 * Becomes true at @due of struct netwatch, so that is when to ask.
 */
bool netwatch_changed(struct netwatch *watch, struct instant now);

/**
 * netwatch_slept() - look at how long the machine has been suspended in all
 * @suspended_ns: clock_suspended_ns(); an argument so that a test can sleep
 */
void netwatch_slept(struct netwatch *watch, int64_t suspended_ns, struct instant now);

#endif
