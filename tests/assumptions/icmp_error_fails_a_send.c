/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On a connected UDP socket, an ICMP error that came in is reported by the next send, which is then
 * not made: it has to be repeated once, or up to 64 packets are lost (io/udp_send.c). */
#include "assume.h"

int main(void)
{
	int from, to;

	own_namespace();
	udp_pair(&from, &to);
	close(to);
	must(send(from, "1", 1, 0) == 1); /* answered by "port unreachable", at once on loopback */
	assume(send(from, "2", 1, 0) < 0 && errno == ECONNREFUSED, "the error meets the next send");
	assume(send(from, "3", 1, 0) == 1, "and no other");
	return 0;
}
