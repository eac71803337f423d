/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/kinds.h"

#include "conf/config.h"
#include "host/plan.h"
#include "keys/keytext.h"

#include <ctype.h>
#include <string.h>

static bool read_switch(void *field, const char *text)
{
	bool yes = strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "no") != 0)
		return false;
	*(bool *)field = yes;
	return true;
}

static bool print_switch(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	if (index > 0 || !*(const bool *)field)
		return false;
	strcpy(ret_text, "yes");
	return true;
}

const struct config_kind kind_switch = { sizeof(bool), false, "yes or no", read_switch,
					 print_switch };

/* All strings are printed the same way. */
static bool print_string(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	if (index > 0 || !*(const char *)field)
		return false;
	strcpy(ret_text, field);
	return true;
}

/* Nothing of a longer value before stays behind it: equal settings are equal bytes. */
static void keep_string(void *field, size_t size, const char *text)
{
	memset(field, 0, size);
	strcpy(field, text);
}

static bool read_interface(void *field, const char *text)
{
	if (!plan_interface_is_valid(text))
		return false;
	keep_string(field, TUNNEL_NAME_BYTES, text);
	return true;
}

const struct config_kind kind_interface = {
	TUNNEL_NAME_BYTES, false,
	"an interface name: a letter, then up to 14 letters, digits, '.', '_' or '-'",
	read_interface, print_string
};

/* In a file a semicolon begins a comment and blanks around a value are dropped, so that a path with
 * those could not be written down. */
