/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any items, decrypted: what somebody sends who has the key.  Input: which message they come in (1
 * byte), the items.  What was understood is built and read again, and must not have changed.
 */
#include "minivpn/payload.h"

#include "fuzz.h"

#include <string.h>

enum { ROOM = 65536 };

static void understand_again(const struct payload *told, enum payload_kind kind, bool from_server)
{
	static uint8_t said[ROOM], said_again[ROOM];
	size_t bytes = payload_build(told, kind, said, sizeof(said));
	struct payload again;

	fuzz_check(bytes <= sizeof(said));
	fuzz_check(payload_parse(said, bytes, kind, from_server, &again) == VERDICT_PASS);
	fuzz_check(again.impossible == 0);
	fuzz_check(payload_build(&again, kind, said_again, sizeof(said_again)) == bytes);
	fuzz_check(memcmp(said, said_again, bytes) == 0);
}

static void handshake_items(const uint8_t *items, size_t size, enum payload_kind kind,
			    bool from_server)
{
	struct payload told;
	enum verdict verdict = payload_parse(items, size, kind, from_server, &told);

	if (verdict == VERDICT_BAD_PAYLOAD)
		return;
	fuzz_check(verdict == VERDICT_PASS || verdict == VERDICT_UNKNOWN_ITEM);
	fuzz_check((verdict == VERDICT_UNKNOWN_ITEM) == (told.unknown_critical != 0));
	fuzz_check((told.refusal != REFUSAL_NONE) != (told.spi_count > 0));
	fuzz_check(told.mtu >= PAYLOAD_MTU_MIN || told.refusal != REFUSAL_NONE);
	understand_again(&told, kind, from_server);
}

static void in_band_items(const uint8_t *payload, size_t size)
{
	uint8_t said[IN_BAND_MAX_BYTES], said_again[IN_BAND_MAX_BYTES];
	struct in_band told, again;
	size_t bytes;

	if (in_band_parse(payload, size, &told) != VERDICT_CONSUMED)
		return;
	bytes = in_band_build(&told, said);
	fuzz_check(bytes <= sizeof(said));
	fuzz_check(in_band_parse(said, bytes, &again) == VERDICT_CONSUMED);
	fuzz_check(in_band_build(&again, said_again) == bytes);
	fuzz_check(memcmp(said, said_again, bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	uint8_t *items;

	if (size == 0)
		return 0;
	items = fuzz_copy(input + 1, size - 1);
	switch (input[0] % 4) {
	case 0:
		handshake_items(items, size - 1, PAYLOAD_INIT, false);
		break;
	case 1:
		handshake_items(items, size - 1, PAYLOAD_RESPONSE, false);
		break;
	case 2:
		handshake_items(items, size - 1, PAYLOAD_RESPONSE, true);
		break;
	case 3:
		in_band_items(items, size - 1);
		break;
	}
	free(items);
	return 0;
}
