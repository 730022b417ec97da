/* SPDX-License-Identifier: MIT */
/* test_wait_gather_rules.c - asyncio's rules of gather: 107 to 117. */
#include "common.h"
#include "knit/wait.h"

/* Fails once the future is done. */
static intptr_t fail_after(void *future)
{
	intptr_t r = knit_await(knit_future_ref(future));

	return knit_is_error(r) ? r : knit_raise(ENOENT, "late");
}

/* ---- 107, 108, 109 ----------------------------------------------------------------- */

CORO(r107)
{
	knit_task *a = task_of_number(yield_and_return, 3),
	          *b = task_of_number(yield_and_return, 1);
	intptr_t outcomes[3] = {0};

	knit_task_ref(a);
	cr_assert_eq(knit_gather((knit_task *[]){a, b, a}, 3, outcomes), 0);
	cr_assert_eq(outcomes[0], 3);
	cr_assert_eq(outcomes[1], 1);
	cr_assert_eq(outcomes[2], 3);
	return 0;
}

Test(rules, r107_gather_gives_outcomes_in_the_order_of_its_arguments)
{
	run(r107);
}

CORO(r108)
{
	knit_future *none = knit_gather_future(NULL, 0, NULL);
	static int passes; /* the callback may run when this has returned */

	cr_assert_not_null(none);
	cr_assert(knit_future_done(none));
	cr_assert_geq(
	        knit_handle_error(knit_loop_call_soon(knit_get_running_loop(), count_up, &passes)),
	        0);
	cr_assert_eq(knit_await(none), 0);
	cr_assert_eq(knit_gather(NULL, 0, NULL), 0);
	cr_assert_eq(passes, 0, "neither suspends");
	return 0;
}

Test(rules, r108_gather_of_nothing_is_done)
{
	run(r108);
}

/* Differs: an error code, not an exception; the references are consumed all the same */
Test(rules, r109_gather_of_futures_of_different_loops_is_refused)
{
	knit_loop *loops[2] = {loop_new(), loop_new()};
	knit_task *tasks[2];

	for (int i = 0; i < 2; i++) {
		tasks[i] = knit_loop_create_task(loops[i], return_arg, (void *)1);
		knit_task_ref(tasks[i]);
	}
	cr_assert_null(knit_gather_future(tasks, 2, NULL));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(knit_loop_run_until_complete_future(loops[i], tasks[i]), 1);
		knit_loop_unref(loops[i]);
	}
}

/* ---- 110, 111, 112 ----------------------------------------------------------------- */

CORO(r110)
{
	struct reports reports;
	knit_future *gate = knit_future_new();
	knit_task *sibling = task_of_number(fail_after, (intptr_t)gate);
	intptr_t outcomes[2] = {7, 7}, r;

	watch_reports(&reports);
	r = knit_gather(
	        (knit_task *[]){knit_task_ref(sibling), task_of_number(fail_with, (intptr_t) "x")},
	        2, outcomes);
	trace("%s %s", repr(r), yes(knit_task_done(sibling)));
	knit_future_set_result(gate, 1);
	ticks(4);
	cr_assert(knit_task_done(sibling));
	knit_task_unref(sibling);
	knit_future_unref(gate);
	cr_assert_eq(reports.count, 0, "%s", reports.message);
	cr_assert_eq(outcomes[0], 7, "never written after an error");
	cr_assert_eq(outcomes[1], 7);
	return 0;
}

Test(rules, r110_the_first_error_comes_at_once_and_later_ones_are_silent)
{
	run(r110);
	assert_trace("ValueError(x) False");
}

CORO(r111)
{
	knit_task *a = task_of_number(sleep_forever, 0), *b = task_of_number(yield_and_return, 3);
	knit_future *both = knit_gather_future((knit_task *[]){a, knit_task_ref(b)}, 2, NULL);

	ticks(1);
	knit_task_cancel(a, "why");
	trace("%s %s %s", repr(knit_await(knit_future_ref(both))), yes(knit_future_cancelled(both)),
	      yes(knit_task_cancelled(b)));
	cr_assert_eq(knit_future_exception(both, NULL), KNIT_ECANCELLED, "a failure of its own");
	knit_future_unref(both);
	return knit_await(b) == 3 ? 0 : -EIO;
}

Test(rules, r111_a_cancelled_child_fails_the_gather_which_is_not_cancelled)
{
	run(r111);
	assert_trace("CancelledError(why) False False");
}

CORO(r112)
{
	knit_task *a = task_of_number(sleep_forever, 0);
	knit_task *b = task_of_number(fail_with, (intptr_t) "x"),
	          *c = task_of_number(yield_and_return, 2);
	intptr_t outcomes[3];

	knit_task_cancel(a, NULL);
	cr_assert_eq(knit_gather((knit_task *[]){a, b, c}, 3, outcomes, .return_exceptions = 1), 0);
	cr_assert_eq(outcomes[0], -KNIT_ECANCELLED);
	cr_assert_eq(outcomes[1], -EINVAL);
	cr_assert_eq(outcomes[2], 2);
	return 0;
}

