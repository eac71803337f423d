/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the tun device to the transport.
 *
 * Packets are laid into one large room with just the space between them that sealing fills:
 *
 *	| head | packet | tail | head | packet | tail | head | ...
 *	'------ record -------''------ record -------'
 *
 * so that, sealed, the records follow one another without a gap, and joining some of them into a
 * segmented send is no more than adding up lengths.
 *
 * The device has several queues, each with the packets of some flows.  They take turns, as in deficit
 * round robin (Shreedhar and Varghese, 1995), so that a flow that has filled its queue delays no other by
 * more than its turn; and those that were last found with little come first.  While one of these sends
 * more than acknowledgements, somebody waits for answers, and turns are few between one look at those
 * queues and the next.
 */
#include "log.h"
#include "run/packetlog.h"
#include "run/worker_parts.h"

#include <errno.h>

/**
 * struct growing - the run that packets are added to
 * @run:  NULL before the first
 * @to:   where it goes: the endpoint that its packets were given
 * @left: how many more it may take; 0 behind a shorter one, which is the last of a segmented send
 */
struct growing {
	struct run *run;
	const struct endpoint *to;
	size_t left;
};

/* Do not let the kernel merge what differs: one destination, one TOS, no gap, sizes as a segmented
 * send wants them. */
static bool run_takes(const struct growing *growing, const struct outbound *packet)
{
	const struct run *run = growing->run;

	return growing->left > 0 && packet->to == growing->to && packet->tos == run->tos &&
	       packet->record == run->bytes + run->total_bytes &&
	       packet->record_bytes <= run->datagram_bytes &&
	       run->total_bytes + packet->record_bytes <= RUN_BYTES_MAX;
}

static void run_add(struct growing *growing, const struct outbound *packet)
{
	struct run *run = growing->run;

	run->total_bytes += packet->record_bytes;
	growing->left = packet->record_bytes == run->datagram_bytes ? growing->left - 1 : 0;
}

static void run_begin(struct growing *growing, struct run *run, const struct outbound *packet)
{
	*run = (struct run){
		.bytes = packet->record,
		.total_bytes = packet->record_bytes,
		.datagram_bytes = packet->record_bytes,
		.endpoint = *packet->to,
		.tos = packet->tos,
		.dont_fragment = true,
	};
	*growing = (struct growing){ run, packet->to, RUN_DATAGRAMS_MAX - 1 };
}

static void send_records(struct worker *worker)
{
	struct outgoing *out = &worker->outgoing;
	struct growing growing = { 0 };
	size_t runs = 0;

	for (size_t i = 0; i < out->count; i++) {
		const struct outbound *packet = &out->packet[i];

		if (packet->verdict != VERDICT_PASS)
			continue;
		if (run_takes(&growing, packet)) {
			run_add(&growing, packet);
			continue;
		}
		if (runs == OUTGOING_RUNS_MAX) {
			worker_send(worker, out->run, runs);
			runs = 0;
		}
		run_begin(&growing, &out->run[runs++], packet);
	}
	if (runs > 0)
		worker_send(worker, out->run, runs);
}

/* Sealing makes them unreadable, so what is to be shown is looked up before. */
static void look_at_packets(struct outgoing *out)
{
	for (size_t i = 0; i < out->count; i++) {
		out->shown[i] = (struct inner){ 0 };
		inner_parse(out->packet[i].inner, out->packet[i].inner_bytes, &out->shown[i]);
	}
}

static void show_packets(const struct outgoing *out)
{
	for (size_t i = 0; i < out->count; i++) {
		const struct outbound *packet = &out->packet[i];

		packetlog_out(&out->shown[i], packet->verdict,
			      packet->verdict == VERDICT_PASS ? packet->record : NULL);
	}
}

static void flush(struct worker *worker, struct instant now)
{
	struct outgoing *out = &worker->outgoing;

	if (out->count == 0)
		return;
	if (worker->config.debug)
		look_at_packets(out);
	worker_outbound(worker, out->packet, out->count, now);
	if (worker->config.debug)
		show_packets(out);
	send_records(worker);
	out->count = 0;
	out->used = 0;
}

static bool has_room(const struct outgoing *out, size_t packet_bytes)
{
	return out->count < OUTGOING_PACKETS_MAX &&
	       out->used + ENVELOPE_HEAD_BYTES + packet_bytes + ENVELOPE_TAIL_BYTES <=
		       OUTGOING_ROOM_BYTES;
}

