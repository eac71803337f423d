/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/plan.h"

#include "log.h"

#include <string.h>

void plan_init(struct plan *plan, const char *interface, uint16_t mtu)
{
	memset(plan, 0, sizeof(*plan));
	strncpy(plan->interface, interface, sizeof(plan->interface) - 1);
	plan->mtu = mtu;
}

/* Adds @network to a list of networks once.  False if it is full. */
static bool add_once(struct prefix *list, uint8_t *count, size_t max, const struct prefix *network)
{
	struct prefix clean = prefix_network(network);

	for (size_t i = 0; i < *count; i++)
		if (list[i].length == clean.length &&
		    address_equal(&list[i].address, &clean.address))
			return true;
	if (*count == max)
		return false;
	list[(*count)++] = clean;
	return true;
}

bool plan_add_route(struct plan *plan, const struct prefix *network)
{
	if (network->length > 0)
		return add_once(plan->route, &plan->route_count, PLAN_ROUTES_MAX, network);
	if (address_is_ipv4(&network->address))
		plan->default_ipv4 = PLAN_WAY_TUNNEL;
	else
		plan->default_ipv6 = PLAN_WAY_TUNNEL;
	return true;
}

bool plan_add_network(struct plan *plan, const struct prefix *network)
{
	return add_once(plan->network, &plan->network_count, PLAN_NETWORKS_MAX, network);
}

bool plan_add_address(struct plan *plan, const struct prefix *address)
{
	if (plan->address_count == PLAN_ADDRESSES_MAX)
		return false;
	plan->address[plan->address_count++] = *address;
	return true;
}

static bool has_address(const struct plan *plan, bool ipv4)
{
	for (size_t i = 0; i < plan->address_count; i++)
		if (address_is_ipv4(&plan->address[i].address) == ipv4)
			return true;
	return false;
}

static void take_out_routes(struct plan *plan, bool ipv4)
{
	uint8_t kept = 0;

	for (size_t i = 0; i < plan->route_count; i++)
		if (address_is_ipv4(&plan->route[i].address) != ipv4)
			plan->route[kept++] = plan->route[i];
	plan->route_count = kept;
}

static void follow(struct plan *plan, bool ipv4, uint8_t leader, uint8_t *follower)
{
	if (leader != PLAN_WAY_TUNNEL || *follower == PLAN_WAY_TUNNEL)
		return;
	if (has_address(plan, ipv4)) {
		*follower = PLAN_WAY_TUNNEL;
		return;
	}
	*follower = PLAN_WAY_REFUSED;
	take_out_routes(plan, ipv4);
}

void plan_refuse_rest(struct plan *plan)
{
	follow(plan, false, plan->default_ipv4, &plan->default_ipv6);
	follow(plan, true, plan->default_ipv6, &plan->default_ipv4);
}

enum plan_way plan_way(const struct plan *plan, const struct address *a)
{
	return address_is_ipv4(a) ? plan->default_ipv4 : plan->default_ipv6;
}

