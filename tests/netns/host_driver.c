/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of a tunnel without the tunnel: keeper, steward and a network process that has a tun
 * device and does what it reads on standard input, a line at a time.
 *
 *	minivpn-host-driver IF [full] [forward] [any-route] [out=IF2] [route=CIDR]... [local=ADDR] [port=N]
 *
 * The words are the limits.  Lines: `address CIDR`, `route CIDR`, `network CIDR`, `mtu N`,
 * `out IF`, `refuse ipv4|ipv6`, `server ADDR:PORT`, `nat`, `isolate`, `clamp`, `forward`, `clear`
 * change the plan; `apply`, `endpoint ADDR:PORT`, `add CIDR`, `remove CIDR`, `udp ADDR PORT`,
 * `sandbox`, `read` (from the tun device), `lookup ADDR`, `garbage` do something and print what came of it.
 */
#include "host/keeper.h"
#include "host/rtnl.h"
#include "host/sandbox.h"
#include "log.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int orders; /* standard input as it was: the keeper's children have none */

static int open_tun(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
		perror("tun");
		exit(3);
	}
	return fd;
}

static void say(const char *what, int error, const struct step *failed)
{
	char text[STEP_TEXT_BYTES] = "";

	if (failed && failed->kind != STEP_NONE)
		step_print(failed, text);
	printf("%s: %s%s%s\n", what, error ? strerror(-error) : "ok", text[0] ? ": " : "", text);
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	if (!prefix_parse(text, &p))
		exit(4);
	return p;
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint e = { .remote_port = 0 };

	if (!endpoint_parse(text, &e))
		exit(4);
	return e;
}

static struct plan begun_plan(const char *interface)
{
	struct plan plan;

	plan_init(&plan, interface, 1420);
	return plan;
}

/* Changes the plan, if the line is about the plan. */
static bool change_plan(struct plan *plan, const char *verb, const char *object)
{
	struct prefix p;

	if (strcmp(verb, "address") == 0 || strcmp(verb, "route") == 0 ||
	    strcmp(verb, "network") == 0)
		p = prefix_of(object);
	if (strcmp(verb, "address") == 0)
		plan_add_address(plan, &p);
	else if (strcmp(verb, "route") == 0)
		plan_add_route(plan, &p);
	else if (strcmp(verb, "network") == 0)
		plan_add_network(plan, &p);
	else if (strcmp(verb, "mtu") == 0)
		plan->mtu = (uint16_t)atoi(object);
	else if (strcmp(verb, "out") == 0)
		strncpy(plan->out, object, sizeof(plan->out) - 1);
	else if (strcmp(verb, "refuse") == 0 && strcmp(object, "ipv4") == 0)
		plan->default_ipv4 = PLAN_WAY_REFUSED;
	else if (strcmp(verb, "refuse") == 0)
		plan->default_ipv6 = PLAN_WAY_REFUSED;
	else if (strcmp(verb, "server") == 0)
		plan->server = endpoint_of(object);
	else if (strcmp(verb, "nat") == 0)
		plan->masquerade = 1;
	else if (strcmp(verb, "isolate") == 0)
		plan->isolate_peers = 1;
	else if (strcmp(verb, "clamp") == 0)
		plan->clamp_mss = 1;
	else if (strcmp(verb, "forward") == 0)
		plan->forward_ipv4 = plan->forward_ipv6 = 1;
	else if (strcmp(verb, "clear") == 0)
		*plan = begun_plan(plan->interface);
	else
		return false;
	return true;
}

static void look_up(const char *text)
{
	struct route_answer answer;
	struct prefix p = prefix_of(text);
	int fd, error = rtnl_open(&fd);

	if (!error)
		error = rtnl_lookup(fd, &p.address, 0, &answer);
	say("lookup", error, NULL);
	if (!error)
		printf("by %s from %s mtu %u\n", answer.interface, shown_address(&answer.source),
		       answer.mtu);
}

static void open_udp(struct steward *steward, const char *local, const char *port)
{
	struct prefix p = prefix_of(local);
	int fd = -1, mark = 0, error;
	socklen_t bytes = sizeof(mark);

	error = steward_open_udp(steward, &p.address, (uint16_t)atoi(port), false, 1 << 22, &fd);
	if (!error)
		getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &bytes);
	say("udp", error, NULL);
	printf("mark 0x%x\n", mark);
}

