/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A write to a tun device carries the packet all the way to the socket that it is for, and wakes the
 * program that waits there.  If that program is to run on the same core, the kernel switches to it
 * as soon as the call returns: with one call a packet, up to once a packet.  One call for many
 * packets saves that, and the call itself.  docs/decisions/0012 has the figures.
 *
 * The ring, which is used for nothing else, is as small as it can be:
 *
 *  - It may write and do nothing else, whatever its memory is filled with.
 *  - It has not registered the device: it refers to it while a request is under way and not longer.
 *    The kernel takes its time to get rid of a ring, also of one whose process was killed, and a
 *    device that it held would be in the way of the next start.
 *  - Each request is answered, and all answers are waited for, so that no packet's memory can be in
 *    use when it is overwritten by the next.  The device is non-blocking: there is nothing that a
 *    request could really wait for, and the kernel does them one after the other, in order.
 *
 * A small batch is cheaper without: requests have to be prepared, too.
 */
#include "io/tun_batch.h"

#include "io/batching.h"
#include "log.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	WORTH_A_RING = 8, /* packets; measured, see above */

	RING_SETUP = IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
		     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* Linux 6.1 */
};

void tun_batch_begin(struct tun_batch *batch, const struct tun *tun)
{
	*batch = (struct tun_batch){ .tun = tun, .may_try = BATCHING, .ring.fd = -1 };
}

static void ring_close(struct tun_ring *ring)
{
	if (ring->fd < 0)
		return;
	if (ring->requests)
		munmap(ring->requests, ring->requests_bytes);
	if (ring->rings)
		munmap(ring->rings, ring->rings_bytes);
	close(ring->fd);
	*ring = (struct tun_ring){ .fd = -1 };
}

void tun_batch_close(struct tun_batch *batch)
{
	ring_close(&batch->ring);
}

static void *map(const struct tun_ring *ring, size_t bytes, off_t what)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			    ring->fd, what);

	return memory == MAP_FAILED ? NULL : memory;
}

static bool map_queues(struct tun_ring *ring, const struct io_uring_params *params)
{
	const struct io_sqring_offsets *sq = &params->sq_off;
	const struct io_cqring_offsets *cq = &params->cq_off;
	size_t sq_bytes = sq->array + params->sq_entries * sizeof(unsigned);
	size_t cq_bytes = cq->cqes + params->cq_entries * sizeof(*ring->answers);
	unsigned *order;

	/* One piece of memory for both: IORING_FEAT_SINGLE_MMAP, Linux 5.4. */
	ring->rings_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
	ring->requests_bytes = params->sq_entries * sizeof(*ring->requests);
	ring->rings = map(ring, ring->rings_bytes, IORING_OFF_SQ_RING);
	ring->requests = map(ring, ring->requests_bytes, IORING_OFF_SQES);
	if (!ring->rings || !ring->requests)
		return false;

	ring->submitted = (void *)(ring->rings + sq->tail);
	ring->seen = (void *)(ring->rings + cq->head);
	ring->answered = (void *)(ring->rings + cq->tail);
	ring->answers = (void *)(ring->rings + cq->cqes);
	ring->mask = params->sq_entries - 1;
	ring->answer_mask = params->cq_entries - 1;
	order = (void *)(ring->rings + sq->array);
	for (unsigned i = 0; i < params->sq_entries; i++)
		order[i] = i;
	return true;
}

static bool allow_writing_only(const struct tun_ring *ring)
{
	struct io_uring_restriction write_only[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE },
	};

	return syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_RESTRICTIONS, write_only,
		       sizeof(write_only) / sizeof(*write_only)) == 0 &&
	       syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0;
}

