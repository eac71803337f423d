/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"

#include "conf/kinds.h"
#include "keys/list.h"

#include <assert.h>
#include <ini.h>
#include <string.h>

/* ---- The table ---- */

#define KEPT_IN(member) offsetof(struct config, member)

static const struct setting settings[] = {
	{ "key", 0, "FILE", FOR_BOTH | IN_FILE, &kind_path, KEPT_IN(key), NULL,
	  "key file, or (server) folder of key files" },
	{ "interface-name", 'i', "NAME", FOR_BOTH | ANYWHERE, &kind_interface, KEPT_IN(interface),
	  "minivpn0", "name of the tunnel's interface (minivpn0)" },
	{ "local", 'l', "ADDR:PORT", FOR_BOTH | ANYWHERE, &kind_local, KEPT_IN(local), NULL,
	  "own UDP address or port (server: port 4500)" },
	{ "remote", 'r', "HOST:PORT", FOR_CLIENT | ANYWHERE, &kind_hostport, KEPT_IN(remote), NULL,
	  "the server, if not where the key says" },
	{ "address", 'a', "ADDR/LEN,...", FOR_BOTH | ANYWHERE, &kind_addresses, KEPT_IN(address),
	  NULL, "own addresses in the tunnel" },
	{ "route", 0, "CIDR,...", FOR_BOTH | ANYWHERE, &kind_routes, KEPT_IN(route), NULL,
	  "only these networks go through the tunnel" },
	{ "no-default-route", 0, NULL, FOR_BOTH | ANYWHERE, &kind_switch, KEPT_IN(no_default_route),
	  NULL, "not everything goes through the tunnel" },
	{ "no-nat", 0, NULL, FOR_SERVER | ANYWHERE, &kind_switch, KEPT_IN(no_nat), NULL,
	  "forward, but keep the clients' addresses" },
	{ "allow-client-to-client", 0, NULL, FOR_SERVER | ANYWHERE, &kind_switch,
	  KEPT_IN(client_to_client), NULL, "clients may reach each other" },
	{ "out", 'o', "IFACE", FOR_SERVER | ANYWHERE, &kind_interface, KEPT_IN(out), NULL,
	  "forward to this interface only" },
	{ "dns", 0, "ADDR,...", FOR_SERVER | ANYWHERE, &kind_servers, KEPT_IN(dns), NULL,
	  "name servers to hand out" },
	{ "search-domain", 0, "NAME", FOR_SERVER | ANYWHERE, &kind_domain, KEPT_IN(search_domain),
	  NULL, "search domain to hand out" },
	{ "endpoint", 'e', "HOST[:PORT]", FOR_SERVER | ANYWHERE, &kind_hostport, KEPT_IN(endpoint),
	  NULL, "where clients find it, for the first invite" },
	{ "mtu", 'm', "BYTES", FOR_BOTH | ANYWHERE, &kind_mtu, KEPT_IN(mtu), NULL,
	  "largest inner packet (what fits the path)" },
	{ "keepalive", 0, "SECONDS", FOR_CLIENT | ANYWHERE, &kind_seconds, KEPT_IN(keepalive_s),
	  "10", "silence before a Ping; 0 = off (10)" },
	{ "user", 'u', "NAME", FOR_BOTH | ANYWHERE, &kind_user, KEPT_IN(user), NULL,
	  "whom to become (minivpn, else nobody)" },
	{ "control-group", 0, "GROUP", FOR_BOTH | ANYWHERE | RARE, &kind_group,
	  KEPT_IN(control_group), NULL, "who may ask for the status, beside root" },
	{ "dscp", 0, "copy|0", FOR_BOTH | ANYWHERE | RARE, &kind_dscp, KEPT_IN(copy_dscp), "0",
	  "DSCP of outer packets: the inner, or none (0)" },
	{ "aead", 0, "NAME", FOR_BOTH | ANYWHERE | RARE, &kind_aead, KEPT_IN(aead), NULL,
	  "AEAD back-end (the fastest there is)" },
	{ "workers", 0, "N|auto", FOR_BOTH | ANYWHERE | RARE, &kind_workers, KEPT_IN(workers), "1",
	  "threads; auto: one for each CPU (1)" },
	{ "debug", 'd', NULL, FOR_BOTH | ANYWHERE, &kind_switch, KEPT_IN(debug), NULL,
	  "show each packet in a line" },
	{ "config", 'c', "FILE", FOR_BOTH | AS_FLAG, &kind_path, KEPT_IN(config_file), NULL,
	  "read settings from FILE (minivpn.conf(5))" },
	{ "dry-run", 'n', NULL, FOR_BOTH | AS_FLAG, &kind_switch, KEPT_IN(dry_run), NULL,
	  "print what would be done, and do nothing" },
	{ "install", 0, NULL, FOR_BOTH | AS_FLAG, &kind_switch, KEPT_IN(install), NULL,
	  "start at every boot, with these options" },
	{ "uninstall", 0, NULL, FOR_BOTH | AS_FLAG, &kind_switch, KEPT_IN(uninstall), NULL,
	  "no longer" },
	{ "root", 0, "DIR", FOR_BOTH | AS_FLAG | RARE, &kind_path, KEPT_IN(root), NULL,
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
