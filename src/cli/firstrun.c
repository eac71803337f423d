/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/firstrun.h"

#include "cli/machine.h"
#include "cli/say.h"
#include "keys/addresses.h"
#include "keys/keyfolder.h"
#include "log.h"
#include "scope.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static const char first_name[] = "client";

static int say_complaint(const struct keyfile_complaint *complaint)
{
	char text[KEYFILE_COMPLAINT_BYTES];

	say("%s", keyfile_complaint_print(complaint, text));
	return EXIT_FAILURE;
}

/* The folder above a path, for which /etc/minivpn is all that may be missing. */
static int make_folder_above(const char *path)
{
	char folder[PATH_MAX];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	if (mkdir(folder, 0755) == 0 || errno == EEXIST)
		return 0;
	say("the folder %s cannot be made: %s", folder, strerror(errno));
	return EXIT_FAILURE;
}

/* ---- The server ---- */

static int choose_endpoint(const struct config *config, struct hostport *ret_endpoint)
{
	struct hostport endpoint = config->endpoint;
	struct address address = config->local.address;

	if (!*endpoint.host) {
		if (address_is_none(&address) && !machine_address(&address)) {
			say("this machine has no address that a client could find it by: say one "
			    "with --endpoint HOST");
			return EXIT_USAGE;
		}
		address_print(&address, endpoint.host);
	}
	if (!endpoint.port)
		endpoint.port = config->local.port ? config->local.port : PORT_DEFAULT;
	*ret_endpoint = endpoint;
	return 0;
}

static bool overlaps(const struct prefix *network)
{
	struct machine_overlap ignored;

	return machine_overlap(network, "", &ignored);
}

/* Random bytes whose networks are free here.  If none are after many tries, any will do: it is then
 * this machine's routes that are strange. */
static void draw_free_networks(uint8_t random[NETWORK_RANDOM_BYTES])
{
	struct prefix ipv4, ipv6;

	for (unsigned tries = 0; tries < 100; tries++) {
		randombytes_buf(random, NETWORK_RANDOM_BYTES);
		networks_random(random, &ipv4, &ipv6);
		if (!overlaps(&ipv4) && !overlaps(&ipv6))
			return;
	}
}

static bool is_own(const void *context, const struct address *address)
{
	const struct config_prefixes *own = context;

	for (unsigned i = 0; i < own->count; i++)
		if (address_equal(address, &own->item[i].address))
			return true;
	return false;
}

/* In the server's own networks where it was given some, otherwise in two that nobody here has. */
static int choose_addresses(const struct config *config, struct keytext *key)
{
	static const struct keyfolder none;
	const struct config_prefixes *own = &config->address;
	uint8_t random[NETWORK_RANDOM_BYTES];

	if (own->count == 0) {
		draw_free_networks(random);
		keyfolder_address(&none, random, key);
		return 0;
	}
	for (unsigned i = 0; i < own->count && i < KEY_ADDRESSES_MAX; i++) {
		struct prefix network = prefix_network(&own->item[i]);
		uint32_t from = 2;

		if (!network_first_free(&network, is_own, own, &from, &key->address[i])) {
			say("--address: %s has no address left for a client",
			    shown_prefix(&network));
			return EXIT_USAGE;
		}
		key->address_count = i + 1;
	}
	return 0;
}

/* The line is a secret: it is for a person's eyes, another program, or a file that nobody else may
 * read; never for a log that is kept, as the journal (a socket) is. */
static bool may_print_secret(void)
{
	struct stat s;

	if (fstat(STDOUT_FILENO, &s) < 0)
		return false;
	if (S_ISREG(s.st_mode))
		return s.st_uid == geteuid() && fchmod(STDOUT_FILENO, 0600) == 0;
	return S_ISCHR(s.st_mode) || S_ISFIFO(s.st_mode);
}

