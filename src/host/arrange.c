/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From one plan to the next, without a moment in which the host is in neither:
 *
 *	1. write down in the journal what is in force and what is to come
 *	2. take the steps that are new, in order
 *	3. undo the steps that are no longer wanted, in the opposite order
 *	4. write down what is in force now.  If that fails, more is written down than there is, which harms
 *	   nobody: what is gone already needs no undoing
 *
 * The first plan has nothing before it, the end nothing after it; they are no special cases.  When a
 * step of 2 fails, those before it are undone, and the host is as before.
 */
#include "host/arrange.h"

#include "host/journal.h"
#include "host/nft.h"
#include "host/rtnl.h"
#include "host/state.h"
#include "host/sysctl.h"
#include "log.h"
#include "scope.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

enum { DUMP_TRIES = 3 };

/* The most that can be in force on the way from one plan to another. */
struct transition {
	struct facts facts;
	struct steps steps;
	struct ruleset ruleset;
	size_t taken;
};

int arrange_open(struct arrangement *a, const char *name, int state)
{
	memset(a, 0, sizeof(*a));
	a->name = name;
	a->state = state;
	a->nft = -1;
	return rtnl_open(&a->rtnl);
}

/* --- settings of the interface --------------------------------------------------------------- */

static void own_key(char ret_key[STEP_SYSCTL_BYTES], const char *interface, const char *family,
		    const char *name)
{
	snprintf(ret_key, STEP_SYSCTL_BYTES, "net/%s/conf/%.15s/%s", family, interface, name);
}

/* Gives the interface a setting of its own.  Most take their settings with them; see put_link_back(). */
static bool set_own(const char *interface, const char *family, const char *name, int32_t value)
{
	struct step_sysctl setting = { .value = value };

	own_key(setting.key, interface, family, name);
	return sysctl_take(&setting) == 0;
}

/* Removing an address would remove those that came after it in the same network, too: the new one. */
static void keep_later_addresses(const char *interface)
{
	set_own(interface, "ipv4", "promote_secondaries", 1);
}

/* Can the interface have IPv6?  Containers often switch it off for every new one; ours needs it. */
static bool switch_on_ipv6(const char *interface)
{
	return set_own(interface, "ipv6", "disable_ipv6", 0);
}

/* --- what has to be known of the host --------------------------------------------------------- */

struct collecting {
	const char *interface;
	struct facts *facts;
};

/* Nobody reaches these over a route that is in main, and of length 0. */
static bool is_only_local(const struct address *a)
{
	static const struct prefix link_ipv6 = { .address = { { 0xfe, 0x80 } }, .length = 10 };
	static const struct prefix host_ipv6 = { .address = { { [15] = 1 } }, .length = 128 };
	const struct prefix link_ipv4 = { address_from_ipv4((uint8_t[4]){ 169, 254, 0, 0 }), 16 };
	const struct prefix host_ipv4 = { address_from_ipv4((uint8_t[4]){ 127, 0, 0, 0 }), 8 };

	return prefix_contains(&link_ipv6, a) || prefix_contains(&host_ipv6, a) ||
	       prefix_contains(&link_ipv4, a) || prefix_contains(&host_ipv4, a);
}

static void collect_own_address(void *context, const char *interface, const struct prefix *own)
{
	struct collecting *into = context;
	struct facts *facts = into->facts;

	/* What has a tunnel's address, ours or another instance's, belongs into that tunnel. */
	if (strcmp(interface, into->interface) == 0 || state_is_alive(interface) ||
	    is_only_local(&own->address) || facts->own_count == STEPS_OWN_MAX)
		return;
	for (size_t i = 0; i < facts->own_count; i++)
		if (address_equal(&facts->own[i], &own->address))
			return;
	facts->own[facts->own_count++] = own->address;
}

static int collect_own_addresses(struct arrangement *a, const char *interface, struct facts *facts)
{
	struct collecting into = { interface, facts };
	int error = -EINTR;

	/* EINTR: addresses changed while the kernel told them. */
	for (int i = 0; i < DUMP_TRIES && error == -EINTR; i++) {
		facts->own_count = 0;
		error = rtnl_addresses(a->rtnl, collect_own_address, &into);
	}
	return error;
}

static int8_t read_own(const char *interface, const char *family, const char *name)
{
	char key[STEP_SYSCTL_BYTES];
	int32_t value;

	own_key(key, interface, family, name);
	return sysctl_read(key, &value) == 0 ? (int8_t)value : -1;
}

