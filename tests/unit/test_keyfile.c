/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/addresses.h"
#include "keys/keyfolder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[PATH_MAX];
static struct keyfile_complaint complaint;

static const char *in_folder(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_keyfile.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

/* In place of the C library's, whose effect only a loss of power would show: which file was at @path when its
 * folder was last synced; 0 for none. */
static ino_t synced;

int fsync(int fd)
{
	struct stat s, there;

	if (fstat(fd, &s) < 0)
		return -1;
	if (S_ISDIR(s.st_mode))
		synced = stat(path, &there) == 0 ? there.st_ino : 0;
	return 0;
}

static struct keytext key_named(const char *name, uint8_t byte)
{
	struct keytext key = { 0 };

	strcpy(key.name, name);
	memset(&key.psk, byte, sizeof(key.psk));
	return key;
}

static void what_is_written_reads_back(void **state)
{
	struct keytext key = key_named("a", 1), again;
	struct stat s;

	(void)state;
	umask(0);
	assert_int_equal(keyfile_write(in_folder("a.key"), &key, &complaint), 0);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 07777, 0600);
	assert_int_equal(keyfile_read(path, &again, &complaint), 0);
	assert_memory_equal(&key, &again, sizeof(key));
	/* never overwritten */
	assert_int_equal(keyfile_write(path, &key, &complaint), -EEXIST);
	assert_non_null(strstr(complaint.what.text, "exists already"));
}

static void unsafe_files_are_refused(void **state)
{
	struct keytext key = key_named("a", 1), again = key_named("untouched", 2);
	char shown[KEYFILE_COMPLAINT_BYTES], link[PATH_MAX];

	(void)state;
	assert_int_equal(keyfile_read(in_folder("a.key"), &again, &complaint), -ENOENT);
	assert_int_equal(keyfile_write(path, &key, &complaint), 0);
	for (mode_t bit = 1; bit <= 0040; bit <<= 1) {
		assert_int_equal(chmod(path, 0600 | bit), 0);
		assert_int_equal(keyfile_read(path, &again, &complaint), -EPERM);
	}
	assert_non_null(strstr(keyfile_complaint_print(&complaint, shown), "a.key: has mode 0640"));
	assert_int_equal(chmod(path, 0600), 0);

	strcpy(link, in_folder("link"));
	assert_int_equal(symlink(in_folder("a.key"), link), 0);
	assert_int_equal(keyfile_read(link, &again, &complaint), -ELOOP);
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_int_equal(keyfile_read(path, &again, &complaint), -EINVAL);
	assert_int_equal(keyfile_read(folder, &again, &complaint), -EINVAL);
	if (geteuid() == 0) {
		assert_int_equal(chown(in_folder("a.key"), 12345, -1), 0);
		assert_int_equal(keyfile_read(path, &again, &complaint), -EPERM);
		setenv("SUDO_UID", "12345", 1);
		assert_int_equal(keyfile_read(path, &again, &complaint), 0);
		setenv("SUDO_UID", "12346", 1);
		again = key_named("untouched", 2);
		assert_int_equal(keyfile_read(path, &again, &complaint), -EPERM);
		unsetenv("SUDO_UID");
	}
	assert_string_equal(again.name, "untouched");
}

static void write_raw(const char *name, const char *text, size_t bytes)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, bytes), bytes);
	close(fd);
}

static void sizes_are_bounded(void **state)
{
	static char text[KEYFILE_BYTES_MAX + 1];
	struct keytext again;

	(void)state;
	write_raw("empty", "", 0);
	assert_int_equal(keyfile_read(path, &again, &complaint), -EINVAL);
	assert_non_null(strstr(complaint.what.text, "is empty"));
	memset(text, '\n', sizeof(text));
	write_raw("large", text, sizeof(text));
	assert_int_equal(keyfile_read(path, &again, &complaint), -EFBIG);
	write_raw("comments", text, sizeof(text) - 1);
	assert_int_equal(keyfile_read(path, &again, &complaint), -EINVAL);
	assert_non_null(strstr(complaint.what.text, "no line 'name"));
}