static int print_invite(const struct keytext *key, const char *file)
{
	struct address address;
	char *line;

	if (!may_print_secret()) {
		say("made a first key; its invite: minivpn-keygen --show --invite %s", file);
		return 0;
	}
	line = sodium_malloc(INVITE_BYTES);
	if (!line) {
		say("out of memory");
		return EXIT_FAILURE;
	}
	invite_print(key, line);
	printf("On the client, type `minivpn client` and paste this line, which is a "
	       "secret:\n\ninvite: %s\n\n",
	       line);
	sodium_free(line);
	if (fflush(stdout) != 0) {
		say("the invite cannot be printed: %s. Again: minivpn-keygen --show --invite %s",
		    strerror(errno), file);
		return 0;
	}
	if (address_parse(key->endpoint.host, &address) && machine_address_is_private(&address))
		printf("%s can be reached only from its own network. For clients elsewhere, "
		       "remove\n"
		       "%s and start with --endpoint HOST[:PORT].\n",
		       key->endpoint.host, file);
	return 0;
}

static int make_first_key(const struct config *config, const char *folder, struct keytext *key)
{
	struct keyfile_complaint complaint;
	char file[PATH_MAX];
	int r;

	r = choose_endpoint(config, &key->endpoint);
	if (r == 0)
		r = choose_addresses(config, key);
	if (r)
		return r;
	strcpy(key->name, first_name);
	randombytes_buf(&key->psk, sizeof(key->psk));
	snprintf(file, sizeof(file), "%s/%s.key", folder, first_name);
	if (keyfile_write(file, key, &complaint) < 0)
		return say_complaint(&complaint);
	return print_invite(key, file);
}

int firstrun_server(const struct config *config, const char *folder)
{
	struct keyfile_complaint complaint;
	struct keytext key = { 0 };
	scoped_fd lock = keyfolder_open(folder, &complaint);
	int r;

	if (lock < 0)
		return say_complaint(&complaint);
	sodium_mlock(&key, sizeof(key));
	r = make_first_key(config, folder, &key);
	sodium_munlock(&key, sizeof(key)); /* wipes too */
	return r;
}

/* ---- The client ---- */

static volatile sig_atomic_t interrupted;

static void note_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* From here a signal ends read() instead of the process, which has echo to switch on again first. */
static void catch_interrupts(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	struct sigaction note = { .sa_handler = note_interrupt };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaction(numbers[i], &note, NULL);
}

/* One line from the terminal, not shown.  Return: its length, or negative if there was none.
 *
 * The prompt comes when echo is off: what is typed before is thrown away with it. */
static ssize_t read_unseen(const char *prompt, char *room, size_t size)
{
	struct termios before, silent;
	ssize_t n;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return -errno;
	catch_interrupts();
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	fputs(prompt, stderr);
	n = interrupted ? -1 : read(STDIN_FILENO, room, size - 1);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	if (n <= 0)
		return -ECANCELED;
	room[n] = '\0';
	room[strcspn(room, "\r\n")] = '\0';
	return n;
}

/* Return: exit status, or -1 to be asked once more. */
static int ask_once(char *line, struct keytext *key)
{
	struct complaint complaint;
	char *text = line;

	if (read_unseen("invite: ", line, INVITE_BYTES) < 0)
		return EXIT_FAILURE;
	text += strspn(text, " \t");
	for (char *end = text + strlen(text); end > text && strchr(" \t", end[-1]); end--)
		end[-1] = '\0';
	if (invite_parse(text, key, &complaint))
		return 0;
	say("%s", complaint.text);
	return -1;
}

static int ask(struct keytext *key)
{
	char *line = sodium_malloc(INVITE_BYTES);
	int r = -1;

	if (!line) {
		say("out of memory");
		return EXIT_FAILURE;
	}
	for (unsigned tries = 0; r < 0 && tries < 3; tries++)
		r = ask_once(line, key);
	sodium_free(line);
	return r < 0 ? EXIT_USAGE : r;
}

int firstrun_client(const char *path)
{
	struct keyfile_complaint complaint;
	struct keytext key = { 0 };
	int r;

	if (!isatty(STDIN_FILENO)) {
		say("no key: %s does not exist, and there is no terminal to ask for an invite. "
		    "Give a "
		    "key file, or - to read the invite from standard input",
		    path);
		return EXIT_USAGE;
	}
	sodium_mlock(&key, sizeof(key));
	r = ask(&key);
	if (r == 0)
		r = make_folder_above(path);
	if (r == 0 && keyfile_write(path, &key, &complaint) < 0)
		r = say_complaint(&complaint);
	sodium_munlock(&key, sizeof(key));
	return r;
}
