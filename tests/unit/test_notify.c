/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Binds what systemd would; @name begins with '@' for an abstract one. */
static int manager(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strcpy(address.sun_path, name);
	if (*name == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	return fd;
}

static void states_arrive(void **state)
{
	char path[64], name[64], heard[64] = "";
	const char *const names[] = { path, name };
	int listening, fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/test_notify.%d", (int)getpid());
	snprintf(name, sizeof(name), "@test_notify.%d", (int)getpid());
	for (size_t i = 0; i < 2; i++) {
		listening = manager(names[i]);
		setenv("NOTIFY_SOCKET", names[i], 1);
		fd = notify_open();
		assert_true(fd >= 0);
		notify_send(fd, "READY=1\nSTATUS=up");
		assert_int_equal(recv(listening, heard, sizeof(heard) - 1, MSG_DONTWAIT), 17);
		assert_string_equal(heard, "READY=1\nSTATUS=up");
		close(fd);
		close(listening);
	}
	unlink(path);
}

static void without_a_manager_nothing_happens(void **state)
{
	static const char *const names[] = { "", "x", "relative", "/nowhere/at/all" };

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_open(), -1);
	notify_send(-1, "READY=1");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		assert_int_equal(notify_open(), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_arrive),
		cmocka_unit_test(without_a_manager_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
