/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's search for its server, with the resolver's end of the line in the test's own hand. */
#include "run/contact.h"

#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct contact contact;
static int resolver; /* its end */
static struct instant now = { 1000 * NS_PER_S };

static int start(void **state)
{
	int ends[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	resolver = ends[1];
	return contact_init(&contact, ends[0], "vpn.example.org", 4501, now);
}

static int stop(void **state)
{
	(void)state;
	close(contact.resolver.fd);
	close(resolver);
	return 0;
}

/* What the resolver was last asked; false if nothing. */
static bool was_asked(void)
{
	char question[512];
	bool asked = false;

	while (recv(resolver, question, sizeof(question), 0) > 0)
		asked = true;
	return asked;
}

static void answer(int error, unsigned count, const char *const addresses[])
{
	struct {
		uint32_t number;
		struct resolver_answer answer;
	} reply = { contact.resolver.asked, { .count = count, .error = error } };

	for (unsigned i = 0; i < count; i++)
		assert_true(address_parse(addresses[i], &reply.answer.addresses[i].remote));
	assert_int_equal(send(resolver, &reply, sizeof(reply), 0), sizeof(reply));
}

static const char *tried(void)
{
	static char text[ENDPOINT_TEXT_BYTES];
	const struct endpoint *address = contact_address(&contact);

	return address ? endpoint_print(address, text) : "none";
}

static bool words_have(const char *part)
{
	char words[CONTACT_WORDS_BYTES];

	return strstr(contact_words(&contact, words), part) != NULL;
}

static void addresses_are_tried_in_turn(void **state)
{
	const char *addresses[] = { "192.0.2.1", "192.0.2.2", "2001:db8::3" };
	const char *changed[] = { "192.0.2.9", "192.0.2.2" };

	(void)state;
	assert_true(was_asked());
	assert_string_equal(tried(), "none");
	assert_int_equal(contact_resolved(&contact, now), 0);
	answer(0, 3, addresses);
	assert_int_equal(contact_resolved(&contact, now), 1);
	assert_string_equal(tried(), "192.0.2.1:4501");

	assert_int_equal(contact_next(&contact), 0);
	assert_string_equal(tried(), "192.0.2.2:4501");
	/* Resolved anew each time; the address in use stays in use while it is among the new ones. */
	assert_true(was_asked());
	answer(0, 2, changed);
	assert_int_equal(contact_resolved(&contact, now), 1);
	assert_string_equal(tried(), "192.0.2.2:4501");
	assert_int_equal(contact_next(&contact), 0);
	assert_string_equal(tried(), "192.0.2.9:4501");
	answer(0, 1, &addresses[2]);
	assert_int_equal(contact_resolved(&contact, now), 1);
	assert_string_equal(tried(), "[2001:db8::3]:4501");
}

static void a_name_that_fails_later_keeps_its_addresses(void **state)
{
	const char *addresses[] = { "192.0.2.1" };

	(void)state;
	answer(0, 1, addresses);
	assert_int_equal(contact_resolved(&contact, now), 1);
	contact_next(&contact);
	answer(EAI_NONAME, 0, NULL);
	assert_int_equal(contact_resolved(&contact, now), 0);
	assert_string_equal(tried(), "192.0.2.1:4501");
}

static void a_name_without_addresses_is_asked_again(void **state)
{
	(void)state;
	assert_true(was_asked());
	answer(EAI_NONAME, 0, NULL);
	assert_int_equal(contact_resolved(&contact, now), 0);
	assert_true(words_have("vpn.example.org does not resolve (Name or service not known)"));
	assert_false(contact_tick(&contact, now));
	assert_false(was_asked());
	assert_false(contact_tick(&contact, contact.ask_at));
	assert_true(was_asked());
}

static void a_resolver_that_takes_its_time_is_said_once(void **state)
{
	const char *addresses[] = { "192.0.2.1" };

	(void)state;
	assert_false(contact_tick(&contact, now));
	assert_false(contact_tick(&contact, instant_after(now, 1900 * NS_PER_MS)));
	assert_true(contact_tick(&contact, instant_after(now, 2 * NS_PER_S)));
	assert_true(words_have("vpn.example.org is still being looked up"));
	assert_false(contact_tick(&contact, instant_after(now, 3600 * NS_PER_S)));
	answer(0, 1, addresses);
	assert_int_equal(contact_resolved(&contact, now), 1);
	assert_true(words_have("no answer from 192.0.2.1:4501"));
}

static void a_name_known_to_fail_is_not_said_to_be_looked_up(void **state)
{
	(void)state;
	answer(EAI_AGAIN, 0, NULL);
	assert_int_equal(contact_resolved(&contact, now), 0);
	assert_false(contact_tick(&contact, contact.ask_at));
	assert_true(contact.resolver.waiting);
	assert_false(contact_tick(&contact, contact.ask_at));
	assert_true(words_have("vpn.example.org does not resolve"));
}

static void a_dead_resolver_is_told(void **state)
{
	(void)state;
	close(resolver);
	resolver = -1;
	assert_int_equal(contact_resolved(&contact, now), -EPIPE);
}

static struct transport_event event(enum transport_event_kind kind, const char *remote, int why)
{
	struct transport_event event = { .kind = kind, .why = why };

	assert_true(endpoint_parse(remote, &event.endpoint));
	return event;
}

static void troubles_are_told_apart(void **state)
{
	const char *addresses[] = { "192.0.2.1" };
	struct transport_event refused = event(TRANSPORT_REFUSED, "192.0.2.1:4501", ECONNREFUSED);
	struct transport_event elsewhere = event(TRANSPORT_REFUSED, "192.0.2.7:4501", ECONNREFUSED);
	struct transport_event no_way = event(TRANSPORT_UNREACHABLE, "192.0.2.1:4501", ENETUNREACH);
	struct transport_event mtu = event(TRANSPORT_PATH_MTU, "192.0.2.1:4501", EMSGSIZE);

	(void)state;
	answer(0, 1, addresses);
	assert_int_equal(contact_resolved(&contact, now), 1);
	assert_true(words_have("no answer from 192.0.2.1:4501"));
	assert_false(contact_hear(&contact, &elsewhere));
	assert_false(contact_hear(&contact, &mtu));
	assert_true(contact_hear(&contact, &refused));
	assert_false(contact_hear(&contact, &refused));
	assert_true(words_have("refused by 192.0.2.1:4501"));
	/* As a firewall of this machine says it. */
	no_way.why = ECONNREFUSED;
	assert_false(contact_hear(&contact, &no_way));
	no_way.why = ENETUNREACH;
	assert_true(contact_hear(&contact, &no_way));
	assert_true(
		words_have("no route to 192.0.2.1:4501 (Network is unreachable): is this machine"));
	no_way.why = EACCES;
	contact_hear(&contact, &no_way);
	assert_true(words_have("a firewall does not let anything through to 192.0.2.1:4501"));
	no_way.why = EPERM;
	contact_hear(&contact, &no_way);
	assert_true(words_have("(Operation not permitted): does a firewall"));
	no_way.why = EDESTADDRREQ;
	contact_hear(&contact, &no_way);
	assert_true(words_have("our own address (--local) is of the other family"));
	no_way.why = ENETUNREACH;

	/* The next attempt knows nothing yet. */
	contact_next(&contact);
	assert_true(words_have("no answer from"));
	contact_unverified(&contact);
	assert_true(words_have("does not verify"));
	assert_true(contact_hear(&contact, &no_way));
	assert_false(contact_hear(&contact, &mtu));
	assert_true(words_have("(Network is unreachable)"));
	contact_made(&contact);
	assert_true(words_have("no answer from 192.0.2.1:4501 any more"));
}

static void a_dead_address_is_left_at_once_but_once_a_round(void **state)
{
	const char *addresses[] = { "2001:db8::3", "192.0.2.1", "192.0.2.2" };

	(void)state;
	answer(0, 3, addresses);
	assert_int_equal(contact_resolved(&contact, now), 1);
	for (int round = 0; round < 2; round++) {
		assert_true(contact_gives_up(&contact));
		assert_true(contact_gives_up(&contact));
		/* All are dead: the last is waited for. */
		assert_false(contact_gives_up(&contact));
		assert_false(contact_gives_up(&contact));
		contact_silent(&contact);
	}
}

static void the_only_address_is_waited_for(void **state)
{
	const char *addresses[] = { "192.0.2.1" };

	(void)state;
	assert_false(contact_gives_up(&contact));
	answer(0, 1, addresses);
	assert_int_equal(contact_resolved(&contact, now), 1);
	assert_false(contact_gives_up(&contact));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses_are_tried_in_turn, start, stop),
		cmocka_unit_test_setup_teardown(a_name_that_fails_later_keeps_its_addresses, start,
						stop),
		cmocka_unit_test_setup_teardown(a_name_without_addresses_is_asked_again, start,
						stop),
		cmocka_unit_test_setup_teardown(a_resolver_that_takes_its_time_is_said_once, start,
						stop),
		cmocka_unit_test_setup_teardown(a_name_known_to_fail_is_not_said_to_be_looked_up,
						start, stop),
		cmocka_unit_test_setup_teardown(a_dead_resolver_is_told, start, stop),
		cmocka_unit_test_setup_teardown(troubles_are_told_apart, start, stop),
		cmocka_unit_test_setup_teardown(a_dead_address_is_left_at_once_but_once_a_round,
						start, stop),
		cmocka_unit_test_setup_teardown(the_only_address_is_waited_for, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
