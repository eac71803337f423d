/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tun-pair A B: two tun devices tied together through split and join, with nothing between them.
 *
 *   kernel -> A -> tun_read -> split_next -> (a tunnel would be here) -> join_add -> tun_write -> B
 *
 * Prints "ready"; on SIGTERM its counters as JSON, and exits 0.  The test puts addresses on the
 * devices, and B into another network namespace.
 */
#include "io/tun.h"
#include "minivpn/join.h"
#include "minivpn/split.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PACKET_BYTES = 65535,
	READS = 16,                    /* super-packets a turn: the length of a batch */
	ROOM_BYTES = 4 * PACKET_BYTES, /* packets split out of them */
};

/**
 * struct direction - one way through the pair
 * @reads, @super_reads: packets read, and how many of them were super-packets
 * @packets:             packets that they make
 * @writes:              writes, each of a packet or a super-packet
 * @refused, @failed:    super-packets that split refused; writes that the kernel refused
 */
struct direction {
	const struct tun *from;
	const struct tun *to;
	unsigned long reads, super_reads, packets, writes, refused, failed;
	struct join join;
	uint8_t room[ROOM_BYTES];
	size_t used;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static void write_oldest(struct direction *d)
{
	struct join_run *run = join_take(&d->join);
	int error = tun_write(d->to, run->pieces, run->piece_count);

	d->writes++;
	d->failed += error && error != -EIO; /* EIO: its link is not up yet */
}

static void write_all(struct direction *d)
{
	while (d->join.taken != d->join.begun)
		write_oldest(d);
	d->used = 0;
}

static void pass_on(struct direction *d, struct split *split)
{
	size_t bytes;

	while ((bytes = split_next_bytes(split)) > 0) {
		uint8_t *at;

		if (d->used + bytes > ROOM_BYTES)
			write_all(d);
		at = d->room + d->used;
		split_next(split, at);
		while (!join_add(&d->join, at, bytes))
			write_oldest(d);
		d->used += bytes;
		d->packets++;
		while (join_is_ready(&d->join))
			write_oldest(d);
	}
}

static void pump(struct direction *d)
{
	static uint8_t packet[PACKET_BYTES];
	struct offload offload;
	struct split split;
	ssize_t n;

	for (unsigned i = 0;
	     i < READS && (n = tun_read(d->from, 0, &offload, packet, PACKET_BYTES)) > 0; i++) {
		d->reads++;
		d->super_reads += offload.type != OFFLOAD_NONE;
		if (split_begin(&split, &offload, packet, (size_t)n) == VERDICT_PASS)
			pass_on(d, &split);
		else
			d->refused++;
	}
	write_all(d);
}

static void print_counters(const struct direction *d, const char *end)
{
	printf("{\"reads\": %lu, \"super_reads\": %lu, \"packets\": %lu, \"writes\": %lu, "
	       "\"refused\": %lu, \"failed\": %lu}%s",
	       d->reads, d->super_reads, d->packets, d->writes, d->refused, d->failed, end);
}

int main(int argc, char **argv)
{
	static struct direction way[2];
	struct pollfd waiting[2];
	struct tun tun[2];

	if (argc != 3) {
		fprintf(stderr, "usage: tun-pair A B\n");
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		int error = tun_open(argv[i + 1], 1, &tun[i]);

		if (error < 0) {
			fprintf(stderr, "tun-pair: %s: %s\n", argv[i + 1], strerror(-error));
			return 1;
		}
		waiting[i] = (struct pollfd){ .fd = tun[i].fd, .events = POLLIN };
	}
	for (int i = 0; i < 2; i++) {
		way[i].from = &tun[i];
		way[i].to = &tun[!i];
		way[i].join.tcp = tun[!i].tcp;
		way[i].join.udp = tun[!i].udp;
	}
	signal(SIGTERM, stop);
	printf("ready tcp=%d udp=%d\n", tun[0].tcp, tun[0].udp);
	fflush(stdout);
	while (!stopped && (poll(waiting, 2, 100) >= 0 || errno == EINTR)) {
		pump(&way[0]);
		pump(&way[1]);
	}
	printf("[");
	print_counters(&way[0], ", ");
	print_counters(&way[1], "]\n");
	return 0;
}
