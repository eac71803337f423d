/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending.  Runs go out in one sendmmsg(), each run of more than one datagram as a segmented send
 * that the kernel, or the card, cuts.  The rest of this file is about what goes wrong:
 *
 *  - An ICMP error for an earlier datagram is reported by the next call, whatever that sends, and
 *    would cost up to 64 datagrams that have nothing to do with it.  So everything refused gets a
 *    second try.
 *  - EIO: the way out has no checksum offload, and an older kernel then refuses to cut.  EINVAL:
 *    some drivers.  That remote gets its datagrams one by one from now on.
 *  - EMSGSIZE: the path is narrower than the datagrams.  Sent one by one, the smaller ones pass, and
 *    the kernel says in the error queue how wide the path is.
 *  - ENETUNREACH or EINVAL: the address to send from is gone, since this machine has changed
 *    networks.  Then the kernel chooses one.
 *  - EAGAIN: the buffer is full.  What is newest is dropped: to wait would only make everything that
 *    follows late.
 */
#include "io/udp_socket.h"
#include "log.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static void add_detail(struct msghdr *header, int level, int type, const void *value, size_t bytes)
{
	struct cmsghdr *detail = (void *)((char *)header->msg_control + header->msg_controllen);

	detail->cmsg_level = level;
	detail->cmsg_type = type;
	detail->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(detail), value, bytes);
	header->msg_controllen += CMSG_SPACE(bytes);
}

