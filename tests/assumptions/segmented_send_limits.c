/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a segmented send ends: at 65,507 bytes, and at segments that the path does not take, which
 * fails with EMSGSIZE whatever path MTU discovery says; and it cannot go without UDP checksums, so
 * that RFC 3948's zero checksum is not for us (io/udp_send.c). */
#include "assume.h"

int main(void)
{
	static uint8_t bytes[65508];
	int from, to;

	own_namespace();
	udp_pair(&from, &to);
	if (!set_int(from, SOL_UDP, UDP_SEGMENT, 1400))
		skip("needs UDP_SEGMENT, Linux 4.18");
	assume(send(from, bytes, 65507, 0) == 65507, "65,507 bytes go in one send");
	assume(send(from, bytes, 65508, 0) < 0 && errno == EMSGSIZE, "one more is EMSGSIZE");

	must(link_ioctl(SIOCSIFMTU, "lo", 1300));
	must(set_int(from, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT));
	assume(send(from, bytes, 2800, 0) < 0 && errno == EMSGSIZE,
	       "a segment larger than the path is EMSGSIZE, even if fragments are allowed");
	must(set_int(from, SOL_UDP, UDP_SEGMENT, 0));
	assume(send(from, bytes, 1400, 0) == 1400, "while one datagram by itself is fragmented");

	must(link_ioctl(SIOCSIFMTU, "lo", 65536));
	must(set_int(from, SOL_UDP, UDP_SEGMENT, 1400));
	must(set_int(from, SOL_SOCKET, SO_NO_CHECK, 1));
	assume(send(from, bytes, 2800, 0) < 0 && errno == EINVAL,
	       "SO_NO_CHECK and segments are EINVAL");
	return 0;
}
