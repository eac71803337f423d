/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/rtnl.h"

#include "scope.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

enum {
	REQUEST_BYTES = 1024,
	ANSWER_BYTES = 32768, /* the kernel fills dumps up to this */
	SEQUENCE = 1,         /* one request a time, and dumps are read to their end */

	/* Packets that may wait in the device.  Of the kernel's 500 a sender of 300,000 small ones a
	 * second has some lost whenever the tunnel's process does not run for 2 ms; of these, 6 ms. */
	QUEUE_PACKETS = 2000,

	NESTED_TYPES = 16, /* more than those that we look for within others */

	CONNECTED_METRIC_IPV6 = 256, /* IP6_RT_PRIO_ADDRCONF */
};

static int open_socket(unsigned groups, int flags, int *ret_fd)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int one = 1;
	scoped_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	/* Without this, an error quotes the whole request. */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	/* Dumps filtered by what the request says, and complaints about what is not understood. */
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	*ret_fd = take_fd(&fd);
	return 0;
}

int rtnl_open(int *ret_fd)
{
	return open_socket(0, 0, ret_fd);
}

int rtnl_watch(int *ret_fd)
{
	const unsigned rules_ipv6 = 1u << (RTNLGRP_IPV6_RULE - 1); /* has no name of the kind */

	return open_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
				   RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE |
				   rules_ipv6,
			   SOCK_NONBLOCK, ret_fd);
}

/* Throws away what an answer that was given up still holds, lest the next request take it for its own. */
static void drain(int fd)
{
	char discarded[256];

	while (recv(fd, discarded, sizeof(discarded), MSG_DONTWAIT | MSG_TRUNC) >= 0)
		;
}

/* Sends @request and hands each message of the answer to @take until it ends. */
static int talk(int fd, struct nlmsghdr *request, mnl_cb_t take, void *context)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	ssize_t got;
	int verdict, error;

	request->nlmsg_seq = SEQUENCE;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	do {
		got = recv(fd, answer, sizeof(answer), 0);
		if (got < 0)
			return -errno;
		verdict = mnl_cb_run(answer, (size_t)got, SEQUENCE, 0, take, context);
	} while (verdict > MNL_CB_STOP);
	if (verdict == MNL_CB_STOP)
		return 0;
	error = -errno;
	drain(fd);
	return error;
}

/* A request that is answered by success or failure only. */
static int tell(int fd, struct nlmsghdr *request)
{
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	return talk(fd, request, NULL, NULL);
}

static struct nlmsghdr *begin(void *room, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(room);

	request->nlmsg_type = type;
	request->nlmsg_flags = flags;
	return request;
}

/* On a kernel without IPv6 there is nothing to be told of it. */
static int without_ipv6(int error)
{
	return error == -EAFNOSUPPORT || error == -EOPNOTSUPP ? 0 : error;
}

union request_room {
	char bytes[REQUEST_BYTES];
	struct nlmsghdr header; /* for its alignment */
};

#define request_room() (&(union request_room){ 0 })

static uint8_t kernel_family(const struct address *a)
{
	return address_is_ipv4(a) ? AF_INET : AF_INET6;
}

/* An address without what makes an IPv4 one look like IPv6. */
static void put_address(struct nlmsghdr *request, uint16_t type, const struct address *a)
{
	if (address_is_ipv4(a))
		mnl_attr_put(request, type, 4, a->b + 12);
	else
		mnl_attr_put(request, type, sizeof(a->b), a->b);
}

static struct address get_address(const struct nlattr *attribute)
{
	const uint8_t *b = mnl_attr_get_payload(attribute);

	if (mnl_attr_get_payload_len(attribute) == 4)
		return address_from_ipv4(b);
	if (mnl_attr_get_payload_len(attribute) == 16)
		return address_from_ipv6(b);
	return (struct address){ { 0 } };
}

static int index_of(const char *interface, uint32_t *ret_index)
{
	unsigned index = if_nametoindex(interface);

	if (!index)
		return -ENODEV;
	*ret_index = index;
	return 0;
}

