/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/crew.h"

#include "io/clock.h"
#include "log.h"
#include "run/worker_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_MAIL_BYTES = 1 << 20, /* packets of workers that have no SA yet */
	MAIL_BYTES = 256 << 10,
	LETTERS_AT_ONCE = 256,
	STACK_BYTES = 512 << 10,
	NAME_BYTES = 16,
};

enum member_tag { TAG_TUN, TAG_TRANSPORT, TAG_MAIL };

/**
 * struct member - a worker and its mail
 * @worker: of a further one; the first one's is its own
 * @room:   for the bytes of a letter that is read
 */
struct member {
	struct mailbox mail;
	struct worker *worker;
	struct loop loop;
	pthread_t thread;
	bool is_open, runs;
	uint8_t room[ENVELOPE_HEAD_BYTES + LETTER_BYTES_MAX + ENVELOPE_TAIL_BYTES];
};

/**
 * struct crew - all workers
 * @member:  by number; the first one is no thread of ours
 * @stopped: the threads have ended
 */
struct crew {
	unsigned count;
	bool stopped;
	struct member member[];
};

static struct member *member_of(const struct worker *worker)
{
	return &worker->crew->member[worker->number];
}

/* ---- a further worker's thread ------------------------------------------------------------- */

static void tell_first(struct crew *crew, const struct letter *letter)
{
	if (!mailbox_put(&crew->member[0].mail, letter, NULL))
		log_debug("worker: the first one's mailbox is full");
}

static bool lane_report(void *shell, const struct lane_report *report, const uint8_t *bytes,
			size_t n)
{
	const struct worker *worker = shell;
	struct letter letter = { .kind = LETTER_REPORT, .bytes = n, .report = *report };

	return mailbox_put(&worker->crew->member[0].mail, &letter, bytes);
}

static void note_ready(struct worker *worker, const struct loop_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		if (events[i].tag == TAG_TUN)
			worker_tun_ready(worker, events[i].fd);
		else if (events[i].tag == TAG_TRANSPORT)
			worker_transport_ready(worker, events[i].error);
	}
}

/* It goes on reading its mail until it is told to stop. */
static void give_up(struct member *member, int error)
{
	struct worker *worker = member->worker;

	loop_forget(&member->loop, worker->tun.fd);
	loop_forget(&member->loop, worker->transport->fd);
	tell_first(worker->crew, &(struct letter){ .kind = LETTER_BROKEN, .error = error });
}

