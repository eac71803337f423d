/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command line and configuration file of `minivpn server` and `minivpn client`: both fill in the same
 * configuration, by the table of settings (conf/config.h). */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include "conf/config.h"

/**
 * arguments_read() - the configuration that a command line, and the file it names, describe
 * @argv: from the sub-command's name on
 *
 * Operands: a server takes [KEY|DIR], a client [KEY|-] [HOST[:PORT]].
 *
 * Return: -1 with @ret_config filled; otherwise the exit status with which to end now (--help was
 * printed, or what is wrong has been said)
 */
int arguments_read(int argc, char *argv[], enum role role, struct config *ret_config);

#endif
