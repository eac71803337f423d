/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Terms of a ruleset as expressions of nf_tables, both ways.  For ruleset_messages.c only. */
#ifndef HOST_RULESET_TERMS_H
#define HOST_RULESET_TERMS_H

#include "host/ruleset.h"

struct nftnl_rule;

/** ruleset_put_term() - write @term behind what @rule has; false if memory ran out */
bool ruleset_put_term(struct nftnl_rule *rule, const struct ruleset_term *term);

/** ruleset_take_terms() - read all of a rule as terms; false if it is none of ours */
bool ruleset_take_terms(struct nftnl_rule *rule, struct ruleset_rule *ret_rule);

#endif
