/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/tun.h"

#include "io/batching.h"
#include "log.h"
#include "scope.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Newer than Debian 12's headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
	TCP_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
	UDP_OFFLOADS = TUN_F_USO4 | TUN_F_USO6,
};

static bool set_offloads(int fd, unsigned offloads)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) == 0;
}

/* As much as this kernel offers: USO needs both versions and TSO, TSO needs checksums. */
static void start_offloads(struct tun *tun)
{
	tun->tcp = tun->udp = BATCHING;
	if (!BATCHING)
		return;
	if (set_offloads(tun->fd, TCP_OFFLOADS | UDP_OFFLOADS))
		return;
	tun->udp = false;
	if (set_offloads(tun->fd, TCP_OFFLOADS))
		return;
	tun->tcp = false;
	log_info("tun: no super-packets on %s: one packet a read", tun->name);
	set_offloads(tun->fd, 0);
}

/* A descriptor of the device. */
static int attach(const char *name, int flags, struct tun *ret_tun, int *ret_fd)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags) };
	scoped_fd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (strlen(name) >= sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	strcpy(request.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	strcpy(ret_tun->name, request.ifr_name);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* What is the same for all descriptors of a device. */
static int finish(struct tun *tun)
{
	tun->index = if_nametoindex(tun->name);
	if (tun->index == 0)
		return -errno;
	start_offloads(tun);
	return 0;
}

int tun_open(const char *name, unsigned queues, struct tun *ret_tun)
{
	struct tun tun = { .fd = -1 };
	int error = attach(name, queues > 1 ? IFF_MULTI_QUEUE : 0, &tun, &tun.fd);

	tun.queue[0] = tun.fd;
	tun.queues = 1;
	if (!error)
		error = finish(&tun);
	if (error)
		tun_close(&tun);
	else
		*ret_tun = tun;
	return error;
}

/* Write to a queue, and the device reads from it: it learns to put a flow's packets where its answers
 * come from.  Then all would be in one.  What is written to a queue that has been taken out of use it
 * passes on all the same, and learns nothing, so that only the hash decides. */
static int only_write(int fd)
{
	struct ifreq request = { .ifr_flags = IFF_DETACH_QUEUE };

	if (ioctl(fd, TUNSETQUEUE, &request) < 0)
		return -errno;
	/* Nothing is too short to be a packet; if that is not what is wrong with it, no packet can be
	 * written either. */
	return write(fd, "", 0) < 0 && errno == EINVAL ? 0 : -EOPNOTSUPP;
}

/* A device that never tells its sender to wait needs no queueing discipline; and the usual ones are made
 * for each of the 256 queues that the kernel keeps ready, 13 MB of them.  Where it cannot be had, the
 * usual ones serve. */
static void do_without_discipline(unsigned index)
{
	union {
		char bytes[256];
		struct nlmsghdr aligned;
	} room;
	struct nlmsghdr *request = mnl_nlmsg_put_header(room.bytes);
	struct mnl_socket *netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct tcmsg *body;

	if (!netlink)
		return;
	request->nlmsg_type = RTM_NEWQDISC;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	body->tcm_ifindex = (int)index;
	body->tcm_parent = TC_H_ROOT;
	mnl_attr_put_strz(request, TCA_KIND, "noqueue");
	if (mnl_socket_sendto(netlink, request, request->nlmsg_len) < 0)
		log_debug("tun: queueing disciplines stay: %s", strerror(errno));
	mnl_socket_close(netlink);
}

int tun_open_spread(const char *name, struct tun *ret_tun)
{
	struct tun tun = { .fd = -1 };
	int error = attach(name, IFF_MULTI_QUEUE | IFF_TUN_EXCL, &tun, &tun.fd);

	while (!error && tun.queues < TUN_QUEUES_MAX) {
		error = attach(tun.name, IFF_MULTI_QUEUE, &tun, &tun.queue[tun.queues]);
		tun.queues += error == 0;
	}
	if (!error)
		error = only_write(tun.fd);
	if (!error)
		error = finish(&tun);
	if (error) {
		tun_close(&tun);
		return error;
	}
	do_without_discipline(tun.index);
	*ret_tun = tun;
	return 0;
}

void tun_close(struct tun *tun)
{
	for (unsigned i = 0; i < tun->queues; i++)
		if (tun->queue[i] != tun->fd)
			close_fd(&tun->queue[i]);
	close_fd(&tun->fd);
	*tun = (struct tun){ .fd = -1 };
}

ssize_t tun_read(const struct tun *tun, unsigned queue, struct offload *ret_offload, uint8_t *room,
		 size_t size)
{
	struct iovec pieces[] = { { ret_offload, sizeof(*ret_offload) }, { room, size } };
	ssize_t n;

	do
		n = readv(tun->queue[queue], pieces, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n - (ssize_t)sizeof(*ret_offload);
}

int tun_write(const struct tun *tun, const struct iovec *pieces, unsigned count)
{
	ssize_t n;

	do
		n = writev(tun->fd, pieces, (int)count);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
