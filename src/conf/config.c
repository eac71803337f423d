/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"

#include "host/plan.h"
#include "keys/keytext.h"
#include "keys/list.h"

#include <assert.h>
#include <ctype.h>
#include <ini.h>
#include <string.h>

/* ---- Kinds of values: each reads one item into its field, and prints item number n back ---- */

/**
 * struct config_kind - how values of one type are read and printed
 * @size:     of the field
 * @is_list:  commas and blanks part the items, each read by itself
 * @expected: what a right value is, in words
 * @read:     sets @field or adds to it; false if @text is none (or the list is full)
 * @print:    item @index as text; false when there are no more (an unset value has none)
 */
struct config_kind {
	size_t size;
	bool is_list;
	const char *expected;
	bool (*read)(void *field, const char *text);
	bool (*print)(const void *field, unsigned index, char ret_text[CONFIG_VALUE_BYTES]);
};

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

static const struct config_kind a_switch = { sizeof(bool), false, "yes or no", read_switch,
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

static const struct config_kind an_interface = {
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

static const struct config_kind a_path = { TUNNEL_PATH_BYTES, false,
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

static const struct config_kind a_local = {
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

static const struct config_kind a_hostport = {
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

static const struct config_kind addresses = {
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

static const struct config_kind routes = {
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

static const struct config_kind servers = {
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

static const struct config_kind a_domain = { TUNNEL_HOST_BYTES, false,
					     "a domain name, as example.org", read_domain,
					     print_string };

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

static const struct config_kind an_mtu = { sizeof(uint16_t), false,
					   "a number of bytes from 1280 to 65000", read_mtu,
					   print_mtu };

static bool read_seconds(void *field, const char *text)
{
	return read_number(text, 0, CONFIG_KEEPALIVE_MAX_S, field);
}

static const struct config_kind seconds = { sizeof(uint16_t), false,
					    "a number of seconds from 0 (off) to 3600",
					    read_seconds, print_number };

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

static const struct config_kind a_dscp = { sizeof(bool), false, "copy or 0", read_dscp,
					   print_dscp };

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

static const struct config_kind a_user = { TUNNEL_USER_BYTES, false, "the name of a user",
					   read_user, print_string };

static const struct config_kind a_group = { TUNNEL_USER_BYTES, false, "the name of a group",
					    read_user, print_string };

static bool read_word(void *field, const char *text)
{
	size_t bytes = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (bytes == 0 || text[bytes] || bytes >= CONFIG_AEAD_BYTES)
		return false;
	keep_string(field, CONFIG_AEAD_BYTES, text);
	return true;
}

static const struct config_kind a_backend = { CONFIG_AEAD_BYTES, false,
					      "the name of a back-end (minivpn --version)",
					      read_word, print_string };

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

static const struct config_kind a_crew = { sizeof(uint16_t), false,
					   "a number from 1 to 16, or auto", read_workers,
					   print_workers };

/* ---- The table ---- */

#define KEPT_IN(member) offsetof(struct config, member)

static const struct setting settings[] = {
	{ "key", 0, "FILE", FOR_BOTH | IN_FILE, &a_path, KEPT_IN(key), NULL,
	  "key file, or (server) folder of key files" },
	{ "interface-name", 'i', "NAME", FOR_BOTH | ANYWHERE, &an_interface, KEPT_IN(interface),
	  "minivpn0", "name of the tunnel's interface (minivpn0)" },
	{ "local", 'l', "ADDR:PORT", FOR_BOTH | ANYWHERE, &a_local, KEPT_IN(local), NULL,
	  "own UDP address or port (server: port 4500)" },
	{ "remote", 'r', "HOST:PORT", FOR_CLIENT | ANYWHERE, &a_hostport, KEPT_IN(remote), NULL,
	  "the server, if not where the key says" },
	{ "address", 'a', "ADDR/LEN,...", FOR_BOTH | ANYWHERE, &addresses, KEPT_IN(address), NULL,
	  "own addresses in the tunnel" },
	{ "route", 0, "CIDR,...", FOR_BOTH | ANYWHERE, &routes, KEPT_IN(route), NULL,
	  "only these networks go through the tunnel" },
	{ "no-default-route", 0, NULL, FOR_BOTH | ANYWHERE, &a_switch, KEPT_IN(no_default_route),
	  NULL, "not everything goes through the tunnel" },
	{ "no-nat", 0, NULL, FOR_SERVER | ANYWHERE, &a_switch, KEPT_IN(no_nat), NULL,
	  "forward, but keep the clients' addresses" },
	{ "allow-client-to-client", 0, NULL, FOR_SERVER | ANYWHERE, &a_switch,
	  KEPT_IN(client_to_client), NULL, "clients may reach each other" },
	{ "out", 'o', "IFACE", FOR_SERVER | ANYWHERE, &an_interface, KEPT_IN(out), NULL,
	  "forward to this interface only" },
	{ "dns", 0, "ADDR,...", FOR_SERVER | ANYWHERE, &servers, KEPT_IN(dns), NULL,
	  "name servers to hand out" },
	{ "search-domain", 0, "NAME", FOR_SERVER | ANYWHERE, &a_domain, KEPT_IN(search_domain),
	  NULL, "search domain to hand out" },
	{ "endpoint", 'e', "HOST[:PORT]", FOR_SERVER | ANYWHERE, &a_hostport, KEPT_IN(endpoint),
	  NULL, "where clients find it, for the first invite" },
	{ "mtu", 'm', "BYTES", FOR_BOTH | ANYWHERE, &an_mtu, KEPT_IN(mtu), NULL,
	  "largest inner packet (what fits the path)" },
	{ "keepalive", 0, "SECONDS", FOR_CLIENT | ANYWHERE, &seconds, KEPT_IN(keepalive_s), "10",
	  "silence before a Ping; 0 = off (10)" },
	{ "user", 'u', "NAME", FOR_BOTH | ANYWHERE, &a_user, KEPT_IN(user), NULL,
	  "whom to become (minivpn, else nobody)" },
	{ "control-group", 0, "GROUP", FOR_BOTH | ANYWHERE | RARE, &a_group, KEPT_IN(control_group),
	  NULL, "who may ask for the status, beside root" },
	{ "dscp", 0, "copy|0", FOR_BOTH | ANYWHERE | RARE, &a_dscp, KEPT_IN(copy_dscp), "0",
	  "DSCP of outer packets: the inner, or none (0)" },
	{ "aead", 0, "NAME", FOR_BOTH | ANYWHERE | RARE, &a_backend, KEPT_IN(aead), NULL,
	  "AEAD back-end (the fastest there is)" },
	{ "workers", 0, "N|auto", FOR_BOTH | ANYWHERE | RARE, &a_crew, KEPT_IN(workers), "1",
	  "threads; auto: one for each CPU (1)" },
	{ "debug", 'd', NULL, FOR_BOTH | ANYWHERE, &a_switch, KEPT_IN(debug), NULL,
	  "show each packet in a line" },
	{ "config", 'c', "FILE", FOR_BOTH | AS_FLAG, &a_path, KEPT_IN(config_file), NULL,
	  "read settings from FILE (minivpn.conf(5))" },
	{ "dry-run", 'n', NULL, FOR_BOTH | AS_FLAG, &a_switch, KEPT_IN(dry_run), NULL,
	  "print what would be done, and do nothing" },
	{ "install", 0, NULL, FOR_BOTH | AS_FLAG, &a_switch, KEPT_IN(install), NULL,
	  "start at every boot, with these options" },
	{ "uninstall", 0, NULL, FOR_BOTH | AS_FLAG, &a_switch, KEPT_IN(uninstall), NULL,
	  "no longer" },
	{ "root", 0, "DIR", FOR_BOTH | AS_FLAG | RARE, &a_path, KEPT_IN(root), NULL,
	  "with --install: into the system in DIR" },
	{ 0 },
};

static_assert(sizeof(settings) / sizeof(*settings) <= 32, "config.given has a bit for each");

const struct setting *config_settings(void)
{
	return settings;
}

static unsigned role_bit(enum role role)
{
	return role == ROLE_SERVER ? FOR_SERVER : FOR_CLIENT;
}

const struct setting *config_setting(const char *name, enum role role)
{
	for (const struct setting *s = settings; s->name; s++)
		if (strcmp(s->name, name) == 0 && s->scope & role_bit(role))
			return s;
	return NULL;
}

static uint32_t bit_of(const struct setting *setting)
{
	return (uint32_t)1 << (setting - settings);
}

static void *field_of(struct config *config, const struct setting *setting)
{
	return (char *)config + setting->offset;
}

static const void *field_in(const struct config *config, const struct setting *setting)
{
	return (const char *)config + setting->offset;
}

bool config_was_given(const struct config *config, const char *name)
{
	for (const struct setting *s = settings; s->name; s++)
		if (strcmp(s->name, name) == 0)
			return config->given & bit_of(s);
	return false;
}

void config_init(struct config *config, enum role role)
{
	bool ok = true;

	*config = (struct config){ 0 };
	for (const struct setting *s = settings; s->name; s++)
		if (s->standard && s->scope & role_bit(role))
			ok &= s->kind->read(field_of(config, s), s->standard);
	assert(ok);
}

static bool read_list(void *field, const struct setting *setting, const char *value,
		      struct complaint *ret_complaint)
{
	char item[CONFIG_VALUE_BYTES];
	unsigned count = 0;

	for (; list_next(&value, item, sizeof(item)); count++)
		if (!setting->kind->read(field, item))
			return complain(ret_complaint, 0, "%s: found '%.80s', expected %s",
					setting->name, item, setting->kind->expected);
	if (count == 0)
		return complain(ret_complaint, 0, "%s: found nothing, expected %s", setting->name,
				setting->kind->expected);
	return true;
}

bool config_set(struct config *config, const struct setting *setting, const char *value,
		struct complaint *ret_complaint)
{
	void *field = field_of(config, setting);

	if (setting->kind->is_list) {
		if (!read_list(field, setting, value, ret_complaint))
			return false;
	} else {
		if (config->given & bit_of(setting))
			return complain(ret_complaint, 0, "%s: given twice, expected once",
					setting->name);
		if (!setting->kind->read(field, value ? value : "yes"))
			return complain(ret_complaint, 0, "%s: found '%.80s', expected %s",
					setting->name, value, setting->kind->expected);
	}
	config->given |= bit_of(setting);
	return true;
}

void config_override(struct config *config, const struct config *flags)
{
	for (const struct setting *s = settings; s->name; s++)
		if (flags->given & bit_of(s))
			memcpy(field_of(config, s), field_in(flags, s), s->kind->size);
	config->given |= flags->given;
}

/* ---- The file ---- */

/* A text on its way through inih, which gives its handler no line numbers. */
struct parsing {
	const char *left;
	unsigned line;
	enum role role;
	struct config *config;
	struct complaint *complaint;
	bool failed;
};

static int fail(struct parsing *p)
{
	p->failed = true;
	p->complaint->line = p->line;
	return 0;
}

/* inih's reader of lines, in place of fgets(): counts them, and drops the blanks before them, which
 * would make a line the continuation of the one before. */
static char *next_line(char *line, int size, void *parsing)
{
	struct parsing *p = parsing;
	size_t bytes;

	if (!*p->left || p->failed)
		return NULL;
	p->line++;
	bytes = strcspn(p->left, "\n");
	p->left += strspn(p->left, " \t") < bytes ? strspn(p->left, " \t") : 0;
	bytes = strcspn(p->left, "\n");
	if (bytes + 1 >= (size_t)size) {
		complain(p->complaint, 0,
			 "the line is longer than %d characters (a list may stand in several "
			 "lines of the same name)",
			 size - 2);
		fail(p);
		return NULL;
	}
	memcpy(line, p->left, bytes);
	line[bytes] = '\0';
	p->left += bytes + (p->left[bytes] == '\n');
	return line;
}

static const char *role_word(enum role role)
{
	return role == ROLE_SERVER ? "server" : "client";
}

/* inih's handler: one "name = value". */
static int take_value(void *parsing, const char *section, const char *name, const char *value)
{
	struct parsing *p = parsing;
	const struct setting *setting = config_setting(name, p->role);

	if (p->failed)
		return 0;
	if (*section && strcmp(section, role_word(p->role)) != 0) {
		complain(p->complaint, 0, "%s stands under [%.40s], expected [%s]", name, section,
			 role_word(p->role));
		return fail(p);
	}
	if (!setting || !(setting->scope & IN_FILE)) {
		complain(p->complaint, 0, "'%.80s' is no setting of a %s%s", name,
			 role_word(p->role), setting ? "'s file, only a flag" : "");
		return fail(p);
	}
	if (!config_set(p->config, setting, value, p->complaint))
		return fail(p);
	return 1;
}

bool config_parse(const char *text, enum role role, struct config *config,
		  struct complaint *ret_complaint)
{
	struct parsing p = { text, 0, role, config, ret_complaint, false };
	int bad_line;

	if (strlen(text) > CONFIG_FILE_BYTES_MAX)
		return complain(ret_complaint, 0, "is longer than %d bytes", CONFIG_FILE_BYTES_MAX);
	bad_line = ini_parse_stream(next_line, &p, take_value, &p);
	if (!p.failed && bad_line)
		return complain(ret_complaint, (unsigned)bad_line,
				"the line is not 'name = value'");
	return !p.failed;
}

void config_print(const struct config *config, enum role role, FILE *out)
{
	char text[CONFIG_VALUE_BYTES];

	fprintf(out, "[%s]\n", role_word(role));
	for (const struct setting *s = settings; s->name; s++) {
		if (!(s->scope & role_bit(role)) || !(s->scope & IN_FILE))
			continue;
		for (unsigned i = 0; s->kind->print(field_in(config, s), i, text); i++)
			fprintf(out, "%s = %s\n", s->name, text);
	}
}

/* ---- What no single value shows ---- */

static bool has_default_route(const struct config_routes *list)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->item[i].length == 0)
			return true;
	return false;
}

/* A server has one address in each of its networks: clients get one of each, too. */
static bool shares_network(const struct config_prefixes *list)
{
	for (unsigned i = 1; i < list->count; i++)
		for (unsigned n = 0; n < i; n++)
			if (prefix_contains(&list->item[n], &list->item[i].address) ||
			    prefix_contains(&list->item[i], &list->item[n].address))
				return true;
	return false;
}

bool config_check(const struct config *config, enum role role, struct complaint *ret_complaint)
{
	if (config->install && config->uninstall)
		return complain(ret_complaint, 0, "--install and --uninstall exclude each other");
	if (config->dry_run && (config->install || config->uninstall))
		return complain(ret_complaint, 0,
				"--dry-run tries what runs now, and neither --install nor "
				"--uninstall");
	if (config_was_given(config, "root") && !config->install && !config->uninstall)
		return complain(ret_complaint, 0, "--root goes with --install or --uninstall");
	if (config->no_default_route && has_default_route(&config->route))
		return complain(ret_complaint, 0,
				"route has a default route, which no-default-route excludes");
	if (role == ROLE_SERVER && shares_network(&config->address))
		return complain(ret_complaint, 0,
				"address: two of them are in one network, expected one in each");
	if (role == ROLE_SERVER && strcmp(config->out, config->interface) == 0)
		return complain(ret_complaint, 0, "out: found '%s', which is the tunnel itself",
				config->out);
	return true;
}

static bool is_flag(const struct setting *setting, enum role role)
{
	return setting->scope & role_bit(role) && setting->scope & AS_FLAG;
}

void config_help(enum role role, FILE *out)
{
	const char *before = "  more in minivpn(8): ";
	char flag[40];

	for (const struct setting *s = settings; s->name; s++) {
		if (!is_flag(s, role) || s->scope & RARE)
			continue;
		snprintf(flag, sizeof(flag), "--%s%s%s", s->name, s->argument ? " " : "",
			 s->argument ? s->argument : "");
		if (s->letter)
			fprintf(out, "  -%c, ", s->letter);
		else
			fputs("      ", out);
		fprintf(out, "%-26s %s\n", flag, s->help);
	}
	fprintf(out, "  -h, %-26s %s\n", "--help", "this text");
	for (const struct setting *s = settings; s->name; s++) {
		if (!is_flag(s, role) || !(s->scope & RARE))
			continue;
		fprintf(out, "%s--%s", before, s->name);
		before = ", ";
	}
	fputc('\n', out);
}
