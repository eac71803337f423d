/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vectors.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn, format(printf, 1, 2))) static void unreadable(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("test vectors: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

json_t *vectors_load(const char *path)
{
	json_error_t error;
	json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (!file && error.line > 0)
		unreadable("%s, line %d: %s", path, error.line, error.text);
	if (!file)
		unreadable("%s", error.text);
	if (!json_is_object(file))
		unreadable("%s: not an object", path);
	return file;
}

/* Which record is meant: by whatever names it. */
static const char *name_of(const json_t *record, char *room, size_t room_bytes)
{
	const json_t *id = json_object_get(record, "id"), *tc = json_object_get(record, "tcId");

	if (json_is_string(id))
		snprintf(room, room_bytes, "%s", json_string_value(id));
	else if (json_is_integer(tc))
		snprintf(room, room_bytes, "tcId %" JSON_INTEGER_FORMAT, json_integer_value(tc));
	else
		snprintf(room, room_bytes, "a record");
	return room;
}

__attribute__((noreturn)) static void wrong_field(const json_t *record, const char *field,
						  const char *expected)
{
	char name[64];

	unreadable("%s: field \"%s\" is missing or not %s", name_of(record, name, sizeof(name)),
		   field, expected);
}

const json_t *vector_array(const json_t *record, const char *field)
{
	const json_t *value = json_object_get(record, field);

	if (!json_is_array(value))
		wrong_field(record, field, "an array");
	return value;
}

const char *vector_text(const json_t *record, const char *field)
{
	const json_t *value = json_object_get(record, field);

	if (!json_is_string(value))
		wrong_field(record, field, "a string");
	return json_string_value(value);
}

json_int_t vector_number(const json_t *record, const char *field)
{
	const json_t *value = json_object_get(record, field);

	if (!json_is_integer(value))
		wrong_field(record, field, "an integer");
	return json_integer_value(value);
}

bool vector_flag(const json_t *record, const char *field)
{
	const json_t *value = json_object_get(record, field);

	if (!json_is_boolean(value))
		wrong_field(record, field, "true or false");
	return json_is_true(value);
}

static int nibble(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

size_t vector_bytes(const json_t *record, const char *field, uint8_t *ret_bytes, size_t room)
{
	const char *hex = vector_text(record, field);
	size_t n = strlen(hex) / 2;

	if (strlen(hex) % 2 != 0 || n > room)
		wrong_field(record, field, "hex of that length");
	for (size_t i = 0; i < n; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			wrong_field(record, field, "hex");
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return n;
}

void vector_exactly(const json_t *record, const char *field, uint8_t *ret_bytes, size_t n)
{
	if (strlen(vector_text(record, field)) != 2 * n)
		wrong_field(record, field, "hex of that length");
	vector_bytes(record, field, ret_bytes, n);
}
