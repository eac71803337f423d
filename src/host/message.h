/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the network process and the steward say to each other: requests and replies of fixed size, one
 * datagram each over a SOCK_SEQPACKET socketpair.
 */
#ifndef HOST_MESSAGE_H
#define HOST_MESSAGE_H

#include "host/plan.h"
#include "host/steps.h"

enum request_kind {
	REQUEST_APPLY,
	REQUEST_ENDPOINT,
	REQUEST_ADD_ROUTE,
	REQUEST_REMOVE_ROUTE,
	REQUEST_OPEN_UDP,
	REQUEST_KIND_COUNT
};

/** struct request - what the steward is asked for; which member counts, @kind says */
struct request {
	uint32_t kind; /* enum request_kind */
	union {
		struct plan plan;
		struct endpoint endpoint;
		struct prefix network;
		struct {
			struct address local;
			uint16_t port;
			uint8_t shared;
			uint32_t buffer_bytes;
		} udp;
	};
};

/**
 * struct reply - what became of a request
 * @error:  0 or negative errno
 * @failed: the step that failed, if it was one; else of kind STEP_NONE
 *
 * A descriptor comes with it if one was asked for.
 */
struct reply {
	int32_t error;
	struct step failed;
};

/** message_send() - one datagram, with a descriptor unless @passed is -1; 0 or negative errno */
int message_send(int line, const void *message, size_t bytes, int passed);

/**
 * message_receive() - wait for one datagram of exactly @bytes
 * @ret_passed: the descriptor that came with it, or -1; may be NULL, then none is taken
 *
 * Return: 0; -EPIPE at end of file; -EPROTO for one of another size; or negative errno
 */
int message_receive(int line, void *ret_message, size_t bytes, int *ret_passed);

#endif
