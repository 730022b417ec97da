/* SPDX-License-Identifier: MIT */
/* test_wrap.c - knit_wrap_future(): a future of the loop and a concurrent one that follow each
 * other, whichever is done first. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include "knit/task.h"
#include "task/concurrent.h"

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

/* ---- the concurrent one is first ---- */

static intptr_t wrap_and_await(void *source)
{
	return knit_await(knit_wrap_future(source));
}

Test(wrap, one_that_is_done_already)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	knit_concurrent_future_set_result(future, 11);
	cr_assert_eq(knit_run(wrap_and_await, future), 11);
	cr_assert_eq(knit_run(wrap_and_await, future), 11, "as often as one likes");
	knit_concurrent_future_unref(future);
}

static void *complete_later(void *arg)
{
	knit_concurrent_future *future = arg;

	for (int i = 0; i < 50; i++)
		sched_yield();
	(void)knit_concurrent_future_set_exception(future, EPROTO, "from the thread");
	knit_concurrent_future_unref(future);
	return NULL;
}

static intptr_t await_and_compare(void *source)
{
	intptr_t outcome = knit_await(knit_wrap_future(source));

	return outcome == -EPROTO && !strcmp(knit_error_message(outcome), "from the thread");
}

Test(wrap, a_failure_arrives_with_its_text)
{
	for (int i = 0; i < 20; i++) {
		knit_concurrent_future *future = knit_concurrent_future_new();
		pthread_t thread = rig_thread(complete_later, knit_concurrent_future_ref(future));

		cr_assert_eq(knit_run(await_and_compare, future), 1);
		rig_join(thread);
		knit_concurrent_future_unref(future);
	}
}

static intptr_t cancel_source(void *arg)
{
	knit_concurrent_future *source = arg;
	knit_future *future = knit_wrap_future(source);
	intptr_t outcome;

	if (!knit_concurrent_future_cancel(source) || knit_future_done(future))
		return -1; /* it follows in a later pass */
	outcome = knit_await(knit_future_ref(future));
	if (!knit_future_cancelled(future))
		return -2;
	knit_future_unref(future);
	return outcome == -KNIT_ECANCELLED ? 3 : outcome;
}

Test(wrap, cancelling_the_concurrent_one_cancels_the_other)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_eq(knit_run(cancel_source, future), 3);
	knit_concurrent_future_unref(future);
}

/* ---- the loop's is first ---- */

static intptr_t cancel_wrapper(void *arg)
{
	knit_concurrent_future *source = arg;
	knit_future *future = knit_wrap_future(source);

	if (!knit_future_cancel(future, "enough"))
		return -1;
	if (!knit_future_cancelled(future) || !knit_concurrent_future_done(source))
		return -2;
	knit_future_unref(future);
	for (int i = 0; i < 5; i++)
		if (knit_sleep(0) < 0)
			return -3;
	return kn_list_empty(&knit_get_running_loop()->wraps) ? 4 : -4;
}

Test(wrap, cancelling_the_loops_cancels_the_concurrent_one)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_eq(knit_run(cancel_wrapper, future), 4);
	cr_assert_eq(knit_concurrent_future_result(future, 0), -KNIT_ECANCELLED);
	knit_concurrent_future_unref(future);
}

static intptr_t complete_wrapper(void *arg)
{
	knit_concurrent_future *source = arg;
	knit_future *future = knit_wrap_future(source);
	int r = knit_future_set_result(future, 6);

	if (r < 0 || knit_concurrent_future_done(source))
		return -1;
	/* What the source brings later is of no interest. */
	if (knit_concurrent_future_set_result(source, 7) < 0 || knit_sleep(0) < 0 ||
	    knit_sleep(0) < 0)
		return -2;
	return knit_await(future);
}

Test(wrap, one_completed_by_hand_keeps_its_outcome)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_eq(knit_run(complete_wrapper, future), 6);
	cr_assert_eq(knit_concurrent_future_result(future, 0), 7);
	knit_concurrent_future_unref(future);
}

static intptr_t wrap_and_drop(void *source)
{
	knit_future_unref(knit_wrap_future(source));
	return knit_sleep(0);
}

