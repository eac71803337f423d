/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keytext.h"

#include "keys/list.h"
#include "minivpn/wire.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum {
	CHECK_BYTES = 4,
	PSK_CHECKED_BYTES = PSK_BYTES + CHECK_BYTES,
	PSK_BASE64_CHARACTERS = PSK_CHECKED_BYTES / 3 * 4,
	INVITE_RAW_BYTES = PSK_BYTES + 2 + 1 + KEY_NAME_BYTES + HOST_BYTES + CHECK_BYTES,
	VALUE_BYTES = 2048, /* of one line of a key file */
};
static_assert(PSK_CHECKED_BYTES % 3 == 0, "base64 without padding or spare bits");
static_assert(PSK_TEXT_BYTES == 5 + PSK_BASE64_CHARACTERS + 1, "prefix, base64, NUL");
static_assert(INVITE_BYTES > 4 + (INVITE_RAW_BYTES + 2) / 3 * 4, "prefix, base64, NUL");

static const char psk_prefix[] = "mvk1-";
static const char invite_prefix[] = "mv1:";
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

void keytext_wipe(struct keytext *key)
{
	sodium_memzero(key, sizeof(*key));
}

/* The first @digest_bytes of SHA-512(@label | @bytes). */
static void labelled_digest(const char *label, const void *bytes, size_t size, uint8_t *ret_digest,
			    size_t digest_bytes)
{
	crypto_hash_sha512_state state;
	uint8_t whole[crypto_hash_sha512_BYTES];

	crypto_hash_sha512_init(&state);
	crypto_hash_sha512_update(&state, (const uint8_t *)label, strlen(label));
	crypto_hash_sha512_update(&state, bytes, size);
	crypto_hash_sha512_final(&state, whole);
	memcpy(ret_digest, whole, digest_bytes);
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(whole, sizeof(whole));
}

char *psk_fingerprint(const struct psk *psk, char *ret_text)
{
	uint8_t digest[12];
	char *at = ret_text;

	labelled_digest("minivpn key fingerprint ", psk, sizeof(*psk), digest, sizeof(digest));
	for (size_t i = 0; i < sizeof(digest); i += 2, at += 5) {
		sodium_bin2hex(at, 5, digest + i, 2);
		at[4] = '-';
	}
	at[-1] = '\0';
	return ret_text;
}

/* ---- Rules for single values ---- */

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool key_name_is_valid(const char *name)
{
	if (!is_alphanumeric(*name) || strlen(name) >= KEY_NAME_BYTES)
		return false;
	for (; *name; name++)
		if (!is_alphanumeric(*name) && !strchr("._-", *name))
			return false;
	return true;
}

const char *key_name_rule(void)
{
	return "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit";
}

/* Does it lie wholly in what no tunnel leads to: nobody, this host, this link, everybody? */
static bool is_not_for_tunnels(const struct prefix *network)
{
	static const char *const foreign[] = { "0.0.0.0/8",          "127.0.0.0/8",
					       "169.254.0.0/16",     "224.0.0.0/4",
					       "255.255.255.255/32", "::/127",
					       "fe80::/10",          "ff00::/8" };
	struct prefix p;

	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
		if (prefix_parse(foreign[i], &p) && network->length >= p.length &&
		    prefix_contains(&p, &network->address))
			return true;
	return false;
}

bool address_is_for_hosts(const struct address *a)
{
	const struct prefix future_ipv4 = { address_from_ipv4((uint8_t[4]){ 240 }), 4 };

	return !is_not_for_tunnels(&(struct prefix){ *a, address_is_ipv4(a) ? 32 : 128 }) &&
	       !prefix_contains(&future_ipv4, a);
}

/* Is it the network itself, or its IPv4 broadcast address?  (RFC 3021: /31 has neither; RFC 4291
 * section 2.6.1: the first address of an IPv6 network belongs to its routers.) */
