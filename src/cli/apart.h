/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that handles secrets, done by a child process that ends: so that the process which becomes the
 * keeper of a tunnel, with all its rights, has never had a key in its memory.
 */
#ifndef CLI_APART_H
#define CLI_APART_H

#include <stddef.h>

/**
 * apart_run() - have a child do @work
 * @work:       fills @result and returns an exit status
 * @context:    handed to it
 * @ret_result: what it filled in, if its status is 0
 * @bytes:      of the result, at most PIPE_BUF; it holds no pointer and no secret
 *
 * Ctrl-C is left to the child meanwhile, and ends this process when the child has ended.
 *
 * Return: the child's exit status, or 1 if it died (and that has been said)
 */
int apart_run(int (*work)(void *context, void *result), void *context, void *ret_result,
	      size_t bytes);

#endif
