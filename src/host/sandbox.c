/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stages, and why in this order:
 *
 *	memory          first, because locking memory takes a right
 *	bounds          what execve() could give: only root can lessen it
 *	user            needs the user database, and rights; Linux forgets the parent-death signal here
 *	capabilities    the change of user has dropped them, unless it was no change
 *	no new rights   execve() gives none any more; nobody looks into this process
 *	files           Landlock: a place that is still empty
 *	system calls    seccomp: a place that is still empty; last, since the others need theirs
 *	parent          ask again to be told when the process that forked us dies
 */
#include "host/sandbox.h"

#include "host/plan.h"
#include "log.h"
#include "scope.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int sandbox_memory(void)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	/* Later allocations are locked as well, when this process has no right to more any longer.  In a
	 * container without the right to that, they would fail instead: what holds keys is then locked
	 * by itself (run/keymemory.h). */
	if (setrlimit(RLIMIT_MEMLOCK, &all) < 0)
		return 0;
	return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

/* The user of that name, or a default one. */
static const struct passwd *find_user(const char *user)
{
	const struct passwd *entry = getpwnam(user && user[0] ? user : "minivpn");

	return entry || (user && user[0]) ? entry : getpwnam("nobody");
}

static int become(uid_t user, gid_t group)
{
	if (geteuid() != 0 || (user == geteuid() && group == getegid()))
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 ||
	    setresuid(user, user, user) < 0)
		return -errno;
	return 0;
}

/* What execve() could give at most.  Only who may set capabilities can lessen it; who may not gains
 * nothing by execve() either, after forbid_new_rights(). */
static void apply_bounds(void)
{
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		log_debug("sandbox: the bounding set stays as it is");
}

static int apply_capabilities(void)
{
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	/* Fails on kernels that know no ambient capabilities, and then there are none. */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

static int drop_all_capabilities(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	return apply_capabilities();
}

static int forbid_new_rights(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}

/* Landlock: no path may be opened any more. */
static int forbid_files(void)
{
	return 0;
}

/* seccomp: the system calls that the loop needs, no others. */
static int forbid_system_calls(void)
{
	return 0;
}

static int follow_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 ? -errno : 0;
}

static int enter(uid_t user, gid_t group)
{
	int (*const stages[])(void) = { drop_all_capabilities, forbid_new_rights, forbid_files,
					forbid_system_calls, follow_parent };
	int error;

	capng_clear(CAPNG_SELECT_BOTH);
	apply_bounds();
	error = become(user, group);
	for (size_t i = 0; !error && i < sizeof(stages) / sizeof(*stages); i++)
		error = stages[i]();
	return error;
}

int sandbox_enter(const char *user)
{
	const struct passwd *entry = find_user(user);

	return entry ? enter(entry->pw_uid, entry->pw_gid) : -ENOENT;
}

int sandbox_enter_number(uint32_t user)
{
	return enter(user, user);
}

/* Root of a user namespace has all rights, but not over a network that is not that namespace's. */
static bool has_rights_over_network(void)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mark = PLAN_SOCKET_MARK;

	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;
}

bool sandbox_may_arrange_network(void)
{
	return capng_get_caps_process() == 0 &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) && has_rights_over_network();
}

int sandbox_keep_network_rights(void)
{
	static const unsigned wanted[] = { CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE,
					   CAP_KILL };
	bool has[sizeof(wanted) / sizeof(*wanted)];
	int error;

	/* Of root in a container some of them may have been taken; asking for those would fail. */
	capng_get_caps_process();
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		has[i] = capng_have_capability(CAPNG_PERMITTED, wanted[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (has[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, wanted[i]);
	apply_bounds();
	error = apply_capabilities();
	return error ? error : forbid_new_rights();
}
