/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A running tunnel as JSON, for `minivpn status`: docs/status.schema.json says what is in it, and what
 * is in it stays.  Times are seconds before now, so that they need no
 * clock to be understood.  A verdict that never happened is absent.
 */
#ifndef RUN_STATUS_H
#define RUN_STATUS_H

#include "host/plan.h"
#include "keys/keytext.h"
#include "minivpn/engine.h"
#include "run/tunnel.h"

#include <jansson.h>

/**
 * struct status_peer - what the shell knows of a peer and the engine does not
 * @key: its name, addresses and networks
 * @old: is it the peer of a key that another is to replace?
 */
struct status_peer {
	const struct keytext *key;
	bool old;
};

/**
 * struct status_view - what to show
 * @plan:     how the host is arranged for it; without addresses while a client has none
 * @dns, @dns_count: name servers that are handed out (server), or were given (client)
 * @aead:     name of the back-end in use
 * @workers:  how many move packets
 * @started:  when the tunnel was started
 * @describe: fills in @ret_peer; @context is its own
 */
struct status_view {
	const struct tunnel *tunnel;
	const struct engine *engine;
	const struct plan *plan;
	const struct address *dns;
	unsigned dns_count;
	const char *aead;
	unsigned workers;
	struct instant started;
	void (*describe)(void *context, const struct peer *peer, struct status_peer *ret_peer);
	void *context;
};

/** status_json() - the view as a JSON object, the caller's to json_decref() */
json_t *status_json(const struct status_view *view, struct instant now);

/** status_prefixes() - prefixes as a list of texts */
json_t *status_prefixes(const struct prefix *prefixes, unsigned count);

#endif
