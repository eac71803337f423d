/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tun device with several queues puts each flow into one of them by its hash, as long as nobody writes
 * to those queues; what is written to one that was taken out of use arrives, and leaves that as it is.
 * All fragments of a datagram are in one queue, too.
 */
#include "assume.h"

#include <arpa/inet.h>

enum { QUEUES = 16, FLOWS = 64, HEADER_BYTES = 10 /* virtio's */, IPV4_BYTES = 20 };

static int attach(void)
{
	struct ifreq ifr = { .ifr_name = "tun0",
			     .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		skip("needs a tun device of several queues");
	return fd;
}

static void set_up(void)
{
	struct ifreq ifr = { .ifr_name = "tun0" };
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	must(inet_pton(AF_INET, "10.9.0.1", &address.sin_addr) == 1);
	memcpy(&ifr.ifr_addr, &address, sizeof(address));
	must(ioctl(fd, SIOCSIFADDR, &ifr) == 0);
	must(inet_pton(AF_INET, "255.255.255.0", &address.sin_addr) == 1);
	memcpy(&ifr.ifr_netmask, &address, sizeof(address));
	must(ioctl(fd, SIOCSIFNETMASK, &ifr) == 0);
	close(fd);
	must(link_ioctl(SIOCSIFFLAGS, "tun0", IFF_UP));
}

static int open_flow(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	must(inet_pton(AF_INET, "10.9.0.2", &to.sin_addr) == 1);
	must(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

/* Take everything out; the queue of the IPv4 packets, or -1 if they were in several.  The last of them
 * stays in @packet. */
static uint8_t packet[65536];
static ssize_t packet_bytes;

static int queue_of_all(const int queues[QUEUES], unsigned *ret_packets)
{
	static uint8_t read_bytes[65536];
	int found = -2;

	*ret_packets = 0;
	for (int i = 0; i < QUEUES; i++) {
		ssize_t n;

		while ((n = read(queues[i], read_bytes, sizeof(read_bytes))) > 0) {
			if (read_bytes[HEADER_BYTES] >> 4 != 4)
				continue;
			memcpy(packet, read_bytes, (size_t)n);
			packet_bytes = n;
			found = found == -2 || found == i ? i : -1;
			++*ret_packets;
		}
	}
	return found;
}

/* Send a datagram of that flow; the queue that it comes out of. */
static int queue_of(const int queues[QUEUES], int flow, size_t bytes)
{
	static uint8_t payload[8192];
	unsigned packets;
	int queue;

	must(send(flow, payload, bytes, 0) == (ssize_t)bytes);
	queue = queue_of_all(queues, &packets);
	must(packets == (bytes > 1500 ? (bytes + 8 + 1479) / 1480 : 1));
	return queue;
}

/* The answer to the last packet: exchanging addresses and ports leaves the checksums as they are. */
static void answer(int fd)
{
	uint8_t kept[4], *ip = packet + HEADER_BYTES;

	memcpy(kept, ip + 12, 4);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, kept, 4);
	memcpy(kept, ip + IPV4_BYTES, 2);
	memcpy(ip + IPV4_BYTES, ip + IPV4_BYTES + 2, 2);
	memcpy(ip + IPV4_BYTES + 2, kept, 2);
	must(write(fd, packet, (size_t)packet_bytes) == packet_bytes);
}

int main(void)
{
	struct ifreq disuse = { .ifr_flags = IFF_DETACH_QUEUE };
	int queues[QUEUES], flows[FLOWS], first[FLOWS], used[QUEUES] = { 0 }, count = 0,
							learned = 0;
	int writer;
	char byte;

	own_namespace();
	writer = attach();
	for (int i = 0; i < QUEUES; i++)
		queues[i] = attach();
	assume(ioctl(writer, TUNSETQUEUE, &disuse) == 0, "a queue can be taken out of use");
	assume(write(writer, "", 0) < 0 && errno == EINVAL, "and written to");
	set_up();

	for (int i = 0; i < FLOWS; i++) {
		flows[i] = open_flow();
		first[i] = queue_of(queues, flows[i], 1);
		assume(first[i] >= 0, "a packet comes out of a queue in use");
		count += used[first[i]]++ == 0;
		answer(writer);
		assume(recv(flows[i], &byte, 1, 0) == 1, "what is written arrives");
	}
	assume(count > QUEUES / 2, "flows are spread");
	for (int i = 0; i < FLOWS; i++) {
		assume(queue_of(queues, flows[i], 5000) >= 0,
		       "fragments of a datagram are in one queue");
		assume(queue_of(queues, flows[i], 1) == first[i], "a flow stays where it was");
	}
	/* Why not simply to one of the queues. */
	for (int i = 0; i < FLOWS; i++) {
		queue_of(queues, flows[i], 1);
		answer(queues[0]);
		learned += queue_of(queues, flows[i], 1) == 0;
	}
	assume(learned == FLOWS, "a flow goes to where its answers are written");
	return 0;
}