static bool address_names_network(const struct prefix *p)
{
	bool ipv4 = address_is_ipv4(&p->address);
	struct prefix network = prefix_network(p);
	unsigned host_bits = (ipv4 ? 32u : 128u) - p->length, ones = 0;

	if (host_bits < 2)
		return false;
	if (address_equal(&network.address, &p->address))
		return true;
	for (unsigned bit = 0; bit < host_bits; bit++)
		ones += p->address.b[15 - bit / 8] >> bit % 8 & 1;
	return ipv4 && ones == host_bits;
}

bool interface_address_parse(const char *text, struct prefix *ret_address)
{
	struct prefix p;

	if (!prefix_parse(text, &p))
		return false;
	if (!strchr(text, '/'))
		p.length = address_is_ipv4(&p.address) ? 24 : 64;
	if (!address_is_for_hosts(&p.address) || p.length == 0 || address_names_network(&p))
		return false;
	*ret_address = p;
	return true;
}

bool network_parse(const char *text, struct prefix *ret_network)
{
	struct prefix p, network;

	if (!prefix_parse(text, &p))
		return false;
	network = prefix_network(&p);
	if (!address_equal(&network.address, &p.address) || is_not_for_tunnels(&p))
		return false;
	*ret_network = p;
	return true;
}

static bool psk_parse(const char *text, struct psk *ret_psk, unsigned line,
		      struct complaint *ret_complaint)
{
	uint8_t raw[PSK_CHECKED_BYTES], check[CHECK_BYTES];
	size_t characters = strlen(text), raw_bytes;
	bool ok = false;

	/* What was found is the secret, so that it is only ever described. */
	if (strncmp(text, psk_prefix, strlen(psk_prefix)) != 0)
		return complain(ret_complaint, line,
				"the key does not begin with %s, as a key of minivpn-keygen does",
				psk_prefix);
	characters -= strlen(psk_prefix);
	text += strlen(psk_prefix);
	if (characters != PSK_BASE64_CHARACTERS)
		return complain(ret_complaint, line,
				"the key has %zu characters behind %s, expected %d: it was not "
				"copied whole",
				characters, psk_prefix, PSK_BASE64_CHARACTERS);
	if (sodium_base642bin(raw, sizeof(raw), text, characters, NULL, &raw_bytes, NULL, BASE64) ||
	    raw_bytes != sizeof(raw)) {
		complain(ret_complaint, line,
			 "the key has a character that is no letter, digit, '-' or '_'");
		goto out;
	}
	labelled_digest("minivpn key check ", raw, PSK_BYTES, check, sizeof(check));
	if (sodium_memcmp(check, raw + PSK_BYTES, sizeof(check)) != 0) {
		complain(ret_complaint, line,
			 "the key's own check does not match: a character of it was mistyped or "
			 "damaged");
		goto out;
	}
	if (sodium_is_zero(raw, PSK_BYTES)) {
		complain(ret_complaint, line, "the key is all zero, which is no key");
		goto out;
	}
	memcpy(ret_psk, raw, PSK_BYTES);
	ok = true;
out:
	sodium_memzero(raw, sizeof(raw));
	return ok;
}

static const char *psk_print(const struct psk *psk, char *ret_text)
{
	uint8_t raw[PSK_CHECKED_BYTES];

	memcpy(raw, psk, PSK_BYTES);
	labelled_digest("minivpn key check ", psk, PSK_BYTES, raw + PSK_BYTES, CHECK_BYTES);
	memcpy(ret_text, psk_prefix, strlen(psk_prefix));
	sodium_bin2base64(ret_text + strlen(psk_prefix), PSK_BASE64_CHARACTERS + 1, raw,
			  sizeof(raw), BASE64);
	sodium_memzero(raw, sizeof(raw));
	return ret_text;
}

/* ---- The lines of a key file ---- */

static bool set_name(struct keytext *key, const char *value, unsigned line,
		     struct complaint *ret_complaint)
{
	if (!key_name_is_valid(value))
		return complain(ret_complaint, line, "name is '%.80s', expected %s", value,
				key_name_rule());
	memcpy(key->name, value, strlen(value));
	return true;
}

