/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket's error queue (ip(7), IP_RECVERR): what routers, the other machine and our own kernel
 * say about datagrams that could not be carried.
 */
#include "io/udp_socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>

static bool is_extended_error(const struct cmsghdr *detail)
{
	return (detail->cmsg_level == IPPROTO_IP && detail->cmsg_type == IP_RECVERR) ||
	       (detail->cmsg_level == IPPROTO_IPV6 && detail->cmsg_type == IPV6_RECVERR);
}

/* A firewall says so in IPv4 as if there were no way (RFC 1812 section 5.2.7.1); in IPv6 Linux tells it apart. */
static bool is_prohibited(const struct sock_extended_err *error)
{
	return error->ee_origin == SO_EE_ORIGIN_ICMP && error->ee_type == ICMP_DEST_UNREACH &&
	       (error->ee_code == ICMP_NET_ANO || error->ee_code == ICMP_HOST_ANO ||
		error->ee_code == ICMP_PKT_FILTERED);
}

/* False for what is of no interest, such as a time stamp. */
static bool event_from(const struct sock_extended_err *error, const union sockaddr_any *destination,
		       struct transport_event *ret_event)
{
	struct transport_event event = { .why = (int)error->ee_errno };

	if (error->ee_origin != SO_EE_ORIGIN_LOCAL && error->ee_origin != SO_EE_ORIGIN_ICMP &&
	    error->ee_origin != SO_EE_ORIGIN_ICMP6)
		return false;
	switch (error->ee_errno) {
	case EMSGSIZE:
		event.kind = TRANSPORT_PATH_MTU;
		event.mtu_outer_bytes = error->ee_info;
		break;
	case ECONNREFUSED:
		event.kind = TRANSPORT_REFUSED;
		break;
	default:
		event.kind = TRANSPORT_UNREACHABLE;
		if (is_prohibited(error))
			event.why = EACCES;
	}
	sockaddr_to(destination, &event.endpoint);
	*ret_event = event;
	return true;
}

/* Take one message out of the error queue.  False when it is empty. */
static bool take_error(int fd, struct msghdr *message)
{
	ssize_t n;

	do
		n = recvmsg(fd, message, MSG_ERRQUEUE);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

bool udp_next_event(struct transport *transport, struct transport_event *ret_event)
{
	struct udp *udp = udp_of(transport);

	if (udp->has_pending) {
		*ret_event = udp->pending;
		udp->has_pending = false;
		return true;
	}
	for (;;) {
		union {
			char bytes[512];
			struct cmsghdr aligned;
		} details;
		union sockaddr_any destination = { 0 };
		struct msghdr message = {
			.msg_name = &destination,
			.msg_namelen = sizeof(destination),
			.msg_control = &details,
			.msg_controllen = sizeof(details),
		};

		if (!take_error(transport->fd, &message))
			return false;
		for (struct cmsghdr *detail = CMSG_FIRSTHDR(&message); detail;
		     detail = CMSG_NXTHDR(&message, detail)) {
			struct sock_extended_err error;

			if (!is_extended_error(detail))
				continue;
			memcpy(&error, CMSG_DATA(detail), sizeof(error));
			if (event_from(&error, &destination, ret_event))
				return true;
		}
	}
}
