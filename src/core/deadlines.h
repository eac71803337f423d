/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of many things is due first: a binary heap, smallest time on top.  Any of them is moved, or
 * taken out, in logarithmic time, since each knows its place.
 *
 * It holds no memory of its own: a deadline is part of the thing that has it, and the array of
 * pointers is given by whoever may allocate.
 */
#ifndef CORE_DEADLINES_H
#define CORE_DEADLINES_H

#include "minivpn/instant.h"

#include <stddef.h>

/**
 * struct deadline - when something is due; part of it
 * @at:    changed by deadlines_set() only
 * @place: index in the heap
 */
struct deadline {
	struct instant at;
	size_t place;
};

/** struct deadlines - all of them, @count of @room; no child is due before its parent */
struct deadlines {
	struct deadline **heap;
	size_t count, room;
};

/** deadlines_add() - @deadline->at is set, and there is room for one more */
void deadlines_add(struct deadlines *deadlines, struct deadline *deadline);

/** deadlines_remove() - take out one that is in there */
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);

/** deadlines_set() - one that is in there is due @at now, earlier or later than before */
void deadlines_set(struct deadlines *deadlines, struct deadline *deadline, struct instant at);

/** deadlines_first() - what is due first; NULL if there is none */
struct deadline *deadlines_first(const struct deadlines *deadlines);

/** deadlines_move() - into an array with @room, at least @count; the one before is the caller's again */
void deadlines_move(struct deadlines *deadlines, struct deadline **heap, size_t room);

#endif
