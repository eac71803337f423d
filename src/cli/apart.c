/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/apart.h"

#include "cli/say.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int be_child(int (*work)(void *context, void *result), void *context, size_t bytes, int fd)
{
	char result[PIPE_BUF] __attribute__((aligned(16))) = { 0 };
	int status;

	prctl(PR_SET_DUMPABLE, 0); /* no core dump, no debugger */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	status = work(context, result);
	if (status == 0 && write(fd, result, bytes) != (ssize_t)bytes)
		status = EXIT_FAILURE;
	return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}

/* Return: its wait status. */
static int wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return W_EXITCODE(EXIT_FAILURE, 0);
	return status;
}

/* Return: the exit status that a wait status comes to. */
static int explain(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	say("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return EXIT_FAILURE;
}

int apart_run(int (*work)(void *context, void *result), void *context, void *ret_result,
	      size_t bytes)
{
	sigset_t interrupt, before;
	char result[PIPE_BUF];
	int ends[2], status = 0;
	pid_t child;

	if (bytes > sizeof(result) || pipe2(ends, O_CLOEXEC) < 0) {
		say("cannot make a pipe: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	fflush(NULL); /* or what is buffered would be printed twice */
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, &before);
	child = fork();
	if (child == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		_exit(be_child(work, context, bytes, ends[1]));
	}
	close(ends[1]);
	if (child > 0)
		status = wait_for(child);
	/* A Ctrl-C of meanwhile takes effect here, even if it came too late for the child. */
	sigprocmask(SIG_SETMASK, &before, NULL);
	status = child > 0 ? explain(status) : EXIT_FAILURE;
	if (child < 0)
		say("cannot start a process: %s", strerror(errno));
	if (status == 0 && read(ends[0], result, bytes) != (ssize_t)bytes)
		status = EXIT_FAILURE;
	if (status == 0)
		memcpy(ret_result, result, bytes);
	close(ends[0]);
	return status;
}
