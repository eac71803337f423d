/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/network.h"

#include "aead/choose.h"
#include "host/sandbox.h"
#include "host/state.h"
#include "io/clock.h"
#include "io/udp.h"
#include "run/handout.h"
#include "run/hostplan.h"
#include "run/network_parts.h"
#include "scope.h"

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	/* A burst of some milliseconds at full speed; with the usual 208 KB hundreds were lost. */
	SOCKET_BUFFER_BYTES = 4 << 20,
	KEY_FILE_BYTES_USUAL = 256,
	/* The steward undoes in some milliseconds; if not, the keeper sees to it. */
	UNDO_PATIENCE_MS = 1000,
};

#define TROUBLE_INTERVAL_NS (30 * NS_PER_S)

/**
 * struct opened - what needs rights to be opened, on its way to whom it belongs to
 */
struct opened {
	struct tun tun;
	int udp;
	int control;
};

static int say_tun(const char *interface, int error)
{
	if (error == -ENOENT || error == -ENXIO || error == -ENODEV)
		log_error("tunnel: no tun device in this system: load the module with 'modprobe "
			  "tun', "
			  "or give the container /dev/net/tun");
	else if (error == -EBUSY)
		log_error("tunnel: interface %s is in use by another program: choose another name "
			  "with --interface-name",
			  interface);
	else if (error == -EINVAL)
		log_error("tunnel: there is an interface %s already, and it is no tun device: "
			  "choose another name with --interface-name",
			  interface);
	else if (error == -ENOTTY)
		log_error("tunnel: /dev/net/tun is no tun device: give the container that of the "
			  "machine, as with --device=/dev/net/tun");
	else if (error == -EPERM || error == -EACCES)
		log_error("tunnel: no right to make a tun device: give the container the right to "
			  "/dev/net/tun, as with --device=/dev/net/tun");
	else
		log_error("tunnel: cannot make interface %s: %s", interface, strerror(-error));
	return error;
}

/* One worker has a device of its own with many queues.  Of one that somebody else made it has one, be it the
 * only one or one of many. */
static int open_for_one(const char *interface, struct tun *ret_tun)
{
	int error = tun_open_spread(interface, ret_tun), why = error;

	if (!error)
		return 0;
	error = tun_open(interface, 1, ret_tun);
	if (error == -EINVAL)
		error = tun_open(interface, TUN_QUEUES_MAX, ret_tun);
	if (!error && why != -EBUSY)
		log_info("tunnel: one queue for all flows: %s", strerror(-why));
	return error;
}

/* @workers: how many are wanted; set to 1 where the device, made by somebody else, has but one queue. */
static int open_tun(const struct tunnel *tunnel, unsigned *workers, struct tun *ret_tun)
{
	int error = *workers > 1 ? tun_open(tunnel->interface, *workers, ret_tun)
				 : open_for_one(tunnel->interface, ret_tun);

	if (error == -EINVAL && *workers > 1) {
		error = tun_open(tunnel->interface, 1, ret_tun);
		if (!error)
			log_warning("tunnel: one worker instead of %u: %s has but one queue",
				    *workers, tunnel->interface);
		*workers = 1;
	}
	return error ? say_tun(tunnel->interface, error) : 0;
}

static int open_udp(struct network *network, int *ret_fd)
{
	const struct tunnel *tunnel = network->tunnel;
	uint16_t port = tunnel->bind_port;
	int error = steward_open_udp(network->steward, &tunnel->bind_address, port, false,
				     SOCKET_BUFFER_BYTES, ret_fd);

	if (error == -EADDRINUSE)
		log_error("tunnel: UDP port %u is taken by another program ('ss -lunp sport = %u' "
			  "says which): choose another with --local :%u",
			  port, port, port + 1);
	else if (error == -EADDRNOTAVAIL)
		log_error("tunnel: %s is no address of this machine: see --local",
			  shown_address(&tunnel->bind_address));
	else if (error)
		log_error("tunnel: cannot open UDP port %u: %s", port, strerror(-error));
	return error;
}

