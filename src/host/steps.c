/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a tunnel gets the packets that are meant for it, and no others.
 *
 * Usually by plain routes in the main table.  But a full tunnel must leave everybody's default route
 * alone, and must not swallow its own envelope; so its routes lie in a table of their own, which
 * policy rules ask before the main one:
 *
 *	30000  with our socket mark, or of the resolver   go on at 30009
 *	30001  from an own address                        go on at 30009
 *	30002  all                                        ask main, but not its default route
 *	30003  from the tunnel's address                  ask the tunnel's table
 *	30004  all                                        ask the tunnel's table
 *	30009  (nothing: where to go on, so that whatever rules the machine has apply)
 *
 * So the envelope and the names of servers stay outside, answers leave as the questions came, local
 * networks stay reachable, of several tunnels each has what is bound to its address, and everything
 * else goes into the tunnel (the first one).
 *
 * A mark alone would fail strict reverse-path checks: the reply to the envelope carries no mark, and
 * the way back to its sender would be found to be the tunnel.  But the check looks for the way from
 * the reply's destination, which is an own address, so rule 30001 lets it through, the kernel's
 * own check and firewalld's in nftables alike, in both families.  A rule "to the server" was rejected:
 * it takes the user's own connections to that machine out of the tunnel as well, or has to refuse
 * them, and has to be replaced whenever the server moves.
 */
#include "host/steps.h"

#include "log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static_assert(STEPS_MAX >= 2 + PLAN_ADDRESSES_MAX + 1 + PLAN_ROUTES_MAX + 2 + STEPS_OWN_MAX +
				   PLAN_ADDRESSES_MAX + 2 * 5 + STEPS_ADVERTISED_MAX +
				   STEPS_KEPT_MAX + 2,
	      "every plan fits");

/* Room is there for every plan: see the assertion. */
static struct step *add(struct steps *steps, enum step_kind kind, const struct plan *plan)
{
	struct step *step = &steps->step[steps->count++];

	memset(step, 0, sizeof(*step));
	step->kind = kind;
	memcpy(step->interface, plan->interface, sizeof(step->interface));
	return step;
}

static void add_rule(struct steps *steps, const struct plan *plan, struct step_rule rule)
{
	add(steps, STEP_RULE, plan)->rule = rule;
}

static void add_route(struct steps *steps, const struct plan *plan, const struct prefix *network,
		      uint32_t table)
{
	struct step_route *route = &add(steps, STEP_ROUTE, plan)->route;

	route->network = *network;
	route->table = table;
}

static void add_sysctl(struct steps *steps, const struct plan *plan, int value, const char *key)
{
	struct step_sysctl *sysctl = &add(steps, STEP_SYSCTL, plan)->sysctl;

	strcpy(sysctl->key, key);
	sysctl->value = value;
}

/* A host that forwards is a router and does not listen to others (RFC 4861 section 6.2.6), unless
 * accept_ra is 2; on many a server that would be the end of its own IPv6 default route. */
static void add_forwarding_ipv6(struct steps *steps, const struct plan *plan,
				const struct facts *facts)
{
	char key[STEP_SYSCTL_BYTES];

	for (size_t i = 0; i < facts->advertised_count; i++) {
		snprintf(key, sizeof(key), "net/ipv6/conf/%.15s/accept_ra", facts->advertised[i]);
		add_sysctl(steps, plan, 2, key);
	}
	add_sysctl(steps, plan, 1, STEP_FORWARDING_IPV6);
}

static uint8_t family_of(const struct address *a)
{
	return address_is_ipv4(a) ? 4 : 6;
}

/* Does the kernel make this route by itself, from an address of the interface? */
static bool comes_with_address(const struct plan *plan, const struct prefix *network)
{
	for (size_t i = 0; i < plan->address_count; i++)
		if (plan->address[i].length == network->length &&
		    prefix_contains(network, &plan->address[i].address))
			return true;
	return false;
}

/* Does the plan have anything in @table for this family? */
static bool uses_table(const struct plan *plan, uint8_t family)
{
	if ((family == 4 ? plan->default_ipv4 : plan->default_ipv6) != PLAN_WAY_HOST)
		return true;
	for (size_t i = 0; i < plan->route_count; i++)
		if (family_of(&plan->route[i].address) == family)
			return true;
	return false;
}

