/* SPDX-License-Identifier: MIT */
/* test_loop_rules.c - rules 1 to 12: what one pass runs, in which order, and what stops it. */
#include "common.h"
#include <unistd.h>
#include "knit/file.h"
#include "loop/loop.h"

/* ---- order ------------------------------------------------------------------------- */

static intptr_t log_arg(void *arg)
{
	trace("%s", (const char *)arg);
	return 0;
}

static intptr_t await_and_log(void *future)
{
	trace("awaiter %s", repr(knit_await(knit_future_ref(future))));
	return 0;
}

CORO(fifo_over_all_sources)
{
	knit_future *future = knit_future_new();
	knit_loop *loop = knit_get_running_loop();
	knit_task *awaiter = knit_create_task(await_and_log, future);
	knit_task *task;

	ticks(1); /* the awaiter waits */
	knit_loop_call_soon(loop, log_text, (void *)"callback 1");
	cr_assert_eq(knit_future_set_result(future, 7), 0);
	task = knit_create_task(log_arg, (void *)"first step");
	knit_loop_call_soon(loop, log_text, (void *)"callback 2");
	cr_assert_eq(knit_future_add_done_callback(future, log_done, (void *)"done-callback"), 0);
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, log_text, (void *)"own post"), 0);
	knit_loop_call_soon(loop, log_text, (void *)"callback 3");
	trace("--");
	cr_assert_eq(knit_await(awaiter), 0);
	cr_assert_eq(knit_await(task), 0);
	knit_future_unref(future);
	return 0;
}

Test(rules, r001_one_queue_serves_all_sources_in_order)
{
	run(fifo_over_all_sources);
	assert_trace("-- | callback 1 | awaiter 7 | first step | callback 2 | done-callback | "
	             "own post | callback 3");
}

static intptr_t poll_and_log(void *arg)
{
	const int *fd = arg;

	cr_assert_gt(knit_poll(*fd, 0x001 /* POLLIN */), 0);
	trace("io");
	return 0;
}