/* Some editors put a mark before a text, which they do not show. */
static void a_byte_order_mark_is_no_part_of_it(void **state)
{
	struct keytext key = key_named("a", 1), again;
	char text[3 + KEYTEXT_BYTES] = "\xef\xbb\xbf";

	(void)state;
	write_raw("marked", text, 3 + keytext_print(&key, text + 3));
	assert_int_equal(keyfile_read(path, &again, &complaint), 0);
	assert_memory_equal(&key, &again, sizeof(key));
	write_raw("marked", text, 3);
	assert_int_equal(keyfile_read(path, &again, &complaint), -EINVAL);
	assert_non_null(strstr(complaint.what.text, "is empty"));
}

static void an_invite_is_read_from_a_pipe(void **state)
{
	struct keytext key = key_named("a", 1), again;
	char invite[INVITE_BYTES];
	int fds[2];

	(void)state;
	strcpy(key.endpoint.host, "192.0.2.1");
	for (int damaged = 0; damaged < 2; damaged++) {
		assert_int_equal(pipe(fds), 0);
		invite_print(&key, invite);
		assert_true(write(fds[1], invite, strlen(invite) - (size_t)damaged) > 0);
		assert_int_equal(write(fds[1], "\r\n", 2), 2);
		close(fds[1]);
		assert_int_equal(keyfile_read_from(fds[0], "standard input", &again, &complaint),
				 damaged ? -EINVAL : 0);
		close(fds[0]);
		assert_string_equal(again.name, "a");
	}
	assert_string_equal(complaint.path, "standard input");
	assert_non_null(strstr(complaint.what.text, "not copied whole"));
}

static void a_line_is_named(void **state)
{
	char shown[KEYFILE_COMPLAINT_BYTES];
	struct keytext again;

	(void)state;
	write_raw("a.key", "# x\nnaem = a\n", 13);
	assert_int_equal(keyfile_read(path, &again, &complaint), -EINVAL);
	assert_non_null(strstr(keyfile_complaint_print(&complaint, shown),
			       "a.key:2: 'naem' is unknown, expected name"));
}

static void folders_hold_different_keys(void **state)
{
	struct keytext a = key_named("a", 1), b = key_named("b", 2);
	struct keyfolder keys;

	(void)state;
	assert_true(interface_address_parse("10.0.0.2", &a.address[0]));
	a.address_count = 1;
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), 0);
	assert_int_equal(keys.count, 0);
	keyfolder_release(&keys);

	assert_int_equal(keyfile_write(in_folder("b.key"), &b, &complaint), 0);
	assert_int_equal(keyfile_write(in_folder("a.key"), &a, &complaint), 0);
	write_raw("README", "x", 1);
	write_raw(".hidden.key", "x", 1);
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), 0);
	assert_int_equal(keys.count, 2);
	assert_string_equal(keys.key[0].name, "a");
	assert_string_equal(keys.file[1], "b.key");
	keyfolder_release(&keys);

	b = key_named("c", 1);
	assert_int_equal(keyfile_write(in_folder("c.key"), &b, &complaint), 0);
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), -EINVAL);
	assert_non_null(strstr(complaint.what.text, "same key as 'a.key'"));
	unlink(path);
	b = key_named("b", 3);
	assert_int_equal(keyfile_write(in_folder("c.key"), &b, &complaint), 0);
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), -EINVAL);
	assert_non_null(strstr(complaint.what.text, "same name as 'b.key'"));
	unlink(path);
	b = key_named("c", 3);
	b.address[b.address_count++] = a.address[0];
	assert_int_equal(keyfile_write(in_folder("c.key"), &b, &complaint), 0);
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), -EINVAL);
	assert_non_null(strstr(complaint.path, "c.key"));
	assert_non_null(strstr(complaint.what.text, "same address as 'a.key'"));
}

