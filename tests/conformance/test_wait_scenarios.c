/* SPDX-License-Identifier: MIT */
/* test_wait_scenarios.c - traces of asyncio's gather, wait, wait_for, shield and as_completed. */
#include "common.h"
#include "knit/timeout.h"
#include "knit/wait.h"

static const char *text_of(intptr_t outcome)
{
	return knit_is_error(outcome) ? repr(outcome) : (const char *)knit_pointer(outcome);
}

/* ---- S22: gather, the first error leaves siblings ---------------------------------- */

CORO(s22_ok)
{
	ticks(3);
	trace("sibling finished");
	return (intptr_t) "ok";
}

CORO(s22_bad)
{
	return knit_raise(EINVAL, "x");
}

CORO(s22)
{
	knit_task *a = task_of(s22_ok, NULL), *b = task_of(s22_bad, NULL);
	intptr_t outcomes[2], r = knit_gather((knit_task *[]){knit_task_ref(a), b}, 2, outcomes);

	trace("%s a done %s", repr(r), yes(knit_task_done(a)));
	trace("%s", text_of(knit_await(a)));
	return 0;
}

Test(scenarios, s22_gather_first_error_leaves_siblings)
{
	run(s22);
	assert_trace("ValueError(x) a done False | sibling finished | ok");
}

/* ---- S23: a gather is cancelled ---------------------------------------------------- */

static intptr_t s23_child(void *name)
{
	int r = knit_sleep(10 * KNIT_S);

	if (*(const char *)name == 'B')
		(void)!knit_sleep(KNIT_S);
	trace("%s cleaned", (const char *)name);
	return r;
}

static intptr_t s23_parent(void *return_exceptions)
{
	knit_task *a = task_of(s23_child, "A"), *b = task_of(s23_child, "B");
	intptr_t r = knit_gather((knit_task *[]){a, b}, 2, NULL,
	                         .return_exceptions = return_exceptions != NULL);

	if (knit_is_cancelled(r))
		trace("P CancelledError");
	return r;
}

static void s23_half(const void *return_exceptions)
{
	knit_task *parent = task_of(s23_parent, return_exceptions);

	ticks(2);
	knit_task_cancel(parent, NULL);
	if (knit_is_cancelled(knit_await(parent)))
		trace("parent done");
	cr_assert_eq(knit_sleep(2 * KNIT_S), 0);
}

CORO(s23)
{
	s23_half(NULL);
	s23_half("yes");
	return 0;
}

Test(scenarios, s23_gather_cancelled)
{
	run(s23);
	assert_trace("A cleaned | P CancelledError | parent done | B cleaned | "
	             "A cleaned | B cleaned | P CancelledError | parent done");
}

/* ---- S24: a child is cancelled; duplicates ----------------------------------------- */

static intptr_t s24_w(void *name)
{
	int r = knit_sleep(0);

	return r < 0 ? r : (intptr_t)name;
}

CORO(s24)
{
	knit_task *a = task_of(s24_w, "a"), *b = task_of(s24_w, "b"), *c;
	knit_future *g = knit_gather_future(
	        (knit_task *[]){knit_task_ref(a), knit_task_ref(b), knit_task_ref(a)}, 3, NULL);
	intptr_t outcomes[3];

	knit_task_cancel(a, NULL);
	knit_task_unref(a);
	if (knit_is_cancelled(knit_await(knit_future_ref(g))))
		trace("CancelledError gather.cancelled() %s b %s", yes(knit_future_cancelled(g)),
		      yes(knit_task_cancelled(b)));
	knit_future_unref(g);
	trace("%s", text_of(knit_await(b)));
	c = task_of(s24_w, "c");
	cr_assert_eq(
	        knit_gather((knit_task *[]){c, knit_task_ref(c), task_of(s24_w, "d")}, 3, outcomes),
	        0);
	trace("['%s', '%s', '%s']", text_of(outcomes[0]), text_of(outcomes[1]),
	      text_of(outcomes[2]));
	if (knit_gather(NULL, 0, NULL) == 0)
		trace("[]");
	return 0;
}

Test(scenarios, s24_gather_child_cancel_is_exception_and_duplicates)
{
	run(s24);
	assert_trace("CancelledError gather.cancelled() False b False | b | ['c', 'c', 'd'] | []");
}

/* ---- S25: shield ------------------------------------------------------------------- */

