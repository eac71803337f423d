/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How one worker's thread tells another something: orders of the engine to its lanes, which go back when
 * they have been followed, and letters, which are copies.  For what is rare: under load, with nothing new
 * to tell, a mailbox is empty, and looking whether it is costs a read of a word that nobody writes.
 *
 * Everybody may put in, one takes out.  What does not fit is not taken, and who sends it counts that;
 * orders lie in memory of their own, so they always fit.
 */
#ifndef RUN_MAILBOX_H
#define RUN_MAILBOX_H

#include "io/transport.h"
#include "minivpn/lane.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum letter_kind {
	LETTER_REPORT, /* of a lane, to the engine */
	LETTER_STRAY,  /* a datagram that came to the wrong worker */
	LETTER_EVENT,  /* something that the network said to a lane's transport */
	LETTER_BROKEN, /* a lane's device or transport is broken: @error */
};

enum { LETTER_BYTES_MAX = 65536 };

/**
 * struct letter - what is told; which members count, @kind says
 * @bytes: how many go with it, at most LETTER_BYTES_MAX
 * @from, @tos: of a datagram
 */
struct letter {
	enum letter_kind kind;
	size_t bytes;
	union {
		struct lane_report report;
		struct {
			struct endpoint from;
			uint8_t tos;
		} stray;
		struct transport_event event;
		int error;
	};
};

/**
 * struct mailbox - visible so that it can be placed
 * @event: an eventfd: wait until it can be read, then call mailbox_begin()
 * @waits: is there something?
 * @first, @last: orders
 * @ring:  letters, each with its bytes behind it: @used of @size bytes, from @at on
 * @rest_wanted, @resting: mailbox_rest()
 * @ended: its owner is to stop
 */
struct mailbox {
	int event;
	atomic_bool waits;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct lane_order *first, **last;
	uint8_t *ring;
	size_t size, at, used;
	bool rest_wanted, resting, ended;
};

/** mailbox_open() - with room for @bytes of letters; 0 or negative errno */
int mailbox_open(struct mailbox *mailbox, size_t bytes);

/** mailbox_close() - nobody uses it any more */
void mailbox_close(struct mailbox *mailbox);

void mailbox_put_order(struct mailbox *mailbox, struct lane_order *order);

/** mailbox_put() - false if there is no room */
bool mailbox_put(struct mailbox *mailbox, const struct letter *letter, const uint8_t *bytes);

/** mailbox_waits() - has something been put in since mailbox_begin()? */
static inline bool mailbox_waits(const struct mailbox *mailbox)
{
	return atomic_load_explicit(&mailbox->waits, memory_order_acquire);
}

/** mailbox_begin() - the owner is about to take out what there is; what comes from now on is told anew */
void mailbox_begin(struct mailbox *mailbox);

/** mailbox_orders() - take out all orders: the first, the others by next */
struct lane_order *mailbox_orders(struct mailbox *mailbox);

/** mailbox_take() - take out a letter, its bytes to @ret_bytes; false if there is none */
bool mailbox_take(struct mailbox *mailbox, struct letter *ret_letter, uint8_t *ret_bytes);

/** mailbox_again() - the owner leaves something for later */
void mailbox_again(struct mailbox *mailbox);

/** mailbox_end() - tell its owner to stop; mailbox_has_ended() - is the owner to stop? */
void mailbox_end(struct mailbox *mailbox);
bool mailbox_has_ended(struct mailbox *mailbox);

/**
 * mailbox_ask_rest() - have its owner stand still; then mailbox_await_rest(), false if that takes longer
 * than a second, and in either case mailbox_rest_over()
 */
void mailbox_ask_rest(struct mailbox *mailbox);
bool mailbox_await_rest(struct mailbox *mailbox);
void mailbox_rest_over(struct mailbox *mailbox);

/** mailbox_rest() - the owner stands still for as long as it was asked to */
void mailbox_rest(struct mailbox *mailbox);

#endif
