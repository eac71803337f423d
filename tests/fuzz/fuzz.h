/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzzers share: an entry with libFuzzer's signature, a check, memory with sharp edges. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/** LLVMFuzzerTestOneInput() - each fuzzer's one function: libFuzzer's name, returns 0 */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/** fuzz_check() - what must hold whatever the input */
#define fuzz_check(condition) ((condition) ? (void)0 : abort())

/** fuzz_copy() - a copy in memory of its own, so that the sanitizer sees a step beyond either end */
static inline uint8_t *fuzz_copy(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);

	fuzz_check(copy);
	if (n > 0)
		memcpy(copy, bytes, n);
	return copy;
}

#endif
