/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/config.h"
#include "conf/role.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct complaint complaint;

static void print_into(const struct config *config, enum role role, char **ret_text)
{
	size_t bytes;
	FILE *out = open_memstream(ret_text, &bytes);

	config_print(config, role, out);
	fclose(out);
}

static void the_table_is_sound(void **state)
{
	const struct setting *const all = config_settings();

	(void)state;
	for (const struct setting *s = all; s->name; s++) {
		assert_true(s->scope & FOR_BOTH);
		assert_true(s->scope & ANYWHERE);
		assert_true(strlen(s->help) <= 80 - 34);
		assert_true(strlen(s->name) + (s->argument ? strlen(s->argument) + 1 : 0) <= 24);
		for (const struct setting *other = all; other < s; other++) {
			assert_string_not_equal(s->name, other->name);
			assert_false(s->letter && s->letter == other->letter);
		}
	}
}

/* Good values for every setting, more than one for each kind of it. */
static const struct {
	const char *name, *value;
} good[] = {
	{ "key", "/etc/minivpn/keys" },
	{ "interface-name", "vpn0" },
	{ "local", "192.0.2.1:4501" },
	{ "local", "[2001:db8::1]:4501" },
	{ "local", ":4501" },
	{ "local", "192.0.2.1" },
	{ "local", "2001:db8::1" },
	{ "local", "::1" },
	{ "remote", "vpn.example.org" },
	{ "remote", "[2001:db8::1]:99" },
	{ "address", "10.171.38.1/24 fd00:1::1/64" },
	{ "route", "192.168.7.0/24, 10.0.0.0/8,fd00::/8" },
	{ "no-default-route", "yes" },
	{ "no-nat", "yes" },
	{ "out", "eth0" },
	{ "dns", "192.0.2.53 2001:db8::53" },
	{ "search-domain", "example.org" },
	{ "endpoint", "vpn.example.org:4501" },
	{ "mtu", "1280" },
	{ "mtu", "65000" },
	{ "keepalive", "0" },
	{ "keepalive", "3600" },
	{ "control-group", "adm" },
	{ "dscp", "copy" },
	{ "dscp", "0" },
	{ "user", "_minivpn" },
	{ "aead", "sodium" },
	{ "workers", "1" },
	{ "workers", "16" },
	{ "workers", "auto" },
	{ "debug", "yes" },
};

static void what_is_printed_reads_back(void **state)
{
	static const enum role roles[] = { ROLE_SERVER, ROLE_CLIENT };
	struct config config, again;
	const struct setting *s;
	char *text;

	(void)state;
	for (size_t r = 0; r < 2; r++) {
		for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
			s = config_setting(good[i].name, roles[r]);
			if (!s)
				continue;
			config_init(&config, roles[r]);
			if (!config_set(&config, s, good[i].value, &complaint))
				fail_msg("%s", complaint.text);
			assert_true(config_was_given(&config, good[i].name));
			print_into(&config, roles[r], &text);
			memset(&again, 0, sizeof(again));
			if (!config_parse(text, roles[r], &again, &complaint))
				fail_msg("%u: %s in\n%s", complaint.line, complaint.text, text);
			config.given = again.given = 0;
			assert_memory_equal(&config, &again, sizeof(config));
			free(text);
		}
	}
}

static const struct {
	const char *name, *value;
} bad[] = {
	{ "interface-name", "" },
	{ "interface-name", "a234567890123456" },
	{ "interface-name", "a/b" },
	{ "interface-name", "lo" },
	{ "local", "" },
	{ "local", "localhost:1" },
	{ "local", ":" },
	{ "local", ":0" },
	{ "local", ":65536" },
	{ "local", "192.0.2.1:x" },
	{ "local", "4501" },
	{ "remote", "a:b" },
	{ "remote", "a:99999" },
	{ "remote", "http://a" },
	{ "remote", "" },
	{ "address", "" },
	{ "address", "10.0.0.0/24" },
	{ "address", "10.0.0.1/33" },
	{ "address", "10.0.0.1/" },
	{ "address", "a" },
	{ "address", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5" },
	{ "route", "10.0.0.1/24" },
	{ "route", "default" },
	{ "route", "" },
	{ "no-nat", "maybe" },
	{ "out", "eth 0" },
	{ "dns", "one.one.one.one" },
	{ "dns", "1.1.1.1/32" },
	{ "dns", "" },
	{ "search-domain", "exa mple" },
	{ "search-domain", "10.0.0.1" },
	{ "mtu", "1279" },
	{ "mtu", "65001" },
	{ "mtu", "1400b" },
	{ "mtu", "-1" },
	{ "mtu", "01400" },
	{ "mtu", "" },
	{ "keepalive", "3601" },
	{ "keepalive", "10s" },
	{ "control-group", "a b" },
	{ "control-group", "" },
	{ "dscp", "1" },
	{ "dscp", "yes" },
	{ "dscp", "" },
	{ "user", "a b" },
	{ "user", "" },
	{ "aead", "AES" },
	{ "workers", "0" },
	{ "workers", "17" },
	{ "workers", "all" },
	{ "workers", "" },
	{ "key", "" },
	{ "key", ";" },
	{ "key", "a\nroute = 0.0.0.0/0" },
	{ "key", " a" },
};

static void bad_values_are_named(void **state)
{
	struct config config;
	const struct setting *s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		s = config_setting(bad[i].name, ROLE_SERVER);
		if (!s)
			s = config_setting(bad[i].name, ROLE_CLIENT);
		config_init(&config, ROLE_SERVER);
		if (config_set(&config, s, bad[i].value, &complaint))
			fail_msg("taken: %s = '%s'", bad[i].name, bad[i].value);
		if (strncmp(complaint.text, bad[i].name, strlen(bad[i].name)) != 0 ||
		    !strstr(complaint.text, "expected"))
			fail_msg("%s = '%s': %s", bad[i].name, bad[i].value, complaint.text);
	}
}

