/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `minivpn invite, list, remove, rotate, reload`: a server's clients, while it runs. */
#include "cli/commands.h"
#include "cli/hub.h"
#include "cli/instances.h"
#include "cli/invite.h"
#include "cli/machine.h"
#include "cli/say.h"
#include "keys/addresses.h"
#include "scope.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/**
 * struct wishes - what a command line asks for
 * @name: the client
 */
struct wishes {
	const char *name, *interface, *address, *endpoint;
};

static const char usage_invite[] =
	"usage: minivpn invite [options] NAME\n"
	"Makes a key for the client NAME in the folder of the server that runs, serves it, and\n"
	"prints the invite line, which is a secret.\n"
	"  -a, --address ADDR,...     its addresses in the tunnel (the next that are free)\n"
	"  -e, --endpoint HOST[:PORT] where it finds the server (as the other keys say)\n"
	"  -i, --interface-name NAME  the server's interface, if several servers run\n";
static const char usage_list[] =
	"usage: minivpn list [-i INTERFACE]\n"
	"Shows the clients of the server that runs: name, addresses, whether it is connected.\n";
static const char usage_remove[] =
	"usage: minivpn remove [-i INTERFACE] NAME\n"
	"Deletes the key of the client NAME and cuts it off at once. Nobody else notices.\n";
static const char usage_rotate[] =
	"usage: minivpn rotate [-i INTERFACE] NAME\n"
	"Gives the client NAME a new key and prints its invite. The old key stays good until the\n"
	"client has connected with the new one.\n";
static const char usage_reload[] =
	"usage: minivpn reload [-i INTERFACE]\n"
	"Takes up key files that were added, changed or removed. Nobody else notices.\n";

/* Return: -1; otherwise the exit status with which to end now. */
static int read_wishes(int argc, char *argv[], const char *usage, bool with_name,
		       struct wishes *wishes)
{
	static const struct option flags[] = { { "address", required_argument, NULL, 'a' },
					       { "endpoint", required_argument, NULL, 'e' },
					       { "interface-name", required_argument, NULL, 'i' },
					       { "help", no_argument, NULL, 'h' },
					       { 0 } };
	bool invites = usage == usage_invite;
	int flag;