Test(rules, r112_return_exceptions_puts_errors_and_cancellations_among_the_outcomes)
{
	run(r112);
}

/* ---- 113 to 117 -------------------------------------------------------------------- */

CORO(r113)
{
	knit_task *a = task_of_number(sleep_forever, 0), *b = task_of_number(sleep_forever, 0);
	knit_future *c = knit_future_new(), *all;

	knit_task_ref(a);
	knit_future_ref(c);
	ticks(1);
	all = knit_gather_future((knit_future *[]){a, b, c}, 3, NULL);
	trace("%s", yes(knit_future_cancel(all, "m")));
	trace("%s", yes(knit_future_done(all)));
	trace("%d %s", knit_task_cancelling(a), yes(knit_future_cancelled(c)));
	trace("%s", repr(knit_await(all)));
	knit_task_unref(a);
	knit_future_unref(c);
	return 0;
}

Test(rules, r113_cancelling_a_gather_cancels_every_child_that_is_not_done)
{
	run(r113);
	assert_trace("True | False | 1 True | CancelledError(m)");
}

static intptr_t clean_up_slowly(void *name)
{
	int r = knit_sleep(KNIT_FOREVER);

	for (int i = 0; i < 3; i++)
		(void)!knit_sleep(0);
	trace("%s cleaned", (const char *)name);
	return r;
}

static intptr_t gather_two(void *return_exceptions)
{
	knit_task *a = task_of_number(sleep_forever, 0),
	          *b = task_of_number(clean_up_slowly, (intptr_t) "B");
	intptr_t outcomes[2] = {7, 7}, r;

	r = knit_gather((knit_task *[]){a, b}, 2, outcomes,
	                .return_exceptions = return_exceptions != NULL);
	trace("P %s", repr(r));
	cr_assert_eq(outcomes[0], 7);
	return r;
}

static void cancel_gather_of_two(bool return_exceptions)
{
	knit_task *parent = task_of_number(gather_two, return_exceptions);

	ticks(2);
	knit_task_cancel(parent, NULL);
	cr_assert_eq(knit_await(parent), -KNIT_ECANCELLED);
	trace("parent done");
	ticks(6);
}

CORO(r114)
{
	cancel_gather_of_two(false);
	return 0;
}

Test(rules, r114_without_return_exceptions_the_first_cancelled_child_ends_the_gather)
{
	run(r114);
	assert_trace("P CancelledError() | parent done | B cleaned");
}

CORO(r115)
{
	cancel_gather_of_two(true);
	return 0;
}

Test(rules, r115_with_return_exceptions_a_cancelled_gather_waits_for_all_children)
{
	run(r115);
	assert_trace("B cleaned | P CancelledError() | parent done");
}

CORO(r115_values)
{
	knit_task *tasks[2] = {
	        knit_create_task(return_arg, (void *)5, .result_free = count_result),
	        task_of_number(sleep_forever, 0),
	};
	knit_future *all;

	ticks(1);
	all = knit_gather_future(tasks, 2, NULL, .return_exceptions = 1);
	cr_assert(knit_future_cancel(all, NULL));
	cr_assert_eq(knit_await(all), -KNIT_ECANCELLED);
	cr_assert_eq(results_freed, 1, "the value that nobody got");
	return 0;
}

Test(rules, r115_a_cancelled_gather_frees_the_values_that_it_does_not_give)
{
	run(r115_values);
}

CORO(r116)
{
	knit_future *a = knit_future_new(), *b = knit_future_new();
	intptr_t outcomes[2];
	knit_future *both = knit_gather_future((knit_future *[]){a, b}, 2, outcomes);

	knit_future_set_result(a, 1);
	knit_future_set_result(b, 2);
	trace("%s %s", yes(knit_future_done(both)), yes(knit_future_cancel(both, NULL)));
	trace("%s", repr(knit_await(both)));
	trace("%d %d", (int)outcomes[0], (int)outcomes[1]);
	return 0;
}

Test(rules, r116_a_gather_whose_children_are_all_done_refuses_to_be_cancelled)
{
	run(r116);
	assert_trace("False False | 0 | 1 2");
}

CORO(r117)
{
	knit_task *survivor = task_of_number(yield_and_return, 4);
	knit_future *both = knit_gather_future(
	        (knit_task *[]){task_of_number(fail_with, (intptr_t) "x"), knit_task_ref(survivor)},
	        2, NULL);

	trace("%s", repr(knit_await(knit_future_ref(both))));
	trace("%s %d", yes(knit_future_cancel(both, NULL)), knit_task_cancelling(survivor));
	knit_future_unref(both);
	return knit_await(survivor) == 4 ? 0 : -EIO;
}

Test(rules, r117_cancelling_a_gather_that_failed_does_nothing_to_survivors)
{
	run(r117);
	assert_trace("ValueError(x) | False 0");
}
