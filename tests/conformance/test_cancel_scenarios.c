/* SPDX-License-Identifier: MIT */
/* test_cancel_scenarios.c - traces of asyncio's cancellation. */
#include "common.h"

/* ---- S13: before the first step ---------------------------------------------------- */

CORO(s13_worker)
{
	intptr_t r;

	trace("BODY");
	r = knit_sleep(KNIT_S);
	trace("FINALLY");
	return r;
}

CORO(s13)
{
	knit_task *task = knit_create_task(s13_worker, NULL);
	bool accepted = knit_task_cancel(task, "m");

	trace("%s %s %s %d", yes(accepted), yes(knit_task_cancelled(task)),
	      yes(knit_task_done(task)), knit_task_cancelling(task));
	trace("await %s", repr(knit_await(knit_task_ref(task))));
	trace("%s %s", yes(knit_task_cancelled(task)), yes(knit_task_cancel(task, NULL)));
	knit_task_unref(task);
	return 0;
}

Test(scenarios, s13_cancel_before_start)
{
	run(s13);
	assert_trace("True False False 1 | await CancelledError(m) | True False");
}

/* ---- S14, S15: while it awaits a future ------------------------------------------- */

static intptr_t s14_worker(void *future)
{
	intptr_t r = knit_await(knit_future_ref(future));

	if (knit_is_cancelled(r))
		trace("w got %s", repr(r));
	return r;
}

CORO(s14)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(s14_worker, future);
	bool accepted;

	ticks(1);
	accepted = knit_task_cancel(task, "why");
	trace("%s fut %s task %s %s %d", yes(accepted), yes(knit_future_cancelled(future)),
	      yes(knit_task_cancelled(task)), yes(knit_task_done(task)),
	      knit_task_cancelling(task));
	ticks(1);
	trace("task %s", yes(knit_task_cancelled(task)));
	knit_task_unref(task);
	knit_future_unref(future);
	return 0;
}

Test(scenarios, s14_cancel_propagates_to_future_immediately)
{
	run(s14);
	assert_trace("True fut True task False False 1 | w got CancelledError(why) | task True");
}

static intptr_t s15_worker(void *future)
{
	intptr_t r = knit_await(knit_future_ref(future));

	if (knit_is_cancelled(r))
		trace("1st %s %d", repr(r), knit_task_cancelling(knit_current_task(NULL)));
	ticks(1);
	trace("survived a checkpoint");
	return (intptr_t) "ok";
}

CORO(s15)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(s15_worker, future);
	const char *value;
	bool first, second;

	ticks(1);
	first = knit_task_cancel(task, "a");
	second = knit_task_cancel(task, "b");
	trace("%s %s", yes(first), yes(second));
	value = knit_pointer(knit_await(knit_task_ref(task)));
	trace("%s %s %d", value, yes(knit_task_cancelled(task)), knit_task_cancelling(task));
	knit_task_unref(task);
	knit_future_unref(future);
	return 0;
}

Test(scenarios, s15_cancel_twice_before_delivery_is_one_exception)
{
	run(s15);
	assert_trace("True True | 1st CancelledError(a) 2 | survived a checkpoint | ok False 2");
}

/* ---- S17: swallowed --------------------------------------------------------------- */

CORO(s17_worker)
{
	knit_task *self = knit_current_task(NULL);
	int left[3];

	for (int i = 0; i < 2; i++)
		if (knit_sleep(10 * KNIT_S) == -KNIT_ECANCELLED)
			trace("swallowed %d %d", i, knit_task_cancelling(self));
	for (int i = 0; i < 3; i++)
		left[i] = knit_task_uncancel(self);
	trace("uncancel %d %d %d", left[0], left[1], left[2]);
	ticks(1);
	return (intptr_t) "finished";
}

CORO(s17)
{
	knit_task *task = knit_create_task(s17_worker, NULL);
	const char *value;

	for (int i = 0; i < 2; i++) {
		ticks(1);
		(void)knit_task_cancel(task, NULL);
	}
	value = knit_pointer(knit_await(knit_task_ref(task)));
	trace("%s %s %d", value, yes(knit_task_cancelled(task)), knit_task_cancelling(task));
	knit_task_unref(task);
	return 0;
}

Test(scenarios, s17_cancellation_is_edge_triggered)
{
	run(s17);
	assert_trace("swallowed 0 1 | swallowed 1 2 | uncancel 1 0 0 | finished False 0");
}

/* ---- S21: made by hand ------------------------------------------------------------ */

CORO(s21_worker)
{
	return knit_raise(KNIT_ECANCELLED, "self-made");
}

CORO(s21)
{
	knit_task *task = knit_create_task(s21_worker, NULL);
	intptr_t r = knit_await(knit_task_ref(task));

	trace("%s %s %d", repr(r), yes(knit_task_cancelled(task)), knit_task_cancelling(task));
	trace("main not cancelled %d", knit_task_cancelling(knit_current_task(NULL)));
	knit_task_unref(task);
	return 0;
}

Test(scenarios, s21_raising_cancellederror_without_cancel)
{
	run(s21);
	assert_trace("CancelledError(self-made) True 0 | main not cancelled 0");
}