static int open_control(const struct tunnel *tunnel, int *ret_fd)
{
	const struct group *group = *tunnel->control_group ? getgrnam(tunnel->control_group) : NULL;
	char directory[STATE_PATH_BYTES];
	int error;

	if (*tunnel->control_group && !group) {
		log_error("tunnel: there is no group '%s': see --control-group",
			  tunnel->control_group);
		return -ENOENT;
	}
	error = control_listen(state_directory(tunnel->interface, directory),
			       group ? group->gr_gid : CONTROL_NO_GROUP, ret_fd);
	if (error)
		log_error("tunnel: cannot make the control socket in %s: %s", directory,
			  strerror(-error));
	return error;
}

static void open_endpoints(struct network *network)
{
	char directory[STATE_PATH_BYTES], path[STATE_PATH_BYTES + 32];

	/* Beside the instance's directory, which ends with the instance. */
	snprintf(path, sizeof(path), "%s/.endpoints-%s", state_directory(NULL, directory),
		 network->tunnel->interface);
	network->endpoints = endpoints_open(path);
	if (!network->endpoints)
		log_warning("tunnel: where clients are will be forgotten at a restart: %s: %s",
			    path, strerror(errno));
}

static int choose_aead(struct network *network)
{
	const char *name = *network->tunnel->aead ? network->tunnel->aead : NULL;
	int error = aead_choose(name, &network->aead);

	if (error)
		log_error("tunnel: cannot use AEAD %s: %s", name ? name : "of any kind",
			  error == -ENOENT    ? "not in this build"
			  : error == -EBADMSG ? "its self-test failed"
					      : strerror(-error));
	return error;
}

static int make_handout(struct network *network)
{
	size_t over = handout_make(network->tunnel, &network->configuration);

	if (over > 0)
		log_error("tunnel: what clients are given (routes, DNS) does not fit into a "
			  "handshake: "
			  "%zu bytes over; give fewer with --route or --dns",
			  over);
	return over > 0 ? -EMSGSIZE : 0;
}

/* For the commands that change clients, which go by what this process can change no more. */
static void note_keys(struct network *network)
{
	const struct tunnel *tunnel = network->tunnel;
	int error;

	if (!realpath(tunnel->key_path, network->key_path))
		*network->key_path = '\0'; /* it came by a descriptor */
	if (tunnel->role != ROLE_SERVER)
		return;
	error = state_note_keys(tunnel->interface, network->key_path);
	if (error)
		log_warning(
			"tunnel: clients can only be changed by a restart: where their keys are "
			"cannot be written down: %s",
			strerror(-error));
}

/* Everything that needs rights. */
static int open_all(struct network *network, struct opened *opened)
{
	const struct tunnel *tunnel = network->tunnel;
	unsigned workers = further_wanted(tunnel);
	int error = sodium_init() < 0 ? -ENOSYS : sandbox_memory();

	if (error)
		log_error("tunnel: cannot keep keys out of swap and core dumps: %s",
			  strerror(-error));
	if (!error && tunnel->role == ROLE_SERVER)
		keywatch_open(tunnel->key_path, &network->keywatch);
	if (!error)
		error = keyring_gather(tunnel, &network->bundle);
	if (!error)
		note_keys(network);
	if (!error)
		error = choose_aead(network);
	if (!error && tunnel->role == ROLE_SERVER)
		error = make_handout(network);
	if (!error)
		error = open_udp(network, &opened->udp);
	if (!error)
		error = open_tun(tunnel, &workers, &opened->tun);
	if (!error)
		further_open(&network->further, workers, tunnel, &opened->tun, opened->udp,
			     network->aead.aead, network->steward, SOCKET_BUFFER_BYTES);
	if (!error)
		error = open_control(tunnel, &opened->control);
	if (!error && tunnel->role == ROLE_SERVER)
		open_endpoints(network);
	return error;
}

static int give_up_rights(const struct tunnel *tunnel)
{
	int error = sandbox_enter(tunnel->user);

	if (error == -ENOENT)
		log_error("tunnel: there is no user '%s' to run as: see --user",
			  *tunnel->user ? tunnel->user : "nobody");
	else if (error == -EPERM || error == -EINVAL)
		log_error("tunnel: may not run as another user: it takes CAP_SETUID and CAP_SETGID "
			  "(of a container: --cap-add=SETUID --cap-add=SETGID), and in a user "
			  "namespace other users than root; with '--user root' it stays root, "
			  "without capabilities but with root's files");
	else if (error)
		log_error("tunnel: cannot give up rights: %s", strerror(-error));
	return error;
}

