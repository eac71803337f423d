/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/forwarding.h"

#include "host/sysctl.h"
#include "log.h"

#include <stdio.h>

/* IPv4 asks the interface that a packet came by, IPv6 the host. */
static bool forwards(bool ipv4, const char *interface)
{
	char key[STEP_SYSCTL_BYTES];
	int32_t value = 1;

	snprintf(key, sizeof(key), "net/%s/conf/%.15s/forwarding", ipv4 ? "ipv4" : "ipv6",
		 ipv4 ? interface : "all");
	return sysctl_read(key, &value) < 0 || value != 0;
}

void forwarding_warn(const struct keytext *key, const char *interface)
{
	for (unsigned i = 0; i < key->network_count; i++) {
		const struct prefix *network = &key->network[i];
		bool ipv4 = address_is_ipv4(&network->address);

		/* A single address is as likely this machine's own. */
		if (network->length == (ipv4 ? 32 : 128) || forwards(ipv4, interface))
			continue;
		log_warning("tunnel: this machine does not forward what the server sends for %s "
			    "('networks' of the key): sysctl %s=1 makes it",
			    shown_prefix(network),
			    ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding");
	}
}
