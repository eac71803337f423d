/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two workers in one process, served in turn.  Their sockets lie in one network namespace and meet on
 * loopback; each has its tun device, and a socket of an application, in a namespace of its own.
 *
 *	application -- tun -- client worker == loopback == server worker -- tun -- application
 *	10.9.0.2, fd09::2     127.0.0.1:ephemeral  127.0.0.1:4500      10.9.0.1, fd09::1
 */
#include "run/worker.h"

#include "aead/choose.h"
#include "fresh_network.h"
#include "io/clock.h"
#include "io/tun_batch.h"
#include "io/udp.h"
#include "minivpn/join.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct psk psk = { "thirty-two bytes, used by a test" };

struct side {
	int network;    /* descriptor of the application's namespace */
	struct tun tun; /* the worker's, to say that it is ready */
	struct aead_choice aead;
	struct worker *worker;
	struct peer *peer;
	int ups, path_mtus, refused;
};

static struct side client, server;

/* A kernel that says it takes super-packets and then does not (ld --wrap). */
static bool refuses_super_packets;
static unsigned super_packets, packets;
static uint64_t
	sent_when_written; /* by the client's worker, when a packet for its device came by */

int __real_tun_write(const struct tun *tun, const struct iovec *pieces, unsigned count);
int __wrap_tun_write(const struct tun *tun, const struct iovec *pieces, unsigned count);

int __wrap_tun_write(const struct tun *tun, const struct iovec *pieces, unsigned count)
{
	const struct offload *offload = pieces[0].iov_base;

	if (offload->type != OFFLOAD_NONE) {
		super_packets++;
		if (refuses_super_packets)
			return -EINVAL;
	}
	return __real_tun_write(tun, pieces, count);
}

static uint64_t packets_sent(const struct side *side)
{
	struct peer_snapshot snapshot;

	engine_snapshot(worker_engine(side->worker), side->peer, &snapshot);
	return snapshot.packets_out;
}

void __real_tun_batch_add(struct tun_batch *batch, uint8_t *packet, size_t bytes);
void __wrap_tun_batch_add(struct tun_batch *batch, uint8_t *packet, size_t bytes);

void __wrap_tun_batch_add(struct tun_batch *batch, uint8_t *packet, size_t bytes)
{
	packets++;
	sent_when_written = packets_sent(&client);
	__real_tun_batch_add(batch, packet, bytes);
}

static void engine_event(void *owner, const struct engine_event *event)
{
	struct side *side = owner;

	side->ups += event->kind == EVENT_UP;
	side->path_mtus += event->kind == EVENT_PATH_MTU;
}

static void network_event(void *owner, const struct transport_event *event)
{
	struct side *side = owner;

	side->refused += event->kind == TRANSPORT_REFUSED;
}

static void set_address(int fd, const char *interface, const char *ipv4)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	struct ifreq wish = { 0 };

	strcpy(wish.ifr_name, interface);
	inet_pton(AF_INET, ipv4, &name.sin_addr);
	memcpy(&wish.ifr_addr, &name, sizeof(name));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &wish), 0);
	inet_pton(AF_INET, "255.255.255.0", &name.sin_addr);
	memcpy(&wish.ifr_netmask, &name, sizeof(name));
	assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &wish), 0);
	wish.ifr_mtu = 1438;
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &wish), 0);
	wish.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &wish), 0);
}

static void set_address6(const char *ipv6, unsigned index)
{
	struct in6_ifreq wish = { .ifr6_prefixlen = 64, .ifr6_ifindex = (int)index };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, ipv6, &wish.ifr6_addr);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &wish), 0);
	close(fd);
}

static struct tun make_network(struct side *side, bool spread, const char *ipv4, const char *ipv6)
{
	struct tun tun;
	int fd;

