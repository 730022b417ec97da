/* SPDX-License-Identifier: MIT */
/* test_closing.c - the tasks of a loop that is closed: they unwind, or are given up. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "knit/task.h"
#include "task/task.h"

static knit_loop *loop;
static int reports;
static char reported[512];

static void note_report(knit_loop *in, const knit_exception_context *context, void *arg)
{
	size_t used = strlen(reported);

	(void)arg;
	cr_expect_eq(in, loop);
	reports++;
	snprintf(reported + used, sizeof(reported) - used, "%s: %s\n",
	         context->name ? context->name : "-", context->message);
}

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	reports = 0;
	reported[0] = '\0';
	cr_assert_eq(knit_loop_set_exception_handler(loop, note_report, NULL), 0);
	rig_trace_reset();
}

static void pass(void)
{
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

/* ---- unwinding ---- */

static int freed;

static void free_arg(void *arg)
{
	(void)arg;
	freed++;
}

static intptr_t sleep_and_clean_up(void *arg)
{
	int r = knit_sleep(KNIT_FOREVER);

	if (arg)
		rig_note(arg);
	return r;
}

Test(closing, each_pending_task_is_reported_cancelled_and_unwound)
{
	knit_task *tasks[3];

	setup();
	tasks[0] = knit_loop_create_task(loop, sleep_and_clean_up, TEXT("a"), .name = "first",
	                                 .arg_free = free_arg);
	tasks[1] = knit_loop_create_task(loop, sleep_and_clean_up, TEXT("b"), .name = "second",
	                                 .arg_free = free_arg);
	pass();
	tasks[2] = knit_loop_create_task(loop, sleep_and_clean_up, TEXT("c"), .name = "third",
	                                 .arg_free = free_arg);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_str_eq(rig_trace, "a b ", "the third never ran");
	cr_assert_str_eq(reported, "first: Task was destroyed but it is pending!\n"
	                           "second: Task was destroyed but it is pending!\n"
	                           "third: Task was destroyed but it is pending!\n");
	cr_assert_eq(freed, 3);
	for (int i = 0; i < 3; i++) {
		cr_assert(knit_task_cancelled(tasks[i]));
		knit_task_unref(tasks[i]);
	}
	cr_assert_eq(reports, 3);
	knit_loop_unref(loop);
}

struct attempts {
	long first, sleep, forever, until, await, done, run_on;
	bool task, future, spawn, is_closed;
	knit_future *pending, *finished;
};

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t attempt_all(void *arg)
{
	struct attempts *a = arg;

	a->first = knit_sleep(KNIT_FOREVER);
	a->sleep = knit_sleep(0);
	a->forever = knit_sleep(KNIT_FOREVER);
	a->until = knit_sleep_until(0);
	a->await = knit_await(knit_future_ref(a->pending));
	a->done = knit_await(knit_future_ref(a->finished));
	a->run_on = knit_run_on(loop, nothing, NULL);
	a->task = knit_create_task(nothing, NULL) == NULL && knit_await(NULL) == -KNIT_ECLOSED;
	a->future = knit_future_new() == NULL && knit_await(NULL) == -KNIT_ECLOSED;
	a->spawn = knit_spawn(nothing, NULL) == -KNIT_ECLOSED;
	a->is_closed = knit_loop_is_closed(loop);
	return 5;
}

static intptr_t make_futures(void *arg)
{
	struct attempts *a = arg;

	a->pending = knit_future_new();
	a->finished = knit_future_new();
	return knit_future_set_result(a->finished, 9);
}

Test(closing, a_task_that_unwinds_cannot_suspend_or_create)
{
	struct attempts a = {0};
	knit_task *task;

	setup();
	cr_assert_eq(knit_loop_run_until_complete(loop, make_futures, &a), 0);
	task = knit_loop_create_task(loop, attempt_all, &a);
	pass();
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(a.first, -KNIT_ECANCELLED);
	cr_assert_eq(a.sleep, -KNIT_ECLOSED);
	cr_assert_eq(a.forever, -KNIT_ECLOSED);
	cr_assert_eq(a.until, -KNIT_ECLOSED);
	cr_assert_eq(a.await, -KNIT_ECLOSED);
	cr_assert_eq(a.done, 9, "what is done can be awaited");
	cr_assert_eq(a.run_on, -KNIT_ECLOSED);
	cr_assert(a.task);
	cr_assert(a.future);
	cr_assert(a.spawn);
	cr_assert_not(a.is_closed);
	cr_assert_eq(knit_task_result(task), 5);
	knit_task_unref(task);
	knit_future_unref(a.pending);
	knit_future_unref(a.finished);
	knit_loop_unref(loop);
}

static void note_done(knit_future *future, void *text)
{
	(void)future;
	rig_note(text);
}

