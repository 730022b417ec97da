/* SPDX-License-Identifier: MIT */
/* timer.c - the loop's clock and its deadlines.
 *
 * knit_loop_time() is read at most once a pass. A relative delay must not count from there:
 * after a callback that blocked for a second, sleep(50 ms) would return at once. So a delay
 * costs a read of the clock (about 20 ns), and never ends early. */
#include "loop/loop.h"
#include <errno.h>
#include <time.h>

int64_t kn_loop_now_fresh(struct knit_loop *loop)
{
	struct timespec t;

	if (loop->clock == KNIT_CLOCK_MONOTONIC) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		loop->now = (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
		loop->now_valid = true;
	}
	return loop->now;
}

int64_t kn_loop_now(struct knit_loop *loop)
{
	return kn_likely(loop->now_valid) ? loop->now : kn_loop_now_fresh(loop);
}

int64_t kn_loop_deadline(struct knit_loop *loop, int64_t delay)
{
	int64_t when;

	if (delay == KNIT_FOREVER)
		return KNIT_FOREVER;
	if (__builtin_add_overflow(kn_loop_now_fresh(loop), delay, &when))
		return delay < 0 ? INT64_MIN : KNIT_FOREVER;
	return when;
}

int64_t knit_loop_time(const knit_loop *loop)
{
	if (!loop)
		loop = kn_self.loop;
	if (!loop)
		return -KNIT_ENOLOOP;
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD;
	return kn_loop_now((struct knit_loop *)loop);
}

int kn_timer_start(struct knit_loop *loop, struct kn_timer *timer, int64_t when)
{
	kn_wheel_turn(&loop->timers, loop->now);
	if (kn_unlikely(kn_wheel_start(&loop->timers, timer, when) < 0))
		return -ENOMEM;
	/* Between the passes of a hosted loop nobody else would tell the host of it. */
	if (kn_unlikely(loop->parked))
		kn_loop_unpark(loop);
	return 0;
}

void kn_timer_stop(struct knit_loop *loop, struct kn_timer *timer)
{
	if (timer->id != KN_HEAP_NONE)
		kn_wheel_stop(&loop->timers, timer);
	else
		kn_list_del(&timer->ready.link);
}
