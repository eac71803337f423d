/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mark or a forced buffer size set on a socket with rights stays in force when they are given up,
 * and cannot be changed any more: sockets are opened by the steward and passed on (host/steward.c). */
#include "assume.h"

enum { NOBODY = 65534, MARK = 0x4d56, BUFFER_BYTES = 4 << 20 };

int main(void)
{
	socklen_t n = sizeof(int);
	int value, fd;

	own_namespace();
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (!set_int(fd, SOL_SOCKET, SO_MARK, MARK) ||
	    !set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES))
		skip("needs CAP_NET_ADMIN");
	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		skip("needs to be root");
	must(getsockopt(fd, SOL_SOCKET, SO_MARK, &value, &n) == 0);
	assume(value == MARK, "the mark stays");
	must(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &n) == 0);
	assume(value == 2 * BUFFER_BYTES, "so does the buffer's size, which the kernel doubles");
	assume(!set_int(fd, SOL_SOCKET, SO_MARK, 1) && errno == EPERM, "the mark is now fixed");
	assume(!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1) && errno == EPERM, "and the size too");
	return 0;
}
