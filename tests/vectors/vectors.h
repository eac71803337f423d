/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading test vectors: JSON whose byte strings are hex.  For tests and programs that only tests
 * run: a file that cannot be read, or a field that is not what it should be, ends the program
 * with a sentence and status 2.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** vectors_load() - the whole file; json_decref() it */
json_t *vectors_load(const char *path);

/** vector_array() - an array of @record */
const json_t *vector_array(const json_t *record, const char *field);

/** vector_text() - a string of @record */
const char *vector_text(const json_t *record, const char *field);

/** vector_number() - an integer of @record */
json_int_t vector_number(const json_t *record, const char *field);

/** vector_flag() - true or false of @record */
bool vector_flag(const json_t *record, const char *field);

/**
 * vector_bytes() - a byte string of @record, in hex
 * @ret_bytes: room for @room bytes
 *
 * Return: how many bytes there are
 */
size_t vector_bytes(const json_t *record, const char *field, uint8_t *ret_bytes, size_t room);

/** vector_exactly() - vector_bytes() that must be @n bytes */
void vector_exactly(const json_t *record, const char *field, uint8_t *ret_bytes, size_t n);

#endif
