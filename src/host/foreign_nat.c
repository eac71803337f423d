/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/foreign.h"
#include "host/foreign_legacy.h"
#include "host/nft.h"
#include "scope.h"

#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/wait.h>

/* After the C library's headers, lest both define the same. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

enum { TABLES_MAX = 32 };

struct tables {
	const char *without; /* the other family */
	size_t count;
	struct {
		char family[FOREIGN_NAME_BYTES], name[FOREIGN_NAME_BYTES];
	} table[TABLES_MAX];
};

static void collect(void *context, const char *family, const char *name, const char *chain,
		    bool drops)
{
	struct tables *tables = context;
	size_t n = tables->count;

	(void)chain;
	(void)drops;
	if (n == TABLES_MAX || strcmp(family, tables->without) == 0 ||
	    strncmp(name, RULESET_TABLE_PREFIX, strlen(RULESET_TABLE_PREFIX)) == 0)
		return;
	snprintf(tables->table[n].family, sizeof(tables->table[n].family), "%s", family);
	snprintf(tables->table[n].name, sizeof(tables->table[n].name), "%s", name);
	tables->count++;
}

static int read_expression(struct nftnl_expr *e, void *context)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	bool *found = context;

	if (strcmp(name, "target") == 0)
		name = nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME);
	*found |= strcmp(name, "masq") == 0 || strcmp(name, "MASQUERADE") == 0 ||
		  strcmp(name, "SNAT") == 0 ||
		  (strcmp(name, "nat") == 0 &&
		   nftnl_expr_get_u32(e, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_SNAT);
	return 0;
}

static void read_rule(void *context, const struct nftnl_rule *rule)
{
	nftnl_expr_foreach((struct nftnl_rule *)rule, read_expression, context);
}

static bool translates(bool ipv4)
{
	struct tables tables = { .without = ipv4 ? "ip6" : "ip" };
	bool found = foreign_legacy_exists(ipv4 ? 4 : 6, "nat");
	scoped_fd fd = -1;

	if (nft_open(&fd) != 0 || nft_base_chains(fd, NF_INET_POST_ROUTING, collect, &tables) != 0)
		return found;
	for (size_t i = 0; i < tables.count && !found; i++)
		nft_rules(fd, tables.table[i].family, tables.table[i].name, read_rule, &found);
	return found;
}

/* In a process of its own, as all looks at what others have made: it is read by a library that was not made
 * to distrust it. */
bool foreign_translates(bool ipv4)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(translates(ipv4));
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}
