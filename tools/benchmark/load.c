/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-load - what tools/bench sends through a tunnel beside iperf3: small UDP packets at a given
 * rate, and round trips.  Prints one JSON object.
 *
 *	bench-load receive PORT SECONDS		count what comes, and answer pings
 *	bench-load send ADDR PORT BYTES RATE SECONDS
 *	bench-load echo PORT			answer pings for ever
 *	bench-load pings ADDR PORT COUNT EVERY_US	round trips: one every so often, whatever
 *						becomes of the others; 0: one after the other
 *	bench-load first ADDR PORT SECONDS	when (on the monotonic clock) is one answered?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 64,
	DATAGRAM_MAX_BYTES = 2048,
	BUFFER_BYTES = 4 << 20,
	TICK_NS = 50000,          /* a sender works in steps of this */
	SILENCE_MS = 300,         /* so long after the last packet the receiver is done */
	ANSWER_TIMEOUT_MS = 1000, /* a ping not answered by then is lost */
	PINGS_MAX = 1000000,
	IPV4_UDP_BYTES = 28,
};

static const char ping_mark[] = "ping"; /* what begins so is to be sent back */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void sleep_ns(int64_t ns)
{
	struct timespec t = { ns / 1000000000, ns % 1000000000 };

	nanosleep(&t, NULL);
}

static void fail(const char *what)
{
	fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(uint16_t port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = BUFFER_BYTES;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		fail("bind");
	return fd;
}

static struct sockaddr_in remote(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		fail(address);
	return to;
}

static int connect_to(const char *address, const char *port)
{
	struct sockaddr_in to = remote(address, port);
	int fd = open_socket(0);

	/* A tunnel that is still starting has no route yet. */
	while (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		sleep_ns(1000000);
	return fd;
}

/**
 * struct inbox - a batch of datagrams as recvmmsg() wants it
 */
struct inbox {
	struct mmsghdr message[BATCH];
	struct iovec piece[BATCH];
	struct sockaddr_in from[BATCH];
	char room[BATCH][DATAGRAM_MAX_BYTES];
};

static int receive_batch(int fd, struct inbox *in)
{
	for (int i = 0; i < BATCH; i++) {
		in->piece[i] = (struct iovec){ in->room[i], DATAGRAM_MAX_BYTES };
		in->message[i].msg_hdr = (struct msghdr){ .msg_name = &in->from[i],
							  .msg_namelen = sizeof(in->from[i]),
							  .msg_iov = &in->piece[i],
							  .msg_iovlen = 1 };
	}
	return recvmmsg(fd, in->message, BATCH, MSG_DONTWAIT, NULL);
}

static bool is_ping(const struct inbox *in, int i)
{
	return in->message[i].msg_len >= sizeof(ping_mark) &&
	       memcmp(in->room[i], ping_mark, sizeof(ping_mark)) == 0;
}

/* Sends pings back; returns how many were none. */
static uint64_t take_batch(int fd, struct inbox *in, int n)
{
	uint64_t others = 0;

	for (int i = 0; i < n; i++) {
		if (is_ping(in, i))
			sendto(fd, in->room[i], in->message[i].msg_len, 0,
			       (struct sockaddr *)&in->from[i], sizeof(in->from[i]));
		else
			others++;
	}
	return others;
}

static int receive(const char *port, int64_t seconds)
{
	static struct inbox in;
	int fd = open_socket((uint16_t)atoi(port));
	int64_t end = now_ns() + seconds * INT64_C(1000000000);
	uint64_t received = 0;

	puts("ready");
	fflush(stdout);
	while (now_ns() < end) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		int n;

		if (poll(&waiting, 1, SILENCE_MS) == 0 && received > 0)
			break;
		while ((n = receive_batch(fd, &in)) > 0)
			received += take_batch(fd, &in, n);
	}
	printf("{\"received\": %lu}\n", received);
	return 0;
}

static _Noreturn void echo(const char *port)
{
	static struct inbox in;
	int fd = open_socket((uint16_t)atoi(port));

	puts("ready");
	fflush(stdout);
	for (;;) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		int n;

		poll(&waiting, 1, -1);
		while ((n = receive_batch(fd, &in)) > 0)
			take_batch(fd, &in, n);
	}
}

/* @bytes is the length of the whole IP packet, as everywhere in the benchmark's tables. */
static int send_at_rate(int fd, size_t bytes, double rate, double seconds)
{
	static char text[DATAGRAM_MAX_BYTES];
	struct iovec piece = { text, bytes - IPV4_UDP_BYTES };
	struct mmsghdr message[BATCH];
	int64_t start = now_ns(), passed;
	uint64_t sent = 0;

	for (int i = 0; i < BATCH; i++)
		message[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1 } };
	while ((passed = now_ns() - start) < (int64_t)(seconds * 1e9)) {
		uint64_t due = (uint64_t)((double)passed * rate / 1e9);

		while (sent < due) {
			unsigned n = due - sent < BATCH ? (unsigned)(due - sent) : BATCH;
			int done = sendmmsg(fd, message, n, 0);

			/* What the kernel drops here is a packet lost like any other. */
			sent += done > 0 ? (unsigned)done : n;
			/* Too late for all of it: then the rate is what it is. */
			if (now_ns() - start - passed > 4 * TICK_NS)
				break;
		}
		sleep_ns(TICK_NS);
	}
	printf("{\"sent\": %lu, \"seconds\": %.6f}\n", sent, (double)passed / 1e9);
	return 0;
}

