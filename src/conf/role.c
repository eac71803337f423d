/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/role.h"

#include <assert.h>
#include <string.h>

static_assert((int)TUNNEL_HOST_BYTES == (int)HOST_BYTES,
	      "a host of a setting fits into the tunnel's");

void role_key_facts(const struct keytext *keys, size_t count, struct key_facts *ret_facts)
{
	struct key_facts facts = { .count = (unsigned)count };

	if (count > 0)
		memcpy(facts.name, keys[0].name, sizeof(facts.name));
	for (size_t i = 0; i < count && !*facts.endpoint.host; i++)
		facts.endpoint = keys[i].endpoint;
	facts.network_count = networks_of(keys, count, facts.network);
	*ret_facts = facts;
}

unsigned role_own_addresses(const struct config *config, const struct key_facts *facts,
			    struct prefix ret_own[TUNNEL_ADDRESSES_MAX])
{
	memcpy(ret_own, config->address.item, sizeof(*ret_own) * TUNNEL_ADDRESSES_MAX);
	if (config->address.count > 0)
		return config->address.count;
	for (unsigned i = 0; i < facts->network_count && i < TUNNEL_ADDRESSES_MAX; i++)
		ret_own[i] = network_host(&facts->network[i], 1);
	return facts->network_count;
}

static void copy_common(const struct config *config, struct tunnel *t)
{
	strcpy(t->interface, config->interface);
	strcpy(t->key_path, config->key);
	t->bind_address = config->local.address;
	t->bind_port = config->local.port;
	t->address_count = config->address.count;
	memcpy(t->address, config->address.item, sizeof(t->address));
	t->route_count = config->route.count;
	memcpy(t->route, config->route.item, sizeof(t->route));
	t->mtu = config->mtu;
	t->copy_dscp = config->copy_dscp;
	strcpy(t->user, config->user);
	strcpy(t->control_group, config->control_group);
	strcpy(t->aead, config->aead);
	t->workers = config->workers;
	t->debug = config->debug;
}

static bool complete_server(const struct config *config, const struct key_facts *facts,
			    struct tunnel *t, struct complaint *ret_complaint)
{
	if (t->bind_port == 0)
		t->bind_port = PORT_DEFAULT;
	t->address_count = role_own_addresses(config, facts, t->address);
	if (t->address_count > TUNNEL_ADDRESSES_MAX)
		return complain(ret_complaint, 0,
				"the keys' addresses are in more than %d networks",
				TUNNEL_ADDRESSES_MAX);
	if (t->address_count == 0)
		return complain(ret_complaint, 0,
				"no key has a line 'address = ...', so that the tunnel has no "
				"network: give the server one with --address, as --address "
				"10.171.38.1/24");
	t->default_route_offered = !config->no_default_route && config->route.count == 0;
	t->dns_count = config->dns.count;
	memcpy(t->dns, config->dns.item, sizeof(t->dns));
	strcpy(t->search_domain, config->search_domain);
	t->nat = !config->no_nat;
	t->client_to_client = config->client_to_client;
	strcpy(t->out_interface, config->out);
	return true;
}

static bool complete_client(const struct config *config, const struct key_facts *facts,
			    struct tunnel *t, struct complaint *ret_complaint)
{
	const struct hostport *server = *config->remote.host ? &config->remote : &facts->endpoint;
	bool whole = config->route.count == 0 && !config->no_default_route;

	for (unsigned i = 0; i < config->route.count; i++)
		whole |= config->route.item[i].length == 0;
	if (!*server->host)
		return complain(ret_complaint, 0,
				"the key has no line 'endpoint = ...': say where the server is "
				"with --remote HOST:PORT");
	strcpy(t->remote_host, server->host);
	t->remote_port = server->port ? server->port : PORT_DEFAULT;
	t->full_tunnel = whole;
	t->keepalive_s = config->keepalive_s;
	return true;
}

bool role_tunnel(const struct config *config, enum role role, const struct key_facts *facts,
		 int key_fd, struct tunnel *ret_tunnel, struct complaint *ret_complaint)
{
	struct tunnel t = { .role = role, .key_fd = key_fd };

	copy_common(config, &t);
	if (role == ROLE_SERVER ? !complete_server(config, facts, &t, ret_complaint)
				: !complete_client(config, facts, &t, ret_complaint))
		return false;
	*ret_tunnel = t;
	return true;
}
