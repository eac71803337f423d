/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done and said when something happens.  The engine and the transport tell of it in the
 * middle of their work, when they must not be called; what has to call them is noted, and done by
 * news_act() when the worker is back.
 */
#include "run/network_parts.h"

#include "io/clock.h"
#include "run/forwarding.h"
#include "run/hostplan.h"
#include "run/overlap.h"

#include <string.h>

/* A server's peers have the names of their keys; a client has but one. */
static const char *name_in(const struct network *network, const struct peer *peer,
			   char room[KEY_NAME_BYTES + 16])
{
	return network->tunnel->role == ROLE_SERVER ? keyring_name(peer, room) : "the server";
}

#define name_of(network, peer) name_in(network, peer, (char[KEY_NAME_BYTES + 16]){ 0 })

static const char *closing_words(const struct engine_event *event)
{
	if (!event->closed_by_peer)
		return "nothing heard any more";
	switch (event->reason) {
	case CLOSE_STOPPING:
		return "the other end was stopped";
	case CLOSE_RESTARTING:
		return "the other end restarts";
	case CLOSE_KEY_REMOVED:
		return "the other end has removed the key";
	case CLOSE_KEY_ELSEWHERE:
		return "the key is in use elsewhere";
	}
	return "closed by the other end";
}

static const char *refusal_words(enum refusal refusal)
{
	switch (refusal) {
	case REFUSAL_NONE:
		break;
	case REFUSAL_UNKNOWN_ITEM:
		return "it does not know something that we ask for; is it an older version?";
	case REFUSAL_FULL:
		return "it is full";
	case REFUSAL_VERSION_TOO_OLD:
		return "our version is too old";
	case REFUSAL_KEY_ELSEWHERE:
		return "our key is in use elsewhere";
	}
	return "for a reason that this version does not know";
}

/* A server's peer has a name to be told apart by; a client's is the server. */
static void note_down(struct network *network, const struct engine_event *event)
{
	network->is_up = false;
	if (network->tunnel->role == ROLE_SERVER)
		log_notice("tunnel: %s is gone: %s", name_of(network, event->peer),
			   closing_words(event));
	else
		log_notice("tunnel: connection lost, trying to get it back: %s",
			   closing_words(event));
	if (network->tunnel->role == ROLE_CLIENT)
		notify_send(network->notify, "STATUS=connection lost, trying to get it back");
}

static void note_up(struct network *network, const struct engine_event *event)
{
	struct keyring_entry *entry = peer_tag(event->peer);

	entry->said_at = *event->endpoint;
	network->is_up = true;
	/* Not each time that one of ten thousand connects: that walks through all of them. */
	network->to_retire |= network->tunnel->role == ROLE_SERVER && keyring_rotates(event->peer);
	if (network->tunnel->role == ROLE_CLIENT) {
		network->to_announce = true;
		contact_made(&network->contact);
	} else {
		log_notice("tunnel: %s is connected from %s", name_of(network, event->peer),
			   shown_endpoint(event->endpoint));
	}
}

/* A server's peer is where it has connected from, until it moves. */
static void note_endpoint(struct network *network, const struct engine_event *event)
{
	struct keyring_entry *entry = peer_tag(event->peer);
	bool moved = !endpoint_same_remote(&entry->said_at, event->endpoint);

	entry->said_at = *event->endpoint;
	network_note_endpoint(network, entry->key.name, event->endpoint);
	if (moved && !endpoint_is_none(event->endpoint))
		log_info("tunnel: %s is at %s", name_of(network, event->peer),
			 shown_endpoint(event->endpoint));
}

static void say_trouble(struct network *network)
{
	char words[CONTACT_WORDS_BYTES];

	if (network->said != network->contact.trouble)
		network->trouble.next = (struct instant){ 0 };
	network->said = network->contact.trouble;
	log_rated(&network->trouble, clock_now(), LOG_WARNING, "tunnel: %s",
		  contact_words(&network->contact, words));
}

static void note_failed_attempt(struct network *network, const struct engine_event *event)
{
	if (network->tunnel->role == ROLE_SERVER) {
		log_info("tunnel: %s does not answer at %s", name_of(network, event->peer),
			 shown_endpoint(event->endpoint));
		return;
	}
	say_trouble(network);
	contact_silent(&network->contact);
	network->to_try = true;
}

