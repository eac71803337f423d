/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A running tunnel as JSON, for `minivpn status`.  Times are seconds before now, so that they need no
 * clock to be understood.  A verdict that never happened is absent.
 */
#ifndef RUN_STATUS_H
#define RUN_STATUS_H

#include "host/plan.h"
#include "minivpn/engine.h"
#include "run/tunnel.h"

#include <jansson.h>

/**
 * struct status_peer - what the shell knows of a peer and the engine does not
 * @name:    of its key
 * @address, @address_count: its inner addresses
 */
struct status_peer {
	const char *name;
	const struct prefix *address;
	unsigned address_count;
};

/**
 * struct status_view - what to show
 * @plan:     how the host is arranged for it; without addresses while a client has none
 * @aead:     name of the back-end in use
 * @started:  when the tunnel was started
 * @describe: fills in @ret_peer for a peer's tag (peer_snapshot.tag); @context is its own
 */
struct status_view {
	const struct tunnel *tunnel;
	const struct engine *engine;
	const struct plan *plan;
	const char *aead;
	struct instant started;
	void (*describe)(void *context, void *tag, struct status_peer *ret_peer);
	void *context;
};

/** status_json() - the view as a JSON object, the caller's to json_decref() */
json_t *status_json(const struct status_view *view, struct instant now);

#endif