/* The rules of one family, the target first, so that there is a place to go to; the one that leads
 * into the tunnel last. */
static void add_rules(struct steps *steps, const struct plan *plan, const struct facts *facts,
		      uint8_t family)
{
	add_rule(steps, plan,
		 (struct step_rule){ .family = family, .priority = STEP_PRIORITY_END });
	add_rule(steps, plan,
		 (struct step_rule){ .family = family,
				     .priority = STEP_PRIORITY_MARK,
				     .mark = PLAN_SOCKET_MARK,
				     .target = STEP_PRIORITY_END });
	add_rule(steps, plan,
		 (struct step_rule){ .family = family,
				     .priority = STEP_PRIORITY_MARK,
				     .user = PLAN_RESOLVER_USER,
				     .target = STEP_PRIORITY_END });
	for (size_t i = 0; i < facts->own_count; i++)
		if (family_of(&facts->own[i]) == family)
			add_rule(steps, plan,
				 (struct step_rule){ .family = family,
						     .priority = STEP_PRIORITY_OWN,
						     .from = facts->own[i],
						     .target = STEP_PRIORITY_END });
	add_rule(steps, plan,
		 (struct step_rule){ .family = family,
				     .priority = STEP_PRIORITY_LOCAL,
				     .table = STEP_TABLE_MAIN,
				     .local_only = 1 });
	for (size_t i = 0; i < plan->address_count; i++)
		if (family_of(&plan->address[i].address) == family)
			add_rule(steps, plan,
				 (struct step_rule){ .family = family,
						     .priority = STEP_PRIORITY_INSIDE,
						     .from = plan->address[i].address,
						     .table = facts->table });
	add_rule(steps, plan,
		 (struct step_rule){ .family = family,
				     .priority = STEP_PRIORITY_TUNNEL,
				     .table = facts->table });
}

/*
 * A family that is refused has an address all the same, one that is nobody's (RFC 7600, RFC 9780).
 * Otherwise a socket that is led into the tunnel would be given an address of the host's own, would
 * from then on be taken for one that answers (30001), and would leave outside.
 */
static void add_addresses_of_refused(struct steps *steps, const struct plan *plan)
{
	static const struct prefix nobody_ipv6 = { { { 0x01, 0, [7] = 1, [15] = 1 } }, 128 };
	const struct prefix nobody_ipv4 = { address_from_ipv4((uint8_t[4]){ 192, 0, 0, 8 }), 32 };

	if (plan->default_ipv4 == PLAN_WAY_REFUSED)
		add(steps, STEP_ADDRESS, plan)->address = nobody_ipv4;
	if (plan->default_ipv6 == PLAN_WAY_REFUSED)
		add(steps, STEP_ADDRESS, plan)->address = nobody_ipv6;
}

static bool is_same_prefix(const struct prefix *a, const struct prefix *b)
{
	return a->length == b->length && address_equal(&a->address, &b->address);
}

static bool had_address(const struct interface_before *before, const struct prefix *address)
{
	for (size_t i = 0; i < before->address_count; i++)
		if (is_same_prefix(&before->address[i], address))
			return true;
	return false;
}

/* What is done to an interface that stays is kept in mind, with what it was before. */
static void note_what_stays(struct steps *steps, const struct interface_before *before)
{
	if (!before || !before->stays)
		return;
	for (size_t i = 0; i < steps->count; i++) {
		struct step *step = &steps->step[i];

		step->stays = step->kind == STEP_LINK || step->kind == STEP_ADDRESS ||
			      step->kind == STEP_ROUTE;
		if (step->kind == STEP_LINK)
			step->link.before = before->link;
		if (step->kind == STEP_ADDRESS)
			step->was_there = had_address(before, &step->address);
	}
}

