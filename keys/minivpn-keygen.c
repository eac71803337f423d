/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * minivpn-keygen: makes the key file of one client, and shows what a key file says.
 *
 * The secret goes to a file that only its owner can read, or down a pipe; to a terminal only as an
 * invite that was asked for.
 */
#include "keys/addresses.h"
#include "keys/keyfolder.h"
#include "scope.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
	"usage: minivpn-keygen NAME [options] > NAME.key\n"
	"       minivpn-keygen --show [--invite] FILE\n"
	"\n"
	"Makes a new key for the client NAME.\n"
	"\n"
	"  -e, --endpoint HOST[:PORT]    where the client finds the server\n"
	"  -a, --address ADDR[,ADDR6]    the client's addresses in the tunnel (chosen if not "
	"given)\n"
	"  -o, --out FILE                write to FILE instead of standard output\n"
	"  -k, --keys DIR                add DIR/NAME.key, with the next free address there\n"
	"  -s, --show                    print what FILE says, but not its secret\n"
	"  -I, --invite                  with --show: print the invite line instead (secret!)\n"
	"  -h, --help                    this text\n"
	"  -V, --version                 version\n";

static const struct option flags[] = {
	{ "endpoint", required_argument, NULL, 'e' },
	{ "address", required_argument, NULL, 'a' },
	{ "out", required_argument, NULL, 'o' },
	{ "keys", required_argument, NULL, 'k' },
	{ "show", no_argument, NULL, 's' },
	{ "invite", no_argument, NULL, 'I' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

/* What was asked for. */
struct wishes {
	const char *endpoint, *address, *out, *keys;
	const char *operand; /* NAME, or FILE with --show */
	bool show, invite;
};

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list arguments;

	fputs("minivpn-keygen: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void say_complaint(const struct keyfile_complaint *complaint)
{
	char text[KEYFILE_COMPLAINT_BYTES];

	say("%s", keyfile_complaint_print(complaint, text));
}

/* ---- Where a secret may go ---- */

/*
 * Standard output as `> FILE` opens it is readable by everybody (umask 022), so that an empty file
 * of ours is made private before anything is written; one that others can read, or that holds
 * something already, is refused.
 */
static int make_output_private(bool to_person, const char *what)
{
	struct stat s;

	if (isatty(STDOUT_FILENO)) {
		if (to_person)
			return 0;
		say("standard output is a terminal, where a key does not belong: add > %s.key, or "
		    "--out %s.key",
		    what, what);
		return EXIT_USAGE;
	}
	if (fstat(STDOUT_FILENO, &s) < 0) {
		say("standard output: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	if (!S_ISREG(s.st_mode))
		return 0;
	if (s.st_uid == geteuid() && s.st_size == 0 && fchmod(STDOUT_FILENO, 0600) == 0)
		return 0;
	say("standard output is a file %s: give a new file, or use --out",
	    s.st_size > 0 ? "that holds something already" : "of another user");
	return EXIT_USAGE;
}

/* By write(2), not through stdio, whose buffer would keep a copy. */
static int put_secret(const char *text, size_t bytes)
{
	ssize_t n;

	while (bytes > 0) {
		n = write(STDOUT_FILENO, text, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			say("standard output: %s", strerror(errno));
			return EXIT_FAILURE;
		}
		text += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* ---- Showing ---- */

static void print_prefixes(const char *name, const struct prefix *p, unsigned n)
{
	char text[PREFIX_TEXT_BYTES];

	for (unsigned i = 0; i < n; i++)
		printf("%s%s", i == 0 ? name : ", ", prefix_print(&p[i], text));
	if (n > 0)
		putchar('\n');
}

static int show_invite(const struct keytext *key, const char *file)
{
	char *line;
	size_t bytes;
	int r;

	if (!*key->endpoint.host) {
		say("%s: has no endpoint, and an invite needs one: add a line 'endpoint = HOST'",
		    file);
		return EXIT_USAGE;
	}
	r = make_output_private(true, key->name);
	if (r)
		return r;
	line = sodium_malloc(INVITE_BYTES);
	if (!line) {
		say("out of memory");
		return EXIT_FAILURE;
	}
	bytes = invite_print(key, line);
	line[bytes++] = '\n';
	r = put_secret(line, bytes);
	sodium_free(line);
	return r;
}

static int show(const struct wishes *w, struct keytext *key)
{
	char fingerprint[FINGERPRINT_BYTES], endpoint[HOSTPORT_BYTES];
	struct keyfile_complaint complaint;

	if (keyfile_read(w->operand, key, &complaint) < 0) {
		say_complaint(&complaint);
		return EXIT_USAGE;
	}
	if (w->invite)
		return show_invite(key, w->operand);
	printf("name         %s\n", key->name);
	printf("fingerprint  %s\n", psk_fingerprint(&key->psk, fingerprint));
	if (*key->endpoint.host)
		printf("endpoint     %s\n", hostport_print(&key->endpoint, endpoint));
	print_prefixes("address      ", key->address, key->address_count);
	print_prefixes("networks     ", key->network, key->network_count);
	return fflush(stdout) == 0 ? 0 : EXIT_FAILURE;
}

/* ---- Making ---- */

/* Name and options into @key, before anything is drawn or touched. */
static int fill(const struct wishes *w, struct keytext *key)
{
	struct complaint complaint;
	const char *wrong;

	if (!key_name_is_valid(w->operand)) {
		say("NAME: found '%s', expected %s", w->operand, key_name_rule());
		return EXIT_USAGE;
	}
	strcpy(key->name, w->operand);
	if (w->endpoint && !hostport_parse(w->endpoint, &key->endpoint, &wrong)) {
		say("--endpoint: found '%s': %s", w->endpoint, wrong);
		return EXIT_USAGE;
	}
	if (w->address && !addresses_parse(w->address, key, &complaint)) {
		say("--address: %s", complaint.text);
		return EXIT_USAGE;
	}
	randombytes_buf(&key->psk, sizeof(key->psk));
	return 0;
}

static int write_file(const char *path, const struct keytext *key)
{
	struct keyfile_complaint complaint;
	char fingerprint[FINGERPRINT_BYTES];
	int r = keyfile_write(path, key, &complaint);

	if (r < 0) {
		say_complaint(&complaint);
		return r == -EEXIST ? EXIT_USAGE : EXIT_FAILURE;
	}
	say("wrote %s, fingerprint %s", path, psk_fingerprint(&key->psk, fingerprint));
	return 0;
}

/* What the keys already there can tell a new one: where the server is, which networks it has. */
static int complete_from(const struct keyfolder *folder, const char *path, struct keytext *key)
{
	uint8_t random[NETWORK_RANDOM_BYTES];

	for (size_t i = 0; i < folder->count && !*key->endpoint.host; i++)
		key->endpoint = folder->key[i].endpoint;
	if (key->address_count > 0)
		return 0;
	randombytes_buf(random, sizeof(random));
	if (keyfolder_address(folder, random, key) < 0) {
		say("--keys: no address is free in the networks of %s", path);
		return EXIT_FAILURE;
	}
	return 0;
}

static int make_in_folder(const struct wishes *w, struct keytext *key)
{
	struct keyfile_complaint complaint;
	struct keyfolder folder = { 0 };
	char file[PATH_MAX];
	scoped_fd lock = keyfolder_open(w->keys, &complaint);
	int r;

	if (lock < 0 || keyfolder_read(w->keys, &folder, &complaint) < 0) {
		say_complaint(&complaint);
		return EXIT_USAGE;
	}
	r = complete_from(&folder, w->keys, key);
	keyfolder_release(&folder);
	if (r)
		return r;
	if (snprintf(file, sizeof(file), "%s/%s.key", w->keys, key->name) >= (int)sizeof(file)) {
		say("--keys: the path is too long");
		return EXIT_USAGE;
	}
	return write_file(file, key);
}

static int make(const struct wishes *w, struct keytext *key)
{
	static const struct keyfolder none;
	char *text;
	int r = fill(w, key);

	if (r)
		return r;
	if (w->keys)
		return make_in_folder(w, key);
	r = complete_from(&none, "", key);
	if (r)
		return r;
	if (w->out)
		return write_file(w->out, key);
	r = make_output_private(false, key->name);
	if (r)
		return r;
	text = sodium_malloc(KEYTEXT_BYTES);
	if (!text) {
		say("out of memory");
		return EXIT_FAILURE;
	}
	r = put_secret(text, keytext_print(key, text));
	sodium_free(text);
	return r;
}

/* ---- Options ---- */

static int usage(const char *found)
{
	say("%s (minivpn-keygen --help)", found);
	return EXIT_USAGE;
}

/* Return: 0; an exit status plus one where the program ends here. */
static int parse(int argc, char *argv[], struct wishes *w)
{
	int flag;

	while ((flag = getopt_long(argc, argv, "e:a:o:k:sIhV", flags, NULL)) != -1) {
		switch (flag) {
		case 'e':
			w->endpoint = optarg;
			break;
		case 'a':
			w->address = optarg;
			break;
		case 'o':
			w->out = optarg;
			break;
		case 'k':
			w->keys = optarg;
			break;
		case 's':
			w->show = true;
			break;
		case 'I':
			w->invite = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_SUCCESS + 1;
		case 'V':
			printf("minivpn-keygen %s, libsodium %s\n", MINIVPN_VERSION,
			       sodium_version_string());
			return EXIT_SUCCESS + 1;
		default: /* getopt_long has said which option */
			fputs("usage: minivpn-keygen NAME [options] (minivpn-keygen --help)\n",
			      stderr);
			return EXIT_USAGE + 1;
		}
	}
	if (optind + 1 != argc)
		return 1 + usage(optind == argc ? (w->show ? "--show: the FILE is missing"
							   : "the NAME is missing")
						: "more than one NAME or FILE");
	w->operand = argv[optind];
	if (w->invite && !w->show)
		return 1 + usage("--invite goes with --show");
	if (w->show && (w->endpoint || w->address || w->out || w->keys))
		return 1 + usage("--show goes with no option but --invite");
	if (w->out && w->keys)
		return 1 + usage("--out and --keys exclude each other");
	return 0;
}

int main(int argc, char *argv[])
{
	struct wishes wishes = { 0 };
	struct keytext key = { 0 };
	int r = parse(argc, argv, &wishes);

	if (r)
		return r - 1;
	prctl(PR_SET_DUMPABLE, 0); /* no core dump, no debugger */
	if (sodium_init() < 0) {
		say("libsodium does not start");
		return EXIT_FAILURE;
	}
	sodium_mlock(&key, sizeof(key));
	r = wishes.show ? show(&wishes, &key) : make(&wishes, &key);
	sodium_munlock(&key, sizeof(key)); /* wipes too */
	return r;
}
