/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integers as they lie on the wire (big-endian), and two cursors over byte strings, a reader and
 * a writer, that can neither overrun nor forget the byte order.
 */
#ifndef MINIVPN_WIRE_H
#define MINIVPN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Big-endian integers are structs of bytes: alignment 1, no padding, impossible to confuse with
 * a number.  Both compilers turn a conversion into one load and one byte swap. */
typedef struct {
	uint8_t b[2];
} be16;
typedef struct {
	uint8_t b[4];
} be32;
typedef struct {
	uint8_t b[8];
} be64;

static inline uint16_t be16_to(be16 w)
{
	return (uint16_t)(w.b[0] << 8 | w.b[1]);
}

static inline uint32_t be32_to(be32 w)
{
	return (uint32_t)w.b[0] << 24 | (uint32_t)w.b[1] << 16 | (uint32_t)w.b[2] << 8 |
	       (uint32_t)w.b[3];
}

static inline uint64_t be64_to(be64 w)
{
	be32 high = { { w.b[0], w.b[1], w.b[2], w.b[3] } };
	be32 low = { { w.b[4], w.b[5], w.b[6], w.b[7] } };

	return (uint64_t)be32_to(high) << 32 | be32_to(low);
}

static inline be16 be16_from(uint16_t v)
{
	return (be16){ { (uint8_t)(v >> 8), (uint8_t)v } };
}

static inline be32 be32_from(uint32_t v)
{
	return (be32){ { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v } };
}

static inline be64 be64_from(uint64_t v)
{
	be32 high = be32_from((uint32_t)(v >> 32)), low = be32_from((uint32_t)v);

	return (be64){ { high.b[0], high.b[1], high.b[2], high.b[3], low.b[0], low.b[1], low.b[2],
			 low.b[3] } };
}

/* The same for fields that are reached by their offset in somebody else's header. */

static inline uint16_t wire_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wire_u32(const uint8_t *at)
{
	return (uint32_t)wire_u16(at) << 16 | wire_u16(at + 2);
}

static inline void wire_put_u16(uint8_t *at, uint32_t value)
{
	be16 w = be16_from((uint16_t)value);

	memcpy(at, &w, sizeof(w));
}

static inline void wire_put_u32(uint8_t *at, uint32_t value)
{
	be32 w = be32_from(value);

	memcpy(at, &w, sizeof(w));
}

/**
 * struct reader - a cursor over bytes that came from somewhere else
 * @at:   next byte to read
 * @left: bytes from @at to the end
 * @ok:   false once a read asked for more than was left; every later read then fails too
 *
 * Reads past the end return zeros (or NULL) and clear @ok, so that a parser may read a whole
 * record and check once.
 */
struct reader {
	const uint8_t *at;
	size_t left;
	bool ok;
};

static inline struct reader reader_over(const void *bytes, size_t size)
{
	return (struct reader){ bytes, size, true };
}

/** reader_take() - the next @n bytes, or NULL (and @ok false) when fewer are left */
static inline const uint8_t *reader_take(struct reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (!r->ok || r->left < n) {
		r->ok = false;
		return NULL;
	}
	r->at += n;
	r->left -= n;
	return at;
}

static inline void reader_copy(struct reader *r, void *ret_bytes, size_t n)
{
	const uint8_t *at = reader_take(r, n);

	if (at)
		memcpy(ret_bytes, at, n);
	else
		memset(ret_bytes, 0, n);
}

static inline uint8_t reader_u8(struct reader *r)
{
	const uint8_t *at = reader_take(r, 1);

	return at ? *at : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
	be16 w;

	reader_copy(r, &w, sizeof(w));
	return be16_to(w);
}

static inline uint32_t reader_u32(struct reader *r)
{
	be32 w;

	reader_copy(r, &w, sizeof(w));
	return be32_to(w);
}

/**
 * struct writer - a cursor over room that is ours to fill
 * @at:   next byte to write
 * @left: bytes of room from @at
 * @ok:   false once a write did not fit; nothing is written from then on
 */
struct writer {
	uint8_t *at;
	size_t left;
	bool ok;
};

static inline struct writer writer_over(void *room, size_t size)
{
	return (struct writer){ room, size, true };
}

/** writer_take() - room for the next @n bytes, or NULL (and @ok false) when less is left */
static inline uint8_t *writer_take(struct writer *w, size_t n)
{
	uint8_t *at = w->at;

	if (!w->ok || w->left < n) {
		w->ok = false;
		return NULL;
	}
	w->at += n;
	w->left -= n;
	return at;
}

static inline void writer_copy(struct writer *w, const void *bytes, size_t n)
{
	uint8_t *at = writer_take(w, n);

	if (at)
		memcpy(at, bytes, n);
}

static inline void writer_zeros(struct writer *w, size_t n)
{
	uint8_t *at = writer_take(w, n);

	if (at)
		memset(at, 0, n);
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	writer_copy(w, &v, 1);
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
	be16 b = be16_from(v);

	writer_copy(w, &b, sizeof(b));
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
	be32 b = be32_from(v);

	writer_copy(w, &b, sizeof(b));
}

#endif
