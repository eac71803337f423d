/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A key as text, in its two forms: the key file, and the invite, which is the same on one line.
 * Parsing and printing are inverse.  Pure: files are keyfile.h, randomness comes as an argument.
 *
 * A key file is lines of "name = value"; '#' begins a comment line.
 *
 *	name = laptop
 *	key = mvk1-<48 characters>
 *	endpoint = vpn.example.org:4500
 *	address = 10.171.38.2/24, fd5b:27c:9a11::2/64
 *	networks = 192.168.7.0/24
 *
 * A server's may have one more, old-key, as `minivpn rotate` writes it: the key that the client had
 * before, which is good until it has connected with the new one.
 *
 * The 48 characters are base64 (RFC 4648 section 5, no padding) of the 32 bytes of the key and
 * the first four of SHA-512("minivpn key check " | key): a typo or a truncated copy is told
 * apart from a wrong key.  An invite is "mv1:" and base64 of
 *
 *	key 32 | port 2 | length of name 1 | name | host | check 4
 *
 * where check is the first four bytes of SHA-512("minivpn invite check " | all before it).  It
 * carries no address: the server hands that out.
 */
#ifndef MINIVPN_KEYS_KEYTEXT_H
#define MINIVPN_KEYS_KEYTEXT_H

#include "complaint.h"
#include "keys/hostport.h"
#include "minivpn/inner.h"
#include "minivpn/key.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	KEY_NAME_BYTES = 64, /* and NUL */
	KEY_ADDRESSES_MAX = 4,
	KEY_NETWORKS_MAX = 16,
	KEYTEXT_BYTES = 4096,        /* longest that keytext_print() writes, and NUL */
	INVITE_BYTES = 512,          /* longest that invite_print() writes, and NUL */
	PSK_TEXT_BYTES = 5 + 48 + 1, /* mvk1-, base64, NUL */
	FINGERPRINT_BYTES = 6 * 5,   /* six groups of four digits, hyphens, NUL */
};

/**
 * struct keytext - what a key file says
 * @name:     of the client that holds it: letters, digits, '.', '_', '-', none of the last three
 *            first
 * @psk:      the key itself
 * @has_old, @old_psk: server: the key before it, good until this one has been used
 * @endpoint: where the server is found; host empty if not said
 * @address:  the client's addresses inside the tunnel, with their networks' lengths
 * @network:  further networks behind the client
 *
 * Holds a secret: whoever fills one wipes it with keytext_wipe().
 */
struct keytext {
	char name[KEY_NAME_BYTES];
	struct psk psk;
	bool has_old;
	struct psk old_psk;
	struct hostport endpoint;
	struct prefix address[KEY_ADDRESSES_MAX];
	unsigned address_count;
	struct prefix network[KEY_NETWORKS_MAX];
	unsigned network_count;
};

void keytext_wipe(struct keytext *key);

/**
 * keytext_parse() - read the text of a key file
 * @text, @bytes: the text; need not end in NUL
 *
 * Every name at most once, no unknown ones; name and key must be there; the key is not all zero.
 *
 * Return: true; false with @ret_complaint filled and @ret_key untouched
 */
bool keytext_parse(const char *text, size_t bytes, struct keytext *ret_key,
		   struct complaint *ret_complaint);

/**
 * keytext_print() - the text of a key file
 * @ret_text: at least KEYTEXT_BYTES; holds the secret from then on
 *
 * Return: its length
 */
size_t keytext_print(const struct keytext *key, char *ret_text);

/** invite_looks_like() - does @text begin as an invite does?  (It may still be damaged.) */
bool invite_looks_like(const char *text);

/**
 * invite_parse() - read an invite line, all of @text; it may begin with "invite: ", as it is shown
 *
 * @ret_key gets name, key and endpoint (with its port), no address and no networks.
 */
bool invite_parse(const char *text, struct keytext *ret_key, struct complaint *ret_complaint);

/**
 * invite_print() - the invite of a key
 * @key:      its endpoint must be there; port 0 is written as PORT_DEFAULT
 * @ret_text: at least INVITE_BYTES; holds the secret from then on
 *
 * Return: its length, without a line feed
 */
size_t invite_print(const struct keytext *key, char *ret_text);

/**
 * psk_fingerprint() - 96 bits by which two people compare a key without showing it
 * @ret_text: at least FINGERPRINT_BYTES
 *
 * The first 12 bytes of SHA-512("minivpn key fingerprint " | key).
 *
 * Return: @ret_text
 */
char *psk_fingerprint(const struct psk *psk, char *ret_text);

/** key_name_is_valid() - may a key be called @name? */
bool key_name_is_valid(const char *name);

/** key_name_rule() - what key_name_is_valid() wants, in words */
const char *key_name_rule(void);

/**
 * interface_address_parse() - an address in the tunnel: ADDR/LENGTH, or ADDR alone for the network
 * that is usual there (/24, IPv6 /64)
 *
 * Return: false if it is none that a host can have (multicast, loopback, unspecified, a
 * network's own or broadcast address)
 */
bool interface_address_parse(const char *text, struct prefix *ret_address);

/** address_is_for_hosts() - neither nobody's, loopback, link-local nor multicast */
bool address_is_for_hosts(const struct address *a);

/**
 * network_parse() - ADDR/LENGTH without host bits; ADDR alone is one host
 *
 * Nothing that lies wholly in what nobody routes (docs/protocol.md, section 5): loopback, link-local, multicast.
 */
bool network_parse(const char *text, struct prefix *ret_network);

#endif