static bool set_key(struct keytext *key, const char *value, unsigned line,
		    struct complaint *ret_complaint)
{
	return psk_parse(value, &key->psk, line, ret_complaint);
}

static bool set_old_key(struct keytext *key, const char *value, unsigned line,
			struct complaint *ret_complaint)
{
	key->has_old = true;
	return psk_parse(value, &key->old_psk, line, ret_complaint);
}

static bool set_endpoint(struct keytext *key, const char *value, unsigned line,
			 struct complaint *ret_complaint)
{
	const char *wrong;

	if (!hostport_parse(value, &key->endpoint, &wrong))
		return complain(ret_complaint, line, "endpoint is '%.80s': %s", value, wrong);
	return true;
}

static bool set_address(struct keytext *key, const char *value, unsigned line,
			struct complaint *ret_complaint)
{
	char item[PREFIX_TEXT_BYTES];

	while (list_next(&value, item, sizeof(item))) {
		if (key->address_count == KEY_ADDRESSES_MAX)
			return complain(ret_complaint, line, "address has more than %d entries",
					KEY_ADDRESSES_MAX);
		if (!interface_address_parse(item, &key->address[key->address_count]))
			return complain(ret_complaint, line,
					"address has '%s', expected the address of a host and its "
					"network's length, as 10.71.3.2/24 or fd00:1::2/64",
					item);
		key->address_count++;
	}
	if (key->address_count == 0)
		return complain(ret_complaint, line, "address is empty");
	return true;
}

static bool set_networks(struct keytext *key, const char *value, unsigned line,
			 struct complaint *ret_complaint)
{
	char item[PREFIX_TEXT_BYTES];

	while (list_next(&value, item, sizeof(item))) {
		if (key->network_count == KEY_NETWORKS_MAX)
			return complain(ret_complaint, line, "networks has more than %d entries",
					KEY_NETWORKS_MAX);
		if (!network_parse(item, &key->network[key->network_count]))
			return complain(ret_complaint, line,
					"networks has '%s', expected a network of hosts, without "
					"host bits, as 192.168.7.0/24",
					item);
		key->network_count++;
	}
	if (key->network_count == 0)
		return complain(ret_complaint, line, "networks is empty");
	return true;
}

static const struct field {
	const char *name;
	bool (*set)(struct keytext *key, const char *value, unsigned line,
		    struct complaint *ret_complaint);
} fields[] = {
	{ "name", set_name },       { "key", set_key },           { "endpoint", set_endpoint },
	{ "address", set_address }, { "networks", set_networks }, { "old-key", set_old_key },
};
enum { FIELDS = sizeof(fields) / sizeof(*fields), FIELD_NAME = 0, FIELD_KEY = 1 };

/* A copy of @text without the blanks around it, cut to fit @ret_copy. */
static void trimmed(const char *text, size_t bytes, char *ret_copy, size_t size)
{
	while (bytes > 0 && strchr(" \t", *text)) {
		text++;
		bytes--;
	}
	while (bytes > 0 && strchr(" \t\r", text[bytes - 1]))
		bytes--;
	if (bytes >= size)
		bytes = size - 1;
	memcpy(ret_copy, text, bytes);
	ret_copy[bytes] = '\0';
}

/* One line that is neither empty nor a comment.  @seen has a bit for each field met before. */
static bool parse_line(const char *text, size_t bytes, unsigned line, struct keytext *key,
		       unsigned *seen, struct complaint *ret_complaint)
{
	const char *equals = memchr(text, '=', bytes);
	char name[32], value[VALUE_BYTES];
	bool ok;

	if (!equals)
		return complain(ret_complaint, line, "the line is not 'name = value'");
	if (bytes >= sizeof(value))
		return complain(ret_complaint, line, "the line is longer than %d characters",
				VALUE_BYTES - 1);
	trimmed(text, (size_t)(equals - text), name, sizeof(name));
	for (unsigned i = 0; i < FIELDS; i++) {
		if (strcmp(name, fields[i].name) != 0)
			continue;
		if (*seen >> i & 1)
			return complain(ret_complaint, line, "%s stands here a second time", name);
		*seen |= 1u << i;
		trimmed(equals + 1, bytes - (size_t)(equals + 1 - text), value, sizeof(value));
		ok = fields[i].set(key, value, line, ret_complaint);
		sodium_memzero(value, sizeof(value));
		return ok;
	}
	return complain(ret_complaint, line,
			"'%s' is unknown, expected name, key, endpoint, address, networks or "
			"old-key",
			name);
}