/* An old kernel, a sysctl, a filter of system calls or a lack of memory: all may stand in the way. */
static void ring_open(struct tun_ring *ring, const char *name)
{
	struct io_uring_params params = { .flags = RING_SETUP };

	ring->fd = (int)syscall(SYS_io_uring_setup, TUN_BATCH_MAX, &params);
	if (ring->fd < 0) {
		log_debug("tun: no io_uring, one write a packet on %s: %s", name, strerror(errno));
		return;
	}
	if (!map_queues(ring, &params) || !allow_writing_only(ring)) {
		log_debug("tun: no io_uring, one write a packet on %s: %s", name, strerror(errno));
		ring_close(ring);
		return;
	}
	log_debug("tun: many packets in a write on %s, by io_uring", name);
}

void tun_batch_add(struct tun_batch *batch, uint8_t *packet, size_t bytes)
{
	uint8_t *start = packet - TUN_BATCH_ROOM_BYTES;

	memset(start, 0, TUN_BATCH_ROOM_BYTES); /* struct offload: one packet, nothing to be done */
	batch->packet[batch->count++] = (struct iovec){ start, TUN_BATCH_ROOM_BYTES + bytes };
}

static void note(struct tun_written *written, int error)
{
	if (error < 0) {
		written->failed++;
		written->error = error;
	}
}

static void write_each(const struct tun_batch *batch, unsigned first, struct tun_written *written)
{
	for (unsigned i = first; i < batch->count; i++)
		note(written, tun_write(batch->tun, &batch->packet[i], 1));
}

static void make_requests(struct tun_ring *ring, const struct tun_batch *batch)
{
	unsigned at = *ring->submitted;

	for (unsigned i = 0; i < batch->count; i++)
		ring->requests[(at + i) & ring->mask] = (struct io_uring_sqe){
			.opcode = IORING_OP_WRITE,
			.fd = batch->tun->fd,
			.addr = (uintptr_t)batch->packet[i].iov_base,
			.len = (unsigned)batch->packet[i].iov_len,
		};
	__atomic_store_n(ring->submitted, at + batch->count, __ATOMIC_RELEASE);
}

/* Returns how many there were. */
static unsigned take_answers(struct tun_ring *ring, struct tun_written *written)
{
	unsigned at = *ring->seen, end = __atomic_load_n(ring->answered, __ATOMIC_ACQUIRE);

	for (unsigned i = at; i != end; i++)
		note(written, ring->answers[i & ring->answer_mask].res);
	__atomic_store_n(ring->seen, end, __ATOMIC_RELEASE);
	return end - at;
}

static int enter(const struct tun_ring *ring, unsigned requests, unsigned answers)
{
	long taken = syscall(SYS_io_uring_enter, ring->fd, requests, answers,
			     IORING_ENTER_GETEVENTS, NULL, 0);

	return taken < 0 ? -errno : (int)taken;
}

/* Returns how many packets were dealt with; fewer than there are if the ring is of no use. */
static unsigned write_by_ring(struct tun_batch *batch, struct tun_written *written)
{
	struct tun_ring *ring = &batch->ring;
	unsigned taken = 0, answered = 0;
	bool useless = false;

	make_requests(ring, batch);
	while (answered < (useless ? taken : batch->count)) {
		unsigned left = useless ? 0 : batch->count - taken;
		int n = enter(ring, left, taken + left - answered);

		if (n > 0)
			taken += (unsigned)n;
		else if (n != -EINTR && left > 0)
			useless = true;
		answered += take_answers(ring, written);
	}
	return taken;
}

struct tun_written tun_batch_write(struct tun_batch *batch)
{
	struct tun_written written = { 0 };
	unsigned done = 0;

	if (batch->count >= WORTH_A_RING && batch->may_try) {
		batch->may_try = false;
		ring_open(&batch->ring, batch->tun->name);
	}
	if (batch->count >= WORTH_A_RING && batch->ring.fd >= 0) {
		done = write_by_ring(batch, &written);
		if (done < batch->count)
			ring_close(&batch->ring);
	}
	write_each(batch, done, &written);
	batch->count = 0;
	return written;
}
