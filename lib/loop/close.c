/* SPDX-License-Identifier: MIT */
/* close.c - the orderly end of a loop.
 *
 * 1. Nothing new can be made, and suspending fails at once (phase KN_CLOSING).
 * 2. Callbacks and timers are dropped; every task is cancelled.
 * 3. Passes go on until no task is left, no call to another loop or a thread is unanswered, and
 *    what they had in the kernel has come back. Posts are still taken, and run.
 * 4. The inbox is closed: from this one step on posts are refused; those before are run.
 * 5. The engine gives back what is left (armed accepts, the eventfd's poll) and is freed, and
 *    the eventfd is closed once nobody can write it any more. The threads for blocking calls
 *    are joined.
 *
 * All within a grace period. What is left then stays in memory for good, since the kernel or
 * another thread may still write there: the tasks that wait for it are given up, with -KNIT_ECLOSED
 * as their outcome, for others may wait for them. */
#include "loop/loop.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "loop/executor.h"
#include "loop/post.h"

static int64_t real_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
}

static bool has_tasks(const struct knit_loop *loop)
{
	return !kn_list_empty(&loop->all_tasks);
}

/* Done-callbacks are dropped as callbacks are; steps of tasks and posts stay. What is dropped may
 * call the exception handler, and that change the list: so it is taken apart one by one. */
static void drop_callbacks(struct knit_loop *loop)
{
	struct kn_list left, kept;

	kn_callbacks_drop(loop);
	if (!loop->drop_ready)
		return;
	kn_list_init(&left);
	kn_list_init(&kept);
	kn_list_splice_tail(&left, &loop->ready);
	while (!kn_list_empty(&left)) {
		struct kn_ready *ready = kn_list_entry(left.next, struct kn_ready, link);

		kn_list_del(&ready->link);
		kn_list_add_tail(&kept, &ready->link);
		loop->drop_ready(ready);
	}
	kn_list_splice_tail(&kept, &loop->ready);
	kn_list_splice_tail(&loop->ready, &kept);
}

/* Runs what is ready, and what that makes ready, without looking outside. */
static void run_ready(struct knit_loop *loop)
{
	while (!kn_list_empty(&loop->ready)) {
		drop_callbacks(loop);
		kn_loop_run_batch(loop);
	}
}

/* Step 3. Time is the real one here, whatever clock the loop has. */
static int let_unwind(struct knit_loop *loop, int64_t deadline)
{
	bool late = false;
	int r = 0;

	loop->clock = KNIT_CLOCK_MONOTONIC;
	while (kn_loop_check(loop) == 0 && (has_tasks(loop) || (loop->remote && !late))) {
		drop_callbacks(loop);
		kn_loop_run_batch(loop);
		loop->stopping = false; /* it would keep the next poll from waiting */
		late = late || r < 0 || real_time() >= deadline;
		if (!late && (has_tasks(loop) || loop->remote))
			r = kn_loop_poll(loop, deadline);
		else if (late && kn_list_empty(&loop->ready) && has_tasks(loop))
			loop->give_up(loop);
	}
	return late ? -EBUSY : r;
}

/* Steps 3 and 4. A loop that has never run has nothing in the kernel and needs no passes: its
 * tasks have not started. */
static int unwind_tasks(struct knit_loop *loop, int64_t deadline)
{
	int r = 0;

	if (loop->unwind)
		loop->unwind(loop);
	run_ready(loop);
	if (loop->started)
		r = let_unwind(loop, deadline);
	run_ready(loop);
	kn_posts_close(loop);
	/* The posts that the library made for itself in those that it ran just now. */
	run_ready(loop);
	return loop->abandoned ? -EBUSY : r;
}

static int release_kernel(struct knit_loop *loop, int64_t deadline)
{
	if (loop->close_owned)
		loop->close_owned(loop);
	if (loop->started && kn_engine_drain(loop->engine, deadline) > 0) {
		kn_loop_hold(loop); /* for good */
		return -EBUSY;
	}
	kn_engine_free(loop->engine);
	loop->engine = NULL;
	kn_loop_settle_wakes(loop);
	close(loop->wake_fd);
	loop->wake_fd = -1;
	if (loop->host_fd >= 0)
		close(loop->host_fd);
	loop->host_fd = -1;
	return 0;
}

/* All steps. The thread is taken for one that runs @loop meanwhile. */
static int close_now(struct knit_loop *loop)
{
	struct kn_thread before = kn_self;
	int64_t deadline = real_time() + loop->grace;
	int r, left;

	loop->phase = KN_CLOSING;
	if (loop->parked)
		(void)kn_loop_resume(loop);
	kn_self.loop = loop;
	kn_self.task = NULL;
	kn_self.message = NULL;
	kn_self.vars = NULL;
	if (!before.loop)
		kn_fiber_init_thread(&loop->fiber);
	kn_signals_close(loop);
	/* What a pass left that a callback ended with its thread. */
	kn_list_splice_tail(&loop->batch, &loop->ready);
	kn_list_splice_tail(&loop->ready, &loop->batch);
	drop_callbacks(loop);
	r = unwind_tasks(loop, deadline);
	/* A post or a task forked, and this is the child: see kn_loop_run(). */
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD;
	if (loop->close_tasks)
		loop->close_tasks(loop);
	loop->phase = KN_CLOSED;
	left = release_kernel(loop, deadline);
	kn_executor_drop_default(loop);
	kn_wheel_done(&loop->timers);
	/* Its argument may be gone from here on: what a last reference to a future still tells
	 * goes to stderr. */
	loop->exception_handler = NULL;
	loop->exception_arg = NULL;
	loop->task_factory = NULL;
	loop->has_factory = false;
	kn_self.loop = before.loop;
	kn_self.task = before.task;
	kn_self.message = before.message;
	kn_self.vars = before.vars;
	atomic_store_explicit(&loop->is_closed, true, memory_order_release);
	return r < 0 ? r : left;
}

int knit_loop_close(knit_loop *loop)
{
	struct kn_thread *owner = NULL;
	int cancelling, r;

	if (!loop)
		return -EINVAL;
	if (knit_loop_is_closed(loop))
		return 0;
	r = kn_loop_check(loop);
	/* From here on nobody can run it for the first time. */
	if (r == 0 && !atomic_load_explicit(&loop->bound, memory_order_relaxed))
		r = kn_registry_claim(loop, &owner);
	if (r < 0)
		return r;
	if (loop->running || loop->phase != KN_OPEN || (kn_self.loop && has_tasks(loop))) {
		if (owner)
			kn_registry_unclaim(loop, owner);
		return -KNIT_ERUNNING;
	}
	/* A thread that is cancelled does not leave it half closed. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelling);
	/* What is to be cancelled may be tried once more before: a write to a broken pipe. */
	kn_loop_block_sigpipe(loop);
	r = close_now(loop);
	kn_loop_unblock_sigpipe(loop);
	pthread_setcancelstate(cancelling, NULL);
	return r;
}
