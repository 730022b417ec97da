/* SPDX-License-Identifier: MIT */
/* host.c - a loop as the guest of another main loop: one pass at a time, and a descriptor that
 * tells when the next is due.
 *
 * Between its passes a hosted loop is "parked": it has announced in its inbox that it sleeps,
 * handed the engine everything, and armed the next deadline, so that whatever happens makes the
 * engine's descriptor readable. What the host's own code makes ready in the meantime unparks it
 * by a write to the eventfd. */
#include "loop/loop.h"
#include <errno.h>
#include "loop/post.h"

/* Wakes the host: there is something to do that the engine does not know of. */
void kn_loop_unpark(struct knit_loop *loop)
{
	loop->parked = false;
	if (kn_inbox_awake(&loop->inbox)) {
		loop->wakes_owed++;
		return;
	}
	loop->wakes_owed++;
	kn_loop_wake(loop);
}

static bool has_work(const struct knit_loop *loop)
{
	return !kn_list_empty(&loop->ready) || loop->posts || loop->stopping ||
	       kn_engine_ready(loop->engine) || kn_inbox_pending(&loop->inbox) ||
	       atomic_load_explicit(&loop->signals_pending, memory_order_relaxed);
}

static int park(struct knit_loop *loop)
{
	int64_t deadline = kn_heap_next(&loop->timers);
	int r;

	if (loop->clock != KNIT_CLOCK_MONOTONIC && deadline != KNIT_FOREVER)
		deadline = 0; /* virtual time does not pass by itself: a pass is due at once */
	r = kn_engine_arm(loop->engine, deadline);
	if (r < 0)
		return r;
	if (has_work(loop) || !kn_inbox_sleep(&loop->inbox)) {
		loop->wakes_owed++;
		kn_loop_wake(loop);
	} else {
		loop->parked = true;
	}
	return 0;
}

int knit_loop_fd(knit_loop *loop)
{
	int r;

	if (loop->phase != KN_OPEN)
		return -KNIT_ECLOSED;
	r = kn_loop_bind(loop);
	if (r == 0 && !loop->hosted) {
		loop->hosted = true;
		if (!loop->running)
			r = park(loop);
	}
	return r < 0 ? r : kn_engine_fd(loop->engine);
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
		if (loop->hosted)
			r = park(loop);
		else
			r = kn_engine_enter(loop->engine, false, KNIT_FOREVER);
	}
	kn_loop_end_run(loop);
	return r < 0 ? r : has_work(loop);
}
