/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With UDP_GRO a socket gets datagrams of one size in one piece, the size beside it: one recvmsg for
 * up to 64 of them (io/udp_receive.c).  Without it they come one by one. */
#include "assume.h"

enum { SEGMENT = 1000, BYTES = 63 * SEGMENT + 7 };

int main(void)
{
	static uint8_t bytes[65536];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int from, to, size = 0;

	own_namespace();
	udp_pair(&from, &to);
	if (!set_int(from, SOL_UDP, UDP_SEGMENT, SEGMENT) || !set_int(to, SOL_UDP, UDP_GRO, 1))
		skip("needs UDP_SEGMENT and UDP_GRO, Linux 5.0");
	must(send(from, bytes, BYTES, 0) == BYTES);
	assume(recvmsg(to, &message, 0) == BYTES, "one receive takes all segments");
	for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&size, CMSG_DATA(c), sizeof(size));
	assume(size == SEGMENT, "the segment size stands beside it, as an int");
	return 0;
}
