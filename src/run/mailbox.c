/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/mailbox.h"

#include "io/clock.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REST_PATIENCE_NS NS_PER_S

int mailbox_open(struct mailbox *mailbox, size_t bytes)
{
	pthread_condattr_t attributes;

	*mailbox = (struct mailbox){ .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				     .ring = malloc(bytes),
				     .size = bytes };
	mailbox->last = &mailbox->first;
	if (mailbox->event < 0 || !mailbox->ring) {
		int error = mailbox->event < 0 ? -errno : -ENOMEM;

		if (mailbox->event >= 0)
			close(mailbox->event);
		free(mailbox->ring);
		return error;
	}
	pthread_mutex_init(&mailbox->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&mailbox->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return 0;
}

void mailbox_close(struct mailbox *mailbox)
{
	close(mailbox->event);
	free(mailbox->ring);
	pthread_mutex_destroy(&mailbox->lock);
	pthread_cond_destroy(&mailbox->changed);
}

/* Whoever has the lock: there is something. */
static void ring_bell(struct mailbox *mailbox)
{
	const uint64_t one = 1;

	if (atomic_exchange(&mailbox->waits, true))
		return;
	/* It cannot fail: the counter is far from full. */
	if (write(mailbox->event, &one, sizeof(one)) < 0)
		abort();
}

void mailbox_put_order(struct mailbox *mailbox, struct lane_order *order)
{
	order->next = NULL;
	pthread_mutex_lock(&mailbox->lock);
	*mailbox->last = order;
	mailbox->last = &order->next;
	ring_bell(mailbox);
	pthread_mutex_unlock(&mailbox->lock);
}

static void put_bytes(struct mailbox *mailbox, const void *bytes, size_t n)
{
	size_t at = (mailbox->at + mailbox->used) % mailbox->size;
	size_t first = n < mailbox->size - at ? n : mailbox->size - at;

	if (n == 0)
		return;
	memcpy(mailbox->ring + at, bytes, first);
	memcpy(mailbox->ring, (const uint8_t *)bytes + first, n - first);
	mailbox->used += n;
}

/* Some of it was somebody's plaintext: it does not stay behind. */
static void take_bytes(struct mailbox *mailbox, void *ret_bytes, size_t n)
{
	size_t first = n < mailbox->size - mailbox->at ? n : mailbox->size - mailbox->at;

	if (n == 0)
		return;
	memcpy(ret_bytes, mailbox->ring + mailbox->at, first);
	memcpy((uint8_t *)ret_bytes + first, mailbox->ring, n - first);
	sodium_memzero(mailbox->ring + mailbox->at, first);
	sodium_memzero(mailbox->ring, n - first);
	mailbox->at = (mailbox->at + n) % mailbox->size;
	mailbox->used -= n;
}

bool mailbox_put(struct mailbox *mailbox, const struct letter *letter, const uint8_t *bytes)
{
	bool fits;

	pthread_mutex_lock(&mailbox->lock);
	fits = letter->bytes <= LETTER_BYTES_MAX &&
	       sizeof(*letter) + letter->bytes <= mailbox->size - mailbox->used;
	if (fits) {
		put_bytes(mailbox, letter, sizeof(*letter));
		put_bytes(mailbox, bytes, letter->bytes);
		ring_bell(mailbox);
	}
	pthread_mutex_unlock(&mailbox->lock);
	return fits;
}

void mailbox_begin(struct mailbox *mailbox)
{
	uint64_t count;

	/* In this order: a bell that is rung from now on is not silenced. */
	if (read(mailbox->event, &count, sizeof(count)) < 0)
		errno = 0; /* somebody looked before he heard it */
	atomic_store(&mailbox->waits, false);
}

struct lane_order *mailbox_orders(struct mailbox *mailbox)
{
	struct lane_order *first;

	pthread_mutex_lock(&mailbox->lock);
	first = mailbox->first;
	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	pthread_mutex_unlock(&mailbox->lock);
	return first;
}

bool mailbox_take(struct mailbox *mailbox, struct letter *ret_letter, uint8_t *ret_bytes)
{
	bool any;

	pthread_mutex_lock(&mailbox->lock);
	any = mailbox->used > 0;
	if (any) {
		take_bytes(mailbox, ret_letter, sizeof(*ret_letter));
		take_bytes(mailbox, ret_bytes, ret_letter->bytes);
	}
	pthread_mutex_unlock(&mailbox->lock);
	return any;
}

void mailbox_again(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	ring_bell(mailbox);
	pthread_mutex_unlock(&mailbox->lock);
}

void mailbox_end(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	mailbox->ended = true;
	ring_bell(mailbox);
	pthread_mutex_unlock(&mailbox->lock);
}

bool mailbox_has_ended(struct mailbox *mailbox)
{
	bool ended;

	pthread_mutex_lock(&mailbox->lock);
	ended = mailbox->ended;
	pthread_mutex_unlock(&mailbox->lock);
	return ended;
}

void mailbox_ask_rest(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	mailbox->rest_wanted = true;
	ring_bell(mailbox);
	pthread_mutex_unlock(&mailbox->lock);
}

bool mailbox_await_rest(struct mailbox *mailbox)
{
	struct instant until = instant_after(clock_read(CLOCK_MONOTONIC), REST_PATIENCE_NS);
	struct timespec when = { until.ns / NS_PER_S, until.ns % NS_PER_S };
	bool resting;
	int error = 0;

	pthread_mutex_lock(&mailbox->lock);
	while (!mailbox->resting && !error)
		error = pthread_cond_timedwait(&mailbox->changed, &mailbox->lock, &when);
	resting = mailbox->resting;
	pthread_mutex_unlock(&mailbox->lock);
	return resting;
}

void mailbox_rest_over(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	mailbox->rest_wanted = false;
	pthread_cond_broadcast(&mailbox->changed);
	pthread_mutex_unlock(&mailbox->lock);
}

void mailbox_rest(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	while (mailbox->rest_wanted) {
		mailbox->resting = true;
		pthread_cond_broadcast(&mailbox->changed);
		pthread_cond_wait(&mailbox->changed, &mailbox->lock);
	}
	mailbox->resting = false;
	pthread_mutex_unlock(&mailbox->lock);
}