void steps_of_plan(const struct plan *plan, const struct facts *facts, struct steps *ret_steps)
{
	static const struct prefix everything_ipv6;
	struct prefix everything_ipv4 = { .address = address_from_ipv4((uint8_t[4]){ 0 }) };
	bool by_rules = plan_takes_endpoint(plan);

	ret_steps->count = 0;
	add(ret_steps, STEP_LINK, plan)->link.mtu = plan->mtu;
	/* The firewall before anything is forwarded or led into the tunnel. */
	add(ret_steps, STEP_FIREWALL, plan);
	for (size_t i = 0; i < facts->kept_count; i++)
		add(ret_steps, STEP_SYSCTL, plan)->sysctl = facts->kept[i];
	/* Forwarding before the addresses: Linux counts the anycast address of a subnet (RFC 4291
	 * section 2.6.1) twice if forwarding is switched on while the address is still being
	 * introduced, and does not set its route again once the link was down. */
	if (plan->forward_ipv4)
		add_sysctl(ret_steps, plan, 1, STEP_FORWARDING_IPV4);
	if (plan->forward_ipv6)
		add_forwarding_ipv6(ret_steps, plan, facts);
	for (size_t i = 0; i < plan->address_count; i++)
		add(ret_steps, STEP_ADDRESS, plan)->address = plan->address[i];
	add_addresses_of_refused(ret_steps, plan);
	for (size_t i = 0; i < plan->route_count; i++)
		if (!comes_with_address(plan, &plan->route[i]))
			add_route(ret_steps, plan, &plan->route[i],
				  by_rules ? facts->table : STEP_TABLE_MAIN);
	/* A family that is refused is led into the tunnel too; the firewall refuses it there.  So all
	 * of it goes when the device goes, which an "unreachable" route would not. */
	if (plan->default_ipv4 != PLAN_WAY_HOST)
		add_route(ret_steps, plan, &everything_ipv4, facts->table);
	if (plan->default_ipv6 != PLAN_WAY_HOST)
		add_route(ret_steps, plan, &everything_ipv6, facts->table);
	if (by_rules && uses_table(plan, 4))
		add_rules(ret_steps, plan, facts, 4);
	if (by_rules && uses_table(plan, 6))
		add_rules(ret_steps, plan, facts, 6);
	note_what_stays(ret_steps, facts->before);
}

bool step_rule_equal(const struct step_rule *a, const struct step_rule *b)
{
	return a->family == b->family && a->local_only == b->local_only &&
	       a->priority == b->priority && a->mark == b->mark && a->user == b->user &&
	       address_equal(&a->from, &b->from) && a->table == b->table && a->target == b->target;
}

static bool is_same_change(const struct step *a, const struct step *b)
{
	if (a->kind != b->kind || strcmp(a->interface, b->interface) != 0)
		return false;
	switch ((enum step_kind)a->kind) {
	case STEP_LINK:
		return a->link.mtu == b->link.mtu;
	case STEP_ADDRESS:
		return is_same_prefix(&a->address, &b->address);
	case STEP_SYSCTL:
		return a->sysctl.value == b->sysctl.value &&
		       strcmp(a->sysctl.key, b->sysctl.key) == 0;
	case STEP_ROUTE:
		return is_same_prefix(&a->route.network, &b->route.network) &&
		       a->route.table == b->route.table;
	case STEP_RULE:
		return step_rule_equal(&a->rule, &b->rule);
	case STEP_NONE:
	case STEP_FIREWALL: /* what is in it is compared elsewhere: ruleset_equal() */
	case STEP_KIND_COUNT:
		break;
	}
	return true;
}

const struct step *steps_find(const struct steps *steps, const struct step *step)
{
	for (size_t i = 0; i < steps->count; i++)
		if (is_same_change(&steps->step[i], step))
			return &steps->step[i];
	return NULL;
}

bool step_outlives_us(const struct step *step)
{
	return step->kind == STEP_RULE || step->kind == STEP_SYSCTL || step->stays;
}

bool step_is_ipv6(const struct step *step)
{
	switch ((enum step_kind)step->kind) {
	case STEP_ADDRESS:
		return !address_is_ipv4(&step->address.address);
	case STEP_ROUTE:
		return !address_is_ipv4(&step->route.network.address);
	case STEP_RULE:
		return step->rule.family == 6;
	case STEP_SYSCTL:
		return strncmp(step->sysctl.key, "net/ipv6/", 9) == 0;
	case STEP_LINK:
	case STEP_FIREWALL:
	case STEP_NONE:
	case STEP_KIND_COUNT:
		break;
	}
	return false;
}

