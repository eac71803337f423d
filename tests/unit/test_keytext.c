/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/addresses.h"
#include "keys/keytext.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void sample(struct keytext *key)
{
	*key = (struct keytext){ .name = "laptop", .endpoint = { "vpn.example.org", 4501 } };
	for (unsigned i = 0; i < PSK_BYTES; i++)
		key->psk.b[i] = (uint8_t)(i * 7 + 1);
	assert_true(interface_address_parse("10.171.38.2", &key->address[0]));
	assert_true(interface_address_parse("fd5b:27c:9a11::2", &key->address[1]));
	key->address_count = 2;
	assert_true(network_parse("192.168.7.0/24", &key->network[0]));
	key->network_count = 1;
}

static void a_key_file_reads_as_documented(void **state)
{
	/* SHA-512("minivpn key check " | 01 08 0f ...), computed with python3's hashlib */
	static const char expected[] =
		"# Key of a minivpn tunnel, for its client and its server. Keep it secret.\n"
		"name = laptop\n"
		"key = mvk1-AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09q5x0lC\n"
		"endpoint = vpn.example.org:4501\n"
		"address = 10.171.38.2/24, fd5b:27c:9a11::2/64\n"
		"networks = 192.168.7.0/24\n";
	char text[KEYTEXT_BYTES];
	struct keytext key;

	(void)state;
	sample(&key);
	assert_int_equal(keytext_print(&key, text), sizeof(expected) - 1);
	assert_string_equal(text, expected);
}

/* Random keys with random optional parts; the seed is printed. */
static void random_keytext(struct keytext *key)
{
	static const char letters[] = "abcXYZ019._-";
	static const char *const hosts[] = { "", "a", "vpn.example.org", "192.0.2.7",
					     "2001:db8::1" };
	unsigned n = 1 + (unsigned)rand() % (KEY_NAME_BYTES - 1);
	uint8_t random[NETWORK_RANDOM_BYTES];
	struct prefix ipv4, ipv6;

	*key = (struct keytext){ 0 };
	for (unsigned i = 0; i < n; i++)
		key->name[i] = letters[(size_t)rand() % (i == 0 ? 9 : sizeof(letters) - 1)];
	for (unsigned i = 0; i < PSK_BYTES; i++)
		key->psk.b[i] = (uint8_t)rand();
	strcpy(key->endpoint.host, hosts[rand() % 5]);
	if (*key->endpoint.host && rand() % 2)
		key->endpoint.port = (uint16_t)(1 + rand() % 65535);
	key->address_count = (unsigned)rand() % (KEY_ADDRESSES_MAX + 1);
	for (unsigned i = 0; i < key->address_count; i++) {
		for (unsigned r = 0; r < sizeof(random); r++)
			random[r] = (uint8_t)rand();
		networks_random(random, &ipv4, &ipv6);
		key->address[i] = network_host(i % 2 ? &ipv4 : &ipv6, 2 + (unsigned)rand() % 200);
	}
	key->network_count = (unsigned)rand() % (KEY_NETWORKS_MAX + 1);
	for (unsigned i = 0; i < key->network_count; i++) {
		for (unsigned r = 0; r < sizeof(random); r++)
			random[r] = (uint8_t)rand();
		networks_random(random, &key->network[i], &ipv6);
	}
}

static void parse_undoes_print(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct keytext key, again;
	char text[KEYTEXT_BYTES], invite[INVITE_BYTES];
	struct complaint complaint;
	size_t bytes;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (unsigned i = 0; i < 2000; i++) {
		random_keytext(&key);
		if (!keytext_parse(text, keytext_print(&key, text), &again, &complaint))
			fail_msg("%s in\n%s", complaint.text, text);
		assert_memory_equal(&key, &again, sizeof(key));
		if (!*key.endpoint.host)
			continue;
		bytes = invite_print(&key, invite);
		assert_int_equal(bytes, strlen(invite));
		if (!invite_parse(invite, &again, &complaint))
			fail_msg("%s in %s", complaint.text, invite);
		assert_string_equal(again.name, key.name);
		assert_string_equal(again.endpoint.host, key.endpoint.host);
		assert_int_equal(again.endpoint.port,
				 key.endpoint.port ? key.endpoint.port : PORT_DEFAULT);
		assert_true(psk_equal(&again.psk, &key.psk));
		assert_int_equal(again.address_count + again.network_count, 0);
	}
}

