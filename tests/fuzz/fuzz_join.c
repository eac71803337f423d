/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any packets one behind the other.  Input: a byte of settings, then for each packet its length
 * (2 bytes, big-endian) and the packet.  The runs must hold every packet once, and a super-packet,
 * split again, must make as many packets as went into it.
 */
#include "minivpn/checksum.h"
#include "minivpn/inner.h"
#include "minivpn/join.h"
#include "minivpn/split.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { JOIN_TCP = 1, JOIN_UDP = 2, REPAIR = 4, PACKETS_MAX = 512 };

/* Make a packet's checksums right, so that a fuzzer gets beyond them. */
static void repair(uint8_t *packet, size_t bytes)
{
	struct inner_payload transport;
	struct inner inner;
	be16 *checksum;

	if (inner_parse(packet, bytes, &inner) != VERDICT_PASS || inner.bytes != bytes ||
	    !inner_payload(packet, &inner, &transport))
		return;
	if (inner.version == 4)
		checksum_ipv4_header(packet);
	if (transport.protocol == 6 && transport.at + 20 <= bytes)
		checksum = (be16 *)(packet + transport.at + 16);
	else if (transport.protocol == 17 && transport.at + 8 <= bytes)
		checksum = (be16 *)(packet + transport.at + 6);
	else
		return;
	*checksum = be16_from(0);
	*checksum = checksum_finish(
		checksum_add(checksum_pseudo(packet, transport.protocol, bytes - transport.at),
			     packet + transport.at, bytes - transport.at));
}

static unsigned split_again(const struct join_run *run)
{
	uint8_t *super = malloc(run->bytes), *packet = malloc(run->bytes);
	unsigned at = 0, packets = 0;
	struct split s;

	fuzz_check(super && packet);
	for (unsigned i = 1; i < run->piece_count; i++) {
		memcpy(super + at, run->pieces[i].iov_base, run->pieces[i].iov_len);
		at += (unsigned)run->pieces[i].iov_len;
	}
	fuzz_check(at == run->bytes && at <= JOIN_BYTES);
	fuzz_check(split_begin(&s, &run->offload, super, at) == VERDICT_PASS);
	while (split_next(&s, packet) > 0)
		packets++;
	free(packet);
	free(super);
	return packets;
}

static unsigned take(struct join *join)
{
	struct join_run *run = join_take(join);

	if (!run)
		return 0;
	fuzz_check(run->piece_count == run->packets + 1);
	if (run->packets > 1)
		fuzz_check(split_again(run) == run->packets);
	return run->packets;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static struct join join;
	uint8_t *packet[PACKETS_MAX];
	unsigned added = 0, taken = 0, n;
	bool repaired;

	if (size < 1)
		return 0;
	memset(&join, 0, sizeof(join));
	join.tcp = *input & JOIN_TCP;
	join.udp = *input & JOIN_UDP;
	repaired = *input & REPAIR;
	for (input++, size--; size > 2 && added < PACKETS_MAX; added++) {
		size_t bytes = (size_t)(input[0] << 8 | input[1]);

		input += 2;
		size -= 2;
		bytes = bytes < size ? bytes : size;
		bytes = bytes > 0 ? bytes : 1;
		packet[added] = fuzz_copy(input, bytes);
		if (repaired)
			repair(packet[added], bytes);
		while (!join_add(&join, packet[added], bytes))
			taken += take(&join);
		input += bytes;
		size -= bytes;
	}
	while ((n = take(&join)) > 0)
		taken += n;
	fuzz_check(taken == added);
	while (added > 0)
		free(packet[--added]);
	return 0;
}
