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
 * struct status_view - what to show
 * @plan:     how the host is arranged for it; without addresses while a client has none
 * @dns, @dns_count: name servers that are handed out (server), or were given (client)
 * @aead:     name of the back-end in use
 * @workers:  how many move packets
 * @started:  when the tunnel was started
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
};

/** status_json() - the view without its peers, as a JSON object, the caller's to json_decref() */
json_t *status_json(const struct status_view *view, struct instant now);

/**
 * status_peer() - one element of its list "peers"
 * @key: its name, addresses and networks
 * @old: is it the peer of a key that another is to replace?
 */
json_t *status_peer(const struct engine *engine, const struct peer *peer, const struct keytext *key,
		    bool old, struct instant now);

/** status_prefixes() - prefixes as a list of texts */
json_t *status_prefixes(const struct prefix *prefixes, unsigned count);

#endif
