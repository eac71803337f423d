/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/hostport.h"

#include "minivpn/inner.h"

#include <stdio.h>
#include <string.h>

bool port_parse(const char *text, uint16_t *ret_port)
{
	unsigned port = 0;

	if (*text == '0')
		return false;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || c - text >= 5)
			return false;
		port = port * 10 + (unsigned)(*c - '0');
	}
	if (port < 1 || port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static bool in_label(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* RFC 1123 section 2.1, and the underscore that people use all the same. */
static bool name_is_valid(const char *name)
{
	size_t label = 0;
	bool only_digits = true; /* then it is a mistyped IPv4 address, and resolvers agree */

	if (strlen(name) >= HOST_BYTES)
		return false;
	for (const char *c = name; *c; c++) {
		if (*c == '.') {
			if (label == 0 || c[-1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!in_label(*c) || (label == 0 && *c == '-') || ++label > 63)
			return false;
		if (*c < '0' || *c > '9')
			only_digits = false;
	}
	return *name && label > 0 && name[strlen(name) - 1] != '-' && !only_digits;
}

bool host_is_valid(const char *host)
{
	struct address ignored;

	return address_parse(host, &ignored) || name_is_valid(host);
}

/* Splits at the colon in front of the port.  An IPv6 address has colons of its own, so that it
 * either stands in brackets or has no port. */
static bool split(const char *text, const char **ret_host, size_t *ret_host_bytes,
		  const char **ret_port, const char **ret_wrong)
{
	const char *colon = strrchr(text, ':'), *end;

	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':')) {
			*ret_wrong = "expected [ADDRESS] or [ADDRESS]:PORT";
			return false;
		}
		*ret_host = text + 1;
		*ret_host_bytes = (size_t)(end - text - 1);
		*ret_port = end[1] ? end + 2 : NULL;
		return true;
	}
	*ret_host = text;
	if (colon && strchr(text, ':') == colon) {
		*ret_host_bytes = (size_t)(colon - text);
		*ret_port = colon + 1;
	} else {
		*ret_host_bytes = strlen(text);
		*ret_port = NULL;
	}
	return true;
}

bool hostport_parse(const char *text, struct hostport *ret_hostport, const char **ret_wrong)
{
	struct hostport h = { 0 };
	const char *host, *port;
	struct address a;
	size_t host_bytes;

	if (!split(text, &host, &host_bytes, &port, ret_wrong))
		return false;
	if (host_bytes == 0) {
		*ret_wrong = "the host is missing";
		return false;
	}
	if (host_bytes >= sizeof(h.host)) {
		*ret_wrong = "the host is longer than 253 characters";
		return false;
	}
	memcpy(h.host, host, host_bytes);
	if (!host_is_valid(h.host)) {
		*ret_wrong = "expected a host name or an address";
		return false;
	}
	if (*text == '[' && (!address_parse(h.host, &a) || address_is_ipv4(&a))) {
		*ret_wrong = "only an IPv6 address stands in brackets";
		return false;
	}
	if (port && !port_parse(port, &h.port)) {
		*ret_wrong = "expected a port from 1 to 65535 behind the colon";
		return false;
	}
	*ret_hostport = h;
	return true;
}

char *hostport_print(const struct hostport *h, char *ret_text)
{
	bool brackets = strchr(h->host, ':') && h->port;
	int n = snprintf(ret_text, HOSTPORT_BYTES, brackets ? "[%s]" : "%s", h->host);

	if (h->port)
		snprintf(ret_text + n, (size_t)(HOSTPORT_BYTES - n), ":%u", h->port);
	return ret_text;
}
