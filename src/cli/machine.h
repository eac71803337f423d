/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this machine is like, as far as a first run has to know it.  Nothing here changes anything. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "minivpn/inner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * machine_address() - the address by which others are likely to find this machine: that of the default
 * route, IPv4 before IPv6; without one, any that is not loopback or link-local
 *
 * Return: false if there is none
 */
bool machine_address(struct address *ret_address);

/** machine_address_is_private() - can @a not be reached from the Internet? */
bool machine_address_is_private(const struct address *a);

/**
 * machine_resolvers() - the name servers that this machine itself asks, as others can ask them, too
 * @ret_servers: room for @most
 *
 * Those of /etc/resolv.conf; where that names only a resolver on this machine, those that
 * systemd-resolved asks.
 *
 * Return: how many
 */
unsigned machine_resolvers(struct address *ret_servers, unsigned most);

/**
 * struct machine_overlap - a route that stands in the way of a network
 * @network: of the route
 * @interface: which it leads to
 */
struct machine_overlap {
	struct prefix network;
	char interface[16];
};

/**
 * machine_overlap() - has the machine a route that overlaps @network?
 * @except: an interface whose routes do not count, or ""
 *
 * Default routes overlap nothing.
 */
bool machine_overlap(const struct prefix *network, const char *except,
		     struct machine_overlap *ret_overlap);

/**
 * machine_try_port() - can this UDP port be had?
 * @local: address to bind to; none = all
 * @port:  0 = any
 *
 * Return: 0; -EADDRINUSE if it is taken; -EADDRNOTAVAIL if this machine has no such address; or
 * negative errno
 */
int machine_try_port(const struct address *local, uint16_t port);

enum { MACHINE_HOLDER_BYTES = 64 };

/**
 * machine_port_holder() - who has this UDP port: "NAME (process NUMBER)"
 *
 * Return: false if that cannot be told (it is another user's, and we are not root)
 */
bool machine_port_holder(uint16_t port, char ret_holder[MACHINE_HOLDER_BYTES]);

#endif