	*wishes = (struct wishes){ 0 };
	opterr = 0;
	while ((flag = getopt_long(argc, argv, "a:e:i:h", flags, NULL)) != -1) {
		if (flag == 'h') {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		if (flag == 'i')
			wishes->interface = optarg;
		else if (flag == 'a' && invites)
			wishes->address = optarg;
		else if (flag == 'e' && invites)
			wishes->endpoint = optarg;
		else {
			say("%s: no such option, or its value is missing (minivpn %s --help)",
			    argv[optind - 1], argv[0]);
			return EXIT_USAGE;
		}
	}
	if (argc - optind > (with_name ? 1 : 0)) {
		say("found '%s', expected no more than %s", argv[optind + (with_name ? 1 : 0)],
		    with_name ? "one NAME" : "options beginning with '-'");
		return EXIT_USAGE;
	}
	if (with_name && argc == optind) {
		say("the NAME of a client is missing (minivpn %s --help)", argv[0]);
		return EXIT_USAGE;
	}
	if (with_name && !key_name_is_valid(argv[optind])) {
		say("NAME: found '%s', expected %s", argv[optind], key_name_rule());
		return EXIT_USAGE;
	}
	wishes->name = with_name ? argv[optind] : NULL;
	return -1;
}

/* ---- reload ---- */

static void print_change(const json_t *reply)
{
	printf("%" JSON_INTEGER_FORMAT " keys: %" JSON_INTEGER_FORMAT
	       " added, %" JSON_INTEGER_FORMAT " changed, %" JSON_INTEGER_FORMAT " removed\n",
	       json_integer_value(json_object_get(reply, "keys")),
	       json_integer_value(json_object_get(reply, "added")),
	       json_integer_value(json_object_get(reply, "changed")),
	       json_integer_value(json_object_get(reply, "removed")));
}

int command_reload(int argc, char *argv[])
{
	struct wishes wishes;
	struct hub hub;
	json_t *reply;
	int r = read_wishes(argc, argv, usage_reload, false, &wishes);

	if (r < 0)
		r = hub_find(wishes.interface, &hub);
	if (r >= 0)
		return r;
	r = hub_reload(&hub, &reply);
	if (r == 0) {
		print_change(reply);
		json_decref(reply);
	}
	hub_release(&hub);
	return r;
}

/* ---- list ---- */

static void print_client(const json_t *peer)
{
	const json_t *list = json_object_get(peer, "addresses"), *address;
	const char *endpoint = json_string_value(json_object_get(peer, "endpoint"));
	char addresses[KEY_ADDRESSES_MAX * PREFIX_TEXT_BYTES] = "";
	size_t i;

	json_array_foreach((json_t *)list, i, address)
	{
		if (i < KEY_ADDRESSES_MAX) {
			strcat(addresses, i ? "," : "");
			strncat(addresses, json_string_value(address) ?: "", PREFIX_TEXT_BYTES - 2);
		}
	}
	printf("%-20s %-5s %-40s %s%s\n", json_string_value(json_object_get(peer, "name")) ?: "",
	       json_is_true(json_object_get(peer, "up")) ? "up" : "down",
	       *addresses ? addresses : "-", endpoint ? endpoint : "-",
	       json_is_true(json_object_get(peer, "old_key")) ? " (old key)" : "");
}

int command_list(int argc, char *argv[])
{
	struct wishes wishes;
	struct hub hub;
	json_t *reply, *peer;
	size_t i;
	int r = read_wishes(argc, argv, usage_list, false, &wishes);

	if (r < 0)
		r = hub_find(wishes.interface, &hub);
	if (r >= 0)
		return r;
	r = instance_ask(hub.interface, "status", -1, &reply);
	hub_release(&hub);
	if (r)
		return r;
	json_array_foreach(json_object_get(reply, "peers"), i, peer) print_client(peer);
	json_decref(reply);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- What changes files ---- */

/* The folder locked against others who change it, and the server aware of all that is in it. */
static int open_folder(struct hub *hub, int *ret_lock)
{
	struct keyfile_complaint complaint;
	scoped_fd lock = -1;
	int r = hub_need_folder(hub);

	if (r >= 0)
		return r;
	lock = keyfolder_open(hub->keys, &complaint);
	if (lock < 0)
		return hub_complaint(&complaint, lock);
	r = hub_reload(hub, NULL);
	if (r)
		return r;
	*ret_lock = take_fd(&lock);
	return -1;
}

/**
 * with_client() - do something with the file of a server's client: find the server, lock its folder, ask
 * what is known of the client, and afterwards let go
 * @work: returns an exit status
 */
static int with_client(int argc, char *argv[], const char *usage,
		       int (*work)(const struct wishes *wishes, struct hub *hub,
				   const struct hub_client *client))
{
	struct hub_client client;
	struct wishes wishes;
	struct hub hub;
	scoped_fd lock = -1;
	int r = read_wishes(argc, argv, usage, true, &wishes);

	if (r < 0)
		r = hub_find(wishes.interface, &hub);
	if (r >= 0)
		return r;
	r = open_folder(&hub, &lock);
	if (r < 0)
		r = hub_ask_client(&hub, wishes.name, &client);
	if (r < 0)
		r = work(&wishes, &hub, &client);
	hub_release(&hub);
	return r;
}

static int remove_client(const struct wishes *wishes, struct hub *hub,
			 const struct hub_client *client)
{
	struct keyfile_complaint complaint;
	struct keytext key = { 0 };
	char path[PATH_MAX];
	int r;

	sodium_mlock(&key, sizeof(key));
	r = hub_read_key(hub, wishes->name, client, path, &key);
	sodium_munlock(&key, sizeof(key)); /* wipes too */
	if (r >= 0)
		return r;
	r = keyfile_remove(path, &complaint);
	return r < 0 ? hub_complaint(&complaint, r) : hub_bring(hub, client->file);
}

int command_remove(int argc, char *argv[])
{
	return with_client(argc, argv, usage_remove, remove_client);
}

/* ---- invite and rotate ---- */

/* Those that the server has found free, one for each of its networks. */
static bool give_addresses(struct keytext *key, const struct hub *hub,
			   const struct hub_client *client)
{
	struct prefix network;

	memcpy(key->address, client->free, sizeof(key->address));
	key->address_count = client->free_count;
	if (client->free_count == hub->address_count || client->free_count == KEY_ADDRESSES_MAX)
		return true;
	network = prefix_network(&hub->address[client->free_count]);
	say("%s has no address left: remove clients, or give this one others with --address",
	    prefix_print(&network, (char[PREFIX_TEXT_BYTES]){ 0 }));
	return false;
}

/* What is given by hand must be in one of the server's networks, and not the server's own. */
static bool are_addresses_possible(const struct keytext *key, const struct hub *hub)
{
	char text[PREFIX_TEXT_BYTES];

	for (unsigned i = 0; i < key->address_count; i++) {
		const struct address *address = &key->address[i].address;
		bool inside = false;

		address_print(address, text);
		for (unsigned n = 0; n < hub->address_count; n++) {
			if (address_equal(address, &hub->address[n].address)) {
				say("--address: found %s, which is the server's own", text);
				return false;
			}
			inside |= prefix_contains(&hub->address[n], address);
		}
		if (!inside) {
			say("--address: found %s, expected one in the server's networks, as %s",
			    text, prefix_print(&hub->address[0], (char[PREFIX_TEXT_BYTES]){ 0 }));
			return false;
		}
	}
	return true;
}

/* Where the new client finds the server: as was asked, as the others do, as this machine is found. */
static int choose_endpoint(const char *asked, const struct hub *hub,
			   const struct hub_client *client, struct hostport *endpoint)
{
	struct address address;
	const char *wrong;

	if (asked && !hostport_parse(asked, endpoint, &wrong)) {
		say("--endpoint: found '%s': %s", asked, wrong);
		return EXIT_USAGE;
	}
	if (!*endpoint->host)
		*endpoint = client->endpoint;
	if (!*endpoint->host) {
		if (!machine_address(&address)) {
			say("this machine has no address that a client could find it by: say one "
			    "with --endpoint HOST");
			return EXIT_USAGE;
		}
		address_print(&address, endpoint->host);
	}
	if (!endpoint->port)
		endpoint->port = hub->port;
	return -1;
}

static int fill_key(const struct wishes *wishes, const struct hub *hub,
		    const struct hub_client *client, struct keytext *key)
{
	int r = choose_endpoint(wishes->endpoint, hub, client, &key->endpoint);
	struct complaint complaint;

	if (r >= 0)
		return r;
	strcpy(key->name, wishes->name);
	if (wishes->address && !addresses_parse(wishes->address, key, &complaint)) {
		say("--address: %s", complaint.text);
		return EXIT_USAGE;
	}
	if (wishes->address ? !are_addresses_possible(key, hub) : !give_addresses(key, hub, client))
		return EXIT_USAGE;
	randombytes_buf(&key->psk, sizeof(key->psk));
	return -1;
}

/* The file is there only if the server has taken it. */
static int add_client(const char *file, const struct keytext *key, struct hub *hub)
{
	struct keyfile_complaint complaint;
	char path[PATH_MAX];
	int r = keyfile_write(hub_path_of(hub, file, path), key, &complaint);

	if (r < 0)
		return hub_complaint(&complaint, r);
	r = hub_bring(hub, file);
	if (r)
		unlink(path);
	return r ? r : invite_show(key, path);
}

static int invite(const struct wishes *wishes, struct hub *hub, const struct hub_client *client)
{
	struct keytext key = { 0 };
	char file[KEY_NAME_BYTES + 8];
	int r = -1;

	if (client->is_known) {
		say("%s has a key already, in %s/%s: minivpn rotate %s gives it a new one",
		    wishes->name, hub->keys, client->file, wishes->name);
		return EXIT_USAGE;
	}
	snprintf(file, sizeof(file), "%s.key", wishes->name);
	sodium_mlock(&key, sizeof(key));
	r = fill_key(wishes, hub, client, &key);
	if (r < 0)
		r = add_client(file, &key, hub);
	sodium_munlock(&key, sizeof(key)); /* wipes too */
	return r;
}

int command_invite(int argc, char *argv[])
{
	return with_client(argc, argv, usage_invite, invite);
}

/* @pair: the key as it is, and room for the one that takes its place. */
static int rotate_in(const char *path, const char *file, struct keytext pair[2], struct hub *hub)
{
	const struct keytext *before = &pair[0];
	struct keytext *key = &pair[1];
	struct keyfile_complaint complaint;
	int r, error;

	/* One that was never used is replaced; the one that is in use stays good. */
	if (!key->has_old)
		key->old_psk = before->psk;
	key->has_old = true;
	randombytes_buf(&key->psk, sizeof(key->psk));
	if (!key->endpoint.port)
		key->endpoint.port = hub->port;
	r = keyfile_replace(path, key, &complaint);
	if (r < 0)
		return hub_complaint(&complaint, r);
	r = hub_bring(hub, file);
	if (r == 0)
		return invite_show(key, path);
	error = keyfile_replace(path, before, &complaint);
	return error < 0 ? hub_complaint(&complaint, error) : r;
}

static int rotate(const struct wishes *wishes, struct hub *hub, const struct hub_client *client)
{
	struct keytext pair[2] = { 0 };
	char path[PATH_MAX];
	int r;

	sodium_mlock(pair, sizeof(pair));
	r = hub_read_key(hub, wishes->name, client, path, &pair[0]);
	pair[1] = pair[0];
	if (r < 0)
		r = choose_endpoint(NULL, hub, client, &pair[1].endpoint);
	if (r < 0)
		r = rotate_in(path, client->file, pair, hub);
	sodium_munlock(pair, sizeof(pair)); /* wipes too */
	return r;
}

int command_rotate(int argc, char *argv[])
{
	return with_client(argc, argv, usage_rotate, rotate);
}
