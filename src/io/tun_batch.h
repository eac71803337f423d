/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets for the tun device that stand alone, written many at a time: one call of io_uring for all of
 * them, where the kernel has it and lets us, or else one write() each.  Which of the two is found out
 * when there is first a batch worth it, and nobody has to know.
 *
 *	tun_batch_begin(&batch, &tun);
 *	for each packet, in the order in which they are to be written
 *		tun_batch_add(&batch, packet, bytes);
 *		if (tun_batch_is_full(&batch))
 *			tun_batch_write(&batch);
 *	tun_batch_write(&batch);
 */
#ifndef IO_TUN_BATCH_H
#define IO_TUN_BATCH_H

#include "io/tun.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_uring_sqe;
struct io_uring_cqe;

enum {
	TUN_BATCH_MAX = 64,
	TUN_BATCH_ROOM_BYTES = sizeof(struct offload), /* wanted in front of each packet */
};

/**
 * struct tun_ring - an io_uring instance that can write and do nothing else
 * @fd:          the instance, -1 if there is none
 * @submitted:   requests that we have made so far; shared with the kernel, as the next two
 * @seen:        answers that we have looked at
 * @answered:    answers that there are
 * @mask:        the submission queue has as many places, and one more; @answer_mask likewise
 * @requests, @answers: the two queues
 * @rings_bytes, @rings: the memory in which all but @requests lies
 */
struct tun_ring {
	int fd;
	unsigned *submitted, *seen, *answered;
	unsigned mask, answer_mask;
	struct io_uring_sqe *requests;
	struct io_uring_cqe *answers;
	size_t requests_bytes, rings_bytes;
	uint8_t *rings;
};

/**
 * struct tun_batch - packets that wait to be written, @count of them
 * @packet:    where each begins, with its struct offload in front
 * @may_try:   whether there can be a ring is not known yet
 */
struct tun_batch {
	const struct tun *tun;
	struct iovec packet[TUN_BATCH_MAX];
	unsigned count;
	bool may_try;
	struct tun_ring ring;
};

/**
 * struct tun_written - what became of a batch
 * @failed: packets that the device did not take
 * @error:  why not the last of these: negative errno as of tun_write(); 0 if there are none
 */
struct tun_written {
	unsigned failed;
	int error;
};

/** tun_batch_begin() - an empty batch; @tun must stay where it is.  To be closed before @tun is */
void tun_batch_begin(struct tun_batch *batch, const struct tun *tun);

void tun_batch_close(struct tun_batch *batch);

static inline bool tun_batch_is_full(const struct tun_batch *batch)
{
	return batch->count == TUN_BATCH_MAX;
}

/**
 * tun_batch_add() - put a packet, one that is no super-packet and has its checksum, behind the others
 * @batch:  not full
 * @packet: TUN_BATCH_ROOM_BYTES before it are overwritten; they and the packet must stay as they are
 *          until tun_batch_write()
 */
void tun_batch_add(struct tun_batch *batch, uint8_t *packet, size_t bytes);

/**
 * tun_batch_write() - write all that has been added, in that order, and be empty again
 *
 * Always from the same thread.  Nothing is under way any more when it returns.
 */
struct tun_written tun_batch_write(struct tun_batch *batch);

#endif
