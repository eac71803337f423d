/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control socket answers (control.h): status, down, what a reload needs to know, reload. */
#include "run/network_parts.h"

#include "io/clock.h"
#include "run/status.h"

#include <string.h>

static void describe(void *context, const struct peer *peer, struct status_peer *ret_peer)
{
	const struct keyring_entry *entry = peer_tag(peer);

	(void)context;
	*ret_peer = (struct status_peer){ .key = &entry->key, .old = peer == entry->old };
}

static json_t *answer_status(struct network *network)
{
	bool is_server = network->tunnel->role == ROLE_SERVER;
	struct status_view view = {
		.tunnel = network->tunnel,
		.engine = worker_engine(network->worker),
		.plan = &network->plan,
		.dns = is_server ? network->tunnel->dns : network->given.dns,
		.dns_count = is_server ? network->tunnel->dns_count : network->given.dns_count,
		.aead = network->aead.aead->name,
		.started = network->started,
		.describe = describe,
		.context = network,
	};

	return status_json(&view, clock_now());
}

/* Names of those whose old key has had its day, so that somebody who may can strike it out. */
static json_t *retired_names(const struct network *network)
{
	json_t *names = json_array();

	for (size_t i = 0; i < network->keyring.count; i++)
		if (network->keyring.entry[i]->retired)
			json_array_append_new(names,
					      json_string(network->keyring.entry[i]->key.name));
	return names;
}

/* What `minivpn invite` and its like have to know. */
static json_t *answer_about(struct network *network)
{
	const struct tunnel *tunnel = network->tunnel;

	return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o}", "role",
			 tunnel->role == ROLE_SERVER ? "server" : "client", "interface",
			 tunnel->interface, "keys", network->key_path, "port",
			 tunnel->bind_port ? tunnel->bind_port : DEFAULT_PORT, "addresses",
			 status_prefixes(tunnel->address, tunnel->address_count), "retired",
			 retired_names(network));
}

static json_t *answer_down(struct network *network)
{
	network->stopping = true;
	return json_pack("{s:b}", "stopping", 1);
}

json_t *requests_answer(void *context, const char *request, int passed)
{
	struct network *network = context;

	if (strcmp(request, "status") == 0)
		return answer_status(network);
	if (strcmp(request, "down") == 0)
		return answer_down(network);
	if (strcmp(request, "about") == 0)
		return answer_about(network);
	if (strcmp(request, "reload") == 0)
		return reload_keys(network, passed);
	return NULL;
}