static int set_address_mode(int fd, uint32_t index, uint8_t mode)
{
	struct nlmsghdr *request = begin(request_room(), RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	struct nlattr *families, *ipv6;
	int error;

	link->ifi_family = AF_UNSPEC;
	link->ifi_index = (int)index;
	families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
	ipv6 = mnl_attr_nest_start(request, AF_INET6);
	mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, mode);
	mnl_attr_nest_end(request, ipv6);
	mnl_attr_nest_end(request, families);
	error = tell(fd, request);
	/* Without IPv6 there is no such mode. */
	return error == -EAFNOSUPPORT || error == -EOPNOTSUPP || error == -EINVAL ? 0 : error;
}

int rtnl_link_set(int fd, const char *interface, const struct link_settings *settings)
{
	struct nlmsghdr *request = begin(request_room(), RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	uint32_t index;
	int error = index_of(interface, &index);

	if (!error)
		error = set_address_mode(fd, index, settings->address_mode);
	if (error)
		return error;
	link->ifi_family = AF_UNSPEC;
	link->ifi_index = (int)index;
	link->ifi_flags = (settings->up ? IFF_UP : 0u) | (settings->multicast ? IFF_MULTICAST : 0u);
	link->ifi_change = IFF_UP | IFF_MULTICAST;
	mnl_attr_put_u32(request, IFLA_MTU, settings->mtu);
	mnl_attr_put_u32(request, IFLA_TXQLEN, settings->queue_packets);
	return tell(fd, request);
}

int rtnl_link_up(int fd, const char *interface, uint16_t mtu)
{
	/* No link-local address, hence no router solicitation and no multicast report in IPv6. */
	return rtnl_link_set(fd, interface,
			     &(struct link_settings){ .mtu = mtu,
						      .queue_packets = QUEUE_PACKETS,
						      .up = 1,
						      .address_mode = IN6_ADDR_GEN_MODE_NONE });
}

static int set_down(int fd, uint32_t index)
{
	struct nlmsghdr *request = begin(request_room(), RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));

	link->ifi_index = (int)index;
	link->ifi_change = IFF_UP;
	return tell(fd, request);
}

static int rename_link(int fd, uint32_t index, const char *name)
{
	struct nlmsghdr *request = begin(request_room(), RTM_NEWLINK, 0);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));

	link->ifi_index = (int)index;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return tell(fd, request);
}

int rtnl_link_rename(int fd, uint32_t index, const char *name)
{
	int error = rename_link(fd, index, name);

	if (error != -EBUSY)
		return error;
	error = set_down(fd, index);
	return error ? error : rename_link(fd, index, name);
}