void news_of_engine(void *owner, const struct engine_event *event)
{
	struct network *network = owner;

	switch (event->kind) {
	case EVENT_UP:
		note_up(network, event);
		break;
	case EVENT_REKEYED:
		log_debug("tunnel: %s: new keys", name_of(network, event->peer));
		break;
	case EVENT_DOWN:
		note_down(network, event);
		break;
	case EVENT_CONFIGURED:
		network->given = *event->configuration;
		network->given_by = *event->endpoint;
		network->to_arrange = true;
		break;
	case EVENT_ENDPOINT:
		note_endpoint(network, event);
		break;
	case EVENT_ATTEMPT_FAILED:
		note_failed_attempt(network, event);
		break;
	case EVENT_REFUSED:
		log_warning("tunnel: %s refuses us: %s", shown_endpoint(event->endpoint),
			    refusal_words(event->refusal));
		break;
	case EVENT_UNKNOWN_KEY:
		log_rated(&network->unknown_key, clock_now(), LOG_WARNING,
			  "tunnel: a handshake from %s fits none of our keys (%zu)",
			  shown_endpoint(event->endpoint), network->keyring.count);
		break;
	case EVENT_BAD_INIT:
		log_rated(&network->bad_init, clock_now(), LOG_WARNING,
			  "tunnel: a handshake from %s in the name of %s is refused: %s",
			  shown_endpoint(event->endpoint), name_of(network, event->peer),
			  verdict_words(event->verdict));
		break;
	case EVENT_BAD_RESPONSE:
		if (network->tunnel->role == ROLE_CLIENT)
			contact_unverified(&network->contact);
		log_rated(&network->bad_init, clock_now(), LOG_WARNING,
			  "tunnel: an answer from %s is refused: %s",
			  shown_endpoint(event->endpoint), verdict_words(event->verdict));
		break;
	case EVENT_PATH_MTU:
		log_info("tunnel: %s: packets of up to %u bytes pass",
			 name_of(network, event->peer), event->inner_mtu);
		break;
	case EVENT_KEY_ELSEWHERE:
		log_rated(
			&network->key_elsewhere, clock_now(), LOG_WARNING,
			"tunnel: two machines use the key of %s, at %s and at %s: the first, which "
			"came last, stays, the other is refused while it does; give each a key "
			"of its own (minivpn invite)",
			name_of(network, event->peer), shown_endpoint(event->endpoint),
			shown_endpoint(event->elsewhere));
		break;
	case EVENT_INSIDE:
		log_rated(&network->inside, clock_now(), LOG_WARNING,
			  "tunnel: a client calls from %s, which is in the networks of %s: the "
			  "answer goes into that tunnel, and arrives only if the client is at its "
			  "other end; if not, take the address out of 'networks = ...' in the key "
			  "file",
			  shown_endpoint(event->endpoint), name_of(network, event->peer));
		break;
	case EVENT_SOFTWARE:
		log_info("tunnel: %s runs %s", name_of(network, event->peer), event->text);
		break;
	case EVENT_KIND_COUNT:
		break;
	}
}

void news_of_transport(void *owner, const struct transport_event *event)
{
	struct network *network = owner;

	if (network->tunnel->role == ROLE_SERVER)
		return;
	/* While a session lives, ICMP messages say nothing that it will not find out by itself, and
	 * anybody can send them. */
	if (!contact_hear(&network->contact, event) || network->is_up)
		return;
	if (contact_gives_up(&network->contact))
		network->to_try = true;
	else
		say_trouble(network);
}

static const char *route_words(const struct plan *plan, char *room, size_t size)
{
	if (plan->default_ipv4 == PLAN_WAY_TUNNEL || plan->default_ipv6 == PLAN_WAY_TUNNEL)
		return "all traffic";
	if (plan->route_count == 0)
		return "its own network";
	snprintf(room, size, "%s%s", shown_prefix(&plan->route[0]),
		 plan->route_count > 1 ? " and more" : "");
	return room;
}

static bool is_ours(const struct network *network, const struct address *address)
{
	const struct keytext *key = &network->keyring.entry[0]->key;

	for (unsigned i = 0; i < network->given.address_count; i++)
		if (address_equal(&network->given.address[i].address, address))
			return true;
	for (unsigned i = 0; i < key->network_count; i++)
		if (prefix_contains(&key->network[i], address))
			return true;
	return false;
}

/* Those of --address win over what the server gives, and it drops what comes from others than it gave. */
static void warn_of_addresses(const struct network *network)
{
	const struct plan *plan = &network->plan;
	char given[PREFIXES_TEXT_BYTES];

	if (plan->address_count == 0)
		log_warning("tunnel: the server gives us no address: its key file for us has no "
			    "line 'address = ...'");
	for (size_t i = 0; i < plan->address_count; i++) {
		if (is_ours(network, &plan->address[i].address))
			continue;
		log_warning("tunnel: the server drops what comes from %s (--address): it has given "
			    "us %s",
			    shown_address(&plan->address[i].address),
			    network->given.address_count == 0
				    ? "none"
				    : prefixes_print(network->given.address,
						     network->given.address_count, given));
		return;
	}
}

