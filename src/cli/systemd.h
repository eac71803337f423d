/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the systemd that runs here, over its bus (org.freedesktop.systemd1). */
#ifndef CLI_SYSTEMD_H
#define CLI_SYSTEMD_H

#include <stdbool.h>

/** systemd_runs() - is systemd what started this machine? */
bool systemd_runs(void);

/** systemd_reload() - read unit files anew; 0 or negative errno */
int systemd_reload(void);

/** systemd_start_unit() - start, or start again with what is configured now; 0 or negative errno */
int systemd_start_unit(const char *unit);

/** systemd_stop_unit() - stop; 0 or negative errno */
int systemd_stop_unit(const char *unit);

#endif
