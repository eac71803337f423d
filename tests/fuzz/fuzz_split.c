/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any virtio header before any packet.  Input: the header (10 bytes), the packet.  Whatever is
 * split must come out as IP packets of the lengths announced that hold the payload once, and must
 * pass through join.
 */
#include "minivpn/inner.h"
#include "minivpn/join.h"
#include "minivpn/split.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { PACKETS_MAX = JOIN_RUNS };

static void count_runs(struct join *join, size_t packets)
{
	struct join_run *run;

	while ((run = join_take(join)))
		packets -= run->packets;
	fuzz_check(packets == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static struct join join;
	uint8_t *source, *packet[PACKETS_MAX];
	size_t bytes, n = 0, payload = 0;
	struct offload offload;
	struct inner inner;
	struct split s;

	if (size < sizeof(offload))
		return 0;
	memcpy(&offload, input, sizeof(offload));
	size -= sizeof(offload);
	source = fuzz_copy(input + sizeof(offload), size);
	if (split_begin(&s, &offload, source, size) == VERDICT_PASS) {
		memset(&join, 0, sizeof(join));
		join.tcp = join.udp = true;
		while ((bytes = split_next_bytes(&s)) > 0 && n < PACKETS_MAX) {
			packet[n] = malloc(bytes);
			fuzz_check(packet[n] && split_next(&s, packet[n]) == bytes);
			fuzz_check(inner_parse(packet[n], bytes, &inner) == VERDICT_PASS ||
				   offload.type == OFFLOAD_NONE);
			fuzz_check(bytes <= s.packet_bytes);
			payload += bytes - s.payload_at;
			fuzz_check(join_add(&join, packet[n++], bytes));
		}
		if (bytes == 0)
			fuzz_check(n == s.packets && payload == s.bytes - s.payload_at);
		count_runs(&join, n);
		while (n > 0)
			free(packet[--n]);
	}
	free(source);
	return 0;
}