static void scalars_are_set_once_lists_grow(void **state)
{
	struct config config;

	(void)state;
	config_init(&config, ROLE_CLIENT);
	assert_true(config_set(&config, config_setting("mtu", ROLE_CLIENT), "1400", &complaint));
	assert_false(config_set(&config, config_setting("mtu", ROLE_CLIENT), "1400", &complaint));
	assert_non_null(strstr(complaint.text, "twice"));
	for (unsigned i = 0; i < 3; i++)
		assert_true(config_set(&config, config_setting("route", ROLE_CLIENT), "10.0.0.0/8",
				       &complaint));
	assert_int_equal(config.route.count, 3);
}

static void settings_belong_to_roles(void **state)
{
	(void)state;
	assert_null(config_setting("no-nat", ROLE_CLIENT));
	assert_null(config_setting("keepalive", ROLE_SERVER));
	assert_null(config_setting("kill-switch", ROLE_CLIENT));
	assert_null(config_setting("encap", ROLE_CLIENT));
	assert_non_null(config_setting("debug", ROLE_CLIENT));
}

static const struct {
	const char *text;
	unsigned line;
	const char *says;
} bad_files[] = {
	{ "[server]\nmtu = 12\n", 2, "mtu: found '12', expected" },
	{ "# x\n\n; y\nmtu=1400\nmtu=1400\n", 5, "twice" },
	{ "[client]\nmtu = 1400\n", 2, "expected [server]" },
	{ "[sevrer]\nmtu = 1400\n", 2, "[sevrer]" },
	{ "mtu\n", 1, "name = value" },
	{ "[server\n", 1, "name = value" },
	{ "keepalive = 10\n", 1, "'keepalive' is no setting of a server" },
	{ "config = a\n", 1, "only a flag" },
	{ "\n\n  nonsense = 1", 3, "'nonsense'" },
	{ "out = eth0\n  mtu = 1\n", 2, "mtu" }, /* no continuation of the line before */
	{ "route = 10.0.0.0/8\nroute = 10.0.0.0/7 10.1.0.0/8\n", 2, "'10.1.0.0/8'" },
	{ "user = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	  1, "longer than" },
};

static void bad_files_are_refused_by_line(void **state)
{
	struct config config;

	(void)state;
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++) {
		config_init(&config, ROLE_SERVER);
		if (config_parse(bad_files[i].text, ROLE_SERVER, &config, &complaint))
			fail_msg("taken: %s", bad_files[i].text);
		if (complaint.line != bad_files[i].line ||
		    !strstr(complaint.text, bad_files[i].says))
			fail_msg("%s\nline %u: %s", bad_files[i].text, complaint.line,
				 complaint.text);
	}
}

static void flags_win_over_the_file(void **state)
{
	struct config config, flags;

	(void)state;
	config_init(&config, ROLE_SERVER);
	config_init(&flags, ROLE_SERVER);
	assert_true(
		config_parse("[server]\nmtu = 1300 ; comment\r\nroute = 10.0.0.0/8\nout = eth0\n",
			     ROLE_SERVER, &config, &complaint));
	assert_true(config_set(&flags, config_setting("mtu", ROLE_SERVER), "1400", &complaint));
	assert_true(config_set(&flags, config_setting("route", ROLE_SERVER), "10.1.0.0/16 fd00::/8",
			       &complaint));
	config_override(&config, &flags);
	assert_int_equal(config.mtu, 1400);
	assert_int_equal(config.route.count, 2);
	assert_string_equal(config.out, "eth0");
	assert_string_equal(config.interface, "minivpn0");
}

