/* SPDX-License-Identifier: MIT */
/* test_cancel_more_rules.c - rules 91 to 102 and 104: cancelling on the way into a wait, the
 * text of a cancellation, taking requests back. */
#include "common.h"
#include "loop/loop.h"

/* ---- on the way into a wait -------------------------------------------------------- */

static intptr_t cancel_self_then_await(void *future)
{
	intptr_t r;

	cr_assert(knit_task_cancel(knit_current_task(NULL), "ahead"));
	cr_assert_not(knit_future_done(future));
	r = knit_await(knit_future_ref(future));
	trace("%s", repr(r));
	return r;
}

CALLBACK(tick)
{
	trace("pass");
}

CORO(await_with_a_request)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(cancel_self_then_await, future);

	knit_loop_call_soon(NULL, tick, NULL);
	ticks(1);
	cr_assert(knit_future_cancelled(future));
	cr_assert_not(knit_task_done(task));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	knit_future_unref(future);
	return 0;
}

Test(rules, r091_what_a_task_awaits_with_a_request_pending_is_cancelled_at_once)
{
	run(await_with_a_request);
	assert_trace("pass | CancelledError(ahead)");
}

CORO(yield)
{
	int r = knit_sleep(0);

	trace("%s", repr(r));
	return r;
}

CORO(cancel_a_yield)
{
	knit_task *task = knit_create_task(yield, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, "yield"));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r092_sleep_0_is_a_point_of_cancellation)
{
	run(cancel_a_yield);
	assert_trace("CancelledError(yield)");
}

CORO(cancel_the_future)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(await_future, future);

	ticks(1);
	cr_assert(knit_future_cancel(future, "third party"));
	trace("%s", repr(knit_await(knit_task_ref(task))));
	cr_assert(knit_task_cancelled(task));
	cr_assert_eq(knit_task_cancelling(task), 0);
	knit_task_unref(task);
	knit_future_unref(future);
	return 0;
}

Test(rules, r093_cancelling_the_awaited_future_cancels_the_awaiter_without_a_request)
{
	run(cancel_the_future);
	assert_trace("CancelledError(third party)");
}

static intptr_t count_cancellations(void *future)
{
	intptr_t r = knit_await(knit_future_ref(future));

	trace("%s %d", repr(r), knit_task_cancelling(knit_current_task(NULL)));
	ticks(2);
	trace("no second one");
	return 0;
}

CORO(cancel_both)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(count_cancellations, future);

	ticks(1);
	cr_assert(knit_future_cancel(future, "future"));
	cr_assert(knit_task_cancel(task, "task"));
	cr_assert_eq(knit_await(task), 0);
	knit_future_unref(future);
	return 0;
}

Test(rules, r094_cancelling_a_future_and_its_awaiter_is_one_cancellation)
{
	run(cancel_both);
	assert_trace("CancelledError(future) 1 | no second one");
}

/* ---- along a chain ----------------------------------------------------------------- */

static knit_task *chain[3];

/* The leaf waits for ever, each other one for the next. */
static intptr_t link_of_chain(void *arg)
{
	intptr_t i = (intptr_t)arg;
	intptr_t r = i == 2 ? knit_sleep(KNIT_FOREVER) : knit_await(knit_task_ref(chain[i + 1]));

	trace("%ld %s", (long)i, repr(r));
	return r;
}

CORO(text_of_a_chain)
{
	const char *text;

	for (intptr_t i = 0; i < 3; i++)
		chain[i] = knit_create_task(link_of_chain, (void *)i);
	ticks(1);
	cr_assert(knit_task_cancel(chain[0], "text"));
	for (int i = 2; i >= 0; i--) {
		cr_assert_not(knit_task_done(chain[i]));
		ticks(1);
		cr_assert(knit_task_cancelled(chain[i]));
		cr_assert(i == 0 || !knit_task_done(chain[i - 1]), "one pass for each level");
	}
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(knit_task_result(chain[i]), -KNIT_ECANCELLED);
		cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "text");
		cr_assert_eq(knit_task_exception(chain[i], &text), -KNIT_ECANCELLED);
		cr_assert_str_eq(text, "text");
		knit_task_unref(chain[i]);
	}
	return 0;
}

Test(rules, r095_the_text_of_a_cancellation_travels_through_the_chain)
{
	run(text_of_a_chain);
	assert_trace("2 CancelledError(text) | 1 CancelledError(text) | 0 CancelledError(text)");
}

CORO(order_of_a_chain)
{
	for (intptr_t i = 0; i < 3; i++)
		chain[i] = knit_create_task(link_of_chain, (void *)i);
	ticks(1);
	cr_assert(knit_task_cancel(chain[0], NULL));
	for (int i = 0; i < 4; i++) {
		knit_loop_call_soon(NULL, tick, NULL);
		ticks(1);
	}
	for (int i = 0; i < 3; i++)
		knit_task_unref(chain[i]);
	return 0;
}

Test(rules, r096_the_leaf_of_a_chain_is_told_first_and_each_level_one_pass_later)
{
	run(order_of_a_chain);
	assert_trace("2 CancelledError() | pass | 1 CancelledError() | pass | "
	             "0 CancelledError() | pass | pass");
}

