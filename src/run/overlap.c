/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/overlap.h"

#include "host/rtnl.h"
#include "log.h"
#include "scope.h"

#include <string.h>

static void look_at_route(void *context, const char *interface, const struct prefix *route)
{
	const struct plan *plan = context;

	if (route->length == 0 || strcmp(interface, plan->interface) == 0)
		return;
	for (size_t i = 0; i < plan->address_count; i++) {
		struct prefix network = prefix_network(&plan->address[i]);

		if (prefix_contains(&network, &route->address) ||
		    prefix_contains(route, &network.address))
			log_warning("tunnel: its network %s overlaps %s, which is reached by %s: "
				    "only one of them can be reached at a time; the server can "
				    "be given another network with --address",
				    shown_prefix(&network), shown_prefix(route), interface);
	}
}

void overlap_warn(const struct plan *plan)
{
	scoped_fd fd = -1;

	if (rtnl_open(&fd) == 0)
		rtnl_routes(fd, look_at_route, (void *)plan);
}
