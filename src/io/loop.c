/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/loop.h"

#include "scope.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* What epoll hands back with an event: the tag and the descriptor, in the 64 bits it has. */
static uint64_t reference(uint32_t tag, int fd)
{
	return (uint64_t)tag << 32 | (uint32_t)fd;
}

static int control(int epoll, int operation, int fd, uint32_t tag, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = reference(tag, fd) };

	return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_open(struct loop *ret_loop, const sigset_t *signals)
{
	scoped_fd epoll = epoll_create1(EPOLL_CLOEXEC);
	scoped_fd timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	scoped_fd signal = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	int error;

	if (epoll < 0 || timer < 0 || signal < 0)
		return -errno;
	error = -pthread_sigmask(SIG_BLOCK, signals, NULL);
	if (error)
		return error;
	error = control(epoll, EPOLL_CTL_ADD, timer, 0, EPOLLIN);
	if (error)
		return error;
	error = control(epoll, EPOLL_CTL_ADD, signal, 0, EPOLLIN);
	if (error)
		return error;

	*ret_loop = (struct loop){
		.epoll = take_fd(&epoll),
		.timer = take_fd(&timer),
		.signal = take_fd(&signal),
		.armed = INSTANT_NEVER,
	};
	return 0;
}

void loop_close(struct loop *loop)
{
	close_fd(&loop->epoll);
	close_fd(&loop->timer);
	close_fd(&loop->signal);
	*loop = (struct loop){ .epoll = -1, .timer = -1, .signal = -1 };
}

int loop_watch(struct loop *loop, int fd, uint32_t tag)
{
	return control(loop->epoll, EPOLL_CTL_ADD, fd, tag, EPOLLIN);
}

int loop_watch_writable(struct loop *loop, int fd, uint32_t tag)
{
	return control(loop->epoll, EPOLL_CTL_MOD, fd, tag, EPOLLOUT);
}

void loop_forget(struct loop *loop, int fd)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
}

static int arm(struct loop *loop, struct instant deadline)
{
	struct itimerspec when = { 0 };

	if (deadline.ns == loop->armed.ns)
		return 0;
	if (deadline.ns != INSTANT_NEVER.ns) {
		/* All zero would disarm it: what is overdue is due now, at 1 ns. */
		int64_t ns = deadline.ns > 0 ? deadline.ns : 1;

		when.it_value.tv_sec = ns / NS_PER_S;
		when.it_value.tv_nsec = ns % NS_PER_S;
	}
	if (timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return -errno;
	loop->armed = deadline;
	return 0;
}

static bool deadline_reached(struct loop *loop)
{
	uint64_t expirations;

	if (read(loop->timer, &expirations, sizeof(expirations)) < 0)
		return false;
	loop->armed = INSTANT_NEVER;
	return true;
}

static int next_signal(struct loop *loop)
{
	struct signalfd_siginfo info;

	return read(loop->signal, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* One event of epoll as one of ours.  False if there is nothing in it. */
static bool translate(struct loop *loop, const struct epoll_event *event,
		      struct loop_event *ret_event)
{
	int fd = (int)(uint32_t)event->data.u64;
	bool broken = event->events & (EPOLLERR | EPOLLHUP);

	if (fd == loop->timer) {
		*ret_event = (struct loop_event){ .kind = LOOP_DEADLINE };
		return deadline_reached(loop);
	}
	if (fd == loop->signal) {
		int number = next_signal(loop);

		*ret_event = (struct loop_event){ .kind = LOOP_SIGNAL, .signal = number };
		return number != 0;
	}
	*ret_event = (struct loop_event){
		.kind = LOOP_READY,
		.tag = (uint32_t)(event->data.u64 >> 32),
		.fd = fd,
		.readable = event->events & EPOLLIN || broken,
		.writable = event->events & EPOLLOUT || broken,
		.error = event->events & EPOLLERR,
	};
	return true;
}

static int collect(struct loop *loop, int timeout_ms, struct loop_event *ret_events)
{
	/* Filled by the kernel, as many as there are: the build would clear them all first. */
	__attribute__((uninitialized)) struct epoll_event events[LOOP_EVENTS_MAX];
	int n = epoll_wait(loop->epoll, events, LOOP_EVENTS_MAX, timeout_ms);
	int count = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		count += translate(loop, &events[i], &ret_events[count]);
	return count;
}

int loop_wait(struct loop *loop, struct instant deadline, struct loop_event *ret_events)
{
	int error = arm(loop, deadline);

	return error ? error : collect(loop, -1, ret_events);
}

int loop_poll(struct loop *loop, struct loop_event *ret_events)
{
	return collect(loop, 0, ret_events);
}
