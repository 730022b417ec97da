/* SPDX-License-Identifier: MIT */
/* test_ownership.c - beyond asyncio's rules, which a garbage collector makes easy: who owns
 * arguments and values, on each path that a task or a future can take. */
#include "common.h"
#include <limits.h>
#include "base/alloc.h"

/* ---- values ------------------------------------------------------------------------ */

static knit_future *owned_value(intptr_t value)
{
	knit_future *future = knit_future_new(.result_free = count_result);

	cr_assert_not_null(future);
	cr_assert_eq(knit_future_set_result(future, value), 0);
	return future;
}

/* Ways to deal with a finished future that leave the value where it is, ... */
static void leave(knit_future *future)
{
	cr_assert(knit_future_done(future));
}

static void ask_for_exception(knit_future *future)
{
	cr_assert_eq(knit_future_exception(future, NULL), 0);
}

static void cancel_too_late(knit_future *future)
{
	cr_assert_not(knit_future_cancel(future, NULL));
}

static void set_again(knit_future *future)
{
	cr_assert_eq(knit_future_set_result(future, 5), -KNIT_EINVALIDSTATE);
}

static void ignore_in_callback(knit_future *future)
{
	int count = 0;

	cr_assert_eq(knit_future_add_done_callback(future, count_done, &count), 0);
	ticks(1);
	cr_assert_eq(count, 1);
}

/* An awaiter that is cancelled after it was woken. */
static void await_cancelled(knit_future *future)
{
	knit_task *task;

	(void)future;
	future = knit_future_new(.result_free = count_result);
	task = knit_create_task(await_future, future);
	ticks(1);
	cr_assert_eq(knit_future_set_result(future, 8), 0);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_eq(results_freed, 0, "there is still a reference");
	knit_future_unref(future);
	cr_assert_eq(last_result_freed, 8);
	results_freed = 0;
}

/* ... and ways to take it. */
static void take_by_result(knit_future *future)
{
	cr_assert_eq(knit_future_result(future), 7);
}

static void take_by_await(knit_future *future)
{
	cr_assert_eq(knit_await(knit_future_ref(future)), 7);
}

static void (*const leaving[])(knit_future *) = {leave,     ask_for_exception,  cancel_too_late,
                                                 set_again, ignore_in_callback, await_cancelled};
static void (*const taking[])(knit_future *) = {take_by_result, take_by_await};

CORO(values_of_futures)
{
	for (size_t i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++) {
		knit_future *future = owned_value(7);

		results_freed = 0;
		leaving[i](future);
		cr_assert_eq(results_freed, 0, "way %zu", i);
		knit_future_unref(future);
		cr_assert_eq(results_freed, 1, "way %zu", i);
		cr_assert_eq(last_result_freed, 7, "way %zu", i);
	}
	for (size_t i = 0; i < sizeof(taking) / sizeof(taking[0]); i++) {
		knit_future *future = owned_value(7);

		results_freed = 0;
		taking[i](future);
		knit_future_unref(future);
		cr_assert_eq(results_freed, 0, "way %zu", i);
	}
	return 0;
}

Test(ownership, a_value_that_nobody_took_is_freed_once_with_the_last_reference)
{
	run(values_of_futures);
}

CORO(lose_a_failure)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(await_future, future);
	struct reports reports;

	watch_reports(&reports);
	ticks(1);
	cr_assert_eq(knit_future_set_exception(future, EIO, "lost"), 0);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_eq(reports.count, 0);
	knit_future_unref(future);
	cr_assert_eq(reports.count, 1);
	cr_assert_str_eq(reports.error, "lost");
	return 0;
}

/* asyncio counts it as retrieved, and nobody ever hears of it. */
Test(ownership, a_failure_that_its_cancelled_awaiter_did_not_get_is_reported)
{
	run(lose_a_failure);
}

CORO(no_value)
{
	knit_future *error = knit_future_new(.result_free = count_result);
	knit_future *cancelled = knit_future_new(.result_free = count_result);
	knit_future *pending = knit_future_new(.result_free = count_result);
	struct reports reports;

	watch_reports(&reports);
	cr_assert_eq(knit_future_set_result(error, -EIO), 0);
	cr_assert(knit_future_cancel(cancelled, NULL));
	knit_future_unref(error);
	knit_future_unref(cancelled);
	knit_future_unref(pending);
	cr_assert_eq(results_freed, 0);
	cr_assert_eq(reports.count, 1);
	return 0;
}

Test(ownership, what_is_no_value_is_not_freed)
{
	run(no_value);
}

CORO(values_of_tasks)
{
	knit_task *task;

	cr_assert_eq(knit_spawn(return_arg, (void *)1, .result_free = count_result), 0);
	ticks(1);
	cr_assert_eq(results_freed, 1);
	task = knit_create_task(return_arg, (void *)2, .result_free = count_result);
	knit_task_unref(task); /* before it ran */
	ticks(1);
	cr_assert_eq(results_freed, 2);
	task = knit_create_task(return_arg, (void *)3, .result_free = count_result);
	ticks(1);
	cr_assert_eq(results_freed, 2);
	knit_task_unref(task);
	cr_assert_eq(results_freed, 3);
	cr_assert_eq(last_result_freed, 3);
	cr_assert_eq(
	        knit_await(knit_create_task(return_arg, (void *)4, .result_free = count_result)),
	        4);
	cr_assert_eq(results_freed, 3);
	return 0;
}

