/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/worker.h"

#include "io/clock.h"
#include "log.h"
#include "run/worker_parts.h"
#include "scope.h"

#include <sodium.h>
#include <stdlib.h>

enum {
	/* A round that moved fewer packets was no load: rather than to look once more whether there is
	 * anything, go to sleep until there is. */
	ROUND_PACKETS_MIN = BATCHING ? 4 : 1,
};

static void hook_random(void *shell, uint8_t *ret_bytes, size_t n)
{
	(void)shell;
	randombytes_buf(ret_bytes, n);
}

static void *hook_allocate(void *shell, size_t bytes)
{
	struct worker *worker = shell;

	return keymemory_take(&worker->keys, bytes);
}

static void hook_release(void *shell, void *memory)
{
	struct worker *worker = shell;

	keymemory_give(&worker->keys, memory);
}

static void hook_transmit(void *shell, const struct transmission *datagram)
{
	struct run run = {
		.bytes = (uint8_t *)datagram->bytes,
		.total_bytes = datagram->size,
		.datagram_bytes = datagram->size,
		.endpoint = *datagram->to,
		.tos = datagram->tos,
		.dont_fragment = datagram->dont_fragment,
	};

	worker_send(shell, &run, 1);
}

static void hook_deliver(void *shell, const uint8_t *packet, size_t bytes)
{
	incoming_deliver(shell, packet, bytes);
}

static void hook_order(void *shell, unsigned number, struct lane_order *order)
{
	const struct worker *worker = shell;

	crew_order(worker->crew, number, order);
}

static void hook_event(void *shell, const struct engine_event *event)
{
	struct worker *worker = shell;

	worker->config.engine_event(worker->config.owner, event);
}

/* The least of several: whatever comes between makes it longer. */
static uint32_t measure_search(void)
{
	int64_t least_ns = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		struct instant start = clock_now();
		size_t keys = engine_search_trial();
		int64_t took_ns = instant_since(clock_now(), start) * 1000 / (int64_t)keys;

		least_ns = took_ns < least_ns ? took_ns : least_ns;
	}
	return (uint32_t)least_ns;
}

void worker_equip(struct worker *worker, const struct tun *tun, struct transport *transport)
{
	worker->tun = *tun;
	worker->transport = transport;
	tun_batch_begin(&worker->incoming.singles, &worker->tun);
	worker->incoming.join.tcp = tun->tcp;
	worker->incoming.join.udp = tun->udp;
}

int worker_open(const struct worker_config *config, struct instant now, struct worker **ret_worker)
{
	scoped_memory struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return -ENOMEM;
	worker->config = *config;
	worker->config.engine.hooks = (struct engine_hooks){
		.shell = worker,
		.random = hook_random,
		.allocate = hook_allocate,
		.release = hook_release,
		.transmit = hook_transmit,
		.deliver = hook_deliver,
		.event = hook_event,
		.order = config->engine.workers > 1 ? hook_order : NULL,
	};
	worker->config.engine.search_ns = measure_search();
	worker_equip(worker, &config->tun, config->transport);

	worker->engine = engine_create(&worker->config.engine, now);
	if (!worker->engine)
		return -ENOMEM;
	if (config->engine.workers > 1) {
		int error = crew_open(worker, config, &worker->crew);

		if (error) {
			engine_destroy(worker->engine);
			return error;
		}
	}
	*ret_worker = take_memory(worker);
	return 0;
}

void worker_close(struct worker *worker)
{
	if (worker->crew)
		crew_stop(worker->crew);
	engine_destroy(worker->engine);
	if (worker->crew)
		crew_close(worker->crew);
	tun_batch_close(&worker->incoming.singles);
	tun_close(&worker->tun);
	worker->transport->kind->close(worker->transport);
	free(worker);
}

struct engine *worker_engine(struct worker *worker)
{
	return worker->engine;
}

void worker_gather(struct worker *worker)
{
	if (worker->crew)
		crew_gather(worker->crew);
}

int worker_watch(struct worker *worker, struct loop *loop, uint32_t tun_tag, uint32_t transport_tag,
		 uint32_t mail_tag)
{
	int error = 0;

	for (unsigned i = 0; i < worker->tun.queues && !error; i++)
		error = loop_watch(loop, worker->tun.queue[i], tun_tag);
	if (!error)
		error = loop_watch(loop, worker->transport->fd, transport_tag);
	if (!error && worker->mail)
		error = loop_watch(loop, worker->mail->event, mail_tag);
	return error;
}

void worker_tun_ready(struct worker *worker, int fd)
{
	for (unsigned i = 0; i < worker->tun.queues; i++)
		if (worker->tun.queue[i] == fd)
			worker->tun_ready |= 1u << i;
}

void worker_transport_ready(struct worker *worker, bool events)
{
	worker->transport_ready = true;
	worker->has_events |= events;
}

struct instant worker_deadline(const struct worker *worker)
{
	return engine_deadline(worker->engine);
}

struct instant worker_now(const struct worker *worker)
{
	return worker->now;
}

static void count(struct worker *worker, enum verdict verdict, size_t n)
{
	if (n > 0)
		worker_count(worker, verdict, n);
}

void worker_send(struct worker *worker, const struct run *runs, size_t n)
{
	struct sent sent = worker->transport->kind->send(worker->transport, runs, n);

	count(worker, VERDICT_SOCKET_FULL, sent.full);
	count(worker, VERDICT_SEND_FAILED, sent.too_big + sent.failed);
	worker->has_events |= sent.events;
}

void worker_take_event(struct worker *worker, const struct transport_event *event,
		       struct instant now)
{
	if (event->kind == TRANSPORT_PATH_MTU)
		engine_path_mtu(worker->engine, &event->endpoint.remote, event->mtu_outer_bytes,
				now);
	worker->config.network_event(worker->config.owner, event);
}

static void take_events(struct worker *worker, struct instant now)
{
	struct transport_event event;

	worker->has_events = false;
	while (worker->transport->kind->next_event(worker->transport, &event)) {
		if (worker->lane)
			crew_tell_event(worker, &event);
		else
			worker_take_event(worker, &event, now);
	}
}

/* What has much to send comes last: what has come in need not wait until that is sealed and sent. */
static size_t serve_round(struct worker *worker, struct instant now)
{
	size_t moved = 0;

	if (worker->mail && mailbox_waits(worker->mail))
		moved += crew_read_mail(worker, now);
	if (worker->engine && instant_reached(now, engine_deadline(worker->engine)))
		engine_tick(worker->engine, now);
	if (worker->tun_ready)
		moved += outgoing_sparse(worker, now);
	if (worker->transport_ready)
		moved += incoming_pump(worker, now);
	if (worker->tun_ready)
		moved += outgoing_bulk(worker, now);
	if (worker->crew && worker->engine)
		engine_guide(worker->engine);
	return moved;
}

/* Small packets are soon moved: what had many of them is asked for more before it is worth asking what
 * else is ready. */
int worker_serve(struct worker *worker)
{
	uint32_t tun_ready = worker->tun_ready;
	size_t moved = ROUND_PACKETS_MIN;
	int load_max = SERVE_BYTES;

	worker->load = 0;
	while (moved >= ROUND_PACKETS_MIN && worker->load < load_max && !worker->broken) {
		worker->now = clock_now();
		worker->tun_ready = tun_ready;
		moved = serve_round(worker, worker->now);
		if (worker->has_events)
			take_events(worker, worker->now);
		load_max = worker_load_max(worker, worker->now);
	}
	worker->tun_ready = 0;
	worker->transport_ready = false;
	return worker->broken;
}
