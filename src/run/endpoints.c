/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints.h"

#include "log.h"
#include "scope.h"

#include <fcntl.h>
#include <string.h>

enum {
	NAME_FIELD_BYTES = 128,
	LINE_BYTES = NAME_FIELD_BYTES + ENDPOINT_TEXT_BYTES + ADDRESS_TEXT_BYTES + 3,
};

FILE *endpoints_open(const char *path)
{
	scoped_fd fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r+");

	if (file)
		take_fd(&fd);
	return file;
}

/* "NAME REMOTE:PORT LOCAL" */
static bool read_line(const char *line, const char *name, struct endpoint *ret_endpoint)
{
	char whose[NAME_FIELD_BYTES], remote[ENDPOINT_TEXT_BYTES], local[ADDRESS_TEXT_BYTES];
	struct endpoint endpoint = { 0 };

	if (sscanf(line, "%127s %63s %45s", whose, remote, local) != 3 || strcmp(whose, name) != 0)
		return false;
	if (!endpoint_parse(remote, &endpoint) || !address_parse(local, &endpoint.local))
		return false;
	*ret_endpoint = endpoint;
	return true;
}

bool endpoints_find(FILE *file, const char *name, struct endpoint *ret_endpoint)
{
	char line[LINE_BYTES];

	rewind(file);
	while (fgets(line, sizeof(line), file))
		if (read_line(line, name, ret_endpoint))
			return true;
	return false;
}

void endpoints_begin(FILE *file)
{
	rewind(file);
}

void endpoints_put(FILE *file, const char *name, const struct endpoint *endpoint)
{
	if (!endpoint_is_none(endpoint))
		fprintf(file, "%s %s %s\n", name, shown_endpoint(endpoint),
			shown_address(&endpoint->local));
}

/* What was longer before is cut off last: whoever reads in between finds whole lines, some of them
 * twice. */
int endpoints_end(FILE *file)
{
	if (fflush(file) != 0 || ftruncate(fileno(file), ftello(file)) < 0)
		return -errno;
	return 0;
}
