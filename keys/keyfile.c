/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keyfile.h"

#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *keyfile_complaint_print(const struct keyfile_complaint *complaint, char *ret_text)
{
	if (complaint->what.line)
		snprintf(ret_text, KEYFILE_COMPLAINT_BYTES, "%s:%u: %s", complaint->path,
			 complaint->what.line, complaint->what.text);
	else
		snprintf(ret_text, KEYFILE_COMPLAINT_BYTES, "%s: %s", complaint->path,
			 complaint->what.text);
	return ret_text;
}

int keyfile_refuse(struct keyfile_complaint *ret_complaint, const char *path, int error,
		   const char *format, ...)
{
	char text[COMPLAINT_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s", path);
	complain(&ret_complaint->what, 0, "%s", text);
	return -error;
}

/* Root reads the file of the person who called sudo: keys are made without it. */
static bool is_caller_of_sudo(uid_t owner)
{
	const char *caller = geteuid() == 0 ? secure_getenv("SUDO_UID") : NULL;
	unsigned long uid;
	char *end;

	if (!caller || !*caller)
		return false;
	uid = strtoul(caller, &end, 10);
	return !*end && uid == owner;
}

bool keyfile_owner_is_trusted(uid_t owner)
{
	return owner == 0 || owner == geteuid() || is_caller_of_sudo(owner);
}

int keyfile_check(const struct stat *s, const char *path, struct keyfile_complaint *ret_complaint)
{
	if (S_ISLNK(s->st_mode))
		return keyfile_refuse(ret_complaint, path, ELOOP,
				      "is a symbolic link, expected the key file itself");
	if (!S_ISREG(s->st_mode))
		return keyfile_refuse(ret_complaint, path, EINVAL,
				      "is not a file, expected a key file");
	if (!keyfile_owner_is_trusted(s->st_uid))
		return keyfile_refuse(
			ret_complaint, path, EPERM,
			"belongs to user %u, expected user %u or root: whoever owns it could "
			"change the key (chown %u '%s')",
			s->st_uid, geteuid(), geteuid(), path);
	if (s->st_mode & (S_IRWXG | S_IRWXO))
		return keyfile_refuse(
			ret_complaint, path, EPERM,
			"has mode %04o, expected 0600: others could have read the key. Make "
			"a new one, or, if nobody did: chmod 600 '%s'",
			s->st_mode & 07777, path);
	if (s->st_size > KEYFILE_BYTES_MAX)
		return keyfile_refuse(ret_complaint, path, EFBIG,
				      "has %lld bytes, expected at most %d: it is no key file",
				      (long long)s->st_size, KEYFILE_BYTES_MAX);
	return 0;
}

/* Reads to the end, or to one byte more than a key file may have. */
static ssize_t read_all(int fd, char *room, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size) {
		n = read(fd, room + have, size - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			have += (size_t)n;
	}
	return (ssize_t)have;
}

/* The one line of an invite, without what surrounds it when it was pasted or echoed. */
static bool parse_invite(char *text, struct keytext *ret_key, struct complaint *ret_complaint)
{
	size_t bytes = strlen(text);

	while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]))
		text[--bytes] = '\0';
	return invite_parse(text, ret_key, ret_complaint);
}

int keyfile_parse(char *text, size_t bytes, const char *path, struct keytext *ret_key,
		  struct keyfile_complaint *ret_complaint)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf"; /* which some editors put first */
	size_t mark_bytes = strlen(byte_order_mark);
	char behind;
	bool ok;

	if (bytes >= mark_bytes && memcmp(text, byte_order_mark, mark_bytes) == 0) {
		text += mark_bytes;
		bytes -= mark_bytes;
	}
	if (bytes == 0)
		return keyfile_refuse(ret_complaint, path, EINVAL, "is empty, expected a key");
	behind = text[bytes];
	text[bytes] = '\0';
	ok = invite_looks_like(text) ? parse_invite(text, ret_key, &ret_complaint->what)
				     : keytext_parse(text, bytes, ret_key, &ret_complaint->what);
	text[bytes] = behind;
	snprintf(ret_complaint->path, sizeof(ret_complaint->path), "%s", path);
	return ok ? 0 : -EINVAL;
}

static int read_and_parse(int fd, const char *path, char *room, struct keytext *ret_key,
			  struct keyfile_complaint *ret_complaint)
{
	ssize_t bytes = read_all(fd, room, KEYFILE_BYTES_MAX + 1);

	if (bytes < 0)
		return keyfile_refuse(ret_complaint, path, (int)-bytes, "cannot be read: %s",
				      strerror((int)-bytes));
	if (bytes > KEYFILE_BYTES_MAX)
		return keyfile_refuse(ret_complaint, path, EFBIG,
				      "has more than %d bytes: it is no key file",
				      KEYFILE_BYTES_MAX);
	return keyfile_parse(room, (size_t)bytes, path, ret_key, ret_complaint);
}

char *keyfile_room(void)
{
	return sodium_malloc(KEYFILE_BYTES_MAX + 2);
}

