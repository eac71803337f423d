/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/instances.h"

#include "cli/say.h"
#include "host/plan.h"
#include "run/control.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long to wait for one that is about to start or to end: a second, in which it does either. */
enum {
	BETWEEN_PAUSE_MS = 25,
	BETWEEN_TRIES = 40,
};

static int is_interface_name(const struct dirent *entry)
{
	return plan_interface_is_valid(entry->d_name);
}

void instances_running(struct instances *ret_instances)
{
	struct instances found = { .count = 0 };
	char folder[STATE_PATH_BYTES];
	struct dirent **entry;
	int entries = scandir(state_directory(NULL, folder), &entry, is_interface_name, alphasort);

	for (int i = 0; i < entries; i++) {
		if (found.count < INSTANCES_MAX && state_is_alive(entry[i]->d_name))
			snprintf(found.name[found.count++], sizeof(*found.name), "%.15s",
				 entry[i]->d_name);
		free(entry[i]);
	}
	if (entries >= 0)
		free(entry);
	*ret_instances = found;
}

int instances_meant(int count, char *names[], struct instances *ret_instances)
{
	if (count > 1) {
		say("found '%s', expected no more than one NAME", names[1]);
		return EXIT_USAGE;
	}
	if (count == 1 && !plan_interface_is_valid(names[0])) {
		say("found '%s', expected the name of a tunnel's interface", names[0]);
		return EXIT_USAGE;
	}
	if (count == 1 && !state_is_alive(names[0])) {
		say("%s: no tunnel of that name runs here", names[0]);
		return EXIT_FAILURE;
	}
	if (count == 1) {
		strcpy(ret_instances->name[0], names[0]);
		ret_instances->count = 1;
		return -1;
	}
	instances_running(ret_instances);
	if (ret_instances->count > 0)
		return -1;
	say("no tunnel runs here");
	return EXIT_FAILURE;
}

int instances_read(int argc, char *argv[], const char *usage, struct instances *ret_instances)
{
	static const struct option flags[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	int flag;

	opterr = 0;
	while ((flag = getopt_long(argc, argv, "h", flags, NULL)) != -1) {
		if (flag == 'h') {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		say("%s: no such option (minivpn %s --help)", argv[optind - 1], argv[0]);
		return EXIT_USAGE;
	}
	return instances_meant(argc - optind, argv + optind, ret_instances);
}

/* One that starts has no socket yet, one that stops has none any more, or hangs up. */
static bool may_be_in_between(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET ||
	       error == -EPIPE || error == -EPROTO;
}

static int ask(const char *name, const struct control_request *request, json_t **ret_reply)
{
	const struct timespec pause = { .tv_nsec = BETWEEN_PAUSE_MS * 1000000L };
	char directory[STATE_PATH_BYTES];
	int r = control_ask(state_directory(name, directory), request, ret_reply);

	for (int i = 0; i < BETWEEN_TRIES && may_be_in_between(r) && state_is_alive(name); i++) {
		nanosleep(&pause, NULL);
		r = control_ask(directory, request, ret_reply);
	}
	if (r == 0)
		return 0;
	if (may_be_in_between(r) && !state_is_alive(name)) {
		say("%s: the tunnel has ended", name);
		return EXIT_FAILURE;
	}
	if (r == -ETIMEDOUT) {
		say("%s does not answer: it hangs, or somebody has stopped its network process "
		    "('minivpn down %s' ends it)",
		    name, name);
		return EXIT_FAILURE;
	}
	say("%s cannot be asked: %s%s", name, strerror(-r),
	    r == -EACCES ? " (that is for root: run it with sudo)" : "");
	return EXIT_FAILURE;
}

int instance_ask(const char *name, const char *request, int passed, json_t **ret_reply)
{
	return ask(name, &(struct control_request){ .word = request, .passed = passed }, ret_reply);
}

int instance_ask_of(const char *name, const char *request, const char *client, json_t **ret_reply)
{
	return ask(name, &(struct control_request){ .word = request, .name = client, .passed = -1 },
		   ret_reply);
}
