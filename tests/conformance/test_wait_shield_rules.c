/* SPDX-License-Identifier: MIT */
/* test_wait_shield_rules.c - asyncio's rules of shield and as_completed: 129 to 134. */
#include "common.h"
#include "knit/timeout.h"
#include "knit/wait.h"

static intptr_t await_shield(void *inner)
{
	return knit_await(knit_shield(inner));
}

CORO(r129)
{
	knit_task *inner = task_of(sleep_arg, (void *)(intptr_t)KNIT_S);
	knit_task *outer = task_of(await_shield, inner);

	ticks(2);
	knit_task_cancel(outer, "m");
	trace("%s", repr(knit_await(outer)));
	trace("%d %s", knit_task_cancelling(inner), yes(knit_task_done(inner)));
	return knit_await(inner);
}

Test(rules, r129_cancelling_a_shield_does_not_touch_the_inner_one)
{
	run(r129);
	assert_trace("CancelledError(m) | 0 False");
}

CORO(r130)
{
	knit_task *inner = task_of(sleep_forever, NULL);
	knit_future *shield = knit_shield(inner);

	ticks(1);
	knit_task_cancel(inner, "m");
	trace("%s", repr(knit_await(knit_future_ref(shield))));
	trace("%s", yes(knit_future_cancelled(shield)));
	knit_future_unref(shield);
	knit_task_unref(inner);
	return 0;
}

Test(rules, r130_a_cancelled_inner_one_cancels_the_shield)
{
	run(r130);
	assert_trace("CancelledError(m) | True");
}

CORO(r131)
{
	knit_future *inner = knit_future_new(), *shield;

	knit_future_set_result(inner, 1);
	shield = knit_shield(inner);
	cr_assert_eq(shield, inner);
	knit_future_unref(inner);
	return knit_await(shield) == 1 ? 0 : -EIO;
}

Test(rules, r131_the_shield_of_a_done_future_is_the_future)
{
	run(r131);
}

static intptr_t fail_after(void *future)
{
	intptr_t r = knit_await(knit_future_ref(future));

	return knit_is_error(r) ? r : knit_raise(EINVAL, "late");
}

/* The shield is cancelled, with or without a reference left to it, then the inner one fails. */
static void fail_behind_a_shield(bool keep, bool silent)
{
	struct reports reports;
	knit_future *gate = knit_future_new();
	knit_task *inner = task_of(fail_after, gate);
	knit_future *shield = knit_shield(inner, .silent = silent);
	int expected = silent ? 0 : 1;

	watch_reports(&reports);
	knit_future_cancel(shield, NULL);
	if (!keep)
		knit_future_unref(shield);
	ticks(1);
	knit_future_set_result(gate, 1);
	ticks(3);
	cr_assert_eq(reports.count, expected);
	if (!silent) {
		cr_assert_str_eq(reports.message, "exception in shielded future");
		cr_assert_str_eq(reports.error, "late");
	}
	cr_assert_eq(knit_await(inner), -EINVAL, "it can still be retrieved");
	if (keep)
		knit_future_unref(shield);
	knit_future_unref(gate);
	cr_assert_eq(reports.count, expected, "once");
}

CORO(r132)
{
	for (int i = 0; i < 4; i++)
		fail_behind_a_shield(i & 1, i & 2);
	return 0;
}

/* Differs: a failure that somebody has retrieved by then is not reported */
Test(rules, r132_a_failure_behind_a_cancelled_shield_is_reported_once)
{
	run(r132);
}

CORO(r133)
{
	knit_task *a = task_of(sleep_arg, (void *)(intptr_t)KNIT_S);
	knit_future *shield = knit_shield(a), *gather;

	knit_future_ref(shield);
	gather = knit_gather_future(&shield, 1, NULL);
	ticks(1);
	trace("%s", yes(knit_future_cancel(gather, NULL)));
	trace("%s", yes(knit_future_cancelled(shield)));
	trace("%s", repr(knit_await(gather)));
	knit_future_unref(shield);
	trace("%s", repr(knit_await(a)));
	return 0;
}

Test(rules, r133_a_gather_of_shields_cancels_the_shields_only)
{
	run(r133);
	assert_trace("True | True | CancelledError() | 0");
}

/* ---- 134 --------------------------------------------------------------------------- */

CORO(r134)
{
	knit_task *slow = task_of(sleep_arg, (void *)(intptr_t)(2 * KNIT_S));
	knit_task *fast = task_of(sleep_arg, (void *)(intptr_t)KNIT_S);
	knit_task *never = task_of(sleep_forever, NULL);
	knit_task *tasks[] = {slow, fast, never, slow};
	knit_as_completed all;
	knit_timeout timeout;
	knit_future *next;
	int r;

	cr_assert_eq(knit_as_completed_init(&all, tasks, 4), 0);
	cr_assert_eq(knit_timeout_enter(&timeout, 3 * KNIT_S), 0);
	while ((r = knit_as_completed_next(&all, &next)) > 0)
		trace("%s", next == slow ? "slow" : next == fast ? "fast" : "?");
	r = (int)knit_timeout_exit(&timeout, r);
	trace("%s %d %s", repr(r), knit_task_cancelling(never), yes(knit_task_done(never)));
	cr_assert_null(next);
	cr_assert_eq(knit_as_completed_done(&all), 0);
	for (int i = 0; i < 3; i++)
		knit_task_unref(tasks[i]);
	return 0;
}

Test(rules, r134_as_completed_goes_by_completion_and_cancels_nothing)
{
	run(r134);
	assert_trace("fast | slow | TimeoutError 0 False");
}

static intptr_t consume(void *all)
{
	knit_future *next;
	int count = 0;

	while (knit_as_completed_next(all, &next) > 0)
		count++;
	return count;
}

CORO(r134_shared)
{
	knit_task *tasks[5], *consumers[2];
	knit_as_completed all;

	for (int i = 0; i < 5; i++)
		tasks[i] = task_of(sleep_arg, (void *)(intptr_t)((i / 2 + 1) * KNIT_S));
	cr_assert_eq(knit_as_completed_init(&all, tasks, 5), 0);
	for (int i = 0; i < 2; i++)
		consumers[i] = task_of(consume, &all);
	for (int i = 0; i < 2; i++)
		trace("%s", repr(knit_await(consumers[i])));
	cr_assert_eq(knit_as_completed_done(&all), 0);
	for (int i = 0; i < 5; i++)
		knit_task_unref(tasks[i]);
	return 0;
}

Test(rules, r134_several_tasks_may_share_an_iteration)
{
	run(r134_shared);
	assert_trace("3 | 2");
}
