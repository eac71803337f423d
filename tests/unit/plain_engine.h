/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine for tests: what it asks of its shell is answered as plainly as possible, and a test puts
 * its own answers in the place of those that it is about. */
#ifndef TEST_PLAIN_ENGINE_H
#define TEST_PLAIN_ENGINE_H

#include "minivpn/engine.h"

#include <stdlib.h>
#include <string.h>

/* The same in every run, after srand(). */
static inline void plain_random(void *shell, uint8_t *ret_bytes, size_t n)
{
	(void)shell;
	for (size_t i = 0; i < n; i++)
		ret_bytes[i] = (uint8_t)(rand() >> 4);
}

static inline void *plain_allocate(void *shell, size_t bytes)
{
	void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

	(void)shell;
	return memory ? memset(memory, 0, bytes) : NULL;
}

static inline void plain_release(void *shell, void *memory)
{
	(void)shell;
	free(memory);
}

static inline void plain_transmit(void *shell, const struct transmission *datagram)
{
	(void)shell;
	(void)datagram;
}

static inline void plain_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	(void)shell;
	(void)packet;
	(void)bytes;
}

static inline void plain_event(void *shell, const struct engine_event *event)
{
	(void)shell;
	(void)event;
}

/** plain_engine() - a configuration with all that is needed but the AEAD */
static inline struct engine_config plain_engine(enum role role, void *shell)
{
	return (struct engine_config){
		.hooks = { shell, plain_random, plain_allocate, plain_release, plain_transmit,
			   plain_deliver, plain_event },
		.role = role,
		.inner_mtu = INNER_MTU_OVER_IPV4,
		.workers = 1,
		.keepalive_ns = 10 * NS_PER_S,
		.software = "minivpn test",
	};
}

#endif
