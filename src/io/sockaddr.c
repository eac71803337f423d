/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/sockaddr.h"

#include <string.h>

static socklen_t ipv4_from(const struct address *address, uint16_t port,
			   union sockaddr_any *ret_sockaddr)
{
	if (!address_is_none(address) && !address_is_ipv4(address))
		return 0;
	*ret_sockaddr = (union sockaddr_any){
		.ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) },
	};
	memcpy(&ret_sockaddr->ipv4.sin_addr, address->b + 12, 4);
	return sizeof(ret_sockaddr->ipv4);
}

socklen_t sockaddr_from(int family, const struct address *address, uint16_t port, uint32_t scope,
			union sockaddr_any *ret_sockaddr)
{
	if (family == AF_INET)
		return ipv4_from(address, port, ret_sockaddr);
	*ret_sockaddr = (union sockaddr_any){
		.ipv6 = { .sin6_family = AF_INET6,
			  .sin6_port = htons(port),
			  .sin6_scope_id = scope },
	};
	memcpy(&ret_sockaddr->ipv6.sin6_addr, address->b, sizeof(address->b));
	return sizeof(ret_sockaddr->ipv6);
}

void sockaddr_to(const union sockaddr_any *sockaddr, struct endpoint *ret_endpoint)
{
	if (sockaddr->any.sa_family == AF_INET) {
		uint8_t ipv4[4];

		memcpy(ipv4, &sockaddr->ipv4.sin_addr, sizeof(ipv4));
		ret_endpoint->remote = address_from_ipv4(ipv4);
		ret_endpoint->remote_port = ntohs(sockaddr->ipv4.sin_port);
		ret_endpoint->scope = 0;
		return;
	}
	memcpy(ret_endpoint->remote.b, &sockaddr->ipv6.sin6_addr, 16);
	ret_endpoint->remote_port = ntohs(sockaddr->ipv6.sin6_port);
	ret_endpoint->scope = sockaddr->ipv6.sin6_scope_id;
}
