/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan as a list of single steps in the order in which to take them.  Undoing is the same list
 * backwards, so nothing that is done can be forgotten in undoing; and what is different between two
 * plans is what is in one list and not in the other.
 */
#ifndef HOST_STEPS_H
#define HOST_STEPS_H

#include "host/plan.h"

enum {
	STEPS_OWN_MAX = 48,
	STEPS_ADVERTISED_MAX = 64,
	STEPS_KEPT_MAX = 32,
	STEPS_MAX = 352,
	STEP_SYSCTL_BYTES = 64,

	/* Marks our routes and policy rules, so that they can be told from other people's. */
	STEP_PROTOCOL = 109,

	/* Priorities of our policy rules; a later tunnel's stand behind an earlier one's. */
	STEP_PRIORITY_MARK = 30000,
	STEP_PRIORITY_OWN = 30001,
	STEP_PRIORITY_LOCAL = 30002,
	STEP_PRIORITY_INSIDE = 30003,
	STEP_PRIORITY_TUNNEL = 30004,
	STEP_PRIORITY_END = 30009,

	/* Each tunnel has a routing table of its own: this and the interface's index. */
	STEP_TABLE_BASE = 0x6d760000,
	STEP_TABLE_MAIN = 254, /* RT_TABLE_MAIN */
};

enum step_kind {
	STEP_NONE,
	STEP_LINK,     /* MTU, no addresses of its own accord, up */
	STEP_ADDRESS,  /* an address of the interface */
	STEP_FIREWALL, /* the table of ours, whole */
	STEP_SYSCTL,   /* a setting below /proc/sys */
	STEP_ROUTE,    /* a route into the tunnel */
	STEP_RULE,     /* a policy rule */
	STEP_KIND_COUNT
};

/* The settings that make the host forward. */
#define STEP_FORWARDING_IPV4 "net/ipv4/ip_forward"
#define STEP_FORWARDING_IPV6 "net/ipv6/conf/all/forwarding"

/** struct step_rule - a policy rule */
struct step_rule {
	uint8_t family;      /* 4 or 6 */
	uint8_t local_only;  /* 1: of the routes found, those with a prefix longer than 0 count */
	uint32_t priority;   /* STEP_PRIORITY_* */
	uint32_t mark;       /* matches only packets with this mark; 0 = any */
	uint32_t user;       /* matches only packets of this user; 0 = any */
	struct address from; /* matches only packets from here; none = any */
	uint32_t table;      /* look here; 0 = go on at @target */
	uint32_t target;     /* a later priority; 0 and no @table: the rule is such a target */
};

/** struct step_route - a route into the tunnel */
struct step_route {
	struct prefix network;
	uint32_t table;
};

/**
 * struct step_sysctl - a setting that has to have a value
 * @key:    below /proc/sys, with slashes
 * @before: filled in by sysctl_prepare()
 * @kept:   1: it has the value already, and Linux changes it when what comes after it is undone
 * @needed: 1: filled in by sysctl_prepare(): others could have used the value already, and had not set it
 */
struct step_sysctl {
	char key[STEP_SYSCTL_BYTES];
	int32_t value, before;
	uint8_t kept, needed;
};

/**
 * struct link_settings - what we set of an interface
 * @address_mode:        IFLA_INET6_ADDR_GEN_MODE: which addresses it makes by itself
 * @disable_ipv6, @promote_secondaries: settings of that name; negative where there are none
 */
struct link_settings {
	uint32_t mtu, queue_packets;
	uint8_t up, multicast, address_mode;
	int8_t disable_ipv6, promote_secondaries;
};

/** struct step_link - @before is put back where the interface stays */
struct step_link {
	uint16_t mtu;
	struct link_settings before;
};

/**
 * struct step - one change to the host
 * @stays:     1: the interface does not go with us, so what is done to it has to be undone
 * @was_there: 1: an address that the interface had before, and keeps
 */
struct step {
	uint32_t kind; /* enum step_kind */
	char interface[PLAN_INTERFACE_BYTES];
	uint8_t stays, was_there;
	union {
		struct step_link link;
		struct prefix address;
		struct step_sysctl sysctl;
		struct step_route route;
		struct step_rule rule;
	};
};

/** struct steps - a list of steps */
struct steps {
	uint32_t count;
	struct step step[STEPS_MAX];
};

/**
 * struct interface_before - the interface as it was found
 * @stays:   somebody has made it to stay when nobody uses it
 * @link:    its settings
 * @address: its addresses, @address_count of them
 */
struct interface_before {
	bool stays;
	struct link_settings link;
	uint8_t address_count;
	struct prefix address[PLAN_ADDRESSES_MAX];
};

/**
 * struct facts - what has to be known of the host to turn a plan into steps
 * @table:      routing table of the tunnel, if it needs policy rules
 * @own:        the host's own addresses: connections that come in there are answered from there
 * @advertised: interfaces that listen to router advertisements only as long as the host does not
 *              forward; they have to be told to go on
 * @before:     the interface before the first plan; NULL: one that goes with us
 * @kept:       settings that Linux changes when the host stops to forward
 */
struct facts {
	const struct interface_before *before;
	uint32_t table;
	uint8_t own_count;
	struct address own[STEPS_OWN_MAX];
	uint8_t advertised_count;
	char advertised[STEPS_ADVERTISED_MAX][PLAN_INTERFACE_BYTES];
	uint8_t kept_count;
	struct step_sysctl kept[STEPS_KEPT_MAX];
};

/**
 * steps_of_plan() - how to get there
 * @plan:      one that plan_check() has nothing against
 * @ret_steps: the list; always fits
 */
void steps_of_plan(const struct plan *plan, const struct facts *facts, struct steps *ret_steps);

/** steps_find() - the step of the list that is the same change as @step, or NULL */
const struct step *steps_find(const struct steps *steps, const struct step *step);

/** step_rule_equal() - are they the same rule, whoever's? */
bool step_rule_equal(const struct step_rule *a, const struct step_rule *b);

/** step_outlives_us() - would it stay if all our processes vanished, and with them what is theirs? */
bool step_outlives_us(const struct step *step);

/** step_is_ipv6() - is it impossible on a host without IPv6? */
bool step_is_ipv6(const struct step *step);

/** step_check() - can this be a step?  For one that was read from a file: NULL, or what is wrong */
const char *step_check(const struct step *step);

enum { STEP_TEXT_BYTES = 160 };

/** step_print() - what the step does: "route 10.0.0.0/8 into minivpn0"; returns @ret_text */
char *step_print(const struct step *step, char ret_text[STEP_TEXT_BYTES]);

#endif
