/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person may set, in one table: name, letter, what it takes, how it is read and printed, who
 * may have it, one line of help.  Flags, configuration file, --help, the printed configuration and
 * the test of the manual pages all walk that table; there is no second list.
 *
 * Pure: text comes as an argument, nothing is opened or printed; what is wrong comes back as a
 * complaint.  What the values mean for a tunnel is role.h.
 */
#ifndef CONF_CONFIG_H
#define CONF_CONFIG_H

#include "complaint.h"
#include "keys/hostport.h"
#include "minivpn/handshake.h"
#include "minivpn/inner.h"
#include "run/tunnel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	CONFIG_FILE_BYTES_MAX = 65536,
	CONFIG_VALUE_BYTES = TUNNEL_PATH_BYTES + 8, /* any single value as text, and NUL */
	CONFIG_KEEPALIVE_MAX_S = 3600,
	CONFIG_WORKERS_MAX = 16,
	CONFIG_AEAD_BYTES = 16,
};

/** struct config_local - where to listen: address none = all, port 0 = the usual */
struct config_local {
	struct address address;
	uint16_t port;
};

/* Lists; a flag may be given several times, as may a line of the file. */
struct config_prefixes {
	struct prefix item[TUNNEL_ADDRESSES_MAX];
	unsigned count;
};
struct config_routes {
	struct prefix item[TUNNEL_ROUTES_MAX];
	unsigned count;
};
struct config_servers {
	struct address item[TUNNEL_DNS_MAX];
	unsigned count;
};

/**
 * struct config - all settings; the table in config.c says what each is
 * @given: bit n: setting n of the table was set by somebody and is not the standard value
 */
struct config {
	char key[TUNNEL_PATH_BYTES];
	char interface[TUNNEL_NAME_BYTES];
	struct config_local local;
	struct hostport remote;
	struct config_prefixes address;
	struct config_routes route;
	bool no_default_route;
	bool no_nat;
	bool client_to_client;
	char out[TUNNEL_NAME_BYTES];
	struct config_servers dns;
	char search_domain[TUNNEL_HOST_BYTES];
	struct hostport endpoint;
	uint16_t mtu;
	uint16_t keepalive_s;
	bool copy_dscp;
	uint16_t workers; /* 0 = auto */
	char user[TUNNEL_USER_BYTES];
	char control_group[TUNNEL_USER_BYTES];
	char aead[CONFIG_AEAD_BYTES];
	bool debug;
	char config_file[TUNNEL_PATH_BYTES];
	bool dry_run;
	bool install;
	bool uninstall;
	char root[TUNNEL_PATH_BYTES];
	uint32_t given;
};

/* Who may have a setting, and where it may stand. */
enum {
	FOR_SERVER = 1 << 0,
	FOR_CLIENT = 1 << 1,
	FOR_BOTH = FOR_SERVER | FOR_CLIENT,
	IN_FILE = 1 << 2,
	AS_FLAG = 1 << 3,
	ANYWHERE = IN_FILE | AS_FLAG,
	RARE = 1 << 4, /* --help names it, the manual page explains it */
};

struct config_kind; /* how a value is read and printed: kinds.h */

/**
 * struct setting - one row of the table
 * @name:     "name = value" in the file, --name as a flag
 * @letter:   -x; 0 = none
 * @argument: what it takes, for --help; NULL = nothing, it is a switch ("yes" or "no" in the file)
 * @scope:    FOR_*, IN_FILE, AS_FLAG, RARE
 * @kind, @offset: its type, and where in struct config it is kept
 * @standard: value if nobody sets it; NULL = none (empty, zero)
 * @help:     one line
 */
struct setting {
	const char *name;
	char letter;
	const char *argument;
	unsigned scope;
	const struct config_kind *kind;
	size_t offset;
	const char *standard;
	const char *help;
};

/** config_settings() - the table; NULL-named row at its end */
const struct setting *config_settings(void);

/** config_setting() - the row of that name, NULL if there is none for @role */
const struct setting *config_setting(const char *name, enum role role);

/** config_init() - the standard values for a role */
void config_init(struct config *config, enum role role);

/**
 * config_set() - give a setting a value
 * @value: text; NULL for a switch given as a flag
 *
 * Lists are added to; anything else may be set once.
 *
 * Return: true; false with @ret_complaint (line 0) saying what was found and expected
 */
bool config_set(struct config *config, const struct setting *setting, const char *value,
		struct complaint *ret_complaint);

/** config_was_given() - did somebody set the setting of that name? */
bool config_was_given(const struct config *config, const char *name);

/**
 * config_parse() - read the text of a configuration file (minivpn.conf(5))
 * @text: ends in NUL
 *
 * Settings stand under [server] or [client], which must be the role, or under no heading.
 *
 * Return: true; false with @ret_complaint naming the line, and @config not to be used
 */
bool config_parse(const char *text, enum role role, struct config *config,
		  struct complaint *ret_complaint);

/** config_override() - what @flags were given replaces what @config has */
void config_override(struct config *config, const struct config *flags);

/**
 * config_check() - do the settings agree with one another?
 * Return: true; false with @ret_complaint
 */
bool config_check(const struct config *config, enum role role, struct complaint *ret_complaint);

/**
 * config_print() - the configuration as a file that config_parse() reads back
 * Standard values are printed too; what may only be a flag is not.
 */
void config_print(const struct config *config, enum role role, FILE *out);

/** config_help() - one line a setting, for --help; the rare ones share one */
void config_help(enum role role, FILE *out);

#endif