static int start_worker(struct network *network, struct opened *opened, struct instant now)
{
	const struct tunnel *tunnel = network->tunnel;
	struct worker_config config = {
		.tun = opened->tun,
		.engine = {
			.role = tunnel->role,
			.aead = network->aead.aead,
			.aead_context = network->aead.context,
			.inner_mtu = tunnel->mtu ? tunnel->mtu : INNER_MTU_OVER_IPV4,
			.workers = network->further.workers,
			.keepalive_ns = tunnel->keepalive_s * NS_PER_S,
			.copy_dscp = tunnel->copy_dscp,
			.configuration =
				tunnel->role == ROLE_SERVER ? &network->configuration : NULL,
			.software = "minivpn " MINIVPN_VERSION,
			.peers_expected = (unsigned)(network->bundle.bytes / KEY_FILE_BYTES_USUAL),
		},
		.owner = network,
		.engine_event = news_of_engine,
		.network_event = news_of_transport,
		.debug = tunnel->debug,
	};
	int error = further_equip(&network->further, &config);

	if (!error)
		error = udp_start(opened->udp, &config.transport);
	if (error)
		return error;
	opened->udp = -1;
	error = worker_open(&config, now, &network->worker);
	if (error) {
		config.transport->kind->close(config.transport);
		return error;
	}
	opened->tun = (struct tun){ .fd = -1 };
	return worker_watch(network->worker, &network->loop, TAG_TUN, TAG_TRANSPORT, TAG_MAIL);
}

/* The keys that this process was started with; later ones come by the control socket. */
static int take_first_keys(struct network *network, struct instant now)
{
	struct keyfile_complaint complaint;
	char text[KEYFILE_COMPLAINT_BYTES];
	struct keychange change;
	int error = keyring_compare(&network->keyring, &network->bundle, &change, &complaint);

	keybundle_release(&network->bundle);
	if (error)
		log_error("keyring: %s", keyfile_complaint_print(&complaint, text));
	else
		error = keyring_commit(&network->keyring, &change, worker_engine(network->worker),
				       network->tunnel->role, network_endpoint_of, network, now);
	if (!error && network->tunnel->role == ROLE_SERVER)
		reload_warn_of_addresses(network->tunnel, network->keyring.entry,
					 network->keyring.count);
	if (!error && network->endpoints && endpoints_tidy(network->endpoints) < 0)
		log_warning("tunnel: where clients are cannot be written down");
	return error;
}

static int watch_everything(struct network *network, struct opened *opened, unsigned index)
{
	struct loop *loop = &network->loop;
	int error = control_start(&network->control, opened->control, loop, TAG_CONTROL,
				  requests_answer, network);

	if (error)
		return error;
	opened->control = -1;
	error = netwatch_open(index, &network->watch);
	if (!error)
		error = loop_watch(loop, network->watch.fd, TAG_WATCH);
	if (!error)
		error = loop_watch(loop, network->steward->fd, TAG_STEWARD);
	return error;
}

static int start_contact(struct network *network, int resolver_fd)
{
	const struct tunnel *tunnel = network->tunnel;
	int error = loop_watch(&network->loop, resolver_fd, TAG_RESOLVER);

	if (!error)
		error = contact_init(&network->contact, resolver_fd, tunnel->remote_host,
				     tunnel->remote_port, clock_now());
	return error;
}

char *prefixes_print(const struct prefix *prefixes, size_t n, char ret_text[PREFIXES_TEXT_BYTES])
{
	snprintf(ret_text, PREFIXES_TEXT_BYTES, "%s%s%s%s",
		 n > 0 ? shown_prefix(&prefixes[0]) : "no address", n > 1 ? ", " : "",
		 n > 1 ? shown_prefix(&prefixes[1]) : "", n > 2 ? " and more" : "");
	return ret_text;
}

