/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel lets a process use (ulimit, Limit...= of systemd): raised before anything is done where it
 * is too little, so that nothing fails, or crashes, halfway for want of it.
 */
#ifndef CLI_RESOURCES_H
#define CLI_RESOURCES_H

/**
 * resources_raise() - let this process, and those that it starts, use what a tunnel takes
 *
 * Return: -1 to go on, or an exit status: what is lacking has been said
 */
int resources_raise(void);

#endif