static bool read_path(void *field, const char *text)
{
	size_t bytes = strlen(text);

	if (bytes == 0 || bytes >= TUNNEL_PATH_BYTES || strchr(text, ';') ||
	    isspace((unsigned char)*text) || isspace((unsigned char)text[bytes - 1]))
		return false;
	for (const char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			return false;
	keep_string(field, TUNNEL_PATH_BYTES, text);
	return true;
}

const struct config_kind kind_path = { TUNNEL_PATH_BYTES, false,
				       "a path of 1 to 255 characters without ';'", read_path,
				       print_string };

/* One that a socket can have, or send to: no group's, nobody's broadcast, and none that needs an interface
 * beside it. */
static bool may_be_an_end(const struct address *a)
{
	if (address_is_ipv4(a))
		return a->b[12] < 224;
	return a->b[0] != 0xff && !(a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

static bool read_local(void *field, const char *text)
{
	struct config_local local = { 0 };
	struct hostport h = { 0 };
	const char *wrong;

	if (text[0] == ':' && text[1] != ':') { /* and no IPv6 address */
		if (!port_parse(text + 1, &local.port))
			return false;
	} else {
		if (!hostport_parse(text, &h, &wrong) || !address_parse(h.host, &local.address) ||
		    !may_be_an_end(&local.address))
			return false;
		local.port = h.port;
	}
	*(struct config_local *)field = local;
	return true;
}

static bool print_local(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	const struct config_local *local = field;
	struct hostport h = { .port = local->port };

	if (index > 0 || (address_is_none(&local->address) && local->port == 0))
		return false;
	if (address_is_none(&local->address))
		snprintf(ret_text, CONFIG_VALUE_BYTES, ":%u", local->port);
	else {
		address_print(&local->address, h.host);
		hostport_print(&h, ret_text);
	}
	return true;
}

const struct config_kind kind_local = {
	sizeof(struct config_local), false,
	"ADDR:PORT, [ADDR6]:PORT, :PORT or ADDR, with an address of this host", read_local,
	print_local
};

/* A name, or the address of one machine. */
static bool read_hostport(void *field, const char *text)
{
	struct hostport *h = field;
	struct address address;
	const char *wrong;

	if (!hostport_parse(text, h, &wrong))
		return false;
	return !address_parse(h->host, &address) ||
	       (may_be_an_end(&address) && !address_is_none(&address) &&
		!(address_is_ipv4(&address) && address.b[12] == 0));
}

static bool print_hostport(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	const struct hostport *h = field;

	if (index > 0 || !*h->host)
		return false;
	hostport_print(h, ret_text);
	return true;
}

const struct config_kind kind_hostport = {
	sizeof(struct hostport), false,
	"HOST, HOST:PORT or [ADDR6]:PORT of one machine, with a port from 1 to 65535",
	read_hostport, print_hostport
};

static bool print_prefix(const struct prefix *item, unsigned count, unsigned index, char *ret_text)
{
	if (index >= count)
		return false;
	prefix_print(&item[index], ret_text);
	return true;
}

static bool read_address(void *field, const char *text)
{
	struct config_prefixes *list = field;

	if (list->count == TUNNEL_ADDRESSES_MAX ||
	    !interface_address_parse(text, &list->item[list->count]))
		return false;
	list->count++;
	return true;
}

static bool print_address(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	const struct config_prefixes *list = field;

	return print_prefix(list->item, list->count, index, ret_text);
}

const struct config_kind kind_addresses = {
	sizeof(struct config_prefixes), true,
	"at most 4 addresses of hosts with their networks' lengths, as 10.171.38.1/24",
	read_address, print_address
};

static bool read_route(void *field, const char *text)
{
	struct config_routes *list = field;

	if (list->count == TUNNEL_ROUTES_MAX || !network_parse(text, &list->item[list->count]))
		return false;
	list->count++;
	return true;
}

static bool print_route(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	const struct config_routes *list = field;

	return print_prefix(list->item, list->count, index, ret_text);
}

const struct config_kind kind_routes = {
	sizeof(struct config_routes), true,
	"at most 64 networks of hosts, without host bits, as 192.168.7.0/24", read_route,
	print_route
};

static bool read_server(void *field, const char *text)
{
	struct config_servers *list = field;

	if (list->count == TUNNEL_DNS_MAX || !address_parse(text, &list->item[list->count]) ||
	    !address_is_for_hosts(&list->item[list->count]))
		return false;
	list->count++;
	return true;
}

static bool print_server(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	const struct config_servers *list = field;

	if (index >= list->count)
		return false;
	address_print(&list->item[index], ret_text);
	return true;
}

const struct config_kind kind_servers = {
	sizeof(struct config_servers), true,
	"at most 4 addresses that clients can reach, without lengths, as "
	"192.0.2.53",
	read_server, print_server
};

static bool read_domain(void *field, const char *text)
{
	struct address ignored;

	if (!host_is_valid(text) || address_parse(text, &ignored))
		return false;
	keep_string(field, TUNNEL_HOST_BYTES, text);
	return true;
}

const struct config_kind kind_domain = { TUNNEL_HOST_BYTES, false, "a domain name, as example.org",
					 read_domain, print_string };

/* A decimal number without sign, blanks or leading zeros. */
static bool read_number(const char *text, unsigned least, unsigned most, uint16_t *ret_number)
{
	unsigned number = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || c - text >= 5)
			return false;
		number = number * 10 + (unsigned)(*c - '0');
	}
	if (number < least || number > most)
		return false;
	*ret_number = (uint16_t)number;
	return true;
}

static bool print_number(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	if (index > 0)
		return false;
	snprintf(ret_text, CONFIG_VALUE_BYTES, "%u", *(const uint16_t *)field);
	return true;
}

enum { MTU_MIN = 1280, MTU_MAX = 65000 };

static bool read_mtu(void *field, const char *text)
{
	return read_number(text, MTU_MIN, MTU_MAX, field);
}

static bool print_mtu(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	return *(const uint16_t *)field && print_number(field, index, ret_text);
}

const struct config_kind kind_mtu = { sizeof(uint16_t), false,
				      "a number of bytes from 1280 to 65000", read_mtu, print_mtu };

static bool read_seconds(void *field, const char *text)
{
	return read_number(text, 0, CONFIG_KEEPALIVE_MAX_S, field);
}

const struct config_kind kind_seconds = { sizeof(uint16_t), false,
					  "a number of seconds from 0 (off) to 3600", read_seconds,
					  print_number };

static bool read_dscp(void *field, const char *text)
{
	bool copy = strcmp(text, "copy") == 0;

	if (!copy && strcmp(text, "0") != 0)
		return false;
	*(bool *)field = copy;
	return true;
}

static bool print_dscp(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	if (index > 0)
		return false;
	strcpy(ret_text, *(const bool *)field ? "copy" : "0");
	return true;
}

const struct config_kind kind_dscp = { sizeof(bool), false, "copy or 0", read_dscp, print_dscp };

/* POSIX portable names of users and groups, and the digits of a number. */
static bool read_user(void *field, const char *text)
{
	size_t bytes = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._-");

	if (bytes == 0 || text[bytes] || bytes >= TUNNEL_USER_BYTES || *text == '-')
		return false;
	keep_string(field, TUNNEL_USER_BYTES, text);
	return true;
}

const struct config_kind kind_user = { TUNNEL_USER_BYTES, false, "the name of a user", read_user,
				       print_string };

const struct config_kind kind_group = { TUNNEL_USER_BYTES, false, "the name of a group", read_user,
					print_string };

static bool read_word(void *field, const char *text)
{
	size_t bytes = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (bytes == 0 || text[bytes] || bytes >= CONFIG_AEAD_BYTES)
		return false;
	keep_string(field, CONFIG_AEAD_BYTES, text);
	return true;
}

const struct config_kind kind_aead = { CONFIG_AEAD_BYTES, false,
				       "the name of a back-end (minivpn --version)", read_word,
				       print_string };

/* 0 stands for auto. */
static bool read_workers(void *field, const char *text)
{
	if (strcmp(text, "auto") == 0) {
		*(uint16_t *)field = 0;
		return true;
	}
	return read_number(text, 1, CONFIG_WORKERS_MAX, field);
}

static bool print_workers(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES])
{
	if (*(const uint16_t *)field > 0)
		return print_number(field, index, ret_text);
	strcpy(ret_text, "auto");
	return index == 0;
}

const struct config_kind kind_workers = { sizeof(uint16_t), false, "a number from 1 to 16, or auto",
					  read_workers, print_workers };
