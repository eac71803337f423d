/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Key files from a folder into an engine: what a reload reads again, what it takes up, what it refuses.
 * The wall clock is the tests' own: see meson.build. */
#include "run/keyring.h"

#include "io/clock.h"
#include "keys/keyfile.h"
#include "plain_engine.h"
#include "scope.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/minivpn-keyring-XXXXXX";
static struct keyring keyring;
static struct engine *engine;
static time_t later_s; /* than it is */

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int r = __real_clock_gettime(clock, ret_time);

	ret_time->tv_sec += clock == CLOCK_REALTIME ? later_s : 0;
	return r;
}

static struct endpoint nowhere(void *context, const char *name)
{
	(void)context;
	(void)name;
	return (struct endpoint){ 0 };
}

static int set_up(void **state)
{
	static const struct payload configuration;
	struct engine_config config = plain_engine(ROLE_SERVER, NULL);

	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	later_s = 0;
	config.configuration = &configuration;
	engine = engine_create(&config, clock_now());
	return engine && mkdtemp(folder) ? 0 : -1;
}

static char *path_of(const char *file)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return path;
}

static int tear_down(void **state)
{
	struct keyfile_complaint complaint;
	struct dirent **entry;
	int entries = keyfolder_list(folder, &entry, &complaint);

	(void)state;
	for (int i = 0; i < entries; i++) {
		unlink(path_of(entry[i]->d_name));
		free(entry[i]);
	}
	free(entry);
	engine_destroy(engine);
	keyring_close(&keyring);
	return rmdir(folder);
}

/* ---- What the tests say ---- */

static void write_key(const char *file, const char *name, uint8_t key, const char *address)
{
	struct keyfile_complaint complaint;
	struct keytext text = { .psk = { { key, 1 } }, .address_count = 1 };

	strcpy(text.name, name);
	assert_true(prefix_parse(address, &text.address[0]));
	unlink(path_of(file));
	assert_int_equal(keyfile_write(path_of(file), &text, &complaint), 0);
}

static void gather(enum keybundle_texts texts, struct keybundle *bundle)
{
	struct keyfile_complaint complaint;

	assert_int_equal(keybundle_gather(folder, texts, bundle, &complaint), 0);
}

static unsigned texts_in(const struct keybundle *bundle)
{
	struct keybundle_file file;
	size_t cursor = 0;
	unsigned n = 0;

	while (keybundle_next(bundle, &cursor, &file) == 1)
		n += file.text != NULL;
	return n;
}

static bool is_unread(void *context, const char *name)
{
	const struct keychange *change = context;

	for (size_t i = 0; i < change->unread_count; i++)
		if (strcmp(change->unread[i], name) == 0)
			return true;
	return false;
}

/* Take up a bundle; true unless something is missing in it.  What is refused is said in @refused. */
static bool take_up(struct keybundle *bundle, const char *counts, const char *refused)
{
	struct keyfile_complaint complaint;
	struct keychange change;
	char found[64];
	int error = keyring_compare(&keyring, bundle, &change, &complaint);

	if (!error && change.unread_count > 0) {
		assert_int_equal(keybundle_fill(bundle, is_unread, &change, &complaint), 0);
		keychange_drop(&keyring, &change);
		return false;
	}
	assert_int_equal(error != 0, refused != NULL);
	if (refused) {
		assert_non_null(strstr(complaint.what.text, refused));
		return true;
	}
	snprintf(found, sizeof(found), "%zu %zu %zu", change.added, change.changed, change.removed);
	assert_string_equal(found, counts);
	assert_int_equal(
		keyring_commit(&keyring, &change, engine, ROLE_SERVER, nowhere, NULL, clock_now()),
		0);
	return true;
}

/* As a start does, some seconds after the files were written: from then on they have stamps. */
static void start(const char *counts)
{
	struct keybundle bundle;

	later_s = 10;
	gather(KEYBUNDLE_ALL, &bundle);
	assert_true(take_up(&bundle, counts, NULL));
	keybundle_release(&bundle);
}

