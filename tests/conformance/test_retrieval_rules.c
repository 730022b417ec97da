/* SPDX-License-Identifier: MIT */
/* test_retrieval_rules.c - rules 48 to 54, 72, 73: failures that nobody sees, and futures where
 * they do not belong. */
#include "common.h"
#include <string.h>

/* Of this file, which a report names. */
static intptr_t fail_here(void *text)
{
	return knit_raise(EINVAL, "%s", (const char *)text);
}

/* Ways to see the failure of a future that has failed. */
static void by_result(knit_future *future)
{
	cr_assert_eq(knit_future_result(future), -EINVAL);
}

static void by_exception(knit_future *future)
{
	cr_assert_eq(knit_future_exception(future, NULL), EINVAL);
}

static void by_await(knit_future *future)
{
	cr_assert_eq(knit_await(knit_future_ref(future)), -EINVAL);
}

static void by_cancel(knit_future *future)
{
	cr_assert_not(knit_future_cancel(future, NULL));
}

static void by_a_task(knit_future *future)
{
	cr_assert_eq(knit_await(knit_create_task(await_future, future)), -EINVAL);
}

static void not_at_all(knit_future *future)
{
	cr_assert(knit_future_done(future));
	cr_assert_not(knit_future_cancelled(future));
}

static void (*const ways[])(knit_future *) = {by_result, by_exception, by_await,
                                              by_cancel, by_a_task,    not_at_all};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static knit_future *failed_future(void)
{
	knit_future *future = knit_future_new();

	cr_assert_eq(knit_future_set_exception(future, EINVAL, "lost"), 0);
	return future;
}

CORO(unseen_futures)
{
	struct reports reports;

	watch_reports(&reports);
	for (size_t i = 0; i < WAYS; i++) {
		knit_future *future = failed_future();

		ways[i](future);
		cr_assert_eq(reports.count, 0, "way %zu", i);
		knit_future_ref(future);
		knit_future_unref(future);
		cr_assert_eq(reports.count, 0, "not before the last reference: way %zu", i);
		knit_future_unref(future);
		cr_assert_eq(reports.count, ways[i] == not_at_all, "way %zu", i);
	}
	cr_assert_str_eq(reports.message, "Future exception was never retrieved");
	cr_assert_str_eq(reports.error, "lost");
	cr_assert_str_eq(reports.name, "");
	cr_assert_eq(reports.code, EINVAL);
	return 0;
}

Test(rules, r048_a_failure_that_nobody_saw_is_reported_once_with_the_last_reference)
{
	run(unseen_futures);
}

CORO(silent_ones)
{
	knit_future *pending = knit_future_new(), *value = knit_future_new();
	knit_future *cancelled = knit_future_new();
	struct reports reports;

	watch_reports(&reports);
	cr_assert_eq(knit_future_set_result(value, 1), 0);
	cr_assert(knit_future_cancel(cancelled, "never mind"));
	knit_future_unref(pending);
	knit_future_unref(value);
	knit_future_unref(cancelled);
	cr_assert_eq(knit_spawn(return_arg, (void *)1), 0);
	cr_assert_eq(knit_spawn(return_arg, (void *)-KNIT_ECANCELLED), 0);
	ticks(2);
	cr_assert_eq(reports.count, 0);
	return 0;
}

Test(rules, r049_values_and_pending_futures_that_nobody_saw_are_silent)
{
	run(silent_ones);
}

CORO(cancel_after_failure)
{
	struct reports reports;
	knit_task *task;

	watch_reports(&reports);
	task = knit_create_task(fail_here, (void *)"late");
	ticks(1);
	cr_assert_not(knit_task_cancel(task, NULL));
	knit_task_unref(task);
	cr_assert_eq(reports.count, 0);
	return 0;
}

Test(rules, r050_cancelling_what_has_failed_says_no_and_marks_it_as_seen)
{
	run(cancel_after_failure);
}

Test(rules, r051_a_future_needs_a_running_loop)
{
	cr_assert_null(knit_future_new());
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
	cr_assert_null(knit_create_task(return_arg, NULL));
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
	cr_assert_eq(knit_spawn(return_arg, NULL), -KNIT_ENOLOOP);
	cr_assert_eq(knit_handle_error(knit_loop_call_soon(NULL, log_text, NULL)), -KNIT_ENOLOOP);
	cr_assert_eq(knit_loop_time(NULL), -KNIT_ENOLOOP);
}

