/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status of tunnels in Prometheus' text format, names and units by its conventions. */
#ifndef CLI_PROMETHEUS_H
#define CLI_PROMETHEUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/**
 * prometheus_print() - @tunnels is a list of replies to "status" (run/status.h)
 * Return: false if memory was short, which was said
 */
bool prometheus_print(const json_t *tunnels, FILE *out);

#endif