static void collect_address_before(void *context, const char *interface,
				   const struct prefix *address)
{
	struct arrangement *a = context;
	struct interface_before *before = &a->before;

	if (strcmp(interface, a->name) == 0 && before->address_count < PLAN_ADDRESSES_MAX)
		before->address[before->address_count++] = *address;
}

/* Looks at the interface before anything is done to it.  What cannot be seen is taken for one that goes. */
static void look_at_interface(struct arrangement *a)
{
	struct interface_before *before = &a->before;

	memset(before, 0, sizeof(*before));
	if (rtnl_link_read(a->rtnl, a->name, &before->link, &before->stays) != 0 || !before->stays)
		return;
	before->link.disable_ipv6 = read_own(a->name, "ipv6", "disable_ipv6");
	before->link.promote_secondaries = read_own(a->name, "ipv4", "promote_secondaries");
	rtnl_addresses(a->rtnl, collect_address_before, a);
}

/* What was kept stays so to the end: now that the host forwards it cannot be found out any more. */
static void keep_on(const struct steps *steps, struct facts *facts)
{
	for (size_t i = 0; i < steps->count; i++)
		if (steps->step[i].kind == STEP_SYSCTL && steps->step[i].sysctl.kept &&
		    facts->kept_count < STEPS_KEPT_MAX)
			facts->kept[facts->kept_count++] = steps->step[i].sysctl;
}

static int find_facts(struct arrangement *a, const struct plan *plan, struct facts *ret_facts)
{
	memset(ret_facts, 0, sizeof(*ret_facts));
	if (!a->index)
		a->index = if_nametoindex(plan->interface);
	if (!a->index)
		return -ENODEV;
	if (a->steps.count == 0)
		look_at_interface(a);
	ret_facts->before = &a->before;
	ret_facts->table = STEP_TABLE_BASE + a->index;
	if (plan->forward_ipv6)
		sysctl_advertised(a->name, plan->interface, ret_facts);
	keep_on(&a->steps, ret_facts);
	sysctl_kept(a->name, plan->interface, plan->forward_ipv4, plan->forward_ipv6, ret_facts);
	return plan_takes_endpoint(plan) ? collect_own_addresses(a, plan->interface, ret_facts) : 0;
}

/* --- single steps ----------------------------------------------------------------------------- */

static int open_firewall(struct arrangement *a)
{
	return a->nft < 0 ? nft_open(&a->nft) : 0;
}

/* Brings the table from what is in force to @wanted. */
static int change_firewall(struct arrangement *a, const struct ruleset *wanted)
{
	bool has_table = a->ruleset.rule_count > 0, needs_table = wanted->rule_count > 0;
	int error;

	if (ruleset_equal(&a->ruleset, wanted) || (!has_table && !needs_table))
		return 0;
	error = open_firewall(a);
	if (error)
		return error;
	error = nft_apply(a->nft, needs_table ? wanted : &a->ruleset,
			  !has_table     ? RULESET_INSTALL
			  : !needs_table ? RULESET_REMOVE
					 : RULESET_REPLACE);
	if (!error)
		a->ruleset = *wanted;
	return error;
}

static int take(struct arrangement *a, const struct step *step, const struct ruleset *ruleset)
{
	int error;

	switch ((enum step_kind)step->kind) {
	case STEP_LINK:
		return rtnl_link_up(a->rtnl, step->interface, step->link.mtu);
	case STEP_ADDRESS:
		error = rtnl_address(a->rtnl, true, step->interface, &step->address);
		return error == -EEXIST ? 0 : error;
	case STEP_FIREWALL:
		return change_firewall(a, ruleset);
	case STEP_SYSCTL:
		return sysctl_take(&step->sysctl);
	case STEP_ROUTE:
		return rtnl_route(a->rtnl, true, step->interface, &step->route);
	case STEP_RULE:
		return rtnl_rule(a->rtnl, true, &step->rule);
	case STEP_NONE:
	case STEP_KIND_COUNT:
		break;
	}
	return -EINVAL;
}

/* What is gone already needs no undoing. */
static bool is_gone(int error)
{
	return error == -ENOENT || error == -ESRCH || error == -ENODEV || error == -EADDRNOTAVAIL ||
	       error == -EAFNOSUPPORT;
}

