/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server's keys while it runs.  Somebody who may open the key files brings all of them in one piece
 * (keys/keybundle.h).  Nothing is done before all of it was found right: the keys by themselves, the
 * keys beside each other, the routes to the networks behind them; and then only what differs is
 * touched, so that no other session notices.
 */
#include "run/network_parts.h"

#include "host/limits.h"
#include "io/clock.h"
#include "keys/addresses.h"
#include "run/hostplan.h"

#include <errno.h>
#include <string.h>

/* ---- Routes to the networks behind peers ---- */

static void withdraw_routes(struct network *network, const struct keyring_entry *entry,
			    unsigned count)
{
	while (count > 0)
		steward_remove_route(network->steward, &entry->key.network[--count]);
}

/* The steward ends whoever asks for what he may not have, so that a key file that does has to be
 * found out here. */
static bool is_permitted(const struct network *network, const struct prefix *route)
{
	struct limits limits;

	hostplan_limits(network->tunnel, &limits);
	return limits_permit_route(&limits, route);
}

static int add_routes(struct network *network, const struct keyring_entry *entry,
		      struct keyfile_complaint *ret_complaint)
{
	for (unsigned i = 0; i < entry->key.network_count; i++) {
		const struct prefix *route = &entry->key.network[i];
		int error = is_permitted(network, route)
				    ? steward_add_route(network->steward, route)
				    : -EPERM;

		if (!error)
			continue;
		withdraw_routes(network, entry, i);
		snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s", entry->file);
		complain(&ret_complaint->what, 0,
			 "networks has %s, to which there can be no route: %s", shown_prefix(route),
			 error == -EPERM    ? "that is too much of the Internet"
			 : error == -EEXIST ? "this host has another already"
			 : error == -ELOOP  ? "this host's own gateway is in it"
					    : strerror(-error));
		return error;
	}
	return 0;
}

int reload_routes(struct network *network)
{
	struct keyfile_complaint complaint;
	char text[KEYFILE_COMPLAINT_BYTES];

	for (size_t i = 0; i < network->keyring.count; i++) {
		int error = add_routes(network, network->keyring.entry[i], &complaint);

		if (!error)
			continue;
		log_error("tunnel: %s", keyfile_complaint_print(&complaint, text));
		return error;
	}
	return 0;
}

/* Routes as they will be; or, with the complaint, as they were. */
static int change_routes(struct network *network, const struct keychange *change,
			 struct keyfile_complaint *ret_complaint)
{
	struct keyfile_complaint ignored;
	int error = 0;
	size_t done = 0;

	for (size_t i = 0; i < change->gone_count; i++)
		withdraw_routes(network, change->gone[i].entry,
				change->gone[i].entry->key.network_count);
	for (; done < change->fresh_count && !error; done++)
		error = add_routes(network, change->fresh[done], ret_complaint);
	if (!error)
		return 0;
	for (done--; done-- > 0;)
		withdraw_routes(network, change->fresh[done],
				change->fresh[done]->key.network_count);
	for (size_t i = 0; i < change->gone_count; i++)
		add_routes(network, change->gone[i].entry, &ignored);
	return error;
}

/* ---- Taking up a bundle ---- */

/* Files have any bytes in them and in their names, JSON only UTF-8. */
static json_t *to_json(char *text)
{
	json_t *string = json_string(text);

	for (char *c = text; !string && *c; c++)
		if ((unsigned char)*c > '~')
			*c = '?';
	return string ? string : json_string(text);
}

static json_t *refuse(const struct keyfile_complaint *complaint)
{
	char text[KEYFILE_COMPLAINT_BYTES];

	keyfile_complaint_print(complaint, text);
	log_warning("reload: nothing is changed: %s", text);
	return json_pack("{s:o}", "error", to_json(text));
}

/* Nobody else may have the server's own address. */
static bool check_addresses(const struct network *network, const struct keychange *change,
			    struct keyfile_complaint *ret_complaint)
{
	const struct tunnel *tunnel = network->tunnel;

	for (size_t i = 0; i < change->fresh_count; i++) {
		snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s",
			 change->fresh[i]->file);
		if (!addresses_leave_out(tunnel->address, tunnel->address_count,
					 &change->fresh[i]->key, &ret_complaint->what))
			return false;
	}
	return true;
}

static const struct address *address_outside(const struct tunnel *tunnel, const struct keytext *key)
{
	for (unsigned a = 0; a < key->address_count; a++) {
		bool inside = false;

		for (unsigned n = 0; n < tunnel->address_count; n++)
			inside |= prefix_contains(&tunnel->address[n], &key->address[a].address);
		if (!inside)
			return &key->address[a].address;
	}
	return NULL;
}