static void add_local(struct msghdr *header, const struct address *local)
{
	if (address_is_ipv4(local)) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, local->b + 12, 4);
		add_detail(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		struct in6_pktinfo info = { 0 };

		memcpy(&info.ipi6_addr, local->b, sizeof(local->b));
		add_detail(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

static void add_tos(struct msghdr *header, const struct address *remote, int tos)
{
	if (address_is_ipv4(remote))
		add_detail(header, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	else
		add_detail(header, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

static void add_details(struct msghdr *header, const struct run *run)
{
	if (!address_is_none(&run->endpoint.local))
		add_local(header, &run->endpoint.local);
	if (run->tos)
		add_tos(header, &run->endpoint.remote, run->tos);
	if (run_count(run) > 1) {
		uint16_t size = (uint16_t)run->datagram_bytes;

		add_detail(header, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	}
	if (header->msg_controllen == 0)
		header->msg_control = NULL;
}

/* Make message i of a run.  An IPv6 address on an IPv4 socket has no name; the kernel says so. */
static void compose(struct udp *udp, size_t i, const struct run *run)
{
	struct messages *out = &udp->out;
	const struct endpoint *to = &run->endpoint;
	struct msghdr *header = &out->headers[i].msg_hdr;

	out->payloads[i] = (struct iovec){ run->bytes, run->total_bytes };
	*header = (struct msghdr){
		.msg_name = &out->names[i],
		.msg_namelen = sockaddr_from(udp->family, &to->remote, to->remote_port, to->scope,
					     &out->names[i]),
		.msg_iov = &out->payloads[i],
		.msg_iovlen = 1,
		.msg_control = &out->details[i],
	};
	add_details(header, run);
}

static bool may_segment(const struct udp *udp, const struct run *run)
{
	if (run_count(run) == 1)
		return true;
	if (!udp->segments)
		return false;
	for (unsigned i = 0; i < udp->without_count; i++)
		if (address_equal(&udp->without_segments[i], &run->endpoint.remote))
			return false;
	return true;
}

static void give_up_segments(struct udp *udp, const struct run *run, int why)
{
	if (udp->without_count == WITHOUT_SEGMENTS_MAX) {
		udp->segments = false;
		log_info("udp: no segmented sends, sending one by one: %s", strerror(why));
		return;
	}
	udp->without_segments[udp->without_count++] = run->endpoint.remote;
	log_info("udp: no segmented sends on the way to %s, sending one by one: %s",
		 shown_address(&run->endpoint.remote), strerror(why));
}

static void note(struct udp *udp, enum transport_event_kind kind, const struct run *run, int why)
{
	udp->pending =
		(struct transport_event){ .kind = kind, .endpoint = run->endpoint, .why = why };
	udp->has_pending = true;
}

/* 0 or positive errno. */
static int send_one(struct udp *udp, const struct run *run)
{
	compose(udp, 0, run);
	return sendmsg(udp->transport.fd, &udp->out.headers[0].msg_hdr, 0) < 0 ? errno : 0;
}

static bool may_be_for_lack_of_local(int error)
{
	return error == ENETUNREACH || error == EINVAL || error == EADDRNOTAVAIL;
}

static bool send_without_local(struct udp *udp, const struct run *run)
{
	struct run anywhere = *run;

	if (address_is_none(&run->endpoint.local))
		return false;
	anywhere.endpoint.local = (struct address){ 0 };
	if (send_one(udp, &anywhere))
		return false;
	note(udp, TRANSPORT_LOCAL_GONE, run, 0);
	return true;
}

static void send_cut(struct udp *udp, const struct run *run, struct sent *sent);

/* A run that the kernel has refused once. */
static void send_refused(struct udp *udp, const struct run *run, struct sent *sent)
{
	size_t count = run_count(run);
	int error = send_one(udp, run);

	if (error == 0)
		sent->passed += count;
	else if (error == EAGAIN || error == ENOBUFS)
		sent->full += count;
	else if (may_be_for_lack_of_local(error) && send_without_local(udp, run))
		sent->passed += count;
	else if (count > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
		if (error != EMSGSIZE)
			give_up_segments(udp, run, error);
		send_cut(udp, run, sent);
	} else if (error == EMSGSIZE) {
		sent->too_big += count;
	} else {
		sent->failed += count;
		note(udp, TRANSPORT_UNREACHABLE, run, error);
	}
}

/* How many leading runs can go out in one call. */
static size_t compose_leading(struct udp *udp, const struct run *runs, size_t n)
{
	size_t i;

	for (i = 0; i < n && i < MESSAGES_MAX; i++) {
		if (runs[i].dont_fragment != runs[0].dont_fragment || !may_segment(udp, &runs[i]))
			break;
		compose(udp, i, &runs[i]);
	}
	return i;
}

/* Send one or more leading runs, the first of which may be segmented.  Returns how many were dealt
 * with, sent or not. */
static size_t send_leading(struct udp *udp, const struct run *runs, size_t n, struct sent *sent)
{
	int done;

	udp_set_fragmenting(udp, !runs[0].dont_fragment);
	done = sendmmsg(udp->transport.fd, udp->out.headers,
			(unsigned)compose_leading(udp, runs, n), 0);
	if (done < 0 && errno == EAGAIN) {
		for (size_t i = 0; i < n; i++)
			sent->full += run_count(&runs[i]);
		return n;
	}
	if (done < 0) {
		send_refused(udp, &runs[0], sent);
		return 1;
	}
	for (int i = 0; i < done; i++)
		sent->passed += run_count(&runs[i]);
	return (size_t)done;
}

/* A run as datagrams of their own. */
static void send_cut(struct udp *udp, const struct run *run, struct sent *sent)
{
	struct run pieces[RUN_DATAGRAMS_MAX];
	size_t n = 0;

	for (size_t at = 0; at < run->total_bytes && n < RUN_DATAGRAMS_MAX; n++) {
		size_t left = run->total_bytes - at;

		pieces[n] = *run;
		pieces[n].bytes = run->bytes + at;
		pieces[n].total_bytes = left < run->datagram_bytes ? left : run->datagram_bytes;
		at += pieces[n].total_bytes;
	}
	for (size_t i = 0; i < n;)
		i += send_leading(udp, &pieces[i], n - i, sent);
}

struct sent udp_send(struct transport *transport, const struct run *runs, size_t n)
{
	struct udp *udp = udp_of(transport);
	struct sent sent = { 0 };

	for (size_t i = 0; i < n;) {
		if (may_segment(udp, &runs[i])) {
			i += send_leading(udp, &runs[i], n - i, &sent);
		} else {
			send_cut(udp, &runs[i], &sent);
			i++;
		}
	}
	sent.events = udp->has_pending || sent.too_big > 0;
	return sent;
}
