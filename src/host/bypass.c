/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/bypass.h"

#include "host/far.h"
#include "host/rtnl.h"
#include "host/state.h"
#include "log.h"

#include <string.h>

/* Where the first of them goes that the tunnel should get and does not: empty if it gets all. */
static void find_way_beside(int rtnl, const struct plan *plan, struct address *ret_address,
			    char ret_interface[PLAN_INTERFACE_BYTES])
{
	struct route_answer answer;

	*ret_interface = '\0';
	for (unsigned i = 0; i < 2 * FAR_HALVES; i++) {
		*ret_address = far_address(i < FAR_HALVES, i % FAR_HALVES);
		if (plan_way(plan, ret_address) == PLAN_WAY_HOST ||
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
