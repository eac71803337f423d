/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints.h"

#include "log.h"
#include "scope.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_FIELD_BYTES = 80, /* the name of a key is shorter */
	LINE_BYTES = NAME_FIELD_BYTES + ENDPOINT_TEXT_BYTES + ADDRESS_TEXT_BYTES + 3,
};

struct note {
	char name[NAME_FIELD_BYTES];
	struct endpoint endpoint;
};

/**
 * struct endpoints - the file, and what was in it
 * @note:  what was found, by name
 * @count: how many of them, in room for @room
 */
struct endpoints {
	FILE *file;
	struct note *note;
	size_t count, room;
};

/* "NAME REMOTE:PORT LOCAL" */
static bool read_line(const char *line, struct note *ret_note)
{
	char remote[ENDPOINT_TEXT_BYTES], local[ADDRESS_TEXT_BYTES];
	struct note note = { 0 };

	if (sscanf(line, "%79s %63s %45s", note.name, remote, local) != 3)
		return false;
	if (!endpoint_parse(remote, &note.endpoint) || !address_parse(local, &note.endpoint.local))
		return false;
	*ret_note = note;
	return true;
}

static bool make_room(struct endpoints *endpoints)
{
	size_t room = endpoints->room ? endpoints->room * 2 : 16;
	struct note *note;

	if (endpoints->count < endpoints->room)
		return true;
	note = reallocarray(endpoints->note, room, sizeof(*note));
	if (!note)
		return false;
	endpoints->note = note;
	endpoints->room = room;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct note *)a)->name, ((const struct note *)b)->name);
}

static void read_all(struct endpoints *endpoints)
{
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), endpoints->file) && make_room(endpoints))
		endpoints->count += read_line(line, &endpoints->note[endpoints->count]);
	if (endpoints->count > 0)
		qsort(endpoints->note, endpoints->count, sizeof(*endpoints->note), by_name);
}

struct endpoints *endpoints_open(const char *path)
{
	scoped_memory struct endpoints *endpoints = calloc(1, sizeof(*endpoints));
	scoped_fd fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (!endpoints || fd < 0)
		return NULL;
	endpoints->file = fdopen(fd, "r+");
	if (!endpoints->file)
		return NULL;
	take_fd(&fd);
	read_all(endpoints);
	return take_memory(endpoints);
}

void endpoints_close(struct endpoints *endpoints)
{
	if (!endpoints)
		return;
	fclose(endpoints->file);
	free(endpoints->note);
	free(endpoints);
}

bool endpoints_find(const struct endpoints *endpoints, const char *name,
		    struct endpoint *ret_endpoint)
{
	const struct note *note;
	struct note wanted;

	if (endpoints->count == 0 || strlen(name) >= sizeof(wanted.name))
		return false;
	strcpy(wanted.name, name);
	note = bsearch(&wanted, endpoints->note, endpoints->count, sizeof(*note), by_name);
	if (!note)
		return false;
	*ret_endpoint = note->endpoint;
	return true;
}

void endpoints_begin(struct endpoints *endpoints)
{
	rewind(endpoints->file);
}

void endpoints_put(struct endpoints *endpoints, const char *name, const struct endpoint *endpoint)
{
	if (!endpoint_is_none(endpoint))
		fprintf(endpoints->file, "%s %s %s\n", name, shown_endpoint(endpoint),
			shown_address(&endpoint->local));
}

/* What was longer before is cut off last: whoever is killed in between leaves whole lines, some of
 * them twice. */
int endpoints_end(struct endpoints *endpoints)
{
	FILE *file = endpoints->file;

	if (fflush(file) != 0 || ftruncate(fileno(file), ftello(file)) < 0)
		return -errno;
	return 0;
}