int rtnl_address(int fd, bool add, const char *interface, const struct prefix *address)
{
	struct nlmsghdr *request = begin(request_room(), add ? RTM_NEWADDR : RTM_DELADDR,
					 add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	int error = index_of(interface, &body->ifa_index);

	if (error)
		return error;
	body->ifa_family = kernel_family(&address->address);
	body->ifa_prefixlen = address->length;
	/* Nobody else is on that link whose address it could be. */
	if (add && body->ifa_family == AF_INET6)
		body->ifa_flags = IFA_F_NODAD;
	put_address(request, IFA_LOCAL, &address->address);
	put_address(request, IFA_ADDRESS, &address->address);
	return tell(fd, request);
}

int rtnl_route(int fd, bool add, const char *interface, const struct step_route *route)
{
	struct nlmsghdr *request = begin(request_room(), add ? RTM_NEWROUTE : RTM_DELROUTE,
					 add ? NLM_F_CREATE | NLM_F_EXCL : 0);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	uint32_t index;
	int error = index_of(interface, &index);

	if (error)
		return error;
	body->rtm_family = kernel_family(&route->network.address);
	body->rtm_dst_len = route->network.length;
	body->rtm_protocol = STEP_PROTOCOL;
	body->rtm_type = RTN_UNICAST;
	body->rtm_scope = body->rtm_family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	body->rtm_table = RT_TABLE_UNSPEC;
	if (route->network.length > 0)
		put_address(request, RTA_DST, &route->network.address);
	mnl_attr_put_u32(request, RTA_TABLE, route->table);
	mnl_attr_put_u32(request, RTA_OIF, index);
	return tell(fd, request);
}

int rtnl_connected_route(int fd, const char *interface, const struct prefix *address)
{
	struct nlmsghdr *request = begin(request_room(), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	const struct prefix network = prefix_network(address);
	bool ipv4 = address_is_ipv4(&network.address);
	uint32_t index;
	int error = index_of(interface, &index);

	if (error)
		return error;
	body->rtm_family = kernel_family(&network.address);
	body->rtm_dst_len = network.length;
	body->rtm_protocol = RTPROT_KERNEL;
	body->rtm_type = RTN_UNICAST;
	body->rtm_scope = ipv4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	body->rtm_table = RT_TABLE_MAIN;
	put_address(request, RTA_DST, &network.address);
	mnl_attr_put_u32(request, RTA_OIF, index);
	if (ipv4)
		put_address(request, RTA_PREFSRC, &address->address);
	else
		mnl_attr_put_u32(request, RTA_PRIORITY, CONNECTED_METRIC_IPV6);
	return tell(fd, request);
}

int rtnl_rule(int fd, bool add, const struct step_rule *rule)
{
	struct nlmsghdr *request =
		begin(request_room(), add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE : 0);
	struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	const struct fib_rule_uid_range user = { rule->user, rule->user };

	body->family = rule->family == 4 ? AF_INET : AF_INET6;
	body->action = rule->table ? FR_ACT_TO_TBL : rule->target ? FR_ACT_GOTO : FR_ACT_NOP;
	mnl_attr_put_u32(request, FRA_PRIORITY, rule->priority);
	mnl_attr_put_u8(request, FRA_PROTOCOL, STEP_PROTOCOL);
	if (rule->mark)
		mnl_attr_put_u32(request, FRA_FWMARK, rule->mark);
	if (rule->user)
		mnl_attr_put(request, FRA_UID_RANGE, sizeof(user), &user);
	if (!address_is_none(&rule->from)) {
		put_address(request, FRA_SRC, &rule->from);
		body->src_len = address_is_ipv4(&rule->from) ? 32 : 128;
	}
	if (rule->table)
		mnl_attr_put_u32(request, FRA_TABLE, rule->table);
	if (rule->target)
		mnl_attr_put_u32(request, FRA_GOTO, rule->target);
	if (rule->local_only)
		mnl_attr_put_u32(request, FRA_SUPPRESS_PREFIXLEN, 0);
	return tell(fd, request);
}

/* The attributes of a message by type, those up to @max. */
struct attributes {
	const struct nlattr **by_type;
	uint16_t max;
};

static int collect_attribute(const struct nlattr *attribute, void *context)
{
	const struct attributes *into = context;

	if (mnl_attr_get_type(attribute) <= into->max)
		into->by_type[mnl_attr_get_type(attribute)] = attribute;
	return MNL_CB_OK;
}

static void collect(const struct nlmsghdr *message, size_t header_bytes, uint16_t max,
		    const struct nlattr **by_type)
{
	struct attributes into = { by_type, max };

	mnl_attr_parse(message, (unsigned)header_bytes, collect_attribute, &into);
}

/* A rule of ours as it came from the kernel, kept whole: sent back, it names itself. */
struct found_rule {
	bool found;
	_Alignas(struct nlmsghdr) char message[REQUEST_BYTES];
};

static int find_rule_of_ours(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[FRA_PROTOCOL + 1] = { NULL };
	struct found_rule *rule = context;

	collect(message, sizeof(struct fib_rule_hdr), FRA_PROTOCOL, attribute);
	if (rule->found || message->nlmsg_len > sizeof(rule->message) || !attribute[FRA_PROTOCOL] ||
	    mnl_attr_get_u8(attribute[FRA_PROTOCOL]) != STEP_PROTOCOL)
		return MNL_CB_OK;
	memcpy(rule->message, message, message->nlmsg_len);
	rule->found = true;
	return MNL_CB_OK;
}

struct rule_listener {
	void (*each)(void *context, const struct step_rule *rule);
	void *context;
};

static uint32_t get_u32(const struct nlattr *attribute)
{
	return attribute ? mnl_attr_get_u32(attribute) : 0;
}

static int take_rule(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[FRA_PROTOCOL + 1] = { NULL };
	const struct fib_rule_hdr *body = mnl_nlmsg_get_payload(message);
	const struct rule_listener *listener = context;
	struct step_rule rule = { .family = body->family == AF_INET ? 4 : 6 };

	collect(message, sizeof(*body), FRA_PROTOCOL, attribute);
	if (!attribute[FRA_PROTOCOL] || mnl_attr_get_u8(attribute[FRA_PROTOCOL]) != STEP_PROTOCOL)
		return MNL_CB_OK;
	rule.priority = get_u32(attribute[FRA_PRIORITY]);
	rule.mark = get_u32(attribute[FRA_FWMARK]);
	rule.table = get_u32(attribute[FRA_TABLE]);
	rule.target = get_u32(attribute[FRA_GOTO]);
	/* The kernel tells -1 where none was set. */
	rule.local_only = attribute[FRA_SUPPRESS_PREFIXLEN] &&
			  get_u32(attribute[FRA_SUPPRESS_PREFIXLEN]) == 0;
	if (attribute[FRA_UID_RANGE])
		rule.user = ((const struct fib_rule_uid_range *)mnl_attr_get_payload(
				     attribute[FRA_UID_RANGE]))
				    ->start;
	if (attribute[FRA_SRC])
		rule.from = get_address(attribute[FRA_SRC]);
	listener->each(listener->context, &rule);
	return MNL_CB_OK;
}

static int rules_of(int fd, uint8_t family, struct rule_listener *listener)
{
	struct nlmsghdr *request = begin(request_room(), RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP);
	struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	body->family = family;
	return talk(fd, request, take_rule, listener);
}

int rtnl_rules(int fd, void (*each)(void *context, const struct step_rule *rule), void *context)
{
	struct rule_listener listener = { each, context };
	int ipv4 = rules_of(fd, AF_INET, &listener);
	int ipv6 = rules_of(fd, AF_INET6, &listener);

	return ipv4 ? ipv4 : without_ipv6(ipv6);
}

/* The kernel says of each change over whose socket it was asked for. */
static uint32_t number_of(int fd)
{
	struct sockaddr_nl address = { .nl_pid = 0 };
	socklen_t bytes = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &bytes);
	return address.nl_pid;
}

static bool is_route_gone(const struct nlmsghdr *message, uint32_t own, uint32_t index)
{
	const struct nlattr *attribute[RTA_OIF + 1] = { NULL };

	if (message->nlmsg_type != RTM_DELROUTE || (own && message->nlmsg_pid == own))
		return false;
	collect(message, sizeof(struct rtmsg), RTA_OIF, attribute);
	return attribute[RTA_OIF] && mnl_attr_get_u32(attribute[RTA_OIF]) == index;
}

/* Of routes there may be thousands that come and go, and none of them ours; but of those to large parts of
 * everything there are few. */
static bool concerns(const struct nlmsghdr *message)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE)
		return true;
	return route->rtm_dst_len < 8;
}

