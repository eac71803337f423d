/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the transport to the tun device.
 *
 * What one receipt gives is opened where it lies, some hundred datagrams at a time, and what comes
 * out of them is joined across the whole receipt.  Everything is written before the next receipt,
 * which overwrites it.
 */
#include "log.h"
#include "minivpn/envelope.h"
#include "run/packetlog.h"
#include "run/worker_parts.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert((size_t)TUN_BATCH_ROOM_BYTES <= ENVELOPE_HEAD_BYTES, "where a record's head was");

static int write_packet(struct worker *worker, const uint8_t *packet, size_t bytes)
{
	struct offload plain = { 0 };
	struct iovec pieces[] = { { &plain, sizeof(plain) }, { (void *)packet, bytes } };

	return tun_write(&worker->tun, pieces, 2);
}

static void count_failure(struct worker *worker, int error, unsigned packets)
{
	worker_count(worker, VERDICT_TUN_FAILED, packets);
	/* A link that is down and a queue that is full pass; a device that is gone does not. */
	if (error == -EBADFD || error == -EBADF)
		worker->broken = error;
}

static size_t gather(const struct join_run *run, uint8_t *room)
{
	size_t bytes = 0;

	for (unsigned i = 1; i < run->piece_count; i++) {
		memcpy(room + bytes, run->pieces[i].iov_base, run->pieces[i].iov_len);
		bytes += run->pieces[i].iov_len;
	}
	return bytes;
}

/* This kernel does not take such a super-packet, whatever it said: cut it up again, and make no
 * more of them. */
static void write_cut(struct worker *worker, const struct join_run *run)
{
	struct incoming *in = &worker->incoming;
	bool is_udp = run->offload.type == OFFLOAD_UDP;
	bool *joins = is_udp ? &in->join.udp : &in->join.tcp;
	struct split split;
	size_t bytes;

	if (*joins)
		log_info("worker: %s refuses %s super-packets: writing one by one",
			 worker->tun.name, is_udp ? "UDP" : "TCP");
	*joins = false;

	bytes = gather(run, in->super);
	if (split_begin(&split, &run->offload, in->super, bytes) != VERDICT_PASS) {
		count_failure(worker, -EINVAL, run->packets);
		return;
	}
	while ((bytes = split_next(&split, in->piece))) {
		int error = write_packet(worker, in->piece, bytes);

		if (error)
			count_failure(worker, error, 1);
	}
}

static void write_singles(struct worker *worker)
{
	struct tun_written written = tun_batch_write(&worker->incoming.singles);

	if (written.failed > 0)
		count_failure(worker, written.error, written.failed);
}

/* A packet that stands alone waits for others that do, but nothing overtakes it.  It lies where it was
 * received, behind the head of its record, which has served. */
static void write_single(struct worker *worker, const struct join_run *run)
{
	struct tun_batch *singles = &worker->incoming.singles;

	tun_batch_add(singles, run->pieces[1].iov_base, run->pieces[1].iov_len);
	if (tun_batch_is_full(singles))
		write_singles(worker);
}

static void write_run(struct worker *worker, const struct join_run *run)
{
	int error;

	if (run->packets == 1) {
		write_single(worker, run);
		return;
	}
	write_singles(worker);
	error = tun_write(&worker->tun, run->pieces, run->piece_count);
	if (error == -EINVAL)
		write_cut(worker, run);
	else if (error)
		count_failure(worker, error, run->packets);
}

void incoming_deliver(struct worker *worker, const uint8_t *packet, size_t bytes)
{
	int error = write_packet(worker, packet, bytes);

	if (error)
		count_failure(worker, error, 1);
}

static void show_packet(const struct inbound *packet)
{
	struct inner inner = { 0 };

	if (packet->verdict == VERDICT_PASS)
		inner_parse(packet->inner, packet->inner_bytes, &inner);
	packetlog_in(&inner, packet->verdict, packet->sequence, packet->from);
}

/* Is it one for the device?  What is for another worker goes there. */
static bool is_for_device(struct worker *worker, const struct inbound *packet)
{
	if (worker->config.debug)
		show_packet(packet);
	if (packet->verdict == VERDICT_HANDED_OVER)
		crew_pass_on(worker, packet);
	return packet->verdict == VERDICT_PASS;
}

/* A datagram that came alone has no neighbours that it could be joined to. */
static void open_alone(struct worker *worker, struct instant now)
{
	struct incoming *in = &worker->incoming;
	const struct inbound *packet = &in->packet[0];

	worker_inbound(worker, in->packet, 1, now);
	if (is_for_device(worker, packet)) {
		tun_batch_add(&in->singles, packet->inner, packet->inner_bytes);
		write_singles(worker);
	}
	in->count = 0;
}

/* Open what has been gathered and hand on what is in it. */
static void open_datagrams(struct worker *worker, struct instant now)
{
	struct incoming *in = &worker->incoming;

	worker_inbound(worker, in->packet, in->count, now);
	for (size_t i = 0; i < in->count; i++) {
		const struct inbound *packet = &in->packet[i];

		if (!is_for_device(worker, packet))
			continue;
		while (!join_add(&in->join, packet->inner, packet->inner_bytes))
			write_run(worker, join_take(&in->join));
	}
	while (join_is_ready(&in->join))
		write_run(worker, join_take(&in->join));
	in->count = 0;
}

/* Returns how many datagrams the run held. */
static size_t take_run(struct worker *worker, const struct run *run, struct instant now)
{
	struct incoming *in = &worker->incoming;
	size_t n = run_count(run);

	worker->load += (int)(run->total_bytes + n * PACKET_BYTES);
	for (size_t i = 0; i < n; i++) {
		size_t at = i * run->datagram_bytes, left = run->total_bytes - at;

		if (in->count == INCOMING_PACKETS_MAX)
			open_datagrams(worker, now);
		in->packet[in->count++] = (struct inbound){
			.datagram = run->bytes + at,
			.bytes = left < run->datagram_bytes ? left : run->datagram_bytes,
			.from = &run->endpoint,
			.tos = run->tos,
		};
	}
	return n;
}

size_t incoming_take(struct worker *worker, const struct run *runs, int n, struct instant now)
{
	struct incoming *in = &worker->incoming;
	struct join_run *last;
	size_t datagrams = 0;

	for (int i = 0; i < n; i++)
		datagrams += take_run(worker, &runs[i], now);
	if (datagrams == 1) {
		open_alone(worker, now);
		return datagrams;
	}
	if (in->count > 0)
		open_datagrams(worker, now);
	while ((last = join_take(&in->join)))
		write_run(worker, last);
	write_singles(worker);
	return datagrams;
}

size_t incoming_pump(struct worker *worker, struct instant now)
{
	struct incoming *in = &worker->incoming;
	int runs = worker->transport->kind->receive(worker->transport, in->run);

	if (worker->transport->overflowed > 0) {
		worker_count(worker, VERDICT_RECEIVE_FULL, worker->transport->overflowed);
		worker->transport->overflowed = 0;
	}
	if (runs < 0) {
		worker->broken = runs;
		return 0;
	}
	return incoming_take(worker, in->run, runs, now);
}
