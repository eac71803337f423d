/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is wrong with a text that a person wrote: where, what was found, what was expected.
 * Parsers return one of these instead of printing; the program that knows the file or the flag
 * puts its name in front.
 */
#ifndef MINIVPN_COMPLAINT_H
#define MINIVPN_COMPLAINT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

enum { COMPLAINT_TEXT_BYTES = 320 };

/**
 * struct complaint - one thing wrong with a text
 * @line: line it stands in, counted from 1; 0 where there are no lines
 * @text: what was found and what was expected; no secret, no control characters
 */
struct complaint {
	unsigned line;
	char text[COMPLAINT_TEXT_BYTES];
};

/**
 * complain() - fill in a complaint
 *
 * Control characters in what was found are shown as '?', so that a hostile file cannot write
 * to a terminal.
 *
 * Return: false, so that a parser can end in `return complain(...)`
 */
__attribute__((format(printf, 3, 4))) static inline bool
complain(struct complaint *ret_complaint, unsigned line, const char *format, ...)
{
	va_list arguments;

	ret_complaint->line = line;
	va_start(arguments, format);
	vsnprintf(ret_complaint->text, sizeof(ret_complaint->text), format, arguments);
	va_end(arguments);
	for (char *c = ret_complaint->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return false;
}

#endif
