/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of iptables before nftables, which nf_tables does not tell of. */
#ifndef HOST_FOREIGN_LEGACY_H
#define HOST_FOREIGN_LEGACY_H

#include "host/foreign_table.h"

/** foreign_legacy_exists() - is there a table of that name?  To ask for its rules would make it */
bool foreign_legacy_exists(uint8_t family, const char *table);

/** foreign_legacy_chain() - where packets come in on a hook, NF_INET_LOCAL_IN or NF_INET_FORWARD */
const char *foreign_legacy_chain(uint32_t hook);

/**
 * foreign_legacy_read() - the filter table of the packet's family, as far as the packet is concerned
 * @table:     the rules are added
 * @ret_drops: what no rule of that chain decides is dropped
 *
 * Return: 0; -ENOENT if there is no such table, which is then not made; or negative errno
 */
int foreign_legacy_read(const struct foreign_packet *packet, struct foreign_table *table,
			bool *ret_drops);

#endif
