/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "deadlines.h"

#include <stdbool.h>
#include <string.h>

static bool is_before(const struct deadline *a, const struct deadline *b)
{
	return a->at.ns < b->at.ns;
}

static void put(struct deadlines *deadlines, size_t place, struct deadline *deadline)
{
	deadlines->heap[place] = deadline;
	deadline->place = place;
}

static void move_up(struct deadlines *deadlines, struct deadline *deadline)
{
	size_t place = deadline->place;

	while (place > 0) {
		struct deadline *parent = deadlines->heap[(place - 1) / 2];

		if (!is_before(deadline, parent))
			break;
		put(deadlines, place, parent);
		place = (place - 1) / 2;
	}
	put(deadlines, place, deadline);
}

static void move_down(struct deadlines *deadlines, struct deadline *deadline)
{
	struct deadline **heap = deadlines->heap;
	size_t place = deadline->place, child;

	while ((child = 2 * place + 1) < deadlines->count) {
		if (child + 1 < deadlines->count && is_before(heap[child + 1], heap[child]))
			child++;
		if (!is_before(heap[child], deadline))
			break;
		put(deadlines, place, heap[child]);
		place = child;
	}
	put(deadlines, place, deadline);
}

void deadlines_add(struct deadlines *deadlines, struct deadline *deadline)
{
	deadline->place = deadlines->count++;
	move_up(deadlines, deadline);
}

void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline)
{
	struct deadline *last = deadlines->heap[--deadlines->count];

	if (last == deadline)
		return;
	put(deadlines, deadline->place, last);
	move_up(deadlines, last);
	move_down(deadlines, last);
}

void deadlines_set(struct deadlines *deadlines, struct deadline *deadline, struct instant at)
{
	deadline->at = at;
	move_up(deadlines, deadline);
	move_down(deadlines, deadline);
}

struct deadline *deadlines_first(const struct deadlines *deadlines)
{
	return deadlines->count > 0 ? deadlines->heap[0] : NULL;
}

void deadlines_move(struct deadlines *deadlines, struct deadline **heap, size_t room)
{
	if (deadlines->count > 0)
		memcpy(heap, deadlines->heap, deadlines->count * sizeof(struct deadline *));
	deadlines->heap = heap;
	deadlines->room = room;
}
