/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/contact.h"

#include "log.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define ASK_AGAIN_NS (5 * NS_PER_S)

/* Resolvers answer in milliseconds, or give up after ten seconds and more. */
#define SLOW_ANSWER_NS (2 * NS_PER_S)

static bool is_about_name(enum contact_trouble trouble)
{
	return trouble == CONTACT_UNRESOLVED || trouble == CONTACT_LOOKING_UP;
}

static int ask(struct contact *contact)
{
	int error = resolver_ask(&contact->resolver, contact->host);

	/* Still at it: its answer will do. */
	return error == -EBUSY ? 0 : error;
}

int contact_init(struct contact *contact, int resolver_fd, const char *host, uint16_t port,
		 struct instant now)
{
	*contact = (struct contact){ .host = host,
				     .port = port,
				     .ask_at = instant_after(now, SLOW_ANSWER_NS) };
	resolver_init(&contact->resolver, resolver_fd);
	return ask(contact);
}

/* Take over a new list, and go on with the address in use if it is still there. */
static void take_addresses(struct contact *contact, const struct resolver_answer *answer)
{
	struct endpoint used =
		contact->count > 0 ? contact->address[contact->current] : (struct endpoint){ 0 };

	contact->count = answer->count;
	contact->current = 0;
	for (unsigned i = 0; i < contact->count; i++) {
		contact->address[i] = answer->addresses[i];
		contact->address[i].remote_port = contact->port;
		if (endpoint_same_remote(&contact->address[i], &used))
			contact->current = i;
	}
}

int contact_resolved(struct contact *contact, struct instant now)
{
	struct resolver_answer answer;
	int error = resolver_answer(&contact->resolver, &answer);

	if (error)
		return error == -EAGAIN ? 0 : error;
	if (answer.count == 0) {
		/* What it resolved to before may still be right. */
		contact->trouble = CONTACT_UNRESOLVED;
		contact->why = answer.error;
		contact->ask_at = instant_after(now, ASK_AGAIN_NS);
		return 0;
	}
	if (is_about_name(contact->trouble))
		contact->trouble = CONTACT_SILENCE;
	contact->ask_at = INSTANT_NEVER;
	take_addresses(contact, &answer);
	return 1;
}

bool contact_tick(struct contact *contact, struct instant now)
{
	if (!instant_reached(now, contact->ask_at))
		return false;
	if (contact->resolver.waiting) {
		contact->ask_at = INSTANT_NEVER;
		if (contact->trouble == CONTACT_UNRESOLVED)
			return false; /* has been said, and why */
		contact->trouble = CONTACT_LOOKING_UP;
		return true;
	}
	contact->ask_at = instant_after(now, ASK_AGAIN_NS);
	ask(contact);
	return false;
}

const struct endpoint *contact_address(const struct contact *contact)
{
	return contact->count > 0 ? &contact->address[contact->current] : NULL;
}

int contact_next(struct contact *contact)
{
	if (contact->count > 0)
		contact->current = (contact->current + 1) % contact->count;
	if (!is_about_name(contact->trouble))
		contact->trouble = CONTACT_SILENCE;
	return ask(contact);
}

bool contact_hear(struct contact *contact, const struct transport_event *event)
{
	const struct endpoint *tried = contact_address(contact);
	enum contact_trouble before = contact->trouble;

	if (!tried || !address_equal(&tried->remote, &event->endpoint.remote))
		return false;
	/* What comes of one attempt may be told by the attempt itself and by a message: in the same words. */
	if (event->kind == TRANSPORT_REFUSED ||
	    (event->kind == TRANSPORT_UNREACHABLE && event->why == ECONNREFUSED)) {
		contact->trouble = CONTACT_REFUSED;
	} else if (event->kind == TRANSPORT_UNREACHABLE) {
		contact->trouble = CONTACT_UNREACHABLE;
		contact->why = event->why;
	}
	return contact->trouble != before;
}

bool contact_gives_up(struct contact *contact)
{
	if (contact->early + 1 >= contact->count)
		return false;
	contact->early++;
	return true;
}

void contact_silent(struct contact *contact)
{
	contact->early = 0;
}

void contact_unverified(struct contact *contact)
{
	contact->trouble = CONTACT_UNVERIFIED;
}

void contact_made(struct contact *contact)
{
	contact->trouble = CONTACT_SILENCE;
	contact->ask_at = INSTANT_NEVER;
	contact->early = 0;
	contact->made = true;
}

static const char *unreachable_words(int why)
{
	switch (why) {
	case EPERM:
		return "does a firewall of this machine forbid it?";
	case EDESTADDRREQ:
	case EAFNOSUPPORT:
		return "our own address (--local) is of the other family, or this machine has only "
		       "that";
	default:
		return "is this machine connected to a network?";
	}
}

char *contact_words(const struct contact *contact, char ret_text[CONTACT_WORDS_BYTES])
{
	const struct endpoint *tried = contact_address(contact);
	struct endpoint none = { 0 };
	const char *where = shown_endpoint(tried ? tried : &none);

	switch (contact->trouble) {
	case CONTACT_UNRESOLVED:
		snprintf(ret_text, CONTACT_WORDS_BYTES,
			 "the name %s does not resolve (%s): check its spelling and this machine's "
			 "DNS",
			 contact->host, gai_strerror(contact->why));
		break;
	case CONTACT_LOOKING_UP:
		snprintf(ret_text, CONTACT_WORDS_BYTES,
			 "the name %s is still being looked up: does this machine's DNS answer?",
			 contact->host);
		break;
	case CONTACT_UNREACHABLE:
		if (contact->why == EACCES)
			snprintf(ret_text, CONTACT_WORDS_BYTES,
				 "a firewall does not let anything through to %s: is that UDP port "
				 "open there, and on the way?",
				 where);
		else
			snprintf(ret_text, CONTACT_WORDS_BYTES, "no route to %s (%s): %s", where,
				 strerror(contact->why), unreachable_words(contact->why));
		break;
	case CONTACT_REFUSED:
		snprintf(ret_text, CONTACT_WORDS_BYTES,
			 "refused by %s: nothing listens on that port; is the server running, and "
			 "is this its port?",
			 where);
		break;
	case CONTACT_UNVERIFIED:
		snprintf(ret_text, CONTACT_WORDS_BYTES,
			 "an answer from %s does not verify: it was damaged on the way, or forged",
			 where);
		break;
	case CONTACT_SILENCE:
		snprintf(ret_text, CONTACT_WORDS_BYTES,
			 contact->made
				 ? "no answer from %s any more: has the server stopped, or is "
				   "the network down on the way?"
				 : "no answer from %s: wrong address, UDP blocked on the way, or "
				   "a key that the server does not have",
			 where);
		break;
	}
	return ret_text;
}
