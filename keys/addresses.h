/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses inside the tunnel: choosing networks nobody else is likely to have, and the next free
 * address in them.  The first host of a network is the server, clients follow.  Pure.
 */
#ifndef MINIVPN_KEYS_ADDRESSES_H
#define MINIVPN_KEYS_ADDRESSES_H

#include "complaint.h"
#include "keys/keytext.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NETWORK_RANDOM_BYTES = 8,
	NETWORKS_MAX = 8, /* different tunnel networks that one server's keys may be in */
};

/**
 * networks_random() - an IPv4 /24 that home routers and containers do not use, and a ULA /64
 * @random: NETWORK_RANDOM_BYTES from the kernel
 *
 * Source: RFC 1918 (10.128.0.0/9, less what Kubernetes' usual ranges take), RFC 4193 section 3.2
 */
void networks_random(const uint8_t *random, struct prefix *ret_ipv4, struct prefix *ret_ipv6);

/**
 * addresses_parse() - the addresses of a key, as a person lists them: "10.71.3.2, fd00:1::2/64"
 * @key: gets them, if they are right and not too many
 *
 * Return: true; false with @ret_complaint (line 0) saying what was found and expected
 */
bool addresses_parse(const char *list, struct keytext *key, struct complaint *ret_complaint);

/** network_host() - host number @number of @network, with its length; 1 is the server */
struct prefix network_host(const struct prefix *network, uint32_t number);

/**
 * networks_of() - the different networks that the addresses of @keys are in, in order of appearance
 * @ret_networks: room for NETWORKS_MAX
 *
 * Return: how many; more than NETWORKS_MAX are not counted
 */
unsigned networks_of(const struct keytext *keys, size_t count, struct prefix *ret_networks);

/**
 * network_next_free() - the lowest address of @network, from host 2, that none of @keys has
 *
 * Return: false when the network is full (or memory is short)
 */
bool network_next_free(const struct prefix *network, const struct keytext *keys, size_t count,
		       struct prefix *ret_address);

/**
 * network_first_free() - the same, for who knows of each address whether it is taken
 * @from: the host to begin with (from 2), since all below are known to be taken; left at the one found
 *
 * Return: false when the network is full
 */
bool network_first_free(const struct prefix *network,
			bool (*is_taken)(const void *context, const struct address *address),
			const void *context, uint32_t *from, struct prefix *ret_address);

/**
 * addresses_leave_out() - has a client none of the server's own addresses?
 * @own: the server's, @own_count of them
 *
 * Return: true; false with @ret_complaint naming client and address
 */
bool addresses_leave_out(const struct prefix *own, unsigned own_count, const struct keytext *key,
			 struct complaint *ret_complaint);

#endif