/* ---- another loop's ---------------------------------------------------------------- */

CORO(make_done_future)
{
	knit_future *future = knit_future_new();

	cr_assert_eq(knit_future_set_result(future, 1), 0);
	return (intptr_t)future;
}

CORO(make_future)
{
	return (intptr_t)knit_future_new();
}

static intptr_t await_foreign(void *arg)
{
	knit_future **futures = arg;

	cr_assert_eq(knit_await(knit_future_ref(futures[0])), -KNIT_EWRONGTHREAD);
	cr_assert_eq(knit_await(knit_future_ref(futures[1])), -KNIT_EWRONGTHREAD);
	ticks(1); /* the task is none the worse for it */
	return 3;
}

Test(rules, r052_awaiting_a_future_of_another_loop_fails_inside_the_task)
{
	knit_loop *loop = loop_new(), *other = loop_new();
	knit_future *futures[] = {
	        knit_pointer(knit_loop_run_until_complete(other, make_future, NULL)),
	        knit_pointer(knit_loop_run_until_complete(other, make_done_future, NULL))};

	cr_assert_eq(knit_loop_run_until_complete(loop, await_foreign, futures), 3);
	cr_assert_not(knit_future_done(futures[0]));
	knit_future_unref(futures[0]);
	knit_future_unref(futures[1]);
	knit_loop_unref(loop);
	knit_loop_unref(other);
}

/* ---- wrapped futures --------------------------------------------------------------- */

static void complete_concurrent(void *future)
{
	cr_expect_eq(knit_concurrent_future_set_result(future, 6), 0);
}

static void fail_concurrent(void *future)
{
	cr_expect_eq(knit_concurrent_future_set_exception(future, EINVAL, "remote"), 0);
}

CORO(wrapped)
{
	knit_concurrent_future *source = knit_concurrent_future_new();
	knit_future *wrapped = knit_wrap_future(source);

	/* Completion is copied, ... */
	on_another_thread(complete_concurrent, source);
	cr_assert_eq(knit_await(wrapped), 6);
	cr_assert_eq(knit_await(knit_wrap_future(source)), 6, "of a done one too");
	knit_concurrent_future_unref(source);
	source = knit_concurrent_future_new();
	wrapped = knit_wrap_future(source);
	on_another_thread(fail_concurrent, source);
	cr_assert_eq(knit_await(wrapped), -EINVAL);
	cr_assert_str_eq(knit_error_message(-EINVAL), "remote");
	knit_concurrent_future_unref(source);

	/* ... and cancellation goes the other way. */
	source = knit_concurrent_future_new();
	wrapped = knit_wrap_future(source);
	cr_assert(knit_future_cancel(wrapped, NULL));
	cr_assert(knit_concurrent_future_done(source));
	cr_assert_eq(knit_concurrent_future_result(source, 0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(wrapped), -KNIT_ECANCELLED);
	knit_concurrent_future_unref(source);
	return 0;
}

static knit_future *abandoned;

static intptr_t wrap_and_leave(void *source)
{
	abandoned = knit_wrap_future(source);
	return 0;
}

/* Differs: a future whose loop is closed first ends cancelled; nothing is dropped silently */
Test(rules, r053_a_wrapped_future_follows_and_its_cancellation_leads)
{
	knit_concurrent_future *source = knit_concurrent_future_new();
	knit_loop *loop = loop_new();

	run(wrapped);
	cr_assert_eq(knit_loop_run_until_complete(loop, wrap_and_leave, source), 0);
	cr_assert_not(knit_future_done(abandoned));
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_future_cancelled(abandoned));
	complete_concurrent(source); /* nobody is told any more */
	knit_future_unref(abandoned);
	knit_concurrent_future_unref(source);
	knit_loop_unref(loop);
}

