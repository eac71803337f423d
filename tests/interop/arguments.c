/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arguments.h"

#include "aead/choose.h"
#include "minivpn/envelope.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: static-tunnel --tun IF --local ADDR:PORT --peer ADDR:PORT\n"
	"                     --out SPI:KEYMAT --in SPI:KEYMAT [--aead NAME]\n"
	"\n"
	"Carries a tun device over one pair of ESP SAs in UDP, keyed by hand.  SPI is decimal\n"
	"or 0x; KEYMAT is 72 hex digits, key and salt; an IPv6 address stands in brackets.\n"
	"Prints `ready`; on SIGTERM, its counters as JSON.  For tests only.\n";

__attribute__((noreturn)) static void refuse(const char *option, const char *found,
					     const char *expected)
{
	fprintf(stderr, "static-tunnel: --%s: '%s' is not %s\n", option, found, expected);
	exit(2);
}

/* Key material is refused without being shown. */
__attribute__((noreturn)) static void refuse_sa(const char *option, const char *why)
{
	fprintf(stderr, "static-tunnel: --%s: %s, expected SPI:KEYMAT\n", option, why);
	exit(2);
}

static void parse_device(const char *option, const char *text, char ret_name[static IFNAMSIZ])
{
	size_t n = strlen(text);

	if (n == 0 || n >= IFNAMSIZ || strpbrk(text, "/% \t\n:") || strcmp(text, ".") == 0 ||
	    strcmp(text, "..") == 0)
		refuse(option, text, "a name for a network device");
	memcpy(ret_name, text, n + 1);
}

static void parse_endpoint(const char *option, const char *text, struct endpoint *ret_endpoint)
{
	if (!endpoint_parse(text, ret_endpoint))
		refuse(option, text, "ADDR:PORT or [ADDR6]:PORT");
}

static void parse_sa(const char *option, const char *text, struct static_sa *ret_sa)
{
	const char *colon = strchr(text, ':'), *end;
	struct static_sa sa;
	uint8_t keymat[sizeof(sa.key)];
	unsigned long long spi;
	char *spi_end;
	size_t n;

	if (!colon)
		refuse_sa(option, "there is no colon");
	spi = strtoull(text, &spi_end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (spi_end != colon || strchr("+- \t", *text) || spi < SPI_MIN || spi > UINT32_MAX)
		refuse_sa(option, "the SPI is not a number of 256 to 4294967295");
	if (sodium_hex2bin(keymat, sizeof(keymat), colon + 1, strlen(colon + 1), NULL, &n, &end) !=
		    0 ||
	    *end != '\0' || n != sizeof(keymat))
		refuse_sa(option, "KEYMAT is not 72 hex digits");

	sa.spi = (uint32_t)spi;
	memcpy(sa.key.key, keymat, SA_KEY_BYTES);
	memcpy(sa.key.salt, keymat + SA_KEY_BYTES, SA_SALT_BYTES);
	*ret_sa = sa;
}

static void parse_aead(const char *option, const char *text, const char **ret_name)
{
	if (!aead_named(text)) {
		fprintf(stderr,
			"static-tunnel: --%s: '%s' is not in this build, which has:", option, text);
		for (const struct aead *const *b = aead_backends(); *b; b++)
			fprintf(stderr, " %s", (*b)->name);
		fputc('\n', stderr);
		exit(2);
	}
	*ret_name = text;
}

/* Those before FLAG_AEAD are required. */
enum flag { FLAG_TUN, FLAG_LOCAL, FLAG_PEER, FLAG_OUT, FLAG_IN, FLAG_AEAD, FLAG_HELP };

static const struct option options[] = {
	[FLAG_TUN] = { "tun", required_argument, NULL, FLAG_TUN },
	[FLAG_LOCAL] = { "local", required_argument, NULL, FLAG_LOCAL },
	[FLAG_PEER] = { "peer", required_argument, NULL, FLAG_PEER },
	[FLAG_OUT] = { "out", required_argument, NULL, FLAG_OUT },
	[FLAG_IN] = { "in", required_argument, NULL, FLAG_IN },
	[FLAG_AEAD] = { "aead", required_argument, NULL, FLAG_AEAD },
	[FLAG_HELP] = { "help", no_argument, NULL, FLAG_HELP },
	{ 0 },
};

static void take(enum flag flag, const char *text, struct arguments *a)
{
	const char *name = options[flag].name;

	switch (flag) {
	case FLAG_TUN:
		parse_device(name, text, a->tun);
		break;
	case FLAG_LOCAL:
		parse_endpoint(name, text, &a->local);
		break;
	case FLAG_PEER:
		parse_endpoint(name, text, &a->peer);
		break;
	case FLAG_OUT:
		parse_sa(name, text, &a->out);
		break;
	case FLAG_IN:
		parse_sa(name, text, &a->in);
		break;
	case FLAG_AEAD:
		parse_aead(name, text, &a->aead_name);
		break;
	case FLAG_HELP:
		fputs(usage, stdout);
		exit(0);
	}
}

void arguments_parse(int argc, char **argv, struct arguments *ret_arguments)
{
	struct arguments a = { 0 };
	unsigned given = 0;
	int flag;

	while ((flag = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (flag == '?') {
			fputs(usage, stderr);
			exit(2);
		}
		if (given & 1u << flag) {
			fprintf(stderr, "static-tunnel: --%s: given twice\n", options[flag].name);
			exit(2);
		}
		take((enum flag)flag, optarg, &a);
		given |= 1u << flag;
	}
	if (optind < argc) {
		fprintf(stderr, "static-tunnel: '%s': expected no further argument\n%s",
			argv[optind], usage);
		exit(2);
	}
	for (int i = 0; i < FLAG_AEAD; i++)
		if (!(given & 1u << i)) {
			fprintf(stderr, "static-tunnel: --%s is missing\n%s", options[i].name,
				usage);
			exit(2);
		}
	if (address_is_ipv4(&a.local.remote) != address_is_ipv4(&a.peer.remote)) {
		fprintf(stderr, "static-tunnel: --local and --peer: one is IPv4, one is IPv6\n");
		exit(2);
	}
	*ret_arguments = a;
}
