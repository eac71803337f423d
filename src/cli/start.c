/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `minivpn server` and `minivpn client`: from the command line to a tunnel that runs.  Everything that
 * can be wrong with what a person wrote is found here, before anything on the machine is touched.
 */
#include "aead/choose.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/install.h"
#include "cli/keylook.h"
#include "cli/machine.h"
#include "cli/say.h"
#include "conf/role.h"
#include "host/ruleset.h"
#include "host/sandbox.h"
#include "host/state.h"
#include "log.h"
#include "run/hostplan.h"
#include "run/tunnel.h"

#include <errno.h>
#include <grp.h>
#include <net/if.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One that has just been told to end is waited for: `kill` does not wait, and who restarts does not either. */
enum {
	END_PAUSE_MS = 25,
	END_TRIES = 40, /* a second, in which all is undone */
};

/* ---- What can be wrong with the machine ---- */

static int check_rights(void)
{
	if (geteuid() != 0) {
		say("needs the rights of root, to make an interface and routes: run it with sudo");
		return EXIT_FAILURE;
	}
	if (!sandbox_may_arrange_network()) {
		say("root may not change this network (no CAP_NET_ADMIN over it): give the "
		    "container that right, as with --cap-add=NET_ADMIN, or a network of its own");
		return EXIT_FAILURE;
	}
	return -1;
}

static int check_not_running(const struct config *config)
{
	const struct timespec pause = { .tv_nsec = END_PAUSE_MS * 1000000L };

	for (int i = 0; i < END_TRIES && state_is_alive(config->interface); i++)
		nanosleep(&pause, NULL);
	if (!state_is_alive(config->interface))
		return -1;
	say("%s runs already (minivpn status %s, minivpn down %s); a second tunnel needs another "
	    "--interface-name",
	    config->interface, config->interface, config->interface);
	return EXIT_FAILURE;
}

static uint16_t next_free_port(const struct address *local, uint16_t port)
{
	for (unsigned next = port + 1u; next < port + 100u && next <= UINT16_MAX; next++)
		if (machine_try_port(local, (uint16_t)next) == 0)
			return (uint16_t)next;
	return 0;
}

static int explain_taken_port(const struct config_local *local, uint16_t port)
{
	uint16_t next = next_free_port(&local->address, port);
	char holder[MACHINE_HOLDER_BYTES];

	if (!machine_port_holder(port, holder))
		strcpy(holder, "another program");
	say("UDP port %u is taken by %s: stop that, or use another with --local :%u", port, holder,
	    next ? next : port + 1u);
	return EXIT_FAILURE;
}

static int check_port(const struct config *config, enum role role)
{
	uint16_t port = config->local.port;
	int r;

	if (!port && role == ROLE_SERVER)
		port = PORT_DEFAULT;
	r = machine_try_port(&config->local.address, port);
	if (r == -EADDRINUSE)
		return explain_taken_port(&config->local, port);
	/* It may be one yet, at boot for one: a service manager shall try again. */
	if (r == -EADDRNOTAVAIL) {
		say("local: found %s, which is no address of this machine",
		    shown_address(&config->local.address));
		return EXIT_FAILURE;
	}
	return -1;
}

/* What a setting names must be there. */
static int check_names(const struct config *config)
{
	if (*config->user && !getpwnam(config->user)) {
		say("user: found '%s', expected a user of this machine", config->user);
		return EXIT_USAGE;
	}
	if (*config->control_group && !getgrnam(config->control_group)) {
		say("control-group: found '%s', expected a group of this machine",
		    config->control_group);
		return EXIT_USAGE;
	}
	if (*config->aead && !aead_named(config->aead)) {
		say("aead: found '%s', expected one of those that minivpn --version lists",
		    config->aead);
		return EXIT_USAGE;
	}
	return -1;
}

/* A tunnel's network that is also somewhere else: legal, but one of the two is out of reach. */
static void warn_of_overlaps(const struct tunnel *tunnel)
{
	struct machine_overlap overlap;
	struct prefix network;

	for (unsigned i = 0; i < tunnel->address_count; i++) {
		network = prefix_network(&tunnel->address[i]);
		if (machine_overlap(&network, tunnel->interface, &overlap))
			say("warning: the tunnel's network %s overlaps the route to %s by %s, and "
			    "only one of them can be reached: choose another with --address",
			    shown_prefix(&network), shown_prefix(&overlap.network),
			    overlap.interface);
	}
}