Test(ownership, the_value_of_a_task_goes_the_same_ways)
{
	run(values_of_tasks);
}

/* ---- arguments -------------------------------------------------------------------- */

CORO(arguments)
{
	knit_task *task;

	cr_assert_eq(knit_await(knit_create_task(return_arg, (void *)4, .arg_free = count_arg)), 4);
	cr_assert_eq(args_freed, 1, "returned");
	cr_assert_eq(knit_await(knit_create_task(return_arg, (void *)-EIO, .arg_free = count_arg)),
	             -EIO);
	cr_assert_eq(args_freed, 2, "failed");
	task = knit_create_task(return_arg, NULL, .arg_free = count_arg);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_eq(args_freed, 3, "cancelled before it ran");
	task = knit_create_task(sleep_forever, NULL, .arg_free = count_arg);
	ticks(1);
	cr_assert_eq(args_freed, 3, "runs");
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(knit_task_ref(task)), -KNIT_ECANCELLED);
	cr_assert_eq(args_freed, 4, "cancelled");
	knit_task_unref(task);
	cr_assert_eq(knit_spawn(sleep_forever, NULL, .arg_free = count_arg), 0);
	return 0;
}

Test(ownership, arg_free_is_called_once_however_a_task_ends)
{
	run(arguments);
	cr_assert_eq(args_freed, 5, "left over");
}

static bool done_when_freed;
static knit_task *observed;

static void look_at_task(void *arg)
{
	(void)arg;
	done_when_freed = knit_task_done(observed);
	args_freed++;
}

CORO(argument_before_awaiter)
{
	observed = knit_create_task(return_arg, NULL, .arg_free = look_at_task);
	ticks(1);
	cr_assert_eq(args_freed, 1);
	cr_assert_not(done_when_freed, "those who wait find the argument gone");
	cr_assert_eq(knit_await(observed), 0);
	return 0;
}

Test(ownership, arg_free_comes_before_anybody_sees_the_task_done)
{
	run(argument_before_awaiter);
}

/* A malformed creation and one on a closed loop. */
CORO(refused_creation)
{
	knit_task_options short_options = {.size = 1, .arg = &args_freed, .arg_free = count_arg};

	cr_assert_null(knit_create_task_with(return_arg, &short_options));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_null(knit_create_task_with(return_arg, NULL));
	cr_assert_null(knit_create_task(NULL, NULL, .arg_free = count_arg));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_eq(knit_spawn(NULL, NULL, .arg_free = count_arg), -EINVAL);
	cr_assert_eq(args_freed, 0);
	return 0;
}

Test(ownership, an_argument_stays_the_callers_when_creation_fails)
{
	run(refused_creation);
}

/* ---- references that await consumes ----------------------------------------------- */

static knit_future *victim;
static intptr_t awaited_in_callback;

CALLBACK(await_in_callback)
{
	awaited_in_callback = knit_await(knit_future_ref(victim));
}

CORO(await_in_the_wrong_place)
{
	victim = knit_future_new(.result_free = count_result);
	knit_loop_call_soon(NULL, await_in_callback, NULL);
	ticks(1);
	cr_assert_eq(awaited_in_callback, -KNIT_ENOTASK);
	cr_assert_eq(knit_future_set_result(victim, 3), 0);
	knit_loop_call_soon(NULL, await_in_callback, NULL);
	ticks(1);
	cr_assert_eq(awaited_in_callback, -KNIT_ENOTASK, "also when it is done");
	cr_assert_eq(results_freed, 0);
	knit_future_unref(victim);
	cr_assert_eq(results_freed, 1, "the references of the failed awaits are gone");
	return 0;
}

CALLBACK(suspend_in_callback)
{
	cr_assert_eq(knit_sleep(0), -KNIT_ENOTASK);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ENOTASK);
	cr_assert_eq(knit_sleep_until(0), -KNIT_ENOTASK);
	cr_assert_eq(knit_run_on(knit_get_running_loop(), return_arg, NULL), -KNIT_ENOTASK);
	trace("callback");
}

CORO(suspend_in_the_wrong_place)
{
	knit_loop_call_soon(NULL, suspend_in_callback, NULL);
	ticks(1);
	return 0;
}

Test(ownership, suspending_outside_a_task_fails_and_await_consumes_all_the_same)
{
	cr_assert_eq(knit_sleep(0), -KNIT_ENOTASK);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ENOTASK);
	cr_assert_eq(knit_await(NULL), -EINVAL);
	run(await_in_the_wrong_place);
	run(suspend_in_the_wrong_place);
	assert_trace("callback");
}

/* ---- codes ------------------------------------------------------------------------ */

CORO(codes)
{
	static const int bad[] = {0, 4096, -4096, INT_MAX, INT_MIN};
	knit_future *future = knit_future_new();
	knit_concurrent_future *concurrent = knit_concurrent_future_new();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(knit_future_set_exception(future, bad[i], NULL), -EINVAL);
		cr_assert_eq(knit_concurrent_future_set_exception(concurrent, bad[i], NULL),
		             -EINVAL);
	}
	cr_assert_not(knit_future_done(future));
	cr_assert_eq(knit_future_set_exception(future, -4095, NULL), 0);
	cr_assert_eq(knit_await(future), -4095);
	knit_concurrent_future_unref(concurrent);
	return 0;
}

Test(ownership, a_code_out_of_range_is_refused)
{
	run(codes);
}
