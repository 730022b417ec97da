/* SPDX-License-Identifier: MIT */
/* await.c - where a task waits: for a future, for a time, for the next pass.
 *
 * The rules of a wait: it is announced in task->wait; whoever ends it calls kn_task_wake()
 * once, which clears that; the step that resumes the task is in the ready list from then on, and
 * a cancellation that comes now is delivered instead of what the wait brought (but for
 * operations of the kernel, see lib/io). */
#include "task/task.h"
#include <stdio.h>

/* ---- parking ------------------------------------------------------------------------- */

KN_HOT void kn_task_wake(struct kn_task *task, intptr_t outcome, struct kn_message *message)
{
	if (kn_unlikely(kn_future_is_done(&task->future))) {
		kn_message_unref(message);
		return;
	}
	/* It does not run, so nobody asks about its last failure any more. */
	if (kn_unlikely(knit_is_error(outcome))) {
		kn_message_unref(task->current.record);
		task->current.record = message;
	}
	kn_task_wake_with(task, outcome);
}

int kn_task_take_cancel(struct kn_task *task)
{
	task->must_cancel = false;
	kn_task_delivered(task);
	kn_message_record(task->cancel_message);
	task->cancel_message = NULL;
	return -KNIT_ECANCELLED;
}

KN_HOT intptr_t kn_task_park(struct kn_task *task, struct kn_wait *wait)
{
	return kn_task_park_here(task, wait);
}

KN_HOT intptr_t kn_task_suspend(struct kn_task *task, struct kn_wait *wait)
{
	return kn_task_suspend_here(task, wait);
}

/* A loop that is being closed refuses every suspension, so that tasks unwind. One that goes on
 * asking will never return: it is left where it is. */
int kn_task_refuse(struct kn_task *task)
{
	if (task->refused++ == KN_REFUSALS_MAX) {
		task->wait = NULL;
		kn_fiber_switch(&task->fiber, &task->future.loop->fiber);
		kn_panic("a task that was given up has been resumed");
	}
	return -KNIT_ECLOSED;
}

/* ---- for a future -------------------------------------------------------------------- */

void kn_task_awaited_is_done(struct kn_waiter *waiter, knit_future *future)
{
	struct kn_task *task = kn_container_of(waiter, struct kn_task, place.waiter);

	if (kn_unlikely(future->state == KN_CANCELLED))
		kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(future->message));
	else
		kn_task_wake_with(task, 0);
}

/* Only at the start of a wait: knit_task_cancel() follows what the task awaits by itself. */
static bool await_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	return kn_future_request_cancel(task->place.awaited, message);
}

struct kn_wait kn_awaiting = {.cancel = await_cancel, .aside = true};

/* 0 once @future is done, or why the outcome is not for the caller. */
int kn_task_await(struct kn_task *task, knit_future *future)
{
	task->place.waiter.notify = kn_task_awaited_is_done;
	kn_list_add_tail(&future->waiters, &task->place.waiter.link);
	task->place.awaited = future;
	return (int)kn_task_suspend_here(task, &kn_awaiting);
}

intptr_t knit_await(knit_future *future)
{
	struct kn_task *task;
	intptr_t outcome;
	int error = 0;

	if (kn_unlikely(!future))
		return kn_fail(kn_self.create_error ? -kn_self.create_error : -EINVAL);
	if (kn_unlikely(kn_future_check(future) < 0))
		return -KNIT_EWRONGTHREAD;
	if (kn_unlikely(!kn_self.task))
		error = kn_fail(-KNIT_ENOTASK);
	else if (kn_unlikely(future->loop != kn_self.loop))
		error = kn_fail(-KNIT_EWRONGTHREAD);
	else if (kn_unlikely(future == kn_self.task))
		error = kn_fail(-EDEADLK);
	else if (!kn_future_is_done(future)) {
		task = kn_task_current(&error);
		if (task)
			error = kn_task_await(task, future);
	}
	outcome = error < 0 ? error : kn_future_retrieve(future);
	kn_future_release(future);
	return outcome;
}

/* ---- for a time ---------------------------------------------------------------------- */

/* The timer is a callback of its own, as in asyncio: the sleeper goes on one pass later. */
static void sleep_over(struct kn_ready *ready)
{
	kn_task_wake_with(kn_container_of(ready, struct kn_task, place.sleep.ready), 0);
}

static bool sleep_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	kn_timer_stop(task->future.loop, &task->place.sleep);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

static struct kn_wait sleeping = {.cancel = sleep_cancel, .aside = true};

int knit_sleep_until(int64_t when)
{
	int error = 0;
	struct kn_task *task = kn_task_current(&error);

	if (kn_unlikely(!task))
		return error;
	task->place.sleep.ready.run = sleep_over;
	error = kn_timer_start(task->future.loop, &task->place.sleep, when);
	if (kn_unlikely(error < 0)) {
		task->place.ready.run = kn_task_step;
		return error;
	}
	return (int)kn_task_suspend(task, &sleeping);
}

/* A delay in seconds or milliseconds looks like this. */
static KN_COLD void report_short_sleep(struct knit_loop *loop, int64_t delay)
{
	char message[128];
	knit_exception_context context = {.message = message, .future = kn_self.task};

	if (loop->told_short_sleep)
		return;
	loop->told_short_sleep = true;
	snprintf(message, sizeof(message),
	         "knit_sleep() for %lld ns: delays are in nanoseconds (KNIT_MS, KNIT_S)",
	         (long long)delay);
	if (kn_self.task)
		context.name = knit_task_get_name(kn_self.task);
	kn_loop_report(loop, &context);
}

static int sleep_for(int64_t delay)
{
	struct knit_loop *loop = kn_self.loop;

	if (kn_unlikely(!loop))
		return -KNIT_ENOTASK;
	if (kn_unlikely(loop->debug) && delay < KNIT_US)
		report_short_sleep(loop, delay);
	return knit_sleep_until(kn_loop_deadline(loop, delay));
}

int knit_sleep(int64_t delay)
{
	int error = 0;
	struct kn_task *task;

	if (delay > 0)
		return sleep_for(delay);
	task = kn_task_current(&error);
	if (kn_unlikely(!task))
		return error;
	task->wake_outcome = kn_unlikely(task->interrupted) ? -KNIT_ECANCELLED : 0;
	kn_loop_ready(task->future.loop, &task->place.ready);
	return (int)kn_task_suspend_here(task, NULL);
}
