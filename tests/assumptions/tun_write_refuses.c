/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tun device does not take.  join.c makes nothing of the kind; a kernel that took it, or
 * refused more, would have to be known. */
#include "assume.h"

#include "minivpn/offload.h"

#include <sys/uio.h>

enum { BYTES = 20 + 8 + 2000 };

static uint8_t packet[BYTES] = { 0x45,
				 0,
				 BYTES >> 8,
				 BYTES & 255,
				 0,
				 0,
				 0,
				 0,
				 64,
				 IPPROTO_UDP,
				 0,
				 0,
				 10,
				 0,
				 0,
				 1,
				 10,
				 0,
				 0,
				 2,
				 1,
				 1,
				 1,
				 1,
				 (BYTES - 20) >> 8,
				 (BYTES - 20) & 255 };

static bool takes(int tun, struct offload offload)
{
	struct iovec pieces[] = { { &offload, sizeof(offload) }, { packet, sizeof(packet) } };

	return writev(tun, pieces, 2) == sizeof(offload) + sizeof(packet);
}

int main(void)
{
	const struct offload good = { OFFLOAD_NEEDS_CHECKSUM, OFFLOAD_UDP, 28, 1000, 20, 6 };
	struct offload bad;
	int tun;

	own_namespace();
	tun = open_tun();
	assume(!takes(tun, good) && errno == EIO, "a device that is not up is EIO");
	must(link_ioctl(SIOCSIFFLAGS, "tun0", IFF_UP));
	if (!takes(tun, good))
		skip("needs UDP super-packets in tun, Linux 6.2");

#define REFUSED(change)                                                            \
	do {                                                                       \
		bad = good;                                                        \
		change;                                                            \
		assume(!takes(tun, bad) && errno == EINVAL, #change " is EINVAL"); \
	} while (0)

	REFUSED(bad.segment_bytes = 0);
	REFUSED(bad.header_bytes = BYTES + 1);
	REFUSED(bad.flags = 0);
	REFUSED(bad.checksum_start = BYTES);
	REFUSED(bad.segment_bytes = 2000 / 129);
	return 0;
}
