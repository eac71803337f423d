/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys/keybundle.h"

#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const char first_line[] = "minivpn keys 3\n";

/**
 * struct keybundle_head - what stands before a file
 * @name_bytes: with NUL
 * @shared:     as in struct keybundle_file
 * @bytes:      of the text; NO_TEXT if there is none, NO_FILE if there is no file
 */
struct keybundle_head {
	struct keystamp stamp;
	uint16_t name_bytes;
	uint16_t shared;
	uint32_t bytes;
};

enum {
	NO_TEXT = KEYFILE_BYTES_MAX + 1,
	NO_FILE,

	START_BYTES = sizeof(first_line) - 1 + sizeof(struct keybundle_kind),
	USUAL_BYTES = sizeof(struct keybundle_head) + 32, /* of a file without its text */
};

/* ---- Stamps ---- */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

struct keystamp keystamp_of(const struct stat *s, const struct timespec *now)
{
	const int64_t rest_ns = (int64_t)KEYSTAMP_REST_S * 1000000000;

	if (ns_of(now) - ns_of(&s->st_ctim) < rest_ns || ns_of(now) - ns_of(&s->st_mtim) < rest_ns)
		return (struct keystamp){ 0 };
	return (struct keystamp){
		.device = s->st_dev,
		.inode = s->st_ino,
		.bytes = (uint64_t)s->st_size,
		.modified_ns = ns_of(&s->st_mtim),
		.changed_ns = ns_of(&s->st_ctim),
	};
}

static bool is_known(const struct keystamp *stamp)
{
	return stamp->changed_ns != 0;
}

bool keystamp_same(const struct keystamp *a, const struct keystamp *b)
{
	return is_known(a) && a->device == b->device && a->inode == b->inode &&
	       a->bytes == b->bytes && a->modified_ns == b->modified_ns &&
	       a->changed_ns == b->changed_ns;
}

/* ---- Gathering ---- */

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
	if (!make_room(bundle, START_BYTES))
		return false;
	put(bundle, first_line, sizeof(first_line) - 1);
	put(bundle, &bundle->kind,
	    sizeof(bundle->kind)); /* keybundle_send() puts in what it is by then */
	return true;
}

/* Head and name; the text is to follow.  Returns where the head's length stands, or 0 without memory. */
static size_t add_head(struct keybundle *bundle, const struct keybundle_file *file)
{
	struct keybundle_head head = { file->stamp, (uint16_t)(strlen(file->name) + 1),
				       file->shared, file->gone ? NO_FILE : NO_TEXT };
	const char *name = file->name;
	size_t at;

	if (!make_room(bundle, sizeof(head) + head.name_bytes))
		return 0;
	at = bundle->bytes + offsetof(struct keybundle_head, bytes);
	put(bundle, &head, sizeof(head));
	put(bundle, name, head.name_bytes);
	return at;
}

static int add_text(struct keybundle *bundle, int fd, size_t length_at, const char *path,
		    struct keyfile_complaint *ret_complaint)
{
	uint32_t have = 0;
	ssize_t n = 1;

	if (!make_room(bundle, KEYFILE_BYTES_MAX + 1))
		return out_of_memory(path, ret_complaint);
	while (n != 0 && have <= KEYFILE_BYTES_MAX) {
		n = read(fd, bundle->text + bundle->bytes + have, KEYFILE_BYTES_MAX + 1 - have);
		if (n < 0 && errno != EINTR)
			return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
					      strerror(errno));
		have += n > 0 ? (uint32_t)n : 0;
	}
	if (have > KEYFILE_BYTES_MAX)
		return keyfile_refuse(ret_complaint, path, EFBIG,
				      "has more than %d bytes: it is no key file",
				      KEYFILE_BYTES_MAX);
	memcpy(bundle->text + length_at, &have, sizeof(have));
	bundle->bytes += have;
	return 0;
}

static int add(struct keybundle *bundle, int fd, const struct keybundle_file *file,
	       const char *path, struct keyfile_complaint *ret_complaint)
{
	size_t length_at = add_head(bundle, file);

	return length_at > 0 ? add_text(bundle, fd, length_at, path, ret_complaint)
			     : out_of_memory(path, ret_complaint);
}

/**
 * struct gathering - a folder on its way into a bundle
 * @now: when that began
 */
struct gathering {
	struct keybundle *bundle;
	int folder;
	struct timespec now;
	enum keybundle_texts texts;
};