CORO(order_in_a_pass)
{
	knit_loop *loop = knit_get_running_loop();
	knit_task *poller;
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	poller = knit_create_task(poll_and_log, &ends[0]);
	ticks(2); /* it waits, and the kernel knows */
	cr_assert_eq(write(ends[1], "x", 1), 1);
	knit_loop_call_later(loop, 0, log_text, (void *)"timer");
	knit_loop_call_soon(loop, log_text, (void *)"ready before");
	ticks(1);
	trace("next pass");
	cr_assert_eq(knit_await(poller), 0);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

Test(rules, r002_a_pass_runs_what_was_ready_then_io_then_timers)
{
	run(order_in_a_pass);
	/* The task itself had made itself ready before the wait as well. */
	assert_trace("ready before | next pass | io | timer");
}

static uint64_t scheduled_in, ran_in;

static void note_pass(void *loop)
{
	ran_in = ((knit_loop *)loop)->counters.passes;
}

static void schedule_another(void *loop)
{
	scheduled_in = ((knit_loop *)loop)->counters.passes;
	knit_loop_call_soon(loop, note_pass, loop);
}

CORO(scheduled_while_running)
{
	knit_loop_call_soon(NULL, schedule_another, knit_get_running_loop());
	ticks(2);
	return 0;
}

Test(rules, r003_what_a_pass_schedules_waits_for_the_next)
{
	run(scheduled_while_running);
	cr_assert_gt(scheduled_in, 0);
	/* Each pass begins with a look at the kernel, which is what the counter counts. */
	cr_assert_eq(ran_in, scheduled_in + 1);
}

static intptr_t poll_then_set(void *arg)
{
	int *fd = arg;

	cr_assert_gt(knit_poll(*fd, 0x001 /* POLLIN */), 0);
	*fd = -1;
	return 0;
}

CORO(spin)
{
	int ends[2], fd, timers = 0, passes = 0;
	knit_task *poller;

	cr_assert_eq(pipe(ends), 0);
	fd = ends[0];
	poller = knit_create_task(poll_then_set, &fd);
	knit_loop_call_later(NULL, 0, count_up, &timers);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	while ((fd >= 0 || !timers) && passes < 1000) {
		ticks(1);
		passes++;
	}
	cr_assert_eq(fd, -1, "the kernel's answer came in none of %d passes", passes);
	cr_assert_eq(timers, 1);
	cr_assert_eq(knit_await(poller), 0);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

Test(rules, r004_a_task_that_yields_for_ever_starves_neither_io_nor_timers)
{
	cr_assert_eq(knit_run(spin, NULL), 0);
}

CORO(later_zero)
{
	knit_loop_call_later(NULL, 0, log_text, (void *)"timer");
	knit_loop_call_soon(NULL, log_text, (void *)"soon");
	ticks(1);
	trace("task");
	ticks(1);
	return 0;
}

Test(rules, r005_a_timer_that_is_due_runs_after_what_was_ready)
{
	run(later_zero);
	assert_trace("soon | task | timer");
}

/* ---- handles ----------------------------------------------------------------------- */

static void cancel_handle(void *handle)
{
	cr_assert(knit_handle_cancel(*(knit_handle *)handle));
}

CORO(cancel_in_the_snapshot)
{
	knit_handle victim;
	int count = 0;

	knit_loop_call_soon(NULL, cancel_handle, &victim);
	victim = knit_loop_call_soon(NULL, count_up, &count);
	knit_loop_call_soon(NULL, log_text, (void *)"after");
	ticks(2);
	cr_assert_eq(count, 0);
	cr_assert_not(knit_handle_is_pending(victim));
	return 0;
}

Test(rules, r006_a_handle_in_the_running_pass_can_still_be_cancelled)
{
	run(cancel_in_the_snapshot);
	assert_trace("after");
}

static void cancel_own_handle(void *handle)
{
	trace("%s", yes(knit_handle_cancel(*(knit_handle *)handle)));
}

CORO(handles_run_once)
{
	knit_handle ran, cancelled, again, own;
	int count = 0;

	ran = knit_loop_call_soon(NULL, count_up, &count);
	cancelled = knit_loop_call_later(NULL, KNIT_S, count_up, &count);
	cr_assert_eq(knit_handle_when(cancelled), KNIT_S);
	cr_assert(knit_handle_is_pending(ran));
	ticks(3);
	cr_assert_eq(count, 1);
	cr_assert_not(knit_handle_is_pending(ran));
	cr_assert_not(knit_handle_cancel(ran), "it ran");
	cr_assert(knit_handle_cancel(cancelled));
	cr_assert_not(knit_handle_cancel(cancelled), "it was cancelled before");
	cr_assert_eq(knit_handle_when(cancelled), -KNIT_EINVALIDSTATE);
	/* A new callback takes the place of the old ones, whose handles do not reach it. */
	again = knit_loop_call_soon(NULL, count_up, &count);
	cr_assert_not(knit_handle_cancel(ran));
	cr_assert_not(knit_handle_cancel(cancelled));
	cr_assert_not(knit_handle_cancel((knit_handle){0}));
	cr_assert_eq(knit_handle_when(again), -KNIT_EINVALIDSTATE, "no timer");
	own = knit_loop_call_soon(NULL, cancel_own_handle, &own);
	cr_assert_eq(knit_sleep(10 * KNIT_S), 0);
	cr_assert_eq(count, 2);
	return 0;
}

Test(rules, r007_a_handle_runs_once_and_a_cancelled_one_never)
{
	run(handles_run_once);
	assert_trace("False"); /* a callback that runs can no longer be cancelled */
}

static void fail_in_callback(void *loop)
{
	knit_exception_context context = {
	        .message = "Exception in callback", .error = "cb", .code = EINVAL};

	cr_assert_eq(knit_loop_call_exception_handler(loop, &context), 0);
}

CORO(failing_callback)
{
	struct reports reports;

	watch_reports(&reports);
	knit_loop_call_soon(NULL, fail_in_callback, knit_get_running_loop());
	knit_loop_call_soon(NULL, log_text, (void *)"next");
	ticks(1);
	cr_assert_eq(reports.count, 1);
	cr_assert_eq(reports.code, EINVAL);
	cr_assert_str_eq(reports.message, "Exception in callback");
	cr_assert_str_eq(reports.error, "cb");
	return 0;
}

/* Differs: a callback returns nothing; it reports by knit_loop_call_exception_handler() */
Test(rules, r008_a_callback_that_reports_a_failure_does_not_stop_the_loop)
{
	run(failing_callback);
	assert_trace("next");
}

/* ---- stopping ---------------------------------------------------------------------- */

static void stop_and_schedule(void *loop)
{
	knit_loop_stop(loop);
	knit_loop_call_soon(loop, log_text, (void *)"scheduled after stop");
}

Test(rules, r010_stop_lets_the_running_pass_end)
{
	knit_loop *loop = loop_new();

	knit_loop_call_soon(loop, stop_and_schedule, loop);
	knit_loop_call_soon(loop, log_text, (void *)"same pass");
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	trace("returned");
	knit_loop_call_soon(loop, stop_loop, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	assert_trace("same pass | returned | scheduled after stop");
	knit_loop_unref(loop);
}

Test(rules, r011_stop_before_a_run_means_one_pass_that_does_not_wait)
{
	knit_loop *loop = knit_loop_new(); /* real time: a wait would be a hang */
	int soon = 0, due = 0, later = 0;
	uint64_t passes;

	cr_assert_not_null(loop);
	knit_loop_call_soon(loop, count_up, &soon);
	knit_loop_call_later(loop, 0, count_up, &due);
	knit_loop_call_later(loop, KNIT_FOREVER, count_up, &later);
	knit_loop_stop(loop);
	passes = loop->counters.passes;
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(loop->counters.passes, passes + 1);
	cr_assert_eq(soon, 1);
	cr_assert_eq(due, 1);
	cr_assert_eq(later, 0);
	knit_loop_unref(loop);
}

Test(rules, r012_the_stop_flag_is_cleared_and_the_loop_runs_again)
{
	knit_loop *loop = loop_new();
	int count = 0;

	for (int i = 0; i < 3; i++) {
		knit_loop_stop(loop);
		knit_loop_stop(loop); /* twice is once */
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		knit_loop_call_later(loop, KNIT_S, count_up, &count);
		knit_loop_call_later(loop, KNIT_S, stop_loop, loop);
		cr_assert_eq(knit_loop_run_forever(loop), 0);
		cr_assert_eq(count, i + 1);
	}
	knit_loop_unref(loop);
}
