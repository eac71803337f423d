/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `minivpn keylog`: the keys of the sessions that are, in the form of Wireshark's table of ESP SAs
 * (esp_sa in its folder of settings; Edit, Preferences, Protocols, ESP), to open a capture with.
 */
#include "cli/commands.h"
#include "cli/instances.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

static void print_sa(const json_t *sa)
{
	printf("\"%s\",\"%s\",\"%s\",\"0x%08llx\",\"ChaCha20 with Poly1305 [RFC7634]\",\"0x%s\","
	       "\"NULL\",\"\"\n",
	       json_is_true(json_object_get(sa, "ipv6")) ? "IPv6" : "IPv4", text_of(sa, "source"),
	       text_of(sa, "destination"),
	       (unsigned long long)json_integer_value(json_object_get(sa, "spi")),
	       text_of(sa, "key"));
}

static int print_tunnel(const char *name)
{
	const json_t *list;
	json_t *reply;
	int r = instance_ask(name, "keylog", -1, &reply);

	if (r)
		return r;
	list = json_object_get(reply, "sas");
	for (size_t i = 0; i < json_array_size(list); i++)
		print_sa(json_array_get(list, i));
	json_decref(reply);
	return 0;
}

static const char usage[] =
	"usage: minivpn keylog [NAME]\n"
	"Prints the keys of all sessions as lines of Wireshark's table of ESP SAs (esp_sa).\n"
	"Whoever has them can read what these sessions carry. The tunnel's log says that\n"
	"they were asked for.\n";

int command_keylog(int argc, char *argv[])
{
	struct instances meant;
	int r;

	prctl(PR_SET_DUMPABLE, 0); /* no core dump, no debugger */
	r = instances_read(argc, argv, usage, &meant);
	if (r >= 0)
		return r;
	for (unsigned i = 0; i < meant.count && r <= 0; i++)
		r = print_tunnel(meant.name[i]);
	return fflush(stdout) == 0 ? r : EXIT_FAILURE;
}
