/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/limits.h"

#include <string.h>

static bool lies_within(const struct prefix *outer, const struct prefix *inner)
{
	return inner->length >= outer->length && prefix_contains(outer, &inner->address);
}

static bool is_short(const struct limits *limits, const struct prefix *network)
{
	return network->length <
	       (address_is_ipv4(&network->address) ? limits->shortest_ipv4 : limits->shortest_ipv6);
}

bool limits_permit_route(const struct limits *limits, const struct prefix *network)
{
	if (network->length == 0)
		return false;
	if (limits->any_route && !is_short(limits, network))
		return true;
	for (size_t i = 0; i < limits->route_count; i++)
		if (lies_within(&limits->route[i], network))
			return true;
	return false;
}

bool limits_permit_address(const struct limits *limits, const struct prefix *address)
{
	struct prefix network = prefix_network(address);

	return !is_short(limits, &network) || limits_permit_route(limits, &network);
}

const char *limits_permit_plan(const struct limits *limits, const struct plan *plan)
{
	bool forwards = plan->network_count > 0 || plan->forward_ipv4 || plan->forward_ipv6;

	if (strcmp(plan->interface, limits->interface) != 0)
		return "another interface";
	if (!limits->full_tunnel &&
	    (plan->default_ipv4 != PLAN_WAY_HOST || plan->default_ipv6 != PLAN_WAY_HOST))
		return "a full tunnel";
	for (size_t i = 0; i < plan->address_count; i++)
		if (!limits_permit_address(limits, &plan->address[i]))
			return "an address of too large a network";
	for (size_t i = 0; i < plan->route_count; i++)
		if (!limits_permit_route(limits, &plan->route[i]))
			return "a route to other networks";
	if (forwards && !limits->forward)
		return "forwarding";
	if (forwards && strcmp(plan->out, limits->out) != 0)
		return "forwarding to another interface";
	return NULL;
}
