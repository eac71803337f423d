/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/handout.h"

#include "minivpn/handshake.h"

#include <string.h>

/* The whole of each family in which the tunnel has addresses. */
static void add_default_routes(const struct tunnel *tunnel, struct payload *handout)
{
	bool ipv4 = false, ipv6 = false;

	for (unsigned i = 0; i < tunnel->address_count; i++) {
		bool is_ipv4 = address_is_ipv4(&tunnel->address[i].address);

		ipv4 |= is_ipv4;
		ipv6 |= !is_ipv4;
	}
	if (ipv4)
		prefix_parse("0.0.0.0/0", &handout->route[handout->route_count++]);
	if (ipv6)
		prefix_parse("::/0", &handout->route[handout->route_count++]);
}

/* Bytes of a Response that has, beside @handout, the most that one can have for a single client. */
static size_t longest_response(const struct payload *handout)
{
	struct payload response = *handout;
	uint8_t room[RESPONSE_PAYLOAD_MAX_BYTES];

	response.spi_count = PAYLOAD_SPIS_MAX;
	for (uint32_t i = 0; i < PAYLOAD_SPIS_MAX; i++)
		response.spi[i] = 256 + i;
	response.address_count = PAYLOAD_ADDRESSES_MAX;
	for (size_t i = 0; i < PAYLOAD_ADDRESSES_MAX; i++)
		prefix_parse("2001:db8::1/64", &response.address[i]);
	response.mtu = PAYLOAD_MTU_MIN;
	response.workers = PAYLOAD_SPIS_MAX;
	response.flags = PAYLOAD_FLAG_HEARS_IN_BAND;
	response.version = PROTOCOL_VERSION;
	endpoint_parse("[2001:db8::1]:1", &response.seen_as);
	return payload_build(&response, PAYLOAD_RESPONSE, room, sizeof(room));
}

size_t handout_make(const struct tunnel *tunnel, struct payload *ret_handout)
{
	struct payload handout = { 0 };
	size_t bytes;

	if (tunnel->default_route_offered)
		add_default_routes(tunnel, &handout);
	for (unsigned i = 0; i < tunnel->route_count; i++)
		handout.route[handout.route_count++] = tunnel->route[i];
	handout.dns_count = (uint8_t)tunnel->dns_count;
	memcpy(handout.dns, tunnel->dns, sizeof(tunnel->dns));
	strcpy(handout.search_domain, tunnel->search_domain);

	bytes = longest_response(&handout);
	*ret_handout = handout;
	return bytes > RESPONSE_PAYLOAD_MAX_BYTES ? bytes - RESPONSE_PAYLOAD_MAX_BYTES : 0;
}
