/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host should look like while a tunnel is up, as data: nothing here does anything.  Client
 * and server fill in the same struct.  It is of fixed size and holds no pointer, so that it can be
 * sent to the steward (steward.h) as it lies in memory, and be checked there field by field.
 */
#ifndef HOST_PLAN_H
#define HOST_PLAN_H

#include "minivpn/inner.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
	PLAN_INTERFACE_BYTES = 16, /* IFNAMSIZ */
	PLAN_ADDRESSES_MAX = 8,
	PLAN_ROUTES_MAX = 128,
	PLAN_NETWORKS_MAX = 16,
	PLAN_MTU_MIN = 1280, /* IPv6 asks for no less (RFC 8200 section 5) */
	PLAN_MTU_MAX = 65535,
};

enum {
	/* The socket mark (SO_MARK) of everything that carries the envelope: it stays outside of the
	 * tunnel.  Only who may administer the network can set it. */
	PLAN_SOCKET_MARK = 0x6d,
	/* The user that the resolver runs as, where the host lets it: one that nobody else is, in the
	 * range that no allocation reaches.  Its queries stay outside of the tunnel as well, or the
	 * name of a server that has moved would be asked for in a tunnel that leads nowhere. */
	PLAN_RESOLVER_USER = 0x7d760000,
};

/** enum plan_way - where packets of one family go that no more special route takes */
enum plan_way {
	PLAN_WAY_HOST,   /* wherever the host sends them by itself */
	PLAN_WAY_TUNNEL, /* into the tunnel: a full tunnel */
	PLAN_WAY_REFUSED, /* nowhere, and the sender is told: the tunnel does not carry this family */
	PLAN_WAY_COUNT
};

/**
 * struct plan - what the host should look like
 * @interface:     the tun device, which exists already
 * @mtu:           its MTU in bytes
 * @address:       its addresses, each with the length of the network that is on the other end
 * @route:         further networks that lie behind the tunnel, never of length 0; host bits clear
 * @default_ipv4, @default_ipv6: enum plan_way of each family
 * @server:        client: where the envelope goes, so that it does not go into the tunnel itself;
 *                 none on a server
 * @network:       server: the tunnel's networks, for which the host forwards; host bits clear
 * @masquerade:    1: give them the address of the interface that they leave by
 * @out:           the only interface that they may leave by, or empty for any
 * @isolate_peers: 1: the host does not forward from the tunnel back into it
 * @forward_ipv4, @forward_ipv6: 1: forwarding of that family has to be on
 * @clamp_mss:     1: forwarded TCP connections learn the MTU of their path when they open
 *
 * The flags are bytes and not bool, because a bool that comes from another process may be neither.
 */
struct plan {
	char interface[PLAN_INTERFACE_BYTES];
	uint16_t mtu;
	uint8_t address_count;
	struct prefix address[PLAN_ADDRESSES_MAX];
	uint8_t route_count;
	struct prefix route[PLAN_ROUTES_MAX];
	uint8_t default_ipv4, default_ipv6;
	struct endpoint server;
	uint8_t network_count;
	struct prefix network[PLAN_NETWORKS_MAX];
	uint8_t masquerade;
	char out[PLAN_INTERFACE_BYTES];
	uint8_t isolate_peers;
	uint8_t forward_ipv4, forward_ipv6;
	uint8_t clamp_mss;
};

/**
 * plan_init() - a plan that asks for nothing but an interface that is up
 * @interface: its name, for which plan_interface_is_valid()
 */
void plan_init(struct plan *plan, const char *interface, uint16_t mtu);

/**
 * plan_add_route() - send @network into the tunnel
 * @network: host bits are ignored; length 0 makes it a full tunnel for its family
 *
 * Return: false if the plan is full; true also for a route that it has already
 */
bool plan_add_route(struct plan *plan, const struct prefix *network);

/** plan_add_network() - a network of the tunnel that the host forwards for; false if it is full */
bool plan_add_network(struct plan *plan, const struct prefix *network);

/** plan_add_address() - an address of the interface; false if the plan is full */
bool plan_add_address(struct plan *plan, const struct prefix *address);

/**
 * plan_refuse_rest() - let a full tunnel of one family not be a leak in the other
 *
 * If one family's default route goes into the tunnel, the other's goes there too when the interface has
 * an address of that family; else that family is refused, and routes of it are taken out.
 */
void plan_refuse_rest(struct plan *plan);

/** plan_way() - what the plan says of the default route in the family of @a */
enum plan_way plan_way(const struct plan *plan, const struct address *a);

/**
 * plan_takes_endpoint() - does the plan send its own envelope into the tunnel, if nothing is done?
 *
 * True for a full tunnel and for a route that covers @server; the host then needs policy rules.
 */
bool plan_takes_endpoint(const struct plan *plan);

/**
 * plan_interface_is_valid() - may an interface have this name, here?
 *
 * Stricter than the kernel: letters, digits, ".", "_" and "-", a letter first, at most 15 bytes, and
 * none of "all", "default" and "lo", which mean something else in /proc/sys/net.
 */
bool plan_interface_is_valid(const char *name);

/**
 * plan_check() - can this be a plan?  For one that comes from another process
 *
 * Return: NULL, or what is wrong with it, in words
 */
const char *plan_check(const struct plan *plan);

/** plan_print() - the plan for a person to read, without the firewall (ruleset_print()) */
void plan_print(const struct plan *plan, FILE *out);

#endif