/* Local networks stay outside of a full tunnel, and so do the questions for names that are asked there, of a
 * router at home for one. */
static void warn_of_local_resolvers(const struct tunnel *tunnel)
{
	struct address resolver[TUNNEL_DNS_MAX];
	unsigned count = machine_resolvers(resolver, TUNNEL_DNS_MAX);
	struct machine_overlap local;

	for (unsigned i = 0; i < count && tunnel->full_tunnel; i++) {
		const struct prefix host = { resolver[i],
					     address_is_ipv4(&resolver[i]) ? 32 : 128 };

		if (!machine_overlap(&host, tunnel->interface, &local))
			continue;
		say("warning: names are looked up at %s, in a network of this machine's own (%s), "
		    "which the tunnel leaves alone: who is there sees them. minivpn status shows "
		    "the name servers that the server gives",
		    shown_address(&resolver[i]), local.interface);
		return;
	}
}

/* ---- Trying without doing ---- */

static void print_firewall(const struct plan *plan)
{
	struct ruleset ruleset;

	ruleset_of_plan(plan, true, &ruleset);
	if (ruleset.rule_count > 0)
		ruleset_print(&ruleset, stdout);
}

static int preview(const struct config *config, enum role role, const struct tunnel *tunnel)
{
	struct plan plan;

	printf("# configuration\n");
	config_print(config, role, stdout);
	hostplan_make(tunnel, NULL, NULL, &plan);
	printf("\n# this host%s\n", role == ROLE_CLIENT ? ", but for what the server gives" : "");
	if (role == ROLE_CLIENT && tunnel->full_tunnel)
		puts("everything goes into the tunnel, if the server offers that");
	plan_print(&plan, stdout);
	print_firewall(&plan);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool is_first_run(const struct config *config, enum role role)
{
	struct stat s;

	return !*config->key &&
	       stat(role == ROLE_SERVER ? ROLE_SERVER_KEYS "/." : ROLE_CLIENT_KEY, &s) < 0;
}

static int preview_first_run(const struct config *config, enum role role)
{
	printf("# first run: %s\n",
	       role == ROLE_SERVER ? "would make " ROLE_SERVER_KEYS
				     " with a first key, choose networks, and "
				     "print an invite"
				   : "would ask for an invite and keep it in " ROLE_CLIENT_KEY);
	config_print(config, role, stdout);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- Starting ---- */

static int check_machine(const struct config *config, enum role role)
{
	int r = check_rights();

	if (r < 0)
		r = check_not_running(config);
	if (r < 0)
		r = check_port(config, role);
	return r;
}

static int start(struct config *config, enum role role)
{
	struct key_facts facts = { 0 };
	struct complaint complaint;
	struct tunnel tunnel;
	int key_fd = -1, r;

	r = check_names(config);
	if (r >= 0)
		return r;
	if (config->dry_run && is_first_run(config, role))
		return preview_first_run(config, role);
	if (!config->dry_run)
		r = check_machine(config, role);
	if (r < 0)
		r = keylook(role, config, &facts, &key_fd);
	if (r >= 0)
		return r;
	if (!role_tunnel(config, role, &facts, key_fd, &tunnel, &complaint)) {
		say("%s", complaint.text);
		return EXIT_USAGE;
	}
	if (tunnel.default_route_offered && tunnel.dns_count == 0)
		tunnel.dns_count = machine_resolvers(tunnel.dns, TUNNEL_DNS_MAX);
	warn_of_overlaps(&tunnel);
	warn_of_local_resolvers(&tunnel);
	if (*tunnel.out_interface && !if_nametoindex(tunnel.out_interface))
		say("warning: --out: there is no interface %s; until there is, nothing that "
		    "clients "
		    "send is forwarded",
		    tunnel.out_interface);
	if (config->dry_run)
		return preview(config, role, &tunnel);
	log_start(tunnel.debug ? LOG_DEBUG : LOG_INFO);
	return tunnel_run(&tunnel);
}

static int command(int argc, char *argv[], enum role role)
{
	struct config config;
	int r = arguments_read(argc, argv, role, &config);

	if (r >= 0)
		return r;
	if (config.install || config.uninstall)
		return install(&config, role);
	return start(&config, role);
}

int command_server(int argc, char *argv[])
{
	return command(argc, argv, ROLE_SERVER);
}

int command_client(int argc, char *argv[])
{
	return command(argc, argv, ROLE_CLIENT);
}
