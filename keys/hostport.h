/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a server is found, as a person writes it: a name or an address, and perhaps a port.
 * Nothing is resolved here.
 */
#ifndef MINIVPN_KEYS_HOSTPORT_H
#define MINIVPN_KEYS_HOSTPORT_H

#include <stdbool.h>
#include <stdint.h>

enum {
	HOST_BYTES = 254,     /* longest host name (RFC 1035 section 2.3.4), and NUL */
	HOSTPORT_BYTES = 264, /* [host]:65535 and NUL */
	PORT_DEFAULT = 4500,  /* of a server (docs/protocol.md section 1) */
};

/**
 * struct hostport - HOST[:PORT]
 * @host: host name, IPv4 or IPv6 address (without brackets); empty = none
 * @port: 1 to 65535; 0 if none was written
 */
struct hostport {
	char host[HOST_BYTES];
	uint16_t port;
};

/**
 * hostport_parse() - read HOST, HOST:PORT, ADDR6, [ADDR6] or [ADDR6]:PORT, all of @text
 *
 * Return: true; false, with @ret_wrong (static words: what is wrong with it) set
 */
bool hostport_parse(const char *text, struct hostport *ret_hostport, const char **ret_wrong);

/**
 * hostport_print() - the inverse; the port only if there is one
 * @ret_text: at least HOSTPORT_BYTES bytes
 *
 * Return: @ret_text
 */
char *hostport_print(const struct hostport *h, char *ret_text);

/** port_parse() - a decimal number from 1 to 65535, without sign, space or leading zero */
bool port_parse(const char *text, uint16_t *ret_port);

/** host_is_valid() - an address, or a name that DNS can have: labels of letters, digits, '-', '_' */
bool host_is_valid(const char *host);

#endif
