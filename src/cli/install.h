/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `--install` and `--uninstall`: a tunnel that is there after a reboot.  No other program is run: files
 * and links are made as `systemctl enable` makes them, and a systemd that runs is told so.
 */
#ifndef CLI_INSTALL_H
#define CLI_INSTALL_H

#include "conf/config.h"

/**
 * install() - do what @config's install or uninstall says
 *
 * With --root nothing is done but to the files in that folder: no key is made or looked at, and no
 * systemd told.
 *
 * Return: exit status; what was done, or what went wrong, has been said
 */
int install(struct config *config, enum role role);

#endif
