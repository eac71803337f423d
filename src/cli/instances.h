/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which tunnels run here, by the names of their interfaces; and asking them. */
#ifndef CLI_INSTANCES_H
#define CLI_INSTANCES_H

#include "host/state.h"

#include <jansson.h>

enum { INSTANCES_MAX = 64 };

struct instances {
	char name[INSTANCES_MAX][STATE_NAME_BYTES];
	unsigned count;
};

/** instances_running() - all that run in this network namespace, in alphabetical order */
void instances_running(struct instances *ret_instances);

/**
 * instances_meant() - those that a command line means
 * @count, @names: its operands: at most one name; none means all that run
 *
 * Return: -1; otherwise the exit status with which to end now: nothing of that name runs, or nothing
 * at all (which has been said)
 */
int instances_meant(int count, char *names[], struct instances *ret_instances);

/**
 * instances_read() - those that the command line of a command means that has no option but --help
 * @usage: what --help says
 *
 * Return: as instances_meant()
 */
int instances_read(int argc, char *argv[], const char *usage, struct instances *ret_instances);

/**
 * instance_ask() - ask the tunnel of that name (run/control.h)
 * @request:   a word
 * @passed:    a descriptor to go with the request, or -1
 * @ret_reply: the caller's to json_decref(); an "error" in it is his, too
 *
 * Return: 0; otherwise exit status 1, and that it cannot be asked was said
 */
int instance_ask(const char *name, const char *request, int passed, json_t **ret_reply);

/** instance_ask_of() - the same about a client of a server, by its name */
int instance_ask_of(const char *name, const char *request, const char *client, json_t **ret_reply);

#endif
