/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tun device is gone as soon as its last descriptor is, also after kill -9: nothing to clean up. */
#include "assume.h"

#include <signal.h>
#include <sys/wait.h>

int main(void)
{
	int ready[2];
	char byte;
	pid_t owner;

	own_namespace();
	close(open_tun()); /* is there such a thing at all? */
	must(pipe(ready) == 0);
	owner = fork();
	must(owner >= 0);
	if (owner == 0) {
		open_tun();
		must(write(ready[1], "x", 1) == 1);
		pause();
	}
	must(read(ready[0], &byte, 1) == 1);
	assume(if_nametoindex("tun0") != 0, "the device is there while its owner lives");
	must(kill(owner, SIGKILL) == 0 && waitpid(owner, NULL, 0) == owner);
	assume(if_nametoindex("tun0") == 0, "and gone once its owner has been reaped");
	return 0;
}
