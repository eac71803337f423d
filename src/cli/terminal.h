/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What standard output can show. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

/** terminal_can_clear() - is it a terminal that clears its screen when it is told to? */
bool terminal_can_clear(void);

/** terminal_has_blocks() - is it one that shows characters beyond ASCII, bars of text for one? */
bool terminal_has_blocks(void);

#endif
