/* SPDX-License-Identifier: MIT */
/* runner.c - knit_run() and run_until_complete: a loop with a main task. */
#include "task/task.h"
#include <string.h>
#include "base/options.h"

/* ---- run_until_complete -------------------------------------------------------------- */

static void until_done(struct kn_ready *ready)
{
	kn_container_of(ready, struct knit_loop, until_ready)->stopping = true;
}

/* In line with the done-callbacks: the run stops when those before it have run. */
static void until_notify(struct kn_waiter *waiter, knit_future *future)
{
	(void)waiter;
	kn_loop_ready(future->loop, &future->loop->until_ready);
}

/* Runs until @future is done: 0, or a negative code if it is not. The loop is running. */
static int run_until(knit_loop *loop, knit_future *future)
{
	int r;

	loop->until.notify = until_notify;
	loop->until_ready.run = until_done;
	if (kn_future_is_done(future))
		until_notify(&loop->until, future);
	else
		kn_list_add_tail(&future->waiters, &loop->until.link);
	r = kn_loop_run(loop);
	kn_list_del(&loop->until.link);
	kn_list_del(&loop->until_ready.link);
	if (r == 0 && !kn_future_is_done(future))
		r = -KNIT_ESTOPPED;
	return r;
}

/* The outcome of @future and one reference less, but for -KNIT_ESTOPPED and the other reasons
 * why it may not be done: then they are returned, and the reference stays. */
static intptr_t run_and_retrieve(knit_loop *loop, knit_future *future, bool *ret_done)
{
	intptr_t outcome = run_until(loop, future);

	*ret_done = outcome == 0;
	if (*ret_done) {
		outcome = kn_future_retrieve(future);
		kn_future_release(future);
	}
	return outcome;
}

/* A coroutine may have forked, and this be the child: then nothing of the loop is its own. */
static void end_run(knit_loop *loop)
{
	if (kn_loop_check(loop) == 0)
		kn_loop_end_run(loop);
}

intptr_t knit_loop_run_until_complete_future(knit_loop *loop, knit_future *future)
{
	intptr_t outcome;
	bool done;
	int r;

	if (!future)
		return kn_self.create_error ? -kn_self.create_error : -EINVAL;
	if (future->loop != loop) {
		(void)kn_future_misused(future); /* does not return for a freed one */
		return -EINVAL;
	}
	r = kn_loop_begin_run(loop);
	if (r < 0)
		return r;
	outcome = run_and_retrieve(loop, future, &done);
	end_run(loop);
	return outcome;
}

intptr_t knit_loop_run_until_complete(knit_loop *loop, knit_coro *coro, void *arg)
{
	knit_task_options options = {.size = sizeof(options), .arg = arg};
	struct kn_task *task;
	intptr_t outcome;
	bool done;
	int r = kn_loop_begin_run(loop);

	if (r < 0)
		return r;
	task = kn_task_create(loop, coro, &options, 1, &r);
	outcome = r;
	if (task) {
		outcome = run_and_retrieve(loop, &task->future, &done);
		/* Stopped early: the loop has a reference of its own, and goes on with it. */
		if (!done && kn_loop_check(loop) == 0)
			kn_future_release(&task->future);
	}
	end_run(loop);
	return outcome;
}

/* ---- knit_run ------------------------------------------------------------------------ */

/* All tasks that are not done, in the order of creation, each with a reference. */
static struct kn_task *take_leftovers(knit_loop *loop)
{
	struct kn_task *first = NULL, **end = &first;

	kn_list_for_each (node, &loop->all_tasks) {
		struct kn_task *task = kn_list_entry(node, struct kn_task, link);

		task->future.refs++;
		*end = task;
		end = &task->next_leftover;
	}
	*end = NULL;
	return first;
}

/* Runs until @future is done, also if somebody calls knit_loop_stop() meanwhile. */
static int run_out(knit_loop *loop, knit_future *future)
{
	int r = 0;

	while (r == 0 && !kn_future_is_done(future)) {
		r = run_until(loop, future);
		if (r == -KNIT_ESTOPPED)
			r = 0;
	}
	return r;
}

/* Cancels what is left, runs until all of it is done, then tells of what failed. Tasks that are
 * created meanwhile are not waited for: closing the loop ends them. */
static void cancel_leftovers(knit_loop *loop)
{
	struct kn_task *first = take_leftovers(loop), *next;
	int r = 0;

	for (struct kn_task *task = first; task; task = task->next_leftover)
		(void)kn_future_request_cancel(&task->future, NULL);
	for (struct kn_task *task = first; task && r == 0; task = task->next_leftover)
		r = run_out(loop, &task->future);
	if (kn_loop_check(loop) < 0)
		return;
	for (struct kn_task *task = first; task; task = next) {
		next = task->next_leftover;
		kn_future_report(&task->future, "unhandled exception during knit_run() shutdown");
		kn_future_release(&task->future);
	}
}

static intptr_t run_main(knit_loop *loop, knit_coro *coro, void *arg)
{
	knit_task_options options = {.size = sizeof(options), .arg = arg};
	struct kn_task *task;
	intptr_t outcome;
	int r = kn_loop_begin_run(loop);

	if (r < 0)
		return r;
	task = kn_task_create(loop, coro, &options, 1, &r);
	outcome = task ? run_until(loop, &task->future) : r;
	if (kn_loop_check(loop) == 0)
		cancel_leftovers(loop);
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD; /* a forked child: nothing of the loop is its own */
	if (task && kn_future_is_done(&task->future)) {
		if (outcome == 0)
			outcome = kn_future_retrieve(&task->future);
		task->future.retrieved = true;
	}
	if (task)
		kn_future_release(&task->future);
	kn_loop_end_run(loop);
	return outcome;
}

intptr_t knit_run_with(knit_coro *main, const knit_run_options *given)
{
	knit_run_options options;
	knit_loop_options loop_options = {.size = sizeof(loop_options)};
	knit_loop *loop;
	intptr_t outcome;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0 && !main)
		r = -EINVAL;
	if (r == 0 && kn_self.loop)
		r = -KNIT_ERUNNING;
	if (r < 0)
		return r;
	loop_options.stack_size = options.stack_size;
	loop_options.sq_entries = options.sq_entries;
	loop_options.cq_entries = options.cq_entries;
	loop_options.clock = options.clock;
	loop_options.paint = options.paint;
	loop = knit_loop_new_with(&loop_options);
	if (!loop)
		return -errno;
	outcome = run_main(loop, main, options.arg);
	if (kn_loop_check(loop) < 0)
		return outcome;
	r = knit_loop_close(loop);
	knit_loop_unref(loop);
	return r < 0 && !knit_is_error(outcome) ? r : outcome;
}

intptr_t(knit_run)(knit_coro *main, void *arg)
{
	return knit_run(main, arg);
}
