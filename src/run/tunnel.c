/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/tunnel.h"

#include "host/keeper.h"
#include "io/resolver.h"
#include "run/hostplan.h"
#include "run/network.h"
#include "scope.h"

static int resolve(void *context, int fd)
{
	const struct tunnel *tunnel = context;

	close_fd(&(int){ tunnel->key_fd }); /* the key is not for it */
	return resolver_serve(fd);
}

static int network(void *context, struct steward *steward, int resolver_fd)
{
	return network_run(context, steward, resolver_fd);
}

int tunnel_run(const struct tunnel *tunnel)
{
	struct household household = {
		.user = tunnel->user,
		.resolve = tunnel->role == ROLE_CLIENT ? resolve : NULL,
		.network = network,
		.context = (void *)tunnel,
	};

	if (tunnel->role == ROLE_SERVER)
		household.port = tunnel->bind_port;
	hostplan_limits(tunnel, &household.limits);
	return keeper_run(&household);
}
