/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	LARGE = 3000000, /* more than a socket takes at once */
	LIST_LAST = 100000,
	THINGS = 20000,
};

static char folder[64];
static struct loop loop;
static struct control control;
static unsigned answered, pieces;
static int was_passed; /* with the last request */

/* Numbers up to LIST_LAST, some at a time. */
static json_t *more(void *context, char cursor[CONTROL_CURSOR_BYTES])
{
	int at = *cursor ? atoi(cursor) : 0;
	json_t *some = json_array();

	assert_ptr_equal(context, &control);
	pieces++;
	for (int end = at + 7; at < end && at < LIST_LAST; at++)
		json_array_append_new(some, json_integer(at + 1));
	snprintf(cursor, CONTROL_CURSOR_BYTES, "%d", at);
	return some;
}

#define STRANGE "]},\"\\ ,\"things\":[ "

/* Things that are cut off everywhere by whatever size the pieces have that arrive. */
static json_t *more_things(void *context, char cursor[CONTROL_CURSOR_BYTES])
{
	int at = *cursor ? atoi(cursor) : 0;
	json_t *some = json_array();

	(void)context;
	for (int end = at + 7; at < end && at < THINGS; at++)
		json_array_append_new(some,
				      json_pack("{s:i, s:b, s:n, s:f, s:s, s:[i]}", "n", at, "b",
						at % 2, "z", "f", 1.5, "s", STRANGE, "l", -at));
	snprintf(cursor, CONTROL_CURSOR_BYTES, "%d", at);
	return some;
}

static json_t *none(void *context, char cursor[CONTROL_CURSOR_BYTES])
{
	(void)context;
	(void)cursor;
	return json_array();
}

static json_t *answer(void *context, const struct control_request *asked,
		      struct control_list *ret_list)
{
	const char *request = asked->word;
	char *large, byte = 0;
	json_t *object;

	assert_ptr_equal(context, &control);
	answered++;
	was_passed = asked->passed;
	if (strcmp(request, "small") == 0)
		return json_pack("{s:i}", "number", 7);
	if (strcmp(request, "owner") == 0)
		return asked->owner ? json_pack("{s:s}", "for", "owner") : control_denial();
	if (strcmp(request, "passed") == 0)
		return read(asked->passed, &byte, 1) == 1 ? json_pack("{s:i}", "byte", byte)
							  : json_pack("{s:s}", "error", "no byte");
	if (strcmp(request, "name") == 0)
		return json_pack("{s:s}", "name", asked->name ?: "none");
	if (strcmp(request, "list") == 0) {
		*ret_list = (struct control_list){ "numbers", more };
		return json_pack("{s:i}", "number", 7);
	}
	if (strcmp(request, "things") == 0 || strcmp(request, "none") == 0) {
		*ret_list = (struct control_list){ "things", *request == 't' ? more_things : none };
		return json_pack("{s:s}", "strange", STRANGE);
	}
	if (strcmp(request, "large") != 0)
		return NULL;
	large = malloc(LARGE + 1);
	memset(large, 'x', LARGE);
	large[LARGE] = '\0';
	object = json_pack("{s:s}", "text", large);
	free(large);
	return object;
}

static int start_for_group(gid_t group)
{
	sigset_t none;
	int listener;

	strcpy(folder, "/tmp/test_control.XXXXXX");
	sigemptyset(&none);
	answered = 0;
	return !mkdtemp(folder) || loop_open(&loop, &none) < 0 ||
	       control_listen(folder, group, &listener) < 0 ||
	       control_start(&control, listener, &loop, 5, answer, &control) < 0;
}

static int start(void **state)
{
	(void)state;
	return start_for_group(CONTROL_NO_GROUP);
}

static int stop(void **state)
{
	char path[128];

	(void)state;
	control_stop(&control);
	control_stop(&control);
	loop_close(&loop);
	snprintf(path, sizeof(path), "%s/control", folder);
	unlink(path);
	return rmdir(folder);
}

