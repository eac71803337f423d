/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A send with UDP_SEGMENT is cut at that size, and only its last piece may be shorter: records of one
 * size can lie one behind the other in one buffer (io/udp_send.c).  64 pieces are always taken. */
#include "assume.h"

enum { SEGMENT = 1000, PIECES = 64 };

int main(void)
{
	static uint8_t bytes[PIECES * SEGMENT], piece[65536];
	int from, to;

	own_namespace();
	udp_pair(&from, &to);
	if (!set_int(from, SOL_UDP, UDP_SEGMENT, SEGMENT))
		skip("needs UDP_SEGMENT, Linux 4.18");
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / SEGMENT + i);
	assume(send(from, bytes, sizeof(bytes) - 1, 0) == (ssize_t)sizeof(bytes) - 1,
	       "64 segments go in one send");
	for (size_t i = 0; i < PIECES; i++) {
		ssize_t expected = i + 1 < PIECES ? SEGMENT : SEGMENT - 1;

		assume(recv(to, piece, sizeof(piece), 0) == expected,
		       "all pieces but the last have the segment's size");
		assume(memcmp(piece, bytes + i * SEGMENT, (size_t)expected) == 0,
		       "the pieces come in order");
	}
	return 0;
}
