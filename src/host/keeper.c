/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four processes, and what happens when one of them dies:
 *
 *	keeper ----- lifeline (a pipe that nobody writes to) -----> steward
 *	   |                                                         |  |
 *	   | SIGTERM; and SIGTERM when the keeper dies               |  | undoes everything at end of
 *	   v                                                         |  | file from either
 *	network process -------------------- line -------------------+
 *	   |
 *	   +---- line ---- resolver (leaves at end of file, or on SIGTERM from the keeper)
 *
 *	network process  its line ends: the steward undoes and goes; the keeper goes after it
 *	steward          the line ends: the network process leaves; the keeper undoes from the journal
 *	keeper           the lifeline ends and the network process gets SIGTERM: both go, all is undone
 *	resolver         nothing: names are not resolved any more, and the network process says so
 *	all at once      device and firewall go by the kernel's hand, the next start undoes the rest
 */
#include "host/keeper.h"

#include "host/arrange.h"
#include "host/foreign.h"
#include "host/sandbox.h"
#include "host/state.h"
#include "log.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum {
	PATIENCE_MS = 5000, /* how long a process may take that has been told to end */
	CLAIM_PAUSE_MS = 25,
	CLAIM_TRIES = 40, /* a second, in which all is undone */
};

/* The two ends of a line between processes. */
struct line {
	int end[2];
};

/**
 * struct keeper - what the keeper holds
 * @household: what to start
 * @state:     the instance's directory, claimed as long as any of the processes lives
 * @lifeline:  pipe; [0] is the steward's, nobody ever writes to [1]
 * @orders:    network process [0] and steward [1]
 * @names:     network process [0] and resolver [1]
 * @signals:   what the keeper waits for; blocked
 * @before:    the signal mask as it was, for the children
 * @steward, @resolver, @network: process ids; 0 when there is no such process (any more)
 * @ending:    the household has been told to end, or one without whom it cannot live has died
 * @status:    exit status as far as it is known
 */
struct keeper {
	const struct household *household;
	int state;
	struct line lifeline, orders, names;
	sigset_t signals, before;
	pid_t steward, resolver, network;
	bool ending;
	int status;
};

static void close_line(struct line *line)
{
	for (int i = 0; i < 2; i++) {
		close_fd(&line->end[i]);
		line->end[i] = -1;
	}
}

static void close_lines(struct keeper *k)
{
	close_line(&k->lifeline);
	close_line(&k->orders);
	close_line(&k->names);
	close_fd(&k->state);
	k->state = -1;
}

static int open_lines(struct keeper *k)
{
	if (pipe2(k->lifeline.end, O_CLOEXEC) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, k->orders.end) < 0)
		return -errno;
	if (k->household->resolve &&
	    (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, k->names.end) < 0 ||
	     fcntl(k->names.end[0], F_SETFL, O_NONBLOCK) < 0))
		return -errno;
	return 0;
}

/* --- the children ----------------------------------------------------------------------------- */

/* Nobody reads it any more; it may be a key file, which could be read again (`minivpn client - < FILE`). */
static void leave_standard_input(void)
{
	scoped_fd nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0)
		close(STDIN_FILENO);
}

/* A child's first steps.  The terminal is the keeper's, with its signals: whoever took over a child of its
 * session could type into it what root's shell would then run (TIOCSTI). */
static void begin_child(const struct keeper *k, const char *name, bool until_told)
{
	const int terminal[] = { SIGINT, SIGHUP, SIGQUIT };

	prctl(PR_SET_NAME, name);
	setsid();
	leave_standard_input();
	for (size_t i = 0; i < sizeof(terminal) / sizeof(*terminal); i++)
		signal(terminal[i], SIG_IGN);
	signal(SIGTERM, until_told ? SIG_DFL : SIG_IGN);
	sigprocmask(SIG_SETMASK, &k->before, NULL);
}

/* The child's own copy of a descriptor; all others of the household are closed. */
static int keep_only(struct keeper *k, int *fd)
{
	int kept = take_fd(fd);

	close_lines(k);
	return kept;
}

