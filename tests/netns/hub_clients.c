/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many clients in one process, for one real server: each an engine with a socket of its own, without
 * tun device and routes.
 *
 *	hub-clients make DIR N                  key files for N clients, 10.64.0.0/10
 *	hub-clients connect DIR ADDR:PORT N [FROM]
 *	                                        connect N of them, spread over all keys; prints JSON when
 *	                                        they are up, and stays, answering Pings, until standard
 *	                                        input ends.  Their addresses are FROM and those that follow it, which
 *	                                        the host takes for its own (ip route add local); without
 *	                                        FROM they share the host's
 */
#include "aead/choose.h"
#include "io/clock.h"
#include "keys/keyfolder.h"
#include "minivpn/engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM_MAX = 2048, GIVE_UP_S = 60 };

struct client {
	int fd;
	struct engine *engine;
	struct peer *peer;
};

static struct endpoint server;
static struct address from; /* none: what the host chooses */
static size_t up;

/* ---- Keys ---- */

static struct prefix address_of(unsigned number)
{
	unsigned host = number + 2;
	uint8_t b[4] = { 10, (uint8_t)(64 + (host >> 16)), (uint8_t)(host >> 8), (uint8_t)host };

	return (struct prefix){ address_from_ipv4(b), 10 };
}

static int make_key(const char *folder, unsigned number)
{
	struct keytext key = { .address = { address_of(number) }, .address_count = 1 };
	char path[PATH_MAX], text[KEYTEXT_BYTES];
	size_t bytes;
	int fd;

	snprintf(key.name, sizeof(key.name), "c%05u", number);
	snprintf(path, sizeof(path), "%s/c%05u.key", folder, number);
	randombytes_buf(&key.psk, sizeof(key.psk));
	bytes = keytext_print(&key, text);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, text, bytes) != (ssize_t)bytes || close(fd) < 0) {
		perror(path);
		return 1;
	}
	return 0;
}

/* ---- The shell of an engine ---- */

static void hook_random(void *shell, uint8_t *ret_bytes, size_t n)
{
	(void)shell;
	randombytes_buf(ret_bytes, n);
}

static void *hook_allocate(void *shell, size_t bytes)
{
	size_t whole = (bytes + 63) / 64 * 64;
	void *memory = aligned_alloc(64, whole);

	(void)shell;
	return memory ? memset(memory, 0, whole) : NULL;
}

static void hook_release(void *shell, void *memory)
{
	(void)shell;
	free(memory);
}

/* What the socket does not take is lost, as on the way it would be. */
static void hook_transmit(void *shell, const struct transmission *datagram)
{
	struct client *client = shell;

	if (send(client->fd, datagram->bytes, datagram->size, MSG_DONTWAIT) < 0 && errno == EBADF)
		abort();
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	(void)shell;
	(void)packet;
	(void)bytes;
}

static void hook_event(void *shell, const struct engine_event *event)
{
	(void)shell;
	if (event->kind == EVENT_UP)
		up++;
	else if (event->kind == EVENT_DOWN)
		up--;
}

/* An address of its own for each: a server listens to only so many strangers from one. */
static int bind_to_own_address(int fd, size_t number)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	uint32_t first;

	if (address_is_none(&from))
		return 0;
	memcpy(&first, from.b + 12, 4);
	own.sin_addr.s_addr = htonl(ntohl(first) + (uint32_t)number);
	return bind(fd, (struct sockaddr *)&own, sizeof(own));
}

static int open_client(struct client *client, const struct keytext *key, size_t number,
		       const struct aead_choice *aead)
{
	struct engine_config config = {
		.hooks = { client, hook_random, hook_allocate, hook_release, hook_transmit,
			   hook_deliver, hook_event },
		.role = ROLE_CLIENT,
		.aead = aead->aead,
		.aead_context = aead->context,
		.inner_mtu = INNER_MTU_OVER_IPV4,
		.workers = 1,
		.keepalive_ns = 10 * NS_PER_S,
		.software = "hub-clients",
		.peers_expected = 1,
	};
	struct prefix all = { .address = address_from_ipv4((uint8_t[4]){ 0 }) };
	struct peer_config peer = {
		.psk = &key->psk, .allowed = &all, .allowed_count = 1, .endpoint = server
	};
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(server.remote_port) };
	struct instant now = clock_now();

	memcpy(&to.sin_addr, server.remote.b + 12, 4);
	client->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0 || bind_to_own_address(client->fd, number) < 0 ||
	    connect(client->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	client->engine = engine_create(&config, now);
	client->peer = client->engine ? engine_peer_add(client->engine, &peer, now) : NULL;
	return client->peer ? 0 : -1;
}

static void serve_client(struct client *client)
{
	uint8_t bytes[DATAGRAM_MAX];
	struct inbound datagram = { .datagram = bytes, .from = &server };
	ssize_t n;

	while ((n = recv(client->fd, bytes, sizeof(bytes), 0)) > 0) {
		datagram.bytes = (size_t)n;
		engine_inbound(client->engine, &datagram, 1, clock_now());
	}
}

/* One round: whatever has come, and whatever is due. */
static void serve_all(struct client *client, struct pollfd *waiting, size_t n)
{
	struct instant now;

	poll(waiting, n + 1, 5);
	now = clock_now();
	for (size_t i = 0; i < n; i++) {
		if (waiting[i].revents)
			serve_client(&client[i]);
		if (instant_reached(now, engine_deadline(client[i].engine)))
			engine_tick(client[i].engine, now);
	}
}

static int connect_all(const struct keyfolder *folder, size_t n)
{
	struct client *client = calloc(n, sizeof(*client));
	struct pollfd *waiting = calloc(n + 1, sizeof(*waiting));
	struct aead_choice aead;
	struct instant start = clock_now();

	if (!client || !waiting || aead_choose(NULL, &aead))
		return 1;
	for (size_t i = 0; i < n; i++) {
		if (open_client(&client[i], &folder->key[i * folder->count / n], i, &aead) < 0) {
			perror("hub-clients");
			return 1;
		}
		waiting[i] = (struct pollfd){ .fd = client[i].fd, .events = POLLIN };
	}
	waiting[n] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	while (up < n && instant_since(clock_now(), start) < GIVE_UP_S * NS_PER_S)
		serve_all(client, waiting, n);
	printf("{\"up\": %zu, \"seconds\": %.3f}\n", up,
	       (double)instant_since(clock_now(), start) / (double)NS_PER_S);
	fflush(stdout);
	while (!waiting[n].revents)
		serve_all(client, waiting, n);
	return up == n ? 0 : 1;
}

int main(int argc, char *argv[])
{
	struct keyfile_complaint complaint;
	struct keyfolder folder;
	bool makes = argc == 4 && strcmp(argv[1], "make") == 0;
	size_t n = argc > 3 ? strtoul(argv[argc > 4 ? 4 : 3], NULL, 10) : 0;

	if (sodium_init() < 0 || n == 0)
		return 2;
	if (makes) {
		for (unsigned i = 0; i < n; i++)
			if (make_key(argv[2], i))
				return 1;
		return 0;
	}
	if ((argc != 5 && argc != 6) || !endpoint_parse(argv[3], &server) ||
	    (argc == 6 && !address_parse(argv[5], &from)) ||
	    keyfolder_read(argv[2], &folder, &complaint) < 0 || folder.count < n)
		return 2;
	return connect_all(&folder, n);
}
