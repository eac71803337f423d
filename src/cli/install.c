/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/install.h"

#include "cli/keylook.h"
#include "cli/say.h"
#include "cli/systemd.h"
#include "conf/role.h"
#include "scope.h"
#include "unit_template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whatever begins so was made here, and may be replaced and removed here. */
static const char mark[] = "# Made by minivpn ";

/**
 * struct places - where things are, for one role
 * @root:    in front of every path; empty for this system
 * @unit:    the unit's name
 * @file:    the unit's file as systemd will find it, without @root
 * @link:    what makes it start at boot
 * @config:  the configuration that the unit starts with
 * @packaged: did the unit's file come with the program's installation?
 */
struct places {
	const char *root;
	const char *role;
	char unit[32];
	char file[PATH_MAX];
	char link[PATH_MAX];
	char config[PATH_MAX];
	bool packaged;
};

/* Prints a path with the root in front of it, into a buffer that lives to the end of the block. */
#define rooted(places, path) print_rooted((places), (path), (char[2 * PATH_MAX]){ 0 })

static const char *print_rooted(const struct places *p, const char *path, char *room)
{
	snprintf(room, (size_t)2 * PATH_MAX, "%s%s", p->root, path);
	return room;
}

static void find_places(const struct config *config, enum role role, struct places *p)
{
	static const char *const vendor[] = { "/usr/local/lib/systemd/system",
					      "/usr/lib/systemd/system", "/lib/systemd/system" };

	*p = (struct places){ .root = config->root,
			      .role = role == ROLE_SERVER ? "server" : "client" };
	snprintf(p->unit, sizeof(p->unit), "minivpn-%s.service", p->role);
	snprintf(p->link, sizeof(p->link), "/etc/systemd/system/multi-user.target.wants/%s",
		 p->unit);
	snprintf(p->config, sizeof(p->config), "%s",
		 role == ROLE_SERVER ? ROLE_SERVER_CONFIG : ROLE_CLIENT_CONFIG);
	for (size_t i = 0; i < sizeof(vendor) / sizeof(*vendor) && !p->packaged; i++) {
		snprintf(p->file, sizeof(p->file), "%s/%s", vendor[i], p->unit);
		p->packaged = access(rooted(p, p->file), R_OK) == 0;
	}
	if (!p->packaged)
		snprintf(p->file, sizeof(p->file), "/etc/systemd/system/%s", p->unit);
}

/* ---- Files that are ours ---- */

enum ownership { ABSENT, OURS, FOREIGN };

static enum ownership owner_of(const char *path)
{
	scoped_file file = fopen(path, "re");
	char begin[sizeof(mark)] = "";

	if (!file)
		return errno == ENOENT ? ABSENT : FOREIGN;
	if (!fgets(begin, sizeof(begin), file))
		return FOREIGN;
	return strcmp(begin, mark) == 0 ? OURS : FOREIGN;
}

static int make_folders_above(const char *path)
{
	char folder[2 * PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST) {
			say("the folder %s cannot be made: %s", folder, strerror(errno));
			return EXIT_FAILURE;
		}
		*slash = '/';
	}
	return 0;
}

/* Writes a text to @path, by way of a file beside it, so that there is never half of one. */
static int replace_file(const char *path, const char *text)
{
	char beside[2 * PATH_MAX + 8];
	scoped_fd fd = -1;

	if (make_folders_above(path))
		return EXIT_FAILURE;
	snprintf(beside, sizeof(beside), "%s.new", path);
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0 ||
	    rename(beside, path) < 0) {
		say("%s cannot be written: %s", path, strerror(errno));
		unlink(beside);
		return EXIT_FAILURE;
	}
	say("wrote %s", path);
	return 0;
}

static int refuse_foreign(const char *path)
{
	say("%s exists and was not made by --install: move it away, or use it with --config", path);
	return EXIT_USAGE;
}

/* ---- What is in them ---- */

static void print_mark(const char *role, FILE *out)
{
	fprintf(out, "%s%s --install, which replaces it; --uninstall removes it.\n", mark, role);
}

/* A path as systemd reads one at the beginning of a command: in quotes where they are needed, and '%' begins
 * one of its specifiers. */
static void print_command(const char *path, FILE *out)
{
	const char *quote = strpbrk(path, " \t;") ? "\"" : "";

	fputs(quote, out);
	for (const char *c = path; *c; c++) {
		if (*c == '%')
			fputc('%', out);
		fputc(*c, out);
	}
	fputs(quote, out);
}

/* The template with @role@ and @program@ filled in. */
static char *unit_text(const char *role, const char *program)
{
	const char *at = unit_template, *next;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	print_mark(role, out);
	for (; (next = strchr(at, '@')); at = next) {
		fwrite(at, 1, (size_t)(next - at), out);
		if (strncmp(next, "@role@", 6) == 0) {
			fputs(role, out);
			next += 6;
		} else if (strncmp(next, "@program@", 9) == 0) {
			print_command(program, out);
			next += 9;
		} else {
			fputc(*next++, out);
		}
	}
	fputs(at, out);
	return fclose(out) == 0 ? text : NULL;
}

static char *config_text(const struct config *config, enum role role, const char *role_name)
{
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (!out)
		return NULL;
	print_mark(role_name, out);
	config_print(config, role, out);
	return fclose(out) == 0 ? text : NULL;
}

