/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any packet that is too large.  Input: the largest size that would pass (2 bytes, big-endian), the
 * packet.  Answers and fragments must be IP packets of the lengths that were promised.
 */
#include "minivpn/toobig.h"

#include "fuzz.h"

#include <stdlib.h>

static void answer(const uint8_t *packet, const struct inner *inner, uint32_t mtu)
{
	static const uint8_t ipv4[4] = { 10, 0, 0, 1 }, ipv6[16] = { 0xfd, [15] = 1 };
	struct address from =
		inner->version == 4 ? address_from_ipv4(ipv4) : address_from_ipv6(ipv6);
	uint8_t *room = malloc(TOOBIG_ANSWER_BYTES);
	size_t bytes = toobig_answer(packet, inner, mtu, &from, room);
	struct inner parsed;

	if (bytes > 0) {
		fuzz_check(bytes <= TOOBIG_ANSWER_BYTES);
		fuzz_check(inner_parse(room, bytes, &parsed) == VERDICT_PASS);
		fuzz_check(parsed.bytes == bytes);
		/* an answer is an ICMP error, and to those there is no answer */
		fuzz_check(toobig_answer(room, &parsed, mtu, &from, room) == 0);
	}
	free(room);
}

static void cut(const uint8_t *packet, const struct inner *inner, uint32_t mtu)
{
	uint8_t *room = malloc(mtu);
	struct fragments f;
	struct inner parsed;
	size_t bytes;

	if (fragments_begin(&f, packet, inner, mtu)) {
		while ((bytes = fragments_next(&f, room)) > 0) {
			fuzz_check(bytes <= mtu);
			fuzz_check(inner_parse(room, bytes, &parsed) == VERDICT_PASS);
			fuzz_check(parsed.bytes == bytes);
		}
	}
	free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct inner inner;
	uint8_t *packet;
	uint32_t mtu;

	if (size < 3)
		return 0;
	mtu = (uint32_t)(input[0] << 8 | input[1]);
	packet = fuzz_copy(input + 2, size - 2);
	if (inner_parse(packet, size - 2, &inner) == VERDICT_PASS) {
		answer(packet, &inner, mtu);
		cut(packet, &inner, mtu);
	}
	free(packet);
	return 0;
}
