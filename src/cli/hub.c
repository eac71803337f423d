/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/hub.h"

#include "cli/instances.h"
#include "cli/say.h"
#include "scope.h"

#include <sodium.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

int hub_complaint(const struct keyfile_complaint *complaint, int error)
{
	static const int of_the_file[] = { EINVAL, EPERM, ELOOP, EFBIG, ENOENT, EEXIST };
	char text[KEYFILE_COMPLAINT_BYTES];

	say("%s", keyfile_complaint_print(complaint, text));
	for (size_t i = 0; i < sizeof(of_the_file) / sizeof(*of_the_file); i++)
		if (error == -of_the_file[i])
			return EXIT_USAGE;
	return EXIT_FAILURE;
}

/* ---- Which one ---- */

/* Return: -1 if it is a server and @hub is filled in; 0 for a client; or positive exit status. */
static int ask_about(const char *interface, struct hub *hub)
{
	const json_t *address, *list;
	json_t *reply;
	struct stat s;
	size_t i;
	int r;

	*hub = (struct hub){ 0 };
	snprintf(hub->interface, sizeof(hub->interface), "%s", interface);
	r = instance_ask(interface, "about", -1, &reply);
	if (r)
		return r;
	if (strcmp(json_string_value(json_object_get(reply, "role")) ?: "", "server") != 0) {
		json_decref(reply);
		return 0;
	}
	state_keys(interface, hub->keys);
	hub->is_folder = stat(hub->keys, &s) == 0 && S_ISDIR(s.st_mode);
	hub->port = (uint16_t)json_integer_value(json_object_get(reply, "port"));
	list = json_object_get(reply, "addresses");
	json_array_foreach((json_t *)list, i, address)
	{
		if (hub->address_count < TUNNEL_ADDRESSES_MAX &&
		    prefix_parse(json_string_value(address) ?: "",
				 &hub->address[hub->address_count]))
			hub->address_count++;
	}
	hub->retired = json_incref(json_object_get(reply, "retired"));
	json_decref(reply);
	return -1;
}

int hub_find(const char *interface, struct hub *ret_hub)
{
	struct instances running;
	unsigned servers = 0;
	struct hub hub;
	char *name = (char *)interface;
	int r;

	prctl(PR_SET_DUMPABLE, 0); /* keys will be read: no core dump, no debugger */
	if (sodium_init() < 0) {
		say("libsodium does not start");
		return EXIT_FAILURE;
	}
	r = instances_meant(interface ? 1 : 0, &name, &running);
	for (unsigned i = 0; r < 0 && i < running.count; i++) {
		int kind = ask_about(running.name[i], &hub);

		if (kind > 0)
			return kind;
		if (kind == 0)
			continue;
		if (servers++ > 0) {
			say("several servers run here (%s, %s), expected the interface of one: -i "
			    "NAME",
			    ret_hub->interface, hub.interface);
			hub_release(&hub);
			hub_release(ret_hub);
			return EXIT_USAGE;
		}
		*ret_hub = hub;
	}
	if (r < 0 && servers == 0) {
		say("no server runs here, only clients");
		return EXIT_FAILURE;
	}
	return r;
}

int hub_need_folder(const struct hub *hub)
{
	if (hub->is_folder)
		return -1;
	if (access(hub->keys, F_OK) < 0) {
		say("%s cannot be opened: %s%s", hub->keys, strerror(errno),
		    errno == EACCES   ? " (that is for root: run it with sudo)"
		    : errno == ENOENT ? " (the keys were there when the server started)"
				      : "");
		return EXIT_FAILURE;
	}
	say("%s serves the one key file %s; to add clients while it runs, start it with a folder "
	    "of "
	    "keys: minivpn server DIR",
	    hub->interface, hub->keys);
	return EXIT_USAGE;
}

void hub_release(struct hub *hub)
{
	json_decref(hub->retired);
	*hub = (struct hub){ 0 };
}

/* ---- Its clients ---- */

int hub_ask_client(const struct hub *hub, const char *name, struct hub_client *ret_client)
{
	struct hub_client client = { 0 };
	const char *text, *wrong;
	json_t *reply, *item;
	size_t i;
	int r = instance_ask_of(hub->interface, "client", name, &reply);

	if (r)
		return r;
	client.is_known = json_is_true(json_object_get(reply, "known"));
	text = json_string_value(json_object_get(reply, "file"));
	if (text && keyfolder_has_name(text))
		strcpy(client.file, text);
	text = json_string_value(json_object_get(reply, "endpoint"));
	if (!text || !hostport_parse(text, &client.endpoint, &wrong))
		client.endpoint = (struct hostport){ 0 };
	json_array_foreach(json_object_get(reply, "free"), i, item)
	{
		if (client.free_count < KEY_ADDRESSES_MAX &&
		    interface_address_parse(json_string_value(item) ?: "",
					    &client.free[client.free_count]))
			client.free_count++;
	}
	json_decref(reply);
	*ret_client = client;
	return -1;
}

char *hub_path_of(const struct hub *hub, const char *file, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)(PATH_MAX - NAME_MAX - 2), hub->keys, file);
	return ret_path;
}

int hub_read_key(const struct hub *hub, const char *name, const struct hub_client *client,
		 char ret_path[PATH_MAX], struct keytext *ret_key)
{
	struct keyfile_complaint complaint;
	int r;

	if (!client->is_known) {
		say("%s: found no client of that name in %s (minivpn list shows all)", name,
		    hub->keys);
		return EXIT_USAGE;
	}
	if (!*client->file) {
		say("%s: its key is in a file whose name is not UTF-8: rename it", name);
		return EXIT_USAGE;
	}
	r = keyfile_read(hub_path_of(hub, client->file, ret_path), ret_key, &complaint);
	if (r < 0)
		return hub_complaint(&complaint, r);
	/* The server says which file it is, and has fewer rights than we. */
	if (strcmp(ret_key->name, name) == 0)
		return -1;
	say("%s: found the key of %s, expected that of %s", ret_path, ret_key->name, name);
	return EXIT_FAILURE;
}
