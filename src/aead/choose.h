/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which AEAD back-end does the work: the one asked for, or the best that this machine can run and
 * that passes its self-test here.
 */
#ifndef AEAD_CHOOSE_H
#define AEAD_CHOOSE_H

#include "minivpn/aead.h"

/** aead_backends() - all that were compiled in, best first; the last entry is NULL */
const struct aead *const *aead_backends(void);

/** aead_named() - the back-end of that name, or NULL if none was compiled in */
const struct aead *aead_named(const char *name);

/**
 * struct aead_choice - a back-end and a started context of it
 *
 * One for each thread.  Ended by aead_choice_drop().
 */
struct aead_choice {
	const struct aead *aead;
	void *context;
};

/**
 * aead_choose() - start a back-end and have it prove itself
 * @name:       the one wanted; NULL for the first of aead_backends() that works
 * @ret_choice: filled on success, untouched otherwise
 *
 * A back-end that is passed over because it gave a wrong answer is logged as a warning: that is a
 * fault of the library or the machine, which somebody should know of.
 *
 * Return: 0; -ENOENT if @name was not compiled in; -ENODEV if this machine cannot run it; -EBADMSG
 * if its self-test failed; -ENOMEM.  With @name NULL, what went wrong with the last one tried
 */
int aead_choose(const char *name, struct aead_choice *ret_choice);

/** aead_choice_drop() - stop the context and give its memory back; all zero is left alone */
void aead_choice_drop(struct aead_choice *choice);

#endif
