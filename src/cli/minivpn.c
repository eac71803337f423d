/* SPDX-License-Identifier: GPL-2.0-or-later */
/* minivpn: a table of sub-commands. */
#include "cli/commands.h"
#include "cli/resources.h"
#include "cli/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int command_help(int argc, char *argv[]);

static const struct command {
	const char *name;
	int (*run)(int argc, char *argv[]);
	const char *usage, *help;
} commands[] = {
	{ "server", command_server, "server [options] [KEY|DIR]",
	  "serve the clients of these keys" },
	{ "client", command_client, "client [options] [KEY|-] [HOST]", "connect to a server" },
	{ "status", command_status, "status [--watch|--json] [NAME]",
	  "who is there, what passed, what did not" },
	{ "down", command_down, "down [NAME]", "stop a tunnel and wait until all is undone" },
	{ "keylog", command_keylog, "keylog [NAME]", "session keys, to open a capture with" },
	{ "invite", command_invite, "invite [options] NAME",
	  "add a client to the server that runs" },
	{ "list", command_list, "list", "the server's clients" },
	{ "remove", command_remove, "remove NAME", "delete a client's key and cut it off" },
	{ "rotate", command_rotate, "rotate NAME", "give a client a new key" },
	{ "reload", command_reload, "reload", "take up key files that came, changed or went" },
	{ "version", command_version, "version", "version, libraries, AEAD back-ends" },
	{ "help", command_help, "help [COMMAND]", "this text, or that of a command" },
};

static const struct command *command_named(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static int say_unknown(const char *name)
{
	say("'%s' is no command, expected server, client or another that minivpn help lists", name);
	return EXIT_USAGE;
}

static bool is_help_flag(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Two commands have no options of their own. */
static int run(const struct command *command, int argc, char *argv[])
{
	if ((command->run == command_version || command->run == command_help) && argc == 2 &&
	    is_help_flag(argv[1])) {
		printf("usage: minivpn %s\n", command->usage);
		return EXIT_SUCCESS;
	}
	return command->run(argc, argv);
}

static int help_of(char *name)
{
	const struct command *command = command_named(name);
	char help[] = "--help", *words[] = { name, help, NULL };

	return command ? run(command, 2, words) : say_unknown(name);
}

static int command_help(int argc, char *argv[])
{
	if (argc > 1)
		return help_of(argv[1]);
	fputs("usage: minivpn COMMAND [...]\n\n", stdout);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		printf("  %-33s %s\n", commands[i].usage, commands[i].help);
	fputs("\n"
	      "First time:  server$ sudo minivpn server   makes key, NAT, all; prints an invite\n"
	      "             client$ sudo minivpn client   asks for that line\n"
	      "\n"
	      "NAME is a tunnel's interface (minivpn0); without it, the one that runs.\n"
	      "Options: minivpn COMMAND --help. Keys: minivpn-keygen(1). More: minivpn(8).\n",
	      stdout);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Where one of the first three descriptors is closed, the next thing that is opened would get its number:
 * lines of the log would go into a socket or the tun device. */
static bool fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 && close(fd) == 0;
}

/* What was printed may be lost for lack of room, though every command has done what it should. */
static int conclude(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	say("standard output cannot be written: not all that was asked for is there");
	return status ? status : EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct command *command;
	int r = resources_raise();

	if (r >= 0)
		return r;
	if (!fill_standard_descriptors()) {
		say("/dev/null cannot be opened: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	if (is_help_flag(name))
		name = "help";
	command = command_named(name);
	if (command)
		return conclude(run(command, argc - 1, argv + 1));
	if (*name)
		return say_unknown(name);
	say("a command is missing, expected server, client or another that minivpn help lists");
	return EXIT_USAGE;
}
