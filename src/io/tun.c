/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/tun.h"

#include "io/batching.h"
#include "log.h"
#include "scope.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

/* Newer than Debian 12's headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
	TCP_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
	UDP_OFFLOADS = TUN_F_USO4 | TUN_F_USO6,
};

static bool set_offloads(int fd, unsigned offloads)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) == 0;
}

/* As much as this kernel offers: USO needs both versions and TSO, TSO needs checksums. */
static void start_offloads(struct tun *tun)
{
	tun->tcp = tun->udp = BATCHING;
	if (!BATCHING)
		return;
	if (set_offloads(tun->fd, TCP_OFFLOADS | UDP_OFFLOADS))
		return;
	tun->udp = false;
	if (set_offloads(tun->fd, TCP_OFFLOADS))
		return;
	tun->tcp = false;
	log_info("tun: no super-packets on %s: one packet a read", tun->name);
	set_offloads(tun->fd, 0);
}

int tun_open(const char *name, unsigned queues, struct tun *ret_tun)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	scoped_fd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct tun tun = { .fd = -1 };

	if (fd < 0)
		return -errno;
	if (strlen(name) >= sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	strcpy(request.ifr_name, name);
	if (queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;

	strcpy(tun.name, request.ifr_name);
	tun.index = if_nametoindex(tun.name);
	if (tun.index == 0)
		return -errno;
	tun.fd = fd;
	start_offloads(&tun);
	take_fd(&fd);
	*ret_tun = tun;
	return 0;
}

void tun_close(struct tun *tun)
{
	close_fd(&tun->fd);
	tun->fd = -1;
}

ssize_t tun_read(const struct tun *tun, struct offload *ret_offload, uint8_t *room, size_t size)
{
	struct iovec pieces[] = { { ret_offload, sizeof(*ret_offload) }, { room, size } };
	ssize_t n;

	do
		n = readv(tun->fd, pieces, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n - (ssize_t)sizeof(*ret_offload);
}

int tun_write(const struct tun *tun, const struct iovec *pieces, unsigned count)
{
	ssize_t n;

	do
		n = writev(tun->fd, pieces, (int)count);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
