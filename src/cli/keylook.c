/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/keylook.h"

#include "cli/apart.h"
#include "cli/firstrun.h"
#include "cli/say.h"
#include "keys/addresses.h"
#include "keys/keyfolder.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

/**
 * struct look - what the child is to do
 * @first_run: make the key, or ask for it, if there is none
 * @from_stdin: the client's key comes from there, and goes to @key_out
 */
struct look {
	enum role role;
	const struct config *config;
	bool first_run, from_stdin;
	int key_out;
};

static int say_complaint(const struct keyfile_complaint *complaint)
{
	char text[KEYFILE_COMPLAINT_BYTES];

	say("%s", keyfile_complaint_print(complaint, text));
	return EXIT_USAGE;
}

static bool is_folder(const char *path)
{
	struct stat s;

	return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static bool exists(const char *path)
{
	struct stat s;

	return lstat(path, &s) == 0;
}

/* Return: 0 if nobody has the address of another, or the exit status. */
static int check_addresses(const struct look *look, const struct keytext *keys, size_t count,
			   const struct key_facts *facts)
{
	struct prefix own[TUNNEL_ADDRESSES_MAX];
	struct complaint complaint;
	unsigned own_count;

	if (look->role != ROLE_SERVER)
		return 0;
	own_count = role_own_addresses(look->config, facts, own);
	for (size_t i = 0; i < count && own_count <= TUNNEL_ADDRESSES_MAX; i++) {
		if (addresses_leave_out(own, own_count, &keys[i], &complaint))
			continue;
		say("%s: %s", look->config->key, complaint.text);
		return EXIT_USAGE;
	}
	return 0;
}

static int look_at_folder(const struct look *look, struct key_facts *facts)
{
	struct keyfile_complaint complaint;
	struct keyfolder folder;
	int r = 0;

	if (keyfolder_read(look->config->key, &folder, &complaint) < 0)
		return say_complaint(&complaint);
	if (folder.count == 0 && look->first_run) {
		r = firstrun_server(look->config, look->config->key);
		if (r == 0 && keyfolder_read(look->config->key, &folder, &complaint) < 0)
			r = say_complaint(&complaint);
	} else if (folder.count == 0) {
		say("%s: has no file *.key, expected at least one (minivpn-keygen NAME --keys %s "
		    "makes one)",
		    look->config->key, look->config->key);
		r = EXIT_USAGE;
	}
	role_key_facts(folder.key, folder.count, facts);
	if (r == 0)
		r = check_addresses(look, folder.key, folder.count, facts);
	keyfolder_release(&folder);
	return r;
}

/* Hands the key on as the text of a key file; it fits into a pipe whole. */
static int pass_on(const struct keytext *key, int out)
{
	char *text = sodium_malloc(KEYTEXT_BYTES);
	ssize_t bytes, n;

	if (!text) {
		say("out of memory");
		return EXIT_FAILURE;
	}
	bytes = (ssize_t)keytext_print(key, text);
	n = write(out, text, (size_t)bytes);
	sodium_free(text);
	return n == bytes ? 0 : EXIT_FAILURE;
}

static int look_at_key(const struct look *look, struct key_facts *facts)
{
	struct keyfile_complaint complaint;
	struct keytext key = { 0 };
	int r;

	sodium_mlock(&key, sizeof(key));
	if (look->from_stdin)
		r = keyfile_read_from(STDIN_FILENO, "standard input", &key, &complaint);
	else
		r = keyfile_read(look->config->key, &key, &complaint);
	if (r < 0)
		r = say_complaint(&complaint);
	else if (look->from_stdin)
		r = pass_on(&key, look->key_out);
	if (r == 0) {
		role_key_facts(&key, 1, facts);
		r = check_addresses(look, &key, 1, facts);
	}
	sodium_munlock(&key, sizeof(key)); /* wipes too */
	return r;
}

static int do_look(void *context, void *result)
{
	const struct look *look = context;
	const char *path = look->config->key;
	int r = 0;

	if (sodium_init() < 0) {
		say("libsodium does not start");
		return EXIT_FAILURE;
	}
	if (look->first_run && !exists(path))
		r = look->role == ROLE_SERVER ? firstrun_server(look->config, path)
					      : firstrun_client(path);
	if (r)
		return r;
	if (look->role == ROLE_SERVER && is_folder(path))
		return look_at_folder(look, result);
	return look_at_key(look, result);
}

int keylook(enum role role, struct config *config, struct key_facts *ret_facts, int *ret_key_fd)
{
	struct look look = { .role = role, .config = config, .key_out = -1 };
	int ends[2] = { -1, -1 }, r;

	look.first_run = !*config->key;
	look.from_stdin = role == ROLE_CLIENT && strcmp(config->key, "-") == 0;
	if (look.first_run)
		strcpy(config->key, role == ROLE_SERVER ? ROLE_SERVER_KEYS : ROLE_CLIENT_KEY);
	if (look.from_stdin) {
		*config->key = '\0';
		if (pipe2(ends, O_CLOEXEC) < 0) {
			say("cannot make a pipe: %s", strerror(errno));
			return EXIT_FAILURE;
		}
		look.key_out = ends[1];
	}
	r = apart_run(do_look, &look, ret_facts, sizeof(*ret_facts));
	close_fd(&ends[1]);
	if (r) {
		close_fd(&ends[0]);
		return r;
	}
	*ret_key_fd = ends[0];
	return -1;
}