static void say_server_is_up(const struct network *network, uint16_t port)
{
	const struct tunnel *tunnel = network->tunnel;
	char addresses[PREFIXES_TEXT_BYTES];

	log_notice("tunnel: up: %s, %s, UDP port %u, %zu %s, %s", tunnel->interface,
		   prefixes_print(tunnel->address, tunnel->address_count, addresses), port,
		   network->keyring.count, network->keyring.count == 1 ? "key" : "keys",
		   network->aead.aead->name);
}

/* Everything that needs none. */
static int start_all(struct network *network, struct opened *opened, int resolver_fd)
{
	bool server = network->tunnel->role == ROLE_SERVER;
	unsigned index = opened->tun.index;
	uint16_t port = udp_local_port(opened->udp);
	struct instant now = clock_now();
	int error = start_worker(network, opened, now);

	if (!error)
		error = watch_everything(network, opened, index);
	if (!error)
		error = take_first_keys(network, now);
	if (!error && !server)
		error = start_contact(network, resolver_fd);
	if (error) {
		log_error("tunnel: cannot start: %s", strerror(-error));
		return error;
	}
	if (server) {
		error = network_arrange(network);
		if (!error)
			say_server_is_up(network, port);
	}
	return error;
}

static int say_arrange(const struct network *network, const struct step *failed, int error)
{
	char step[STEP_TEXT_BYTES];

	if (failed->kind == STEP_FIREWALL && error == -EEXIST)
		log_error("tunnel: the firewall table minivpn-%s was installed by hand: remove it "
			  "with "
			  "'minivpn-nft remove --tun %s'",
			  network->tunnel->interface, network->tunnel->interface);
	else if (failed->kind == STEP_NONE)
		log_error("tunnel: cannot arrange this host: %s", strerror(-error));
	else
		log_error("tunnel: cannot arrange this host: %s: %s", step_print(failed, step),
			  strerror(-error));
	return error;
}

int network_arrange(struct network *network)
{
	bool server = network->tunnel->role == ROLE_SERVER;
	struct step failed = { 0 };
	struct plan plan;
	int error;

	hostplan_make(network->tunnel, server ? NULL : &network->given,
		      server ? NULL : &network->given_by, &plan);
	error = steward_apply(network->steward, &plan, &failed);
	if (error)
		return say_arrange(network, &failed, error);
	network->plan = plan;
	network->arranged = true;
	return server ? reload_routes(network) : 0;
}

struct endpoint network_endpoint_of(void *context, const char *name)
{
	struct network *network = context;
	struct endpoint endpoint = { 0 };

	if (network->endpoints)
		endpoints_find(network->endpoints, name, &endpoint);
	return endpoint;
}

void network_note_endpoint(struct network *network, const char *name,
			   const struct endpoint *endpoint)
{
	int error = network->endpoints ? endpoints_put(network->endpoints, name, endpoint) : 0;

	if (error)
		log_rated(&network->endpoint_trouble, clock_now(), LOG_WARNING,
			  "tunnel: cannot write down where clients are: %s", strerror(-error));
}

static void take_ready(struct network *network, const struct loop_event *event)
{
	switch ((enum network_tag)event->tag) {
	case TAG_TUN:
		worker_tun_ready(network->worker, event->fd);
		break;
	case TAG_TRANSPORT:
		worker_transport_ready(network->worker, event->error);
		break;
	case TAG_MAIL:
		break; /* worker_serve() looks */
	case TAG_STEWARD:
		log_error("tunnel: the steward is gone: leaving");
		network->failed = true;
		break;
	case TAG_RESOLVER:
		news_resolved(network, clock_now());
		break;
	case TAG_CONTROL:
		control_serve(&network->control, event);
		break;
	case TAG_WATCH:
		netwatch_read(&network->watch, clock_now());
		break;
	}
}

static struct instant next_deadline(const struct network *network)
{
	struct instant at = worker_deadline(network->worker);

	at = instant_earlier(at, network->watch.due);
	if (network->tunnel->role == ROLE_CLIENT)
		at = instant_earlier(at, network->contact.ask_at);
	return at;
}

