/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names to addresses, in a process of its own: what answers a DNS query comes from anywhere, and the
 * code that reads it is not ours, so it runs where there is neither a key nor a right.  A name goes
 * in, at most eight addresses come out.
 */
#ifndef IO_RESOLVER_H
#define IO_RESOLVER_H

#include "minivpn/inner.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	RESOLVER_NAME_BYTES = 254, /* 253 and NUL: RFC 1035 section 2.3.4, as text */
	RESOLVER_ADDRESSES_MAX = 8,
};

/**
 * struct resolver_answer - what became of a question
 * @count:     how many of @addresses, best first; 0 if it failed
 * @addresses: remote address and scope; ports are 0
 * @error:     why it failed: an EAI_* for gai_strerror(), else 0
 */
struct resolver_answer {
	uint32_t count;
	struct endpoint addresses[RESOLVER_ADDRESSES_MAX];
	int32_t error;
};

/**
 * resolver_serve() - be the resolver: answer what is asked on @fd until its other end is closed
 * @fd: SOCK_SEQPACKET
 *
 * Return: exit status
 */
int resolver_serve(int fd);

/**
 * struct resolver - the asking end; one question at a time
 * @fd:      wait until it can be read, then call resolver_answer()
 * @waiting: has a question been asked that is not yet answered?
 * @asked:   number of the last question, which its answer bears
 */
struct resolver {
	int fd;
	bool waiting;
	uint32_t asked;
};

/** resolver_init() - ask on @fd, a non-blocking SOCK_SEQPACKET whose other end resolver_serve() has */
void resolver_init(struct resolver *resolver, int fd);

/**
 * resolver_ask() - ask for the addresses of @name (or of an address as text)
 * Return: 0; -EBUSY while the last question is not yet answered; -ENAMETOOLONG; -EPIPE if the
 * resolver is gone
 */
int resolver_ask(struct resolver *resolver, const char *name);

/**
 * resolver_answer() - take the answer
 * Return: 0; -EAGAIN if there is none yet; -EPIPE if the resolver is gone
 */
int resolver_answer(struct resolver *resolver, struct resolver_answer *ret_answer);

#endif