static int put_link_back(int rtnl, const char *interface, const struct link_settings *before)
{
	if (before->promote_secondaries >= 0)
		set_own(interface, "ipv4", "promote_secondaries", before->promote_secondaries);
	if (before->disable_ipv6 >= 0)
		set_own(interface, "ipv6", "disable_ipv6", before->disable_ipv6);
	return rtnl_link_set(rtnl, interface, before);
}

static void undo(int rtnl, const char *name, const struct step *step)
{
	int error = 0;

	switch ((enum step_kind)step->kind) {
	case STEP_LINK:
		if (step->stays)
			error = put_link_back(rtnl, step->interface, &step->link.before);
		break;
	case STEP_ADDRESS:
		if (!step->was_there)
			error = rtnl_address(rtnl, false, step->interface, &step->address);
		break;
	case STEP_SYSCTL:
		error = sysctl_release(name, &step->sysctl);
		break;
	case STEP_ROUTE:
		error = rtnl_route(rtnl, false, step->interface, &step->route);
		break;
	case STEP_RULE:
		error = rtnl_rule(rtnl, false, &step->rule);
		break;
	case STEP_FIREWALL: /* see change_firewall() */
	case STEP_NONE:
	case STEP_KIND_COUNT:
		return;
	}
	if (error && !is_gone(error))
		log_warning("host: cannot undo: %s: %s",
			    step_print(step, (char[STEP_TEXT_BYTES]){ 0 }), strerror(-error));
}

/* --- from plan to plan ------------------------------------------------------------------------ */

static int prepare_sysctls(const struct arrangement *a, struct steps *steps)
{
	for (size_t i = 0; i < steps->count; i++) {
		const struct step *before;
		int error;

		if (steps->step[i].kind != STEP_SYSCTL)
			continue;
		before = steps_find(&a->steps, &steps->step[i]);
		if (before) {
			steps->step[i].sysctl = before->sysctl;
			continue;
		}
		error = sysctl_prepare(a->name, &steps->step[i].sysctl);
		if (error)
			return error;
	}
	return 0;
}

static void leave_out_ipv6(struct steps *steps)
{
	uint32_t kept = 0;

	for (size_t i = 0; i < steps->count; i++)
		if (!step_is_ipv6(&steps->step[i]))
			steps->step[kept++] = steps->step[i];
	steps->count = kept;
}

static bool is_part_of(const struct steps *part, const struct steps *whole)
{
	for (size_t i = 0; i < part->count; i++)
		if (!steps_find(whole, &part->step[i]))
			return false;
	return true;
}

static int write_both(struct arrangement *a, const struct steps *next)
{
	scoped_memory struct steps *both = malloc(sizeof(*both));
	int error;

	if (!both)
		return -ENOMEM;
	*both = *next;
	for (size_t i = 0; i < a->steps.count && both->count < STEPS_MAX; i++)
		if (step_outlives_us(&a->steps.step[i]) && !steps_find(next, &a->steps.step[i]))
			both->step[both->count++] = a->steps.step[i];
	error = journal_write(a->state, both);
	if (error)
		log_error("host: what is to be undone cannot be written down in %s: %s",
			  state_directory(a->name, (char[STATE_PATH_BYTES]){ 0 }),
			  strerror(-error));
	return error;
}

/* Takes the steps that are new.  @t->taken tells how far it got, if one failed. */
static int take_new(struct arrangement *a, struct transition *t)
{
	for (t->taken = 0; t->taken < t->steps.count; t->taken++) {
		const struct step *step = &t->steps.step[t->taken];
		int error;

		if (step->kind != STEP_FIREWALL && steps_find(&a->steps, step))
			continue;
		error = take(a, step, &t->ruleset);
		if (error)
			return error;
	}
	return 0;
}

/* Undoes those of the first @count of @steps that are not in @kept, backwards. */
static void undo_all_but(struct arrangement *a, const struct steps *steps, size_t count,
			 const struct steps *kept)
{
	while (count-- > 0) {
		if (steps_find(kept, &steps->step[count]))
			continue;
		/* The interface has the settings of one plan or of the other; they come first. */
		if (steps->step[count].kind == STEP_LINK && kept->count > 0)
			rtnl_link_up(a->rtnl, a->name, kept->step[0].link.mtu);
		else
			undo(a->rtnl, a->name, &steps->step[count]);
	}
}

static int go_back(struct arrangement *a, struct transition *t, const struct ruleset *ruleset,
		   int error, struct step *ret_failed)
{
	*ret_failed = t->steps.step[t->taken];
	undo_all_but(a, &t->steps, t->taken, &a->steps);
	change_firewall(a, ruleset);
	journal_write(a->state, &a->steps);
	return error;
}

