/* SPDX-License-Identifier: MIT */
/* test_wait_rules.c - asyncio's rules of ensure_future (76), wait and wait_for: 118 to 128. */
#include "common.h"
#include "knit/timeout.h"
#include "knit/wait.h"
#include "task/task.h"

/* ---- 76 ------------------------------------------------------------------------------ */

CORO(r076)
{
	knit_loop *other = loop_new();
	knit_task *foreign = knit_loop_create_task(other, return_arg, NULL);
	knit_task *own = task_of_number(return_arg, 1);

	cr_assert_eq(knit_ensure_future(own), own);
	cr_assert_null(knit_ensure_future(foreign));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_null(knit_ensure_future(NULL));
	knit_task_unref(foreign);
	cr_assert_eq(knit_await(own), 1);
	*(knit_loop **)unused = other;
	return 0;
}

/* Differs: there is nothing but futures that could be passed; one of another loop is -EINVAL */
Test(rules, r076_ensure_future_returns_a_future_unchanged)
{
	knit_loop *other;

	cr_assert_eq(knit_run(r076, &other), 0);
	knit_loop_unref(other);
}

/* ---- 118 to 122 ---------------------------------------------------------------------- */

CORO(r118)
{
	knit_task *a = task_of_number(yield_and_return, 1), *b = task_of_number(sleep_forever, 0);
	knit_task *both[] = {a, b, a};

	cr_assert_eq(knit_wait(both, 3, KNIT_S, KNIT_ALL_COMPLETED), 1, "a time-out is no error");
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), KNIT_S);
	cr_assert(knit_task_done(a));
	cr_assert_eq(knit_task_cancelling(b), 0, "never cancels");
	cr_assert_eq(knit_wait(both, 0, 0, KNIT_ALL_COMPLETED), -EINVAL);
	knit_task_cancel(b, NULL);
	cr_assert_eq(knit_wait(both, 3, KNIT_FOREVER, KNIT_ALL_COMPLETED), 2, "not 3");
	knit_task_unref(a);
	knit_task_unref(b);
	return 0;
}

Test(rules, r118_wait_times_out_without_an_error_and_cancels_nothing)
{
	run(r118);
}

static void complete_other(knit_future *future, void *other)
{
	(void)future;
	complete_with_1(other);
}

/* The callback is registered behind that of the wait: it runs after the trigger. */
static intptr_t complete_both(void *both)
{
	knit_future **futures = both;

	cr_assert_eq(knit_future_add_done_callback(futures[0], complete_other, futures[1]), 0);
	return knit_future_set_result(futures[0], 1);
}

CORO(r119)
{
	knit_future *both[] = {knit_future_new(), knit_future_new()};

	cr_assert_eq(knit_spawn(complete_both, both), 0);
	cr_assert_eq(knit_wait(both, 2, KNIT_FOREVER, KNIT_FIRST_COMPLETED), 2);
	knit_future_unref(both[0]);
	knit_future_unref(both[1]);
	return 0;
}

Test(rules, r119_wait_counts_who_is_done_when_it_goes_on)
{
	run(r119);
}

CORO(r120)
{
	knit_future *futures[3] = {knit_future_new(), knit_future_new(), knit_future_new()};

	knit_future_cancel(futures[0], NULL);
	cr_assert_eq(knit_wait(futures, 3, KNIT_S, KNIT_FIRST_EXCEPTION), 1);
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), KNIT_S, "waited on");
	knit_future_set_exception(futures[1], EIO, NULL);
	cr_assert_eq(knit_wait(futures, 3, KNIT_S, KNIT_FIRST_EXCEPTION), 2);
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), KNIT_S, "ended at once");
	for (int i = 0; i < 3; i++) {
		(void)knit_future_exception(futures[i], NULL);
		knit_future_unref(futures[i]);
	}
	return 0;
}

Test(rules, r120_first_exception_ignores_those_that_were_cancelled)
{
	run(r120);
}

static intptr_t wait_for_all(void *task)
{
	return knit_wait((knit_task *[]){task}, 1, KNIT_FOREVER, KNIT_ALL_COMPLETED);
}

CORO(r121)
{
	knit_task *b = task_of_number(yield_and_return, 8),
	          *waiter = task_of_number(wait_for_all, (intptr_t)b);

	ticks(2);
	cr_assert(!kn_list_empty(&b->waiters));
	knit_task_cancel(waiter, "m");
	cr_assert_eq(knit_await(waiter), -KNIT_ECANCELLED);
	cr_assert(kn_list_empty(&b->waiters), "no registration is left");
	cr_assert_eq(knit_task_cancelling(b), 0);
	cr_assert_eq(knit_await(b), 8);
	return 0;
}

Test(rules, r121_cancelling_wait_leaves_tasks_running_and_no_registrations)
{
	run(r121);
}

