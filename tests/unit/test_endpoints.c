/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/minivpn-endpoints-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static struct endpoint endpoint(const char *remote, const char *local)
{
	struct endpoint e = { 0 };

	assert_true(endpoint_parse(remote, &e));
	assert_true(address_parse(local, &e.local));
	return e;
}

static void what_was_written_is_found(void **state)
{
	struct endpoint first = endpoint("192.0.2.1:40000", "198.51.100.1"), found;
	struct endpoint second = endpoint("[2001:db8::2]:1", "2001:db8::1"), none = { 0 };
	struct endpoints *file = endpoints_open(path);
	struct stat status;
	off_t bytes;

	(void)state;
	assert_non_null(file);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_false(endpoints_find(file, "laptop", &found));

	assert_int_equal(endpoints_put(file, "laptop", &first), 0);
	assert_int_equal(endpoints_put(file, "phone", &first), 0);
	assert_int_equal(endpoints_put(file, "phone", &second), 0);
	assert_int_equal(endpoints_put(file, "nowhere", &none), 0);
	endpoints_close(file); /* as it would be after kill -9: nothing is written at the end */

	file = endpoints_open(path);
	assert_true(endpoints_find(file, "phone", &found));
	assert_true(endpoint_equal(&found, &second));
	assert_true(endpoints_find(file, "laptop", &found));
	assert_true(endpoint_equal(&found, &first));
	assert_false(endpoints_find(file, "nowhere", &found));
	assert_false(endpoints_find(file, "lap", &found));

	/* Whose place is forgotten leaves a line to the next. */
	assert_int_equal(stat(path, &status), 0);
	bytes = status.st_size;
	assert_int_equal(endpoints_put(file, "laptop", &none), 0);
	assert_false(endpoints_find(file, "laptop", &found));
	assert_int_equal(endpoints_put(file, "tablet", &first), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, bytes);
	endpoints_close(file);
	file = endpoints_open(path);
	assert_false(endpoints_find(file, "laptop", &found));
	assert_true(endpoints_find(file, "phone", &found));
	assert_true(endpoint_equal(&found, &second));
	assert_true(endpoints_find(file, "tablet", &found));
	assert_true(endpoint_equal(&found, &first));
	endpoints_close(file);
}

static void nonsense_is_passed_over(void **state)
{
	struct endpoint found;
	struct endpoints *endpoints;
	FILE *file = fopen(path, "w");

	(void)state;
	fputs("laptop\nlaptop here there\nlaptop 192.0.2.1:99999 192.0.2.2\n"
	      "laptop 192.0.2.1:1 nowhere\n\n \nlaptop 192.0.2.1:77 192.0.2.2\n",
	      file);
	for (int i = 0; i < 1000; i++)
		fputs("x", file);
	fclose(file);
	endpoints = endpoints_open(path);
	assert_true(endpoints_find(endpoints, "laptop", &found));
	assert_int_equal(found.remote_port, 77);
	endpoints_close(endpoints);
}

static void many_are_found(void **state)
{
	struct endpoints *file = endpoints_open(path);
	struct endpoint endpoint_of = endpoint("192.0.2.1:1", "198.51.100.1"), found, none = { 0 };
	char name[32];

	(void)state;
	for (uint16_t i = 1; i <= 1000; i++) {
		snprintf(name, sizeof(name), "client-%u", i);
		endpoint_of.remote_port = i;
		assert_int_equal(endpoints_put(file, name, &endpoint_of), 0);
		if (i % 7 == 0) {
			snprintf(name, sizeof(name), "client-%u", i / 7 * 3);
			assert_int_equal(endpoints_put(file, name, &none), 0);
		}
	}
	endpoints_close(file);
	file = endpoints_open(path);
	for (uint16_t i = 1; i <= 1000; i++) {
		bool forgotten = i % 3 == 0 && i / 3 * 7 <= 1000;

		snprintf(name, sizeof(name), "client-%u", i);
		assert_int_equal(endpoints_find(file, name, &found), !forgotten);
		if (!forgotten)
			assert_int_equal(found.remote_port, i);
	}
	assert_false(endpoints_find(file, "client-1001", &found));
	endpoints_close(file);
}

static void who_was_not_asked_for_is_forgotten(void **state)
{
	struct endpoint place = endpoint("192.0.2.1:1", "198.51.100.1"), found;
	struct endpoints *file = endpoints_open(path);

	(void)state;
	endpoints_put(file, "old", &place);
	endpoints_put(file, "present", &place);
	endpoints_close(file);
	file = endpoints_open(path);
	assert_true(endpoints_find(file, "present", &found));
	endpoints_put(file, "new", &place);
	assert_int_equal(endpoints_tidy(file), 0);
	assert_false(endpoints_find(file, "old", &found));
	endpoints_put(file, "newer", &place);
	endpoints_close(file);
	file = endpoints_open(path);
	assert_true(endpoints_find(file, "present", &found));
	assert_true(endpoints_find(file, "new", &found));
	assert_true(endpoints_find(file, "newer", &found));
	assert_false(endpoints_find(file, "old", &found));
	endpoints_close(file);
}

static void a_link_is_not_followed(void **state)
{
	(void)state;
	assert_int_equal(symlink("/tmp/elsewhere", path), 0);
	assert_null(endpoints_open(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_written_is_found, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(nonsense_is_passed_over, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(many_are_found, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(who_was_not_asked_for_is_forgotten, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(a_link_is_not_followed, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