static int change(struct arrangement *a, const struct plan *plan, struct transition *t,
		  struct step *ret_failed)
{
	struct ruleset ruleset_before = a->ruleset;
	int error = find_facts(a, plan, &t->facts);

	if (error)
		return error;
	keep_later_addresses(plan->interface);
	a->has_ipv6 = switch_on_ipv6(plan->interface);
	steps_of_plan(plan, &t->facts, &t->steps);
	if (!a->has_ipv6)
		leave_out_ipv6(&t->steps);
	ruleset_of_plan(plan, true, &t->ruleset);
	error = prepare_sysctls(a, &t->steps);
	if (!error && !is_part_of(&t->steps, &a->steps))
		error = write_both(a, &t->steps);
	if (error)
		return error;
	error = take_new(a, t);
	if (error)
		return go_back(a, t, &ruleset_before, error, ret_failed);
	undo_all_but(a, &a->steps, a->steps.count, &t->steps);
	if (!is_part_of(&a->steps, &t->steps))
		journal_write(a->state, &t->steps);
	a->steps = t->steps;
	a->plan = *plan;
	return 0;
}

int arrange_apply(struct arrangement *a, const struct plan *plan, struct step *ret_failed)
{
	scoped_memory struct transition *t = malloc(sizeof(*t));
	scoped_fd lock = -1;
	int error;

	memset(ret_failed, 0, sizeof(*ret_failed));
	if (!t)
		return -ENOMEM;
	error = state_lock(&lock);
	return error ? error : change(a, plan, t, ret_failed);
}

static bool has_lost_ipv6(const struct arrangement *a)
{
	char key[STEP_SYSCTL_BYTES];
	int32_t disabled = 0;

	snprintf(key, sizeof(key), "net/ipv6/conf/%.15s/disable_ipv6", a->name);
	return a->has_ipv6 && sysctl_read(key, &disabled) == 0 && disabled;
}

/* All that we do is done by the name, the firewall's rules to begin with.  Return: 1 if it had to be given
 * back, 0 if the interface has it, or negative errno. */
static int give_name_back(const struct arrangement *a)
{
	char name[IF_NAMESIZE];
	int error;

	if (!if_indextoname(a->index, name))
		return -ENODEV;
	if (strcmp(name, a->name) == 0)
		return 0;
	error = rtnl_link_rename(a->rtnl, a->index, a->name);
	return error ? error : 1;
}

/* Has nobody set it down, or its MTU so low that Linux takes IPv6 away from it? */
static bool is_usable(const struct link_settings *link)
{
	return link->up && link->mtu >= PLAN_MTU_MIN;
}

/* Return: 1 if the interface had to be made usable again, 0 if it is, or negative errno. */
static int revive_link(const struct arrangement *a)
{
	int named = give_name_back(a), error;
	struct link_settings now;
	bool stays;

	if (named < 0)
		return named;
	error = rtnl_link_read(a->rtnl, a->name, &now, &stays);
	if (error || (is_usable(&now) && !has_lost_ipv6(a)))
		return error ? error : named;
	error = rtnl_link_up(a->rtnl, a->name, a->plan.mtu);
	switch_on_ipv6(a->name);
	return error ? error : 1;
}

int arrange_refresh(struct arrangement *a)
{
	struct plan plan = a->plan;
	struct step failed;

	if (a->steps.count == 0 || !plan_takes_endpoint(&plan))
		return 0;
	return arrange_apply(a, &plan, &failed);
}

/**
 * struct census - how many of each policy rule are missing
 *
 * Instances have rules that are equal, one of each for every instance.  So a rule is missing as often as
 * living instances have it in their journals and the kernel has not.
 */
struct census {
	const struct steps *steps;
	struct steps theirs;
	int missing[STEPS_MAX];
};

static void count_rule(struct census *census, const struct step_rule *rule, int change)
{
	for (size_t i = 0; i < census->steps->count; i++)
		if (census->steps->step[i].kind == STEP_RULE &&
		    step_rule_equal(&census->steps->step[i].rule, rule))
			census->missing[i] += change;
}

static void count_there(void *context, const struct step_rule *rule)
{
	count_rule(context, rule, -1);
}