static void count_packets(int tun)
{
	char packet[2048];
	unsigned n = 0;

	while (read(tun, packet, sizeof(packet)) > 0)
		n++;
	printf("read: %u packets\n", n);
}

static void obey(struct steward *steward, struct plan *plan, int tun, char *line)
{
	const char *verb = strtok(line, " \n"), *object = strtok(NULL, " \n");
	struct step failed = { .kind = STEP_NONE };
	struct endpoint e;
	struct prefix p;

	if (!verb || change_plan(plan, verb, object ? object : ""))
		return;
	if (strcmp(verb, "apply") == 0) {
		int error = steward_apply(steward, plan, &failed);

		say("apply", error, &failed);
	} else if (strcmp(verb, "endpoint") == 0) {
		e = endpoint_of(object);
		say("endpoint", steward_endpoint(steward, &e), NULL);
	} else if (strcmp(verb, "add") == 0) {
		p = prefix_of(object);
		say("add", steward_add_route(steward, &p), NULL);
	} else if (strcmp(verb, "remove") == 0) {
		p = prefix_of(object);
		say("remove", steward_remove_route(steward, &p), NULL);
	} else if (strcmp(verb, "udp") == 0) {
		open_udp(steward, object, strtok(NULL, " \n"));
	} else if (strcmp(verb, "lookup") == 0) {
		look_up(object);
	} else if (strcmp(verb, "read") == 0) {
		count_packets(tun);
	} else if (strcmp(verb, "sandbox") == 0) {
		say("memory", sandbox_memory(), NULL);
		say("sandbox", sandbox_enter(object), NULL);
	} else if (strcmp(verb, "garbage") == 0) {
		send(steward->fd, "garbage", 7, 0);
	} else {
		printf("what? %s\n", verb);
	}
}

static int network(void *context, struct steward *steward, int resolver)
{
	const char *interface = context;
	struct pollfd waiting[] = { { .fd = steward->fd, .events = 0 },
				    { .fd = STDIN_FILENO, .events = POLLIN } };
	int tun = open_tun(interface);
	struct plan plan = begun_plan(interface);

	(void)resolver;
	dup2(orders, STDIN_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	printf("ready\n");
	for (;;) {
		char line[256];

		if (poll(waiting, 2, -1) < 0)
			continue;
		if (waiting[0].revents) {
			printf("the steward has gone\n");
			return 1;
		}
		if (!waiting[1].revents)
			continue;
		if (fgets(line, sizeof(line), stdin))
			obey(steward, &plan, tun, line);
		else
			waiting[1].fd = -1;
	}
}

static int resolve(void *context, int fd)
{
	char nothing;

	(void)context;
	while (recv(fd, &nothing, 1, 0) > 0)
		;
	return 0;
}

static void read_limit(struct limits *limits, const char *word)
{
	if (strcmp(word, "full") == 0)
		limits->full_tunnel = limits->any_route = true;
	else if (strcmp(word, "any-route") == 0)
		limits->any_route = true;
	else if (strcmp(word, "forward") == 0)
		limits->forward = true;
	else if (strncmp(word, "out=", 4) == 0)
		strncpy(limits->out, word + 4, sizeof(limits->out) - 1);
	else if (strncmp(word, "route=", 6) == 0)
		limits->route[limits->route_count++] = prefix_of(word + 6);
	else if (strncmp(word, "local=", 6) == 0)
		limits->local = prefix_of(word + 6).address;
	else if (strncmp(word, "port=", 5) == 0)
		limits->port = (uint16_t)atoi(word + 5);
}

int main(int argc, char **argv)
{
	struct household household = { .network = network, .resolve = resolve };

	if (argc < 2)
		return 2;
	household.context = argv[1];
	memcpy(household.limits.interface, argv[1], strnlen(argv[1], PLAN_INTERFACE_BYTES - 1));
	for (int i = 2; i < argc; i++)
		read_limit(&household.limits, argv[i]);
	orders = dup(STDIN_FILENO);
	return keeper_run(&household);
}