static int be_steward(struct keeper *k)
{
	int lifeline = take_fd(&k->lifeline.end[0]);
	int state = take_fd(&k->state);
	int line = keep_only(k, &k->orders.end[1]);

	begin_child(k, "minivpn-steward", false);
	return steward_main(line, lifeline, state, &k->household->limits);
}

static int be_resolver(struct keeper *k)
{
	int line = keep_only(k, &k->names.end[1]), error;

	begin_child(k, "minivpn-resolve", true);
	error = sandbox_enter_number(PLAN_RESOLVER_USER);
	/* Some containers have few users, or only one: then who has a name. */
	if (error == -EINVAL || error == -EPERM)
		error = sandbox_enter(k->household->user);
	if (error) {
		log_error("resolver: cannot give up rights: %s", strerror(-error));
		return 1;
	}
	return k->household->resolve(k->household->context, line);
}

static int be_network_process(struct keeper *k)
{
	int names = take_fd(&k->names.end[0]);
	int state = take_fd(&k->state);
	struct steward steward = { .fd = keep_only(k, &k->orders.end[0]) };

	(void)state; /* held open: the claim lasts as long as this process */
	begin_child(k, "minivpn-network", true);
	return k->household->network(k->household->context, &steward, names);
}

/* Forks a child that lives by @be.  It is told when the keeper dies, even before it asks for it. */
static int start(struct keeper *k, int (*be)(struct keeper *), int death_signal, pid_t *ret_pid)
{
	pid_t keeper = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (death_signal)
			prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0);
		_exit(death_signal && getppid() != keeper ? 1 : be(k));
	}
	*ret_pid = pid;
	return 0;
}

static int start_all(struct keeper *k)
{
	int error = start(k, be_steward, 0, &k->steward);

	if (!error && k->household->resolve)
		error = start(k, be_resolver, 0, &k->resolver);
	if (!error)
		error = start(k, be_network_process, SIGTERM, &k->network);
	/* The children's ends are theirs alone, so that a line ends when its owner does. */
	close_line(&k->orders);
	close_line(&k->names);
	close_fd(&k->lifeline.end[0]);
	k->lifeline.end[0] = -1;
	return error;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void network_has_ended(struct keeper *k, int wait_status)
{
	k->network = 0;
	/* Nobody waits for its answers any more; it may be waiting for a name server for long. */
	if (k->resolver)
		kill(k->resolver, SIGTERM);
	if (WIFEXITED(wait_status)) {
		k->status = k->status ? k->status : WEXITSTATUS(wait_status);
		return;
	}
	/* Told to end before it was ready to be told. */
	if (k->ending && WTERMSIG(wait_status) == SIGTERM)
		return;
	k->status = 1;
	log_error("keeper: the network process was killed: undoing: signal %d",
		  WTERMSIG(wait_status));
}

/* With status 0 it has gone after the network process, and has undone everything. */
static void steward_has_ended(struct keeper *k, int wait_status)
{
	k->steward = 0;
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
		return;
	k->status = 1;
	if (WIFSIGNALED(wait_status))
		log_error("keeper: the steward was killed: undoing in its place: signal %d",
			  WTERMSIG(wait_status));
	arrange_undo_from_journal(k->household->limits.interface);
}

static void reap(struct keeper *k)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		if (pid == k->network)
			network_has_ended(k, wait_status);
		else if (pid == k->steward)
			steward_has_ended(k, wait_status);
		else if (pid == k->resolver)
			k->resolver = 0;
	}
}

/* The next signal, or 0 when none comes in time.  Whoever stops us and has us go on (Ctrl-Z and fg)
 * interrupts the wait, which then begins anew. */
static int next_signal(const struct keeper *k, int patience_ms)
{
	const struct timespec patience = { patience_ms / 1000, patience_ms % 1000 * 1000000L };
	int number;

	do
		number = sigtimedwait(&k->signals, NULL, patience_ms ? &patience : NULL);
	while (number < 0 && errno == EINTR);
	return number < 0 ? 0 : number;
}

/* Who does not end in time after having been told is killed; the others then do what is left. */
static void kill_the_slow(struct keeper *k)
{
	pid_t slow = k->network ? k->network : k->steward ? k->steward : k->resolver;

	log_error("keeper: a process does not end: killing it: %d", (int)slow);
	kill(slow, SIGKILL);
}

