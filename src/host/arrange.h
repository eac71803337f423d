/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doing what a plan says, and undoing it: the one place where the steps of a plan meet rtnetlink,
 * nf_tables, /proc/sys and the journal.
 */
#ifndef HOST_ARRANGE_H
#define HOST_ARRANGE_H

#include "host/plan.h"
#include "host/ruleset.h"
#include "host/steps.h"

/**
 * struct arrangement - what has been done to the host for one instance
 * @name:      the instance
 * @state:     its directory, claimed (state.h)
 * @rtnl:      socket for addresses, routes and rules
 * @nft:       socket that the firewall's table lives as long as; -1 until there is one
 * @index:     of the interface, whatever somebody calls it; 0 before the first plan
 * @before:    the interface before the first plan
 * @has_ipv6:  can the interface do IPv6?  Known once it is up
 * @plan, @steps, @ruleset: what is in force; no steps before the first plan
 */
struct arrangement {
	const char *name;
	int state;
	int rtnl;
	int nft;
	unsigned index;
	struct interface_before before;
	bool has_ipv6;
	struct plan plan;
	struct steps steps;
	struct ruleset ruleset;
};

/** arrange_open() - nothing in force yet; @name must outlive it.  Return: 0 or negative errno */
int arrange_open(struct arrangement *a, const char *name, int state);

/**
 * arrange_apply() - bring the host from the plan that is in force to this one
 * @plan:       one that plan_check() has nothing against
 * @ret_failed: the step that failed, if one did
 *
 * Only what differs is touched, and what is new is there before what is old goes.
 *
 * Return: 0; or negative errno, and all is as before the call
 */
int arrange_apply(struct arrangement *a, const struct plan *plan, struct step *ret_failed);

/** arrange_refresh() - the host's own addresses may have changed: adapt the rules, after arrange_restore() */
int arrange_refresh(struct arrangement *a);

/**
 * arrange_restore() - put back what somebody else has taken away
 *
 * The interface was renamed or set down, its addresses or routes removed, the policy rules flushed: what was
 * to go into the tunnel would leave beside it, or nowhere.  What is there is left as it is.
 *
 * Return: how many steps were taken anew, 0 if nothing was missing; -EEXIST if the interface has lost its
 * name to another one; or negative errno
 */
int arrange_restore(struct arrangement *a);

/** arrange_undo() - undo it all, backwards, whatever goes wrong; close the sockets.  The directory stays */
void arrange_undo(struct arrangement *a);

/**
 * arrange_undo_from_journal() - undo what an instance has left whose steward is dead
 *
 * Its firewall and its routes have gone with its processes and its device.  Its directory stays.
 */
void arrange_undo_from_journal(const char *name);

/**
 * arrange_repair() - undo what all instances have left that are dead, and remove their directories
 *
 * Return: how many there were
 */
unsigned arrange_repair(void);

#endif
