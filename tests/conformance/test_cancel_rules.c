/* SPDX-License-Identifier: MIT */
/* test_cancel_rules.c - rules 78 to 90: a request, delivered once, wherever the task is. */
#include "common.h"

/* ---- a request --------------------------------------------------------------------- */

CORO(request)
{
	knit_task *task = knit_create_task(sleep_forever, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_not(knit_task_cancelled(task), "it has not even run since");
	cr_assert_not(knit_task_done(task));
	ticks(1);
	cr_assert(knit_task_cancelled(task));
	cr_assert_not(knit_task_cancel(task, NULL), "it is done");
	cr_assert_eq(knit_task_cancelling(task), 1);
	knit_task_unref(task);
	return 0;
}

Test(rules, r078_cancel_only_asks)
{
	run(request);
}

CORO(count_requests)
{
	knit_task *task = knit_create_task(sleep_forever, NULL);

	for (int i = 1; i <= 3; i++) {
		cr_assert(knit_task_cancel(task, NULL));
		cr_assert_eq(knit_task_cancelling(task), i);
	}
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r079_every_request_counts)
{
	run(count_requests);
}

static intptr_t log_body(void *arg)
{
	trace("body");
	return (intptr_t)arg;
}

CORO(cancel_before_start)
{
	knit_task *task = knit_create_task(log_body, &args_freed, .arg_free = count_arg);

	cr_assert(knit_task_cancel(task, "early"));
	cr_assert_not(knit_task_done(task));
	cr_assert_eq(args_freed, 0);
	ticks(1);
	cr_assert(knit_task_cancelled(task));
	cr_assert_eq(args_freed, 1);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "early");
	return 0;
}

Test(rules, r080_a_task_cancelled_before_its_first_step_never_runs)
{
	run(cancel_before_start);
	assert_trace("");
}

CORO(cancel_the_awaited)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(await_future, future);

	ticks(1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert(knit_future_cancelled(future));
	cr_assert_not(knit_task_done(task));
	ticks(1);
	cr_assert(knit_task_cancelled(task));
	knit_task_unref(task);
	knit_future_unref(future);
	return 0;
}

/* Differs: an I/O call ends when the kernel has let go of it, not within cancel() */
Test(rules, r081_cancelling_a_task_cancels_the_future_that_it_awaits_at_once)
{
	run(cancel_the_awaited);
}

/* ---- chains of tasks --------------------------------------------------------------- */

CORO(clean_up_slowly)
{
	int r = knit_sleep(KNIT_FOREVER);

	cr_assert_eq(r, -KNIT_ECANCELLED);
	ticks(2);
	trace("leaf cleaned");
	return r;
}

static intptr_t await_owned(void *task)
{
	intptr_t outcome = knit_await(task);

	trace("%s", repr(outcome));
	return outcome;
}

CORO(cancel_the_root)
{
	knit_task *leaf = knit_create_task(clean_up_slowly, NULL);
	knit_task *middle = knit_create_task(await_owned, knit_task_ref(leaf));
	knit_task *root = knit_create_task(await_owned, knit_task_ref(middle));

	ticks(2);
	cr_assert(knit_task_cancel(root, "chain"));
	cr_assert_eq(knit_task_cancelling(leaf), 1);
	cr_assert_eq(knit_task_cancelling(middle), 1);
	ticks(2);
	cr_assert_not(knit_task_done(leaf));
	cr_assert_not(knit_task_done(root), "it waits for the leaf");
	cr_assert_eq(knit_await(root), -KNIT_ECANCELLED);
	cr_assert(knit_task_cancelled(leaf));
	cr_assert(knit_task_cancelled(middle));
	knit_task_unref(leaf);
	knit_task_unref(middle);
	return 0;
}

Test(rules, r082_cancelling_goes_to_the_leaf_and_the_outer_tasks_wait_for_it)
{
	run(cancel_the_root);
	assert_trace("leaf cleaned | CancelledError(chain) | CancelledError(chain)");
}

CORO(swallow_and_return)
{
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	return 5;
}

static intptr_t await_and_go_on(void *task)
{
	cr_assert_eq(knit_await(task), 5);
	trace("got the value, cancelling %d", knit_task_cancelling(knit_current_task(NULL)));
	ticks(1);
	return 6;
}

CORO(leaf_swallows)
{
	knit_task *leaf = knit_create_task(swallow_and_return, NULL);
	knit_task *outer = knit_create_task(await_and_go_on, leaf);

	ticks(2);
	cr_assert(knit_task_cancel(outer, NULL));
	cr_assert_eq(knit_await(knit_task_ref(outer)), 6);
	cr_assert_not(knit_task_cancelled(outer));
	cr_assert_eq(knit_task_cancelling(outer), 1);
	knit_task_unref(outer);
	return 0;
}

Test(rules, r083_what_the_awaited_task_swallows_is_consumed)
{
	run(leaf_swallows);
	assert_trace("got the value, cancelling 1");
}

/* ---- when it comes too late, twice, again ------------------------------------------ */

static intptr_t yield_once(void *arg)
{
	ticks(1);
	return (intptr_t)arg;
}

