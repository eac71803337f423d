/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talking to nf_tables: one batch is one transaction with one answer.  What is in it is not known
 * here (ruleset.h).  All return 0 or negative errno; -EOPNOTSUPP or -EPROTONOSUPPORT from a kernel
 * without nf_tables.
 */
#ifndef HOST_NFT_H
#define HOST_NFT_H

#include "host/ruleset.h"

struct nftnl_rule;

/** nft_open() - a socket; tables made over it with the owner flag go when it is closed */
int nft_open(int *ret_fd);

/** nft_apply() - make it so, all of it or nothing; see enum ruleset_verb for -EEXIST and -ENOENT */
int nft_apply(int fd, const struct ruleset *ruleset, enum ruleset_verb verb);

/**
 * struct nft_table - what is installed under a name
 * @exists:        is there such a table?
 * @owned:         a process holds it, and it goes with that process
 * @ruleset:       those of its rules that we could have made
 * @foreign_rules: how many others there are
 */
struct nft_table {
	bool exists, owned;
	struct ruleset ruleset;
	unsigned foreign_rules;
};

/** nft_read() - what the table of that interface holds now */
int nft_read(int fd, const char *interface, struct nft_table *ret_table);

/**
 * nft_base_chains() - call @each with every base chain on a hook
 * @hook: NF_INET_FORWARD and the like
 * @each: @family is "ip", "ip6" or "inet"; @drops: by its policy, what it has no rule for
 *
 * An accept in a table of ours does not keep such a chain from dropping.
 */
int nft_base_chains(int fd, uint32_t hook,
		    void (*each)(void *context, const char *family, const char *table,
				 const char *chain, bool drops),
		    void *context);

/** nft_rules() - call @each with every rule of a table; @family as nft_base_chains() tells it */
int nft_rules(int fd, const char *family, const char *table,
	      void (*each)(void *context, const struct nftnl_rule *rule), void *context);

#endif
