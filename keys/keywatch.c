/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keywatch.h"

#include "keys/keyfolder.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum {
	/* Not reading, which who looks at the files does himself. */
	TOUCHES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE |
		  IN_ATTRIB,
};

/* File systems of this machine alone: nobody changes their files but by this kernel. */
static bool is_local(int folder)
{
	static const uint32_t local[] = { EXT4_SUPER_MAGIC,  XFS_SUPER_MAGIC,
					  BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
					  TMPFS_MAGIC,       OVERLAYFS_SUPER_MAGIC,
					  RAMFS_MAGIC,       0x2fc12fc1 /* ZFS */,
					  0xca451a4e /* bcachefs */ };
	struct statfs s;

	if (fstatfs(folder, &s) < 0)
		return false;
	for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
		if ((uint32_t)s.f_type == local[i])
			return true;
	return false;
}

int keywatch_open(const char *path, struct keywatch *ret_watch)
{
	scoped_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scoped_fd fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	scoped_memory struct keywatch_file *file = calloc(KEYWATCH_FILES_MAX, sizeof(*file));
	char opened[64];
	struct stat s;

	*ret_watch = (struct keywatch){ .fd = -1 };
	if (folder < 0 || fd < 0 || fstat(folder, &s) < 0)
		return -errno;
	if (!file)
		return -ENOMEM;
	if (!is_local(folder))
		return -EOPNOTSUPP;
	/* The one that is open, whatever the path has come to lead to. */
	snprintf(opened, sizeof(opened), "/proc/self/fd/%d", folder);
	if (inotify_add_watch(fd, opened, TOUCHES | IN_ONLYDIR) < 0)
		return -errno;
	*ret_watch = (struct keywatch){ .device = s.st_dev, .inode = s.st_ino };
	ret_watch->fd = take_fd(&fd);
	ret_watch->file = take_memory(file);
	return 0;
}

void keywatch_close(struct keywatch *watch)
{
	close_fd(&watch->fd);
	free(watch->file);
	*watch = (struct keywatch){ .fd = -1 };
}

/* From now on any file may have been touched; those that are known say nothing more. */
static void lose_sight(struct keywatch *watch)
{
	watch->blind_until = watch->serial;
	watch->count = 0;
}

/* The first place whose name is not before @name. */
static size_t place_of(const struct keywatch *watch, const char *name)
{
	size_t low = 0, high = watch->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(watch->file[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void note(struct keywatch *watch, const char *name)
{
	size_t at = place_of(watch, name);

	if (at < watch->count && strcmp(watch->file[at].name, name) == 0) {
		watch->file[at].serial = watch->serial;
		return;
	}
	if (watch->count == KEYWATCH_FILES_MAX) {
		lose_sight(watch);
		return;
	}
	memmove(&watch->file[at + 1], &watch->file[at],
		(watch->count++ - at) * sizeof(*watch->file));
	strcpy(watch->file[at].name, name);
	watch->file[at].serial = watch->serial;
}

static void take(struct keywatch *watch, const struct inotify_event *event)
{
	watch->serial++;
	if (event->mask & IN_IGNORED)
		close(take_fd(&watch->fd)); /* the folder is gone */
	else if (event->mask & IN_Q_OVERFLOW)
		lose_sight(watch);
	else if (event->len > 0 && keyfolder_has_name(event->name))
		note(watch, event->name);
}

bool keywatch_look(struct keywatch *watch)
{
	union {
		char bytes[16 << 10];
		struct inotify_event first; /* aligned as that */
	} room;
	ssize_t n = 1;

	while (watch->fd >= 0 && n > 0) {
		n = read(watch->fd, room.bytes, sizeof(room));
		for (ssize_t at = 0; at < n;) {
			const void *event = room.bytes + at;

			take(watch, event);
			at += (ssize_t)(sizeof(struct inotify_event) +
					((const struct inotify_event *)event)->len);
		}
	}
	return watch->fd >= 0 && watch->blind_until == 0;
}

void keywatch_settle(struct keywatch *watch, uint64_t serial)
{
	size_t left = 0;

	if (watch->blind_until <= serial)
		watch->blind_until = 0;
	for (size_t i = 0; i < watch->count; i++)
		if (watch->file[i].serial > serial)
			watch->file[left++] = watch->file[i];
	watch->count = left;
}
