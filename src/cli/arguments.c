/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/arguments.h"

#include "cli/say.h"
#include "keys/keytext.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

enum { FLAGS_MAX = 40, FIRST_LONG = 256, HELP = 'h' };

static unsigned role_bit(enum role role)
{
	return role == ROLE_SERVER ? FOR_SERVER : FOR_CLIENT;
}

static bool is_flag(const struct setting *s, enum role role)
{
	return s->scope & AS_FLAG && s->scope & role_bit(role);
}

/* getopt_long()'s two lists, made from the table.  A setting's value is its letter, or where there is
 * none its place in the table beyond all letters. */
static void list_flags(enum role role, struct option *ret_long, char *ret_short)
{
	const struct setting *all = config_settings();

	*ret_short++ = ':'; /* a missing argument is told apart from an unknown flag */
	for (const struct setting *s = all; s->name; s++) {
		if (!is_flag(s, role))
			continue;
		*ret_long++ =
			(struct option){ s->name, s->argument ? required_argument : no_argument,
					 NULL,
					 s->letter ? s->letter : FIRST_LONG + (int)(s - all) };
		if (s->letter)
			*ret_short++ = s->letter;
		if (s->letter && s->argument)
			*ret_short++ = ':';
	}
	*ret_long++ = (struct option){ "help", no_argument, NULL, HELP };
	*ret_long = (struct option){ 0 };
	*ret_short++ = HELP;
	*ret_short = '\0';
}

static const struct setting *setting_of(int value, enum role role)
{
	const struct setting *all = config_settings();

	for (const struct setting *s = all; s->name; s++)
		if (is_flag(s, role) &&
		    (value == FIRST_LONG + (int)(s - all) || (s->letter && value == s->letter)))
			return s;
	return NULL;
}

static void print_help(enum role role)
{
	if (role == ROLE_SERVER)
		fputs("usage: minivpn server [options] [KEY|DIR]\n"
		      "Serves the clients whose key files are given, one or a folder of them\n"
		      "(/etc/minivpn/keys, made with a first key if it is not there).\n",
		      stdout);
	else
		fputs("usage: minivpn client [options] [KEY|-] [HOST[:PORT]]\n"
		      "Connects by a key file (/etc/minivpn/client.key; if it is not there, the "
		      "invite\n"
		      "line is asked for and kept in it), or by an invite read from standard input "
		      "(-).\n",
		      stdout);
	config_help(role, stdout);
}

/* A letter that is none stands in optopt; so does a flag that is one, but takes no value (getopt(3)). */
static int refuse_flag(int value, enum role role, char *argv[])
{
	const char *command = role == ROLE_SERVER ? "server" : "client", *found = argv[optind - 1];

	if (value == ':')
		say("%s: found nothing behind it, expected a value", found);
	else if (setting_of(optopt, role) || optopt == HELP)
		say("%s: found a value, expected none", found);
	else if (optopt)
		say("-%c: no such option (minivpn %s --help)", optopt, command);
	else
		say("%s: no such option (minivpn %s --help)", found, command);
	return EXIT_USAGE;
}

static int read_flags(int argc, char *argv[], enum role role, struct config *config)
{
	struct option longs[FLAGS_MAX];
	char shorts[2 * FLAGS_MAX];
	struct complaint complaint;
	const struct setting *s;
	int value;

	list_flags(role, longs, shorts);
	opterr = 0;
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (value == HELP) {
			print_help(role);
			return EXIT_SUCCESS;
		}
		s = setting_of(value, role);
		if (!s)
			return refuse_flag(value, role, argv);
		if (!config_set(config, s, optarg, &complaint)) {
			say("--%s", complaint.text);
			return EXIT_USAGE;
		}
	}
	return -1;
}

/* An invite on the command line has been seen by everybody who runs ps. */
static int refuse_invite(void)
{
	say("an invite does not belong on the command line, where ps and the shell's history keep "
	    "it: run `minivpn client` and paste it when asked, or pipe it into `minivpn client -`");
	return EXIT_USAGE;
}

static int read_operand(const char *name, const char *value, enum role role, struct config *config)
{
	struct complaint complaint;

	if (!config_set(config, config_setting(name, role), value, &complaint)) {
		say("%s", complaint.text);
		return EXIT_USAGE;
	}
	return -1;
}

static int read_operands(int count, char *operand[], enum role role, struct config *config)
{
	int most = role == ROLE_SERVER ? 1 : 2, r = -1;

	for (int i = 0; i < count; i++)
		if (invite_looks_like(operand[i]))
			return refuse_invite();
	if (count > most) {
		say("found '%s', expected no more than %s", operand[most],
		    role == ROLE_SERVER ? "one KEY or DIR" : "KEY and HOST[:PORT]");
		return EXIT_USAGE;
	}
	if (count > 0)
		r = read_operand("key", operand[0], role, config);
	if (r < 0 && count > 1)
		r = read_operand("remote", operand[1], role, config);
	return r;
}

/* ---- The file ---- */

static ssize_t read_whole(int fd, char *room, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size && (n = read(fd, room + have, size - have)) != 0) {
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			have += (size_t)n;
	}
	return (ssize_t)have;
}

static int parse_file(const char *path, const char *text, enum role role, struct config *config)
{
	struct complaint complaint;

	if (config_parse(text, role, config, &complaint))
		return -1;
	if (complaint.line)
		say("%s:%u: %s", path, complaint.line, complaint.text);
	else
		say("%s: %s", path, complaint.text);
	return EXIT_USAGE;
}

static int read_file(const char *path, enum role role, struct config *config)
{
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	scoped_memory char *text = calloc(1, CONFIG_FILE_BYTES_MAX + 2);
	struct stat s;
	ssize_t bytes;

	if (fd < 0 || fstat(fd, &s) < 0) {
		say("--config: '%s' cannot be opened: %s", path, strerror(errno));
		return EXIT_USAGE;
	}
	if (!S_ISREG(s.st_mode)) {
		say("--config: '%s' is not a file", path);
		return EXIT_USAGE;
	}
	bytes = text ? read_whole(fd, text, CONFIG_FILE_BYTES_MAX + 1) : -1;
	if (bytes < 0) {
		say("--config: '%s' cannot be read: %s", path, strerror(errno));
		return EXIT_FAILURE;
	}
	if (strlen(text) != (size_t)bytes) {
		say("%s: is not text: it has a zero byte", path);
		return EXIT_USAGE;
	}
	return parse_file(path, text, role, config);
}

int arguments_read(int argc, char *argv[], enum role role, struct config *ret_config)
{
	struct config config, flags;
	struct complaint complaint;
	int r;

	config_init(&config, role);
	config_init(&flags, role);
	r = read_flags(argc, argv, role, &flags);
	if (r < 0)
		r = read_operands(argc - optind, argv + optind, role, &flags);
	if (r < 0 && *flags.config_file)
		r = read_file(flags.config_file, role, &config);
	if (r >= 0)
		return r;
	config_override(&config, &flags);
	if (!config_check(&config, role, &complaint)) {
		say("%s", complaint.text);
		return EXIT_USAGE;
	}
	*ret_config = config;
	return -1;
}
