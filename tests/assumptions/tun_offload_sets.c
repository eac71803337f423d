/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TUNSETOFFLOAD takes UDP segments of both versions or of none, and no segments without checksums:
 * the steps by which io/tun.c asks for less. */
#include "assume.h"

static bool takes(int tun, unsigned offloads)
{
	return ioctl(tun, TUNSETOFFLOAD, (unsigned long)offloads) == 0;
}

int main(void)
{
	const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int tun;

	own_namespace();
	tun = open_tun();
	assume(takes(tun, 0), "nothing can be asked for");
	assume(takes(tun, TUN_F_CSUM), "checksums alone");
	assume(takes(tun, tcp), "TCP with checksums");
	assume(!takes(tun, TUN_F_TSO4 | TUN_F_TSO6), "TCP without checksums is refused");
	if (!takes(tun, tcp | TUN_F_USO4 | TUN_F_USO6))
		skip("needs UDP super-packets in tun, Linux 6.2");
	assume(!takes(tun, tcp | TUN_F_USO4), "UDP of one version is refused");
	assume(!takes(tun, TUN_F_USO4 | TUN_F_USO6), "UDP without checksums is refused");
	return 0;
}
