/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that reads the network: everything a tunnel is made of, put together, run, and taken
 * apart.  It begins with all rights, opens what needs them, gives them up, and only then reads its
 * first packet.
 *
 *	network.c  opens everything in order, runs the loop, closes everything
 *	news.c     what is done and said when something happens
 */
#ifndef RUN_NETWORK_H
#define RUN_NETWORK_H

#include "host/steward.h"
#include "run/tunnel.h"

/**
 * network_run() - be that process until told to stop
 * @steward:     what arranges the host for us
 * @resolver_fd: the resolver; -1 on a server
 *
 * Return: exit status: 0 stopped as asked, 1 failed (and has said why)
 */
int network_run(const struct tunnel *tunnel, struct steward *steward, int resolver_fd);

#endif
