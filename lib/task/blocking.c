/* SPDX-License-Identifier: MIT */
/* blocking.c - functions that block, called from tasks: knit_run_in_executor(), knit_to_thread().
 *
 * The first gives a future, and the call is a block of its own: cancelling the future takes
 * effect at once, and leaves the call to find, when its answer comes, that nobody wants the
 * value. The second is a record in the caller's frame, and does not return before the
 * function has: a request to cancel ends it only while the function has not begun. So what it
 * hands to the other thread may live on its stack, as with the operations of lib/io.
 *
 * An answer is a post that is embedded in either: it cannot fail for want of memory. Where a loop
 * has been closed before it came, the first kind ends in the executor's thread, and the second is a
 * task that was given up, whose stack is kept for good. */
#include "task/task.h"
#include "base/alloc.h"
#include "base/options.h"
#include "loop/executor.h"
#include "task/blocking.h"

static void shutdowns_wake(struct knit_loop *loop);

static void end_job(struct kn_job *job)
{
	struct knit_loop *loop = job->loop;

	kn_job_end(job);
	if (loop->default_jobs == 0)
		shutdowns_wake(loop);
}

/* ---- with a future ------------------------------------------------------------------- */

struct call {
	struct kn_job job;
	struct kn_waiter waiter; /* while the future is pending */
	struct kn_list link;     /* loop->calls */
	knit_future *future;     /* counted; NULL: the loop was closed */
	void (*arg_free)(void *arg);
	void (*result_free)(intptr_t outcome);
};

/* The value that nobody wants, the argument, and the call itself. */
static void call_free(struct call *call, bool unwanted)
{
	struct kn_job *job = &call->job;

	if (unwanted) {
		kn_message_unref(job->message);
		if (call->result_free && !knit_is_error(job->outcome))
			call->result_free(job->outcome);
	}
	if (call->arg_free)
		call->arg_free(job->arg);
	kn_free(call);
}

/* The function has returned, or will never run. */
static void call_back(struct kn_ready *ready)
{
	struct call *call = kn_container_of(ready, struct call, job.back.ready);
	knit_future *future = call->future;
	bool wanted = future && !kn_future_is_done(future);

	end_job(&call->job);
	kn_list_del(&call->link);
	kn_list_del(&call->waiter.link);
	if (wanted)
		kn_future_complete(future, call->job.outcome, call->job.message);
	if (future)
		kn_future_release(future);
	call_free(call, !wanted);
}

static void call_orphaned(struct kn_job *job)
{
	call_free(kn_container_of(job, struct call, job), true);
}

/* The future is done first: it was cancelled, or completed by hand. */
static void call_unwanted(struct kn_waiter *waiter, knit_future *future)
{
	struct call *call = kn_container_of(waiter, struct call, waiter);

	if (kn_job_withdraw(&call->job))
		kn_loop_ready(future->loop, &call->job.back.ready);
}

void kn_calls_close(struct knit_loop *loop)
{
	kn_list_for_each_safe (node, &loop->calls) {
		struct call *call = kn_list_entry(node, struct call, link);

		if (!kn_future_is_done(call->future))
			kn_future_complete(call->future, -KNIT_ECANCELLED, NULL);
		kn_list_del(&call->link);
		kn_future_release(call->future);
		call->future = NULL;
	}
}

static int call_new(knit_loop *loop, knit_executor *executor, knit_function *function,
                    const knit_call_options *options, knit_future **ret)
{
	struct call *call = kn_calloc(1, sizeof(*call));
	knit_future *future = call ? kn_future_new(loop) : NULL;
	int r = -ENOMEM;

	if (future) {
		call->job.back.ready.run = call_back;
		call->job.orphaned = call_orphaned;
		call->job.function = function;
		call->job.arg = options->arg;
		call->arg_free = options->arg_free;
		call->result_free = future->result_free = options->result_free;
		call->waiter.notify = call_unwanted;
		kn_list_init(&call->waiter.link);
		kn_list_init(&call->link);
		call->future = future;
		r = kn_job_submit(loop, executor, &call->job);
	}
	if (r < 0) {
		if (future)
			kn_future_release(future);
		kn_free(call);
		return r;
	}
	future->refs++;
	kn_list_add_tail(&future->waiters, &call->waiter.link);
	kn_list_add_tail(&loop->calls, &call->link);
	*ret = future;
	return 0;
}

knit_future *knit_run_in_executor_with(knit_executor *executor, knit_function *function,
                                       const knit_call_options *given)
{
	knit_call_options options;
	knit_future *future = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0 && !function)
		r = -EINVAL;
	if (r == 0)
		r = kn_self.loop ? kn_loop_usable(kn_self.loop) : -KNIT_ENOLOOP;
	if (r == 0)
		r = call_new(kn_self.loop, executor, function, &options, &future);
	if (r < 0)
		kn_self.create_error = -r;
	return future;
}

