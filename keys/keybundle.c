/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keybundle.h"

#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char first_line[] = "minivpn keys 1\n";

enum { HEAD_BYTES = NAME_MAX + 16 }; /* the line before a file */

static int out_of_memory(const char *path, struct keyfile_complaint *ret_complaint)
{
	return keyfile_refuse(ret_complaint, path, ENOMEM, "cannot be read: out of memory");
}

/* Room for @more bytes and a NUL.  What is left behind is wiped by sodium_free(). */
static bool make_room(struct keybundle *bundle, size_t more)
{
	size_t room = bundle->room ? bundle->room : 64 << 10;
	char *text;

	while (room < bundle->bytes + more + 1)
		room *= 2;
	if (room == bundle->room)
		return true;
	if (room > KEYBUNDLE_BYTES_MAX)
		return false;
	text = sodium_malloc(room);
	if (!text)
		return false;
	if (bundle->bytes > 0)
		memcpy(text, bundle->text, bundle->bytes);
	sodium_free(bundle->text);
	bundle->text = text;
	bundle->room = room;
	return true;
}

static void put(struct keybundle *bundle, const void *bytes, size_t size)
{
	memcpy(bundle->text + bundle->bytes, bytes, size);
	bundle->bytes += size;
}

static bool begin(struct keybundle *bundle, const char *path)
{
	*bundle = (struct keybundle){ 0 };
	snprintf(bundle->path, sizeof(bundle->path), "%s", path);
	if (!make_room(bundle, sizeof(first_line)))
		return false;
	put(bundle, first_line, sizeof(first_line) - 1);
	return true;
}

/* One file.  Its length stands before it, in a field of fixed width that is filled in afterwards. */
static int add(struct keybundle *bundle, int fd, const char *name, const char *path,
	       struct keyfile_complaint *ret_complaint)
{
	char head[HEAD_BYTES], length[6];
	size_t have = 0, at;
	ssize_t n = 1;

	if (!make_room(bundle, HEAD_BYTES + KEYFILE_BYTES_MAX + 1))
		return out_of_memory(path, ret_complaint);
	put(bundle, head, (size_t)snprintf(head, sizeof(head), "%s 00000\n", name));
	at = bundle->bytes;
	while (n != 0 && have <= KEYFILE_BYTES_MAX) {
		n = read(fd, bundle->text + at + have, KEYFILE_BYTES_MAX + 1 - have);
		if (n < 0 && errno != EINTR) {
			return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
					      strerror(errno));
		}
		have += n > 0 ? (size_t)n : 0;
	}
	if (have > KEYFILE_BYTES_MAX)
		return keyfile_refuse(ret_complaint, path, EFBIG,
				      "has more than %d bytes: it is no key file",
				      KEYFILE_BYTES_MAX);
	snprintf(length, sizeof(length), "%05zu", have);
	memcpy(bundle->text + at - 6, length, 5);
	bundle->bytes += have;
	return 0;
}

static int add_entry(struct keybundle *bundle, int folder, const char *name,
		     struct keyfile_complaint *ret_complaint)
{
	char path[PATH_MAX];
	scoped_fd fd = -1;

	snprintf(path, sizeof(path), "%.*s/%s", (int)(PATH_MAX - NAME_MAX - 2), bundle->path, name);
	fd = keyfile_open(folder, name, path, ret_complaint);
	return fd < 0 ? fd : add(bundle, fd, name, path, ret_complaint);
}

static int add_folder(struct keybundle *bundle, int folder, struct keyfile_complaint *ret_complaint)
{
	struct dirent **entry;
	int r = keyfolder_check(bundle->path, ret_complaint), entries;

	if (r < 0)
		return r;
	entries = keyfolder_list(bundle->path, &entry);
	if (entries < 0)
		return keyfile_refuse(ret_complaint, bundle->path, -entries, "cannot be read: %s",
				      strerror(-entries));
	for (int i = 0; i < entries; i++) {
		if (r == 0)
			r = add_entry(bundle, folder, entry[i]->d_name, ret_complaint);
		free(entry[i]);
	}
	free(entry);
	return r;
}

