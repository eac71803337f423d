/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * minivpn-nft: the firewall of a tunnel by itself, for whoever sets up tunnels by hand.  It makes the
 * same table that the server makes, but without the owner flag, so that it stays.
 */
#include "host/foreign.h"
#include "host/nft.h"
#include "host/plan.h"
#include "host/ruleset.h"
#include "host/sysctl.h"
#include "log.h"
#include "scope.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_FAILED = 1, EXIT_MISUSE = 2 };

/**
 * struct job - what the command line asks for
 * @plan:    the interface, the networks, the way out
 * @dry_run: only print what would be installed
 */
struct job {
	struct plan plan;
	bool dry_run;
};

static const char usage_text[] =
	"usage: minivpn-nft install --tun IF --source CIDR... [--out IF] [--dry-run]\n"
	"       minivpn-nft remove  --tun IF\n"
	"       minivpn-nft show    --tun IF\n"
	"       minivpn-nft check   --tun IF [--source CIDR...] [--out IF]\n"
	"\n"
	"The firewall of a tunnel by itself: the networks CIDR, which come out of the interface IF "
	"of\n"
	"the tunnel, are forwarded and masqueraded, IPv4 and IPv6, and TCP segments fit the path.\n"
	"\n"
	"  install   make the table inet minivpn-IF, or make it anew; it stays until it is "
	"removed\n"
	"  remove    remove that table, and nothing else\n"
	"  show      print what is installed, in nft's language\n"
	"  check     say what is missing for the tunnel's packets to get out; exit status 1 if "
	"something is\n"
	"\n"
	"  -i, --tun IF        interface of the tunnel; it need not exist yet\n"
	"  -s, --source CIDR   a network of the tunnel; several may be given\n"
	"  -o, --out IF        let them out by this interface only (else by any)\n"
	"  -n, --dry-run       install nothing, print it in nft's language (for nft -f)\n"
	"  -h, --help          this text\n"
	"  -V, --version       version\n";

static int end_of_misuse(void)
{
	fputs("\nminivpn-nft: see minivpn-nft --help\n", stderr);
	return EXIT_MISUSE;
}

/* What is wrong with the command line, as for printf(); the exit status. */
#define misuse(...) (fprintf(stderr, "minivpn-nft: " __VA_ARGS__), end_of_misuse())

/* What an attempt came to, in words with what to try. */
static int failed(const char *doing, const char *table, int error)
{
	const char *why = strerror(-error);

	if (error == -EPERM)
		why = "not permitted: only root can change the firewall; or, being root, a running "
		      "minivpn holds this table (minivpn status)";
	else if (error == -EOPNOTSUPP || error == -EPROTONOSUPPORT || error == -EAFNOSUPPORT)
		why = "this kernel has no nf_tables for both families (modules nf_tables, "
		      "nft_masq, "
		      "nft_chain_nat)";
	fprintf(stderr, "minivpn-nft: cannot %s table inet %s: %s\n", doing, table, why);
	return EXIT_FAILED;
}

/* --- the verbs -------------------------------------------------------------------------------- */

