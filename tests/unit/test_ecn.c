/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "minivpn/ecn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DROP = -1 };

/* RFC 6040, figure 4: outgoing inner mark by arriving inner (row) and outer (column) mark, in the order
 * of the code points: Not-ECT, ECT(1), ECT(0), CE. */
static const int figure4[4][4] = {
	[ECN_NOT_ECT] = { ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, DROP },
	[ECN_ECT1] = { ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE },
	[ECN_ECT0] = { ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE },
	[ECN_CE] = { ECN_CE, ECN_CE, ECN_CE, ECN_CE },
};

static uint16_t header_sum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(header[i] << 8 | header[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void every_pair_of_marks(void **state)
{
	(void)state;
	for (int inner = 0; inner < 4; inner++) {
		for (int outer = 0; outer < 4; outer++) {
			uint8_t ip4[20] = { 0x45, (uint8_t)(0xb8 | inner), 0, 20, 1, 2, 0x40, 0, 64,
					    17 };
			uint8_t ip6[40] = { 0x6b, (uint8_t)(0x80 | inner << 4 | 5) };
			int want = figure4[inner][outer];
			uint16_t sum = header_sum(ip4) ^ 0xffff;

			ip4[10] = (uint8_t)(sum >> 8);
			ip4[11] = (uint8_t)sum;
			assert_int_equal(ecn_decapsulate(ip4, (uint8_t)(0xfc | outer)),
					 want != DROP);
			assert_int_equal(ecn_decapsulate(ip6, (uint8_t)outer), want != DROP);
			if (want == DROP)
				continue;
			assert_int_equal(ip4[1], 0xb8 | want);
			assert_int_equal(header_sum(ip4), 0xffff);
			assert_int_equal(ip6[1], 0x80 | want << 4 | 5);
			assert_int_equal(ip6[0], 0x6b);
			assert_int_equal(ecn_encapsulate(ip4[1], false), want);
			assert_int_equal(ecn_encapsulate(ip4[1], true), 0xb8 | want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_pair_of_marks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
