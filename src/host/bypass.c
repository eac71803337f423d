/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/bypass.h"

#include "host/rtnl.h"
#include "host/state.h"
#include "log.h"

#include <string.h>

/* One in each half: 192.0.0.0/24 is for protocols (RFC 6890), 7.0.0.0/8 is not announced on the Internet;
 * 2001:db8::/32 and 3fff::/20 are for documentation (RFC 3849, RFC 9637). */
static const struct probe {
	uint8_t family;
	uint8_t b[16];
} probes[] = {
	{ 4, { 7, 109, 118, 1 } },
	{ 4, { 192, 0, 0, 109 } },
	{ 6, { 0x20, 0x01, 0x0d, 0xb8, 0x6d, 0x76, 0x6d, 0x76, [15] = 1 } },
	{ 6, { 0x3f, 0xff, 0x0d, 0x76, [15] = 1 } },
};

static bool is_taken(const struct plan *plan, uint8_t family)
{
	return (family == 4 ? plan->default_ipv4 : plan->default_ipv6) != PLAN_WAY_HOST;
}

/* Where the first of them goes that the tunnel should get and does not: empty if it gets all. */
static void find_way_beside(int rtnl, const struct plan *plan, struct address *ret_address,
			    char ret_interface[PLAN_INTERFACE_BYTES])
{
	struct route_answer answer;

	*ret_interface = '\0';
	for (size_t i = 0; i < sizeof(probes) / sizeof(*probes); i++) {
		*ret_address = probes[i].family == 4 ? address_from_ipv4(probes[i].b)
						     : address_from_ipv6(probes[i].b);
		if (!is_taken(plan, probes[i].family) ||
		    rtnl_lookup(rtnl, ret_address, 0, &answer) != 0 ||
		    strcmp(answer.interface, plan->interface) == 0)
			continue;
		strcpy(ret_interface, answer.interface);
		return;
	}
}

void bypass_look(struct bypass *bypass, int rtnl, const struct plan *plan)
{
	char interface[PLAN_INTERFACE_BYTES];
	struct address address;

	find_way_beside(rtnl, plan, &address, interface);
	if (strcmp(interface, bypass->interface) == 0)
		return;
	strcpy(bypass->interface, interface);
	if (!*interface)
		log_notice("host: nothing leaves beside %s any more", plan->interface);
	else if (state_is_alive(interface))
		log_notice(
			"host: %s takes everything already: %s gets what is bound to its address",
			interface, plan->interface);
	else
		log_warning(
			"host: not everything goes into %s: the way to %s, for one, is by %s. Look "
			"for policy rules before 30000 ('ip rule', 'ip -6 rule') and for routes to "
			"half of everything ('ip route')",
			plan->interface, shown_address(&address), interface);
}