static intptr_t s25_inner(void *future)
{
	intptr_t r = knit_await(knit_future_ref(future));

	if (knit_is_cancelled(r))
		trace("INNER CANCELLED");
	else
		trace("inner got %s", repr(r));
	return r;
}

static intptr_t s25_outer(void *inner)
{
	intptr_t r = knit_await(knit_shield(inner));

	if (knit_is_cancelled(r))
		trace("outer cancelled");
	return r;
}

CORO(s25)
{
	struct reports reports;
	knit_future *future = knit_future_new(), *shield;
	knit_task *inner = task_of(s25_inner, future), *outer = task_of(s25_outer, inner);

	watch_reports(&reports);
	ticks(2);
	knit_task_cancel(outer, NULL);
	ticks(2);
	trace("%s %s", yes(knit_task_cancelled(outer)), yes(knit_task_done(inner)));
	knit_task_unref(outer);
	knit_future_set_result(future, 1);
	trace("%s", repr(knit_await(inner)));
	knit_future_unref(future);
	inner = task_of(sleep_arg, (void *)(intptr_t)(10 * KNIT_S));
	shield = knit_shield(inner);
	ticks(1);
	knit_task_cancel(inner, NULL);
	ticks(2);
	trace("inner cancel -> outer %s", yes(knit_future_cancelled(shield)));
	knit_future_unref(shield);
	knit_task_unref(inner);
	cr_assert_eq(reports.count, 0, "%s", reports.message);
	return 0;
}

Test(scenarios, s25_shield)
{
	run(s25);
	assert_trace("outer cancelled | True False | inner got 1 | 1 | "
	             "inner cancel -> outer True");
}

/* ---- S26, S27: wait_for ------------------------------------------------------------ */

CORO(s26_inner)
{
	int r = knit_sleep(10 * KNIT_S);

	trace("cleanup..");
	(void)!knit_sleep(10 * KNIT_MS);
	trace("cleaned");
	return r;
}

CORO(s26_swallow)
{
	return knit_is_cancelled(knit_sleep(10 * KNIT_S)) ? (intptr_t) "value" : 0;
}

CORO(s26_err)
{
	(void)!knit_sleep(10 * KNIT_S);
	return knit_raise(ENOENT, "k");
}

CORO(s26_never)
{
	trace("NEVER STARTED");
	return 0;
}

CORO(s26)
{
	knit_future *done = knit_future_new();

	if (knit_wait_for(task_of(s26_inner, NULL), 10 * KNIT_MS) == -ETIMEDOUT)
		trace("Timeout");
	trace("%s", text_of(knit_wait_for(task_of(s26_swallow, NULL), 10 * KNIT_MS)));
	trace("%s", repr(knit_wait_for(task_of(s26_err, NULL), 10 * KNIT_MS)));
	if (knit_wait_for(task_of(s26_never, NULL), 0) == -ETIMEDOUT)
		trace("Timeout0");
	knit_future_set_result(done, (intptr_t) "done");
	trace("%s", text_of(knit_wait_for(done, -1)));
	return 0;
}

/* Differs: a TimeoutError has no cause to name, the trace leaves the CancelledError out */
Test(scenarios, s26_wait_for_timeout_waits_for_cleanup)
{
	run(s26);
	assert_trace("cleanup.. | cleaned | Timeout | value | KeyError(k) | Timeout0 | done");
}

static intptr_t s27_waiter(void *future)
{
	intptr_t r = knit_wait_for(knit_future_ref(future), 10 * KNIT_S);

	trace("%s", repr(r));
	return r;
}

CORO(s27)
{
	knit_future *future = knit_future_new();
	knit_task *task = task_of(s27_waiter, future);

	ticks(1);
	knit_future_set_result(future, 1);
	trace("%s", yes(knit_task_cancel(task, NULL)));
	(void)!knit_await(knit_task_ref(task));
	trace("%s %d", yes(knit_task_cancelled(task)), knit_task_cancelling(task));
	knit_task_unref(task);
	knit_future_unref(future);
	return 0;
}

Test(scenarios, s27_wait_for_result_and_cancel_in_one_tick)
{
	run(s27);
	assert_trace("True | CancelledError() | True 1");
}

/* ---- S48: wait --------------------------------------------------------------------- */

