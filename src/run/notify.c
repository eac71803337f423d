/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/notify.h"

#include "scope.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	scoped_fd fd = -1;
	size_t bytes = path ? strlen(path) : 0;

	if (bytes < 2 || bytes >= sizeof(address.sun_path) || !strchr("/@", *path))
		return -1;
	memcpy(address.sun_path, path, bytes);
	if (*path == '@') /* an abstract name (unix(7)) */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)) < 0)
		return -1;
	return take_fd(&fd);
}

void notify_send(int fd, const char *state)
{
	if (fd >= 0)
		(void)!send(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT);
}
