/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever is done to a key file is seen, in its own folder and by its own name; and what is not seen is
 * not said to be known. */
#include "keys/keywatch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct keywatch watch;

static const char *path_of(const char *file)
{
	static char path[2][128];
	static unsigned turn;

	snprintf(path[++turn % 2], sizeof(*path), "%s/%s", folder, file);
	return path[turn % 2];
}

static void write_file(const char *file, const char *text)
{
	int fd = open(path_of(file), O_WRONLY | O_CREAT, 0600);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int set_up(void **state)
{
	int error;

	(void)state;
	strcpy(folder, "/tmp/test_keywatch.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	write_file("a.key", "a");
	write_file("b.key", "b");
	error = keywatch_open(folder, &watch);
	if (error == -EOPNOTSUPP)
		print_message("[  NOTE  ] /tmp is of a kind that is not watched\n");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	keywatch_close(&watch);
	keywatch_close(&watch);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void need_watch(void)
{
	if (watch.fd < 0)
		skip();
}

/* All that was touched, in one line; and it is settled. */
static const char *touched(void)
{
	static char names[1024];

	*names = '\0';
	if (!keywatch_look(&watch))
		return "unknown";
	for (size_t i = 0; i < watch.count; i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? " " : "",
			 watch.file[i].name);
	keywatch_settle(&watch, watch.serial);
	return names;
}

static void whatever_is_done_to_a_file_is_seen(void **state)
{
	const struct timespec as_before[2] = { { 1000, 0 }, { 1000, 0 } };
	char *mapped;
	int fd;

	(void)state;
	need_watch();
	assert_string_equal(touched(), "");
	/* Twice in one tick of any clock. */
	for (int i = 0; i < 2; i++) {
		write_file("a.key", i ? "x" : "y");
		assert_string_equal(touched(), "a.key");
	}
	assert_int_equal(utimensat(AT_FDCWD, path_of("b.key"), as_before, 0), 0);
	assert_string_equal(touched(), "b.key");
	assert_int_equal(chmod(path_of("b.key"), 0400), 0);
	assert_string_equal(touched(), "b.key");
	write_file("c.key", "c");
	assert_int_equal(rename(path_of("c.key"), path_of("d.key")), 0);
	assert_string_equal(touched(), "c.key d.key");
	assert_int_equal(unlink(path_of("d.key")), 0);
	assert_string_equal(touched(), "d.key");
	assert_int_equal(link(path_of("a.key"), path_of("e.key")), 0);
	assert_string_equal(touched(), "e.key");

	/* Through memory: when it is let go of. */
	fd = open(path_of("a.key"), O_RDWR);
	mapped = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	assert_true(mapped != MAP_FAILED);
	touched();
	*mapped = 'z';
	munmap(mapped, 1);
	assert_string_equal(touched(), "a.key");
}

static void what_is_no_key_and_who_only_reads_is_not(void **state)
{
	char byte;
	int fd;

	(void)state;
	need_watch();
	write_file(".a.key.new", "a");
	write_file("notes", "n");
	fd = open(path_of("a.key"), O_RDONLY);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(fd);
	assert_string_equal(touched(), "");
	assert_int_equal(rename(path_of(".a.key.new"), path_of("a.key")), 0);
	assert_string_equal(touched(), "a.key");
}

/* What comes after somebody has asked is not settled with what he was told. */
static void what_comes_meanwhile_stays(void **state)
{
	uint64_t until;

	(void)state;
	need_watch();
	write_file("a.key", "1");
	write_file("b.key", "1");
	assert_true(keywatch_look(&watch));
	until = watch.serial;
	write_file("b.key", "2");
	assert_true(keywatch_look(&watch));
	keywatch_settle(&watch, until);
	assert_string_equal(touched(), "b.key");
	assert_string_equal(touched(), "");
}

static void too_many_are_not_known(void **state)
{
	uint64_t until;
	char name[32];

	(void)state;
	need_watch();
	for (unsigned i = 0; i <= KEYWATCH_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "%u.key", i);
		write_file(name, "x");
		if (i == KEYWATCH_FILES_MAX - 1)
			assert_true(keywatch_look(&watch));
	}
	assert_string_equal(touched(), "unknown");
	until = watch.serial;
	write_file("a.key", "2");
	assert_string_equal(touched(), "unknown");
	keywatch_settle(&watch, until);
	assert_string_equal(touched(), "a.key");
}

/* The kernel keeps only so many, and says when it has thrown some away. */
static void what_the_kernel_forgets_is_not_known(void **state)
{
	unsigned most = 0;
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

	(void)state;
	need_watch();
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%u", &most), 1);
	fclose(file);
	if (most > 100000)
		skip();
	/* Of two in a row that say the same it keeps one. */
	for (unsigned i = 0; i < most; i++)
		assert_int_equal(chmod(path_of(i % 2 ? "a.key" : "b.key"), 0600), 0);
	assert_string_equal(touched(), "a.key b.key");
	for (unsigned i = 0; i < most + 1; i++)
		assert_int_equal(chmod(path_of(i % 2 ? "a.key" : "b.key"), 0600), 0);
	assert_false(keywatch_look(&watch));
	keywatch_settle(&watch, watch.serial);
	assert_string_equal(touched(), "");
}

static void a_folder_that_is_gone_is_not_known(void **state)
{
	char moved[128];
	struct stat s;

	(void)state;
	need_watch();
	assert_int_equal(stat(folder, &s), 0);
	assert_true(watch.device == s.st_dev && watch.inode == s.st_ino);
	/* Under another name it is the same, and who asks finds that the one of its name is not. */
	snprintf(moved, sizeof(moved), "%s.moved", folder);
	assert_int_equal(rename(folder, moved), 0);
	assert_int_equal(rename(moved, folder), 0);
	assert_string_equal(touched(), "");
	assert_int_equal(unlink(path_of("a.key")), 0);
	assert_int_equal(unlink(path_of("b.key")), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_string_equal(touched(), "unknown");
	keywatch_settle(&watch, watch.serial);
	assert_string_equal(touched(), "unknown");
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_string_equal(touched(), "unknown");
}

static void what_cannot_be_watched_is_said(void **state)
{
	struct keywatch other;

	(void)state;
	assert_int_equal(keywatch_open("/nowhere", &other), -ENOENT);
	assert_false(keywatch_look(&other));
	assert_int_equal(keywatch_open(path_of("a.key"), &other), -ENOTDIR);
	assert_int_equal(keywatch_open("/proc", &other), -EOPNOTSUPP);
	assert_false(keywatch_look(&other));
	keywatch_settle(&other, UINT64_MAX);
	assert_false(keywatch_look(&other));
	keywatch_close(&other);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(whatever_is_done_to_a_file_is_seen),
		IN_A_FOLDER(what_is_no_key_and_who_only_reads_is_not),
		IN_A_FOLDER(what_comes_meanwhile_stays),
		IN_A_FOLDER(too_many_are_not_known),
		IN_A_FOLDER(what_the_kernel_forgets_is_not_known),
		IN_A_FOLDER(a_folder_that_is_gone_is_not_known),
		IN_A_FOLDER(what_cannot_be_watched_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
