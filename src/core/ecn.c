/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/ecn.h"

/* IPv4: the header checksum is brought up to date, RFC 1624 equation 3. */
static void set_ipv4(uint8_t *packet, uint8_t ecn)
{
	uint16_t before = (uint16_t)(packet[0] << 8 | packet[1]), after;
	uint32_t sum = (uint32_t)(packet[10] << 8 | packet[11]) ^ 0xffff;

	packet[1] = (uint8_t)((packet[1] & ~ECN_MASK) | ecn);
	after = (uint16_t)(packet[0] << 8 | packet[1]);
	sum += (uint32_t)(before ^ 0xffff) + after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum ^= 0xffff;
	packet[10] = (uint8_t)(sum >> 8);
	packet[11] = (uint8_t)sum;
}

static void set_ipv6(uint8_t *packet, uint8_t ecn)
{
	packet[1] = (uint8_t)((packet[1] & ~(ECN_MASK << 4)) | ecn << 4);
}

bool ecn_decapsulate(uint8_t *packet, uint8_t outer_tos)
{
	bool ipv4 = packet[0] >> 4 == 4;
	uint8_t inner = (ipv4 ? packet[1] : packet[1] >> 4) & ECN_MASK;
	uint8_t outer = outer_tos & ECN_MASK;

	if (outer == ECN_CE && inner == ECN_NOT_ECT)
		return false;
	/* Only two pairs change the inner mark: CE on anything capable, and ECT(1) on ECT(0). */
	if ((outer != ECN_CE && !(outer == ECN_ECT1 && inner == ECN_ECT0)) || inner == outer)
		return true;
	if (inner == ECN_CE)
		return true;
	if (ipv4)
		set_ipv4(packet, outer);
	else
		set_ipv6(packet, outer);
	return true;
}
