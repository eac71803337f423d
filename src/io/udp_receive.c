/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/udp_socket.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static int int_of(const struct cmsghdr *detail)
{
	int value;

	memcpy(&value, CMSG_DATA(detail), sizeof(value));
	return value;
}

static void take_ipv4_local(const struct cmsghdr *detail, struct run *run)
{
	struct in_pktinfo info;
	uint8_t ipv4[4];

	memcpy(&info, CMSG_DATA(detail), sizeof(info));
	memcpy(ipv4, &info.ipi_addr, sizeof(ipv4));
	run->endpoint.local = address_from_ipv4(ipv4);
}

static void take_ipv6_local(const struct cmsghdr *detail, struct run *run)
{
	struct in6_pktinfo info;

	memcpy(&info, CMSG_DATA(detail), sizeof(info));
	memcpy(run->endpoint.local.b, &info.ipi6_addr, sizeof(run->endpoint.local.b));
}

/* The number counts from when the socket was made, and goes with what is received after a drop. */
static void take_drops(struct udp *udp, const struct cmsghdr *detail)
{
	uint32_t dropped = (uint32_t)int_of(detail);

	udp->transport.overflowed += dropped - udp->dropped;
	udp->dropped = dropped;
}

static void take_detail(struct udp *udp, const struct cmsghdr *detail, struct run *run)
{
	if (detail->cmsg_level == IPPROTO_IP && detail->cmsg_type == IP_PKTINFO)
		take_ipv4_local(detail, run);
	else if (detail->cmsg_level == IPPROTO_IPV6 && detail->cmsg_type == IPV6_PKTINFO)
		take_ipv6_local(detail, run);
	else if (detail->cmsg_level == IPPROTO_IP && detail->cmsg_type == IP_TOS)
		run->tos = *CMSG_DATA(detail);
	else if (detail->cmsg_level == IPPROTO_IPV6 && detail->cmsg_type == IPV6_TCLASS)
		run->tos = (uint8_t)int_of(detail);
	else if (detail->cmsg_level == IPPROTO_UDP && detail->cmsg_type == UDP_GRO)
		run->datagram_bytes = (size_t)int_of(detail);
	else if (detail->cmsg_level == SOL_SOCKET && detail->cmsg_type == SO_RXQ_OVFL)
		take_drops(udp, detail);
}

static struct run run_of(struct udp *udp, int i)
{
	struct messages *in = &udp->in;
	struct msghdr *header = &in->headers[i].msg_hdr;
	struct run run = {
		.bytes = in->payloads[i].iov_base,
		.total_bytes = in->headers[i].msg_len,
		.datagram_bytes = in->headers[i].msg_len,
	};

	sockaddr_to(&in->names[i], &run.endpoint);
	for (struct cmsghdr *detail = CMSG_FIRSTHDR(header); detail;
	     detail = CMSG_NXTHDR(header, detail))
		take_detail(udp, detail, &run);
	if (run.datagram_bytes == 0)
		run.datagram_bytes = run.total_bytes;
	return run;
}

/* An ICMP error for something sent is reported by whatever call comes next; it is in the error
 * queue all the same, and says nothing about receiving. */
static int receive_messages(int fd, struct mmsghdr *messages, unsigned n)
{
	int received = recvmmsg(fd, messages, n, 0, NULL);

	if (received < 0 && errno != EAGAIN && errno != EINTR)
		received = recvmmsg(fd, messages, n, 0, NULL);
	if (received < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return received;
}

void udp_receive_prepare(struct udp *udp, int from, int to)
{
	struct messages *in = &udp->in;

	for (int i = from; i < to; i++) {
		in->payloads[i] = (struct iovec){
			.iov_base = udp->receive_room + (size_t)i * RECEIVE_SLOT_BYTES,
			.iov_len = RECEIVE_SLOT_BYTES,
		};
		in->headers[i].msg_hdr = (struct msghdr){
			.msg_name = &in->names[i],
			.msg_namelen = sizeof(in->names[i]),
			.msg_iov = &in->payloads[i],
			.msg_iovlen = 1,
			.msg_control = &in->details[i],
			.msg_controllen = sizeof(in->details[i]),
		};
	}
}

/* As many as would be RECEIVE_AIM_BYTES if they are like the last: with many short ones, many calls are
 * saved; with long ones there is nothing to save, and those of the beginning would be out of the cache
 * when they are opened. */
static unsigned runs_wanted(const struct run *runs, int received)
{
	size_t bytes = 1, wanted;

	for (int i = 0; i < received; i++)
		bytes += runs[i].total_bytes;
	wanted = RECEIVE_AIM_BYTES * (size_t)received / bytes;
	if (wanted < RECEIVE_RUNS_MIN)
		return RECEIVE_RUNS_MIN;
	return wanted < RECEIVE_RUNS_MAX ? (unsigned)wanted : RECEIVE_RUNS_MAX;
}

int udp_receive(struct transport *transport, struct run *ret_runs)
{
	struct udp *udp = udp_of(transport);
	int received;

	udp_receive_prepare(udp, 0, udp->received);
	received = receive_messages(transport->fd, udp->in.headers, udp->wanted);
	udp->received = received > 0 ? received : 0;
	for (int i = 0; i < received; i++)
		ret_runs[i] = run_of(udp, i);
	if (received > 0)
		udp->wanted = runs_wanted(ret_runs, received);
	return received;
}