static void serve(struct network *network)
{
	int error = worker_serve(network->worker);

	if (!error)
		return;
	if (error == -EBADFD)
		log_error("tunnel: interface %s is gone: somebody has removed it",
			  network->tunnel->interface);
	else
		log_error("tunnel: cannot go on: %s", strerror(-error));
	network->failed = true;
}

static void run_loop(struct network *network)
{
	struct loop_event events[LOOP_EVENTS_MAX];

	while (!network->stopping && !network->failed) {
		int n = loop_wait(&network->loop, next_deadline(network), events);

		/* First: who stops all of us at once ends the others as well, which is no trouble then. */
		for (int i = 0; i < n; i++)
			network->stopping |= events[i].kind == LOOP_SIGNAL;
		for (int i = 0; i < n && !network->stopping; i++)
			if (events[i].kind == LOOP_READY)
				take_ready(network, &events[i]);
		serve(network);
		news_act(network, worker_now(network->worker));
	}
}

/* The end of our line is the steward's order to undo, and the end of its own says that it has.  The
 * device stays until then: with it would go, unasked, half of what the steward looks for. */
static void release_host(const struct network *network)
{
	struct pollfd line = { network->steward->fd, POLLIN, 0 };

	shutdown(line.fd, SHUT_WR);
	poll(&line, 1, UNDO_PATIENCE_MS);
}

static void close_all(struct network *network, struct opened *opened)
{
	control_stop(&network->control);
	netwatch_close(&network->watch);
	if (network->worker)
		worker_close(network->worker);
	keyring_close(&network->keyring);
	keybundle_release(&network->bundle);
	keywatch_close(&network->keywatch);
	further_close(&network->further);
	aead_choice_drop(&network->aead);
	endpoints_close(network->endpoints);
	loop_close(&network->loop);
	tun_close(&opened->tun);
	close_fd(&opened->udp);
	close_fd(&opened->control);
	close_fd(&network->notify);
}

/* The signals that end it; blocked before anything is open, so that none ends it halfway. */
static int open_loop(struct network *network)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	return loop_open(&network->loop, &signals);
}

static void stop(struct network *network)
{
	struct instant now = clock_now();

	notify_send(network->notify, "STOPPING=1");
	engine_stop(worker_engine(network->worker), CLOSE_STOPPING, now);
	log_notice("tunnel: %s is stopped", network->tunnel->interface);
}

int network_run(const struct tunnel *tunnel, struct steward *steward, int resolver_fd)
{
	struct opened opened = { .tun.fd = -1, .udp = -1, .control = -1 };
	struct network network = {
		.tunnel = tunnel,
		.steward = steward,
		.loop = { -1, -1, -1, INSTANT_NEVER },
		.keywatch.fd = -1,
		.watch = { .fd = -1, .clock = -1, .due = INSTANT_NEVER },
		.notify = notify_open(),
		.started = clock_now(),
		.unknown_key.interval_ns = TROUBLE_INTERVAL_NS,
		.key_elsewhere.interval_ns = TROUBLE_INTERVAL_NS,
		.bad_init.interval_ns = TROUBLE_INTERVAL_NS,
		.inside.interval_ns = TROUBLE_INTERVAL_NS,
		.trouble.interval_ns = TROUBLE_INTERVAL_NS,
		.endpoint_trouble.interval_ns = TROUBLE_INTERVAL_NS,
	};
	int error = open_loop(&network);

	if (error)
		log_error("tunnel: cannot wait for anything: %s", strerror(-error));
	else
		error = open_all(&network, &opened);
	if (!error)
		error = give_up_rights(tunnel);
	if (!error)
		error = start_all(&network, &opened, resolver_fd);
	if (!error) {
		/* Not when there is a connection: to wait for one is what a client is for, and a
		 * machine without a network boots, too. */
		notify_send(network.notify, tunnel->role == ROLE_SERVER
						    ? "READY=1\nSTATUS=serving"
						    : "READY=1\nSTATUS=connecting");
		run_loop(&network);
		stop(&network);
	}
	release_host(&network);
	close_all(&network, &opened);
	return error || network.failed ? 1 : 0;
}
