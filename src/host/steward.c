/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steward's life: wait for whatever comes first, a request, a change of the host's addresses, or
 * the end of one of the others; and at the end undo everything.
 *
 * It believes nobody.  The network process reads what strangers send, so it may have been taken over:
 * what it asks for is looked at field by field (plan_check()) and held against what the command line
 * permits (limits.h).  Whoever asks for more is not answered but ended: the steward undoes everything
 * and goes, and the others go with it.
 */
#include "host/steward.h"

#include "host/arrange.h"
#include "host/bypass.h"
#include "host/far.h"
#include "host/message.h"
#include "host/rtnl.h"
#include "host/sandbox.h"
#include "host/state.h"
#include "log.h"
#include "scope.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
	/* With the keeper gone the network process gets SIGTERM and this long to say good-bye. */
	FAREWELL_MS = 500,
};

#define TAKEN_AWAY_INTERVAL_NS (30 * NS_PER_S)

enum phase {
	PHASE_IDLE,    /* nothing has been done to the host */
	PHASE_ARRANGED /* a plan is in force */
};

/**
 * struct stewardship - the steward's own state
 * @line:        to the network process
 * @limits:      how far it may go
 * @phase:       decides which requests are permitted
 * @arrangement: what is in force
 * @routes:      of peers, @route_count of them: they are not in the plan, and go with the device
 * @port:        of UDP sockets; 0 = the kernel is still to choose one
 * @taken_away:  how often it is told that somebody undoes what we do
 * @bypass:      what was told of ways beside a full tunnel
 */
struct stewardship {
	int line;
	const struct limits *limits;
	enum phase phase;
	struct arrangement arrangement;
	struct prefix *routes;
	size_t route_count;
	uint16_t port;
	struct log_rate taken_away;
	struct bypass bypass;
};

/* --- the requests ----------------------------------------------------------------------------- */

/* What a request comes to: NULL or why it is not to be answered; @reply and @ret_passed otherwise. */
typedef const char *request_handler(struct stewardship *s, const struct request *request,
				    struct reply *reply, int *ret_passed);

static const char *apply(struct stewardship *s, const struct request *request, struct reply *reply,
			 int *ret_passed)
{
	const char *objection = plan_check(&request->plan);

	(void)ret_passed;
	if (!objection)
		objection = limits_permit_plan(s->limits, &request->plan);
	if (objection)
		return objection;
	reply->error = arrange_apply(&s->arrangement, &request->plan, &reply->failed);
	if (reply->error)
		return NULL;
	s->phase = PHASE_ARRANGED;
	bypass_look(&s->bypass, s->arrangement.rtnl, &s->arrangement.plan);
	return NULL;
}

static const char *endpoint(struct stewardship *s, const struct request *request,
			    struct reply *reply, int *ret_passed)
{
	struct plan plan = s->arrangement.plan;

	(void)ret_passed;
	plan.server = request->endpoint;
	reply->error = arrange_apply(&s->arrangement, &plan, &reply->failed);
	return NULL;
}

static bool remember_route(struct stewardship *s, const struct prefix *network)
{
	struct prefix *routes = reallocarray(s->routes, s->route_count + 1, sizeof(*routes));

	if (!routes)
		return false;
	s->routes = routes;
	routes[s->route_count++] = *network;
	return true;
}

static void forget_route(struct stewardship *s, const struct prefix *network)
{
	for (size_t i = s->route_count; i-- > 0;) {
		if (s->routes[i].length != network->length ||
		    !address_equal(&s->routes[i].address, &network->address))
			continue;
		s->routes[i] = s->routes[--s->route_count];
		return;
	}
}

/* By which machine this one gets at everything else; none where there is no such machine. */
static struct address find_gateway(int rtnl, bool ipv4)
{
	const struct address far = far_address(ipv4, 1);
	struct route_answer answer;

	if (rtnl_lookup(rtnl, &far, PLAN_SOCKET_MARK, &answer) != 0)
		return (struct address){ { 0 } };
	return answer.gateway;
}

/* Adds a route, but none that takes the gateway into the tunnel: this host would be cut off from everything. */
static int add_peer_route(struct stewardship *s, const struct step_route *route)
{
	const char *interface = s->limits->interface;
	int rtnl = s->arrangement.rtnl, error;
	const struct address gateway = find_gateway(rtnl, address_is_ipv4(&route->network.address));
	struct route_answer way = { .mtu = 0 };

	error = rtnl_route(rtnl, true, interface, route);
	if (error || address_is_none(&gateway) || !prefix_contains(&route->network, &gateway) ||
	    rtnl_lookup(rtnl, &gateway, PLAN_SOCKET_MARK, &way) != 0 ||
	    strcmp(way.interface, interface) != 0)
		return error;
	rtnl_route(rtnl, false, interface, route);
	return -ELOOP;
}

/* Routes of peers are not in the plan: there may be thousands, and all of them go with the device. */
static const char *change_route(struct stewardship *s, const struct request *request, bool add,
				struct reply *reply)
{
	struct step_route route = { .network = request->network, .table = STEP_TABLE_MAIN };