	assert_true(enter_fresh_network());
	side->network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(spread ? tun_open_spread("minivpn0", &tun) : tun_open("minivpn0", 1, &tun),
			 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	set_address(fd, "minivpn0", ipv4);
	close(fd);
	set_address6(ipv6, tun.index);
	return tun;
}

static void add_peer(struct side *side, const char *const allowed[2], const char *const given[2],
		     const struct endpoint *endpoint)
{
	struct prefix prefixes[2];
	struct peer_config config = { .psk = &psk, .allowed = prefixes, .allowed_count = 2 };

	for (size_t i = 0; i < 2; i++) {
		assert_true(prefix_parse(allowed[i], &prefixes[i]));
		if (given)
			assert_true(
				prefix_parse(given[i], &config.address[config.address_count++]));
	}
	if (endpoint)
		config.endpoint = *endpoint;
	side->peer = engine_peer_add(worker_engine(side->worker), &config, clock_now());
	assert_non_null(side->peer);
}

static void open_worker(struct side *side, enum role role, struct tun tun, int udp)
{
	struct worker_config config = {
		.tun = tun,
		.engine = { .role = role,
			    .inner_mtu = 1438,
			    .workers = 1,
			    .keepalive_ns = 10 * NS_PER_S,
			    .software = "test",
			    .peers_expected = 1 },
		.owner = side,
		.engine_event = engine_event,
		.network_event = network_event,
	};

	assert_int_equal(aead_choose(NULL, &side->aead), 0);
	config.engine.aead = side->aead.aead;
	config.engine.aead_context = side->aead.context;
	assert_int_equal(udp_start(udp, &config.transport), 0);
	assert_int_equal(worker_open(&config, clock_now(), &side->worker), 0);
	side->tun = tun;
}

static int open_both(void **state)
{
	const char *everything[] = { "0.0.0.0/0", "::/0" };
	const char *clients[] = { "10.9.0.2/32", "fd09::2/128" };
	const char *given[] = { "10.9.0.2/24", "fd09::2/64" };
	struct address anywhere = { 0 };
	struct endpoint endpoint = { 0 };
	struct tun tun;
	int client_udp, server_udp;

	(void)state;
	client = server = (struct side){ 0 };
	refuses_super_packets = false;
	super_packets = packets = 0;
	assert_true(enter_fresh_network());
	assert_int_equal(udp_open(&anywhere, 0, false, &client_udp), 0);
	assert_int_equal(udp_open(&anywhere, 4500, false, &server_udp), 0);
	assert_true(endpoint_parse("127.0.0.1:4500", &endpoint));

	tun = make_network(&server, false, "10.9.0.1", "fd09::1");
	open_worker(&server, ROLE_SERVER, tun, server_udp);
	tun = make_network(&client, true, "10.9.0.2", "fd09::2");
	open_worker(&client, ROLE_CLIENT, tun, client_udp);
	add_peer(&server, clients, given, NULL);
	add_peer(&client, everything, NULL, &endpoint);
	return 0;
}

static void close_side(struct side *side)
{
	worker_close(side->worker);
	aead_choice_drop(&side->aead);
	close(side->network);
}

static int close_both(void **state)
{
	(void)state;
	close_side(&client);
	close_side(&server);
	return 0;
}

static void tun_ready(const struct side *side)
{
	for (unsigned i = 0; i < side->tun.queues; i++)
		worker_tun_ready(side->worker, side->tun.queue[i]);
}

static void serve(struct side *side)
{
	tun_ready(side);
	worker_transport_ready(side->worker, true);
	assert_int_equal(worker_serve(side->worker), 0);
}

/* Serve both until a socket is ready, or for two seconds. */
static bool serve_until(int fd, short events)
{
	struct instant end = instant_after(clock_now(), 2 * NS_PER_S);
	struct pollfd wanted = { fd, events, 0 };

	while (!instant_reached(clock_now(), end)) {
		serve(&client);
		serve(&server);
		if (poll(&wanted, 1, 0) == 1)
			return true;
	}
	return false;
}

static int socket_in(const struct side *side, int family, int type)
{
	int fd;

	assert_int_equal(setns(side->network, CLONE_NEWNET), 0);
	fd = socket(family, type | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	return fd;
}

static const struct sockaddr *at(const char *text, uint16_t port)
{
	static union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} name;

	memset(&name, 0, sizeof(name));
	if (inet_pton(AF_INET, text, &name.ipv4.sin_addr) == 1) {
		name.ipv4.sin_family = AF_INET;
		name.ipv4.sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &name.ipv6.sin6_addr), 1);
		name.ipv6.sin6_family = AF_INET6;
		name.ipv6.sin6_port = htons(port);
	}
	return &name.any;
}