static void lay_packets(struct worker *worker, struct split *split, struct instant now)
{
	struct outgoing *out = &worker->outgoing;
	size_t bytes;

	while ((bytes = split_next_bytes(split))) {
		if (!has_room(out, bytes))
			flush(worker, now);

		uint8_t *inner = out->room + out->used + ENVELOPE_HEAD_BYTES;

		split_next(split, inner);
		out->packet[out->count++] =
			(struct outbound){ .inner = inner, .inner_bytes = bytes };
		out->used += envelope_bytes(bytes);
	}
}

/* Whoever has much to send has super-packets, and whoever receives has acknowledgements.  While it is
 * known for long enough that somebody waits, nothing needs to be looked at. */
static bool is_awaited(const struct worker *worker, const struct offload *offload, size_t bytes,
		       struct instant now)
{
	return offload->type == OFFLOAD_NONE &&
	       instant_since(worker->short_until, now) < SHORT_NS / 2 &&
	       !inner_is_acknowledgement(worker->outgoing.super, bytes);
}

/* Take one packet or super-packet out of a queue.  Returns its length; 0 if there is none. */
static size_t read_packet(struct worker *worker, unsigned queue, struct instant now)
{
	struct outgoing *out = &worker->outgoing;
	struct offload offload;
	struct split split;
	enum verdict verdict;
	ssize_t n = tun_read(&worker->tun, queue, &offload, out->super, sizeof(out->super));

	if (n < 0) {
		/* While the link is down there is nothing, and it may come up again. */
		if (n != -EAGAIN && n != -EIO)
			worker->broken = (int)n;
		return 0;
	}
	out->awaited = out->awaited || is_awaited(worker, &offload, (size_t)n, now);
	verdict = split_begin(&split, &offload, out->super, (size_t)n);
	if (verdict == VERDICT_PASS)
		lay_packets(worker, &split, now);
	else
		worker_count(worker, verdict, 1);
	return (size_t)n;
}

/* Is it this queue's turn, it gives what it may, or all that it has. */
static size_t take_turn(struct worker *worker, unsigned number, struct instant now)
{
	struct outgoing *out = &worker->outgoing;
	struct turn *turn = &out->turn[number];
	int taken = 0;
	size_t packets = 0, n = 1;

	out->awaited = false;
	turn->credit += OUTGOING_TURN_BYTES;
	while (turn->credit > taken && (n = read_packet(worker, number, now)) > 0) {
		taken += (int)n + PACKET_BYTES;
		packets++;
		if (packets == 1 && out->one_by_one)
			flush(worker, now);
	}
	/* An empty queue saves nothing up. */
	turn->credit = n > 0 ? turn->credit - taken : 0;
	turn->is_bulk = n > 0 || taken > OUTGOING_SPARSE_BYTES;
	if (turn->is_bulk)
		turn->bulk_at = now;
	else if (out->awaited && instant_since(now, turn->bulk_at) > BULK_NS)
		worker->short_until = instant_after(now, SHORT_NS);
	if (n == 0)
		worker->tun_ready &= ~(1u << number);
	worker->load += taken;
	return packets;
}

/* Flows that send little go first and leave at once: what they wait for is the end of a round, not that
 * of what others have sent.  Where packets come one by one, the first is sent before the device is asked
 * for a second: whoever waits for it need not wait for that. */
size_t outgoing_sparse(struct worker *worker, struct instant now)
{
	struct outgoing *out = &worker->outgoing;
	size_t packets = 0;

	out->one_by_one = out->packets <= 1;
	for (unsigned i = 0; i < worker->tun.queues; i++)
		if (worker->tun_ready & 1u << i && !out->turn[i].is_bulk)
			packets += take_turn(worker, i, now);
	flush(worker, now);
	out->packets = packets;
	return packets;
}

size_t outgoing_bulk(struct worker *worker, struct instant now)
{
	struct outgoing *out = &worker->outgoing;
	int until = worker->load + worker_load_max(worker, now);
	size_t packets = 0;

	while (worker->tun_ready && worker->load < until) {
		if (worker->tun_ready & 1u << out->next)
			packets += take_turn(worker, out->next, now);
		out->next = (out->next + 1) % worker->tun.queues;
	}
	flush(worker, now);
	out->packets += packets;
	return packets;
}