	if (!prefix_is_valid(&route.network))
		return "impossible route";
	route.network = prefix_network(&route.network);
	if (!limits_permit_route(s->limits, &route.network))
		return "a route to other networks";
	if (add && !remember_route(s, &route.network)) {
		reply->error = -ENOMEM;
		return NULL;
	}
	reply->error = add ? add_peer_route(s, &route)
			   : rtnl_route(s->arrangement.rtnl, false, s->limits->interface, &route);
	if (!add || reply->error)
		forget_route(s, &route.network);
	return NULL;
}

static const char *add_route(struct stewardship *s, const struct request *request,
			     struct reply *reply, int *ret_passed)
{
	(void)ret_passed;
	return change_route(s, request, true, reply);
}

static const char *remove_route(struct stewardship *s, const struct request *request,
				struct reply *reply, int *ret_passed)
{
	(void)ret_passed;
	return change_route(s, request, false, reply);
}

static int bind_udp(int fd, bool ipv6, const struct address *local, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };

	memcpy(&six.sin6_addr, local->b, sizeof(six.sin6_addr));
	if (address_is_ipv4(local))
		memcpy(&four.sin_addr, local->b + 12, sizeof(four.sin_addr));
	if (ipv6 ? bind(fd, (struct sockaddr *)&six, sizeof(six)) < 0
		 : bind(fd, (struct sockaddr *)&four, sizeof(four)) < 0)
		return -errno;
	return 0;
}

static int prepare_udp(int fd, bool ipv6, bool shared, uint32_t buffer_bytes)
{
	int mark = PLAN_SOCKET_MARK, both = 0, yes = 1, bytes = (int)buffer_bytes;

	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	if (ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both)) < 0)
		return -errno;
	if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) < 0)
		return -errno;
	if (bytes > 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	}
	return 0;
}

static uint16_t bound_port(int fd)
{
	union {
		struct sockaddr_in four; /* the port is at the same place in both */
		struct sockaddr_in6 six;
	} name = { .four.sin_port = 0 };
	socklen_t bytes = sizeof(name);

	getsockname(fd, (struct sockaddr *)&name, &bytes);
	return ntohs(name.four.sin_port);
}

/* One socket for both families, where the host has both. */
static int open_udp_socket(const struct request *request, int *ret_fd)
{
	const struct address *local = &request->udp.local;
	bool ipv6 = !address_is_ipv4(local);
	scoped_fd fd =
		socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0 && errno == EAFNOSUPPORT && address_is_none(local)) {
		ipv6 = false;
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return -errno;
	error = prepare_udp(fd, ipv6, request->udp.shared, request->udp.buffer_bytes);
	if (!error)
		error = bind_udp(fd, ipv6, local, request->udp.port);
	if (!error)
		*ret_fd = take_fd(&fd);
	return error;
}

static const char *open_udp(struct stewardship *s, const struct request *request,
			    struct reply *reply, int *ret_passed)
{
	if (request->udp.buffer_bytes > INT32_MAX)
		return "impossible socket buffer";
	if (!address_equal(&request->udp.local, &s->limits->local) || request->udp.port != s->port)
		return "another UDP socket";
	reply->error = open_udp_socket(request, ret_passed);
	if (!reply->error)
		s->port = bound_port(*ret_passed);
	return NULL;
}

/* Each request, and from which phase on it is permitted. */
static const struct {
	const char *name;
	enum phase from;
	request_handler *handle;
} requests[] = {
	[REQUEST_APPLY] = { "apply plan", PHASE_IDLE, apply },
	[REQUEST_ENDPOINT] = { "endpoint changed", PHASE_ARRANGED, endpoint },
	[REQUEST_ADD_ROUTE] = { "add route", PHASE_ARRANGED, add_route },
	[REQUEST_REMOVE_ROUTE] = { "remove route", PHASE_ARRANGED, remove_route },
	[REQUEST_OPEN_UDP] = { "open UDP socket", PHASE_IDLE, open_udp },
};
static_assert(sizeof(requests) / sizeof(*requests) == REQUEST_KIND_COUNT,
	      "every request is described");

/* How it goes on after a request. */
enum outcome {
	OUTCOME_GO_ON,
	OUTCOME_END,       /* the network process has gone */
	OUTCOME_DISPLACED, /* the interface's name is another's */
	OUTCOME_BETRAYAL   /* it is not itself any more */
};

/* Takes one request. */
static enum outcome serve(struct stewardship *s)
{
	struct request request;
	struct reply reply = { .error = 0 };
	const char *objection;
	scoped_fd passed = -1;
	int error = message_receive(s->line, &request, sizeof(request), NULL);