static intptr_t s48_w(void *arg)
{
	const char *name = arg;

	ticks(*name == 'a' ? 1 : *name == 'b' ? 8 : 3);
	return *name == 'E' ? knit_raise(EINVAL, "E") : (intptr_t)name;
}

static intptr_t s48_waiter(void *b)
{
	return knit_wait((knit_task *[]){b}, 1, KNIT_FOREVER, KNIT_ALL_COMPLETED);
}

CORO(s48)
{
	knit_task *t[3] = {task_of(s48_w, "a"), task_of(s48_w, "b"), task_of(s48_w, "E")}, *wt;
	int done = knit_wait(t, 3, KNIT_FOREVER, KNIT_FIRST_COMPLETED);

	trace("%d %d", done, 3 - done);
	cr_assert_eq(knit_wait(t, 3, KNIT_FOREVER, KNIT_FIRST_EXCEPTION), 2);
	trace("[%s, %s] %s", yes(knit_task_done(t[0])), yes(knit_task_done(t[2])),
	      yes(!knit_task_done(t[1])));
	done = knit_wait(&t[1], 1, 0, KNIT_ALL_COMPLETED);
	trace("timeout: no exception, not cancelled %d %d %s", done, 1 - done,
	      yes(knit_task_cancelled(t[1])));
	wt = task_of(s48_waiter, t[1]);
	ticks(1);
	knit_task_cancel(wt, NULL);
	cr_assert_eq(knit_wait(&wt, 1, KNIT_FOREVER, KNIT_ALL_COMPLETED), 1);
	trace("cancel of wait() leaves b %s %s", yes(knit_task_cancelled(t[1])),
	      yes(knit_task_done(t[1])));
	knit_task_unref(wt);
	cr_assert_str_eq(text_of(knit_await(t[0])), "a");
	cr_assert_str_eq(text_of(knit_await(t[1])), "b");
	cr_assert_eq(knit_await(t[2]), -EINVAL);
	trace("%s", repr(knit_wait(t, 0, KNIT_FOREVER, KNIT_ALL_COMPLETED)));
	return 0;
}

/* Differs: the error about an empty set has no text of its own */
Test(scenarios, s48_wait)
{
	run(s48);
	assert_trace("1 2 | [True, True] True | timeout: no exception, not cancelled 0 1 False | "
	             "cancel of wait() leaves b False True | ValueError");
}

/* ---- S49: as_completed ------------------------------------------------------------- */

static void s49_iterate(knit_task *tasks[], size_t n)
{
	knit_as_completed all;
	knit_timeout timeout;
	knit_future *next;
	int r;

	cr_assert_eq(knit_timeout_enter(&timeout, 3 * KNIT_S), 0);
	cr_assert_eq(knit_as_completed_init(&all, tasks, n), 0);
	while ((r = knit_as_completed_next(&all, &next)) > 0)
		trace("%s", repr(knit_future_result(next) + (next == tasks[0] ? 20 : 10)));
	cr_assert_eq(knit_as_completed_done(&all), 0);
	trace("%s", repr(knit_timeout_exit(&timeout, r)));
}

CORO(s49)
{
	knit_task *tasks[] = {task_of(sleep_arg, (void *)(intptr_t)(2 * KNIT_S)),
	                      task_of(sleep_arg, (void *)(intptr_t)KNIT_S),
	                      task_of(sleep_forever, NULL)};

	s49_iterate(tasks, 2);
	s49_iterate(&tasks[2], 1);
	trace("%s", yes(knit_task_done(tasks[2])));
	for (int i = 0; i < 3; i++)
		knit_task_unref(tasks[i]);
	return 0;
}

Test(scenarios, s49_as_completed)
{
	run(s49);
	assert_trace("10 | 20 | 0 | TimeoutError | False");
}

/* ---- S66: a gather whose children are done is cancelled ---------------------------- */

CORO(s66)
{
	knit_future *future = knit_future_new(), *gather;
	intptr_t outcome;

	gather = knit_gather_future(&future, 1, &outcome);
	knit_future_set_result(future, 1);
	trace("%s", yes(knit_future_cancel(gather, NULL)));
	cr_assert_eq(knit_await(knit_future_ref(gather)), 0);
	trace("[%s] %s", repr(outcome), yes(knit_future_cancelled(gather)));
	knit_future_unref(gather);
	return 0;
}

Test(scenarios, s66_gather_cancel_after_children_are_done)
{
	run(s66);
	assert_trace("False | [1] False");
}