bool plan_takes_endpoint(const struct plan *plan)
{
	if (plan->default_ipv4 != PLAN_WAY_HOST || plan->default_ipv6 != PLAN_WAY_HOST)
		return true;
	if (endpoint_is_none(&plan->server))
		return false;
	for (size_t i = 0; i < plan->route_count; i++)
		if (prefix_contains(&plan->route[i], &plan->server.remote))
			return true;
	return false;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool plan_interface_is_valid(const char *name)
{
	static const char *const taken[] = { "all", "default", "lo" };
	size_t length = strnlen(name, PLAN_INTERFACE_BYTES);

	if (length == PLAN_INTERFACE_BYTES || !is_letter(name[0]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_letter(name[i]) && !(name[i] >= '0' && name[i] <= '9') &&
		    !strchr("._-", name[i]))
			return false;
	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (strcmp(name, taken[i]) == 0)
			return false;
	return true;
}

/* A network: possible length, not everything, no host bits. */
static bool is_network(const struct prefix *p)
{
	struct prefix clean;

	if (!prefix_is_valid(p) || p->length == 0)
		return false;
	clean = prefix_network(p);
	return address_equal(&clean.address, &p->address);
}

static bool are_networks(const struct prefix *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_network(&list[i]))
			return false;
	return true;
}

static bool flags_are_flags(const struct plan *plan)
{
	return plan->masquerade <= 1 && plan->isolate_peers <= 1 && plan->forward_ipv4 <= 1 &&
	       plan->forward_ipv6 <= 1 && plan->clamp_mss <= 1;
}

/* A family that is refused has nothing in the tunnel. */
static bool refuses_what_it_carries(const struct plan *plan)
{
	for (size_t i = 0; i < plan->address_count; i++)
		if (plan_way(plan, &plan->address[i].address) == PLAN_WAY_REFUSED)
			return true;
	for (size_t i = 0; i < plan->route_count; i++)
		if (plan_way(plan, &plan->route[i].address) == PLAN_WAY_REFUSED)
			return true;
	return false;
}

const char *plan_check(const struct plan *plan)
{
	if (!plan_interface_is_valid(plan->interface))
		return "impossible interface name";
	if (plan->mtu < PLAN_MTU_MIN)
		return "MTU below 1280";
	if (plan->address_count > PLAN_ADDRESSES_MAX)
		return "too many addresses";
	for (size_t i = 0; i < plan->address_count; i++)
		if (!prefix_is_valid(&plan->address[i]) || plan->address[i].length == 0 ||
		    address_is_none(&plan->address[i].address))
			return "impossible address";
	if (plan->route_count > PLAN_ROUTES_MAX || !are_networks(plan->route, plan->route_count))
		return "impossible route";
	if (plan->network_count > PLAN_NETWORKS_MAX ||
	    !are_networks(plan->network, plan->network_count))
		return "impossible network to forward for";
	if (plan->default_ipv4 >= PLAN_WAY_COUNT || plan->default_ipv6 >= PLAN_WAY_COUNT)
		return "impossible way for the default route";
	if (refuses_what_it_carries(plan))
		return "a family that is both carried and refused";
	if (plan->out[0] && !plan_interface_is_valid(plan->out))
		return "impossible name of the interface to forward to";
	if (!flags_are_flags(plan))
		return "a flag that is neither 0 nor 1";
	return NULL;
}

static void print_default(const struct plan *plan, FILE *out, const char *family, uint8_t way)
{
	if (way == PLAN_WAY_TUNNEL)
		fprintf(out, "everything else in %s: into %s\n", family, plan->interface);
	else if (way == PLAN_WAY_REFUSED)
		fprintf(out, "everything else in %s: refused, since the tunnel does not carry it\n",
			family);
}

void plan_print(const struct plan *plan, FILE *out)
{
	fprintf(out, "interface %s: up, MTU %u\n", plan->interface, plan->mtu);
	for (size_t i = 0; i < plan->address_count; i++)
		fprintf(out, "address %s on %s\n", shown_prefix(&plan->address[i]),
			plan->interface);
	for (size_t i = 0; i < plan->route_count; i++)
		fprintf(out, "route %s into %s\n", shown_prefix(&plan->route[i]), plan->interface);
	print_default(plan, out, "IPv4", plan->default_ipv4);
	print_default(plan, out, "IPv6", plan->default_ipv6);
	if (plan_takes_endpoint(plan))
		fprintf(out,
			"policy rules: local networks, answers to connections from outside and "
			"the tunnel's own packets go as before\n");
	if (plan->forward_ipv4)
		fprintf(out, "forwarding of IPv4: on\n");
	if (plan->forward_ipv6)
		fprintf(out, "forwarding of IPv6: on, router advertisements still taken\n");
	for (size_t i = 0; i < plan->network_count; i++)
		fprintf(out, "forward for %s%s%s%s\n", shown_prefix(&plan->network[i]),
			plan->out[0] ? " by " : "", plan->out,
			plan->masquerade ? ", masqueraded" : "");
}
