/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/udp.h"

#include "io/udp_socket.h"
#include "log.h"
#include "scope.h"

#include <linux/filter.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	/* A burst of some milliseconds at full speed; with the usual 208 KB hundreds were lost. */
	RECEIVE_BUFFER_BYTES = 4 << 20,
	SEND_BUFFER_BYTES = 1 << 20,
	HOPS = 64, /* as the kernel's own; fewer than 30 lead anywhere */
};

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Beyond the machine's limit if we have the right to, up to the limit otherwise. */
static void set_buffers(int fd)
{
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES))
		set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES))
		set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
}

static int open_family(int family, const struct address *local, uint16_t port, bool shared,
		       int *ret_fd)
{
	scoped_fd fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union sockaddr_any name;
	socklen_t bytes;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (shared)
		set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	set_buffers(fd);

	bytes = sockaddr_from(family, local, port, 0, &name);
	if (bytes == 0)
		return -EAFNOSUPPORT;
	if (bind(fd, &name.any, bytes) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int udp_open(const struct address *local, uint16_t port, bool shared, int *ret_fd)
{
	int error = open_family(AF_INET6, local, port, shared, ret_fd);

	/* A kernel without IPv6: the same port, IPv4 only. */
	if (error == -EAFNOSUPPORT)
		error = open_family(AF_INET, local, port, shared, ret_fd);
	return error;
}

int udp_share(int fd)
{
	return set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

/* The kernel runs it with the UDP payload as the packet; a load beyond its end returns 0. */
static int attach_steering(int fd, unsigned count, uint32_t mask)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, count, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

int udp_steer(const int *fds, unsigned count, uint32_t mask)
{
	for (unsigned i = 1; i < count; i++) {
		set(fds[i], IPPROTO_IP, IP_TTL, HOPS - (int)i);
		set(fds[i], IPPROTO_IPV6, IPV6_UNICAST_HOPS, HOPS - (int)i);
	}
	return attach_steering(fds[0], count, mask);
}

uint16_t udp_local_port(int fd)
{
	union sockaddr_any name;
	socklen_t bytes = sizeof(name);
	struct endpoint endpoint;

	if (getsockname(fd, &name.any, &bytes) < 0)
		return 0;
	sockaddr_to(&name, &endpoint);
	return endpoint.remote_port;
}

static int family_of(int fd)
{
	int family = -1;
	socklen_t bytes = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) < 0)
		return -errno;
	return family;
}

/* Ask to be told, with each datagram, which address it came to and its TOS; and of errors. */
static int ask_for_details(int fd, int family)
{
	static const struct {
		int level, option;
	} wanted[] = {
		/* An IPv6 socket wants those of IPv4 too, for the IPv4 that it carries. */
		{ IPPROTO_IP, IP_PKTINFO },        { IPPROTO_IP, IP_RECVTOS },
		{ IPPROTO_IP, IP_RECVERR },        { IPPROTO_IPV6, IPV6_RECVPKTINFO },
		{ IPPROTO_IPV6, IPV6_RECVTCLASS }, { IPPROTO_IPV6, IPV6_RECVERR },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		int error;

		if (family == AF_INET && wanted[i].level == IPPROTO_IPV6)
			continue;
		error = set(fd, wanted[i].level, wanted[i].option, 1);
		if (error)
			return error;
	}
	return 0;
}

void udp_set_fragmenting(struct udp *udp, bool fragmenting)
{
	int fd = udp->transport.fd;

	if (udp->fragmenting == fragmenting)
		return;
	set(fd, IPPROTO_IP, IP_MTU_DISCOVER, fragmenting ? IP_PMTUDISC_DONT : IP_PMTUDISC_DO);
	if (udp->family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
		    fragmenting ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_DO);
	udp->fragmenting = fragmenting;
}

static void start_segmentation(struct udp *udp)
{
	int fd = udp->transport.fd;

	udp->segments = false;
	if (!BATCHING)
		return;
	udp->segments = set(fd, IPPROTO_UDP, UDP_SEGMENT, 0) == 0;
	if (!udp->segments)
		log_info("udp: kernel without segmented sends: sending one by one");
	if (set(fd, IPPROTO_UDP, UDP_GRO, 1))
		log_info("udp: kernel without merged receipt: receiving one by one");
}

static void udp_close(struct transport *transport)
{
	struct udp *udp = udp_of(transport);

	close(transport->fd);
	munmap(udp->receive_room, (size_t)RECEIVE_RUNS_MAX * RECEIVE_SLOT_BYTES);
	free(udp);
}

static const struct transport_kind udp_kind = {
	.name = "udp",
	.overhead_ipv4_bytes = 20 + 8,
	.overhead_ipv6_bytes = 40 + 8,
	.send = udp_send,
	.receive = udp_receive,
	.next_event = udp_next_event,
	.close = udp_close,
};

int udp_start(int fd, struct transport **ret_transport)
{
	scoped_memory struct udp *udp = calloc(1, sizeof(*udp));
	int error;

	if (!udp)
		return -ENOMEM;
	udp->transport = (struct transport){ .kind = &udp_kind, .fd = fd };
	udp->family = family_of(fd);
	if (udp->family != AF_INET && udp->family != AF_INET6)
		return -EAFNOSUPPORT;
	error = ask_for_details(fd, udp->family);
	if (error)
		return error;

	/* Start as data wants it: true here, so that the call changes it. */
	udp->fragmenting = true;
	udp_set_fragmenting(udp, false);
	start_segmentation(udp);
	set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);

	udp->receive_room =
		mmap(NULL, (size_t)RECEIVE_RUNS_MAX * RECEIVE_SLOT_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (udp->receive_room == MAP_FAILED)
		return -errno;
	udp_receive_prepare(udp, 0, RECEIVE_RUNS_MAX);
	udp->wanted = RECEIVE_RUNS_MIN;
	*ret_transport = &take_memory(udp)->transport;
	return 0;
}
