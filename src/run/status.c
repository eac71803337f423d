/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/status.h"

#include "log.h"

#include <assert.h>

/* Seconds since @then, to the millisecond; null for what never was. */
static json_t *ago(struct instant now, struct instant then)
{
	int64_t ms;

	if (then.ns == 0)
		return json_null();
	ms = instant_since(now, then) / NS_PER_MS;
	return json_real((double)ms / 1000);
}

json_t *status_prefixes(const struct prefix *p, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, json_string(shown_prefix(&p[i])));
	return list;
}

static json_t *counters(const struct verdicts *verdicts)
{
	json_t *object = json_object();

	for (int v = 0; v < VERDICT_COUNT; v++)
		if (verdicts->count[v])
			json_object_set_new(object, verdict_name((enum verdict)v),
					    json_integer((json_int_t)verdicts->count[v]));
	return object;
}

json_t *status_peer(const struct engine *engine, const struct peer *peer, const struct keytext *key,
		    bool old, struct instant now)
{
	struct peer_snapshot s;

	engine_snapshot(engine, peer, &s);
	return json_pack(
		"{s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:s, s:o, s:b, s:o}",
		"name", key->name, "endpoint",
		endpoint_is_none(&s.endpoint) ? json_null()
					      : json_string(shown_endpoint(&s.endpoint)),
		"up", s.up, "up_s", s.up ? ago(now, s.up_since) : json_null(), "last_handshake_s",
		ago(now, s.last_handshake), "last_heard_s", ago(now, s.last_heard), "addresses",
		status_prefixes(key->address, key->address_count), "handshakes",
		(json_int_t)s.handshakes, "inner_mtu", (json_int_t)s.inner_mtu, "path_proven",
		s.path_proven, "spi", (json_int_t)s.session_spi, "staged", (json_int_t)s.staged,
		"packets_in", (json_int_t)s.packets_in, "bytes_in", (json_int_t)s.bytes_in,
		"packets_out", (json_int_t)s.packets_out, "bytes_out", (json_int_t)s.bytes_out,
		"software", s.software, "verdicts", counters(&s.verdicts), "old_key", old,
		"networks", status_prefixes(key->network, key->network_count));
}

/* Where packets go that no more special route takes. */
static const char *const way_words[] = {
	[PLAN_WAY_HOST] = "host",
	[PLAN_WAY_TUNNEL] = "tunnel",
	[PLAN_WAY_REFUSED] = "refused",
};
static_assert(sizeof(way_words) / sizeof(*way_words) == PLAN_WAY_COUNT, "every way has a word");

static json_t *addresses(const struct address *a, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, json_string(shown_address(&a[i])));
	return list;
}

json_t *status_json(const struct status_view *view, struct instant now)
{
	const struct tunnel *tunnel = view->tunnel;
	const struct plan *plan = view->plan;

	return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "interface",
			 tunnel->interface, "role",
			 tunnel->role == ROLE_SERVER ? "server" : "client", "aead", view->aead,
			 "workers", (int)view->workers, "running_s", ago(now, view->started),
			 "addresses", status_prefixes(plan->address, plan->address_count), "routes",
			 status_prefixes(plan->route, plan->route_count), "default_ipv4",
			 way_words[plan->default_ipv4], "default_ipv6",
			 way_words[plan->default_ipv6], "dns",
			 addresses(view->dns, view->dns_count), "verdicts",
			 counters(engine_verdicts(view->engine)));
}
