/* SPDX-License-Identifier: MIT */
/* host.c - a loop as the guest of another main loop: one pass at a time, and a descriptor that
 * tells when the next is due.
 *
 * Between its passes, and after a run, a hosted loop is "parked": it has announced in its inbox
 * that it sleeps, handed the engine everything, and armed the next deadline, so that whatever
 * happens makes the engine's descriptor readable. What the host's own code makes ready in the
 * meantime unparks it by a write to the eventfd. A pass that begins, or the close, takes the
 * announcement back: nobody needs to be woken then.
 *
 * The host polls an epoll descriptor over two: the engine's, and the eventfd itself, on its edge
 * since it is never read. The eventfd's way through the engine would not do. Kernels signal a
 * ring's eventfd from inside the write to another one late, after milliseconds, or, from 6.11
 * on, once and never again. So the engine does not poll the eventfd but where a pass waits. */
#include "loop/loop.h"
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "loop/post.h"

/* Wakes the host: there is something to do that the engine does not know of. */
void kn_loop_unpark(struct knit_loop *loop)
{
	if (kn_loop_resume(loop))
		return; /* a poster does it */
	loop->wakes_owed++;
	kn_loop_wake(loop);
}

bool kn_loop_resume(struct knit_loop *loop)
{
	bool owed = kn_inbox_awake(&loop->inbox);

	loop->parked = false;
	loop->wakes_owed += owed;
	return owed;
}

static bool has_work(const struct knit_loop *loop)
{
	return !kn_list_empty(&loop->ready) || !kn_list_empty(&loop->posts) || loop->stopping ||
	       kn_engine_ready(loop->engine) || kn_inbox_pending(&loop->inbox) ||
	       atomic_load_explicit(&loop->signals_pending, memory_order_relaxed);
}

void kn_loop_park(struct knit_loop *loop)
{
	bool exact; /* if not, the host comes early, and we ask it to come again */
	int64_t deadline = kn_wheel_next(&loop->timers, &exact);
	struct epoll_event events[2];

	if (loop->own_ops)
		kn_engine_cancel(loop->engine, &loop->wake_op);
	if (loop->clock != KNIT_CLOCK_MONOTONIC && deadline != KNIT_FOREVER)
		deadline = 0; /* virtual time does not pass by itself: a pass is due at once */
	/* Takes the edge of the wake-ups so far, before we look whether there is work. */
	(void)epoll_wait(loop->host_fd, events, 2, 0);
	/* Where arming fails for want of memory, the host is to come again; what is wrong for good
	 * the next pass tells. */
	if (kn_engine_arm(loop->engine, deadline) < 0 || has_work(loop) ||
	    !kn_inbox_sleep(&loop->inbox)) {
		loop->wakes_owed++;
		kn_loop_wake(loop);
	} else {
		loop->parked = true;
	}
}

static int make_host_fd(struct knit_loop *loop)
{
	struct epoll_event level = {.events = EPOLLIN}, edge = {.events = EPOLLIN | EPOLLET};
	int engine = kn_engine_fd(loop->engine), fd, r = 0;

	if (engine < 0)
		return engine;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, engine, &level) < 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, loop->wake_fd, &edge) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	loop->host_fd = fd;
	return 0;
}

int knit_loop_fd(knit_loop *loop)
{
	int r = kn_loop_bind(loop);

	if (r == 0 && loop->host_fd < 0) {
		r = make_host_fd(loop);
		if (r == 0 && !loop->running)
			kn_loop_park(loop);
	}
	return r < 0 ? r : loop->host_fd;
}

int knit_loop_run_once(knit_loop *loop, int64_t timeout)
{
	int64_t until = INT64_MIN;
	int r = kn_loop_begin_run(loop);

	if (r < 0)
		return r;
	if (timeout > 0)
		until = kn_loop_deadline(loop, timeout);
	r = kn_loop_poll(loop, until);
	if (r == 0) {
		kn_loop_run_batch(loop);
		if (kn_loop_check(loop) < 0)
			return -KNIT_EWRONGTHREAD; /* a forked child: see kn_loop_run() */
		loop->stopping = false;
		if (loop->host_fd < 0)
			r = kn_engine_enter(loop->engine, false, KNIT_FOREVER);
	}
	kn_loop_end_run(loop);
	return r < 0 ? r : has_work(loop);
}
