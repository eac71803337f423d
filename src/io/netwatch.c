/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/netwatch.h"

#include "io/clock.h"
#include "scope.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

/* The two clocks are not read at the same moment; nobody suspends for less than this. */
#define SUSPEND_MIN_NS (NS_PER_S / 2)

static int open_netlink(struct mnl_socket **ret_netlink)
{
	unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
			  RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	struct mnl_socket *netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (!netlink)
		return -errno;
	if (mnl_socket_bind(netlink, groups, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;

		mnl_socket_close(netlink);
		return error;
	}
	*ret_netlink = netlink;
	return 0;
}

/* A timer that never expires, and that the kernel cancels when the clock is set or starts again. */
static int open_clock(void)
{
	struct itimerspec never = { .it_value.tv_sec = INT32_MAX };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
	return fd;
}

static int watch_fd(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int netwatch_open(unsigned own_index, struct netwatch *ret_watch)
{
	struct netwatch watch = {
		.fd = epoll_create1(EPOLL_CLOEXEC),
		.own_index = own_index,
		.clock = open_clock(),
		.suspended_ns = clock_suspended_ns(),
		.due = INSTANT_NEVER,
	};
	int error = watch.fd < 0 || watch.clock < 0 ? -errno : open_netlink(&watch.netlink);

	if (!error)
		error = watch_fd(watch.fd, mnl_socket_get_fd(watch.netlink));
	if (!error)
		error = watch_fd(watch.fd, watch.clock);
	if (error) {
		netwatch_close(&watch);
		return error;
	}
	*ret_watch = watch;
	return 0;
}

void netwatch_close(struct netwatch *watch)
{
	if (watch->netlink)
		mnl_socket_close(watch->netlink);
	close_fd(&watch->clock);
	close_fd(&watch->fd);
	*watch = (struct netwatch){ .fd = -1, .clock = -1, .due = INSTANT_NEVER };
}

static bool link_matters(const struct nlmsghdr *message, unsigned own_index)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);

	/* Wireless drivers report statistics this way, many times a minute. */
	if (message->nlmsg_type == RTM_NEWLINK &&
	    !(link->ifi_change & (IFF_UP | IFF_RUNNING | IFF_LOWER_UP)))
		return false;
	return (unsigned)link->ifi_index != own_index;
}

static bool address_matters(const struct nlmsghdr *message, unsigned own_index)
{
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);

	return address->ifa_index != own_index;
}

/* For mnl_attr_parse(): the interface by which a route leaves. */
static int take_output(const struct nlattr *attribute, void *ret_index)
{
	if (mnl_attr_get_type(attribute) == RTA_OIF)
		*(unsigned *)ret_index = mnl_attr_get_u32(attribute);
	return MNL_CB_OK;
}

static bool route_matters(const struct nlmsghdr *message, unsigned own_index)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	unsigned output = 0;

	if (route->rtm_flags & RTM_F_CLONED || route->rtm_table == RT_TABLE_LOCAL)
		return false;
	mnl_attr_parse(message, sizeof(*route), take_output, &output);
	return output != own_index;
}

static bool message_matters(const struct nlmsghdr *message, unsigned own_index)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_matters(message, own_index);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return address_matters(message, own_index);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return route_matters(message, own_index);
	default:
		return false;
	}
}

static void note_change(struct netwatch *watch, struct instant now)
{
	watch->due = instant_earlier(watch->due, instant_after(now, NETWATCH_SETTLE_NS));
}

static void read_netlink(struct netwatch *watch, struct instant now)
{
	char room[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t n;

	while ((n = mnl_socket_recvfrom(watch->netlink, room, sizeof(room))) > 0) {
		const struct nlmsghdr *message = (const void *)room;
		int left = (int)n;

		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			if (message_matters(message, watch->own_index))
				note_change(watch, now);
	}
	/* So much has happened that some of it was lost. */
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		note_change(watch, now);
}

static void read_clock(struct netwatch *watch, struct instant now)
{
	uint64_t expirations;

	if (read(watch->clock, &expirations, sizeof(expirations)) < 0 && errno == ECANCELED)
		netwatch_slept(watch, clock_suspended_ns(), now);
}

void netwatch_slept(struct netwatch *watch, int64_t suspended_ns, struct instant now)
{
	if (suspended_ns - watch->suspended_ns > SUSPEND_MIN_NS)
		note_change(watch, now);
	watch->suspended_ns = suspended_ns;
}

void netwatch_read(struct netwatch *watch, struct instant now)
{
	read_netlink(watch, now);
	read_clock(watch, now);
}

bool netwatch_changed(struct netwatch *watch, struct instant now)
{
	if (!instant_reached(now, watch->due))
		return false;
	watch->due = INSTANT_NEVER;
	return true;
}
