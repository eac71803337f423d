/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/addresses.h"

#include "keys/list.h"
#include "minivpn/wire.h"

#include <stdlib.h>
#include <string.h>

void networks_random(const uint8_t *random, struct prefix *ret_ipv4, struct prefix *ret_ipv6)
{
	enum { KUBERNETES = 244 }; /* 10.244.0.0/16, many clusters' pods */
	uint8_t ipv4[4] = { 10, (uint8_t)(128 | random[0]), random[1], 0 };
	uint8_t ipv6[16] = { 0xfd };

	if (ipv4[1] == KUBERNETES)
		ipv4[1]++;
	memcpy(ipv6 + 1, random + 2, 5);
	*ret_ipv4 = (struct prefix){ address_from_ipv4(ipv4), 24 };
	*ret_ipv6 = (struct prefix){ address_from_ipv6(ipv6), 64 };
}

bool addresses_parse(const char *list, struct keytext *key, struct complaint *ret_complaint)
{
	struct prefix address[KEY_ADDRESSES_MAX];
	char item[PREFIX_TEXT_BYTES];
	unsigned count = 0;

	while (list_next(&list, item, sizeof(item))) {
		if (count == KEY_ADDRESSES_MAX)
			return complain(ret_complaint, 0, "found more than %d addresses",
					KEY_ADDRESSES_MAX);
		if (!interface_address_parse(item, &address[count]))
			return complain(ret_complaint, 0,
					"found '%s', expected the address of a host, as 10.71.3.2 "
					"or fd00:1::2/64",
					item);
		count++;
	}
	if (count == 0)
		return complain(ret_complaint, 0, "found nothing, expected an address");
	memcpy(key->address, address, count * sizeof(*address));
	key->address_count = count;
	return true;
}

/* The last 32 bits of an address, or as many of them as are the host's in @network. */
static uint32_t host_number(const struct prefix *network, const struct address *a)
{
	unsigned host_bits = (address_is_ipv4(a) ? 32u : 128u) - network->length;
	be32 low;
	uint32_t number;

	memcpy(&low, a->b + 12, sizeof(low));
	number = be32_to(low);
	return host_bits >= 32 ? number : number & (((uint32_t)1 << host_bits) - 1);
}

/* How many hosts it has, from 1; the broadcast address is none. */
static uint32_t last_host(const struct prefix *network)
{
	bool ipv4 = address_is_ipv4(&network->address);
	unsigned host_bits = (ipv4 ? 32u : 128u) - network->length;

	if (host_bits >= 32)
		return UINT32_MAX - 1;
	return ((uint32_t)1 << host_bits) - (ipv4 && host_bits > 1 ? 2 : 1);
}

struct prefix network_host(const struct prefix *network, uint32_t number)
{
	struct prefix host = prefix_network(network);
	be32 low;

	memcpy(&low, host.address.b + 12, sizeof(low));
	low = be32_from(be32_to(low) | number);
	memcpy(host.address.b + 12, &low, sizeof(low));
	return host;
}

unsigned networks_of(const struct keytext *keys, size_t count, struct prefix *ret_networks)
{
	unsigned networks = 0, known;
	struct prefix network;

	for (size_t i = 0; i < count; i++) {
		for (unsigned a = 0; a < keys[i].address_count; a++) {
			network = prefix_network(&keys[i].address[a]);
			for (known = 0; known < networks; known++)
				if (address_equal(&ret_networks[known].address, &network.address) &&
				    ret_networks[known].length == network.length)
					break;
			if (known == networks && networks < NETWORKS_MAX)
				ret_networks[networks++] = network;
		}
	}
	return networks;
}

bool network_next_free(const struct prefix *network, const struct keytext *keys, size_t count,
		       struct prefix *ret_address)
{
	/* @count * KEY_ADDRESSES_MAX addresses can take no more than so many of the lowest hosts. */
	size_t span = count * KEY_ADDRESSES_MAX + 3, number;
	bool *taken = calloc(span, sizeof(*taken)), found;
	const struct prefix *address;

	if (!taken)
		return false;
	for (size_t i = 0; i < count; i++) {
		for (unsigned a = 0; a < keys[i].address_count; a++) {
			address = &keys[i].address[a];
			if (!prefix_contains(network, &address->address))
				continue;
			number = host_number(network, &address->address);
			if (number < span)
				taken[number] = true;
		}
	}
	for (number = 2; number < span && taken[number];)
		number++;
	found = number < span && number <= last_host(network);
	if (found)
		*ret_address = network_host(network, (uint32_t)number);
	free(taken);
	return found;
}

bool network_first_free(const struct prefix *network,
			bool (*is_taken)(const void *context, const struct address *address),
			const void *context, uint32_t *from, struct prefix *ret_address)
{
	uint32_t number = *from > 2 ? *from : 2, last = last_host(network);

	for (; number <= last; number++) {
		struct prefix host = network_host(network, number);

		if (is_taken(context, &host.address))
			continue;
		*from = number;
		*ret_address = host;
		return true;
	}
	*from = number;
	return false;
}

bool addresses_leave_out(const struct prefix *own, unsigned own_count, const struct keytext *key,
			 struct complaint *ret_complaint)
{
	char text[ADDRESS_TEXT_BYTES];

	for (unsigned i = 0; i < key->address_count; i++)
		for (unsigned n = 0; n < own_count; n++)
			if (address_equal(&key->address[i].address, &own[n].address))
				return complain(ret_complaint, 0,
						"address of %s is %s, which is the server's own: "
						"give the client another, or the server with "
						"--address",
						key->name, address_print(&own[n].address, text));
	return true;
}
