/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sub-commands: each takes the arguments from its own name on and returns an exit status. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

int command_server(int argc, char *argv[]);
int command_client(int argc, char *argv[]);
int command_status(int argc, char *argv[]);
int command_down(int argc, char *argv[]);
int command_keylog(int argc, char *argv[]);
int command_invite(int argc, char *argv[]);
int command_list(int argc, char *argv[]);
int command_remove(int argc, char *argv[]);
int command_rotate(int argc, char *argv[]);
int command_reload(int argc, char *argv[]);
int command_version(int argc, char *argv[]);

#endif