static const char *check_sysctl(const struct step_sysctl *sysctl)
{
	size_t length = strnlen(sysctl->key, sizeof(sysctl->key));

	if (length == sizeof(sysctl->key) || strncmp(sysctl->key, "net/ipv", 7) != 0)
		return "not a setting of ours";
	if (strstr(sysctl->key, ".."))
		return "a setting that climbs out of its directory";
	return NULL;
}

static const char *check_rule(const struct step_rule *rule)
{
	if (rule->family != 4 && rule->family != 6)
		return "a rule of neither family";
	if (rule->priority < STEP_PRIORITY_MARK || rule->priority > STEP_PRIORITY_END)
		return "a rule that is not ours";
	if (!address_is_none(&rule->from) && family_of(&rule->from) != rule->family)
		return "a rule of both families";
	return NULL;
}

const char *step_check(const struct step *step)
{
	if (!plan_interface_is_valid(step->interface))
		return "impossible interface name";
	switch ((enum step_kind)step->kind) {
	case STEP_LINK:
	case STEP_FIREWALL:
		return NULL;
	case STEP_ADDRESS:
		return prefix_is_valid(&step->address) ? NULL : "impossible address";
	case STEP_ROUTE:
		return prefix_is_valid(&step->route.network) ? NULL : "impossible route";
	case STEP_SYSCTL:
		return check_sysctl(&step->sysctl);
	case STEP_RULE:
		return check_rule(&step->rule);
	case STEP_NONE:
	case STEP_KIND_COUNT:
		break;
	}
	return "no step";
}

static void print_rule(const struct step_rule *rule, char ret_text[STEP_TEXT_BYTES])
{
	char match[ADDRESS_TEXT_BYTES + 24] = "all", action[48] = "nothing";

	if (rule->mark)
		snprintf(match, sizeof(match), "mark 0x%x", rule->mark);
	if (rule->user)
		snprintf(match, sizeof(match), "user %u", rule->user);
	if (!address_is_none(&rule->from))
		snprintf(match, sizeof(match), "from %s", shown_address(&rule->from));
	if (rule->table)
		snprintf(action, sizeof(action), "ask table %u%s", rule->table,
			 rule->local_only ? " without its default route" : "");
	else if (rule->target)
		snprintf(action, sizeof(action), "go on at %u", rule->target);
	snprintf(ret_text, STEP_TEXT_BYTES, "IPv%u policy rule %u: %s: %s", rule->family,
		 rule->priority, match, action);
}

char *step_print(const struct step *step, char ret_text[STEP_TEXT_BYTES])
{
	const char *interface = step->interface;

	switch ((enum step_kind)step->kind) {
	case STEP_LINK:
		snprintf(ret_text, STEP_TEXT_BYTES, "interface %s up, MTU %u", interface,
			 step->link.mtu);
		return ret_text;
	case STEP_ADDRESS:
		snprintf(ret_text, STEP_TEXT_BYTES, "address %s on %s",
			 shown_prefix(&step->address), interface);
		return ret_text;
	case STEP_FIREWALL:
		snprintf(ret_text, STEP_TEXT_BYTES, "firewall table minivpn-%s", interface);
		return ret_text;
	case STEP_SYSCTL:
		snprintf(ret_text, STEP_TEXT_BYTES, "setting /proc/sys/%s to %d", step->sysctl.key,
			 step->sysctl.value);
		return ret_text;
	case STEP_ROUTE:
		snprintf(ret_text, STEP_TEXT_BYTES, "route %s into %s in table %u",
			 shown_prefix(&step->route.network), interface, step->route.table);
		return ret_text;
	case STEP_RULE:
		print_rule(&step->rule, ret_text);
		return ret_text;
	case STEP_NONE:
	case STEP_KIND_COUNT:
		break;
	}
	strcpy(ret_text, "nothing");
	return ret_text;
}