knit_future *(knit_run_in_executor)(knit_executor *executor, knit_function *function, void *arg)
{
	return knit_run_in_executor(executor, function, arg);
}

/* ---- in the caller's frame ----------------------------------------------------------- */

struct detour {
	struct kn_wait wait;
	struct kn_job job;
	struct kn_task *task; /* borrowed: whose frame it is */
};

static void detour_back(struct kn_ready *ready)
{
	struct detour *detour = kn_container_of(ready, struct detour, job.back.ready);

	end_job(&detour->job);
	kn_task_wake(detour->task, 0, NULL);
}

/* The frame is that of a task that was given up. */
static void detour_orphaned(struct kn_job *job)
{
	kn_message_unref(job->message);
}

static bool detour_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	struct detour *detour = kn_container_of(wait, struct detour, wait);

	if (!kn_job_withdraw(&detour->job))
		return false; /* it runs, or has returned */
	kn_vars_release(detour->job.vars);
	end_job(&detour->job);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

intptr_t knit_to_thread_with(knit_function *function, const knit_to_thread_options *given)
{
	knit_to_thread_options options;
	int r = kn_options_copy(&options, sizeof(options), given);
	struct kn_task *task = r < 0 ? NULL : kn_task_current(&r);
	struct detour detour = {.wait.cancel = detour_cancel, .task = task};

	if (!task)
		return kn_fail(r);
	if (!function)
		return kn_fail(-EINVAL);
	/* A request from before: told as a sleep tells it, and nothing is begun. */
	if (kn_unlikely(kn_task_is_cancelled(task)))
		return knit_sleep(0);
	detour.job.back.ready.run = detour_back;
	detour.job.orphaned = detour_orphaned;
	detour.job.function = function;
	detour.job.arg = options.arg;
	detour.job.vars = kn_vars_capture();
	r = kn_job_submit(task->future.loop, options.executor, &detour.job);
	if (r < 0) {
		kn_vars_release(detour.job.vars);
		return kn_fail(r);
	}
	r = (int)kn_task_park(task, &detour.wait);
	if (r == -KNIT_ECANCELLED) {
		task->must_cancel = false;
		kn_task_delivered(task);
		return r;
	}
	if (knit_is_error(detour.job.outcome))
		kn_message_record(detour.job.message);
	return detour.job.outcome;
}

intptr_t(knit_to_thread)(knit_function *function, void *arg)
{
	return knit_to_thread(function, arg);
}

/* ---- the end of the default executor ------------------------------------------------- */

struct shutdown {
	struct kn_wait wait;
	struct kn_timer timer;
	struct kn_list link; /* loop->shutdowns */
	struct kn_task *task;
};

static void shutdown_wake(struct shutdown *shutdown, int outcome, struct kn_message *message)
{
	kn_list_del(&shutdown->link);
	kn_timer_stop(shutdown->task->future.loop, &shutdown->timer);
	kn_task_wake(shutdown->task, outcome, message);
}

static void shutdown_late(struct kn_ready *ready)
{
	shutdown_wake(kn_container_of(ready, struct shutdown, timer.ready), -ETIMEDOUT, NULL);
}

static bool shutdown_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)task;
	shutdown_wake(kn_container_of(wait, struct shutdown, wait), -KNIT_ECANCELLED,
	              kn_message_ref(message));
	return true;
}

static void shutdowns_wake(struct knit_loop *loop)
{
	kn_list_for_each_safe (node, &loop->shutdowns)
		shutdown_wake(kn_list_entry(node, struct shutdown, link), 0, NULL);
}

static int wait_for_calls(struct kn_task *task, int64_t timeout)
{
	struct knit_loop *loop = task->future.loop;
	struct shutdown shutdown = {
	        .wait.cancel = shutdown_cancel,
	        .timer.ready.run = shutdown_late,
	        .timer.id = KN_HEAP_NONE,
	        .task = task,
	};
	int r = 0;

	if (timeout <= 0)
		return -ETIMEDOUT;
	kn_list_init(&shutdown.timer.ready.link);
	if (timeout != KNIT_FOREVER)
		r = kn_timer_start(loop, &shutdown.timer, kn_loop_deadline(loop, timeout));
	if (r < 0)
		return r;
	kn_list_add_tail(&loop->shutdowns, &shutdown.link);
	return (int)kn_task_suspend(task, &shutdown.wait);
}

int knit_loop_shutdown_default_executor(int64_t timeout)
{
	int r = 0;
	struct kn_task *task = kn_task_current(&r);
	struct knit_loop *loop;

	if (!task)
		return kn_fail(r);
	loop = task->future.loop;
	loop->executor_shut = true;
	if (loop->default_jobs > 0)
		r = wait_for_calls(task, timeout);
	if (r == 0 || r == -ETIMEDOUT)
		kn_executor_drop_default(loop);
	return r;
}