/* As a reload does.  @texts: that had to be brought; @first: of them without being asked for. */
static void reload(unsigned first, unsigned texts, const char *counts, const char *refused)
{
	struct keybundle bundle;

	gather(KEYBUNDLE_YOUNG, &bundle);
	assert_int_equal(texts_in(&bundle), first);
	if (!take_up(&bundle, counts, refused))
		assert_true(take_up(&bundle, counts, refused));
	assert_int_equal(texts_in(&bundle), texts);
	keybundle_release(&bundle);
}

static size_t peers(void)
{
	size_t n = 0;

	for (struct peer *peer = engine_peer_next(engine, NULL); peer;
	     peer = engine_peer_next(engine, peer))
		n++;
	return n;
}

/* ---- The tests ---- */

static void a_stamp_tells_apart(void **state)
{
	const struct stat s = {
		.st_dev = 1, .st_ino = 2, .st_size = 3, .st_mtim = { 100, 4 }, .st_ctim = { 100, 5 }
	};
	const struct timespec now = { 102, 5 }, soon = { 102, 4 };
	struct keystamp stamp = keystamp_of(&s, &now), young = keystamp_of(&s, &soon);
	struct stat other[5] = { s, s, s, s, s };

	(void)state;
	other[0].st_dev++;
	other[1].st_ino++;
	other[2].st_size++;
	other[3].st_mtim.tv_nsec++;
	other[4].st_ctim.tv_nsec--;
	assert_true(keystamp_same(&stamp, &stamp));
	for (unsigned i = 0; i < 5; i++) {
		struct keystamp differs = keystamp_of(&other[i], &now);

		assert_true(keystamp_same(&differs, &differs));
		assert_false(keystamp_same(&stamp, &differs));
	}
	assert_false(keystamp_same(&young, &young));
}

static void only_what_is_new_is_read(void **state)
{
	(void)state;
	write_key("a.key", "a", 1, "10.9.0.2/24");
	write_key("b.key", "b", 2, "10.9.0.3/24");
	write_key("c.key", "c", 3, "10.9.0.4/24");
	start("3 0 0");
	reload(0, 0, "0 0 0", NULL);
	assert_int_equal(peers(), 3);

	write_key("b.key", "b", 4, "10.9.0.3/24"); /* as long as before */
	unlink(path_of("a.key"));
	write_key("d.key", "d", 5, "10.9.0.2/24"); /* what the one had that is gone */
	reload(0, 2, "1 1 1", NULL);
	assert_int_equal(peers(), 3);
	reload(0, 0, "0 0 0", NULL);

	/* Who only may read it now is no change of the key, and is looked at once. */
	assert_int_equal(chmod(path_of("c.key"), 0400), 0);
	reload(0, 1, "0 0 0", NULL);
	reload(0, 0, "0 0 0", NULL);
}

static void what_is_young_is_read_again(void **state)
{
	struct keybundle bundle;

	(void)state;
	write_key("a.key", "a", 1, "10.9.0.2/24");
	gather(KEYBUNDLE_ALL, &bundle);
	assert_true(take_up(&bundle, "1 0 0", NULL));
	keybundle_release(&bundle);
	reload(1, 1, "0 0 0", NULL);
	write_key("a.key", "a", 2, "10.9.0.2/24");
	reload(1, 1, "0 1 0", NULL);

	later_s = 10;
	reload(0, 1, "0 0 0", NULL);
	reload(0, 0, "0 0 0", NULL);
}

/* As a reload does that knows which files were touched. */
static void reload_part(const char *const *name, size_t count, const char *counts,
			const char *refused)
{
	struct keyfile_complaint complaint;
	struct keybundle bundle, received;
	scoped_fd fd = -1;

	assert_int_equal(keybundle_gather_part(folder, name, count, &bundle, &complaint), 0);
	bundle.kind.until = 7;
	fd = keybundle_send(&bundle);
	assert_true(fd >= 0);
	assert_int_equal(keybundle_receive(fd, folder, &received), 0);
	assert_true(received.kind.is_part && received.kind.until == 7);
	assert_true(take_up(&received, counts, refused));
	keybundle_release(&bundle);
	keybundle_release(&received);
}

