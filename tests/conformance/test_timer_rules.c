/* SPDX-License-Identifier: MIT */
/* test_timer_rules.c - rules 21 to 25, 29: time, timers, the exception handler. */
#include "common.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "loop/loop.h"

static int64_t fired_at;

CALLBACK(note_time)
{
	fired_at = knit_loop_time(NULL);
}

CORO(real_time)
{
	knit_loop *loop = knit_get_running_loop();
	int64_t start = knit_loop_time(loop), deadline = start + KNIT_MS;
	uint64_t passes = loop->counters.passes;

	cr_assert_gt(start, 0);
	cr_assert_eq(knit_loop_time(NULL), start, "read once a pass");
	knit_loop_call_at(loop, deadline, note_time, NULL);
	cr_assert_eq(knit_sleep_until(deadline), 0);
	cr_assert_geq(fired_at, deadline, "early");
	cr_assert_geq(knit_loop_time(loop), fired_at);
	/* One pass to wait in, one for the sleeper: no spinning before the deadline. */
	cr_assert_leq(loop->counters.passes - passes, 4);
	return 0;
}

Test(rules, r021_time_is_monotonic_and_timers_use_it_and_are_never_early)
{
	cr_assert_eq(knit_run(real_time, NULL), 0);
}

CORO(equal_deadlines)
{
	static const char *const names[] = {"t0", "t1", "t2", "t3", "t4", "t5"};

	for (int i = 0; i < 6; i++)
		knit_loop_call_at(NULL, 10 * KNIT_MS, log_text, (void *)names[i]);
	knit_loop_call_at(NULL, 5 * KNIT_MS, log_text, (void *)"early");
	return knit_sleep(30 * KNIT_MS);
}

/* Differs: asyncio leaves the order of equal deadlines open */
Test(rules, r022_timers_run_by_deadline_and_equal_ones_in_the_order_of_the_calls)
{
	run(equal_deadlines);
	assert_trace("early | t0 | t1 | t2 | t3 | t4 | t5");
}

CORO(negative_delays)
{
	knit_loop_call_later(NULL, 0, log_text, (void *)"0");
	knit_loop_call_later(NULL, -5 * KNIT_S, log_text, (void *)"-5");
	knit_loop_call_later(NULL, INT64_MIN, log_text, (void *)"least");
	ticks(1);
	trace("--");
	ticks(1);
	return 0;
}

Test(rules, r023_negative_delays_are_due_in_the_next_pass_in_order)
{
	run(negative_delays);
	assert_trace("-- | least | -5 | 0");
}

#define MANY 10000

CORO(cancelled_timers)
{
	static knit_handle handles[MANY];
	knit_loop *loop = knit_get_running_loop();
	uint64_t before = loop->counters.passes, passes;
	int count = 0;

	cr_assert_eq(knit_sleep(10 * KNIT_S), 0);
	passes = loop->counters.passes - before;
	for (int i = 0; i < MANY; i++)
		handles[i] = knit_loop_call_later(loop, (i + 1) * KNIT_MS, count_up, &count);
	cr_assert_eq(loop->timers.count, MANY);
	for (int i = 0; i < MANY; i++)
		cr_assert(knit_handle_cancel(handles[i]));
	cr_assert_eq(loop->timers.count, 0);
	cr_assert_eq(loop->callbacks.live, 0);
	before = loop->counters.passes;
	cr_assert_eq(knit_sleep(10 * KNIT_S), 0);
	cr_assert_eq(loop->counters.passes - before, passes, "cancelled timers woke the loop");
	cr_assert_eq(count, 0);
	return 0;
}

Test(rules, r024_a_cancelled_timer_is_gone_and_never_wakes_the_loop)
{
	run(cancelled_timers);
}

static void cancel_timer(void *handle)
{
	trace("cancelled %s", yes(knit_handle_cancel(*(knit_handle *)handle)));
}

CORO(cancel_a_due_timer)
{
	knit_handle victim;
	int count = 0;

	knit_loop_call_at(NULL, KNIT_MS, cancel_timer, &victim);
	victim = knit_loop_call_at(NULL, KNIT_MS, count_up, &count);
	cr_assert_eq(knit_sleep(2 * KNIT_MS), 0);
	cr_assert_eq(count, 0);
	return 0;
}

Test(rules, r025_a_timer_that_is_due_can_still_be_cancelled_in_the_same_pass)
{
	run(cancel_a_due_timer);
	assert_trace("cancelled True");
}

/* ---- the exception handler --------------------------------------------------------- */

static int saved_stderr, stderr_pipe[2];

static void catch_stderr(void)
{
	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	cr_assert_eq(pipe(stderr_pipe), 0);
	dup2(stderr_pipe[1], STDERR_FILENO);
	close(stderr_pipe[1]);
}

/* What was written to stderr meanwhile. */
static const char *stderr_text(void)
{
	static char text[4096];
	ssize_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	n = read(stderr_pipe[0], text, sizeof(text) - 1);
	close(stderr_pipe[0]);
	cr_assert_geq(n, 0);
	text[n] = '\0';
	return text;
}

CORO(fail)
{
	return knit_raise_at("file.c", 12, EINVAL, "no %s", "luck");
}

static void report_again(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	int *depth = arg;

	/* A handler's own failure is reported like any other, and ends nothing. */
	trace("%s", context->message);
	if ((*depth)++ == 0)
		cr_assert_eq(knit_spawn(fail, NULL), 0);
	else
		cr_assert_eq(knit_loop_set_exception_handler(loop, NULL, NULL), 0);
}

CORO(handlers)
{
	knit_loop *loop = knit_get_running_loop();
	knit_exception_context context = {.message = "by hand"};
	int depth = 0;

	cr_assert_eq(knit_loop_set_exception_handler(loop, report_again, &depth), 0);
	cr_assert_eq(knit_loop_call_exception_handler(loop, &context), 0);
	cr_assert_eq(knit_loop_call_exception_handler(loop, NULL), -EINVAL);
	ticks(2);
	/* The second report restored the default. */
	cr_assert_eq(knit_spawn(fail, NULL, .name = "unlucky"), 0);
	ticks(2);
	cr_assert_eq(knit_loop_call_exception_handler(loop, &context), 0);
	return 0;
}

/* Differs: a handler cannot raise; what fails in it is reported like any other failure */
Test(rules, r029_null_restores_the_default_handler_which_writes_one_line)
{
	catch_stderr();
	intptr_t outcome = knit_run(handlers, NULL, .clock = KNIT_CLOCK_VIRTUAL);
	const char *text = stderr_text();

	cr_assert_eq(outcome, 0);
	cr_assert_str_eq(text, "knit: Task exception was never retrieved: task 'unlucky': no luck "
	                       "(at file.c:12)\n"
	                       "knit: by hand\n");
	assert_trace("by hand | Task exception was never retrieved");
}
