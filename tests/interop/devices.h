/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What static-tunnel stands between: a tun device and a UDP socket, in their simplest form. */
#ifndef INTEROP_DEVICES_H
#define INTEROP_DEVICES_H

#include "minivpn/inner.h"

#include <sys/socket.h>

/**
 * device_make() - make a tun device without packet information, set its MTU and bring it up
 * @ret_fd: reads and writes one IP packet at a time, without blocking; the device lives as long
 *
 * Return: 0 or negative errno
 */
int device_make(const char *name, int mtu, int *ret_fd);

/**
 * socket_make() - bind a UDP socket that does not block and does not let its datagrams be cut up
 * @local:  address and port, as the remote half
 * @ret_fd: the socket
 *
 * Return: 0 or negative errno
 */
int socket_make(const struct endpoint *local, int *ret_fd);

/** sockaddr_of() - the remote half of @e as the kernel wants it; returns its length */
socklen_t sockaddr_of(const struct endpoint *e, struct sockaddr_storage *ret_address);

#endif