/* Each of many keys has a thing of its own, but the last takes one from somewhere in the middle. */
static void what_two_of_many_have_in_common_is_found(void **state)
{
	enum { MANY = 300 };
	static const char *const things[] = { "key", "name", "address" };
	char name[KEY_NAME_BYTES], expected[64];
	struct keytext key;
	struct keyfolder keys;
	struct prefix network;

	(void)state;
	assert_true(prefix_parse("10.0.0.0/8", &network));
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "k%03u", i);
		key = key_named(name, 1);
		memcpy(&key.psk, &i, sizeof(i));
		key.address[key.address_count++] = network_host(&network, 2 + i);
		snprintf(name, sizeof(name), "k%03u.key", i);
		assert_int_equal(keyfile_write(in_folder(name), &key, &complaint), 0);
	}
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), 0);
	assert_int_equal(keys.count, MANY);
	for (unsigned thing = 0; thing < 3; thing++) {
		unsigned other = 50 + 77 * thing;

		key = key_named("last", 2);
		if (thing == 0)
			key.psk = keys.key[other].psk;
		else if (thing == 1)
			strcpy(key.name, keys.key[other].name);
		else
			key.address[key.address_count++] = keys.key[other].address[0];
		assert_int_equal(keyfile_write(in_folder("z.key"), &key, &complaint), 0);
		keyfolder_release(&keys);
		assert_int_equal(keyfolder_read(folder, &keys, &complaint), -EINVAL);
		snprintf(expected, sizeof(expected), "same %s as 'k%03u.key'", things[thing],
			 other);
		assert_non_null(strstr(complaint.what.text, expected));
		unlink(in_folder("z.key"));
		assert_int_equal(keyfolder_read(folder, &keys, &complaint), 0);
	}
	keyfolder_release(&keys);
}

static void unsafe_folders_are_refused(void **state)
{
	struct keyfolder keys;

	(void)state;
	assert_int_equal(chmod(folder, 0775), 0);
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), -EPERM);
	assert_non_null(strstr(complaint.what.text, "has mode 0775, expected 0700"));
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(keyfolder_read(folder, &keys, &complaint), 0);
	keyfolder_release(&keys);
	if (geteuid() == 0) {
		assert_int_equal(chown(folder, 12345, -1), 0);
		unsetenv("SUDO_UID");
		assert_int_equal(keyfolder_read(folder, &keys, &complaint), -EPERM);
	}
}

/* Otherwise the client could be left with a key that the server has forgotten, or the server with one that was
 * to be forgotten. */
static void what_was_done_outlives_a_loss_of_power(void **state)
{
	struct keytext key = key_named("a", 1);
	struct stat s;

	(void)state;
	assert_int_equal(keyfile_write(in_folder("a.key"), &key, &complaint), 0);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(synced, s.st_ino);

	key = key_named("a", 2);
	assert_int_equal(keyfile_replace(path, &key, &complaint), 0);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(synced, s.st_ino);

	assert_int_equal(keyfile_remove(path, &complaint), 0);
	assert_int_equal(stat(path, &s), -1);
	assert_int_equal(synced, 0);
	assert_int_equal(keyfile_remove(path, &complaint), -ENOENT);
	assert_string_equal(complaint.path, path);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(what_is_written_reads_back),
		IN_FOLDER(unsafe_files_are_refused),
		IN_FOLDER(sizes_are_bounded),
		IN_FOLDER(a_line_is_named),
		IN_FOLDER(folders_hold_different_keys),
		IN_FOLDER(a_byte_order_mark_is_no_part_of_it),
		IN_FOLDER(an_invite_is_read_from_a_pipe),
		IN_FOLDER(what_two_of_many_have_in_common_is_found),
		IN_FOLDER(unsafe_folders_are_refused),
		IN_FOLDER(what_was_done_outlives_a_loss_of_power),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
