/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a tunnel is, as data; and the process that runs one.  Client and server are two ways to fill in
 * this description (conf/role.c), never two programs.
 */
#ifndef RUN_TUNNEL_H
#define RUN_TUNNEL_H

#include "minivpn/handshake.h"
#include "minivpn/inner.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	TUNNEL_NAME_BYTES = 16, /* IFNAMSIZ */
	TUNNEL_HOST_BYTES = 254,
	TUNNEL_PATH_BYTES = 256,
	TUNNEL_USER_BYTES = 33, /* of users and groups */
	TUNNEL_ADDRESSES_MAX = 4,
	TUNNEL_ROUTES_MAX = 64,
	TUNNEL_DNS_MAX = 4,
};

/**
 * struct tunnel - the description of a tunnel, complete before anything on the machine is touched
 * @role:          ROLE_SERVER or ROLE_CLIENT
 * @interface:     name of the tun device
 * @key_path:      key file, or (server) folder of key files; opened by the network process, after the
 *                 steward was forked.  Empty if the client's key arrives by @key_fd
 * @key_fd:        a descriptor to read the key or invite text from, or -1
 * @bind_address:  our own outer address; none = every address
 * @bind_port:     our own UDP port; client: 0 = one that the kernel chooses
 * @remote_host:   client: name or address of the server
 * @remote_port:   client: and its port
 * @address:       our own inner addresses with prefix length.  Server: required, the networks clients
 *                 get theirs from.  Client: overrides what the server gives
 * @route:         client: destinations through the tunnel (split tunnel); server: handed to the clients
 * @full_tunnel:   client: everything goes through the tunnel
 * @default_route_offered: server: clients without routes of their own get the default routes
 * @dns:           server: handed out
 * @nat:           server: masquerade; @out_interface: only on this one, empty = on whatever it leaves by
 * @client_to_client: server: clients may reach each other, through the host's own forwarding
 * @mtu:           largest inner packet wanted; 0 = what fits the usual path
 * @keepalive_s:   client: seconds of silence before a Ping; 0 = off
 * @copy_dscp:     outer packets bear the DSCP of the inner ones
 * @user:          unprivileged user to become; empty = minivpn, else nobody
 * @control_group: who may ask it how it is, beside root; empty = nobody
 * @aead:          back-end by name; empty = the fastest that passes its self-test
 * @workers:       threads that move packets, at most 16; 0 = one for each CPU that we may use
 * @debug:         one line a packet
 */
struct tunnel {
	enum role role;
	char interface[TUNNEL_NAME_BYTES];
	char key_path[TUNNEL_PATH_BYTES];
	int key_fd;
	struct address bind_address;
	uint16_t bind_port;
	char remote_host[TUNNEL_HOST_BYTES];
	uint16_t remote_port;
	struct prefix address[TUNNEL_ADDRESSES_MAX];
	unsigned address_count;
	struct prefix route[TUNNEL_ROUTES_MAX];
	unsigned route_count;
	bool full_tunnel;
	bool default_route_offered;
	struct address dns[TUNNEL_DNS_MAX];
	unsigned dns_count;
	char search_domain[TUNNEL_HOST_BYTES];
	bool nat;
	bool client_to_client;
	char out_interface[TUNNEL_NAME_BYTES];
	unsigned mtu;
	unsigned keepalive_s;
	bool copy_dscp;
	char user[TUNNEL_USER_BYTES];
	char control_group[TUNNEL_USER_BYTES];
	char aead[16];
	unsigned workers;
	bool debug;
};

/**
 * tunnel_run() - start the processes of this tunnel, and stay until it is told to stop
 * @tunnel: description
 *
 * The caller must have no threads.  What was done to the host is undone before it returns.
 *
 * Return: exit status: 0 stopped as asked, 1 failed (and has said why)
 */
int tunnel_run(const struct tunnel *tunnel);

#endif