static void *run(void *context)
{
	struct member *member = context;
	struct loop_event events[LOOP_EVENTS_MAX];
	bool broken = false;

	while (!mailbox_has_ended(&member->mail)) {
		int n = loop_wait(&member->loop, INSTANT_NEVER, events), error;

		note_ready(member->worker, events, n);
		error = worker_serve(member->worker);
		if (error && !broken)
			give_up(member, error);
		broken |= error != 0;
	}
	return NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int start_thread(struct member *member)
{
	char name[NAME_BYTES];
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	error = pthread_create(&member->thread, &attributes, run, member);
	pthread_attr_destroy(&attributes);
	if (error)
		return -error;
	member->runs = true;
	snprintf(name, sizeof(name), "worker %u", member->worker->number);
	pthread_setname_np(member->thread, name);
	return 0;
}

static int watch(struct member *member)
{
	sigset_t none; /* all are the first one's: what it blocks, its threads inherit */
	int error;

	sigemptyset(&none);
	error = loop_open(&member->loop, &none);
	if (!error)
		error = worker_watch(member->worker, &member->loop, TAG_TUN, TAG_TRANSPORT,
				     TAG_MAIL);
	return error;
}

static int open_member(struct crew *crew, struct worker *first, const struct worker_config *config,
		       unsigned number)
{
	const struct worker_further *further = &config->further[number - 1];
	struct member *member = &crew->member[number];
	struct worker *worker;
	int error = mailbox_open(&member->mail, MAIL_BYTES);

	if (error)
		return error;
	member->is_open = true;
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	member->worker = worker;
	worker->config = *config;
	worker->number = number;
	worker->crew = crew;
	worker->mail = &member->mail;
	worker->lane = engine_lane(first->engine, number);
	worker_equip(worker, &further->tun, further->transport);
	lane_start(worker->lane, &(struct lane_hooks){ worker, lane_report },
		   further->aead_context);
	return watch(member);
}

/* What was not taken over stays the caller's. */
static void close_member(struct member *member, bool whole)
{
	if (member->worker && whole) {
		tun_batch_close(&member->worker->incoming.singles);
		tun_close(&member->worker->tun);
		member->worker->transport->kind->close(member->worker->transport);
	}
	free(member->worker);
	loop_close(&member->loop);
	if (member->is_open)
		mailbox_close(&member->mail);
}

int crew_open(struct worker *first, const struct worker_config *config, struct crew **ret_crew)
{
	unsigned count = config->engine.workers;
	struct crew *crew = calloc(1, sizeof(*crew) + count * sizeof(crew->member[0]));
	int error;

	if (!crew)
		return -ENOMEM;
	crew->count = count;
	for (unsigned i = 0; i < count; i++)
		crew->member[i].loop = (struct loop){ -1, -1, -1, INSTANT_NEVER };
	error = mailbox_open(&crew->member[0].mail, FIRST_MAIL_BYTES);
	crew->member[0].is_open = error == 0;
	for (unsigned i = 1; i < count && !error; i++)
		error = open_member(crew, first, config, i);
	for (unsigned i = 1; i < count && !error; i++)
		error = start_thread(&crew->member[i]);
	if (error) {
		crew_stop(crew);
		for (unsigned i = 0; i < count; i++)
			close_member(&crew->member[i], false);
		free(crew);
		return error;
	}
	first->crew = crew;
	first->mail = &crew->member[0].mail;
	crew->member[0].worker = first;
	*ret_crew = crew;
	return 0;
}

static void follow_order(struct crew *crew, const struct worker *worker, struct lane_order *order)
{
	lane_execute(worker->lane, order);
	if (crew->stopped)
		engine_order_done(crew->member[0].worker->engine, order);
	else
		mailbox_put_order(&crew->member[0].mail, order);
}

void crew_follow_orders(struct worker *worker)
{
	struct lane_order *next;

	for (struct lane_order *o = mailbox_orders(worker->mail); o; o = next) {
		next = o->next;
		follow_order(worker->crew, worker, o);
	}
}

static void take_orders_back(struct worker *first)
{
	struct lane_order *next;

	for (struct lane_order *o = mailbox_orders(first->mail); o; o = next) {
		next = o->next;
		engine_order_done(first->engine, o);
	}
}

void crew_stop(struct crew *crew)
{
	for (unsigned i = 1; i < crew->count; i++)
		if (crew->member[i].runs)
			mailbox_end(&crew->member[i].mail);
	for (unsigned i = 1; i < crew->count; i++)
		if (crew->member[i].runs)
			pthread_join(crew->member[i].thread, NULL);
	crew->stopped = true;
	if (!crew->member[0].worker)
		return;
	take_orders_back(crew->member[0].worker);
	for (unsigned i = 1; i < crew->count; i++)
		crew_follow_orders(crew->member[i].worker);
}

void crew_close(struct crew *crew)
{
	crew->member[0].worker = NULL; /* its own to close */
	for (unsigned i = 0; i < crew->count; i++)
		close_member(&crew->member[i], true);
	free(crew);
}

void crew_order(struct crew *crew, unsigned number, struct lane_order *order)
{
	struct member *member = &crew->member[number];

	if (crew->stopped)
		follow_order(crew, member->worker, order);
	else
		mailbox_put_order(&member->mail, order);
}

/* ---- mail ---------------------------------------------------------------------------------- */

static void take_stray(struct worker *worker, const struct letter *letter, uint8_t *bytes,
		       struct instant now)
{
	struct run run = { .bytes = bytes,
			   .total_bytes = letter->bytes,
			   .datagram_bytes = letter->bytes,
			   .endpoint = letter->stray.from,
			   .tos = letter->stray.tos };

	incoming_take(worker, &run, 1, now);
}

static void read_letter(struct worker *worker, const struct letter *letter, uint8_t *bytes,
			struct instant now)
{
	switch (letter->kind) {
	case LETTER_REPORT:
		engine_report(worker->engine, &letter->report, bytes, letter->bytes, now);
		break;
	case LETTER_STRAY:
		take_stray(worker, letter, bytes, now);
		break;
	case LETTER_EVENT:
		worker_take_event(worker, &letter->event, now);
		break;
	case LETTER_BROKEN:
		worker->broken = letter->error;
		break;
	}
}

size_t crew_read_mail(struct worker *worker, struct instant now)
{
	struct member *member = member_of(worker);
	uint8_t *bytes = member->room + ENVELOPE_HEAD_BYTES;
	struct letter letter;
	size_t letters = 0;

	mailbox_begin(worker->mail);
	if (worker->lane)
		crew_follow_orders(worker);
	else
		take_orders_back(worker);
	while (letters < LETTERS_AT_ONCE && mailbox_take(worker->mail, &letter, bytes)) {
		read_letter(worker, &letter, bytes, now);
		letters++;
	}
	if (letters == LETTERS_AT_ONCE)
		mailbox_again(worker->mail);
	mailbox_rest(worker->mail);
	return letters;
}

void crew_pass_on(struct worker *worker, const struct inbound *datagram)
{
	struct letter letter = { .kind = LETTER_STRAY,
				 .bytes = datagram->bytes,
				 .stray = { *datagram->from, datagram->tos } };
	unsigned to = 0;

	if (datagram->bytes >= sizeof(be32))
		to = spi_worker(wire_u32(datagram->datagram), worker->crew->count);
	if (!mailbox_put(&worker->crew->member[to].mail, &letter, datagram->datagram))
		worker_count(worker, VERDICT_QUEUE_FULL, 1);
}

void crew_tell_event(struct worker *worker, const struct transport_event *event)
{
	tell_first(worker->crew, &(struct letter){ .kind = LETTER_EVENT, .event = *event });
}

void crew_gather(struct crew *crew)
{
	bool all = true;

	for (unsigned i = 1; i < crew->count; i++)
		mailbox_ask_rest(&crew->member[i].mail);
	for (unsigned i = 1; i < crew->count; i++)
		all &= mailbox_await_rest(&crew->member[i].mail);
	if (all)
		engine_gather(crew->member[0].worker->engine);
	for (unsigned i = 1; i < crew->count; i++)
		mailbox_rest_over(&crew->member[i].mail);
}
