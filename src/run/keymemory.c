/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/keymemory.h"

#include "log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
	ALIGN_BYTES = 64,
	CHUNK_BYTES = 256 << 10,
	HUGE_BYTES = 2 << 20,      /* a chunk that is one huge page, on most machines */
	HUGE_FROM_BYTES = 4 << 20, /* chunks are such once there are so many others */
	LARGE_BYTES = 64 << 10,
};

/* Lies before every piece, on a cache line of its own. */
struct keymemory_piece {
	size_t bytes;                 /* with this header */
	struct keymemory_piece *next; /* of its size, while it is not in use */
	uint8_t padding[ALIGN_BYTES - sizeof(size_t) - sizeof(void *)];
};
static_assert(sizeof(struct keymemory_piece) == ALIGN_BYTES, "pieces stay aligned");

static uint8_t *map_pages(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

/* A huge page begins at a multiple of its size: of twice as much, what lies around it goes back. */
static uint8_t *map_huge(void)
{
	uint8_t *room = map_pages(2 * HUGE_BYTES), *chunk;

	if (!room)
		return NULL;
	chunk = room + -(uintptr_t)room % HUGE_BYTES;
	if (chunk > room)
		munmap(room, (size_t)(chunk - room));
	munmap(chunk + HUGE_BYTES, (size_t)(room + HUGE_BYTES - chunk));
	madvise(chunk, HUGE_BYTES, MADV_HUGEPAGE);
	return chunk;
}

static uint8_t *map(struct keymemory *memory, size_t bytes)
{
	uint8_t *chunk = bytes == HUGE_BYTES ? map_huge() : map_pages(bytes);

	if (!chunk)
		return NULL;
	madvise(chunk, bytes, MADV_DONTDUMP);
	if (mlock(chunk, bytes) < 0 && !memory->unlocked) {
		log_warning("keymemory: keys cannot be kept out of swap: %s: more memory has to be "
			    "lockable here ('ulimit -l', LimitMEMLOCK=)",
			    strerror(errno));
		memory->unlocked = true;
	}
	return chunk;
}

/* Sizes are rounded up to four steps for each power of two: at most a quarter is wasted, and there
 * are not more sizes than @kept has room for. */
static size_t rounded(size_t bytes)
{
	size_t power = ALIGN_BYTES;

	while (power * 2 <= bytes)
		power *= 2;

	size_t step = power / 4 < ALIGN_BYTES ? ALIGN_BYTES : power / 4;

	return (bytes + step - 1) / step * step;
}

/* The list of kept pieces of a size; one is begun for a size that is new. */
static struct keymemory_piece **list_of(struct keymemory *memory, size_t bytes)
{
	for (size_t i = 0; i < KEYMEMORY_SIZES_MAX; i++) {
		if (memory->kept[i].bytes == 0)
			memory->kept[i].bytes = bytes;
		if (memory->kept[i].bytes == bytes)
			return &memory->kept[i].first;
	}
	assert(false && "more sizes than rounded() makes");
	return NULL;
}

static struct keymemory_piece *carve(struct keymemory *memory, size_t all)
{
	struct keymemory_piece *piece;

	if (memory->left < all) {
		size_t chunk = memory->chunks_bytes < HUGE_FROM_BYTES ? CHUNK_BYTES : HUGE_BYTES;

		memory->at = map(memory, chunk);
		memory->left = memory->at ? chunk : 0;
		if (!memory->at)
			return NULL;
		memory->chunks_bytes += chunk;
	}
	piece = (void *)memory->at;
	memory->at += all;
	memory->left -= all;
	return piece;
}

static void *take_small(struct keymemory *memory, size_t bytes)
{
	size_t all = sizeof(struct keymemory_piece) + rounded(bytes);
	struct keymemory_piece **list = list_of(memory, all);
	struct keymemory_piece *piece = *list;

	if (piece) {
		*list = piece->next;
		memset(piece, 0, all);
	} else {
		piece = carve(memory, all);
	}
	if (!piece)
		return NULL;
	piece->bytes = all;
	return piece + 1;
}

/* What is large has a mapping of its own, which ends with it. */
static void *take_large(struct keymemory *memory, size_t bytes)
{
	size_t all = sizeof(struct keymemory_piece) + bytes;
	struct keymemory_piece *piece = (void *)map(memory, all);

	if (!piece)
		return NULL;
	piece->bytes = all;
	return piece + 1;
}

void *keymemory_take(struct keymemory *memory, size_t bytes)
{
	if (bytes > SIZE_MAX / 2)
		return NULL;
	return bytes > LARGE_BYTES ? take_large(memory, bytes) : take_small(memory, bytes);
}

void keymemory_give(struct keymemory *memory, void *given)
{
	struct keymemory_piece *piece, **list;

	if (!given)
		return;
	piece = (struct keymemory_piece *)given - 1;
	if (piece->bytes > sizeof(*piece) + LARGE_BYTES) {
		munmap(piece, piece->bytes);
		return;
	}
	list = list_of(memory, piece->bytes);
	piece->next = *list;
	*list = piece;
}