/* A split tunnel takes no half of the Internet, in however many pieces it is offered. */
static void warn_of_limits(const struct network *network)
{
	const struct payload *given = &network->given;
	struct limits limits;

	hostplan_limits(network->tunnel, &limits);
	for (unsigned i = 0; i < given->address_count && network->tunnel->address_count == 0; i++)
		if (!limits_permit_address(&limits, &given->address[i]))
			log_warning(
				"tunnel: the server gives us %s: of so large a network only the "
				"address is taken",
				shown_prefix(&given->address[i]));
	for (unsigned i = 0; i < given->route_count && network->tunnel->route_count == 0; i++)
		if (given->route[i].length > 0 && !limits_permit_route(&limits, &given->route[i]))
			log_warning("tunnel: the server offers a route to %s: that is too much of "
				    "the Internet for --no-default-route, and is left out",
				    shown_prefix(&given->route[i]));
}

static void announce(struct network *network)
{
	const struct plan *plan = &network->plan;
	int64_t took_ns = instant_since(clock_now(), network->started);
	char routes[PREFIX_TEXT_BYTES + 16], addresses[PREFIXES_TEXT_BYTES];

	if (network->was_up)
		log_notice("tunnel: up again, by %s", shown_endpoint(&network->given_by));
	else
		log_notice("tunnel: up: %s, %s, takes %s to %s (%lld ms)",
			   network->tunnel->interface,
			   prefixes_print(plan->address, plan->address_count, addresses),
			   route_words(plan, routes, sizeof(routes)),
			   shown_endpoint(&network->given_by), (long long)(took_ns / NS_PER_MS));
	if (!network->was_up) {
		warn_of_addresses(network);
		warn_of_limits(network);
		overlap_warn(plan);
		forwarding_warn(&network->keyring.entry[0]->key, network->tunnel->interface);
	}
	network->was_up = true;
	notify_send(network->notify, "STATUS=connected");
}

/* The server is to be looked for at the address that the search is at. */
static void try_address(struct network *network, struct instant now)
{
	const struct endpoint *address = contact_address(&network->contact);

	if (!address)
		return;
	if (network->arranged && !endpoint_same_remote(&network->plan.server, address)) {
		/* Before the first datagram: else it may go into the tunnel that it is to make. */
		if (steward_endpoint(network->steward, address) == 0)
			network->plan.server = *address;
	}
	engine_peer_endpoint(worker_engine(network->worker), network->keyring.entry[0]->peer,
			     address, now);
}

static void note_resolver_gone(struct network *network)
{
	loop_forget(&network->loop, network->contact.resolver.fd);
	if (network->contact.count > 0) {
		log_warning(
			"tunnel: the resolver is gone: going on with the addresses that are known");
		return;
	}
	log_error("tunnel: the resolver is gone, and no address is known: leaving");
	network->failed = true;
}

void news_resolved(struct network *network, struct instant now)
{
	const struct endpoint *tried = contact_address(&network->contact);
	struct endpoint before = tried ? *tried : (struct endpoint){ 0 };
	int result = contact_resolved(&network->contact, now);

	if (result < 0) {
		note_resolver_gone(network);
	} else if (result > 0) {
		/* Not the first any more that the name leads to: no need to try in vain first. */
		if (!endpoint_same_remote(contact_address(&network->contact), &before))
			try_address(network, now);
	} else if (network->contact.trouble == CONTACT_UNRESOLVED) {
		say_trouble(network);
	}
}

static void act_as_client(struct network *network, struct instant now)
{
	if (network->to_arrange && network_arrange(network) < 0 && !network->arranged)
		network->failed = true;
	network->to_arrange = false;
	if (network->to_announce && !network->failed)
		announce(network);
	network->to_announce = false;
	if (network->to_try) {
		network->to_try = false;
		contact_next(&network->contact);
		try_address(network, now);
	}
	if (contact_tick(&network->contact, now))
		say_trouble(network);
}

static void say_retired(const struct keyring_entry *entry)
{
	log_notice("tunnel: %s is connected with its new key: the old one is good no more",
		   entry->key.name);
}

void news_act(struct network *network, struct instant now)
{
	if (network->to_retire && network->tunnel->role == ROLE_SERVER)
		keyring_retire(&network->keyring, worker_engine(network->worker), say_retired, now);
	network->to_retire = false;
	if (network->tunnel->role == ROLE_CLIENT)
		act_as_client(network, now);
	if (netwatch_changed(&network->watch, now)) {
		log_debug("tunnel: the network has changed: asking who is still there");
		engine_network_changed(worker_engine(network->worker), now);
	}
}
