/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of values that a setting may have: each reads one item into its field, and prints item number n
 * back.  Which setting is of which kind says the table in config.c.
 */
#ifndef CONF_KINDS_H
#define CONF_KINDS_H

#include "conf/config.h"

#include <stdbool.h>
#include <stddef.h>

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

/* Their fields are strings where nothing else is said. */
extern const struct config_kind kind_switch, kind_interface, kind_path, kind_local, kind_hostport,
	kind_addresses, kind_routes, kind_servers, kind_domain, kind_mtu, kind_seconds, kind_dscp,
	kind_user, kind_group, kind_aead, kind_workers;

#endif
