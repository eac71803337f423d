/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/journal.h"

#include "host/state.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* since Linux 5.14; older C libraries do not name it */
#endif

/* struct journal_header - goes before the steps
 * @magic:      tells a journal of this layout
 * @step_bytes: sizeof(struct step)
 * @namespace:  cookie of the network namespace: inode numbers are used again, and what one namespace
 *              had must not be put back in another
 * @index:      of the interface: another of its name is none of ours
 * @count:      how many steps follow
 */
struct journal_header {
	char magic[8];
	uint32_t step_bytes;
	uint32_t count;
	uint64_t namespace;
	uint64_t index;
};

static const char magic[8] = "mvjrnl2";

static uint64_t namespace_cookie(void)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t bytes = sizeof(cookie);

	if (fd >= 0)
		getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &bytes);
	return cookie;
}

static int write_all(int fd, const void *bytes, size_t count)
{
	ssize_t n = write(fd, bytes, count);

	return n < 0 ? -errno : n < (ssize_t)count ? -ENOSPC : 0;
}

int journal_write(int state, const struct steps *steps)
{
	struct journal_header header = { .step_bytes = sizeof(struct step),
					 .namespace = namespace_cookie() };
	scoped_fd fd = openat(state, "journal.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int error;

	if (fd < 0)
		return -errno;
	memcpy(header.magic, magic, sizeof(magic));
	if (steps->count > 0)
		header.index = if_nametoindex(steps->step[0].interface);
	for (size_t i = 0; i < steps->count; i++)
		header.count += step_outlives_us(&steps->step[i]);
	error = write_all(fd, &header, sizeof(header));
	for (size_t i = 0; i < steps->count && !error; i++)
		if (step_outlives_us(&steps->step[i]))
			error = write_all(fd, &steps->step[i], sizeof(struct step));
	if (error)
		return error;
	return renameat(state, "journal.new", state, "journal") < 0 ? -errno : 0;
}

void journal_remove(const char *name)
{
	char directory[STATE_PATH_BYTES], path[STATE_PATH_BYTES + 16];

	snprintf(path, sizeof(path), "%s/journal", state_directory(name, directory));
	unlink(path);
}

static int read_steps(int fd, const struct journal_header *header, struct steps *steps)
{
	if (header->count > STEPS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < header->count; i++) {
		struct step *step = &steps->step[steps->count];

		if (read(fd, step, sizeof(*step)) != sizeof(*step) || step_check(step))
			return -EINVAL;
		steps->count += !step->stays || if_nametoindex(step->interface) == header->index;
	}
	return 0;
}

int journal_read(const char *name, struct steps *ret_steps)
{
	char path[STATE_PATH_BYTES];
	struct journal_header header;
	scoped_fd state = open(state_directory(name, path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	scoped_fd fd = openat(state, "journal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	ret_steps->count = 0;
	if (fd < 0)
		return -errno;
	if (read(fd, &header, sizeof(header)) != sizeof(header) ||
	    memcmp(header.magic, magic, sizeof(magic)) != 0 ||
	    header.step_bytes != sizeof(struct step))
		return -EINVAL;
	if (header.namespace != namespace_cookie())
		return -ENOENT;
	return read_steps(fd, &header, ret_steps);
}
