/* SPDX-License-Identifier: MIT */
/* run.c - running a loop until something is done. */
#include "task/runner.h"

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

int kn_run_until(struct knit_loop *loop, knit_future *future)
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
	intptr_t outcome = kn_run_until(loop, future);

	*ret_done = outcome == 0;
	if (*ret_done) {
		outcome = kn_future_retrieve(future);
		kn_future_release(future);
	}
	return outcome;
}

void kn_run_end(struct knit_loop *loop)
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
	kn_run_end(loop);
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
	kn_run_end(loop);
	return outcome;
}