/* ---- taking requests back --------------------------------------------------------- */

CORO(take_back)
{
	knit_task *self = knit_current_task(NULL);

	cr_assert_eq(knit_task_uncancel(self), 0, "never below 0");
	cr_assert(knit_task_cancel(self, NULL));
	cr_assert(knit_task_cancel(self, NULL));
	cr_assert_eq(knit_task_uncancel(self), 1);
	/* Not at 0: the request is still delivered. */
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_cancelling(self), 1);
	cr_assert_eq(knit_task_uncancel(self), 0);
	cr_assert_eq(knit_task_uncancel(self), 0);
	/* At 0 one that was not delivered is dropped. */
	cr_assert(knit_task_cancel(self, NULL));
	cr_assert_eq(knit_task_uncancel(self), 0);
	ticks(1);
	return 2;
}

CORO(uncancel)
{
	knit_future *future = knit_future_new();
	knit_task *task;

	cr_assert_eq(knit_await(knit_create_task(take_back, NULL)), 2);
	/* Also before the first step. */
	task = knit_create_task(return_arg, (void *)1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_task_uncancel(task), 0);
	cr_assert_eq(knit_await(task), 1);
	cr_assert_eq(knit_task_uncancel(future), -EINVAL);
	cr_assert_eq(knit_task_cancelling(future), -EINVAL);
	knit_future_unref(future);
	return 0;
}

Test(rules, r097_uncancel_stops_at_0_and_drops_an_undelivered_request_there)
{
	run(uncancel);
}

CORO(uncancel_done)
{
	knit_task *task = knit_create_task(sleep_forever, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, NULL));
	ticks(1);
	cr_assert(knit_task_cancelled(task));
	cr_assert_eq(knit_task_uncancel(task), 0);
	cr_assert(knit_task_cancelled(task));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r098_uncancel_after_the_end_changes_nothing)
{
	run(uncancel_done);
}

CORO(swallow)
{
	knit_task *self = knit_current_task(NULL);

	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_cancelling(self), 1);
	ticks(3);
	return knit_task_cancelling(self);
}

CORO(swallow_without_uncancel)
{
	knit_task *task = knit_create_task(swallow, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), 1);
	return 0;
}

Test(rules, r099_a_swallowed_cancellation_still_counts)
{
	run(swallow_without_uncancel);
}

CORO(finally)
{
	int r = knit_sleep(KNIT_FOREVER);

	cr_assert_eq(knit_sleep(KNIT_S), 0);
	cr_assert_eq(knit_await(knit_create_task(return_arg, (void *)1)), 1);
	trace("cleaned");
	return r;
}

CORO(cleanup_with_waits)
{
	knit_task *task = knit_create_task(finally, NULL);

	ticks(1);
	cr_assert(knit_task_cancel(task, NULL));
	trace("%s", repr(knit_await(task)));
	return 0;
}

Test(rules, r100_a_cleanup_may_wait)
{
	run(cleanup_with_waits);
	assert_trace("cleaned | CancelledError()");
}

static void cancel_ready_task(void *task)
{
	cr_assert_not(knit_task_done(task));
	cr_assert(knit_task_cancel(task, "woken"));
}

CORO(cancel_ready)
{
	knit_task *yielder = knit_create_task(yield, NULL);
	knit_task *sleeper = knit_create_task(sleep_arg, (void *)(intptr_t)KNIT_MS);

	ticks(1); /* the yielder is ready again */
	cr_assert(knit_task_cancel(yielder, "ready"));
	cr_assert_eq(knit_await(yielder), -KNIT_ECANCELLED);
	/* Due together, in this order: the sleeper is woken, then cancelled. */
	knit_loop_call_at(NULL, KNIT_MS, cancel_ready_task, sleeper);
	trace("%s", repr(knit_await(sleeper)));
	return 0;
}

Test(rules, r101_a_cancel_of_a_task_that_is_ready_replaces_its_success)
{
	run(cancel_ready);
	assert_trace("CancelledError(ready) | CancelledError(woken)");
}

static void cancel_from_here(void *task)
{
	(void)knit_task_cancel(task, NULL);
}

CORO(cancel_elsewhere)
{
	on_another_thread(cancel_from_here, knit_current_task(NULL));
	return 0;
}

static void die_by_foreign_cancel(void *unused)
{
	(void)unused;
	(void)!knit_run(cancel_elsewhere, NULL);
}

CORO(cancel_by_post)
{
	knit_loop *loop = knit_get_running_loop();
	knit_task *task = knit_create_task(sleep_forever, NULL);

	ticks(1);
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, cancel_it, task), 0);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r102_a_foreign_thread_may_not_cancel_but_post_it)
{
	test_death(die_by_foreign_cancel, NULL, "belongs to a loop of another thread");
	run(cancel_by_post);
}

CORO(cancel_a_sleep)
{
	knit_loop *loop = knit_get_running_loop();
	knit_task *task = knit_create_task(sleep_arg, (void *)(intptr_t)KNIT_S);

	ticks(1);
	cr_assert_eq(loop->timers.count, 1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(loop->timers.count, 0);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r104_cancelling_a_sleep_removes_its_timer)
{
	run(cancel_a_sleep);
}