static void contradictions_are_refused(void **state)
{
	struct config config;

	(void)state;
	config_init(&config, ROLE_SERVER);
	assert_true(config_check(&config, ROLE_SERVER, &complaint));
	strcpy(config.out, "minivpn0");
	assert_false(config_check(&config, ROLE_SERVER, &complaint));
	config_init(&config, ROLE_CLIENT);
	assert_true(
		config_set(&config, config_setting("route", ROLE_CLIENT), "0.0.0.0/0", &complaint));
	assert_true(config_check(&config, ROLE_CLIENT, &complaint));
	config.no_default_route = true;
	assert_false(config_check(&config, ROLE_CLIENT, &complaint));
	config_init(&config, ROLE_CLIENT);
	config.install = config.uninstall = true;
	assert_false(config_check(&config, ROLE_CLIENT, &complaint));
}

static void a_server_is_the_first_host_of_its_keys_networks(void **state)
{
	struct keytext keys[2] = { { .name = "a" }, { .name = "b" } };
	char text[PREFIX_TEXT_BYTES];
	struct key_facts facts;
	struct config config;
	struct tunnel tunnel;

	(void)state;
	config_init(&config, ROLE_SERVER);
	role_key_facts(keys, 2, &facts);
	assert_false(role_tunnel(&config, ROLE_SERVER, &facts, -1, &tunnel, &complaint));
	assert_non_null(strstr(complaint.text, "--address"));
	for (unsigned i = 0; i < 2; i++) {
		assert_true(interface_address_parse(i ? "10.1.2.9/24" : "10.1.2.2/24",
						    &keys[i].address[0]));
		assert_true(interface_address_parse("fd00:1::7/64", &keys[i].address[1]));
		keys[i].address_count = 2;
	}
	role_key_facts(keys, 2, &facts);
	assert_true(role_tunnel(&config, ROLE_SERVER, &facts, -1, &tunnel, &complaint));
	assert_int_equal(tunnel.address_count, 2);
	assert_string_equal(prefix_print(&tunnel.address[0], text), "10.1.2.1/24");
	assert_string_equal(prefix_print(&tunnel.address[1], text), "fd00:1::1/64");
	assert_true(tunnel.nat && tunnel.default_route_offered);
	config.no_nat = config.no_default_route = true;
	assert_true(config_set(&config, config_setting("address", ROLE_SERVER), "10.9.9.9/16",
			       &complaint));
	assert_true(role_tunnel(&config, ROLE_SERVER, &facts, -1, &tunnel, &complaint));
	assert_int_equal(tunnel.address_count, 1);
	assert_false(tunnel.nat || tunnel.default_route_offered);
	assert_int_equal(tunnel.bind_port, PORT_DEFAULT);
}

static void a_client_needs_a_server(void **state)
{
	struct key_facts facts = { .count = 1 };
	struct config config;
	struct tunnel tunnel;

	(void)state;
	config_init(&config, ROLE_CLIENT);
	assert_false(role_tunnel(&config, ROLE_CLIENT, &facts, -1, &tunnel, &complaint));
	strcpy(facts.endpoint.host, "192.0.2.1");
	assert_true(role_tunnel(&config, ROLE_CLIENT, &facts, -1, &tunnel, &complaint));
	assert_string_equal(tunnel.remote_host, "192.0.2.1");
	assert_int_equal(tunnel.remote_port, PORT_DEFAULT);
	assert_int_equal(tunnel.bind_port, 0);
	assert_int_equal(tunnel.keepalive_s, 10);
	assert_true(tunnel.full_tunnel);
	assert_true(config_set(&config, config_setting("remote", ROLE_CLIENT), "a.example:77",
			       &complaint));
	assert_true(config_set(&config, config_setting("route", ROLE_CLIENT), "10.0.0.0/8",
			       &complaint));
	assert_true(role_tunnel(&config, ROLE_CLIENT, &facts, -1, &tunnel, &complaint));
	assert_string_equal(tunnel.remote_host, "a.example");
	assert_int_equal(tunnel.remote_port, 77);
	assert_false(tunnel.full_tunnel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(what_is_printed_reads_back),
		cmocka_unit_test(bad_values_are_named),
		cmocka_unit_test(scalars_are_set_once_lists_grow),
		cmocka_unit_test(settings_belong_to_roles),
		cmocka_unit_test(bad_files_are_refused_by_line),
		cmocka_unit_test(flags_win_over_the_file),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(a_server_is_the_first_host_of_its_keys_networks),
		cmocka_unit_test(a_client_needs_a_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