/* Serves until the child ends; returns its exit status. */
static int serve_until(pid_t child)
{
	struct loop_event events[LOOP_EVENTS_MAX];
	int status, n;

	while (waitpid(child, &status, WNOHANG) == 0) {
		usleep(1000);
		n = loop_poll(&loop, events);
		for (int i = 0; i < n; i++)
			control_serve(&control, &events[i]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct stat stat_socket(void)
{
	char path[128];
	struct stat s;

	snprintf(path, sizeof(path), "%s/control", folder);
	assert_int_equal(stat(path, &s), 0);
	return s;
}

static void the_socket_is_private(void **state)
{
	(void)state;
	assert_int_equal(stat_socket().st_mode & 07777, 0600);
}

static int ask_of(const char *request, const char *name, int passed, json_t **ret_reply)
{
	return control_ask(
		folder,
		&(struct control_request){ .word = request, .name = name, .passed = passed },
		ret_reply);
}

static int ask(const char *request, int passed, json_t **ret_reply)
{
	return ask_of(request, NULL, passed, ret_reply);
}

static void ask_for(const char *request, const char *member, const char *text)
{
	json_t *reply;
	pid_t child = fork();
	bool ok;

	if (child == 0) {
		ok = ask(request, -1, &reply) == 0 && json_object_get(reply, "minivpn") &&
		     json_object_get(reply, member) &&
		     (!text ||
		      strcmp(json_string_value(json_object_get(reply, member)), text) == 0);
		_exit(!ok);
	}
	assert_int_equal(serve_until(child), 0);
}

/* Ask as somebody, with a descriptor; returns 0 answered, 1 denied, 2 not even connected, 3 otherwise. */
static int ask_as(uid_t user, gid_t group, const gid_t *further, size_t count, const char *request)
{
	json_t *reply;
	pid_t child = fork();
	int r;

	if (child == 0) {
		int probe = socket(AF_UNIX, SOCK_STREAM, 0);
		struct sockaddr_un address = { .sun_family = AF_UNIX };

		if (setresuid(0, 0, 0) < 0 || setgroups(count, further) < 0 ||
		    setresgid(group, group, group) < 0 || setresuid(user, user, user) < 0)
			_exit(4);
		snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", folder);
		if (connect(probe, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(2);
		r = ask(request, probe, &reply);
		_exit(r == 0 ? 0 : r == -EACCES ? 1 : 3);
	}
	return serve_until(child);
}

static void a_group_may_ask_but_for_nothing_of_the_owners(void **state)
{
	enum { NOBODY = 65534, STAFF = 50, OTHERS = 51 };
	const gid_t further[] = { OTHERS, STAFF };

	(void)state;
	if (geteuid() != 0)
		skip();
	umask(077);
	assert_int_equal(start_for_group(STAFF), 0);
	assert_int_equal(getegid(), 0);
	assert_int_equal(stat_socket().st_mode & 07777, 0660);
	assert_int_equal(stat_socket().st_gid, STAFF);
	assert_int_equal(chmod(folder, 0755), 0);

	assert_int_equal(ask_as(NOBODY, STAFF, NULL, 0, "small"), 0);
	assert_int_equal(was_passed, -1);
	assert_int_equal(ask_as(NOBODY, NOBODY, further, 2, "small"), 0);
	assert_int_equal(ask_as(NOBODY, NOBODY, further, 1, "small"), 2);
	assert_int_equal(ask_as(NOBODY, STAFF, NULL, 0, "owner"), 1);
	assert_int_equal(ask_as(0, 0, NULL, 0, "owner"), 0);
	assert_true(was_passed >= 0);

	/* Whoever serves it has become somebody else, who is not its owner for that. */
	assert_int_equal(setresuid(NOBODY, NOBODY, 0), 0);
	assert_int_equal(ask_as(NOBODY, STAFF, NULL, 0, "small"), 0);
	assert_int_equal(ask_as(NOBODY, STAFF, NULL, 0, "owner"), 1);
	assert_int_equal(setresuid(0, 0, 0), 0);
	stop(NULL);

	start_for_group(CONTROL_NO_GROUP);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(ask_as(NOBODY, STAFF, further, 2, "small"), 2);
	stop(NULL);
}

static void requests_are_answered(void **state)
{
	(void)state;
	ask_for("small", "number", NULL);
	ask_for("small", "reply", "small");
	ask_for("nonsense", "error", "unknown request");
	ask_for("name", "name", "none");
	assert_int_equal(answered, 4);
}

static void a_reply_may_be_larger_than_the_socket(void **state)
{
	json_t *reply;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (ask("large", -1, &reply) < 0)
			_exit(1);
		_exit(json_string_length(json_object_get(reply, "text")) != LARGE);
	}
	assert_int_equal(serve_until(child), 0);
}

/* Whoever waits for something else is served between two pieces of a list. */
static void a_list_comes_in_pieces(void **state)
{
	struct loop_event events[LOOP_EVENTS_MAX];
	json_t *reply, *numbers;
	pid_t child = fork();
	unsigned most = 0;
	int status;

	(void)state;
	if (child == 0) {
		if (ask("list", -1, &reply) < 0 ||
		    json_integer_value(json_object_get(reply, "number")) != 7)
			_exit(1);
		numbers = json_object_get(reply, "numbers");
		for (size_t i = 0; i < LIST_LAST; i++)
			if (json_integer_value(json_array_get(numbers, i)) != (json_int_t)i + 1)
				_exit(2);
		_exit(json_array_size(numbers) != LIST_LAST);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		int n = loop_poll(&loop, events);

		for (int i = 0; i < n; i++) {
			unsigned before = pieces;

			control_serve(&control, &events[i]);
			most = pieces - before > most ? pieces - before : most;
		}
	}
	assert_int_equal(status, 0);
	assert_int_equal(pieces, LIST_LAST / 7 + 2);
	assert_int_equal(most, 1);
}

static bool are_things(const json_t *reply)
{
	const json_t *things = json_object_get(reply, "things");
	json_t *expected;
	bool same = json_array_size(things) == THINGS;

	for (int i = 0; same && i < THINGS; i++) {
		expected = json_pack("{s:i, s:b, s:n, s:f, s:s, s:[i]}", "n", i, "b", i % 2, "z",
				     "f", 1.5, "s", STRANGE, "l", -i);
		same = json_equal(json_array_get(things, (size_t)i), expected);
		json_decref(expected);
	}
	return same;
}

static void a_list_is_read_as_it_comes(void **state)
{
	json_t *reply, *things;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (ask("things", -1, &reply) < 0 || !are_things(reply))
			_exit(1);
		if (strcmp(json_string_value(json_object_get(reply, "strange")), STRANGE) != 0 ||
		    !json_object_get(reply, "minivpn"))
			_exit(2);
		if (ask("none", -1, &reply) < 0)
			_exit(3);
		things = json_object_get(reply, "things");
		_exit(!json_is_array(things) || json_array_size(things) != 0);
	}
	assert_int_equal(serve_until(child), 0);
}

/* Whoever answers may hang up at any place; @text is not whole, but for one. */
static int ask_one_who_says(const char *text, size_t bytes)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	char request[64];
	pid_t child;
	json_t *reply;
	int status;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", folder);
	unlink(address.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	child = fork();
	if (child == 0) {
		int r = ask("x", -1, &reply);

		_exit(r == 0 ? 0 : r == -EPROTO ? 1 : 2);
	}
	fd = accept(listener, NULL, NULL);
	assert_true(read(fd, request, sizeof(request)) > 0);
	assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
	close(fd);
	close(listener);
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static void half_a_reply_is_none(void **state)
{
	static const char whole[] = "{\"a\":1,\"list\":[ {\"b\":true},7]}";
	static const char *const wrong[] = { "{\"a\":1,\"list\":[ {\"b\":tru},7]}",
					     "{\"a\":1,\"list\":[ 7 8]}", "{\"a\",\"list\":[ 7]}",
					     "[1,\"list\":[ 7]]", "{\"a\":1,\"list\":[ 7]x" };

	(void)state;
	for (size_t bytes = 0; bytes < sizeof(whole) - 1; bytes++)
		assert_int_equal(ask_one_who_says(whole, bytes), 1);
	assert_int_equal(ask_one_who_says(whole, sizeof(whole) - 1), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(ask_one_who_says(wrong[i], strlen(wrong[i])), 1);
}

static void a_request_may_be_about_somebody(void **state)
{
	json_t *reply;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (ask_of("name", "b.o-b_7", -1, &reply) < 0)
			_exit(1);
		_exit(strcmp(json_string_value(json_object_get(reply, "name")), "b.o-b_7") != 0);
	}
	assert_int_equal(serve_until(child), 0);
}

static void a_descriptor_may_come_along(void **state)
{
	int ends[2];
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	child = fork();
	if (child == 0) {
		json_t *reply;

		if (ask("passed", ends[0], &reply) < 0)
			_exit(1);
		if (json_integer_value(json_object_get(reply, "byte")) != 'x')
			_exit(2);
		if (ask("passed", -1, &reply) < 0)
			_exit(3);
		_exit(!json_object_get(reply, "error") || json_object_get(reply, "reply"));
	}
	assert_int_equal(serve_until(child), 0);
	close(ends[0]);
	close(ends[1]);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		assert_int_equal(control.client[i].passed, -1);
}

static int connect_raw(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", folder);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(9);
	return fd;
}

static unsigned count_open(void)
{
	unsigned open = 0;

	for (int fd = 0; fd < 256; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	return open;
}

/* A request that brings two descriptors, of which only one can be meant. */
static int send_two(int to, const int fds[2])
{
	static char request[] = "{\"request\": \"passed\"}\n";
	struct iovec bytes = { request, sizeof(request) - 1 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} ancillary = { 0 };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = &ancillary,
				  .msg_controllen = CMSG_LEN(2 * sizeof(int)) };

	ancillary.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS,
					   .cmsg_len = CMSG_LEN(2 * sizeof(int)) };
	memcpy(CMSG_DATA(&ancillary.head), fds, 2 * sizeof(int));
	return sendmsg(to, &message, 0) < 0 ? -errno : 0;
}

static void of_two_descriptors_none_is_left_open(void **state)
{
	char reply[512];
	int ends[2];
	unsigned before;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	before = count_open();
	child = fork();
	if (child == 0) {
		int fd = connect_raw();

		_exit(send_two(fd, ends) < 0 || read(fd, reply, sizeof(reply)) <= 0);
	}
	assert_int_equal(serve_until(child), 0);
	assert_int_equal(count_open(), before);
	close(ends[0]);
	close(ends[1]);
}

static void nonsense_is_answered_and_bounded(void **state)
{
	static const char *const requests[] = { "\n", "{}\n", "[1]\n", "{\"request\": 1}\n",
						"{\"request\": \"small\"\n" };
	char reply[512], flood[CONTROL_REQUEST_BYTES + 100];
	pid_t child = fork();
	ssize_t n;
	int fd;

	(void)state;
	if (child == 0) {
		for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
			fd = connect_raw();
			if (write(fd, requests[i], strlen(requests[i])) < 0)
				_exit(1);
			n = read(fd, reply, sizeof(reply) - 1);
			reply[n > 0 ? n : 0] = '\0';
			if (!strstr(reply, "\"error\":\"expected"))
				_exit(2);
			if (read(fd, reply, sizeof(reply)) != 0)
				_exit(3); /* one reply, and the connection ends */
			close(fd);
		}
		memset(flood, ' ', sizeof(flood));
		fd = connect_raw();
		if (write(fd, flood, sizeof(flood)) < 0 || read(fd, reply, sizeof(reply)) <= 0)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(serve_until(child), 0);
	assert_int_equal(answered, 0);
}

static void silent_ones_do_not_keep_others_out(void **state)
{
	json_t *reply;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		for (int i = 0; i < 3 * CONTROL_CLIENTS_MAX; i++) {
			connect_raw();
			usleep(2000);
		}
		_exit(ask("small", -1, &reply) < 0);
	}
	assert_int_equal(serve_until(child), 0);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		assert_true(control.client[i].fd < 0 || control.client[i].serial > 10);
}

static void interrupted(int number)
{
	(void)number;
}

static void without_a_descriptor_whoever_connects_is_turned_away(void **state)
{
	struct loop_event events[LOOP_EVENTS_MAX];
	struct rlimit before, none;
	json_t *reply;
	pid_t child = fork();
	int next;

	(void)state;
	if (child == 0)
		_exit(ask("small", -1, &reply) == 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* All below the next that is free are in use. */
	next = dup(STDERR_FILENO);
	close(next);
	none = (struct rlimit){ (rlim_t)next, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(serve_until(child), 0);
	assert_int_equal(loop_poll(&loop, events), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	ask_for("small", "number", NULL);
}

static void who_is_interrupted_asks_on(void **state)
{
	const struct itimerval often = { { 0, 500 }, { 0, 500 } };
	json_t *reply;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		signal(SIGALRM, interrupted);
		setitimer(ITIMER_REAL, &often, NULL);
		_exit(ask("large", -1, &reply) < 0);
	}
	assert_int_equal(serve_until(child), 0);
}

/* Nothing more is to come from it, which can be read all the time. */
static void a_slow_reader_that_said_all_costs_nothing(void **state)
{
	static const char request[] = "{\"request\": \"large\"}\n";
	struct loop_event events[LOOP_EVENTS_MAX];
	unsigned rounds = 0;
	int fd = connect_raw(), n;

	(void)state;
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	while ((n = loop_poll(&loop, events)) > 0) {
		assert_true(++rounds < 100);
		for (int i = 0; i < n; i++)
			control_serve(&control, &events[i]);
	}
	assert_int_equal(answered, 1);
	close(fd);
	assert_int_equal(loop_poll(&loop, events), 1);
	control_serve(&control, &events[0]);
	assert_int_equal(control.client[0].fd, -1);
}

static void nothing_running_is_told(void **state)
{
	const struct control_request small = { .word = "small", .passed = -1 };
	json_t *reply;

	(void)state;
	assert_int_equal(control_ask("/nowhere", &small, &reply), -ENOENT);
}

int main(void)
{
#define WITH_CONTROL(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		WITH_CONTROL(the_socket_is_private),
		WITH_CONTROL(a_list_comes_in_pieces),
		cmocka_unit_test(a_group_may_ask_but_for_nothing_of_the_owners),
		WITH_CONTROL(requests_are_answered),
		WITH_CONTROL(a_reply_may_be_larger_than_the_socket),
		WITH_CONTROL(a_list_is_read_as_it_comes),
		WITH_CONTROL(half_a_reply_is_none),
		WITH_CONTROL(a_request_may_be_about_somebody),
		WITH_CONTROL(a_descriptor_may_come_along),
		WITH_CONTROL(of_two_descriptors_none_is_left_open),
		WITH_CONTROL(nonsense_is_answered_and_bounded),
		WITH_CONTROL(silent_ones_do_not_keep_others_out),
		WITH_CONTROL(without_a_descriptor_whoever_connects_is_turned_away),
		WITH_CONTROL(who_is_interrupted_asks_on),
		WITH_CONTROL(a_slow_reader_that_said_all_costs_nothing),
		cmocka_unit_test(nothing_running_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
