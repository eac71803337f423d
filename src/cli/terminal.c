/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool terminal_can_clear(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}

/* What the environment names, whether this machine has that locale or not: the terminal may be another's. */
bool terminal_has_blocks(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *locale = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && (!locale || !*locale); i++)
		locale = getenv(names[i]);
	return terminal_can_clear() && locale &&
	       (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}
