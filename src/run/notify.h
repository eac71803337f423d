/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling systemd how we are (sd_notify(3)): a datagram to the socket that it names, if it does. */
#ifndef RUN_NOTIFY_H
#define RUN_NOTIFY_H

/**
 * notify_open() - connect to the service manager; to be called before rights are given up
 *
 * Return: a descriptor, or -1 if there is no service manager that wants to know, which is no error
 */
int notify_open(void);

/**
 * notify_send() - say something
 * @fd:    from notify_open(); -1 says nothing
 * @state: as sd_notify(3) has it: "READY=1", "STATUS=...", "STOPPING=1", several with line feeds
 */
void notify_send(int fd, const char *state);

#endif