int keyfile_read_from(int fd, const char *path, struct keytext *ret_key,
		      struct keyfile_complaint *ret_complaint)
{
	char *room = keyfile_room();
	int r;

	if (!room)
		return keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
	r = read_and_parse(fd, path, room, ret_key, ret_complaint);
	sodium_free(room);
	return r;
}

int keyfile_open(int folder, const char *name, const char *path,
		 struct keyfile_complaint *ret_complaint)
{
	/* Not blocking: a pipe of that name must not hold us up before it is refused. */
	scoped_fd fd =
		openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat s;
	int r;

	if (fd < 0 && errno == ELOOP)
		return keyfile_refuse(ret_complaint, path, ELOOP,
				      "is a symbolic link, expected the key file itself");
	if (fd < 0 && errno == ENOENT)
		return keyfile_refuse(
			ret_complaint, path, ENOENT,
			"does not exist, expected a key file (minivpn-keygen makes one)");
	if (fd < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be opened: %s",
				      strerror(errno));
	if (fstat(fd, &s) < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be examined: %s",
				      strerror(errno));
	r = keyfile_check(&s, path, ret_complaint);
	return r < 0 ? r : take_fd(&fd);
}

int keyfile_read(const char *path, struct keytext *ret_key, struct keyfile_complaint *ret_complaint)
{
	scoped_fd fd = keyfile_open(AT_FDCWD, path, path, ret_complaint);

	return fd < 0 ? fd : keyfile_read_from(fd, path, ret_key, ret_complaint);
}

int keyfile_read_in(char *room, const char *path, struct keytext *ret_key,
		    struct keyfile_complaint *ret_complaint)
{
	scoped_fd fd = keyfile_open(AT_FDCWD, path, path, ret_complaint);

	return fd < 0 ? fd : read_and_parse(fd, path, room, ret_key, ret_complaint);
}

/* ---- Writing ---- */

static int write_all(int fd, const char *text, size_t bytes)
{
	ssize_t n;

	while (bytes > 0) {
		n = write(fd, text, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		bytes -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* The folder a path is in, to be synced when a name in it is new. */
static int open_folder_of(const char *path)
{
	scoped_memory char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;

	if (!copy)
		return -ENOMEM;
	if (slash == copy)
		slash++;
	if (slash)
		*slash = '\0';
	return open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What has changed in a folder outlives a loss of power from here on. */
static void sync_folder_of(const char *path)
{
	scoped_fd folder = open_folder_of(path);

	if (folder >= 0)
		fsync(folder);
}

/* A file without a name gets one when it is whole: linkat() never replaces anything. */
static int write_nameless(const char *path, int folder, const char *text, size_t bytes)
{
	scoped_fd fd = openat(folder, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	char link[64];
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, bytes);
	if (r < 0)
		return r;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* For file systems that have no nameless files: made exclusively, removed when not whole. */
static int write_named(const char *path, const char *text, size_t bytes)
{
	scoped_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, bytes);
	if (r < 0)
		unlink(path);
	return r;
}

static int write_text(const char *path, const char *text, size_t bytes)
{
	scoped_fd folder = open_folder_of(path);
	int r;

	if (folder < 0)
		return -errno;
	r = write_nameless(path, folder, text, bytes);
	if (r < 0 && r != -EEXIST)
		r = write_named(path, text, bytes);
	if (r == 0)
		fsync(folder);
	return r;
}

int keyfile_write(const char *path, const struct keytext *key,
		  struct keyfile_complaint *ret_complaint)
{
	char *text = sodium_malloc(KEYTEXT_BYTES);
	int r;

	if (!text)
		return keyfile_refuse(ret_complaint, path, ENOMEM,
				      "cannot be written: out of memory");
	r = write_text(path, text, keytext_print(key, text));
	sodium_free(text);
	if (r == -EEXIST)
		return keyfile_refuse(ret_complaint, path, EEXIST,
				      "exists already, and a key is never overwritten");
	if (r < 0)
		return keyfile_refuse(ret_complaint, path, -r, "cannot be written: %s",
				      strerror(-r));
	return 0;
}

int keyfile_replace(const char *path, const struct keytext *key,
		    struct keyfile_complaint *ret_complaint)
{
	scoped_memory char *beside = NULL;
	const char *slash = strrchr(path, '/');
	int r, before = slash ? (int)(slash + 1 - path) : 0;

	/* A name that begins with a dot is nobody's key. */
	if (asprintf(&beside, "%.*s.%s.new", before, path, path + before) < 0)
		return keyfile_refuse(ret_complaint, path, ENOMEM,
				      "cannot be written: out of memory");
	unlink(beside);
	r = keyfile_write(beside, key, ret_complaint);
	if (r < 0)
		return r;
	if (rename(beside, path) < 0) {
		r = keyfile_refuse(ret_complaint, path, errno, "cannot be replaced: %s",
				   strerror(errno));
		unlink(beside);
		return r;
	}
	sync_folder_of(path);
	return 0;
}

int keyfile_remove(const char *path, struct keyfile_complaint *ret_complaint)
{
	if (unlink(path) < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be deleted: %s",
				      strerror(errno));
	sync_folder_of(path);
	return 0;
}
