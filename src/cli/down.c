/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/commands.h"
#include "cli/instances.h"
#include "cli/say.h"
#include "host/arrange.h"
#include "run/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_S = 10, GRACE_S = 2, LOOKS_A_SECOND = 50 };

/* It is down when nobody holds its directory any more: the keeper lets go of it last. */
static bool wait_until_down(const char *name, int seconds)
{
	const struct timespec pause = { .tv_nsec = 1000000000 / LOOKS_A_SECOND };

	for (int looks = 0; looks < seconds * LOOKS_A_SECOND; looks++) {
		if (!state_is_alive(name))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void say_names(const struct instances *running)
{
	char text[INSTANCES_MAX * STATE_NAME_BYTES] = "";

	for (unsigned i = 0; i < running->count; i++) {
		strcat(text, " ");
		strcat(text, running->name[i]);
	}
	say("several tunnels run, expected the name of one:%s", text);
}

/* Has all processes of the tunnel go on, should somebody have stopped them (Ctrl-Z the keeper, SIGSTOP
 * any): they end as they should then. */
static void wake(const char *name)
{
	char path[64];
	FILE *children;
	pid_t keeper;
	int pid;

	if (state_keeper(name, &keeper) != 0)
		return;
	kill(keeper, SIGCONT);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	children = fopen(path, "re");
	while (children && fscanf(children, "%d", &pid) == 1)
		kill(pid, SIGCONT);
	if (children)
		fclose(children);
}

/* Ends the network process of a tunnel that cannot be asked; the others undo what was done.  Killed it is
 * only when it does not take its leave by itself.  For root, whatever other user it runs as. */
static bool end_without_answer(const char *name)
{
	char directory[STATE_PATH_BYTES];
	pid_t pid;

	if (geteuid() != 0 || control_server(state_directory(name, directory), &pid) != 0 ||
	    pid <= 1 || kill(pid, SIGTERM) < 0)
		return false;
	if (!wait_until_down(name, GRACE_S) && kill(pid, SIGKILL) == 0)
		say("%s did not end by itself: killed its network process: %d", name, (int)pid);
	return true;
}

/* Ends the keeper, when the others have gone or are told by its end to go; what it would have done last is
 * done in its place.  For root. */
static bool end_keeper(const char *name)
{
	pid_t keeper;

	if (geteuid() != 0 || state_keeper(name, &keeper) != 0 || kill(keeper, SIGKILL) < 0)
		return false;
	say("%s did not end by itself: killed its keeper: %d", name, (int)keeper);
	if (!wait_until_down(name, GRACE_S))
		return false;
	arrange_repair();
	return true;
}

static const char usage[] =
	"usage: minivpn down [NAME]\n"
	"Stops the tunnel whose interface is NAME, or the only one that runs, and waits\n"
	"until routes, rules and firewall are as they were.\n";

int command_down(int argc, char *argv[])
{
	struct instances meant;
	json_t *reply;
	int r = instances_read(argc, argv, usage, &meant);

	if (r >= 0)
		return r;
	if (meant.count > 1) {
		say_names(&meant);
		return EXIT_USAGE;
	}
	wake(meant.name[0]);
	r = instance_ask(meant.name[0], "down", -1, &reply);
	if (r && !state_is_alive(meant.name[0]))
		return EXIT_SUCCESS;
	if (r && !end_without_answer(meant.name[0]))
		return r;
	if (!r)
		json_decref(reply);
	if (wait_until_down(meant.name[0], WAIT_S) || end_keeper(meant.name[0]))
		return EXIT_SUCCESS;
	say("%s has been told to stop, but still runs after %d s", meant.name[0], WAIT_S);
	return EXIT_FAILURE;
}