/* Opens the socket and reads what is installed. */
static int look(const struct job *job, int *ret_fd, struct nft_table *ret_table)
{
	char name[RULESET_TABLE_BYTES];
	scoped_fd fd = -1;
	int error = nft_open(&fd);

	if (!error)
		error = nft_read(fd, job->plan.interface, ret_table);
	if (error)
		return failed("read", ruleset_table_name(job->plan.interface, name), error);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int refuse_owned(const struct nft_table *table)
{
	fprintf(stderr,
		"minivpn-nft: table inet %s belongs to a minivpn that is running, and goes with "
		"it; "
		"nothing was changed\n",
		table->ruleset.table);
	return EXIT_FAILED;
}

static int install(const struct job *job)
{
	struct nft_table table;
	struct ruleset ruleset;
	scoped_fd fd = -1;
	int error;

	ruleset_of_plan(&job->plan, false, &ruleset);
	if (job->dry_run) {
		ruleset_print(&ruleset, stdout);
		return 0;
	}
	error = look(job, &fd, &table);
	if (error)
		return error;
	if (table.owned)
		return refuse_owned(&table);
	error = nft_apply(fd, &ruleset, RULESET_REPLACE);
	return error ? failed("install", ruleset.table, error) : 0;
}

static int remove_table(const struct job *job)
{
	struct nft_table table;
	scoped_fd fd = -1;
	int error = look(job, &fd, &table);

	if (error)
		return error;
	if (!table.exists) {
		fprintf(stderr, "minivpn-nft: table inet %s is not installed: nothing to remove\n",
			table.ruleset.table);
		return 0;
	}
	if (table.owned)
		return refuse_owned(&table);
	error = nft_apply(fd, &table.ruleset, RULESET_REMOVE);
	return error ? failed("remove", table.ruleset.table, error) : 0;
}

static int show(const struct job *job)
{
	struct nft_table table;
	scoped_fd fd = -1;
	int error = look(job, &fd, &table);

	if (error)
		return error;
	if (!table.exists) {
		fprintf(stderr, "minivpn-nft: table inet %s is not installed\n",
			table.ruleset.table);
		return EXIT_FAILED;
	}
	ruleset_print(&table.ruleset, stdout);
	if (table.owned)
		printf("# held by a running minivpn\n");
	if (table.foreign_rules)
		printf("# rules that minivpn does not make: %u: nft list table inet %s\n",
		       table.foreign_rules, table.ruleset.table);
	return 0;
}

/* --- check ------------------------------------------------------------------------------------ */

static unsigned check_setting(const char *key, const char *sysctl_name, const char *family)
{
	int32_t value;

	if (sysctl_read(key, &value) != 0) {
		printf("%s: this kernel does not do it\n", family);
		return 1;
	}
	if (value != 0)
		return 0;
	printf("forwarding of %s is off: sysctl -w %s=1\n", family, sysctl_name);
	return 1;
}

static bool has_family(const struct plan *plan, bool ipv4)
{
	for (size_t i = 0; i < plan->network_count; i++)
		if (address_is_ipv4(&plan->network[i].address) == ipv4)
			return true;
	return plan->network_count == 0;
}

static unsigned check_forwarding(const struct plan *plan)
{
	unsigned missing = 0;

	if (has_family(plan, true))
		missing += check_setting("net/ipv4/ip_forward", "net.ipv4.ip_forward", "IPv4");
	if (has_family(plan, false))
		missing += check_setting("net/ipv6/conf/all/forwarding",
					 "net.ipv6.conf.all.forwarding", "IPv6");
	return missing;
}

static unsigned check_table(const struct job *job, const struct nft_table *table)
{
	struct ruleset wanted;

	if (!table->exists) {
		printf("table inet %s is not installed: minivpn-nft install --tun %s --source "
		       "CIDR\n",
		       table->ruleset.table, job->plan.interface);
		return 1;
	}
	ruleset_of_plan(&job->plan, false, &wanted);
	if (table->foreign_rules) {
		printf("table inet %s has rules that minivpn does not make: %u\n",
		       table->ruleset.table, table->foreign_rules);
		return 1;
	}
	/* A running server's table may hold more than the command line can say. */
	if (!table->owned && job->plan.network_count > 0 &&
	    !ruleset_equal(&table->ruleset, &wanted)) {
		printf("table inet %s was installed for other networks: minivpn-nft show --tun "
		       "%s\n",
		       table->ruleset.table, job->plan.interface);
		return 1;
	}
	return 0;
}

static void tell_foreign(void *context, const struct foreign_chain *chain)
{
	(void)context;
	printf("%s drops forwarded packets that it has no rule for:\n", chain->name);
	for (size_t i = 0; i < chain->commands; i++)
		printf("  %s\n", chain->command[i]);
}

/* An accept in our table does not keep another table's chain from dropping; one in that chain does. */
static unsigned check_others(const struct plan *plan)
{
	int found = foreign_each(plan->interface, plan->out, tell_foreign, NULL);

	return found > 0 ? (unsigned)found : 0;
}

static int check(const struct job *job)
{
	struct nft_table table;
	scoped_fd fd = -1;
	unsigned missing;
	int error = look(job, &fd, &table);

	if (error)
		return error;
	missing = check_table(job, &table);
	missing += check_forwarding(&job->plan);
	missing += check_others(&job->plan);
	if (missing == 0)
		printf("nothing is missing\n");
	return missing ? EXIT_FAILED : 0;
}

/* --- the command line ------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	int (*run)(const struct job *job);
	bool takes_networks, needs_networks, takes_dry_run;
} verbs[] = {
	{ "install", install, true, true, true },
	{ "remove", remove_table, false, false, false },
	{ "show", show, false, false, false },
	{ "check", check, true, false, false },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int set_interface(char into[PLAN_INTERFACE_BYTES], const char *option, const char *name)
{
	if (!plan_interface_is_valid(name))
		return misuse("%s: '%s' is not an interface name (letters, digits, '.', '_', '-'; "
			      "a letter first; at most 15)",
			      option, name);
	if (into[0])
		return misuse("%s: given twice: '%s' and '%s'", option, into, name);
	strcpy(into, name);
	return 0;
}

/* One network, or several parted by commas. */
static int add_sources(struct plan *plan, char *list)
{
	for (char *one = strtok(list, ","); one; one = strtok(NULL, ",")) {
		struct prefix network;

		if (!prefix_parse(one, &network))
			return misuse("--source: '%s' is not a network such as 10.9.0.0/24 or "
				      "fd00:9::/64",
				      one);
		if (network.length == 0)
			return misuse("--source: '%s' is every address there is: name the "
				      "tunnel's networks",
				      one);
		if (!plan_add_network(plan, &network))
			return misuse("--source: more than %d networks", PLAN_NETWORKS_MAX);
	}
	return 0;
}

static int take_option(struct job *job, int option)
{
	switch (option) {
	case 'i':
		return set_interface(job->plan.interface, "--tun", optarg);
	case 'o':
		return set_interface(job->plan.out, "--out", optarg);
	case 's':
		return add_sources(&job->plan, optarg);
	case 'n':
		job->dry_run = true;
		return 0;
	default:
		return EXIT_MISUSE;
	}
}

static int check_usage(const struct verb *verb, const struct job *job)
{
	if (!job->plan.interface[0])
		return misuse("%s: which interface?  --tun IF is missing", verb->name);
	if (verb->needs_networks && job->plan.network_count == 0)
		return misuse("%s: which networks?  --source CIDR is missing", verb->name);
	if (!verb->takes_networks && (job->plan.network_count > 0 || job->plan.out[0]))
		return misuse("%s: takes no --source and no --out", verb->name);
	if (!verb->takes_dry_run && job->dry_run)
		return misuse("%s: takes no --dry-run", verb->name);
	if (job->plan.out[0] && strcmp(job->plan.out, job->plan.interface) == 0)
		return misuse("--out: '%s' is the tunnel itself", job->plan.out);
	return 0;
}

static int read_options(int argc, char **argv, struct job *job)
{
	static const struct option options[] = {
		{ "tun", required_argument, NULL, 'i' },
		{ "source", required_argument, NULL, 's' },
		{ "out", required_argument, NULL, 'o' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "i:s:o:n", options, NULL)) != -1)
		status = option == '?' ? misuse("cannot read the command line")
				       : take_option(job, option);
	/* `--source A B C` is how people write several. */
	while (!status && optind < argc)
		status = job->plan.network_count > 0 ? add_sources(&job->plan, argv[optind++])
						     : misuse("what is '%s'?", argv[optind]);
	return status;
}

int main(int argc, char **argv)
{
	const struct verb *verb;
	struct job job = { .dry_run = false };
	int status;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
		printf("minivpn-nft " MINIVPN_VERSION "\n");
		return 0;
	}
	if (argc < 2)
		return misuse("what is to be done?  install, remove, show or check");
	verb = find_verb(argv[1]);
	if (!verb)
		return misuse("'%s' is none of install, remove, show, check", argv[1]);
	job.plan.mtu = PLAN_MTU_MIN;
	job.plan.masquerade = job.plan.clamp_mss = 1;
	argv[1] = argv[0]; /* for getopt's messages */
	status = read_options(argc - 1, argv + 1, &job);
	if (!status)
		status = check_usage(verb, &job);
	if (!status)
		status = verb->run(&job);
	if (fflush(stdout) == 0)
		return status;
	fprintf(stderr, "minivpn-nft: standard output: %s\n", strerror(errno));
	return EXIT_FAILED;
}
