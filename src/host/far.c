/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/far.h"

#include <assert.h>

struct address far_address(bool ipv4, unsigned half)
{
	/* 7.0.0.0/8 is not announced on the Internet; 192.0.0.0/24 is for protocols (RFC 6890). */
	static const uint8_t four[FAR_HALVES][4] = { { 7, 109, 118, 1 }, { 192, 0, 0, 109 } };
	/* 2001:db8::/32 and 3fff::/20 are for documentation (RFC 3849, RFC 9637); both lie in the first half of
	 * all addresses, but in different halves of those that are in use, 2000::/3. */
	static const struct address six[FAR_HALVES] = {
		{ { 0x20, 0x01, 0x0d, 0xb8, 0x6d, 0x76, 0x6d, 0x76, [15] = 1 } },
		{ { 0x3f, 0xff, 0x0d, 0x76, [15] = 1 } },
	};

	assert(half < FAR_HALVES);
	return ipv4 ? address_from_ipv4(four[half]) : six[half];
}