/* As fstatat(2), or with a @name of "" as fstat(2); and has the file another name? */
static int examine(int folder, const char *name, struct stat *ret_stat, bool *ret_shared)
{
	struct statx x;

	if (statx(folder, name, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH),
		  STATX_BASIC_STATS, &x) < 0)
		return -errno;
	*ret_stat = (struct stat){
		.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		.st_ino = x.stx_ino,
		.st_mode = x.stx_mode,
		.st_uid = x.stx_uid,
		.st_size = (off_t)x.stx_size,
		.st_mtim = { x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec },
		.st_ctim = { x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec },
	};
	*ret_shared = x.stx_nlink != 1 || (x.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	return 0;
}

/* The stamp is that of the file that is read, taken before it is: what is written meanwhile shows. */
static int read_entry(const struct gathering *g, const char *name, const char *path,
		      struct keyfile_complaint *ret_complaint)
{
	scoped_fd fd = keyfile_open(g->folder, name, path, ret_complaint);
	struct keybundle_file file = { .name = name };
	struct stat s;
	int r;

	if (fd < 0)
		return fd;
	r = examine(fd, "", &s, &file.shared);
	if (r < 0)
		return keyfile_refuse(ret_complaint, path, -r, "cannot be examined: %s",
				      strerror(-r));
	file.stamp = keystamp_of(&s, &g->now);
	return add(g->bundle, fd, &file, path, ret_complaint);
}

static char *path_of(const struct gathering *g, const char *name, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)(PATH_MAX - NAME_MAX - 2), g->bundle->path,
		 name);
	return ret_path;
}

static int add_entry(const struct gathering *g, const char *name,
		     struct keyfile_complaint *ret_complaint)
{
	struct keybundle_file file = { .name = name };
	char path[PATH_MAX];
	struct stat s;
	int r;

	path_of(g, name, path);
	if (g->texts == KEYBUNDLE_YOUNG) {
		r = examine(g->folder, name, &s, &file.shared);
		if (r < 0)
			return keyfile_refuse(ret_complaint, path, -r, "cannot be examined: %s",
					      strerror(-r));
		r = keyfile_check(&s, path, ret_complaint);
		if (r < 0)
			return r;
		file.stamp = keystamp_of(&s, &g->now);
	}
	if (!is_known(&file.stamp))
		return read_entry(g, name, path, ret_complaint);
	return add_head(g->bundle, &file) > 0 ? 0 : out_of_memory(path, ret_complaint);
}

