/* SPDX-License-Identifier: MIT */
/* timer.c - the loop's clock and its deadlines.
 *
 * knit_loop_time() is read at most once a pass. A relative delay must not count from there:
 * after a callback that blocked for a second, sleep(50 ms) would return at once. So a delay counts
 * from the call, and never ends early.
 *
 * Reading the clock is half of what a timer costs. So where the processor has a counter that can be
 * trusted, it tells that a reading is less than a microsecond old, and the delay counts from two
 * microseconds after it: the one that may have passed, and one because a processor may look at its
 * counter before what the program did last. The same counter tells whether a timer may be due:
 * until half of the time to the next deadline is over, nobody looks at the clock for its sake.
 *
 * The rate of the counter is measured against the clock, never too high: the counter is read after
 * the clock at the first reading, before it at later ones, so less is counted than has passed. */
#include "loop/loop.h"
#include <errno.h>
#include <time.h>

#define MEASURE_FOR KNIT_MS
#define LATE        (2 * KNIT_US) /* that a delay may count from: see above */
#define CALM_LEAST  (8 * KNIT_US)
#define CALM_MOST   (INT64_C(1) << 40)

static KN_NOINLINE void measure(struct kn_reading *reading, int64_t now, uint64_t ticks)
{
	uint64_t rate;

	if (!reading->first_now) {
		reading->first_now = now;
		reading->first_ticks = kn_ticks();
		reading->measure_at = now + MEASURE_FOR;
		return;
	}
	rate = (uint64_t)((double)(ticks - reading->first_ticks) * (double)KNIT_US /
	                  (double)(now - reading->first_now));
	if (rate > reading->fresh_for)
		reading->fresh_for = rate;
	reading->measure_at = now + (now - reading->first_now);
}

int64_t kn_loop_now_fresh(struct knit_loop *loop)
{
	struct kn_reading *reading = &loop->reading;
	struct timespec t;

	if (kn_unlikely(loop->clock != KNIT_CLOCK_MONOTONIC))
		return loop->now;
	reading->ticks = reading->counts ? kn_ticks() : 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	loop->now = (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
	loop->now_valid = true;
	if (kn_unlikely(reading->counts && loop->now >= reading->measure_at))
		measure(reading, loop->now, reading->ticks);
	if (loop->now + LATE > reading->latest)
		reading->latest = loop->now + LATE;
	return loop->now;
}

/* Now, or a little later; never before what it was last time, so that equal delays keep order. */
static int64_t start_of_delay(struct knit_loop *loop)
{
	struct kn_reading *reading = &loop->reading;
	int64_t before = reading->latest, now;

	if (kn_likely(reading->fresh_for) &&
	    kn_likely(kn_ticks() - reading->ticks < reading->fresh_for))
		return before;
	now = kn_loop_now_fresh(loop);
	return kn_unlikely(reading->fresh_for && now < before) ? before : now;
}

void kn_loop_calm(struct knit_loop *loop)
{
	struct kn_reading *reading = &loop->reading;
	int64_t next = kn_wheel_not_before(&loop->timers);
	int64_t left;

	reading->calm_for = 0;
	if (!reading->fresh_for || !loop->now_valid || next < loop->now + CALM_LEAST)
		return;
	left = next - loop->now;
	if (left > CALM_MOST)
		left = CALM_MOST;
	/* A little less than half of it: 2048 for 2000. */
	reading->calm_from = reading->ticks;
	reading->calm_for = (uint64_t)left / 2048 * reading->fresh_for;
	reading->calm_when = next;
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
	if (__builtin_add_overflow(start_of_delay(loop), delay, &when))
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
	if (kn_unlikely(when < loop->reading.calm_when))
		loop->reading.calm_for = 0;
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
