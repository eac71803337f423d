/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other people's firewalls on this machine (docker, ufw, firewalld): do they drop what the tunnel
 * wants forwarded, or what comes to its port?  An accept in a table of ours does not keep a chain of
 * theirs from dropping; only a rule in that chain does, so what to type is told.  Nothing of theirs is
 * changed here.
 */
#ifndef HOST_FOREIGN_H
#define HOST_FOREIGN_H

#include <stdint.h>

enum { FOREIGN_COMMAND_BYTES = 256 };

/**
 * struct foreign_chain - a chain that drops forwarded packets that it has no rule for
 * @name:     "chain FORWARD of table ip filter"
 * @command:  what to run to let the tunnel's packets out, and answers to them in
 */
struct foreign_chain {
	char name[FOREIGN_COMMAND_BYTES];
	char command[2][FOREIGN_COMMAND_BYTES];
};

/**
 * foreign_each() - call @each with every such chain that does not know the tunnel's interface
 *
 * Return: how many there are, or negative errno
 */
int foreign_each(const char *interface,
		 void (*each)(void *context, const struct foreign_chain *chain), void *context);

/** foreign_warn() - log them, for who starts a server */
void foreign_warn(const char *interface);

/**
 * foreign_warn_of_port() - log, for who starts a server, which chains may drop what comes to its UDP port
 *
 * That is, those that drop by their policy or a rule for everything, in whose tables no rule is seen to
 * accept it (host/foreign_rule.h).
 */
void foreign_warn_of_port(uint16_t port);

#endif
