/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory for what holds keys: locked, so that it is never written to swap; kept out of core dumps;
 * zeroed when it is handed out.  Apart from everything else, so that locking a page locks no packets.
 *
 * With thousands of peers it lies in huge pages, where the kernel has them: each packet is somebody else's
 * then, and the translation of its peer's addresses would take longer than anything else about it.
 *
 * The same sizes are asked for again and again (peers, sessions, handshakes), so what is given back
 * is kept for the next one of its size.  The whole of it goes with the process.
 */
#ifndef RUN_KEYMEMORY_H
#define RUN_KEYMEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEYMEMORY_SIZES_MAX = 48 };

struct keymemory_piece;

/**
 * struct keymemory - an arena; zero-initialised is empty and ready
 * @at, @left: what has not been handed out yet of the newest chunk
 * @chunks_bytes: all chunks together
 * @kept:      pieces given back, by size
 * @unlocked:  could some of it not be locked?
 */
struct keymemory {
	uint8_t *at;
	size_t left, chunks_bytes;
	struct {
		size_t bytes;
		struct keymemory_piece *first;
	} kept[KEYMEMORY_SIZES_MAX];
	bool unlocked;
};

/** keymemory_take() - @bytes of zeroed memory, aligned to 64 bytes; NULL if there is none */
void *keymemory_take(struct keymemory *memory, size_t bytes);

/** keymemory_give() - give back what keymemory_take() gave; its owner has wiped it.  NULL is fine */
void keymemory_give(struct keymemory *memory, void *given);

#endif
