/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/resolver.h"

#include "io/sockaddr.h"
#include "scope.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

/* Both messages are of fixed size: nothing in them has to be parsed. */
struct question {
	uint32_t number;
	char name[RESOLVER_NAME_BYTES];
};

struct reply {
	uint32_t number;
	struct resolver_answer answer;
};

static bool has_address(const struct resolver_answer *answer, const struct endpoint *endpoint)
{
	for (uint32_t i = 0; i < answer->count; i++)
		if (endpoint_same_remote(&answer->addresses[i], endpoint))
			return true;
	return false;
}

static void add_address(struct resolver_answer *answer, const struct addrinfo *found)
{
	struct endpoint endpoint = { 0 };
	union sockaddr_any name;

	if (found->ai_family != AF_INET && found->ai_family != AF_INET6)
		return;
	if (answer->count == RESOLVER_ADDRESSES_MAX)
		return;
	memcpy(&name, found->ai_addr, found->ai_addrlen);
	sockaddr_to(&name, &endpoint);
	if (!has_address(answer, &endpoint))
		answer->addresses[answer->count++] = endpoint;
}

/* The order is getaddrinfo()'s (RFC 6724): what this machine has no route to comes last. */
static struct resolver_answer look_up(const char *name)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
	struct resolver_answer answer = { 0 };
	struct addrinfo *list;

	answer.error = getaddrinfo(name, NULL, &hints, &list);
	if (answer.error)
		return answer;
	for (const struct addrinfo *at = list; at; at = at->ai_next)
		add_address(&answer, at);
	freeaddrinfo(list);
	if (answer.count == 0)
		answer.error = EAI_NONAME;
	return answer;
}

int resolver_serve(int fd)
{
	for (;;) {
		struct question question;
		ssize_t n = recv(fd, &question, sizeof(question), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(question))
			return n == 0 ? 0 : 1;
		question.name[sizeof(question.name) - 1] = 0;

		struct reply reply = { question.number, look_up(question.name) };

		if (send(fd, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
			return errno == EPIPE ? 0 : 1;
	}
}

void resolver_init(struct resolver *resolver, int fd)
{
	*resolver = (struct resolver){ .fd = fd };
}

int resolver_ask(struct resolver *resolver, const char *name)
{
	struct question question = { 0 };

	if (resolver->waiting)
		return -EBUSY;
	if (strlen(name) >= sizeof(question.name))
		return -ENAMETOOLONG;
	question.number = resolver->asked + 1;
	strcpy(question.name, name);
	if (send(resolver->fd, &question, sizeof(question), MSG_NOSIGNAL) < 0)
		return -errno;
	resolver->asked = question.number;
	resolver->waiting = true;
	return 0;
}

int resolver_answer(struct resolver *resolver, struct resolver_answer *ret_answer)
{
	struct reply reply;
	ssize_t n;

	do
		n = recv(resolver->fd, &reply, sizeof(reply), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (n == 0)
		return -EPIPE;
	/* The other end may be somebody else's by now: believe nothing that could not be. */
	if (n != sizeof(reply) || !resolver->waiting || reply.number != resolver->asked ||
	    reply.answer.count > RESOLVER_ADDRESSES_MAX)
		return -EAGAIN;
	resolver->waiting = false;
	*ret_answer = reply.answer;
	return 0;
}
