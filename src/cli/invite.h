/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The invite line, shown to the person who asked for it. */
#ifndef CLI_INVITE_H
#define CLI_INVITE_H

#include "keys/keytext.h"

/**
 * invite_show() - print the invite of a key on standard output
 * @file: where the key is kept
 *
 * It is a secret, for a person's eyes or another program, never for a log that is kept, as the journal
 * or a file would be: there, only how to get it is said.
 *
 * Return: exit status
 */
int invite_show(const struct keytext *key, const char *file);

#endif
