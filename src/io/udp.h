/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport over UDP: one socket for both families, segmentation both ways, the network's
 * answers read out as events.
 *
 * Opening is in two steps.  udp_open() wants rights (a port below 1024, buffers beyond the limit);
 * udp_start() makes a transport of any UDP socket, one that another process handed over too.
 */
#ifndef IO_UDP_H
#define IO_UDP_H

#include "io/transport.h"

/**
 * udp_open() - a bound UDP socket
 * @local:   our address, or none for every address of both families (IPv4 only where the kernel has
 *           no IPv6)
 * @port:    our port, 0 for one that the kernel chooses
 * @shared:  a further socket of a port (udp_share())
 * @ret_fd:  the socket
 *
 * Return: 0 or negative errno: -EADDRINUSE, -EADDRNOTAVAIL (not an address of this machine), -EACCES
 */
int udp_open(const struct address *local, uint16_t port, bool shared, int *ret_fd);

/**
 * udp_start() - a transport on a bound UDP socket of either family
 * @fd:            the socket; belongs to the transport from now on, on success only
 * @ret_transport: the transport; ends with its kind's close
 *
 * Return: 0 or negative errno
 */
int udp_start(int fd, struct transport **ret_transport);

/**
 * udp_share() - let further sockets have the port of this one, which is bound (SO_REUSEPORT)
 *
 * They are bound with SO_REUSEPORT, by the same user.  That the first is not makes its bind fail where
 * somebody else has the port.  Return: 0 or negative errno
 */
int udp_share(int fd);

/**
 * udp_steer() - have the kernel choose among sockets that share a port, by a datagram's first word
 * @fds:   all sockets of the port, in the order in which they were bound
 * @count: how many, 2 to 16
 * @mask:  bits of the word that number a socket; what names none goes to the first
 *
 * Datagrams sent by different sockets are made to differ in their hop limit, or a receiver's software
 * would merge them, and then what was to go to several sockets goes to one.
 *
 * Return: 0 or negative errno
 */
int udp_steer(const int *fds, unsigned count, uint32_t mask);

/** udp_local_port() - the port that a socket is bound to; 0 if it cannot be told */
uint16_t udp_local_port(int fd);

#endif