struct ping {
	char mark[8];
	uint32_t number;
};

/* Microseconds, or -1 if nothing came back. */
static double ping_once(int fd, uint32_t number, int timeout_ms)
{
	struct ping out = { "ping", number }, back = { { 0 }, 0 };
	struct pollfd waiting = { .fd = fd, .events = POLLIN };
	int64_t start = now_ns();

	if (send(fd, &out, sizeof(out), 0) < 0 || poll(&waiting, 1, timeout_ms) <= 0)
		return -1;
	do {
		if (recv(fd, &back, sizeof(back), 0) < 0)
			return -1;
	} while (back.number != number);
	return (double)(now_ns() - start) / 1e3;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static unsigned ping_in_turn(int fd, unsigned count, double *ret_took)
{
	unsigned answered = 0;

	for (uint32_t i = 1; i <= count; i++) {
		double us = ping_once(fd, i, ANSWER_TIMEOUT_MS);

		if (us < 0)
			continue;
		ret_took[i - 1] = us;
		answered++;
	}
	return answered;
}

/* Take answers to the first @count pings until the clock says @until, or @wanted of them are there. */
static unsigned take_answers(int fd, int64_t until, unsigned wanted, const int64_t *sent,
			     unsigned count, double *ret_took)
{
	unsigned answered = 0;
	int64_t left;

	while (answered < wanted && (left = until - now_ns()) > 0) {
		struct timespec wait = { left / 1000000000, left % 1000000000 };
		struct pollfd waiting = { .fd = fd, .events = POLLIN };
		struct ping back;

		if (ppoll(&waiting, 1, &wait, NULL) <= 0)
			continue;
		if (recv(fd, &back, sizeof(back), 0) != sizeof(back) || back.number == 0 ||
		    back.number > count)
			continue;
		ret_took[back.number - 1] = (double)(now_ns() - sent[back.number - 1]) / 1e3;
		answered++;
	}
	return answered;
}

/* Whoever waits for one answer before he asks again asks seldom while answers are slow, and so finds a
 * connection that is slow half of the time to be fast. */
static unsigned ping_steadily(int fd, unsigned count, int64_t every_ns, double *ret_took)
{
	int64_t *sent = calloc(count, sizeof(*sent)), next = now_ns();
	unsigned answered = 0;

	if (!sent)
		fail("memory");
	for (uint32_t i = 1; i <= count; i++) {
		struct ping out = { "ping", i };

		sent[i - 1] = now_ns();
		send(fd, &out, sizeof(out), 0);
		next += every_ns;
		answered += take_answers(fd, next, UINT32_MAX, sent, i, ret_took);
	}
	answered += take_answers(fd, next + ANSWER_TIMEOUT_MS * INT64_C(1000000), count - answered,
				 sent, count, ret_took);
	free(sent);
	return answered;
}

/* What was not answered counts as slower than all that was. */
static int ping_often(int fd, unsigned count, unsigned every_us)
{
	double *took = calloc(count, sizeof(*took));
	unsigned answered;

	if (!took)
		fail("memory");
	for (unsigned i = 0; i < count; i++)
		took[i] = ANSWER_TIMEOUT_MS * 1e3;
	if (every_us > 0)
		answered = ping_steadily(fd, count, (int64_t)every_us * 1000, took);
	else
		answered = ping_in_turn(fd, count, took);
	qsort(took, count, sizeof(*took), compare);
	printf("{\"sent\": %u, \"answered\": %u, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", count,
	       answered, took[count / 2], took[(uint64_t)count * 99 / 100]);
	free(took);
	return 0;
}

static int ping_first(int fd, int64_t seconds)
{
	int64_t end = now_ns() + seconds * INT64_C(1000000000);

	for (uint32_t i = 1; now_ns() < end; i++) {
		if (ping_once(fd, i, 1) >= 0) {
			printf("{\"answered_at_s\": %.6f}\n", (double)now_ns() / 1e9);
			return 0;
		}
		sleep_ns(500000);
	}
	printf("{\"answered_at_s\": null}\n");
	return 1;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	prctl(PR_SET_TIMERSLACK, 1UL);
	if (strcmp(verb, "receive") == 0 && argc == 4)
		return receive(argv[2], atoi(argv[3]));
	if (strcmp(verb, "echo") == 0 && argc == 3)
		echo(argv[2]);
	if (strcmp(verb, "send") == 0 && argc == 7) {
		size_t bytes = (size_t)atoi(argv[4]);

		if (bytes < IPV4_UDP_BYTES || bytes > DATAGRAM_MAX_BYTES)
			return 2;
		return send_at_rate(connect_to(argv[2], argv[3]), bytes, atof(argv[5]),
				    atof(argv[6]));
	}
	if (strcmp(verb, "pings") == 0 && argc == 6) {
		unsigned count = (unsigned)atoi(argv[4]);

		if (count == 0 || count > PINGS_MAX)
			return 2;
		return ping_often(connect_to(argv[2], argv[3]), count, (unsigned)atoi(argv[5]));
	}
	if (strcmp(verb, "first") == 0 && argc == 5)
		return ping_first(connect_to(argv[2], argv[3]), atoi(argv[4]));
	fputs("usage: bench-load receive|echo|send|pings|first ...; see the head of its source\n",
	      stderr);
	return 2;
}