/* IPv6 addresses cannot be used until the kernel is sure that nobody else has them. */
static void bind_when_possible(int fd, const char *text, uint16_t port)
{
	for (int i = 0; i < 300; i++) {
		if (bind(fd, at(text, port), sizeof(struct sockaddr_in6)) == 0)
			return;
		assert_int_equal(errno, EADDRNOTAVAIL);
		usleep(10000);
	}
	fail_msg("cannot bind %s", text);
}

static void datagrams_of_all_sizes_pass_both_ways(void **state)
{
	static const struct {
		int family;
		const char *client, *server;
		size_t headers;
	} ways[] = {
		{ AF_INET, "10.9.0.2", "10.9.0.1", 28 },
		{ AF_INET6, "fd09::2", "fd09::1", 48 },
	};
	static uint8_t bytes[1438], back[1500];

	(void)state;
	for (size_t way = 0; way < 2; way++) {
		int from = socket_in(&client, ways[way].family, SOCK_DGRAM);
		int to = socket_in(&server, ways[way].family, SOCK_DGRAM);

		bind_when_possible(from, ways[way].client, 1000);
		bind_when_possible(to, ways[way].server, 2000);
		assert_int_equal(connect(from, at(ways[way].server, 2000), 28), 0);
		assert_int_equal(connect(to, at(ways[way].client, 1000), 28), 0);
		for (size_t size = 0; size <= 1438 - ways[way].headers;
		     size += size < 30 ? 1 : 97) {
			memset(bytes, (int)size, size);
			assert_int_equal(send(from, bytes, size, 0), size);
			assert_true(serve_until(to, POLLIN));
			assert_int_equal(recv(to, back, sizeof(back), 0), size);
			assert_memory_equal(bytes, back, size);
			assert_int_equal(send(to, bytes, size, 0), size);
			assert_true(serve_until(from, POLLIN));
			assert_int_equal(recv(from, back, sizeof(back), 0), size);
			assert_memory_equal(bytes, back, size);
		}
		close(from);
		close(to);
	}
	assert_int_equal(client.ups, 1);
	assert_int_equal(server.ups, 1);
}

static int connected(struct side *side, const char *to, uint16_t port)
{
	int fd = socket_in(side, AF_INET, SOCK_DGRAM);

	assert_int_equal(connect(fd, at(to, port), 28), 0);
	return fd;
}

/* Numbered datagrams that have come: they begin with @next.  Returns the number after the last. */
static unsigned take_numbered(int fd, unsigned next)
{
	unsigned number;

	while (recv(fd, &number, sizeof(number), 0) == sizeof(number))
		assert_int_equal(number, next++);
	return next;
}

static void a_packet_of_another_flow_passes_many(void **state)
{
	enum { MANY = 300, OTHERS = 8 /* of which one may share the queue of the many */ };
	unsigned payload[325] = { 0 }, taken, before = MANY;
	int many, others[OTHERS], to, to_others, room = 2 << 20; /* for all of them */

	(void)state;
	to = socket_in(&server, AF_INET, SOCK_DGRAM);
	assert_int_equal(setsockopt(to, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
	bind_when_possible(to, "10.9.0.1", 2000);
	to_others = socket_in(&server, AF_INET, SOCK_DGRAM);
	bind_when_possible(to_others, "10.9.0.1", 3000);
	many = connected(&client, "10.9.0.1", 2000);
	assert_int_equal(send(many, payload, sizeof(payload), 0), sizeof(payload));
	assert_true(serve_until(to, POLLIN));
	taken = take_numbered(to, 0);

	for (payload[0] = 1; payload[0] < MANY; payload[0]++)
		assert_int_equal(send(many, payload, sizeof(payload), 0), sizeof(payload));
	for (int i = 0; i < OTHERS; i++) {
		others[i] = connected(&client, "10.9.0.1", 3000);
		assert_int_equal(send(others[i], "", 1, 0), 1);
	}
	for (int i = 0; i < 1000 && taken < MANY; i++) {
		char byte;

		serve(&client);
		serve(&server);
		taken = take_numbered(to, taken);
		if (before == MANY && recv(to_others, &byte, 1, 0) == 1)
			before = taken;
	}
	assert_int_equal(taken, MANY);
	assert_true(before < MANY / 2);
	for (int i = 0; i < OTHERS; i++)
		close(others[i]);
	close(many);
	close(to);
	close(to_others);
}

/* Send something back to whoever sent the first datagram that is waiting. */
static void answer(int fd)
{
	struct sockaddr_in from;
	socklen_t bytes = sizeof(from);
	char byte;

	assert_int_equal(recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &bytes), 1);
	assert_int_equal(sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, bytes), 1);
}

