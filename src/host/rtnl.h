/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses, link, routes and policy rules over rtnetlink.  Each function sends one request and waits
 * for the kernel's answer; what to do in which order is for others to say (arrange.h).  All return 0
 * or negative errno.  A kernel without IPv6 answers -EAFNOSUPPORT or -EOPNOTSUPP to what is IPv6.
 */
#ifndef HOST_RTNL_H
#define HOST_RTNL_H

#include "host/steps.h"

/** rtnl_open() - a socket for the functions below; close() ends it */
int rtnl_open(int *ret_fd);

/** rtnl_watch() - a non-blocking socket that hears of addresses, interfaces, routes and policy rules */
int rtnl_watch(int *ret_fd);

/**
 * rtnl_watch_read() - read all that a socket of rtnl_watch() has heard
 * @own:            a socket of rtnl_open(): routes into @interface that went by it are no news
 * @ret_route_gone: may a route into @interface have gone by somebody else's hand?
 *
 * Return: may any of it concern an instance: an address, an interface, a policy rule, a route to a
 * large part of everything, or one into @interface that has gone?
 */
bool rtnl_watch_read(int fd, int own, const char *interface, bool *ret_route_gone);

/**
 * rtnl_link_up() - set MTU and queue length, and bring the interface up, silent by itself
 *
 * No address of its own accord, no router solicitation, no multicast report: what comes out of a
 * tunnel is what somebody sends.
 */
int rtnl_link_up(int fd, const char *interface, uint16_t mtu);

/**
 * rtnl_link_rename() - give the interface of that index a name
 *
 * It is set down for that where the kernel renames none that is up (Linux 6.1 and older).
 */
int rtnl_link_rename(int fd, uint32_t index, const char *name);

/**
 * rtnl_link_read() - how an interface is set
 * @ret_settings: all but what is a setting below /proc/sys
 * @ret_stays:    is it a tun device that stays when nobody has it open?
 */
int rtnl_link_read(int fd, const char *interface, struct link_settings *ret_settings,
		   bool *ret_stays);

/** rtnl_link_set() - set all that rtnl_link_read() reads */
int rtnl_link_set(int fd, const char *interface, const struct link_settings *settings);

/** rtnl_address() - add or remove an address; usable at once, without duplicate detection */
int rtnl_address(int fd, bool add, const char *interface, const struct prefix *address);

/**
 * rtnl_route() - add or remove a route into @interface
 *
 * Adding one that exists in the same table is -EEXIST, whoever it belongs to.
 */
int rtnl_route(int fd, bool add, const char *interface, const struct step_route *route);

/**
 * rtnl_connected_route() - the route to an address's network that the kernel made with the address, as it did
 *
 * Return: 0 if it was gone; -EEXIST if it is there, or another to that network
 */
int rtnl_connected_route(int fd, const char *interface, const struct prefix *address);

/** rtnl_rule() - add or remove a policy rule; there may be several that are equal, one goes a call */
int rtnl_rule(int fd, bool add, const struct step_rule *rule);

/** rtnl_rules() - call @each with every policy rule of both families that has our routing protocol number */
int rtnl_rules(int fd, void (*each)(void *context, const struct step_rule *rule), void *context);

/**
 * rtnl_clear_rules() - remove every policy rule with our routing protocol number, in both families
 *
 * Only when no other instance runs.
 */
int rtnl_clear_rules(int fd);

/**
 * struct route_answer - how the kernel would send to a destination
 * @interface: name of the outgoing interface
 * @source:    source address that it would take, or none
 * @gateway:   next hop, or none if the destination is a neighbour
 * @mtu:       of the path as far as the kernel has learnt it, else the interface's
 */
struct route_answer {
	char interface[PLAN_INTERFACE_BYTES];
	struct address source, gateway;
	uint32_t mtu;
};

/**
 * rtnl_lookup() - ask the kernel for the way to @destination
 * @mark: socket mark that the packet would have, PLAN_SOCKET_MARK for the envelope; or 0
 *
 * Return: 0; -ENETUNREACH and its like if there is none
 */
int rtnl_lookup(int fd, const struct address *destination, uint32_t mark,
		struct route_answer *ret_answer);

/**
 * rtnl_addresses() - call @each with every address on the host
 * @each: @interface may not outlive the call; @address has the length of the network
 */
int rtnl_addresses(int fd,
		   void (*each)(void *context, const char *interface, const struct prefix *address),
		   void *context);

/**
 * rtnl_routes() - call @each with every unicast route of the main table, default routes included
 *
 * @interface is empty for a route by several interfaces.
 */
int rtnl_routes(int fd,
		void (*each)(void *context, const char *interface, const struct prefix *network),
		void *context);

#endif