bool rtnl_watch_read(int fd, int own, const char *interface, bool *ret_route_gone)
{
	_Alignas(struct nlmsghdr) char room[ANSWER_BYTES];
	const uint32_t number = number_of(own);
	uint32_t index = 0;
	bool any = false, gone = false;
	ssize_t n;

	index_of(interface, &index);
	while ((n = recv(fd, room, sizeof(room), 0)) > 0) {
		const struct nlmsghdr *message = (const void *)room;
		int left = (int)n;

		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			any |= concerns(message);
			gone |= is_route_gone(message, number, index);
		}
	}
	/* Otherwise there was so much that some of it was lost. */
	*ret_route_gone = gone || errno != EAGAIN;
	return any || *ret_route_gone;
}

static int clear_one_rule(int fd, uint8_t family, bool *ret_found)
{
	struct found_rule rule = { .found = false };
	struct nlmsghdr *request = begin(request_room(), RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP);
	struct fib_rule_hdr *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	int error;

	body->family = family;
	error = talk(fd, request, find_rule_of_ours, &rule);
	*ret_found = rule.found;
	if (error || !rule.found)
		return error;
	request = (struct nlmsghdr *)rule.message;
	request->nlmsg_type = RTM_DELRULE;
	request->nlmsg_flags = 0;
	request->nlmsg_pid = 0;
	return tell(fd, request);
}

