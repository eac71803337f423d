/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/state.h"

#include "host/plan.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define STATE_ROOT       "/run/minivpn"
#define NAMESPACE_PREFIX "netns-"

enum { INSTANCES_MAX = 64 };

/* Is this the namespace that the first process is in?  Each has its own entries below /proc/net, which
 * anybody may look at; the link /proc/1/ns/net is only for who may trace that process. */
static bool is_initial_namespace(void)
{
	struct stat first, own;

	return stat("/proc/1/net/dev", &first) != 0 || stat("/proc/self/net/dev", &own) != 0 ||
	       first.st_ino == own.st_ino;
}

char *state_directory(const char *name, char ret_path[STATE_PATH_BYTES])
{
	char namespace[40] = "";
	struct stat own;

	if (!is_initial_namespace() && stat("/proc/self/ns/net", &own) == 0)
		snprintf(namespace, sizeof(namespace), "/" NAMESPACE_PREFIX "%lu",
			 (unsigned long)own.st_ino);
	snprintf(ret_path, STATE_PATH_BYTES, STATE_ROOT "%s%s%.15s", namespace, name ? "/" : "",
		 name ? name : "");
	return ret_path;
}

/* Whoever may ask an instance finds it, whatever the umask. */
static int make_directory(const char *path)
{
	if (mkdir(path, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	return chmod(path, 0755) < 0 ? -errno : 0;
}

/* Is what @fd has open still what is found at @path?  Somebody may have removed it in between. */
static bool is_still_there(int fd, const char *path)
{
	struct stat opened, found;

	return fstat(fd, &opened) == 0 && stat(path, &found) == 0 &&
	       opened.st_ino == found.st_ino && opened.st_dev == found.st_dev;
}

/* Opens and locks a directory that may be removed by others until it is locked. */
static int open_locked(const char *path, int how, int *ret_fd)
{
	for (;;) {
		scoped_fd fd = -1;
		int error = make_directory(path);

		if (error)
			return error;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -errno;
		while (flock(fd, how) < 0)
			if (errno != EINTR)
				return errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (!is_still_there(fd, path))
			continue;
		*ret_fd = take_fd(&fd);
		return 0;
	}
}

int state_lock(int *ret_fd)
{
	char path[STATE_PATH_BYTES];
	int error;

	state_directory(NULL, path);
	/* The root is only ever removed by somebody who locks nothing in it, see state_remove(). */
	do {
		error = make_directory(STATE_ROOT);
		if (!error)
			error = open_locked(path, LOCK_EX, ret_fd);
	} while (error == -ENOENT);
	return error;
}

int state_claim(const char *name, int *ret_fd)
{
	char path[STATE_PATH_BYTES];
	scoped_fd lock = -1;
	int error;

	if (!plan_interface_is_valid(name))
		return -EINVAL;
	error = state_lock(&lock);
	if (error)
		return error;
	return open_locked(state_directory(name, path), LOCK_EX | LOCK_NB, ret_fd);
}

bool state_is_alive(const char *name)
{
	char path[STATE_PATH_BYTES];
	scoped_fd fd = open(state_directory(name, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

int state_keeper(const char *name, pid_t *ret_pid)
{
	char path[STATE_PATH_BYTES], line[128];
	FILE *locks = fopen("/proc/locks", "re");
	int error = locks ? -ESRCH : -errno;
	struct stat claimed;

	if (!locks)
		return error;
	if (stat(state_directory(name, path), &claimed) < 0)
		error = -errno;
	while (error == -ESRCH && fgets(line, sizeof(line), locks)) {
		unsigned major_number, minor_number;
		unsigned long inode;
		int pid;

		if (sscanf(line, "%*u: FLOCK ADVISORY WRITE %d %x:%x:%lu", &pid, &major_number,
			   &minor_number, &inode) != 4 ||
		    inode != claimed.st_ino || major_number != major(claimed.st_dev) ||
		    minor_number != minor(claimed.st_dev) || pid <= 1)
			continue;
		*ret_pid = pid;
		error = 0;
	}
	fclose(locks);
	return error;
}

int state_each(void (*each)(void *context, const char *name), void *context)
{
	char path[STATE_PATH_BYTES], names[INSTANCES_MAX][STATE_NAME_BYTES];
	DIR *directory = opendir(state_directory(NULL, path));
	const struct dirent *entry;
	size_t count = 0;

	if (!directory)
		return -errno;
	while (count < INSTANCES_MAX && (entry = readdir(directory)) != NULL)
		if (entry->d_type == DT_DIR && plan_interface_is_valid(entry->d_name) &&
		    strncmp(entry->d_name, NAMESPACE_PREFIX, strlen(NAMESPACE_PREFIX)) != 0)
			strcpy(names[count++], entry->d_name);
	closedir(directory);
	for (size_t i = 0; i < count; i++)
		each(context, names[i]);
	return 0;
}

/* A link, which can be read whole or not at all; nobody follows it. */
static const char *keys_link(const char *name, char ret_path[STATE_PATH_BYTES + 8])
{
	char directory[STATE_PATH_BYTES];

	snprintf(ret_path, STATE_PATH_BYTES + 8, "%s/keys", state_directory(name, directory));
	return ret_path;
}

int state_note_keys(const char *name, const char *path)
{
	char link[STATE_PATH_BYTES + 8];

	unlink(keys_link(name, link));
	return symlink(path, link) < 0 ? -errno : 0;
}

char *state_keys(const char *name, char ret_path[PATH_MAX])
{
	char link[STATE_PATH_BYTES + 8];
	ssize_t n = readlink(keys_link(name, link), ret_path, PATH_MAX);

	ret_path[n > 0 && n < PATH_MAX ? n : 0] = '\0';
	return ret_path;
}

static void remove_files(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)) != NULL)
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

void state_remove(const char *name)
{
	char path[STATE_PATH_BYTES];

	remove_files(state_directory(name, path));
	rmdir(path);
	/* These two only go when the last instance has gone. */
	rmdir(state_directory(NULL, path));
	rmdir(STATE_ROOT);
}
