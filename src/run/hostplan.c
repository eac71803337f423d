/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/hostplan.h"

#include "minivpn/engine.h"

#include <string.h>

enum {
	/* Somebody else's idea of a split tunnel: half the Internet is none. */
	SHORTEST_SPLIT_IPV4 = 8,
	SHORTEST_SPLIT_IPV6 = 7, /* fc00::/7, all unique local addresses */
	SHORTEST_FULL = 1,
};

static uint16_t usual_mtu(const struct endpoint *server)
{
	if (server && !endpoint_is_none(server) && !address_is_ipv4(&server->remote))
		return INNER_MTU_OVER_IPV6;
	return INNER_MTU_OVER_IPV4;
}

static void plan_for_server(const struct tunnel *tunnel, struct plan *plan)
{
	struct prefix network;

	for (unsigned i = 0; i < tunnel->address_count; i++) {
		plan_add_address(plan, &tunnel->address[i]);
		network = prefix_network(&tunnel->address[i]);
		plan_add_network(plan, &network);
		if (address_is_ipv4(&network.address))
			plan->forward_ipv4 = 1;
		else
			plan->forward_ipv6 = 1;
	}
	plan->masquerade = tunnel->nat;
	strcpy(plan->out, tunnel->out_interface);
	plan->isolate_peers = !tunnel->client_to_client;
	plan->clamp_mss = 1;
}

static bool has_address(const struct plan *plan, bool ipv4)
{
	for (unsigned i = 0; i < plan->address_count; i++)
		if (address_is_ipv4(&plan->address[i].address) == ipv4)
			return true;
	return false;
}

/* What the server gives may be beyond what the steward is told to permit: of a large network only the address
 * is ours. */
static void add_addresses(struct plan *plan, const struct prefix *address, unsigned count,
			  const struct limits *limits)
{
	for (unsigned i = 0; i < count; i++) {
		struct prefix own = address[i];

		if (!limits_permit_address(limits, &own))
			own.length = address_is_ipv4(&own.address) ? 32 : 128;
		plan_add_address(plan, &own);
	}
}

static bool takes_route(const struct plan *plan, const struct prefix *route,
			const struct limits *limits)
{
	if (route->length > 0)
		return limits_permit_route(limits, route);
	return limits->full_tunnel && has_address(plan, address_is_ipv4(&route->address));
}

static void add_routes(struct plan *plan, const struct prefix *route, unsigned count,
		       const struct limits *limits)
{
	for (unsigned i = 0; i < count; i++)
		if (takes_route(plan, &route[i], limits))
			plan_add_route(plan, &route[i]);
}

static void plan_for_client(const struct tunnel *tunnel, const struct payload *given,
			    struct plan *plan)
{
	const struct prefix *address = tunnel->address, *route = tunnel->route;
	unsigned addresses = tunnel->address_count, routes = tunnel->route_count;
	struct limits limits;

	hostplan_limits(tunnel, &limits);
	if (given && addresses == 0) {
		address = given->address;
		addresses = given->address_count;
	}
	if (given && routes == 0) {
		route = given->route;
		routes = given->route_count;
	}
	add_addresses(plan, address, addresses, &limits);
	add_routes(plan, route, routes, &limits);
	plan_refuse_rest(plan);
}

void hostplan_make(const struct tunnel *tunnel, const struct payload *given,
		   const struct endpoint *server, struct plan *ret_plan)
{
	unsigned mtu = tunnel->mtu ? tunnel->mtu : usual_mtu(server);

	if (given && given->mtu && given->mtu < mtu)
		mtu = given->mtu;
	plan_init(ret_plan, tunnel->interface, (uint16_t)mtu);
	if (tunnel->role == ROLE_SERVER) {
		plan_for_server(tunnel, ret_plan);
		return;
	}
	if (server)
		ret_plan->server = *server;
	plan_for_client(tunnel, given, ret_plan);
}

void hostplan_limits(const struct tunnel *tunnel, struct limits *ret_limits)
{
	struct limits limits = { .full_tunnel = tunnel->full_tunnel };

	strcpy(limits.interface, tunnel->interface);
	limits.local = tunnel->bind_address;
	limits.port = tunnel->bind_port;
	if (tunnel->role == ROLE_SERVER) {
		limits.forward = true;
		strcpy(limits.out, tunnel->out_interface);
	}
	/* Peers bring networks of their own; a server gives routes to who has none. */
	limits.any_route = tunnel->role == ROLE_SERVER || tunnel->route_count == 0;
	limits.shortest_ipv4 = tunnel->full_tunnel ? SHORTEST_FULL : SHORTEST_SPLIT_IPV4;
	limits.shortest_ipv6 = tunnel->full_tunnel ? SHORTEST_FULL : SHORTEST_SPLIT_IPV6;
	for (unsigned i = 0; i < tunnel->route_count; i++)
		limits.route[limits.route_count++] = tunnel->route[i];
	for (unsigned i = 0; i < tunnel->address_count; i++)
		limits.route[limits.route_count++] = prefix_network(&tunnel->address[i]);
	*ret_limits = limits;
}