static int clear_rules_of(int fd, uint8_t family)
{
	bool found;
	int error;

	do
		error = clear_one_rule(fd, family, &found);
	while (!error && found);
	return error;
}

int rtnl_clear_rules(int fd)
{
	int ipv4 = clear_rules_of(fd, AF_INET);
	int ipv6 = clear_rules_of(fd, AF_INET6);

	return ipv4 ? ipv4 : without_ipv6(ipv6);
}

static uint32_t mtu_metric(const struct nlattr *metrics)
{
	const struct nlattr *by_type[RTAX_MTU + 1] = { NULL };
	struct attributes into = { by_type, RTAX_MTU };

	mnl_attr_parse_nested(metrics, collect_attribute, &into);
	return by_type[RTAX_MTU] ? mnl_attr_get_u32(by_type[RTAX_MTU]) : 0;
}

static int link_mtu(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[IFLA_MTU + 1] = { NULL };

	collect(message, sizeof(struct ifinfomsg), IFLA_MTU, attribute);
	if (attribute[IFLA_MTU])
		*(uint32_t *)context = mnl_attr_get_u32(attribute[IFLA_MTU]);
	return MNL_CB_OK;
}

static int mtu_of_link(int fd, const char *interface, uint32_t *ret_mtu)
{
	struct nlmsghdr *request = begin(request_room(), RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	uint32_t index;
	int error = index_of(interface, &index);

	if (error)
		return error;
	link->ifi_index = (int)index;
	return talk(fd, request, link_mtu, ret_mtu);
}

static const struct nlattr *nested(const struct nlattr *outer, uint16_t type)
{
	const struct nlattr *by_type[NESTED_TYPES] = { NULL };
	struct attributes into = { by_type, NESTED_TYPES - 1 };

	if (outer)
		mnl_attr_parse_nested(outer, collect_attribute, &into);
	return by_type[type];
}

/* What a byte within @outer says; 0 if it is not there. */
static uint8_t nested_byte(const struct nlattr *outer, uint16_t type)
{
	const struct nlattr *attribute = nested(outer, type);

	return attribute ? mnl_attr_get_u8(attribute) : 0;
}

struct found_link {
	struct link_settings settings;
	bool stays;
};

static int take_link(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[IFLA_AF_SPEC + 1] = { NULL };
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct found_link *found = context;

	collect(message, sizeof(*link), IFLA_AF_SPEC, attribute);
	found->settings.up = (link->ifi_flags & IFF_UP) != 0;
	found->settings.multicast = (link->ifi_flags & IFF_MULTICAST) != 0;
	if (attribute[IFLA_MTU])
		found->settings.mtu = mnl_attr_get_u32(attribute[IFLA_MTU]);
	if (attribute[IFLA_TXQLEN])
		found->settings.queue_packets = mnl_attr_get_u32(attribute[IFLA_TXQLEN]);
	found->settings.address_mode =
		nested_byte(nested(attribute[IFLA_AF_SPEC], AF_INET6), IFLA_INET6_ADDR_GEN_MODE);
	found->stays = nested_byte(nested(attribute[IFLA_LINKINFO], IFLA_INFO_DATA),
				   IFLA_TUN_PERSIST) != 0;
	return MNL_CB_OK;
}

int rtnl_link_read(int fd, const char *interface, struct link_settings *ret_settings,
		   bool *ret_stays)
{
	struct nlmsghdr *request = begin(request_room(), RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	struct found_link found = { .stays = false };
	uint32_t index;
	int error = index_of(interface, &index);

	if (error)
		return error;
	link->ifi_index = (int)index;
	error = talk(fd, request, take_link, &found);
	if (error)
		return error;
	*ret_settings = found.settings;
	*ret_stays = found.stays;
	return 0;
}

static int take_route_answer(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[RTA_VIA + 1] = { NULL };
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct route_answer *answer = context;

	collect(message, sizeof(struct rtmsg), RTA_VIA, attribute);
	if (body->rtm_type != RTN_UNICAST && body->rtm_type != RTN_LOCAL)
		return MNL_CB_OK;
	if (attribute[RTA_OIF])
		if_indextoname(mnl_attr_get_u32(attribute[RTA_OIF]), answer->interface);
	if (attribute[RTA_PREFSRC])
		answer->source = get_address(attribute[RTA_PREFSRC]);
	if (attribute[RTA_GATEWAY])
		answer->gateway = get_address(attribute[RTA_GATEWAY]);
	if (attribute[RTA_METRICS])
		answer->mtu = mtu_metric(attribute[RTA_METRICS]);
	return MNL_CB_OK;
}

int rtnl_lookup(int fd, const struct address *destination, uint32_t mark,
		struct route_answer *ret_answer)
{
	struct nlmsghdr *request = begin(request_room(), RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
	struct route_answer answer = { .mtu = 0 };
	int error;

	body->rtm_family = kernel_family(destination);
	body->rtm_dst_len = body->rtm_family == AF_INET ? 32 : 128;
	put_address(request, RTA_DST, destination);
	if (mark)
		mnl_attr_put_u32(request, RTA_MARK, mark);
	error = talk(fd, request, take_route_answer, &answer);
	if (!error && !answer.interface[0])
		error = -ENETUNREACH;
	if (!error && !answer.mtu)
		error = mtu_of_link(fd, answer.interface, &answer.mtu);
	if (error)
		return error;
	*ret_answer = answer;
	return 0;
}

/* Who wants to hear of addresses or routes, and what the kernel has to say. */
struct listener {
	void (*each)(void *context, const char *interface, const struct prefix *prefix);
	void *context;
};

static int take_address(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[IFA_LOCAL + 1] = { NULL };
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(message);
	const struct listener *listener = context;
	const struct nlattr *address;
	char interface[IF_NAMESIZE] = "";
	struct prefix prefix;

	collect(message, sizeof(*body), IFA_LOCAL, attribute);
	/* IFA_ADDRESS is the other end of a point-to-point link, if there is an IFA_LOCAL. */
	address = attribute[IFA_LOCAL] ? attribute[IFA_LOCAL] : attribute[IFA_ADDRESS];
	if (!address || !if_indextoname(body->ifa_index, interface))
		return MNL_CB_OK;
	prefix.address = get_address(address);
	prefix.length = body->ifa_prefixlen;
	listener->each(listener->context, interface, &prefix);
	return MNL_CB_OK;
}

int rtnl_addresses(int fd,
		   void (*each)(void *context, const char *interface, const struct prefix *address),
		   void *context)
{
	struct listener listener = { each, context };
	struct nlmsghdr *request = begin(request_room(), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(request, sizeof(struct ifaddrmsg));
	return talk(fd, request, take_address, &listener);
}

static int take_route(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *attribute[RTA_TABLE + 1] = { NULL };
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	const struct listener *listener = context;
	char interface[IF_NAMESIZE] = "";
	struct prefix network = { .length = body->rtm_dst_len };

	collect(message, sizeof(*body), RTA_TABLE, attribute);
	if (body->rtm_type != RTN_UNICAST || !attribute[RTA_TABLE] ||
	    mnl_attr_get_u32(attribute[RTA_TABLE]) != RT_TABLE_MAIN)
		return MNL_CB_OK;
	if (attribute[RTA_DST])
		network.address = get_address(attribute[RTA_DST]);
	else if (body->rtm_family == AF_INET)
		network.address = address_from_ipv4((uint8_t[4]){ 0 });
	if (attribute[RTA_OIF])
		if_indextoname(mnl_attr_get_u32(attribute[RTA_OIF]), interface);
	listener->each(listener->context, interface, &network);
	return MNL_CB_OK;
}

static int routes_of(int fd, uint8_t family, struct listener *listener)
{
	struct nlmsghdr *request = begin(request_room(), RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);
	struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));

	body->rtm_family = family;
	return talk(fd, request, take_route, listener);
}

int rtnl_routes(int fd,
		void (*each)(void *context, const char *interface, const struct prefix *network),
		void *context)
{
	struct listener listener = { each, context };
	int ipv4 = routes_of(fd, AF_INET, &listener);
	int ipv6 = routes_of(fd, AF_INET6, &listener);

	return ipv4 ? ipv4 : without_ipv6(ipv6);
}