static void send_many(int fd)
{
	static const uint8_t payload[1300];

	for (int i = 0; i < 300; i++)
		assert_int_equal(send(fd, payload, sizeof(payload), 0), sizeof(payload));
}

static void what_came_in_waits_for_nothing_that_goes_out(void **state)
{
	enum { A_TURN = 20 /* packets at least: whoever sent the first still waits */ };
	int to = socket_in(&server, AF_INET, SOCK_DGRAM), many;
	uint64_t before;

	(void)state;
	bind_when_possible(to, "10.9.0.1", 2000);
	many = connected(&client, "10.9.0.1", 2000);
	assert_int_equal(send(many, "", 1, 0), 1);
	assert_true(serve_until(to, POLLIN));

	send_many(many);
	serve(&client); /* and knows by now that there is much */
	assert_true(packets_sent(&client) > A_TURN);
	send_many(many);
	answer(to);
	serve(&server);
	before = packets_sent(&client);
	serve(&client);
	assert_true(packets_sent(&client) > before + A_TURN);
	assert_true(sent_when_written <
		    before + 10); /* the kernel sends one of its own now and then */
	close(many);
	close(to);
}

/* How many packets the client sends, of many that wait, before it asks what else is ready. */
static unsigned sent_at_once(int many)
{
	uint64_t before;

	send_many(many);
	before = packets_sent(&client);
	serve(&client);
	return (unsigned)(packets_sent(&client) - before);
}

static void drain(void)
{
	uint64_t before;

	do {
		before = packets_sent(&client);
		serve(&client);
		serve(&server);
	} while (packets_sent(&client) != before);
}

/* The kernel, too, sends something now and then, above all when a device is new. */
static bool much_goes_at_once(int many)
{
	for (int i = 0; i < 100; i++) {
		drain();
		usleep(60000); /* nobody waits any longer */
		if (sent_at_once(many) > 100)
			return true;
	}
	return false;
}

static void less_goes_at_once_while_somebody_waits(void **state)
{
	enum { OTHERS = 4 /* not all of which share the queue of the many */ };
	int to = socket_in(&server, AF_INET, SOCK_DGRAM), many, others[OTHERS];

	(void)state;
	bind_when_possible(to, "10.9.0.1", 2000);
	many = connected(&client, "10.9.0.1", 2000);
	assert_int_equal(send(many, "", 1, 0), 1);
	assert_true(serve_until(to, POLLIN));
	assert_true(much_goes_at_once(many));
	drain();
	for (int i = 0; i < OTHERS; i++) {
		others[i] = connected(&client, "10.9.0.1", 2000);
		assert_int_equal(send(others[i], "", 1, 0), 1);
	}
	assert_true(sent_at_once(many) < 80);
	assert_true(much_goes_at_once(many));
	for (int i = 0; i < OTHERS; i++)
		close(others[i]);
	close(many);
	close(to);
}

static uint8_t pattern(size_t position)
{
	return (uint8_t)(position * 2654435761u >> 13);
}

/* Push what the socket takes; returns how far it is now. */
static size_t push(int fd, size_t done, size_t total)
{
	static uint8_t bytes[1 << 16];
	size_t n = total - done < sizeof(bytes) ? total - done : sizeof(bytes);
	ssize_t sent;

	for (size_t i = 0; i < n; i++)
		bytes[i] = pattern(done + i);
	sent = send(fd, bytes, n, 0);
	return done + (sent > 0 ? (size_t)sent : 0);
}

static size_t pull(int fd, size_t done)
{
	static uint8_t bytes[1 << 18];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], pattern(done + (size_t)i));
	return done + (n > 0 ? (size_t)n : 0);
}

static struct peer_snapshot snapshot(struct side *side)
{
	struct peer_snapshot snapshot;

	engine_snapshot(worker_engine(side->worker), side->peer, &snapshot);
	return snapshot;
}

