/* SPDX-License-Identifier: MIT */
/* test_future_rules.c - rules 31 to 54: states, outcomes, done-callbacks, what is reported. */
#include "common.h"
#include <limits.h>
#include <string.h>

/* ---- states and outcomes ----------------------------------------------------------- */

CORO(states)
{
	knit_future *value = knit_future_new(), *error = knit_future_new();
	knit_future *cancelled = knit_future_new();

	cr_assert_not(knit_future_done(value));
	cr_assert_not(knit_future_cancelled(value));
	cr_assert_eq(knit_future_set_result(value, 3), 0);
	cr_assert_eq(knit_future_set_exception(error, EIO, "text"), 0);
	cr_assert(knit_future_cancel(cancelled, NULL));
	for (int i = 0; i < 3; i++) {
		knit_future *future = i == 0 ? value : i == 1 ? error : cancelled;

		cr_assert(knit_future_done(future));
		cr_assert_eq(knit_future_cancelled(future), i == 2);
		cr_assert_eq(knit_future_set_result(future, 4), -KNIT_EINVALIDSTATE);
		cr_assert_eq(knit_future_set_exception(future, EIO, NULL), -KNIT_EINVALIDSTATE);
		cr_assert_not(knit_future_cancel(future, NULL));
		cr_assert_eq(knit_future_cancelled(future), i == 2);
	}
	cr_assert_eq(knit_await(value), 3);
	cr_assert_eq(knit_await(error), -EIO);
	cr_assert_eq(knit_await(cancelled), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r031_a_future_ends_once_finished_or_cancelled)
{
	run(states);
}

CORO(ask_too_early)
{
	knit_future *future = knit_future_new();
	const char *message = "untouched";

	cr_assert_eq(knit_future_result(future), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_future_exception(future, &message), -KNIT_EINVALIDSTATE);
	cr_assert_null(message);
	cr_assert_eq(knit_future_exception(future, NULL), -KNIT_EINVALIDSTATE);
	cr_assert_not(knit_future_done(future));
	knit_future_unref(future);
	return 0;
}

Test(rules, r032_result_and_exception_of_a_pending_future_fail_at_once)
{
	run(ask_too_early);
}

CORO(ask_a_cancelled_one)
{
	knit_future *future = knit_future_new();
	const char *message = NULL;

	cr_assert(knit_future_cancel(future, "why"));
	cr_assert_eq(knit_future_result(future), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "why");
	cr_assert_eq(knit_future_exception(future, &message), -KNIT_ECANCELLED);
	cr_assert_str_eq(message, "why");
	knit_future_unref(future);
	return 0;
}

Test(rules, r033_result_and_exception_of_a_cancelled_future_give_the_cancellation)
{
	run(ask_a_cancelled_one);
}

CORO(ask_for_the_exception)
{
	knit_future *value = knit_future_new(), *error = knit_future_new();
	const char *message = "untouched";

	cr_assert_eq(knit_future_set_result(value, 0), 0);
	cr_assert_eq(knit_future_exception(value, &message), 0);
	cr_assert_null(message);
	cr_assert_eq(knit_future_set_exception(error, -ENOENT, "key"), 0);
	cr_assert_eq(knit_future_exception(error, &message), ENOENT);
	cr_assert_str_eq(message, "key");
	cr_assert_eq(knit_future_exception(error, NULL), ENOENT);
	cr_assert_eq(knit_future_result(error), -ENOENT);
	cr_assert_str_eq(knit_error_message(-ENOENT), "key");
	knit_future_unref(value);
	knit_future_unref(error);
	return 0;
}

Test(rules, r034_exception_gives_the_failure_or_none)
{
	run(ask_for_the_exception);
}

CORO(cancel_a_future)
{
	knit_future *future = knit_future_new();

	cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)"callback"), 0);
	cr_assert(knit_future_cancel(future, NULL));
	trace("cancelled %s", yes(knit_future_cancelled(future)));
	ticks(1);
	knit_future_unref(future);
	return 0;
}

Test(rules, r035_cancelling_a_future_takes_effect_at_once)
{
	run(cancel_a_future);
	assert_trace("cancelled True | callback");
}

