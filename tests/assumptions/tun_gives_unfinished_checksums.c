/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With TUN_F_CSUM even a packet that is not segmented comes with a checksum to be completed, the
 * pseudo-header's sum in its place: without split.c the first SYN would not arrive. */
#include "assume.h"

#include "minivpn/checksum.h"
#include "minivpn/offload.h"

#include <arpa/inet.h>
#include <sys/uio.h>

static void send_datagram(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct ifreq ifr = { .ifr_name = "tun0" };
	struct sockaddr_in *address = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	address->sin_family = AF_INET;
	must(inet_pton(AF_INET, "10.9.0.1", &address->sin_addr) == 1);
	must(ioctl(fd, SIOCSIFADDR, &ifr) == 0);
	must(link_ioctl(SIOCSIFFLAGS, "tun0", IFF_UP));
	must(inet_pton(AF_INET, "10.9.0.2", &to.sin_addr) == 1);
	/* bound to the device, it needs no route */
	must(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "tun0", sizeof("tun0")) == 0);
	must(sendto(fd, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	close(fd);
}

int main(void)
{
	uint8_t packet[2048];
	struct offload offload;
	struct iovec pieces[] = { { &offload, sizeof(offload) }, { packet, sizeof(packet) } };
	be16 pseudo;
	int tun;

	own_namespace();
	tun = open_tun();
	must(ioctl(tun, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) == 0);
	send_datagram();
	do /* what IPv6 has to say comes first */
		must(readv(tun, pieces, 2) > 0);
	while (packet[0] >> 4 != 4);
	pseudo = checksum_fold(checksum_pseudo(packet, IPPROTO_UDP, 8 + 5));
	assume(offload.flags == OFFLOAD_NEEDS_CHECKSUM && offload.type == OFFLOAD_NONE,
	       "a plain packet says that its checksum is to be completed");
	assume(offload.checksum_start == 20 && offload.checksum_offset == 6, "and where");
	assume(memcmp(packet + 26, &pseudo, sizeof(pseudo)) == 0,
	       "in its place stands the sum of the pseudo-header");
	return 0;
}