/* The only file of a server that has no folder, or a client's. */
static int add_file(struct keybundle *bundle, struct keyfile_complaint *ret_complaint)
{
	const char *slash = strrchr(bundle->path, '/');
	scoped_fd fd = keyfile_open(AT_FDCWD, bundle->path, bundle->path, ret_complaint);

	if (fd < 0)
		return fd;
	return add(bundle, fd, slash ? slash + 1 : bundle->path, bundle->path, ret_complaint);
}

int keybundle_gather(const char *path, struct keybundle *ret_bundle,
		     struct keyfile_complaint *ret_complaint)
{
	scoped_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct keybundle bundle;
	int r;

	if (!begin(&bundle, path))
		return out_of_memory(path, ret_complaint);
	r = folder < 0 ? add_file(&bundle, ret_complaint)
		       : add_folder(&bundle, folder, ret_complaint);
	if (r < 0)
		keybundle_release(&bundle);
	else
		*ret_bundle = bundle;
	return r;
}

int keybundle_gather_from(int fd, const char *name, struct keybundle *ret_bundle,
			  struct keyfile_complaint *ret_complaint)
{
	struct keybundle bundle;
	int r;

	if (!begin(&bundle, name))
		return out_of_memory(name, ret_complaint);
	r = add(&bundle, fd, name, name, ret_complaint);
	if (r < 0)
		keybundle_release(&bundle);
	else
		*ret_bundle = bundle;
	return r;
}

void keybundle_release(struct keybundle *bundle)
{
	sodium_free(bundle->text);
	*bundle = (struct keybundle){ 0 };
}

/* ---- From process to process ---- */

int keybundle_send(const struct keybundle *bundle)
{
	scoped_fd fd = memfd_create("minivpn-keys", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t sent = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (sent < bundle->bytes) {
		n = write(fd, bundle->text + sent, bundle->bytes - sent);
		if (n < 0)
			return -errno;
		sent += (size_t)n;
	}
	/* So that nobody can change it under the reader's hands. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}

int keybundle_receive(int fd, const char *path, struct keybundle *ret_bundle)
{
	struct keybundle bundle;
	struct stat s;
	size_t size;
	ssize_t n;

	if (fstat(fd, &s) < 0)
		return -errno;
	size = (size_t)s.st_size;
	if (!S_ISREG(s.st_mode) || s.st_size > KEYBUNDLE_BYTES_MAX / 2)
		return -EPROTO;
	if (!begin(&bundle, path))
		return -ENOMEM;
	bundle.bytes = 0;
	if (!make_room(&bundle, size + 1)) {
		keybundle_release(&bundle);
		return -ENOMEM;
	}
	n = pread(fd, bundle.text, size, 0);
	bundle.bytes = n > 0 ? (size_t)n : 0;
	if (bundle.bytes != size || size < sizeof(first_line) - 1 ||
	    memcmp(bundle.text, first_line, sizeof(first_line) - 1) != 0) {
		keybundle_release(&bundle);
		return -EPROTO;
	}
	*ret_bundle = bundle;
	return 0;
}

int keybundle_next(struct keybundle *bundle, size_t *cursor, struct keybundle_file *ret_file)
{
	size_t at = *cursor ? *cursor : sizeof(first_line) - 1, bytes;
	char *line = bundle->text + at, *end, *space;

	if (at == bundle->bytes)
		return 0;
	end = memchr(line, '\n', bundle->bytes - at);
	if (!end || end - line >= HEAD_BYTES)
		return -EPROTO;
	*end = '\0';
	space = strrchr(line, ' ');
	if (!space || strspn(space + 1, "0123456789") != 5 || space + 6 != end)
		return -EPROTO;
	*space = '\0';
	bytes = strtoul(space + 1, NULL, 10);
	if (bytes > KEYFILE_BYTES_MAX || bytes > bundle->bytes - (size_t)(end + 1 - bundle->text))
		return -EPROTO;
	*ret_file = (struct keybundle_file){ line, end + 1, bytes };
	*cursor = (size_t)(end + 1 - bundle->text) + bytes;
	return 1;
}