Test(wrap, one_that_nobody_holds_is_freed_when_the_other_is_done)
{
	knit_loop *loop = knit_loop_new();
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_eq(knit_loop_run_until_complete(loop, wrap_and_drop, future), 0);
	cr_assert_eq(loop->futures.live, 1);
	cr_assert_eq(knit_concurrent_future_set_result(future, 1), 0);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(loop->futures.live, 0);
	cr_assert(kn_list_empty(&loop->wraps));
	knit_concurrent_future_unref(future);
	knit_loop_unref(loop);
}

/* ---- the loop closes first ---- */

static intptr_t wrap_for_later(void *arg)
{
	void **pair = arg;

	pair[1] = knit_wrap_future(pair[0]);
	return pair[1] ? 0 : -1;
}

Test(wrap, closing_the_loop_cancels_its_side_only)
{
	for (int completed = 0; completed < 2; completed++) {
		knit_loop *loop = knit_loop_new();
		knit_concurrent_future *future = knit_concurrent_future_new();
		void *pair[2] = {future, NULL};

		cr_assert_eq(knit_loop_run_until_complete(loop, wrap_for_later, pair), 0);
		if (completed) /* the post for it is under way */
			cr_assert_eq(knit_concurrent_future_set_result(future, 12), 0);
		cr_assert_eq(knit_loop_close(loop), 0);
		cr_assert_eq(knit_future_result(pair[1]), completed ? 12 : -KNIT_ECANCELLED);
		cr_assert_eq(knit_concurrent_future_done(future), completed);
		if (!completed)
			cr_assert_eq(knit_concurrent_future_set_result(future, 13), 0);
		cr_assert_eq(knit_concurrent_future_result(future, 0), 12 + !completed);
		knit_future_unref(pair[1]);
		knit_concurrent_future_unref(future);
		knit_loop_unref(loop);
	}
}

struct completer {
	knit_concurrent_future *future;
	atomic_int go;
};

static void *complete_when_told(void *arg)
{
	struct completer *completer = arg;

	while (!atomic_load(&completer->go))
		sched_yield();
	(void)knit_concurrent_future_set_result(completer->future, 5);
	knit_concurrent_future_unref(completer->future);
	return NULL;
}

Test(wrap, a_loop_may_close_while_the_concurrent_one_is_completed)
{
	int rounds = (int)test_scale(500, 200, 200, 20);

	for (int i = 0; i < rounds; i++) {
		knit_loop *loop = knit_loop_new(.sq_entries = 8, .cq_entries = 16);
		struct completer completer = {.future = knit_concurrent_future_new()};
		void *pair[2] = {completer.future, NULL};
		intptr_t outcome;
		pthread_t thread;

		knit_concurrent_future_ref(completer.future);
		cr_assert_eq(knit_loop_run_until_complete(loop, wrap_for_later, pair), 0);
		thread = rig_thread(complete_when_told, &completer);
		atomic_store(&completer.go, 1);
		for (int j = 0; j < i % 20; j++)
			sched_yield();
		cr_assert_eq(knit_loop_close(loop), 0);
		outcome = knit_future_result(pair[1]);
		cr_assert(outcome == 5 || outcome == -KNIT_ECANCELLED);
		knit_future_unref(pair[1]);
		knit_loop_unref(loop);
		rig_join(thread);
		cr_assert_eq(knit_concurrent_future_result(completer.future, 0), 5);
		knit_concurrent_future_unref(completer.future);
	}
}

/* ---- with a call to another loop ---- */

static intptr_t call_and_wrap(void *arg)
{
	struct worker *worker = arg;
	knit_concurrent_future *call = knit_run_coroutine_threadsafe(worker->loop, nothing,
	                                                             (void *)31);
	intptr_t outcome = knit_await(knit_wrap_future(call));

	knit_concurrent_future_unref(call);
	return outcome;
}

Test(wrap, the_outcome_of_another_loops_coroutine_can_be_awaited)
{
	struct worker worker = {0};

	worker_start(&worker);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(knit_run(call_and_wrap, &worker), 31);
	worker_stop(&worker);
}

/* ---- errors ---- */

static intptr_t await_nothing(void *arg)
{
	(void)arg;
	return knit_await(knit_wrap_future(NULL));
}

Test(wrap, it_needs_a_loop_and_a_future)
{
	knit_concurrent_future *future = knit_concurrent_future_new();

	cr_assert_null(knit_wrap_future(future));
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
	cr_assert_eq(knit_run(await_nothing, NULL), -EINVAL);
	knit_concurrent_future_unref(future);
}