static void end(struct keeper *k)
{
	k->ending = true;
	/* In a container root may have no right to that.  Then it ends by the other way round: the
	 * steward with its lifeline, and the network process with the steward. */
	if (k->network && kill(k->network, SIGTERM) < 0) {
		close_fd(&k->lifeline.end[1]);
		k->lifeline.end[1] = -1;
	}
}

static void keep(struct keeper *k)
{
	while (k->network || k->steward || k->resolver) {
		int number = next_signal(k, k->ending ? PATIENCE_MS : 0);

		if (number == SIGCHLD) {
			reap(k);
			if (!k->ending && (!k->network || !k->steward))
				end(k);
		} else if (number > 0) {
			end(k);
		} else if (k->ending) {
			kill_the_slow(k);
		}
	}
}

/* --- the whole -------------------------------------------------------------------------------- */

static void block_signals(struct keeper *k)
{
	sigemptyset(&k->signals);
	sigaddset(&k->signals, SIGCHLD);
	sigaddset(&k->signals, SIGTERM);
	sigaddset(&k->signals, SIGINT);
	sigaddset(&k->signals, SIGHUP);
	sigaddset(&k->signals, SIGQUIT);
	sigprocmask(SIG_BLOCK, &k->signals, &k->before);
}

/* Whoever read our log may end before us, and its file may become too long for the limits: lines are
 * lost then, but the tunnel is not. */
static void outlive_the_log(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* Puts right what others have left and takes the instance's place.  One that has just been killed may
 * still be undoing what it did: it is waited for. */
static int repair_and_claim(struct keeper *k)
{
	const struct timespec pause = { .tv_nsec = CLAIM_PAUSE_MS * 1000000L };
	unsigned dead = 0;
	int error = -EBUSY;

	for (int i = 0; i < CLAIM_TRIES && error == -EBUSY; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		dead += arrange_repair();
		error = state_claim(k->household->limits.interface, &k->state);
	}
	if (dead)
		log_notice("keeper: put right what was left behind by a minivpn that was killed");
	return error;
}

static bool claim(struct keeper *k)
{
	const char *name = k->household->limits.interface;
	int error = repair_and_claim(k);

	if (error == -EBUSY)
		log_error("keeper: there is a minivpn running already: %s: end it with 'minivpn "
			  "down %s' or give this one another --interface-name",
			  name, name);
	else if (error == -EACCES || error == -EPERM)
		log_error("keeper: arranging the network takes root's rights: try sudo");
	else if (error)
		log_error("keeper: cannot use the state directory: %s: %s",
			  state_directory(name, (char[STATE_PATH_BYTES]){ 0 }), strerror(-error));
	return error == 0;
}

/* In a process of its own, which ends at once: what other people's rules hold is read by a library that
 * was not made to distrust it. */
static void look_at_foreign_firewalls(const struct household *household)
{
	pid_t pid = household->limits.forward ? fork() : -1;

	if (pid == 0) {
		foreign_warn(household->limits.interface, household->limits.out);
		if (household->port)
			foreign_warn_of_port(household->port);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static bool run(struct keeper *k)
{
	int error = open_lines(k);

	if (!error)
		error = start_all(k);
	if (!error)
		error = sandbox_keep_network_rights();
	if (error) {
		log_error("keeper: cannot start: %s", strerror(-error));
		end(k);
	}
	keep(k);
	return error == 0;
}

int keeper_run(const struct household *household)
{
	struct keeper k = { .household = household,
			    .state = -1,
			    .lifeline = { { -1, -1 } },
			    .orders = { { -1, -1 } },
			    .names = { { -1, -1 } } };

	/* Before there is anything that a signal would leave behind. */
	block_signals(&k);
	outlive_the_log();
	if (claim(&k)) {
		look_at_foreign_firewalls(household);
		if (!run(&k))
			k.status = 1;
		state_remove(household->limits.interface);
	} else {
		k.status = 1;
	}
	close_lines(&k);
	sigprocmask(SIG_SETMASK, &k.before, NULL);
	return k.status;
}