static int write_unit(const struct places *p)
{
	scoped_memory char *text = NULL;
	char program[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0) {
		say("/proc/self/exe cannot be read: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	program[n] = '\0';
	if (strpbrk(program, "\"'\\")) {
		say("%s: systemd runs nothing from a path with quotes or backslashes", program);
		return EXIT_FAILURE;
	}
	if (owner_of(rooted(p, p->file)) == FOREIGN)
		return refuse_foreign(rooted(p, p->file));
	text = unit_text(p->role, program);
	return text ? replace_file(rooted(p, p->file), text) : EXIT_FAILURE;
}

static int write_config(const struct places *p, const struct config *config, enum role role)
{
	scoped_memory char *text = config_text(config, role, p->role);

	return text ? replace_file(rooted(p, p->config), text) : EXIT_FAILURE;
}

static int make_link(const struct places *p)
{
	const char *link = rooted(p, p->link);

	if (make_folders_above(link))
		return EXIT_FAILURE;
	unlink(link);
	if (symlink(p->file, link) < 0) {
		say("%s cannot be made: %s", link, strerror(errno));
		return EXIT_FAILURE;
	}
	say("linked %s: it starts at every boot", link);
	return 0;
}

/* ---- Doing it ---- */

static int tell_systemd(const struct places *p, int (*verb)(const char *unit), const char *by_hand)
{
	int r;

	if (*p->root)
		return 0;
	if (!systemd_runs()) {
		say("systemd does not run here: nothing was %s now", by_hand);
		return 0;
	}
	r = verb == systemd_stop_unit ? verb(p->unit) : systemd_reload();
	if (r == 0)
		r = verb == systemd_stop_unit ? systemd_reload() : verb(p->unit);
	if (r == 0) {
		say("%s is %s (journalctl -u %s)", p->unit, by_hand, p->unit);
		return 0;
	}
	say("systemd cannot be asked (%s): systemctl daemon-reload, then systemctl %s %s",
	    strerror(-r), verb == systemd_stop_unit ? "stop" : "restart", p->unit);
	return EXIT_FAILURE;
}

/* A unit has no terminal, another working directory, and nobody who has called sudo: keys are looked at as it
 * will, and if need be made or asked for, now, and found by their whole path. */
static int settle_key(struct config *config, enum role role)
{
	struct key_facts facts;
	struct complaint complaint;
	struct tunnel ignored;
	char whole[PATH_MAX];
	int key_fd = -1, r;

	if (strcmp(config->key, "-") == 0) {
		say("--install needs a key that stays: run `minivpn client --install` and paste "
		    "the "
		    "invite, or give a key file");
		return EXIT_USAGE;
	}
	unsetenv("SUDO_UID"); /* see keyfile_owner_is_trusted() */
	r = keylook(role, config, &facts, &key_fd);
	if (r >= 0)
		return r;
	if (!role_tunnel(config, role, &facts, key_fd, &ignored, &complaint)) {
		say("%s", complaint.text);
		return EXIT_USAGE;
	}
	if (!realpath(config->key, whole) || strlen(whole) >= sizeof(config->key)) {
		say("%s: its whole path cannot be told", config->key);
		return EXIT_USAGE;
	}
	strcpy(config->key, whole);
	return 0;
}

static int do_install(struct config *config, enum role role, const struct places *p)
{
	int r = 0;

	if (owner_of(rooted(p, p->config)) == FOREIGN)
		return refuse_foreign(rooted(p, p->config));
	if (!*p->root)
		r = settle_key(config, role);
	else if (!*config->key)
		strcpy(config->key, role == ROLE_SERVER ? ROLE_SERVER_KEYS : ROLE_CLIENT_KEY);
	if (r == 0 && !p->packaged)
		r = write_unit(p);
	if (r == 0)
		r = write_config(p, config, role);
	if (r == 0)
		r = make_link(p);
	return r == 0 ? tell_systemd(p, systemd_start_unit, "started") : r;
}

static int remove_ours(const char *path, bool *removed_any)
{
	if (owner_of(path) != OURS)
		return 0;
	if (unlink(path) < 0) {
		say("%s cannot be removed: %s", path, strerror(errno));
		return EXIT_FAILURE;
	}
	say("removed %s", path);
	*removed_any = true;
	return 0;
}

static int do_uninstall(const struct places *p)
{
	char own[PATH_MAX];
	bool any = false;
	int r;

	snprintf(own, sizeof(own), "/etc/systemd/system/%s", p->unit);
	if (access(rooted(p, p->link), F_OK) == 0 || owner_of(rooted(p, own)) == OURS)
		tell_systemd(p, systemd_stop_unit, "stopped");
	if (unlink(rooted(p, p->link)) == 0) {
		say("removed %s", rooted(p, p->link));
		any = true;
	}
	r = remove_ours(rooted(p, own), &any);
	if (r == 0)
		r = remove_ours(rooted(p, p->config), &any);
	if (r == 0)
		say(any ? "keys stay where they are" : "nothing was installed");
	return r;
}

int install(struct config *config, enum role role)
{
	struct places places;

	if (!*config->root && geteuid() != 0) {
		say("needs the rights of root, to change /etc: run it with sudo");
		return EXIT_FAILURE;
	}
	find_places(config, role, &places);
	return config->install ? do_install(config, role, &places) : do_uninstall(&places);
}