static void count_wanted(void *context, const char *name)
{
	struct census *census = context;

	if (!state_is_alive(name) || journal_read(name, &census->theirs) != 0)
		return;
	for (size_t i = 0; i < census->theirs.count; i++)
		if (census->theirs.step[i].kind == STEP_RULE)
			count_rule(census, &census->theirs.step[i].rule, 1);
}

static int take_census(const struct arrangement *a, struct census *census)
{
	census->steps = &a->steps;
	state_each(count_wanted, census);
	return rtnl_rules(a->rtnl, count_there, census);
}

/* A route to a host has nothing to be put back: its address is ours. */
static int put_back_address(int rtnl, const char *interface, const struct prefix *address)
{
	int error = rtnl_address(rtnl, true, interface, address);
	uint8_t host = address_is_ipv4(&address->address) ? 32 : 128;

	if (error != -EEXIST || address->length == host)
		return error;
	return rtnl_connected_route(rtnl, interface, address);
}

/* Return: 0 if it was put back, -EEXIST if it is there or of the kinds that nobody takes away. */
static int put_back(const struct arrangement *a, const struct step *step, int missing)
{
	switch ((enum step_kind)step->kind) {
	case STEP_ADDRESS:
		return put_back_address(a->rtnl, step->interface, &step->address);
	case STEP_ROUTE:
		return rtnl_route(a->rtnl, true, step->interface, &step->route);
	case STEP_RULE:
		return missing > 0 ? rtnl_rule(a->rtnl, true, &step->rule) : -EEXIST;
	case STEP_LINK:
	case STEP_FIREWALL:
	case STEP_SYSCTL:
	case STEP_NONE:
	case STEP_KIND_COUNT:
		break;
	}
	return -EEXIST;
}

int arrange_restore(struct arrangement *a)
{
	scoped_memory struct census *census = calloc(1, sizeof(*census));
	scoped_fd lock = -1;
	int restored, error;

	if (a->steps.count == 0)
		return 0;
	if (!census)
		return -ENOMEM;
	error = state_lock(&lock);
	if (!error)
		error = take_census(a, census);
	if (error)
		return error;
	restored = revive_link(a);
	if (restored < 0)
		return restored;
	for (size_t i = 0; i < a->steps.count && (!error || error == -EEXIST); i++) {
		error = put_back(a, &a->steps.step[i], census->missing[i]);
		restored += !error;
	}
	return error && error != -EEXIST ? error : restored;
}

void arrange_undo(struct arrangement *a)
{
	static const struct steps nothing;
	static const struct ruleset no_rules;
	scoped_fd lock = -1;
	int error = state_lock(&lock);

	if (error)
		log_warning("host: cannot lock the state directory: %s", strerror(-error));
	undo_all_but(a, &a->steps, a->steps.count, &nothing);
	error = change_firewall(a, &no_rules);
	if (error && !is_gone(error))
		log_warning("host: cannot remove the firewall table: %s", strerror(-error));
	a->steps.count = 0;
	close_fd(&a->nft);
	close_fd(&a->rtnl);
	journal_remove(a->name);
}

/* --- after others ----------------------------------------------------------------------------- */

static void undo_journal(int rtnl, const char *name)
{
	scoped_memory struct steps *steps = malloc(sizeof(*steps));

	if (!steps || journal_read(name, steps) != 0)
		return;
	for (size_t i = steps->count; i-- > 0;)
		undo(rtnl, name, &steps->step[i]);
}

void arrange_undo_from_journal(const char *name)
{
	scoped_fd lock = -1, rtnl = -1;

	if (state_lock(&lock) != 0 || rtnl_open(&rtnl) != 0)
		return;
	undo_journal(rtnl, name);
	journal_remove(name);
}

struct repair {
	int rtnl;
	unsigned dead, alive;
};

static void repair_one(void *context, const char *name)
{
	struct repair *repair = context;

	if (state_is_alive(name)) {
		repair->alive++;
		return;
	}
	undo_journal(repair->rtnl, name);
	state_remove(name);
	repair->dead++;
}

unsigned arrange_repair(void)
{
	struct repair repair = { .rtnl = -1 };
	scoped_fd lock = -1, rtnl = -1;

	if (state_lock(&lock) != 0 || rtnl_open(&rtnl) != 0)
		return 0;
	repair.rtnl = rtnl;
	state_each(repair_one, &repair);
	/* With nobody alive, every rule that bears our number is left over, journal or not. */
	if (repair.alive == 0)
		rtnl_clear_rules(rtnl);
	return repair.dead;
}
