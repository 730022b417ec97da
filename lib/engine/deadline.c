/* SPDX-License-Identifier: MIT */
/* deadline.c - how the deadline of a wait reaches the kernel.
 *
 * One timer in the ring, kept armed for the earliest deadline so far. A deadline that
 * moves earlier updates it. One that moves later leaves it alone: it fires once for
 * nothing, and the wait arms it anew for the deadline of that time. So a loop whose next
 * deadline stays ahead of its traffic pays nothing per wait. (A time-out passed on each
 * enter costs the kernel a timer armed and cancelled per wait: measured, see README.md.)
 *
 * Each timer armed brings exactly one completion, updated or not; timer_at is finite
 * from the arming until that completion was looked at. Times are given to the kernel as
 * spans from now, not as points in time: points are read wrongly inside time namespaces.
 * A span counts from when the kernel takes the entry, so it never ends early.
 *
 * The kernel lets a thread's sleeps last longer by its timer slack, 50 us unless prctl(2) set
 * another, so that one wake-up serves several deadlines; but not those by timers in a ring. So a
 * wait that would be shorter than the slack lasts as long as that. A loop with a thousand deadlines
 * in a millisecond sleeps 20 times in it at most.
 *
 * Where the ring has no room for the timer's entry, the wait is bounded on the enter. */
#include <sys/prctl.h>
#include <time.h>
#include "engine/uring.h"

#define SECOND 1000000000

int64_t kn_deadline_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

struct __kernel_timespec kn_deadline_span(int64_t span)
{
	return (struct __kernel_timespec){.tv_sec = span / SECOND, .tv_nsec = span % SECOND};
}

/* Tells the kernel a deadline that the timer does not cover. */
static enum kn_deadline move(struct kn_engine *engine, int64_t deadline, int64_t now)
{
	struct io_uring_sqe *sqe = kn_uring_entry(engine, NULL);

	if (!sqe)
		return KN_DEADLINE_NO_ROOM;
	engine->timer_span = kn_deadline_span(deadline - now);
	sqe->fd = -1;
	/* The enter that may have made room may also have seen the timer fire: its completion
	 * was not looked at yet, timer_at is finite still, and the update then finds nothing;
	 * that is told, and the wait starts over with a timer of its own. */
	if (engine->timer_at != INT64_MAX) {
		sqe->opcode = IORING_OP_TIMEOUT_REMOVE;
		sqe->addr = KN_TAG_TIMER;
		sqe->addr2 = (uintptr_t)&engine->timer_span;
		sqe->timeout_flags = IORING_TIMEOUT_UPDATE;
		sqe->user_data = KN_TAG_TIMER_UPDATE;
		/* A completion of its own would end the wait that it is for. */
		if (engine->features & IORING_FEAT_CQE_SKIP)
			sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	} else {
		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = (uintptr_t)&engine->timer_span;
		sqe->len = 1;
		sqe->user_data = KN_TAG_TIMER;
	}
	engine->timer_at = deadline;
	return KN_DEADLINE_SET;
}

enum kn_deadline kn_deadline_set(struct kn_engine *engine, int64_t deadline)
{
	if (engine->timer_at <= deadline)
		return KN_DEADLINE_SET;
	int64_t now = kn_deadline_now();
	if (deadline <= now)
		return KN_DEADLINE_PAST;
	if (deadline < now + engine->timer_slack) {
		deadline = now + engine->timer_slack;
		if (engine->timer_at <= deadline)
			return KN_DEADLINE_SET;
	}
	return move(engine, deadline, now);
}

void kn_deadline_bind(struct kn_engine *engine)
{
	int slack = prctl(PR_GET_TIMERSLACK);

	engine->timer_slack = slack > 0 ? slack : 0;
}

void kn_deadline_completed(struct kn_engine *engine, enum kn_tag tag)
{
	/* A failed update says that the timer's own completion has come or will. */
	if (tag == KN_TAG_TIMER)
		engine->timer_at = INT64_MAX;
}