/* ---- done-callbacks ---------------------------------------------------------------- */

CORO(callbacks_in_order)
{
	knit_future *future = knit_future_new();
	static const char *const names[] = {"1", "2", "3"};

	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)names[i]), 0);
	knit_loop_call_soon(NULL, log_text, (void *)"scheduled before");
	cr_assert_eq(knit_future_set_result(future, 0), 0);
	trace("set");
	knit_loop_call_soon(NULL, log_text, (void *)"scheduled after");
	ticks(1);
	knit_future_unref(future);
	return 0;
}

Test(rules, r036_done_callbacks_are_scheduled_in_order_of_registration_never_called)
{
	run(callbacks_in_order);
	assert_trace("set | scheduled before | 1 | 2 | 3 | scheduled after");
}

static intptr_t await_and_log(void *future)
{
	trace("task %s", repr(knit_await(knit_future_ref(future))));
	return 0;
}

CORO(awaiter_among_callbacks)
{
	knit_future *future = knit_future_new();

	cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)"before"), 0);
	cr_assert_eq(knit_spawn(await_and_log, future), 0);
	ticks(1);
	cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)"after"), 0);
	cr_assert_eq(knit_future_set_result(future, 5), 0);
	ticks(1);
	knit_future_unref(future);
	return 0;
}

Test(rules, r037_an_awaiting_task_stands_in_line_with_the_done_callbacks)
{
	run(awaiter_among_callbacks);
	assert_trace("before | task 5 | after");
}

CORO(callback_on_a_done_future)
{
	knit_future *future = knit_future_new();

	cr_assert_eq(knit_future_set_result(future, 5), 0);
	cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)"callback"), 0);
	trace("registered");
	ticks(1);
	knit_future_unref(future);
	return 0;
}

Test(rules, r038_a_callback_on_a_done_future_runs_in_the_next_pass)
{
	run(callback_on_a_done_future);
	assert_trace("registered | callback");
}

CORO(remove_callbacks)
{
	knit_future *future = knit_future_new();
	int kept = 0, gone = 0;

	cr_assert_eq(knit_future_remove_done_callback(future, count_done, &gone), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(knit_future_add_done_callback(future, count_done, &gone), 0);
		cr_assert_eq(knit_future_add_done_callback(future, count_done, &kept), 0);
	}
	cr_assert_eq(knit_future_remove_done_callback(future, count_done, &gone), 3);
	cr_assert_eq(knit_future_remove_done_callback(future, count_done, &gone), 0);
	cr_assert_eq(knit_future_remove_done_callback(future, log_done, &kept), 0);
	cr_assert_eq(knit_future_set_result(future, 0), 0);
	ticks(1);
	cr_assert_eq(gone, 0);
	cr_assert_eq(kept, 3);
	knit_future_unref(future);
	return 0;
}

Test(rules, r039_removing_a_callback_removes_all_equal_registrations)
{
	run(remove_callbacks);
}

CORO(remove_too_late)
{
	knit_future *future = knit_future_new();
	int count = 0;

	cr_assert_eq(knit_future_add_done_callback(future, count_done, &count), 0);
	cr_assert_eq(knit_future_set_result(future, 0), 0);
	cr_assert_eq(knit_future_remove_done_callback(future, count_done, &count), 0);
	ticks(1);
	cr_assert_eq(count, 1);
	knit_future_unref(future);
	return 0;
}

Test(rules, r040_a_callback_that_is_scheduled_cannot_be_removed)
{
	run(remove_too_late);
}

/* A done-callback that changes the lists of two futures while theirs are being run. */
struct meddler {
	knit_future *done, *pending;
	int calls, late;
};

static void meddle(knit_future *future, void *arg)
{
	struct meddler *meddler = arg;

	cr_assert_eq(future, meddler->done);
	meddler->calls++;
	(void)knit_future_remove_done_callback(meddler->done, meddle, meddler);
	(void)knit_future_remove_done_callback(meddler->pending, meddle, meddler);
	cr_assert_eq(knit_future_add_done_callback(meddler->pending, count_done, &meddler->late),
	             0);
	if (meddler->calls == 2)
		cr_assert_eq(knit_future_set_result(meddler->pending, 0), 0);
	if (meddler->calls == 3)
		cr_assert_eq(
		        knit_future_add_done_callback(meddler->done, count_done, &meddler->late),
		        0);
}

