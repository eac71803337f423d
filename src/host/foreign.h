/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other people's firewalls on this machine (docker, ufw, firewalld, iptables of both kinds): do they drop
 * what the tunnel wants forwarded, or what comes to its port?  An accept in a table of ours does not keep
 * a chain of theirs from dropping; only a rule in that chain does, so what to type is told, in the words
 * of whoever made the chain.  Nothing of theirs is changed here.
 */
#ifndef HOST_FOREIGN_H
#define HOST_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FOREIGN_COMMAND_BYTES = 256, FOREIGN_COMMANDS_MAX = 2 };

/**
 * struct foreign_chain - a chain that drops what is asked about
 * @name:     "chain FORWARD of table ip filter"
 * @command:  what to run to let it through, one after the other; @commands of them
 */
struct foreign_chain {
	char name[FOREIGN_COMMAND_BYTES];
	size_t commands;
	char command[FOREIGN_COMMANDS_MAX][FOREIGN_COMMAND_BYTES];
};

/**
 * foreign_each() - call @each with every chain that drops the tunnel's packets on their way out, or answers
 * @interface: the tunnel's
 * @out:       the only interface that they may leave by, or empty for those with a default route
 *
 * Return: how many there are, or negative errno
 */
int foreign_each(const char *interface, const char *out,
		 void (*each)(void *context, const struct foreign_chain *chain), void *context);

/** foreign_warn() - log them, for who starts a server */
void foreign_warn(const char *interface, const char *out);

/** foreign_warn_of_port() - log, for who starts a server, which chains may drop what comes to its UDP port */
void foreign_warn_of_port(uint16_t port);

/**
 * foreign_translates() - does somebody else give packets that are forwarded another source address?
 *
 * Who does so (docker, libvirt) needs the host to forward.  It is looked at in a process of its own.
 */
bool foreign_translates(bool ipv4);

#endif
