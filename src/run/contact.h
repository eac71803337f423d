/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client looking for its server: the addresses of its name, which of them to try next, and, while
 * there is no answer, what is known of the reason.
 *
 * A name that does not resolve, a network without a way there, and a port where nobody listens can be
 * told apart.  Silence cannot: a wrong address, a firewall and a wrong key all look the same, since a
 * server does not answer who does not know a key of its.
 */
#ifndef RUN_CONTACT_H
#define RUN_CONTACT_H

#include "io/resolver.h"
#include "io/transport.h"
#include "minivpn/instant.h"
#include "minivpn/verdict.h"

#include <stdbool.h>

enum contact_trouble {
	CONTACT_SILENCE,     /* nothing is known */
	CONTACT_LOOKING_UP,  /* whoever knows the name's addresses takes its time */
	CONTACT_UNRESOLVED,  /* the name has no address */
	CONTACT_UNREACHABLE, /* no way to the address */
	CONTACT_REFUSED,     /* nobody listens there */
	CONTACT_UNVERIFIED,  /* an answer came, but it was not made with our key */
};

/**
 * struct contact - the search
 * @resolver: whom to ask
 * @host, @port: where the server is said to be
 * @address, @count: what its name last resolved to
 * @current:  which of them is being tried
 * @ask_at:   when to ask again, or to say that there is no answer yet; else INSTANT_NEVER
 * @trouble:  the best explanation for having no answer
 * @why:      for CONTACT_UNRESOLVED an EAI_*, for CONTACT_UNREACHABLE an errno
 * @early:    how many were given up early since one was tried for as long as it takes
 * @made:     has there ever been contact?  Then address and key are right
 */
struct contact {
	struct resolver resolver;
	const char *host;
	uint16_t port;
	struct endpoint address[RESOLVER_ADDRESSES_MAX];
	unsigned count, current, early;
	struct instant ask_at;
	enum contact_trouble trouble;
	int why;
	bool made;
};

/** contact_init() - begin to look for @host, which must outlive the search; asks at once */
int contact_init(struct contact *contact, int resolver_fd, const char *host, uint16_t port,
		 struct instant now);

/**
 * contact_resolved() - the resolver can be read
 * Return: 1 if there are addresses (contact_address()), 0 if not yet or not at all, or negative errno
 * when the resolver is gone
 */
int contact_resolved(struct contact *contact, struct instant now);

/**
 * contact_tick() - ask again if that is due (@ask_at)
 * Return: true if there is an explanation worth saying: the name is still being looked up
 */
bool contact_tick(struct contact *contact, struct instant now);

/** contact_address() - the one to be tried; NULL while there is none */
const struct endpoint *contact_address(const struct contact *contact);

/** contact_next() - that one did not answer: go on to the next, and have the name resolved anew */
int contact_next(struct contact *contact);

/**
 * contact_hear() - the network says something about what we sent
 * Return: true if that is a new explanation, and worth saying at once
 */
bool contact_hear(struct contact *contact, const struct transport_event *event);

/**
 * contact_gives_up() - is this address to be left for the next at once, without waiting for an answer?
 *
 * If the network says that nobody answers there (contact_hear()) and there is another that has not been tried
 * in this round.  Anybody can send such messages: then the round only begins at another address.
 */
bool contact_gives_up(struct contact *contact);

/** contact_silent() - this address was tried for as long as it takes, in vain: a new round begins */
void contact_silent(struct contact *contact);

/** contact_unverified() - an answer came that does not verify */
void contact_unverified(struct contact *contact);

/** contact_made() - it answered: whatever was the trouble is over */
void contact_made(struct contact *contact);

enum { CONTACT_WORDS_BYTES = 512 };

/** contact_words() - what is the matter, in words, and what to look at; returns @ret_text */
char *contact_words(const struct contact *contact, char ret_text[CONTACT_WORDS_BYTES]);

#endif