	if (error == -EPIPE)
		return OUTCOME_END;
	if (error || request.kind >= REQUEST_KIND_COUNT) {
		log_error("steward: not a request: ending");
		return OUTCOME_BETRAYAL;
	}
	if (s->phase < requests[request.kind].from) {
		log_error("steward: request out of turn: ending: %s", requests[request.kind].name);
		return OUTCOME_BETRAYAL;
	}
	objection = requests[request.kind].handle(s, &request, &reply, &passed);
	if (objection) {
		log_error("steward: request that is not permitted: ending: %s: %s",
			  requests[request.kind].name, objection);
		return OUTCOME_BETRAYAL;
	}
	error = message_send(s->line, &reply, sizeof(reply), passed);
	return error ? OUTCOME_END : OUTCOME_GO_ON;
}

/* --- the life --------------------------------------------------------------------------------- */

static void refresh(struct stewardship *s)
{
	int error = arrange_refresh(&s->arrangement);

	/* With the device its addresses have gone; the network process knows better what that means. */
	if (error && error != -ENODEV)
		log_warning("steward: cannot adapt the rules to the host's new addresses: %s",
			    strerror(-error));
}

/* Return: how many were not there. */
static int restore_routes(const struct stewardship *s)
{
	struct step_route route = { .table = STEP_TABLE_MAIN };
	int restored = 0;

	for (size_t i = 0; i < s->route_count; i++) {
		route.network = s->routes[i];
		restored +=
			rtnl_route(s->arrangement.rtnl, true, s->limits->interface, &route) == 0;
	}
	return restored;
}

static struct instant boot_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (struct instant){ t.tv_sec * NS_PER_S + t.tv_nsec };
}

/* There may be thousands of peers' routes: they are gone through when one may be missing.  Return: can it go
 * on? */
static bool restore(struct stewardship *s, bool route_gone)
{
	struct instant now = boot_clock();
	int restored = arrange_restore(&s->arrangement);

	if (restored == -EEXIST) {
		log_error(
			"host: somebody has renamed %s, and another interface has its name: ending",
			s->limits->interface);
		return false;
	}

	if (restored > 0 || (restored == 0 && route_gone))
		restored += restore_routes(s);
	if (restored > 0)
		log_rated(&s->taken_away, now, LOG_WARNING,
			  "host: somebody has taken away what leads into %s (its name, addresses, "
			  "routes or policy rules, or it was set down): it is put back",
			  s->limits->interface);
	else if (restored < 0 && restored != -ENODEV)
		log_rated(&s->taken_away, now, LOG_WARNING,
			  "host: what somebody has taken away of %s cannot be put back: %s",
			  s->limits->interface, strerror(-restored));
	return true;
}

static bool has_ended(int lifeline)
{
	struct pollfd end = { .fd = lifeline, .events = 0 };

	return poll(&end, 1, 0) > 0;
}

static void wait_for_farewell(int line)
{
	struct pollfd end = { .fd = line, .events = 0 }; /* POLLHUP comes unasked */

	while (poll(&end, 1, FAREWELL_MS) < 0 && errno == EINTR)
		;
}

static enum outcome live(struct stewardship *s, int lifeline, int changes)
{
	struct pollfd waiting[] = { { .fd = s->line, .events = POLLIN },
				    { .fd = lifeline, .events = 0 },
				    { .fd = changes, .events = POLLIN } };

	for (;;) {
		if (poll(waiting, sizeof(waiting) / sizeof(*waiting), -1) < 0) {
			if (errno == EINTR)
				continue;
			return OUTCOME_END;
		}
		if (waiting[0].revents) {
			enum outcome outcome = serve(s);

			if (outcome != OUTCOME_GO_ON)
				return outcome;
		}
		if (waiting[1].revents) {
			wait_for_farewell(s->line);
			return OUTCOME_END;
		}
		if (waiting[2].revents) {
			bool route_gone;

			if (!rtnl_watch_read(changes, s->arrangement.rtnl, s->limits->interface,
					     &route_gone))
				continue;
			/* An interface without IPv6, as one that was set down, would be arranged
			 * without it, and that would leave beside it. */
			if (!restore(s, route_gone))
				return OUTCOME_DISPLACED;
			refresh(s);
			if (s->phase == PHASE_ARRANGED)
				bypass_look(&s->bypass, s->arrangement.rtnl, &s->arrangement.plan);
		}
	}
}

int steward_main(int fd, int lifeline, int state, const struct limits *limits)
{
	struct stewardship s = { .line = fd,
				 .limits = limits,
				 .phase = PHASE_IDLE,
				 .port = limits->port,
				 .taken_away.interval_ns = TAKEN_AWAY_INTERVAL_NS };
	scoped_fd changes = -1;
	enum outcome outcome;
	int error = arrange_open(&s.arrangement, limits->interface, state);

	if (!error)
		error = rtnl_watch(&changes);
	if (!error)
		error = sandbox_keep_network_rights();
	if (error) {
		log_error("steward: cannot start: %s", strerror(-error));
		return 1;
	}
	outcome = live(&s, lifeline, changes);
	arrange_undo(&s.arrangement);
	/* Otherwise the keeper removes it, last of all: by then device and port are free for the next, who
	 * may have the directory as soon as it is gone. */
	if (has_ended(lifeline))
		state_remove(limits->interface);
	free(s.routes);
	return outcome != OUTCOME_END;
}
