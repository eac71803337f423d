/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aead/choose.h"
#include "cli/commands.h"
#include "cli/say.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

/* Says also what each back-end is worth on this machine: it is started and proves itself. */
static void print_backends(void)
{
	const struct aead *const *backend;
	const char *best = NULL;
	struct aead_choice choice;
	int r;

	fputs("AEAD back-ends:", stdout);
	for (backend = aead_backends(); *backend; backend++) {
		r = aead_choose((*backend)->name, &choice);
		printf("%s %s%s", backend == aead_backends() ? "" : ",", (*backend)->name,
		       r < 0 ? " (not on this machine)" : "");
		if (r < 0)
			continue;
		if (!best)
			best = (*backend)->name;
		aead_choice_drop(&choice);
	}
	printf("; used: %s\n", best ? best : "none");
}

int command_version(int argc, char *argv[])
{
	struct utsname system;

	(void)argv;
	if (argc > 1) {
		say("version takes nothing behind it");
		return EXIT_USAGE;
	}
	if (sodium_init() < 0) {
		say("libsodium does not start");
		return EXIT_FAILURE;
	}
	printf("minivpn %s\n", MINIVPN_VERSION);
	printf("libraries: libsodium %s, jansson %s\n", sodium_version_string(),
	       jansson_version_str());
	print_backends();
	if (uname(&system) == 0)
		printf("system: %s %s, %s\n", system.sysname, system.release, system.machine);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
