/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices.h"

#include "scope.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>

enum { RECEIVE_BUFFER_BYTES = 4 << 20 };

static int bring_up(const char *name, int mtu)
{
	scoped_fd control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	if (control < 0)
		return -errno;
	strcpy(request.ifr_name, name);
	request.ifr_mtu = mtu;
	if (ioctl(control, SIOCSIFMTU, &request) < 0)
		return -errno;
	if (ioctl(control, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags |= IFF_UP;
	if (ioctl(control, SIOCSIFFLAGS, &request) < 0)
		return -errno;
	return 0;
}

int device_make(const char *name, int mtu, int *ret_fd)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	scoped_fd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return -errno;
	if (strlen(name) >= sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	strcpy(request.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -errno;
	rc = bring_up(name, mtu);
	if (rc < 0)
		return rc;

	*ret_fd = take_fd(&fd);
	return 0;
}

socklen_t sockaddr_of(const struct endpoint *e, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ret_address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;

	memset(ret_address, 0, sizeof(*ret_address));
	if (address_is_ipv4(&e->remote)) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(e->remote_port);
		memcpy(&in4->sin_addr, e->remote.b + 12, 4);
		return sizeof(*in4);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->remote_port);
	in6->sin6_scope_id = e->scope;
	memcpy(&in6->sin6_addr, e->remote.b, 16);
	return sizeof(*in6);
}

int socket_make(const struct endpoint *local, int *ret_fd)
{
	struct sockaddr_storage address;
	socklen_t address_bytes = sockaddr_of(local, &address);
	bool ipv4 = address.ss_family == AF_INET;
	int size = RECEIVE_BUFFER_BYTES;
	int pmtu = ipv4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
	scoped_fd fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
		       ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &pmtu, sizeof(pmtu)) < 0)
		return -errno;
	/* a wish: the kernel gives what it allows */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, address_bytes) < 0)
		return -errno;

	*ret_fd = take_fd(&fd);
	return 0;
}
