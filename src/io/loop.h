/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting: one epoll instance, one timer on the boot clock, one set of signals.  What wakes the
 * caller is a typed value, never a pointer; what it means is the caller's business.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "minivpn/instant.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct loop - visible so that it can be placed; use only the functions below
 * @epoll:  what is waited on
 * @timer:  timerfd on the boot clock
 * @signal: signalfd
 * @armed:  when @timer is set to expire, so that setting it to the same costs nothing
 */
struct loop {
	int epoll, timer, signal;
	struct instant armed;
};

enum loop_kind {
	LOOP_DEADLINE, /* the deadline has been reached */
	LOOP_SIGNAL,   /* a signal came */
	LOOP_READY,    /* a watched descriptor is ready */
};

/**
 * struct loop_event - one reason for waking up
 * @kind:     which
 * @signal:   for LOOP_SIGNAL: its number
 * @tag:      for LOOP_READY: what loop_watch() was told
 * @fd:       for LOOP_READY: the descriptor
 * @readable, @writable: what it is ready for; hang-up and error make it both, so that the next call
 *            on it says what is wrong
 * @error:    the error queue has something, or the descriptor is broken
 */
struct loop_event {
	enum loop_kind kind;
	int signal;
	uint32_t tag;
	int fd;
	bool readable, writable, error;
};

enum { LOOP_EVENTS_MAX = 32 };

/**
 * loop_open() - a loop that takes the given signals
 * @signals:  blocked for the calling thread and delivered as events from now on
 *
 * Return: 0 or negative errno
 */
int loop_open(struct loop *ret_loop, const sigset_t *signals);

/** loop_close() - closes the loop's own descriptors, not the watched ones; signals stay blocked */
void loop_close(struct loop *loop);

/**
 * loop_watch() - report when @fd can be read (level-triggered), with @tag
 *
 * Return: 0 or negative errno
 */
int loop_watch(struct loop *loop, int fd, uint32_t tag);

/** loop_watch_writable() - report when @fd, watched already, can be written, and no more when it can be read */
int loop_watch_writable(struct loop *loop, int fd, uint32_t tag);

/** loop_forget() - watch @fd no more; closing the last copy of a descriptor does the same */
void loop_forget(struct loop *loop, int fd);

/**
 * loop_wait() - sleep until something happens
 * @deadline:   wake up then at the latest, with LOOP_DEADLINE; INSTANT_NEVER for never
 * @ret_events: LOOP_EVENTS_MAX of them
 *
 * Return: how many events (0 if interrupted), or negative errno
 */
int loop_wait(struct loop *loop, struct instant deadline, struct loop_event *ret_events);

/** loop_poll() - the same without sleeping */
int loop_poll(struct loop *loop, struct loop_event *ret_events);

#endif
