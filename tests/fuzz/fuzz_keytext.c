/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any text for a key: what a person pastes, and what lies in a file.  What was understood is printed
 * and read again, and must not have changed; a complaint can be shown on a terminal.
 */
#include "keys/keytext.h"

#include "fuzz.h"

#include <sodium.h>

static void complaint_is_fit_to_show(const struct complaint *complaint)
{
	fuzz_check(*complaint->text);
	for (const char *c = complaint->text; *c; c++)
		fuzz_check((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void read_file(const uint8_t *text, size_t size)
{
	char printed[KEYTEXT_BYTES];
	struct keytext key, again;
	struct complaint complaint;

	if (!keytext_parse((const char *)text, size, &key, &complaint)) {
		complaint_is_fit_to_show(&complaint);
		return;
	}
	fuzz_check(key_name_is_valid(key.name) && !psk_is_zero(&key.psk));
	fuzz_check(keytext_parse(printed, keytext_print(&key, printed), &again, &complaint));
	fuzz_check(memcmp(&key, &again, sizeof(key)) == 0);
}

static void read_invite(const uint8_t *text, size_t size)
{
	char *line = calloc(1, size + 1), printed[INVITE_BYTES];
	struct complaint complaint;
	struct keytext key;
	size_t bytes;

	fuzz_check(line);
	memcpy(line, text, size);
	if (!invite_parse(line, &key, &complaint)) {
		complaint_is_fit_to_show(&complaint);
	} else {
		/* Behind the word that it may be shown with there is one way to write an invite. */
		bytes = invite_print(&key, printed);
		fuzz_check(bytes <= strlen(line));
		fuzz_check(strcmp(line + strlen(line) - bytes, printed) == 0);
	}
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	uint8_t *text = fuzz_copy(input, size);

	fuzz_check(sodium_init() >= 0);
	read_file(text, size);
	read_invite(text, size);
	free(text);
	return 0;
}
