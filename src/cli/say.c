/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/say.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

void say(const char *format, ...)
{
	char text[PATH_MAX + 1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "minivpn: %s\n", text);
}
