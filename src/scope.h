/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership bound to scope: a descriptor, a stream or an allocation that closes itself when its
 * variable goes out of scope, and the way to hand it on.  For every ring but the core, which owns
 * nothing that would need it.
 */
#ifndef SCOPE_H
#define SCOPE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void close_file(FILE **file)
{
	int saved = errno;

	if (*file)
		fclose(*file);
	errno = saved;
}

/* @pointer is the address of the variable, whatever it points to. */
static inline void free_memory(void *pointer)
{
	free(*(void **)pointer);
}

/** scoped_fd - an int that holds a descriptor, or -1, and closes it at the end of its scope */
#define scoped_fd __attribute__((cleanup(close_fd))) int

/** scoped_file - a FILE * (or NULL) that is closed at the end of its scope */
#define scoped_file __attribute__((cleanup(close_file))) FILE *

/** scoped_memory - goes before a pointer to memory from malloc(): `scoped_memory char *text` */
#define scoped_memory __attribute__((cleanup(free_memory)))

/** take_fd() - hand the descriptor over; leaves -1, so that the scope closes nothing */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/** take_memory() - hand the allocation over; leaves NULL, so that the scope frees nothing */
#define take_memory(variable)                          \
	({                                             \
		__typeof__(variable) taken = variable; \
		variable = NULL;                       \
		taken;                                 \
	})

#endif