#define NAME "name = a\n"
#define KEY  "key = mvk1-AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09q5x0lC\n"
static const struct {
	const char *text;
	unsigned line;
	const char *says;
} wrong[] = {
	{ "", 0, "no line 'name" },
	{ NAME, 0, "no line 'key" },
	{ KEY, 0, "no line 'name" },
	{ NAME NAME KEY, 2, "second time" },
	{ NAME "\n# x\nkeys = 1\n", 4, "'keys' is unknown" },
	{ NAME KEY "nonsense\n", 3, "not 'name = value'" },
	{ "name = \n" KEY, 1, "expected 1 to 63" },
	{ "name = -a\n" KEY, 1, "found" },
	{ "name = a b\n" KEY, 1, "'a b'" },
	{ "name = a/b\n" KEY, 1, "'a/b'" },
	{ NAME "key =\n", 2, "does not begin with mvk1-" },
	{ NAME "key = mvk1-AQgPFh0k\n", 2, "not copied whole" },
	{ NAME "key = mvk1-AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09q5x0lCA\n", 2, "49 char" },
	{ NAME "key = mvk1-AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09q5x0l!\n", 2, "no letter" },
	{ NAME "key = mvk1-AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09q5x0l4\n", 2, "mistyped" },
	{ NAME "key = mvk1-BQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09q5x0lC\n", 2, "mistyped" },
	{ NAME "key = mvk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABcHu3O\n", 2, "all zero" },
	{ NAME KEY "endpoint = \n", 3, "missing" },
	{ NAME KEY "endpoint = a:0\n", 3, "port" },
	{ NAME KEY "endpoint = a:65536\n", 3, "port" },
	{ NAME KEY "endpoint = [1.2.3.4]:1\n", 3, "brackets" },
	{ NAME KEY "endpoint = 1.2.3.400\n", 3, "host name or an address" },
	{ NAME KEY "endpoint = a..b\n", 3, "host name or an address" },
	{ NAME KEY "address =\n", 3, "empty" },
	{ NAME KEY "address = 10.0.0.0/24\n", 3, "'10.0.0.0/24'" },
	{ NAME KEY "address = 10.0.0.255/24\n", 3, "'10.0.0.255/24'" },
	{ NAME KEY "address = 127.0.0.1/8\n", 3, "'127.0.0.1/8'" },
	{ NAME KEY "address = fe80::1/64\n", 3, "'fe80::1/64'" },
	{ NAME KEY "address = ::1\n", 3, "'::1'" },
	{ NAME KEY "address = 10.0.0.1/33\n", 3, "'10.0.0.1/33'" },
	{ NAME KEY "address = 10.0.0.1/24 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5\n", 3,
	  "more than 4" },
	{ NAME KEY "networks = 10.0.0.1/24\n", 3, "'10.0.0.1/24'" },
	{ NAME KEY "networks = 10.0.0.0/24 lan\n", 3, "'lan'" },
};

static void every_mistake_is_named(void **state)
{
	struct keytext key = { .name = "untouched" };
	struct complaint complaint;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (keytext_parse(wrong[i].text, strlen(wrong[i].text), &key, &complaint))
			fail_msg("taken: %s", wrong[i].text);
		assert_string_equal(key.name, "untouched");
		if (complaint.line != wrong[i].line ||
		    (strcmp(wrong[i].says, "found") != 0 && !strstr(complaint.text, wrong[i].says)))
			fail_msg("%s: line %u: %s", wrong[i].text, complaint.line, complaint.text);
		/* Whatever is wrong with a key, the complaint shows none of it. */
		assert_null(strstr(complaint.text, "AQgPFh0k"));
	}
	assert_false(keytext_parse("name = a\0", 9, &key, &complaint));
}

static void blanks_and_comments_do_not_matter(void **state)
{
	static const char text[] = "\r\n  # comment\n\tname=a \r\n" KEY "  address =10.0.0.2\r";
	struct complaint complaint;
	struct keytext key;

	(void)state;
	assert_true(keytext_parse(text, strlen(text), &key, &complaint));
	assert_string_equal(key.name, "a");
	assert_int_equal(key.address[0].length, 24);
}