static void a_part_says_nothing_of_others(void **state)
{
	(void)state;
	for (uint8_t i = 2; i < 10; i++) {
		char file[16], name[16], address[32];

		snprintf(file, sizeof(file), "%c.key", 'a' + i);
		snprintf(name, sizeof(name), "%c", 'a' + i);
		snprintf(address, sizeof(address), "10.9.0.%u/24", i);
		write_key(file, name, i, address);
	}
	start("8 0 0");
	reload_part(NULL, 0, "0 0 0", NULL);
	assert_int_equal(peers(), 8);

	/* The first, one in the middle, the last; new, other, none. */
	write_key("a.key", "a", 1, "10.9.0.100/24");
	write_key("e.key", "e", 101, "10.9.0.4/24");
	unlink(path_of("f.key"));
	write_key("z.key", "z", 26, "10.9.0.126/24");
	reload_part((const char *[]){ "a.key", "e.key", "f.key", "z.key" }, 4, "2 1 1", NULL);
	assert_int_equal(peers(), 9);
	assert_int_equal(keyring.count, 9);
	for (size_t i = 1; i < keyring.count; i++)
		assert_true(strcmp(keyring.entry[i - 1]->file, keyring.entry[i]->file) < 0);

	/* Touched, and as it was; never there. */
	reload_part((const char *[]){ "c.key", "never.key" }, 2, "0 0 0", NULL);

	/* What is refused, beside one that is not looked at as well. */
	write_key("b.key", "b", 27, "10.9.0.126/24");
	reload_part((const char *[]){ "b.key" }, 1, NULL, "the same address as 'z.key'");
	write_key("b.key", "b", 27, "10.9.0.5/24");
	reload_part((const char *[]){ "b.key" }, 1, "1 0 0", NULL);
	assert_int_equal(peers(), 10);

	/* And that is what the whole folder says. */
	reload(0, 0, "0 0 0", NULL);
}

static void a_file_of_two_names_is_known_as_one(void **state)
{
	char elsewhere[PATH_MAX];

	(void)state;
	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", folder);
	write_key("a.key", "a", 1, "10.9.0.2/24");
	write_key("b.key", "b", 2, "10.9.0.3/24");
	start("2 0 0");
	assert_int_equal(keyring.shared, 0);
	assert_int_equal(link(path_of("a.key"), elsewhere), 0);
	reload_part((const char *[]){ "a.key" }, 1, "0 0 0", NULL);
	assert_int_equal(keyring.shared, 1);
	unlink(elsewhere);
	reload(0, 1, "0 0 0", NULL);
	assert_int_equal(keyring.shared, 0);
	assert_int_equal(link(path_of("a.key"), elsewhere), 0);
	reload(0, 1, "0 0 0", NULL);
	assert_int_equal(keyring.shared, 1);
	unlink(path_of("a.key"));
	reload_part((const char *[]){ "a.key" }, 1, "0 0 1", NULL);
	assert_int_equal(keyring.shared, 0);
	unlink(elsewhere);
}

/* One that is out of order would be put where it is not found again. */
static void a_bundle_out_of_order_is_refused(void **state)
{
	static const char *const orders[][3] = { { "a.key", "c.key", "b.key" },
						 { "a.key", "a.key", "b.key" } };

	(void)state;
	write_key("a.key", "a", 1, "10.9.0.2/24");
	write_key("b.key", "b", 2, "10.9.0.3/24");
	write_key("c.key", "c", 3, "10.9.0.4/24");
	for (size_t i = 0; i < 2; i++)
		reload_part(orders[i], 3, NULL, "no bundle of keys");
	assert_int_equal(peers(), 0);
	reload_part((const char *[]){ "a.key", "b.key", "c.key" }, 3, "3 0 0", NULL);
}

