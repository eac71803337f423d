/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an instance has changed on the host and what does not go by itself when all its processes are
 * killed: written down before it is done, for whoever comes next.
 */
#ifndef HOST_JOURNAL_H
#define HOST_JOURNAL_H

#include "host/steps.h"

/**
 * journal_write() - these steps are in force, or about to be
 * @state: the instance's directory (state.h)
 * @steps: those that vanish by themselves are left out (step_outlives_us())
 *
 * The file is replaced as a whole.  Return: 0 or negative errno
 */
int journal_write(int state, const struct steps *steps);

/** journal_remove() - all of it is undone */
void journal_remove(const char *name);

/**
 * journal_read() - what an instance has written
 * @name:      the instance's
 * @ret_steps: each of them passes step_check(), and if it is about an interface, that is still the same
 *
 * Return: 0; -ENOENT if there is none that concerns this network namespace; or negative errno
 */
int journal_read(const char *name, struct steps *ret_steps);

#endif