/* A copy that lacks its end, or has one character changed, is never taken for another key. */
static void damaged_invites_are_refused(void **state)
{
	char invite[INVITE_BYTES], damaged[2 * INVITE_BYTES];
	struct complaint complaint;
	struct keytext key, again;
	size_t bytes;

	(void)state;
	sample(&key);
	bytes = invite_print(&key, invite);
	assert_true(invite_looks_like(invite));
	for (size_t i = 0; i < bytes; i++) {
		memcpy(damaged, invite, bytes + 1);
		damaged[i] = '\0';
		assert_false(invite_parse(damaged, &again, &complaint));
		memcpy(damaged, invite, bytes + 1);
		damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
		assert_false(invite_parse(damaged, &again, &complaint));
	}
	snprintf(damaged, sizeof(damaged), "%s ", invite);
	assert_false(invite_parse(damaged, &again, &complaint));
	snprintf(damaged, sizeof(damaged), "%sAAAA", invite);
	assert_false(invite_parse(damaged, &again, &complaint));
}

static void fingerprints_tell_keys_apart(void **state)
{
	char a[FINGERPRINT_BYTES], b[FINGERPRINT_BYTES];
	struct keytext key;

	(void)state;
	sample(&key);
	/* SHA-512("minivpn key fingerprint " | key), computed with python3's hashlib */
	assert_string_equal(psk_fingerprint(&key.psk, a), "58c0-929a-d60e-195a-bffa-6ba0");
	key.psk.b[31] ^= 1;
	assert_string_not_equal(psk_fingerprint(&key.psk, b), a);
}

static void addresses_are_given_out_in_order(void **state)
{
	static struct keytext keys[300];
	struct prefix network, address, networks[NETWORKS_MAX];
	char text[PREFIX_TEXT_BYTES];

	(void)state;
	assert_true(prefix_parse("10.171.38.0/24", &network));
	address = network_host(&network, 1);
	assert_string_equal(prefix_print(&address, text), "10.171.38.1/24");
	for (unsigned i = 0; i < 253; i++) {
		assert_true(network_next_free(&network, keys, i, &keys[i].address[0]));
		keys[i].address_count = 1;
		assert_int_equal(keys[i].address[0].address.b[15], i + 2);
	}
	assert_false(network_next_free(&network, keys, 253, &address));
	keys[100].address_count = 0;
	assert_true(network_next_free(&network, keys, 253, &address));
	assert_string_equal(prefix_print(&address, text), "10.171.38.102/24");
	assert_int_equal(networks_of(keys, 253, networks), 1);
	assert_true(address_equal(&networks[0].address, &network.address));
}

static void random_networks_stay_in_their_ranges(void **state)
{
	struct prefix ipv4, ipv6, upper, ula;
	uint8_t random[NETWORK_RANDOM_BYTES] = { 0 };

	(void)state;
	assert_true(prefix_parse("10.128.0.0/9", &upper) && prefix_parse("fd00::/8", &ula));
	for (unsigned i = 0; i < 256; i++) {
		memset(random, (int)i, sizeof(random));
		networks_random(random, &ipv4, &ipv6);
		assert_true(prefix_contains(&upper, &ipv4.address) && ipv4.length == 24);
		assert_true(prefix_contains(&ula, &ipv6.address) && ipv6.length == 64);
		assert_int_not_equal(ipv4.address.b[13], 244);
	}
}

static void hosts_and_ports_round_trip(void **state)
{
	static const char *const good[] = { "a",           "vpn.example.org:1",   "192.0.2.1:4500",
					    "2001:db8::1", "[2001:db8::1]:65535", "my_host" };
	static const char *const bad[] = { "",     ":1",     "a:",     "a:+1",    "a:01",
					   "[::1", "[::1]x", "[::1]:", "::1:x:y", "-a",
					   "a-",   ".a",     "a b",    "1.2.3",   "a:1:2" };
	char text[HOSTPORT_BYTES];
	const char *why;
	struct hostport h;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		if (!hostport_parse(good[i], &h, &why))
			fail_msg("%s: %s", good[i], why);
		assert_string_equal(hostport_print(&h, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (hostport_parse(bad[i], &h, &why))
			fail_msg("taken: '%s'", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_file_reads_as_documented),
		cmocka_unit_test(parse_undoes_print),
		cmocka_unit_test(every_mistake_is_named),
		cmocka_unit_test(blanks_and_comments_do_not_matter),
		cmocka_unit_test(damaged_invites_are_refused),
		cmocka_unit_test(fingerprints_tell_keys_apart),
		cmocka_unit_test(addresses_are_given_out_in_order),
		cmocka_unit_test(random_networks_stay_in_their_ranges),
		cmocka_unit_test(hosts_and_ports_round_trip),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
