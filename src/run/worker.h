/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One worker: queues of the tun device, a transport, and the engine between them.  The only place
 * where engine and I/O meet.  It owns all three and shares nothing, so it needs no lock.  Where there are
 * several, this is the first of them; each other is a thread (run/crew.h) that has a lane in place of the
 * engine (minivpn/lane.h).
 *
 *	outgoing.c   tun_read -> split -> engine_outbound -> runs -> transport send
 *	incoming.c   transport receive -> engine_inbound -> join -> tun_write
 *	worker.c     serves whichever is ready, and the clock
 *	crew.c       the further workers, and the mail between all of them
 *
 * Batches come from load: of whatever is there much is taken in one go, and nothing waits for more.  On the
 * path of a packet nothing is allocated.
 */
#ifndef RUN_WORKER_H
#define RUN_WORKER_H

#include "io/loop.h"
#include "io/transport.h"
#include "io/tun.h"
#include "minivpn/engine.h"

#include <stdbool.h>

struct worker;

enum { WORKERS_MAX = PAYLOAD_SPIS_MAX };

/** struct worker_further - what a worker beside the first one gets; @aead_context: started */
struct worker_further {
	struct tun tun;
	struct transport *transport;
	void *aead_context;
};

/**
 * struct worker_config - what a worker is made of; copied
 * @tun, @transport: the worker's from worker_open() on, on success only
 * @engine:        as engine_create() wants it, but for the hooks, which are set here
 * @further:       engine.workers - 1 of them, which begin to work at once; their queues and transports as
 *                 @tun and @transport, their sockets steered (udp_steer()) by spi_worker_mask()
 * @owner:         passed to the following
 * @engine_event:  something happened; must not call the engine
 * @network_event: the network says something about datagrams of ours; the engine knows already
 * @debug:         log one line a packet
 */
struct worker_config {
	struct tun tun;
	struct transport *transport;
	struct engine_config engine;
	struct worker_further further[WORKERS_MAX - 1];
	void *owner;
	void (*engine_event)(void *owner, const struct engine_event *event);
	void (*network_event)(void *owner, const struct transport_event *event);
	bool debug;
};

/**
 * worker_open() - a worker with its engine, without peers
 * Return: 0 or negative errno
 */
int worker_open(const struct worker_config *config, struct instant now, struct worker **ret_worker);

/** worker_close() - end all workers, the engine, their queues and transports; sends nothing */
void worker_close(struct worker *worker);

/** worker_engine() - for peers, status and news */
struct engine *worker_engine(struct worker *worker);

/** worker_gather() - bring what the engine has counted up to date, with what further workers have */
void worker_gather(struct worker *worker);

/**
 * worker_watch() - have @loop report what the worker waits for
 * @tun_tag, @transport_tag, @mail_tag: with which tags; worker_serve() looks for mail in any case
 *
 * Return: 0 or negative errno
 */
int worker_watch(struct worker *worker, struct loop *loop, uint32_t tun_tag, uint32_t transport_tag,
		 uint32_t mail_tag);

/** worker_tun_ready() - a queue of the tun device can be read */
void worker_tun_ready(struct worker *worker, int fd);

/**
 * worker_transport_ready() - the transport has datagrams
 * @events: it has events too (the loop says error)
 */
void worker_transport_ready(struct worker *worker, bool events);

/** worker_deadline() - when worker_serve() has something to do even if nothing is ready */
struct instant worker_deadline(const struct worker *worker);

/** worker_now() - the clock as worker_serve() read it last */
struct instant worker_now(const struct worker *worker);

/**
 * worker_serve() - move packets both ways, of what is ready, and do what is due, until there is no more
 * of it or it is time to ask what else is ready
 *
 * To be called after every wake-up.  What it leaves is reported again.
 *
 * Return: 0, or negative errno: the tun device or the transport is broken for good
 */
int worker_serve(struct worker *worker);

#endif