static int add_folder(const struct gathering *g, struct keyfile_complaint *ret_complaint)
{
	const char *path = g->bundle->path;
	struct dirent **entry;
	int entries = keyfolder_list(path, &entry, ret_complaint), r = 0;

	if (entries < 0)
		return entries;
	if (!make_room(g->bundle, (size_t)entries * USUAL_BYTES))
		r = out_of_memory(path, ret_complaint);
	for (int i = 0; i < entries; i++) {
		if (r == 0)
			r = add_entry(g, entry[i]->d_name, ret_complaint);
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
	struct keybundle_file file = { .name = slash ? slash + 1 : bundle->path };

	return fd < 0 ? fd : add(bundle, fd, &file, bundle->path, ret_complaint);
}

int keybundle_gather(const char *path, enum keybundle_texts texts, struct keybundle *ret_bundle,
		     struct keyfile_complaint *ret_complaint)
{
	scoped_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct keybundle bundle;
	struct gathering g = { .bundle = &bundle, .folder = folder, .texts = texts };
	int r;

	if (!begin(&bundle, path))
		return out_of_memory(path, ret_complaint);
	clock_gettime(CLOCK_REALTIME, &g.now);
	r = folder < 0 ? add_file(&bundle, ret_complaint) : add_folder(&g, ret_complaint);
	if (r < 0)
		keybundle_release(&bundle);
	else
		*ret_bundle = bundle;
	return r;
}

static int add_named(const struct gathering *g, const char *name,
		     struct keyfile_complaint *ret_complaint)
{
	struct keybundle_file gone = { .name = name, .gone = true };
	char path[PATH_MAX];
	int r = read_entry(g, name, path_of(g, name, path), ret_complaint);

	if (r != -ENOENT)
		return r;
	return add_head(g->bundle, &gone) > 0 ? 0 : out_of_memory(path, ret_complaint);
}

int keybundle_gather_part(const char *path, const char *const *name, size_t count,
			  struct keybundle *ret_bundle, struct keyfile_complaint *ret_complaint)
{
	scoped_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct keybundle bundle;
	struct gathering g = { .bundle = &bundle, .folder = folder };
	int r = keyfolder_check(path, ret_complaint);

	if (r < 0)
		return r;
	if (folder < 0)
		return keyfile_refuse(ret_complaint, path, errno, "cannot be read: %s",
				      strerror(errno));
	if (!begin(&bundle, path))
		return out_of_memory(path, ret_complaint);
	bundle.kind.is_part = true;
	clock_gettime(CLOCK_REALTIME, &g.now);
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_named(&g, name[i], ret_complaint);
	if (r < 0)
		keybundle_release(&bundle);
	else
		*ret_bundle = bundle;
	return r;
}

static int copy_or_read(const struct gathering *g, const struct keybundle_file *file, bool wanted,
			struct keyfile_complaint *ret_complaint)
{
	char path[PATH_MAX];
	size_t length_at;
	uint32_t bytes = (uint32_t)file->bytes;

	if (wanted && !file->text)
		return read_entry(g, file->name, path_of(g, file->name, path), ret_complaint);
	length_at = add_head(g->bundle, file);
	if (length_at == 0 || !make_room(g->bundle, bytes))
		return out_of_memory(g->bundle->path, ret_complaint);
	if (file->text) {
		memcpy(g->bundle->text + length_at, &bytes, sizeof(bytes));
		put(g->bundle, file->text, bytes);
	}
	return 0;
}

int keybundle_fill(struct keybundle *bundle, bool (*wanted)(void *context, const char *name),
		   void *context, struct keyfile_complaint *ret_complaint)
{
	scoped_fd folder = open(bundle->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct keybundle filled;
	struct gathering g = { .bundle = &filled, .folder = folder };
	struct keybundle_file file;
	size_t cursor = 0;
	int r = 0;

	if (folder < 0)
		return keyfile_refuse(ret_complaint, bundle->path, errno, "cannot be read: %s",
				      strerror(errno));
	if (!begin(&filled, bundle->path))
		return out_of_memory(bundle->path, ret_complaint);
	filled.kind = bundle->kind;
	clock_gettime(CLOCK_REALTIME, &g.now);
	while (r == 0 && keybundle_next(bundle, &cursor, &file) > 0)
		r = copy_or_read(&g, &file, wanted(context, file.name), ret_complaint);
	keybundle_release(r == 0 ? bundle : &filled);
	if (r == 0)
		*bundle = filled;
	return r;
}

int keybundle_gather_from(int fd, const char *name, struct keybundle *ret_bundle,
			  struct keyfile_complaint *ret_complaint)
{
	struct keybundle bundle;
	int r;

	if (!begin(&bundle, name))
		return out_of_memory(name, ret_complaint);
	r = add(&bundle, fd, &(struct keybundle_file){ .name = name }, name, ret_complaint);
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

int keybundle_send(struct keybundle *bundle)
{
	scoped_fd fd = memfd_create("minivpn-keys", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t sent = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	memcpy(bundle->text + sizeof(first_line) - 1, &bundle->kind, sizeof(bundle->kind));
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
	if (bundle.bytes != size || size < (size_t)START_BYTES ||
	    memcmp(bundle.text, first_line, sizeof(first_line) - 1) != 0) {
		keybundle_release(&bundle);
		return -EPROTO;
	}
	memcpy(&bundle.kind, bundle.text + sizeof(first_line) - 1, sizeof(bundle.kind));
	*ret_bundle = bundle;
	return 0;
}

int keybundle_next(const struct keybundle *bundle, size_t *cursor, struct keybundle_file *ret_file)
{
	size_t at = *cursor ? *cursor : (size_t)START_BYTES;
	struct keybundle_head head;
	const char *name;

	if (at == bundle->bytes)
		return 0;
	if (bundle->bytes - at < sizeof(head))
		return -EPROTO;
	memcpy(&head, bundle->text + at, sizeof(head));
	at += sizeof(head);
	name = bundle->text + at;
	if (head.name_bytes == 0 || head.name_bytes > NAME_MAX + 1 ||
	    head.name_bytes > bundle->bytes - at ||
	    strnlen(name, head.name_bytes) + 1 != head.name_bytes)
		return -EPROTO;
	at += head.name_bytes;
	*ret_file = (struct keybundle_file){ .name = name,
					     .stamp = head.stamp,
					     .gone = head.bytes == NO_FILE,
					     .shared = head.shared };
	if (head.bytes != NO_TEXT && head.bytes != NO_FILE) {
		if (head.bytes > KEYFILE_BYTES_MAX || head.bytes > bundle->bytes - at)
			return -EPROTO;
		ret_file->text = bundle->text + at;
		ret_file->bytes = head.bytes;
		at += head.bytes;
	}
	*cursor = at;
	return 1;
}
