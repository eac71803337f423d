/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer TOS or traffic class.  Its congestion mark: the inner one is copied outwards, and what
 * routers on the way did to the outer one is carried back into the inner packet (RFC 6040).  Its DSCP
 * tells whoever watches what kind of traffic is inside, so that it is copied outwards on request only;
 * inwards never (RFC 2983 section 3, the pipe model): what the sender wrote stays.
 */
#ifndef MINIVPN_ECN_H
#define MINIVPN_ECN_H

#include <stdbool.h>
#include <stdint.h>

enum { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3, ECN_MASK = 3 };

/**
 * ecn_encapsulate() - outer TOS for an inner one: the ECN bits copied (RFC 6040 section 4.1)
 * @copy_dscp: the other six bits as well; otherwise they are 0
 */
static inline uint8_t ecn_encapsulate(uint8_t inner_tos, bool copy_dscp)
{
	return copy_dscp ? inner_tos : inner_tos & ECN_MASK;
}

/**
 * ecn_decapsulate() - carry the outer mark into the inner packet, whose DSCP stays
 * @packet:    inner IPv4 or IPv6 packet, its header already checked (inner_parse())
 * @outer_tos: outer TOS or traffic class
 *
 * Return: false if the packet must be dropped: congestion was experienced, and the inner packet cannot
 * say so (RFC 6040 section 4.2, figure 4)
 */
bool ecn_decapsulate(uint8_t *packet, uint8_t outer_tos);

#endif