Test(closing, done_callbacks_are_dropped_as_callbacks_are)
{
	knit_task *done, *pending;

	setup();
	done = knit_loop_create_task(loop, nothing, NULL);
	pending = knit_loop_create_task(loop, sleep_and_clean_up, NULL);
	cr_assert_eq(knit_task_add_done_callback(pending, note_done, TEXT("pending")), 0);
	pass();
	cr_assert_eq(knit_task_add_done_callback(done, note_done, TEXT("done")), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_str_eq(rig_trace, "");
	cr_assert_eq(loop->done_callbacks.live, 0);
	knit_task_unref(done);
	knit_task_unref(pending);
	knit_loop_unref(loop);
}

static intptr_t await_arg(void *task)
{
	return knit_await(knit_task_ref(task));
}

Test(closing, tasks_that_await_each_other_unwind)
{
	knit_task *tasks[50];

	setup();
	tasks[0] = knit_loop_create_task(loop, sleep_and_clean_up, NULL);
	for (int i = 1; i < 50; i++)
		tasks[i] = knit_loop_create_task(loop, await_arg, tasks[i - 1]);
	pass();
	cr_assert_eq(knit_loop_close(loop), 0);
	for (int i = 0; i < 50; i++) {
		cr_assert(knit_task_cancelled(tasks[i]), "task %d", i);
		knit_task_unref(tasks[i]);
	}
	knit_loop_unref(loop);
}

/* ---- giving up ---- */

static int swallowed;

static intptr_t swallow_everything(void *arg)
{
	for (;;) {
		if (knit_sleep(KNIT_FOREVER) < 0)
			swallowed++;
		if (swallowed > 100000)
			return (intptr_t)arg; /* the test has failed */
	}
}

Test(closing, a_task_that_goes_on_suspending_is_given_up)
{
	knit_task *bad, *good;

	setup();
	bad = knit_loop_create_task(loop, swallow_everything, NULL, .name = "bad",
	                            .arg_free = free_arg);
	good = knit_loop_create_task(loop, await_arg, bad);
	pass();
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_lt(swallowed, 1000);
	cr_assert(knit_task_done(bad));
	cr_assert_eq(knit_task_result(bad), -KNIT_ECLOSED);
	cr_assert(knit_task_done(good), "who awaited it unwound");
	cr_assert_eq(freed, 1);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_task_unref(bad);
	(void)knit_task_exception(good, NULL);
	knit_task_unref(good);
	knit_loop_unref(loop);
}

static bool refuse_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	(void)task;
	(void)message;
	return false;
}

/* As an operation that the kernel does not give back. */
static intptr_t wait_for_ever(void *arg)
{
	static struct kn_wait wait = {.cancel = refuse_cancel};

	(void)arg;
	return kn_task_park(kn_task_of(kn_self.task), &wait);
}

struct waiter {
	knit_concurrent_future *future;
	intptr_t result;
};

static void *wait_for_result(void *arg)
{
	struct waiter *waiter = arg;

	waiter->result = knit_concurrent_future_result(waiter->future, KNIT_FOREVER);
	return NULL;
}

Test(closing, who_waits_for_a_task_that_does_not_end_is_told)
{
	struct waiter waiter = {.result = 1};
	knit_task *task, *awaiting;
	pthread_t thread;

	setup();
	loop->grace = 20 * KNIT_MS;
	task = knit_loop_create_task(loop, wait_for_ever, NULL, .arg_free = free_arg);
	awaiting = knit_loop_create_task(loop, await_arg, task);
	waiter.future = knit_run_coroutine_threadsafe(loop, wait_for_ever, NULL);
	pass();
	thread = rig_thread(wait_for_result, &waiter);
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
	rig_join(thread);
	cr_assert_eq(waiter.result, -KNIT_ECLOSED);
	cr_assert_eq(knit_task_result(task), -KNIT_ECLOSED);
	cr_assert_eq(knit_task_result(awaiting), -KNIT_ECLOSED, "it got the outcome, and unwound");
	cr_assert_eq(freed, 0, "the coroutine may still use it");
	knit_concurrent_future_unref(waiter.future);
	knit_task_unref(task);
	knit_task_unref(awaiting);
	knit_loop_unref(loop);
}

/* ---- posts ---- */

struct late {
	knit_concurrent_future *made, *cancelled;
	bool accepted;
};

static void make_late(void *arg)
{
	struct late *late = arg;

	late->made = knit_run_coroutine_threadsafe(loop, nothing, NULL, .arg_free = free_arg);
	late->accepted = knit_concurrent_future_cancel(late->cancelled);
}

static void *post_make_late(void *arg)
{
	struct late *late = arg;
	int r = knit_loop_call_soon_threadsafe(loop, make_late, late);

	late->cancelled = knit_run_coroutine_threadsafe(loop, nothing, NULL, .arg_free = free_arg);
	return r == 0 && late->cancelled ? arg : NULL;
}

Test(closing, a_post_that_close_runs_may_call_and_cancel)
{
	for (int ran = 0; ran < 2; ran++) {
		struct late late = {0};

		setup();
		freed = 0;
		if (ran)
			pass();
		cr_assert_not_null(rig_on_thread(post_make_late, &late));
		cr_assert_eq(knit_loop_close(loop), 0);
		cr_assert(late.accepted);
		cr_assert_eq(knit_concurrent_future_result(late.cancelled, 0), -KNIT_ECANCELLED);
		if (late.made) {
			cr_assert(knit_concurrent_future_done(late.made));
			cr_assert_eq(knit_concurrent_future_result(late.made, 0), -KNIT_ECLOSED);
		}
		cr_assert_eq(freed, late.made ? 2 : 1);
		knit_concurrent_future_unref(late.made);
		knit_concurrent_future_unref(late.cancelled);
		knit_loop_unref(loop);
	}
}