CORO(cancel_after_wake_up)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(await_future, future), *target, *awaiter;

	ticks(1);
	cr_assert_eq(knit_future_set_result(future, 4), 0);
	cr_assert(knit_task_cancel(task, "late"));
	cr_assert_not(knit_future_cancelled(future));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "late");
	cr_assert_eq(knit_future_result(future), 4, "the result is still there");
	knit_future_unref(future);

	/* The same with a task. */
	target = knit_create_task(yield_once, (void *)8);
	awaiter = knit_create_task(await_future, target);
	ticks(2);
	cr_assert(knit_task_done(target));
	cr_assert_not(knit_task_done(awaiter));
	cr_assert(knit_task_cancel(awaiter, "late"));
	cr_assert_eq(knit_await(awaiter), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_cancelling(target), 0);
	cr_assert_eq(knit_await(target), 8);
	return 0;
}

Test(rules, r084_a_cancel_after_the_wake_up_replaces_what_was_awaited)
{
	run(cancel_after_wake_up);
}

static intptr_t log_cancel_and_go_on(void *future)
{
	intptr_t r = future ? knit_await(knit_future_ref(future)) : knit_sleep(KNIT_FOREVER);

	trace("%s %d", repr(r), knit_task_cancelling(knit_current_task(NULL)));
	ticks(2);
	return 1;
}

/* Awaits a future, sleeps, awaits a task: the first text wins in each. */
CORO(cancel_twice)
{
	knit_future *future = knit_future_new();
	knit_task *leaf = knit_create_task(sleep_forever, NULL);
	knit_task *tasks[] = {knit_create_task(log_cancel_and_go_on, future),
	                      knit_create_task(log_cancel_and_go_on, NULL),
	                      knit_create_task(log_cancel_and_go_on, leaf)};

	ticks(1);
	for (int i = 0; i < 3; i++) {
		cr_assert(knit_task_cancel(tasks[i], "a"));
		cr_assert(knit_task_cancel(tasks[i], "b"));
		cr_assert_eq(knit_await(tasks[i]), 1);
	}
	knit_future_unref(future);
	cr_assert(knit_task_cancelled(leaf));
	knit_task_unref(leaf);
	return 0;
}

Test(rules, r085_two_requests_before_delivery_are_one_cancellation_and_the_first_text_wins)
{
	run(cancel_twice);
	assert_trace("CancelledError(a) 2 | CancelledError(a) 2 | CancelledError(a) 2");
}

CORO(ignore_cancel)
{
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_sleep(i * KNIT_S), 0);
	return knit_await(knit_create_task(return_arg, (void *)9));
}

CORO(edge_triggered)
{
	knit_task *task = knit_create_task(ignore_cancel, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), 9);
	return 0;
}

Test(rules, r086_after_one_delivery_further_waits_work)
{
	run(edge_triggered);
}

CORO(clean_up)
{
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	trace("cleaning");
	return knit_sleep(KNIT_FOREVER);
}

CORO(cancel_the_cleanup)
{
	knit_task *task = knit_create_task(clean_up, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, "first"));
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	cr_assert_not(knit_task_done(task));
	cr_assert(knit_task_cancel(task, "second"));
	trace("%s", repr(knit_await(task)));
	return 0;
}

Test(rules, r087_a_second_cancel_interrupts_the_cleanup)
{
	run(cancel_the_cleanup);
	assert_trace("cleaning | CancelledError(second)");
}

/* ---- of oneself ------------------------------------------------------------------- */

static bool cancel_self(const char *message)
{
	return knit_task_cancel(knit_current_task(NULL), message);
}

CORO(cancel_myself)
{
	knit_future *done = knit_future_new();

	cr_assert_eq(knit_future_set_result(done, 1), 0);
	cr_assert(cancel_self("me"));
	cr_assert_eq(knit_await(done), 1, "that was no suspension");
	trace("%s", repr(knit_sleep(KNIT_S)));
	ticks(1);
	return 3;
}

CORO(self_cancel)
{
	cr_assert_eq(knit_await(knit_create_task(cancel_myself, NULL)), 3);
	return 0;
}

Test(rules, r088_a_task_that_cancels_itself_is_told_at_its_next_suspension)
{
	run(self_cancel);
	assert_trace("CancelledError(me)");
}

CORO(cancel_and_return)
{
	cr_assert(cancel_self("at the end"));
	return 44;
}

CORO(cancelled_at_end)
{
	knit_task *task = knit_create_task(cancel_and_return, NULL, .result_free = count_result);

	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "at the end");
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(last_result_freed, 44);
	return 0;
}

Test(rules, r089_a_task_that_returns_with_a_request_pending_ends_cancelled)
{
	run(cancelled_at_end);
}

CORO(cancel_and_fail)
{
	cr_assert(cancel_self("lost"));
	return knit_raise(EINVAL, "wins");
}

CORO(error_wins)
{
	knit_task *task = knit_create_task(cancel_and_fail, NULL);

	trace("%s", repr(knit_await(knit_task_ref(task))));
	cr_assert_not(knit_task_cancelled(task));
	knit_task_unref(task);
	return 0;
}

Test(rules, r090_an_error_wins_over_a_pending_request)
{
	run(error_wins);
	assert_trace("ValueError(wins)");
}