static bool parse_lines(const char *text, size_t bytes, struct keytext *key,
			struct complaint *ret_complaint)
{
	const char *end = text + bytes, *line_end;
	unsigned line = 0, seen = 0;
	size_t blanks;

	if (memchr(text, '\0', bytes))
		return complain(ret_complaint, 0, "is not text: it has a zero byte");
	for (; text < end; text = line_end + 1) {
		line++;
		line_end = memchr(text, '\n', (size_t)(end - text));
		if (!line_end)
			line_end = end;
		for (blanks = 0; text + blanks < line_end && strchr(" \t\r", text[blanks]);)
			blanks++;
		if (text + blanks == line_end || text[blanks] == '#')
			continue;
		if (!parse_line(text, (size_t)(line_end - text), line, key, &seen, ret_complaint))
			return false;
	}
	for (unsigned i = FIELD_NAME; i <= FIELD_KEY; i++)
		if (!(seen >> i & 1))
			return complain(ret_complaint, 0,
					"has no line '%s = ...': it is no key file, or not whole",
					fields[i].name);
	return true;
}

bool keytext_parse(const char *text, size_t bytes, struct keytext *ret_key,
		   struct complaint *ret_complaint)
{
	struct keytext key = { 0 };
	bool ok = parse_lines(text, bytes, &key, ret_complaint);

	if (ok)
		*ret_key = key;
	keytext_wipe(&key);
	return ok;
}

static void put(struct writer *w, const char *text)
{
	writer_copy(w, text, strlen(text));
}

static void put_prefixes(struct writer *w, const char *name, const struct prefix *p, unsigned n)
{
	char text[PREFIX_TEXT_BYTES];

	for (unsigned i = 0; i < n; i++) {
		put(w, i == 0 ? name : "");
		put(w, i == 0 ? " = " : ", ");
		put(w, prefix_print(&p[i], text));
	}
	put(w, n > 0 ? "\n" : "");
}

size_t keytext_print(const struct keytext *key, char *ret_text)
{
	struct writer w = writer_over(ret_text, KEYTEXT_BYTES);
	char psk[PSK_TEXT_BYTES], endpoint[HOSTPORT_BYTES];

	put(&w,
	    "# Key of a minivpn tunnel, for its client and its server. Keep it secret.\nname = ");
	put(&w, key->name);
	put(&w, "\nkey = ");
	put(&w, psk_print(&key->psk, psk));
	put(&w, "\n");
	if (key->has_old) {
		put(&w, "old-key = ");
		put(&w, psk_print(&key->old_psk, psk));
		put(&w, "\n");
	}
	sodium_memzero(psk, sizeof(psk));
	if (*key->endpoint.host) {
		put(&w, "endpoint = ");
		put(&w, hostport_print(&key->endpoint, endpoint));
		put(&w, "\n");
	}
	put_prefixes(&w, "address", key->address, key->address_count);
	put_prefixes(&w, "networks", key->network, key->network_count);
	writer_u8(&w, 0);
	assert(w.ok);
	return KEYTEXT_BYTES - w.left - 1;
}

/* ---- The invite ---- */

/* People copy the word that the line is shown with, too. */
static const char *after_label(const char *text)
{
	static const char label[] = "invite:";

	text += strspn(text, " \t");
	if (strncmp(text, label, strlen(label)) == 0)
		text += strlen(label);
	return text + strspn(text, " \t");
}

bool invite_looks_like(const char *text)
{
	return strncmp(after_label(text), invite_prefix, strlen(invite_prefix)) == 0;
}