CORO(r122)
{
	knit_future *inner = knit_future_new();
	knit_future *shield;
	knit_as_completed all;

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(knit_wait(&inner, 1, 0, KNIT_ALL_COMPLETED), 0);
		shield = knit_shield(inner);
		knit_future_unref(shield);
		cr_assert_eq(knit_as_completed_init(&all, &inner, 1), 0);
		cr_assert_eq(knit_as_completed_done(&all), 0);
		cr_assert(kn_list_empty(&inner->waiters));
		cr_assert_eq(inner->refs, 1);
	}
	knit_future_unref(inner);
	return 0;
}

Test(rules, r122_nothing_of_a_waiter_is_left_with_the_future)
{
	run(r122);
}

/* ---- 123 to 128 ---------------------------------------------------------------------- */

/* Takes a second to clean up, then returns what the argument says instead of the cancellation. */
static intptr_t clean_up(void *instead)
{
	int r = knit_sleep(KNIT_FOREVER);

	(void)!knit_sleep(KNIT_S);
	return instead ? (intptr_t)instead : r;
}

CORO(r123)
{
	knit_task *task = task_of_number(clean_up, 0);

	knit_task_ref(task);
	cr_assert_eq(knit_wait_for(task, KNIT_S), -ETIMEDOUT);
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), 2 * KNIT_S);
	cr_assert(knit_task_cancelled(task));
	cr_assert_eq(knit_task_cancelling(knit_current_task(NULL)), 0);
	knit_task_unref(task);
	return 0;
}

Test(rules, r123_wait_for_waits_until_what_it_cancelled_is_done)
{
	run(r123);
}

CORO(r124)
{
	cr_assert_eq(knit_wait_for(task_of_number(clean_up, 42), KNIT_S), 42);
	cr_assert_eq(knit_wait_for(task_of_number(clean_up, -EIO), KNIT_S), -EIO);
	return 0;
}

Test(rules, r124_what_the_cancelled_one_returns_instead_is_returned)
{
	run(r124);
}

static intptr_t log_start(void *arg)
{
	trace("STARTED");
	return (intptr_t)arg;
}

CORO(r125)
{
	knit_future *done = knit_future_new();
	knit_task *started = task_of_number(clean_up, 5);

	knit_future_set_result(done, 3);
	trace("%s", repr(knit_wait_for(done, -1)));
	trace("%s", repr(knit_wait_for(task_of_number(log_start, 1), 0)));
	ticks(1);
	trace("%s", repr(knit_wait_for(started, -KNIT_S)));
	return 0;
}

Test(rules, r125_wait_for_no_time_never_starts_a_task_but_takes_what_is_done)
{
	run(r125);
	assert_trace("3 | TimeoutError | 5");
}

static intptr_t wait_for_task(void *task)
{
	return knit_wait_for(knit_task_ref(task), 10 * KNIT_S);
}

CORO(r126)
{
	knit_task *inner = task_of_number(clean_up, 0),
	          *outer = task_of_number(wait_for_task, (intptr_t)inner);

	ticks(2);
	knit_task_cancel(outer, "m");
	ticks(2);
	trace("%s", yes(knit_task_done(outer)));
	trace("%s", repr(knit_await(outer)));
	trace("%s", yes(knit_task_cancelled(inner)));
	knit_task_unref(inner);
	return 0;
}

Test(rules, r126_cancelling_wait_for_cancels_and_awaits_the_inner_one)
{
	run(r126);
	assert_trace("False | CancelledError(m) | True");
}

CORO(r127)
{
	knit_future *future = knit_future_new(.result_free = count_result);
	knit_task *outer = task_of_number(wait_for_task, (intptr_t)future);

	ticks(1);
	knit_future_set_result(future, 9);
	knit_task_cancel(outer, NULL);
	trace("%s", repr(knit_await(outer)));
	knit_future_unref(future);
	cr_assert_eq(results_freed, 1, "the value is not lost");
	cr_assert_eq(last_result_freed, 9);
	return 0;
}

Test(rules, r127_completion_and_cancellation_in_one_tick_is_the_cancellation)
{
	run(r127);
	assert_trace("CancelledError()");
}

static intptr_t current(void *arg)
{
	(void)arg;
	return (intptr_t)knit_current_task(NULL);
}

CORO(r128)
{
	knit_timeout timeout;
	static int passes; /* the callback may run when this has returned */
	knit_handle tick = knit_loop_call_soon(knit_get_running_loop(), count_up, &passes);

	cr_assert_eq(knit_handle_error(tick), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, KNIT_S), 0);
	cr_assert_eq(knit_timeout_exit(&timeout, current(NULL)), (intptr_t)knit_current_task(NULL));
	cr_assert_eq(passes, 0);
	return 0;
}

/* Differs: wait_for takes a task or future; a call gets its time by a knit_timeout around it */
Test(rules, r128_a_call_with_a_time_limit_runs_in_the_callers_task)
{
	run(r128);
}