CORO(change_the_list)
{
	struct meddler meddler = {knit_future_new(), knit_future_new(), 0, 0};

	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_future_add_done_callback(meddler.done, meddle, &meddler), 0);
	cr_assert_eq(knit_future_add_done_callback(meddler.pending, meddle, &meddler), 0);
	cr_assert_eq(knit_future_set_result(meddler.done, 0), 0);
	ticks(2);
	cr_assert_eq(meddler.calls, 3);
	cr_assert_eq(meddler.late, 4, "%d", meddler.late);
	knit_future_unref(meddler.done);
	knit_future_unref(meddler.pending);
	return 0;
}

Test(rules, r041_callbacks_may_change_the_lists_of_callbacks)
{
	run(change_the_list);
}

static void failing_callback(knit_future *future, void *arg)
{
	knit_exception_context context = {.message = arg, .future = future};

	(void)knit_loop_call_exception_handler(knit_future_get_loop(future), &context);
}

CORO(callback_fails)
{
	knit_future *future = knit_future_new();
	struct reports reports;
	int count = 0;

	watch_reports(&reports);
	cr_assert_eq(knit_future_add_done_callback(future, failing_callback, (void *)"bad"), 0);
	cr_assert_eq(knit_future_add_done_callback(future, count_done, &count), 0);
	cr_assert_eq(knit_future_set_result(future, 0), 0);
	ticks(1);
	cr_assert_eq(reports.count, 1);
	cr_assert_eq(reports.future, future);
	cr_assert_eq(count, 1);
	knit_future_unref(future);
	return 0;
}

/* Differs: a callback returns nothing; it reports by knit_loop_call_exception_handler() */
Test(rules, r042_a_callback_that_reports_a_failure_does_not_hold_up_the_others)
{
	run(callback_fails);
}

static void register_another(knit_future *future, void *arg)
{
	trace("first");
	cr_assert_eq(knit_future_add_done_callback(future, log_done, arg), 0);
}

CORO(callback_registers)
{
	knit_future *future = knit_future_new();

	cr_assert_eq(knit_future_add_done_callback(future, register_another, (void *)"new"), 0);
	cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)"second"), 0);
	cr_assert_eq(knit_future_set_result(future, 0), 0);
	ticks(1);
	trace("next pass");
	ticks(1);
	knit_future_unref(future);
	return 0;
}

Test(rules, r043_a_callback_registered_by_a_callback_runs_one_pass_later)
{
	run(callback_registers);
	assert_trace("first | second | next pass | new");
}

/* ---- awaiting ---------------------------------------------------------------------- */

CORO(await_done)
{
	knit_future *future = knit_future_new();
	int passes = 0;

	cr_assert_eq(knit_future_set_result(future, 1), 0);
	knit_loop_call_soon(NULL, count_up, &passes);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(knit_await(knit_future_ref(future)), 1);
	cr_assert_eq(passes, 0);
	knit_future_unref(future);
	ticks(1);
	cr_assert_eq(passes, 1);
	return 0;
}

Test(rules, r046_awaiting_a_done_future_does_not_yield)
{
	run(await_done);
}

static intptr_t await_text(void *future)
{
	intptr_t outcome = knit_await(knit_future_ref(future));

	trace("%s", repr(outcome));
	return 0;
}

CORO(many_awaiters)
{
	knit_future *value = knit_future_new(), *error = knit_future_new();

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(knit_spawn(await_text, value), 0);
		cr_assert_eq(knit_spawn(await_text, error), 0);
	}
	ticks(1);
	cr_assert_eq(knit_future_set_result(value, 8), 0);
	cr_assert_eq(knit_future_set_exception(error, ENOENT, "same"), 0);
	ticks(1);
	knit_future_unref(value);
	knit_future_unref(error);
	return 0;
}

Test(rules, r047_all_awaiters_of_a_future_get_its_outcome)
{
	run(many_awaiters);
	assert_trace("8 | 8 | 8 | KeyError(same) | KeyError(same) | KeyError(same)");
}
