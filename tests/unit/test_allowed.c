/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table against a naive twin: a list of prefixes, searched from end to end. */
#include "minivpn/allowed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { PREFIXES = 400, LOOKUPS = 4000, ROUNDS = 20 };

static struct allowed_entry entries[PREFIXES];
static bool present[PREFIXES];
static struct allowed_entry *buckets[64], *more_buckets[1024];

/* Few different bits, so that prefixes nest and collide. */
static struct address random_address(void)
{
	uint8_t b[16] = { 0xfd };

	if (rand() % 2) {
		b[0] = 10;
		b[1] = (uint8_t)(rand() % 4);
		b[2] = (uint8_t)(rand() % 4 * 64);
		b[3] = (uint8_t)(rand() % 8);
		return address_from_ipv4(b);
	}
	b[7] = (uint8_t)(rand() % 4);
	b[8] = (uint8_t)(rand() % 4 * 64);
	b[15] = (uint8_t)(rand() % 8);
	return address_from_ipv6(b);
}

static struct prefix random_prefix(void)
{
	static const uint8_t lengths4[] = { 0, 8, 15, 16, 18, 24, 30, 32 };
	static const uint8_t lengths6[] = { 0, 7, 48, 63, 64, 66, 126, 128 };
	struct prefix p = { random_address(), 0 };

	p.length = address_is_ipv4(&p.address) ? lengths4[rand() % 8] : lengths6[rand() % 8];
	return prefix_network(&p);
}

static void *naive_lookup(const struct address *a)
{
	const struct allowed_entry *best = NULL;

	for (size_t i = 0; i < PREFIXES; i++)
		if (present[i] && prefix_contains(&entries[i].network, a) &&
		    (!best || entries[i].network.length > best->network.length))
			best = &entries[i];
	return best ? best->owner : NULL;
}

static void agrees_with_naive_twin(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct allowed table;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	allowed_init(&table, buckets, 64);
	for (int round = 0; round < ROUNDS; round++) {
		if (round == ROUNDS / 2)
			allowed_rehash(&table, more_buckets, 1024);
		for (size_t i = 0; i < PREFIXES; i++) {
			struct allowed_entry *before;

			if (present[i] && rand() % 3 == 0) {
				allowed_remove(&table, &entries[i]);
				present[i] = false;
			} else if (!present[i] && rand() % 3) {
				entries[i].network = random_prefix();
				entries[i].owner = &entries[i];
				before = allowed_insert(&table, &entries[i]);
				if (before)
					present[before - entries] = false;
				present[i] = true;
			}
		}
		for (int i = 0; i < LOOKUPS; i++) {
			struct address a = random_address();

			assert_ptr_equal(allowed_lookup(&table, &a), naive_lookup(&a));
			for (size_t e = 0; e < PREFIXES; e++)
				if (allowed_is_host(&entries[e], &a))
					assert_ptr_equal(naive_lookup(&a), &entries[e]);
		}
	}
}

/* Only while it is in the table, and only a single address. */
static void a_host_is_known_without_the_table(void **state)
{
	struct allowed table;
	struct allowed_entry *chains[64] = { NULL };
	struct allowed_entry host = { 0 }, twin = { 0 }, net = { 0 };

	(void)state;
	allowed_init(&table, chains, 64);
	assert_true(prefix_parse("10.1.2.3/32", &host.network));
	assert_true(prefix_parse("10.1.2.0/31", &net.network));
	twin = host;
	assert_false(allowed_is_host(&host, &host.network.address));
	assert_null(allowed_insert(&table, &host));
	assert_null(allowed_insert(&table, &net));
	assert_true(allowed_is_host(&host, &host.network.address));
	assert_false(allowed_is_host(&host, &net.network.address));
	assert_false(allowed_is_host(&net, &net.network.address));
	assert_ptr_equal(allowed_insert(&table, &twin), &host);
	assert_false(allowed_is_host(&host, &host.network.address));
	assert_true(allowed_is_host(&twin, &host.network.address));
	allowed_remove(&table, &twin);
	assert_false(allowed_is_host(&twin, &host.network.address));
}

static void removing_what_is_not_in_changes_nothing(void **state)
{
	struct allowed table;
	struct allowed_entry *chains[64] = { NULL };
	struct allowed_entry in = { 0 }, twin = { 0 };

	(void)state;
	allowed_init(&table, chains, 64);
	assert_true(prefix_parse("10.0.0.0/8", &in.network));
	in.owner = &in;
	twin = in;
	assert_null(allowed_insert(&table, &in));
	allowed_remove(&table, &twin);
	assert_ptr_equal(allowed_lookup(&table, &in.network.address), &in);
	allowed_remove(&table, &in);
	allowed_remove(&table, &in);
	assert_null(allowed_lookup(&table, &in.network.address));
}

static unsigned chain_length(const struct allowed_entry *e)
{
	unsigned n = 0;

	for (; e; e = e->next)
		n++;
	return n;
}

/* Clients get neighbouring addresses, and a look-up must not cost more for having neighbours. */
static void neighbours_do_not_share_a_bucket(void **state)
{
	static struct allowed_entry host[2][4096], *heads[16384];
	struct allowed table;
	unsigned longest = 0;

	(void)state;
	allowed_init(&table, heads, 16384);
	for (unsigned i = 0; i < 4096; i++) {
		uint8_t high = (uint8_t)(i >> 8), low = (uint8_t)i;
		uint8_t ipv4[4] = { 10, 9, high, low }, ipv6[16] = { 0xfd, [14] = high, low };

		host[0][i].network = (struct prefix){ address_from_ipv4(ipv4), 32 };
		host[1][i].network = (struct prefix){ address_from_ipv6(ipv6), 128 };
		allowed_insert(&table, &host[0][i]);
		allowed_insert(&table, &host[1][i]);
	}
	for (unsigned i = 0; i < 16384; i++)
		if (chain_length(heads[i]) > longest)
			longest = chain_length(heads[i]);
	assert_in_range(longest, 1, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_naive_twin),
		cmocka_unit_test(a_host_is_known_without_the_table),
		cmocka_unit_test(removing_what_is_not_in_changes_nothing),
		cmocka_unit_test(neighbours_do_not_share_a_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
