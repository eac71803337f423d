/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints.h"

#include "log.h"
#include "scope.h"

#include <fcntl.h>
#include <string.h>

enum {
	NAME_FIELD_BYTES = 80, /* the name of a key is shorter */
	/* Three fields and what is between and behind them, filled up with spaces. */
	LINE_BYTES = NAME_FIELD_BYTES + ENDPOINT_TEXT_BYTES + ADDRESS_TEXT_BYTES + 3,
};

/**
 * struct note - one peer
 * @line:   its place in the file, counted from 0
 * @wanted: has anybody asked for it?
 */
struct note {
	struct endpoint endpoint;
	size_t line;
	bool wanted;
	char name[NAME_FIELD_BYTES];
};

/**
 * struct endpoints - the file, and what is in it
 * @note:  by name, @count of them; there is room for @room, and as many in @free
 * @free:  lines before @lines that nobody has, @free_count of them
 * @lines: how many the file has
 */
struct endpoints {
	int fd;
	struct note **note;
	size_t count, room;
	size_t *free;
	size_t free_count, lines;
};

/* ---- The table ---- */

/* Where the note of @name is; or, if it returns false, would be. */
static bool search(const struct endpoints *endpoints, const char *name, size_t *ret_at)
{
	size_t low = 0, high = endpoints->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(endpoints->note[middle]->name, name);

		if (order == 0) {
			*ret_at = middle;
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_at = low;
	return false;
}

static bool make_room(struct endpoints *endpoints)
{
	size_t room = endpoints->room ? endpoints->room * 2 : 16;
	void *notes, *lines;

	if (endpoints->lines < endpoints->room)
		return true;
	notes = reallocarray(endpoints->note, room, sizeof(*endpoints->note));
	endpoints->note = notes ? notes : endpoints->note;
	lines = reallocarray(endpoints->free, room, sizeof(*endpoints->free));
	endpoints->free = lines ? lines : endpoints->free;
	if (!notes || !lines)
		return false;
	endpoints->room = room;
	return true;
}

/* A new note at @at; NULL without memory. */
static struct note *insert(struct endpoints *endpoints, size_t at, const char *name)
{
	struct note *note = make_room(endpoints) ? calloc(1, sizeof(*note)) : NULL;

	if (!note)
		return NULL;
	strcpy(note->name, name);
	note->line = endpoints->free_count > 0 ? endpoints->free[--endpoints->free_count]
					       : endpoints->lines++;
	memmove(endpoints->note + at + 1, endpoints->note + at,
		(endpoints->count++ - at) * sizeof(*endpoints->note));
	endpoints->note[at] = note;
	return note;
}

static void erase(struct endpoints *endpoints, size_t at)
{
	endpoints->free[endpoints->free_count++] = endpoints->note[at]->line;
	free(endpoints->note[at]);
	memmove(endpoints->note + at, endpoints->note + at + 1,
		(--endpoints->count - at) * sizeof(*endpoints->note));
}

/* ---- The file ---- */

static void write_line(char line[LINE_BYTES], const struct note *note)
{
	int n = snprintf(line, LINE_BYTES, "%s %s %s", note->name, shown_endpoint(&note->endpoint),
			 shown_address(&note->endpoint.local));

	memset(line + n, ' ', (size_t)(LINE_BYTES - 1 - n));
	line[LINE_BYTES - 1] = '\n';
}

static int put_line(const struct endpoints *endpoints, const char line[LINE_BYTES], size_t number)
{
	ssize_t n = pwrite(endpoints->fd, line, LINE_BYTES, (off_t)(number * LINE_BYTES));

	if (n < 0)
		return -errno;
	return n == LINE_BYTES ? 0 : -ENOSPC;
}

static int blank_line(const struct endpoints *endpoints, size_t number)
{
	char line[LINE_BYTES];

	memset(line, ' ', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	return put_line(endpoints, line, number);
}

/* "NAME REMOTE:PORT LOCAL" */
static void read_line(struct endpoints *endpoints, const char *line)
{
	char remote[ENDPOINT_TEXT_BYTES], local[ADDRESS_TEXT_BYTES], name[NAME_FIELD_BYTES];
	struct endpoint endpoint;
	struct note *note;
	size_t at;

	if (sscanf(line, "%79s %63s %45s", name, remote, local) != 3 ||
	    !endpoint_parse(remote, &endpoint) || !address_parse(local, &endpoint.local))
		return;
	note = search(endpoints, name, &at) ? endpoints->note[at] : insert(endpoints, at, name);
	if (note)
		note->endpoint = endpoint;
}

static void read_all(struct endpoints *endpoints, FILE *file)
{
	char line[LINE_BYTES + 1];

	while (fgets(line, sizeof(line), file))
		read_line(endpoints, line);
}

/* Whatever was in it: from now on each note has its line.  What is left over is cut off last: whoever is
 * killed in between leaves whole lines, some of them twice. */
static int write_all(struct endpoints *endpoints)
{
	char line[LINE_BYTES];
	int error = 0;

	for (size_t i = 0; i < endpoints->count && !error; i++) {
		endpoints->note[i]->line = i;
		write_line(line, endpoints->note[i]);
		error = put_line(endpoints, line, i);
	}
	endpoints->lines = endpoints->count;
	endpoints->free_count = 0;
	if (!error && ftruncate(endpoints->fd, (off_t)(endpoints->lines * LINE_BYTES)) < 0)
		error = -errno;
	return error;
}

struct endpoints *endpoints_open(const char *path)
{
	struct endpoints *endpoints = calloc(1, sizeof(*endpoints));
	scoped_fd fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	scoped_fd to_read = fd < 0 ? -1 : dup(fd);
	scoped_file file = to_read < 0 ? NULL : fdopen(to_read, "r");

	if (!endpoints || !file) {
		free(endpoints);
		return NULL;
	}
	take_fd(&to_read);
	endpoints->fd = take_fd(&fd);
	read_all(endpoints, file);
	write_all(endpoints);
	return endpoints;
}

void endpoints_close(struct endpoints *endpoints)
{
	if (!endpoints)
		return;
	close(endpoints->fd);
	for (size_t i = 0; i < endpoints->count; i++)
		free(endpoints->note[i]);
	free(endpoints->note);
	free(endpoints->free);
	free(endpoints);
}

bool endpoints_find(struct endpoints *endpoints, const char *name, struct endpoint *ret_endpoint)
{
	size_t at;

	if (!search(endpoints, name, &at))
		return false;
	endpoints->note[at]->wanted = true;
	*ret_endpoint = endpoints->note[at]->endpoint;
	return true;
}

int endpoints_put(struct endpoints *endpoints, const char *name, const struct endpoint *endpoint)
{
	char line[LINE_BYTES];
	struct note *note;
	size_t at;
	bool found = search(endpoints, name, &at);

	if (endpoint_is_none(endpoint)) {
		int error = found ? blank_line(endpoints, endpoints->note[at]->line) : 0;

		if (found)
			erase(endpoints, at);
		return error;
	}
	if (strlen(name) >= NAME_FIELD_BYTES)
		return -EINVAL;
	note = found ? endpoints->note[at] : insert(endpoints, at, name);
	if (!note)
		return -ENOMEM;
	note->endpoint = *endpoint;
	note->wanted = true;
	write_line(line, note);
	return put_line(endpoints, line, note->line);
}

int endpoints_tidy(struct endpoints *endpoints)
{
	size_t kept = 0;

	for (size_t i = 0; i < endpoints->count; i++) {
		if (endpoints->note[i]->wanted)
			endpoints->note[kept++] = endpoints->note[i];
		else
			free(endpoints->note[i]);
	}
	if (kept == endpoints->count)
		return 0;
	endpoints->count = kept;
	return write_all(endpoints);
}
