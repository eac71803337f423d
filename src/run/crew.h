/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The workers beside the first one: each a thread with a queue of the tun device, a socket, an AEAD
 * context and a lane of its own, serving packets as the first does (run/worker.h).  What the first one's
 * engine tells their lanes, what they report, and what came to the wrong one of them, goes by mailboxes.
 *
 * Nothing else is shared, so that the threads never wait for each other; but for status, which has all
 * of them stand still for the time that it takes to add up their counters.
 */
#ifndef RUN_CREW_H
#define RUN_CREW_H

#include "minivpn/lane.h"
#include "run/worker.h"

struct crew;

/**
 * crew_open() - the further workers of @first, whose engine exists
 *
 * Takes over their queues and transports, on success only.  Return: 0 or negative errno
 */
int crew_open(struct worker *first, const struct worker_config *config, struct crew **ret_crew);

/** crew_stop() - end the threads; from then on orders are followed at once, in the calling thread */
void crew_stop(struct crew *crew);

/** crew_close() - after crew_stop() and the end of the engine */
void crew_close(struct crew *crew);

/** crew_order() - carry an order of the engine to the lane of worker @number */
void crew_order(struct crew *crew, unsigned number, struct lane_order *order);

/** crew_read_mail() - a worker looks into its mailbox; returns how many packets were in it */
size_t crew_read_mail(struct worker *worker, struct instant now);

/** crew_follow_orders() - a further worker does only what the engine has ordered so far */
void crew_follow_orders(struct worker *worker);

/** crew_pass_on() - a datagram that is another worker's: bring it there */
void crew_pass_on(struct worker *worker, const struct inbound *datagram);

/** crew_tell_event() - tell the first worker what the network said to a further one's transport */
void crew_tell_event(struct worker *worker, const struct transport_event *event);

/** crew_gather() - have the engine add up what all workers have counted */
void crew_gather(struct crew *crew);

#endif