void reload_warn_of_addresses(const struct tunnel *tunnel, struct keyring_entry *const *entry,
			      size_t count)
{
	char more[48] = "";
	const struct address *first = NULL;
	const char *file = NULL;
	size_t others = 0;

	for (size_t i = 0; i < count; i++) {
		const struct address *outside = address_outside(tunnel, &entry[i]->key);

		others += outside && first;
		if (!outside || first)
			continue;
		first = outside;
		file = entry[i]->file;
	}
	if (others > 0)
		snprintf(more, sizeof(more), " (and %zu other keys)", others);
	if (first)
		log_warning(
			"keyring: %s: %s is in none of the tunnel's networks, so that nothing is "
			"routed there%s: give the client another address, or the server with "
			"--address",
			file, shown_address(first), more);
}

static void log_change(const struct keychange *change)
{
	for (size_t i = 0; i < change->gone_count; i++)
		if (!change->gone[i].successor)
			log_notice("reload: %s is removed and cut off",
				   change->gone[i].entry->key.name);
	/* Whoever adds a client has all that is there taken up before. */
	if (change->added + change->changed + change->removed == 0)
		return;
	log_notice("reload: %zu keys: %zu added, %zu changed, %zu removed", change->count,
		   change->added, change->changed, change->removed);
}

/* What the bundle should have brought. */
static json_t *ask_for_unread(const struct keychange *change)
{
	json_t *names = json_array();

	for (size_t i = 0; i < change->unread_count; i++)
		json_array_append_new(names, json_string(change->unread[i]));
	return json_pack("{s:o}", "unread", names);
}

static void forget_endpoints(struct network *network, const struct keychange *change)
{
	for (size_t i = 0; i < change->gone_count; i++)
		if (!change->gone[i].successor)
			network_note_endpoint(network, change->gone[i].entry->key.name,
					      &(struct endpoint){ 0 });
}

static json_t *take_up(struct network *network, const struct keybundle *bundle)
{
	struct keyfile_complaint complaint;
	struct keychange change;
	struct instant now = clock_now();
	json_t *reply;
	int error = keyring_compare(&network->keyring, bundle, &change, &complaint);

	if (error)
		return refuse(&complaint);
	if (change.unread_count > 0) {
		reply = ask_for_unread(&change);
		keychange_drop(&network->keyring, &change);
		return reply;
	}
	error = check_addresses(network, &change, &complaint)
			? change_routes(network, &change, &complaint)
			: -EINVAL;
	if (error) {
		keychange_drop(&network->keyring, &change);
		return refuse(&complaint);
	}
	reload_warn_of_addresses(network->tunnel, change.fresh, change.fresh_count);
	log_change(&change);
	reply = json_pack("{s:I, s:I, s:I, s:I}", "added", (json_int_t)change.added, "changed",
			  (json_int_t)change.changed, "removed", (json_int_t)change.removed, "keys",
			  (json_int_t)change.count);
	forget_endpoints(network, &change);
	if (change.gone_count > 0) /* their addresses are free */
		memset(network->free_from, 0, sizeof(network->free_from));
	error = keyring_commit(&network->keyring, &change, worker_engine(network->worker),
			       ROLE_SERVER, network_endpoint_of, network, now);
	network->to_retire = true;
	keywatch_settle(&network->keywatch, bundle->kind.until);
	if (error)
		log_error("reload: out of memory: not all of the keys are served");
	return reply;
}

/* Whoever asks compares the folder with the one that he has found: there may be another by now. */
json_t *reload_touched(struct network *network)
{
	struct keywatch *watch = &network->keywatch;
	bool is_known = keywatch_look(watch) && network->keyring.shared == 0;
	json_t *files = json_array();

	/* A name that is no UTF-8 cannot be said. */
	for (size_t i = 0; is_known && i < watch->count; i++)
		is_known = json_array_append_new(files, json_string(watch->file[i].name)) == 0;
	if (!is_known)
		json_array_clear(files);
	return json_pack("{s:I, s:I, s:I, s:b, s:o}", "device", (json_int_t)watch->device, "inode",
			 (json_int_t)watch->inode, "until", (json_int_t)watch->serial, "known",
			 is_known, "files", files);
}

json_t *reload_keys(struct network *network, int fd)
{
	struct keybundle bundle;
	json_t *reply;

	if (network->tunnel->role != ROLE_SERVER)
		return json_pack("{s:s}", "error", "a client has only one key: start it anew");
	if (fd < 0 || keybundle_receive(fd, network->key_path, &bundle) < 0)
		return json_pack("{s:s}", "error",
				 "no bundle of keys came with the request: are the server that "
				 "runs and this program of the same version?");
	reply = take_up(network, &bundle);
	keybundle_release(&bundle);
	return reply;
}
