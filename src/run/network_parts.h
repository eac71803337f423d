/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What network.c, news.c, requests.c and reload.c share; nobody else includes this. */
#ifndef RUN_NETWORK_PARTS_H
#define RUN_NETWORK_PARTS_H

#include "aead/choose.h"
#include "host/plan.h"
#include "io/loop.h"
#include "io/netwatch.h"
#include "keys/keywatch.h"
#include "log.h"
#include "run/contact.h"
#include "run/control.h"
#include "run/endpoints.h"
#include "run/further.h"
#include "run/keyring.h"
#include "run/network.h"
#include "run/notify.h"
#include "run/worker.h"

/**
 * struct network - everything that the process has
 * @tunnel, @steward: as given
 * @loop:       what all of it waits in
 * @worker:     moves the packets; NULL until there is one, as with the others
 * @keyring:    the peers' names and addresses
 * @key_path:   where the keys come from; empty if that is no file
 * @keywatch:   which of their files were touched
 * @free_from:  below that host each of the tunnel's networks is full
 * @bundle:     what the keys are made of, until they are
 * @aead:       the back-end in use
 * @further:    what workers beside the first one have
 * @control:    status and down
 * @watch:      news of the network
 * @contact:    client: the search for the server
 * @endpoints:  server: where its peers were; NULL if that cannot be kept
 * @configuration: server: what is handed out to every client
 * @given, @given_by: client: what the server has given, and where that was
 * @plan:       how the host is arranged, if @arranged
 * @started:    when the process was
 * @to_arrange: client: @given is new
 * @to_announce: client: there is a session, and nobody has been told
 * @to_try:     client: another address is to be tried
 * @to_retire:  server: somebody may have connected with a new key in place of an old one
 * @is_up, @was_up: client: is there a session, and has there been one?
 * @stopping, @failed: how it ends, once it does
 * @said:       client: the trouble that was told last; another is told without waiting
 * @unknown_key, @bad_init, @inside, @key_elsewhere, @trouble, @endpoint_trouble: rates of log lines that others
 *              can cause
 */
struct network {
	const struct tunnel *tunnel;
	struct steward *steward;
	struct loop loop;
	struct worker *worker;
	struct keyring keyring;
	char key_path[PATH_MAX];
	struct keywatch keywatch;
	uint32_t free_from[TUNNEL_ADDRESSES_MAX];
	struct keybundle bundle;
	struct aead_choice aead;
	struct further further;
	struct control control;
	struct netwatch watch;
	struct contact contact;
	int notify; /* the service manager, or -1 */
	struct endpoints *endpoints;
	struct payload configuration, given;
	struct endpoint given_by;
	struct plan plan;
	bool arranged;
	struct instant started;
	bool to_arrange, to_announce, to_try, to_retire, is_up, was_up;
	bool stopping, failed;
	enum contact_trouble said;
	struct log_rate unknown_key, bad_init, inside, key_elsewhere, trouble, endpoint_trouble;
};

/* Descriptors that the loop waits for. */
enum network_tag {
	TAG_TUN,
	TAG_TRANSPORT,
	TAG_MAIL,
	TAG_STEWARD,
	TAG_RESOLVER,
	TAG_CONTROL,
	TAG_WATCH
};

/* For struct worker_config: something happened.  They must not call the engine. */
void news_of_engine(void *owner, const struct engine_event *event);
void news_of_transport(void *owner, const struct transport_event *event);

/** news_act() - do what could not be done while the engine was at work */
void news_act(struct network *network, struct instant now);

/** news_resolved() - client: the resolver has an answer */
void news_resolved(struct network *network, struct instant now);

/** network_arrange() - have the host arranged as @network->given (server: the tunnel) wants it */
int network_arrange(struct network *network);

enum { PREFIXES_TEXT_BYTES = 2 * PREFIX_TEXT_BYTES + 16 };

/**
 * prefixes_print() - addresses for a line of the log: the first two, as of the two families, and
 * whether there are more; returns @ret_text
 */
char *prefixes_print(const struct prefix *prefixes, size_t n, char ret_text[PREFIXES_TEXT_BYTES]);

/** network_endpoint_of() - where the peer of that name was when that was last written down */
struct endpoint network_endpoint_of(void *context, const char *name);

/** network_note_endpoint() - write down where the peer of that name is; no endpoint: nowhere */
void network_note_endpoint(struct network *network, const char *name,
			   const struct endpoint *endpoint);

/** requests_answer() - what answers the control socket; a control_answer */
json_t *requests_answer(void *context, const struct control_request *asked,
			struct control_list *ret_list);

/**
 * reload_warn_of_addresses() - say which of these keys, if any, have addresses that make a person wonder why
 * a client cannot be reached: the first by its name, the others by their number
 */
void reload_warn_of_addresses(const struct tunnel *tunnel, struct keyring_entry *const *entry,
			      size_t count);

/** reload_routes() - route the networks of all peers to them; 0, or negative errno and it was said */
int reload_routes(struct network *network);

/** reload_touched() - which files a bundle needs to have: the reply */
json_t *reload_touched(struct network *network);

/** reload_keys() - take up a bundle of keys; the reply */
json_t *reload_keys(struct network *network, int fd);

#endif