/* What an invite holds once it is known to be undamaged. */
static bool invite_read(const uint8_t *raw, size_t bytes, struct keytext *key,
			struct complaint *ret_complaint)
{
	struct reader r = reader_over(raw, bytes);
	size_t name_bytes, host_bytes;

	reader_copy(&r, &key->psk, sizeof(key->psk));
	key->endpoint.port = reader_u16(&r);
	name_bytes = reader_u8(&r);
	if (name_bytes >= sizeof(key->name))
		return complain(ret_complaint, 0, "the invite has an impossible name");
	reader_copy(&r, key->name, name_bytes);
	host_bytes = r.left;
	if (host_bytes >= sizeof(key->endpoint.host))
		return complain(ret_complaint, 0, "the invite has an impossible endpoint");
	reader_copy(&r, key->endpoint.host, host_bytes);
	if (!r.ok || strlen(key->name) != name_bytes || !key_name_is_valid(key->name))
		return complain(ret_complaint, 0, "the invite has an impossible name");
	if (strlen(key->endpoint.host) != host_bytes || !host_is_valid(key->endpoint.host) ||
	    key->endpoint.port == 0)
		return complain(ret_complaint, 0, "the invite has an impossible endpoint");
	if (psk_is_zero(&key->psk))
		return complain(ret_complaint, 0, "the invite's key is all zero, which is no key");
	return true;
}

static bool invite_open(const char *text, uint8_t *raw, struct keytext *key,
			struct complaint *ret_complaint)
{
	uint8_t check[CHECK_BYTES];
	size_t bytes;

	if (!invite_looks_like(text))
		return complain(ret_complaint, 0, "an invite begins with %s", invite_prefix);
	text = after_label(text) + strlen(invite_prefix);
	if (sodium_base642bin(raw, INVITE_RAW_BYTES, text, strlen(text), NULL, &bytes, NULL,
			      BASE64) ||
	    bytes <= PSK_BYTES + CHECK_BYTES)
		return complain(ret_complaint, 0,
				"the invite was not copied whole, or has a character that is no "
				"letter, digit, '-' or '_'");
	bytes -= CHECK_BYTES;
	labelled_digest("minivpn invite check ", raw, bytes, check, sizeof(check));
	if (sodium_memcmp(check, raw + bytes, sizeof(check)) != 0)
		return complain(ret_complaint, 0,
				"the invite's own check does not match: it was not copied whole, "
				"or a character of it was mistyped");
	return invite_read(raw, bytes, key, ret_complaint);
}

bool invite_parse(const char *text, struct keytext *ret_key, struct complaint *ret_complaint)
{
	uint8_t raw[INVITE_RAW_BYTES];
	struct keytext key = { 0 };
	bool ok = invite_open(text, raw, &key, ret_complaint);

	if (ok)
		*ret_key = key;
	keytext_wipe(&key);
	sodium_memzero(raw, sizeof(raw));
	return ok;
}

size_t invite_print(const struct keytext *key, char *ret_text)
{
	uint8_t raw[INVITE_RAW_BYTES];
	struct writer w = writer_over(raw, sizeof(raw));
	size_t bytes;

	writer_copy(&w, &key->psk, sizeof(key->psk));
	writer_u16(&w, key->endpoint.port ? key->endpoint.port : PORT_DEFAULT);
	writer_u8(&w, (uint8_t)strlen(key->name));
	put(&w, key->name);
	put(&w, key->endpoint.host);
	bytes = sizeof(raw) - w.left;
	labelled_digest("minivpn invite check ", raw, bytes, w.at, CHECK_BYTES);
	writer_take(&w, CHECK_BYTES);
	assert(w.ok && *key->endpoint.host);

	memcpy(ret_text, invite_prefix, strlen(invite_prefix));
	sodium_bin2base64(ret_text + strlen(invite_prefix), INVITE_BYTES - strlen(invite_prefix),
			  raw, bytes + CHECK_BYTES, BASE64);
	sodium_memzero(raw, sizeof(raw));
	return strlen(ret_text);
}
