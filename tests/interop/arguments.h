/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What static-tunnel is told on its command line. */
#ifndef INTEROP_ARGUMENTS_H
#define INTEROP_ARGUMENTS_H

#include "minivpn/inner.h"
#include "minivpn/key.h"

#include <net/if.h>

/**
 * struct static_sa - one SA, keyed by hand
 * @spi: as on the wire, host order
 */
struct static_sa {
	uint32_t spi;
	struct sa_key key;
};

/**
 * struct arguments - the whole command line
 * @tun:       name of the device to make
 * @local:     our own address and port, as a remote one (endpoint_parse())
 * @peer:      where to send; of the same family
 * @out, @in:  the SA to seal with, and the one to open with
 * @aead_name: back-end, or NULL for the best
 */
struct arguments {
	char tun[IFNAMSIZ];
	struct endpoint local;
	struct endpoint peer;
	struct static_sa out;
	struct static_sa in;
	const char *aead_name;
};

/**
 * arguments_parse() - read the command line
 *
 * What is wrong with it is told on standard error, and the program ends with status 2.
 */
void arguments_parse(int argc, char **argv, struct arguments *ret_arguments);

#endif