CORO(completers)
{
	knit_concurrent_future *source = knit_concurrent_future_new();
	knit_future *wrapped = knit_wrap_future(source);
	knit_task *sleeper = knit_create_task(sleep_arg, (void *)(intptr_t)KNIT_MS);

	/* The completion is on its way when the future is cancelled. */
	complete_concurrent(source);
	cr_assert(knit_future_cancel(wrapped, "first"));
	ticks(2);
	cr_assert(knit_future_cancelled(wrapped));
	cr_assert_eq(knit_concurrent_future_result(source, 0), 6);
	cr_assert_eq(knit_await(wrapped), -KNIT_ECANCELLED);
	knit_concurrent_future_unref(source);
	/* The same for a sleeper's timer. */
	ticks(1);
	cr_assert(knit_task_cancel(sleeper, NULL));
	cr_assert_eq(knit_sleep(2 * KNIT_MS), 0);
	cr_assert_eq(knit_await(sleeper), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r054_what_completes_a_future_from_inside_leaves_a_cancelled_one_alone)
{
	run(completers);
}

/* ---- tasks ------------------------------------------------------------------------- */

CORO(unseen_tasks)
{
	struct reports reports;
	knit_task *task;

	watch_reports(&reports);
	for (size_t i = 0; i < WAYS; i++) {
		task = knit_create_task(fail_here, (void *)"dropped", .name = "culprit");
		ticks(1);
		cr_assert(knit_task_done(task));
		ways[i](task);
		cr_assert_eq(reports.count, 0);
		knit_task_unref(task);
		cr_assert_eq(reports.count, ways[i] == not_at_all, "way %zu", i);
	}
	cr_assert_str_eq(reports.message, "Task exception was never retrieved");
	cr_assert_str_eq(reports.error, "dropped");
	cr_assert_str_eq(reports.name, "culprit");
	cr_assert_not_null(strstr(reports.file, "test_retrieval_rules.c"));
	/* A reference that was dropped before the end is as good as none. */
	task = knit_create_task(fail_here, (void *)"unowned");
	knit_task_unref(task);
	cr_assert_eq(reports.count, 1);
	ticks(1);
	cr_assert_eq(reports.count, 2);
	cr_assert_str_eq(reports.error, "unowned");
	return 0;
}

static knit_task *forgotten;

CORO(forget_a_task)
{
	forgotten = knit_create_task(fail_here, (void *)"forgotten");
	ticks(1);
	return 0;
}

/* Differs: also while somebody holds the task, when its loop is closed */
Test(rules, r072_a_task_whose_failure_nobody_saw_is_reported_like_a_future)
{
	knit_loop *loop = loop_new();
	struct reports reports = {0};

	run(unseen_tasks);
	cr_assert_eq(knit_loop_set_exception_handler(loop, record_report, &reports), 0);
	cr_assert_eq(knit_loop_run_until_complete(loop, forget_a_task, NULL), 0);
	cr_assert_eq(reports.count, 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(reports.count, 1);
	cr_assert_str_eq(reports.error, "forgotten");
	knit_task_unref(forgotten);
	cr_assert_eq(reports.count, 1, "once");
	knit_loop_unref(loop);
}

CORO(leave_a_task)
{
	cr_assert_eq(knit_spawn(sleep_forever, NULL, .name = "left"), 0);
	ticks(1);
	return 0;
}

/* Differs: reported when the loop is closed, which is what ends a pending task */
Test(rules, r073_a_task_that_is_pending_when_its_loop_is_closed_is_reported)
{
	knit_loop *loop = loop_new();
	struct reports reports = {0};
	knit_task *task;

	cr_assert_eq(knit_loop_set_exception_handler(loop, record_report, &reports), 0);
	cr_assert_eq(knit_loop_run_until_complete(loop, leave_a_task, NULL), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(reports.count, 1);
	cr_assert_str_eq(reports.message, "Task was destroyed but it is pending!");
	cr_assert_str_eq(reports.name, "left");
	knit_loop_unref(loop);

	/* One that had not started, in a loop that never ran, too. */
	loop = loop_new();
	reports = (struct reports){0};
	cr_assert_eq(knit_loop_set_exception_handler(loop, record_report, &reports), 0);
	task = knit_loop_create_task(loop, return_arg, NULL, .name = "unborn",
	                             .arg_free = count_arg);
	cr_assert_not_null(task);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(reports.count, 1);
	cr_assert_str_eq(reports.name, "unborn");
	cr_assert_eq(args_freed, 1);
	cr_assert(knit_task_cancelled(task));
	knit_task_unref(task);
	knit_loop_unref(loop);
}
