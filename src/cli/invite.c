/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/invite.h"

#include "cli/machine.h"
#include "cli/say.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool output_keeps_no_copy(void)
{
	struct stat s;

	return fstat(STDOUT_FILENO, &s) == 0 && (S_ISCHR(s.st_mode) || S_ISFIFO(s.st_mode));
}

int invite_show(const struct keytext *key, const char *file)
{
	char *line;

	if (!output_keeps_no_copy()) {
		say("made a key for %s; its invite: minivpn-keygen --show --invite %s", key->name,
		    file);
		return EXIT_SUCCESS;
	}
	line = sodium_malloc(INVITE_BYTES);
	if (!line) {
		say("out of memory");
		return EXIT_FAILURE;
	}
	invite_print(key, line);
	if (isatty(STDOUT_FILENO))
		puts("On the client, type `minivpn client` and paste this line, which is a "
		     "secret:\n");
	puts(line);
	sodium_free(line);
	if (fflush(stdout) == 0)
		return EXIT_SUCCESS;
	say("%s has a key, but its invite cannot be printed: %s. Again: minivpn-keygen --show "
	    "--invite %s",
	    key->name, strerror(errno), file);
	clearerr(stdout); /* has been said */
	return EXIT_FAILURE;
}
