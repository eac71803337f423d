/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Endpoints as the socket calls want them, and back. */
#ifndef IO_SOCKADDR_H
#define IO_SOCKADDR_H

#include "minivpn/inner.h"

#include <netinet/in.h>
#include <sys/socket.h>

union sockaddr_any {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

/**
 * sockaddr_from() - an address and port for a socket of the given family
 * @family:       the socket's: AF_INET6 takes IPv4 addresses as IPv4-mapped ones
 * @scope:        interface index for link-local IPv6, else 0
 * @ret_sockaddr: filled
 *
 * No address gives the family's wildcard.
 *
 * Return: its length, or 0 if an IPv4 socket cannot reach @address
 */
socklen_t sockaddr_from(int family, const struct address *address, uint16_t port, uint32_t scope,
			union sockaddr_any *ret_sockaddr);

/** sockaddr_to() - the remote half of an endpoint out of what a socket call returned */
void sockaddr_to(const union sockaddr_any *sockaddr, struct endpoint *ret_endpoint);

#endif
