/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the control socket answers (control.h): status, down, what a reload needs to know, reload. */
#include "run/network_parts.h"

#include "io/clock.h"
#include "keys/addresses.h"
#include "run/status.h"

#include <sodium.h>
#include <string.h>

enum { ENTRIES_AT_ONCE = 32 }; /* some hundred microseconds' work */

/* The first entry whose file comes after @name. */
static size_t entry_after(const struct keyring *keyring, const char *name)
{
	size_t low = 0, high = keyring->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(keyring->entry[middle]->file, name) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What is said of one peer of an entry: appended to @list. */
typedef void describer(const struct engine *engine, const struct keyring_entry *entry,
		       const struct peer *peer, struct instant now, json_t *list);

/* Some of what is to be said of all peers.  By the names of files, so that it can go on also when keys
 * came and went meanwhile. */
static json_t *more_of(const struct network *network, describer *describe,
		       char cursor[CONTROL_CURSOR_BYTES])
{
	const struct engine *engine = worker_engine(network->worker);
	const struct keyring *keyring = &network->keyring;
	struct instant now = clock_now();
	json_t *list = json_array();
	size_t at = *cursor ? entry_after(keyring, cursor) : 0;
	size_t end = at + ENTRIES_AT_ONCE;

	for (; (at < end || json_array_size(list) == 0) && at < keyring->count; at++) {
		const struct keyring_entry *entry = keyring->entry[at];

		if (entry->peer)
			describe(engine, entry, entry->peer, now, list);
		if (entry->old)
			describe(engine, entry, entry->old, now, list);
		snprintf(cursor, CONTROL_CURSOR_BYTES, "%s", entry->file);
	}
	return list;
}

static void describe_state(const struct engine *engine, const struct keyring_entry *entry,
			   const struct peer *peer, struct instant now, json_t *list)
{
	json_array_append_new(list,
			      status_peer(engine, peer, &entry->key, peer == entry->old, now));
}

static json_t *more_peers(void *context, char cursor[CONTROL_CURSOR_BYTES])
{
	return more_of(context, describe_state, cursor);
}

static json_t *answer_status(struct network *network, struct control_list *ret_list)
{
	bool is_server = network->tunnel->role == ROLE_SERVER;
	struct status_view view = {
		.workers = network->further.workers,
		.tunnel = network->tunnel,
		.engine = worker_engine(network->worker),
		.plan = &network->plan,
		.dns = is_server ? network->tunnel->dns : network->given.dns,
		.dns_count = is_server ? network->tunnel->dns_count : network->given.dns_count,
		.aead = network->aead.aead->name,
		.started = network->started,
	};

	worker_gather(network->worker);
	*ret_list = (struct control_list){ "peers", more_peers };
	return status_json(&view, clock_now());
}

/* Those whose old key has had its day, and their files, so that somebody who may can strike it out. */
static json_t *retired_files(const struct network *network)
{
	json_t *files = json_object();

	for (size_t i = 0; i < network->keyring.count && network->keyring.retired > 0; i++)
		if (network->keyring.entry[i]->retired)
			json_object_set_new(files, network->keyring.entry[i]->key.name,
					    json_string(network->keyring.entry[i]->file));
	return files;
}

/* What `minivpn invite` and its like have to know. */
static json_t *answer_about(struct network *network)
{
	const struct tunnel *tunnel = network->tunnel;

	return json_pack("{s:s, s:s, s:i, s:o, s:o}", "role",
			 tunnel->role == ROLE_SERVER ? "server" : "client", "interface",
			 tunnel->interface, "port", tunnel->bind_port, "addresses",
			 status_prefixes(tunnel->address, tunnel->address_count), "retired",
			 retired_files(network));
}

static bool is_taken(const void *context, const struct address *address)
{
	const struct network *network = context;

	for (unsigned i = 0; i < network->tunnel->address_count; i++)
		if (address_equal(&network->tunnel->address[i].address, address))
			return true;
	return claims_of_address(&network->keyring.claims, address) != NULL;
}

/* The next free address in each of the tunnel's networks, up to the first that is full. */
static json_t *free_addresses(struct network *network)
{
	const struct tunnel *tunnel = network->tunnel;
	json_t *list = json_array();
	struct prefix address;

	for (unsigned i = 0; i < tunnel->address_count && i < KEY_ADDRESSES_MAX; i++) {
		struct prefix within = prefix_network(&tunnel->address[i]);

		if (!network_first_free(&within, is_taken, network, &network->free_from[i],
					&address))
			break;
		json_array_append_new(list, json_string(shown_prefix(&address)));
	}
	return list;
}

/* Where the clients' files say that the server is: the first that says it. */
static json_t *said_endpoint(const struct keyring *keyring)
{
	char text[HOSTPORT_BYTES];

	for (size_t i = 0; i < keyring->count; i++)
		if (*keyring->entry[i]->key.endpoint.host)
			return json_string(hostport_print(&keyring->entry[i]->key.endpoint, text));
	return json_null();
}

/* What somebody has to know who makes, changes or deletes the key of a client. */
static json_t *answer_client(struct network *network, const char *name)
{
	const struct claimant *claimant;

	if (!name)
		return json_pack("{s:s}", "error", "expected {\"name\": \"...\"} as well");
	claimant = claims_of_name(&network->keyring.claims, name);
	return json_pack("{s:b, s:o, s:o, s:o}", "known", claimant != NULL, "file",
			 claimant ? json_string(claimant->file) ?: json_null() : json_null(),
			 "endpoint", said_endpoint(&network->keyring), "free",
			 claimant ? json_array() : free_addresses(network));
}

static json_t *answer_down(struct network *network)
{
	network->stopping = true;
	return json_pack("{s:b}", "stopping", 1);
}

/* The capture may have been made on either side of a NAT, so that only the remote address that we see
 * is sure; our own counts where it is known. */
static void add_sa(void *list, const struct engine_sa *sa)
{
	char local[ADDRESS_TEXT_BYTES] = "*", remote[ADDRESS_TEXT_BYTES] = "*";
	char key[2 * sizeof(*sa->key) + 1];
	bool ipv6 = !address_is_none(&sa->remote->remote) && !address_is_ipv4(&sa->remote->remote);

	if (!address_is_none(&sa->remote->local))
		address_print(&sa->remote->local, local);
	if (!address_is_none(&sa->remote->remote))
		address_print(&sa->remote->remote, remote);
	sodium_bin2hex(key, sizeof(key), (const uint8_t *)sa->key, sizeof(*sa->key));
	json_array_append_new(list, json_pack("{s:I, s:s, s:b, s:s, s:s}", "spi",
					      (json_int_t)sa->spi, "key", key, "ipv6", ipv6,
					      "source", sa->inbound ? remote : local, "destination",
					      sa->inbound ? local : remote));
	sodium_memzero(key, sizeof(key));
}

static void describe_sas(const struct engine *engine, const struct keyring_entry *entry,
			 const struct peer *peer, struct instant now, json_t *list)
{
	(void)engine;
	(void)entry;
	(void)now;
	engine_keylog(peer, add_sa, list);
}

static json_t *more_sas(void *context, char cursor[CONTROL_CURSOR_BYTES])
{
	return more_of(context, describe_sas, cursor);
}

static json_t *answer_keylog(struct control_list *ret_list)
{
	log_warning("tunnel: the keys of all sessions were asked for by root and shown");
	*ret_list = (struct control_list){ "sas", more_sas };
	return json_object();
}

json_t *requests_answer(void *context, const struct control_request *asked,
			struct control_list *ret_list)
{
	struct network *network = context;
	const char *request = asked->word;

	if (strcmp(request, "status") == 0)
		return answer_status(network, ret_list);
	if (strcmp(request, "about") == 0)
		return answer_about(network);
	/* All else changes something, or shows a secret. */
	if (!asked->owner)
		return control_denial();
	if (strcmp(request, "down") == 0)
		return answer_down(network);
	if (strcmp(request, "keylog") == 0)
		return answer_keylog(ret_list);
	if (strcmp(request, "client") == 0)
		return answer_client(network, asked->name);
	if (strcmp(request, "touched") == 0)
		return reload_touched(network);
	if (strcmp(request, "reload") == 0)
		return reload_keys(network, asked->passed);
	return NULL;
}
