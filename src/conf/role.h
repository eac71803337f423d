/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What "client" and "server" mean: a configuration, and what is known of the keys without their
 * secrets, as the description of a tunnel.  Pure.
 */
#ifndef CONF_ROLE_H
#define CONF_ROLE_H

#include "complaint.h"
#include "conf/config.h"
#include "keys/addresses.h"
#include "keys/keytext.h"
#include "run/tunnel.h"

#define ROLE_SERVER_KEYS   "/etc/minivpn/keys"
#define ROLE_CLIENT_KEY    "/etc/minivpn/client.key"
#define ROLE_SERVER_CONFIG "/etc/minivpn/server.conf"
#define ROLE_CLIENT_CONFIG "/etc/minivpn/client.conf"

/**
 * struct key_facts - what may be known of a tunnel's keys by a process that may not see them
 * @count:    how many there are
 * @name:     of the first
 * @network:  the tunnel's networks that their addresses are in
 * @endpoint: where they say the server is; host empty if none does
 */
struct key_facts {
	unsigned count;
	char name[KEY_NAME_BYTES];
	struct prefix network[NETWORKS_MAX];
	unsigned network_count;
	struct hostport endpoint;
};

/** role_key_facts() - the facts of @keys */
void role_key_facts(const struct keytext *keys, size_t count, struct key_facts *ret_facts);

/**
 * role_own_addresses() - a server's own: as configured, or the first host of each of the keys' networks
 *
 * Return: how many there are; those over TUNNEL_ADDRESSES_MAX are left out of @ret_own
 */
unsigned role_own_addresses(const struct config *config, const struct key_facts *facts,
			    struct prefix ret_own[TUNNEL_ADDRESSES_MAX]);

/**
 * role_tunnel() - the tunnel that a configuration describes
 * @config: passed config_check()
 * @facts:  of the keys in @config's key file or folder
 * @key_fd: where the key is to be read from instead, or -1
 *
 * Return: true; false with @ret_complaint saying what is missing
 */
bool role_tunnel(const struct config *config, enum role role, const struct key_facts *facts,
		 int key_fd, struct tunnel *ret_tunnel, struct complaint *ret_complaint);

#endif
