/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/message.h"

#include "scope.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Room for one descriptor beside the datagram, aligned as it has to be. */
union passing {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

int message_send(int line, const void *message, size_t bytes, int passed)
{
	struct iovec content = { .iov_base = (void *)message, .iov_len = bytes };
	struct msghdr datagram = { .msg_iov = &content, .msg_iovlen = 1 };
	union passing passing = { .room = { 0 } };
	ssize_t sent;

	if (passed >= 0) {
		datagram.msg_control = passing.room;
		datagram.msg_controllen = sizeof(passing.room);
		passing.header.cmsg_level = SOL_SOCKET;
		passing.header.cmsg_type = SCM_RIGHTS;
		passing.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&passing.header), &passed, sizeof(passed));
	}
	do
		sent = sendmsg(line, &datagram, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static int passed_descriptor(struct msghdr *datagram)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(datagram);
	int fd = -1;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

int message_receive(int line, void *ret_message, size_t bytes, int *ret_passed)
{
	struct iovec content = { .iov_base = ret_message, .iov_len = bytes };
	struct msghdr datagram = { .msg_iov = &content, .msg_iovlen = 1 };
	union passing passing;
	scoped_fd passed = -1;
	ssize_t got;

	if (ret_passed) {
		datagram.msg_control = passing.room;
		datagram.msg_controllen = sizeof(passing.room);
	}
	do
		got = recvmsg(line, &datagram, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (ret_passed)
		passed = passed_descriptor(&datagram);
	if (got == 0)
		return -EPIPE;
	if ((size_t)got != bytes || datagram.msg_flags & MSG_TRUNC)
		return -EPROTO;
	if (ret_passed)
		*ret_passed = take_fd(&passed);
	return 0;
}