static void a_stream_passes_both_ways_whole(void **state)
{
	static const struct {
		int family;
		const char *client, *server;
	} ways[] = { { AF_INET, "10.9.0.2", "10.9.0.1" }, { AF_INET6, "fd09::2", "fd09::1" } };
	enum { TOTAL = 4 << 20 };

	(void)state;
	for (size_t way = 0; way < 2; way++) {
		int listener = socket_in(&server, ways[way].family, SOCK_STREAM);
		int near = socket_in(&client, ways[way].family, SOCK_STREAM), far;
		size_t sent[2] = { 0 }, received[2] = { 0 };
		struct instant end;

		bind_when_possible(listener, ways[way].server, 80);
		bind_when_possible(near, ways[way].client, 0);
		assert_int_equal(listen(listener, 1), 0);
		assert_int_equal(connect(near, at(ways[way].server, 80), 28), -1);
		assert_true(serve_until(listener, POLLIN));
		far = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		assert_true(far >= 0);

		end = instant_after(clock_now(), 20 * NS_PER_S);
		while (received[0] < TOTAL || received[1] < TOTAL) {
			assert_false(instant_reached(clock_now(), end));
			sent[0] = push(near, sent[0], TOTAL);
			sent[1] = push(far, sent[1], TOTAL);
			serve(&client);
			serve(&server);
			received[0] = pull(far, received[0]);
			received[1] = pull(near, received[1]);
		}
		close(near);
		close(far);
		close(listener);
	}
	assert_int_equal(engine_verdicts(worker_engine(client.worker))->count[VERDICT_FORGED], 0);
	assert_int_equal(engine_verdicts(worker_engine(server.worker))->count[VERDICT_REPLAYED], 0);
	assert_int_equal(engine_verdicts(worker_engine(server.worker))->count[VERDICT_TUN_FAILED],
			 0);
	assert_true(snapshot(&client).bytes_out > 2 * TOTAL);
	assert_true(snapshot(&client).bytes_in > 2 * TOTAL);
}

static void packets_are_joined(void **state)
{
	a_stream_passes_both_ways_whole(state);
	assert_true(super_packets > 100);
}

static void super_packets_that_are_refused_are_cut_again(void **state)
{
	refuses_super_packets = true;
	a_stream_passes_both_ways_whole(state);
	/* Those that were joined already when each side learned of it, and then no more. */
	assert_in_range(super_packets, 1, 2 * JOIN_RUNS);
	assert_true(packets > 10000);
}

static void a_closed_port_is_told(void **state)
{
	struct endpoint nobody = { 0 };
	struct instant end = instant_after(clock_now(), 2 * NS_PER_S);

	(void)state;
	assert_true(endpoint_parse("127.0.0.1:9", &nobody));
	engine_peer_endpoint(worker_engine(client.worker), client.peer, &nobody, clock_now());
	while (client.refused == 0 && !instant_reached(clock_now(), end))
		serve(&client);
	assert_true(client.refused > 0);
}

static void a_device_that_is_gone_ends_it(void **state)
{
	int fd = socket_in(&client, AF_INET, SOCK_DGRAM), status;

	(void)state;
	close(fd);
	/* From outside, as a person would. */
	status = system("ip link delete minivpn0");
	if (status != 0)
		skip();
	tun_ready(&client);
	assert_true(worker_serve(client.worker) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(datagrams_of_all_sizes_pass_both_ways, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(a_packet_of_another_flow_passes_many, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(what_came_in_waits_for_nothing_that_goes_out,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(less_goes_at_once_while_somebody_waits, open_both,
						close_both),
		cmocka_unit_test_setup_teardown(packets_are_joined, open_both, close_both),
		cmocka_unit_test_setup_teardown(super_packets_that_are_refused_are_cut_again,
						open_both, close_both),
		cmocka_unit_test_setup_teardown(a_closed_port_is_told, open_both, close_both),
		cmocka_unit_test_setup_teardown(a_device_that_is_gone_ends_it, open_both,
						close_both),
	};
	struct tun tun;

	if (!enter_fresh_network())
		return TEST_SKIPPED;
	if (tun_open("mvtest%d", 1, &tun) < 0) {
		puts("skipped: no tun device here");
		return TEST_SKIPPED;
	}
	tun_close(&tun);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