static void what_is_refused_changes_nothing(void **state)
{
	(void)state;
	write_key("a.key", "a", 1, "10.9.0.2/24");
	write_key("b.key", "b", 2, "10.9.0.3/24");
	start("2 0 0");

	/* One that is good claims what is free; one that is not has what another has. */
	write_key("c.key", "c", 3, "10.9.0.4/24");
	write_key("d.key", "d", 4, "10.9.0.3/24");
	unlink(path_of("a.key"));
	reload(0, 2, NULL, "the same address as 'b.key'");
	assert_int_equal(peers(), 2);

	/* The one is not there, and the one that was to go is. */
	write_key("a.key", "a", 1, "10.9.0.2/24");
	unlink(path_of("c.key"));
	write_key("d.key", "d", 4, "10.9.0.2/24");
	reload(0, 2, NULL, "the same address as 'a.key'");
	write_key("d.key", "d", 4, "10.9.0.4/24");
	reload(0, 1, "1 0 0", NULL);
	write_key("e.key", "d", 5, "10.9.0.5/24");
	reload(0, 1, NULL, "the same name as 'd.key'");
}

static void claims_come_and_go(void **state)
{
	enum { KEYS = 400 };
	static struct keytext key[KEYS];
	static struct claimant claimant[KEYS];
	const struct claimant *other;
	struct claims claims = { 0 };
	bool made[KEYS] = { false };

	(void)state;
	srand(1);
	for (unsigned i = 0; i < KEYS; i++) {
		/* Two have each name and each address, not the same two. */
		snprintf(key[i].name, sizeof(key[i].name), "n%u", i / 2);
		key[i].address_count = 1;
		key[i].address[0].address = address_from_ipv4(
			(uint8_t[4]){ 10, 0, (uint8_t)((i + 1) / 2 >> 8), (uint8_t)((i + 1) / 2) });
		claimant[i] = (struct claimant){ .key = &key[i],
						 .psk = { { (uint8_t)i, (uint8_t)(i >> 8) } } };
	}
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand() % KEYS, namesake = i ^ 1;
		unsigned neighbour = i % 2 ? i + 1 : i - 1; /* with the same address */
		bool taken = made[namesake] || (neighbour < KEYS && made[neighbour]);

		if (made[i]) {
			claims_drop(&claims, &claimant[i]);
			made[i] = false;
			continue;
		}
		made[i] = claims_make(&claims, &claimant[i], &other) == NULL;
		assert_int_equal(made[i], !taken);
		if (!made[i])
			claims_drop(&claims, &claimant[i]);
	}
	for (unsigned i = 0; i < KEYS; i++)
		claims_drop(&claims, &claimant[i]);
	assert_int_equal(claims.used, 0);
	claims_close(&claims);
}

/* However short a bundle is cut, it is refused or is one of whole files. */
static void a_cut_bundle_is_refused(void **state)
{
	struct keyfile_complaint complaint;
	struct keybundle bundle, cut;
	unsigned whole = 0;

	(void)state;
	write_key("a.key", "a", 1, "10.9.0.2/24");
	write_key("b.key", "b", 2, "10.9.0.3/24");
	gather(KEYBUNDLE_ALL, &bundle);
	for (size_t bytes = 0; bytes <= bundle.bytes; bytes++) {
		struct keychange change;
		scoped_fd fd = memfd_create("cut", 0);
		int error;

		assert_int_equal(write(fd, bundle.text, bytes), (ssize_t)bytes);
		if (keybundle_receive(fd, folder, &cut) < 0)
			continue;
		error = keyring_compare(&keyring, &cut, &change, &complaint);
		if (error) {
			assert_int_equal(error, -EPROTO);
		} else {
			whole++;
			keychange_drop(&keyring, &change);
		}
		keybundle_release(&cut);
	}
	assert_int_equal(whole, 3); /* none, one, both */
	keybundle_release(&bundle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stamp_tells_apart),
		cmocka_unit_test_setup_teardown(only_what_is_new_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_young_is_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_refused_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_part_says_nothing_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_of_two_names_is_known_as_one, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_bundle_out_of_order_is_refused, set_up,
						tear_down),
		cmocka_unit_test(claims_come_and_go),
		cmocka_unit_test_setup_teardown(a_cut_bundle_is_refused, set_up, tear_down),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
