/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates for `minivpn status --watch`, and how they went, as a line of small bars. */
#ifndef CLI_RATES_H
#define CLI_RATES_H

#include <jansson.h>

/** rates_take() - note what has passed until now, and when */
void rates_take(const json_t *tunnels);

/** rates_print() - a line with the rates of a peer; nothing before there are two readings */
void rates_print(const char *interface, const json_t *peer);

#endif
