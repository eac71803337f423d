/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text for a configuration file.  Input: for which role (1 byte), the text.  What was understood is
 * printed and read again, and must not have changed.
 */
#include "conf/config.h"

#include "fuzz.h"

static void understand_again(const struct config *told, enum role role)
{
	struct config again = { 0 };
	struct complaint complaint;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	fuzz_check(out);
	config_print(told, role, out);
	fclose(out);
	fuzz_check(config_parse(text, role, &again, &complaint));
	again.given = told->given; /* what was standard has been printed, too */
	fuzz_check(memcmp(&again, told, sizeof(again)) == 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	enum role role = size > 0 && input[0] % 2 ? ROLE_SERVER : ROLE_CLIENT;
	struct complaint complaint;
	struct config config;
	char *text;

	if (size == 0)
		return 0;
	text = (char *)fuzz_copy(input, size); /* the role's byte makes room for the NUL */
	memmove(text, text + 1, size - 1);
	text[size - 1] = '\0';
	config_init(&config, role);
	if (config_parse(text, role, &config, &complaint))
		understand_again(&config, role);
	else
		fuzz_check(*complaint.text);
	free(text);
	return 0;
}
