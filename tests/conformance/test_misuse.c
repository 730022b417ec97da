/* SPDX-License-Identifier: MIT */
/* test_misuse.c - beyond the rules: what would corrupt memory ends the process with a line that
 * says why; what would not is an error. */
#include "common.h"
#include <string.h>
#include "knit/executor.h"
#include "knit/group.h"
#include "knit/runner.h"
#include "knit/thread.h"
#include "task/task.h"

/* ---- stale pointers ------------------------------------------------------------------ */

static void touch_done(knit_future *f)
{
	(void)knit_future_done(f);
}

static void touch_cancelled(knit_future *f)
{
	(void)knit_future_cancelled(f);
}

static void touch_result(knit_future *f)
{
	(void)knit_future_result(f);
}

static void touch_exception(knit_future *f)
{
	(void)knit_future_exception(f, NULL);
}

static void touch_set_result(knit_future *f)
{
	(void)knit_future_set_result(f, 1);
}

static void touch_set_exception(knit_future *f)
{
	(void)knit_future_set_exception(f, EIO, NULL);
}

static void touch_cancel(knit_future *f)
{
	(void)knit_future_cancel(f, NULL);
}

static void touch_add_callback(knit_future *f)
{
	(void)knit_future_add_done_callback(f, count_done, NULL);
}

static void touch_remove_callback(knit_future *f)
{
	(void)knit_future_remove_done_callback(f, count_done, NULL);
}

static void touch_get_loop(knit_future *f)
{
	(void)knit_future_get_loop(f);
}

static void touch_ref(knit_future *f)
{
	knit_future_ref(f);
}

static void touch_unref(knit_future *f)
{
	knit_future_unref(f);
}

static void touch_await(knit_future *f)
{
	(void)!knit_await(f);
}

static void touch_uncancel(knit_future *f)
{
	(void)knit_task_uncancel(f);
}

static void touch_cancelling(knit_future *f)
{
	(void)knit_task_cancelling(f);
}

static void touch_name(knit_future *f)
{
	(void)knit_task_get_name(f);
}

static void touch_set_name(knit_future *f)
{
	(void)knit_task_set_name(f, "x");
}

static void touch_coro(knit_future *f)
{
	(void)knit_task_get_coro(f);
}

static void touch_high_water(knit_future *f)
{
	(void)knit_task_stack_high_water(f);
}

static void (*const touches[])(knit_future *) = {
        touch_done,       touch_cancelled, touch_result,       touch_exception,
        touch_set_result, touch_cancel,    touch_add_callback, touch_set_exception,
        touch_get_loop,   touch_ref,       touch_unref,        touch_remove_callback,
        touch_await,      touch_uncancel,  touch_cancelling,   touch_name,
        touch_set_name,   touch_coro,      touch_high_water,
};
#define TOUCHES (sizeof(touches) / sizeof(touches[0]))

static size_t touch;
static bool touch_a_task;

CORO(touch_after_free)
{
	knit_future *future = touch_a_task ? knit_create_task(return_arg, NULL) : knit_future_new();

	ticks(1);
	knit_future_unref(future);
	touches[touch](future);
	return 0;
}

static void die_by_stale_pointer(void *unused)
{
	(void)unused;
	(void)!knit_run(touch_after_free, NULL, .clock = KNIT_CLOCK_VIRTUAL);
}

Test(misuse, every_use_of_a_freed_future_or_task_ends_the_process)
{
	for (int i = 0; i < 2; i++) {
		touch_a_task = i;
		for (touch = 0; touch < TOUCHES; touch++)
			test_death(die_by_stale_pointer, NULL,
			           "used after its last reference was dropped");
	}
}

CORO(await_twice)
{
	knit_task *task = knit_create_task(return_arg, (void *)1);

	cr_assert_eq(knit_await(task), 1);
	return knit_await(task);
}

static void die_by_second_await(void *unused)
{
	(void)unused;
	(void)!knit_run(await_twice, NULL, .clock = KNIT_CLOCK_VIRTUAL);
}

CORO(free_a_future)
{
	knit_future *future = knit_future_new();

	knit_future_unref(future);
	return (intptr_t)future;
}

static void die_by_running_a_freed_future(void *unused)
{
	knit_loop *loop = loop_new();
	intptr_t future = knit_loop_run_until_complete(loop, free_a_future, NULL);

	(void)unused;
	(void)!knit_loop_run_until_complete_future(loop, knit_pointer(future));
}

Test(misuse, awaiting_twice_without_a_second_reference_ends_the_process)
{
	test_death(die_by_second_await, NULL, "take knit_task_ref() before it");
	test_death(die_by_running_a_freed_future, NULL, "used after its last reference");
}

/* ---- NULL ------------------------------------------------------------------------------ */

static void die_by_null(void *unused)
{
	(void)unused;
	touches[touch](NULL);
}

CORO(null_arguments)
{
	knit_loop *loop = knit_get_running_loop();
	knit_future *future = knit_future_new();

	cr_assert_null(knit_future_ref(NULL));
	cr_assert_null(knit_future_unref(NULL));
	cr_assert_eq(knit_future_result(NULL), -EINVAL);
	cr_assert_eq(knit_future_exception(NULL, NULL), -EINVAL);
	cr_assert_eq(knit_future_set_result(NULL, 0), -EINVAL);
	cr_assert_eq(knit_future_set_exception(NULL, EIO, NULL), -EINVAL);
	cr_assert_eq(knit_future_add_done_callback(NULL, count_done, NULL), -EINVAL);
	cr_assert_eq(knit_future_add_done_callback(future, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_future_remove_done_callback(NULL, count_done, NULL), -EINVAL);
	cr_assert_eq(knit_task_uncancel(NULL), -EINVAL);
	cr_assert_eq(knit_task_cancelling(NULL), -EINVAL);
	cr_assert_eq(knit_task_set_name(NULL, "x"), -EINVAL);
	cr_assert_eq(knit_await(NULL), -EINVAL);
	cr_assert_eq(knit_handle_error(knit_loop_call_soon(loop, NULL, NULL)), -EINVAL);
	cr_assert_eq(knit_handle_error(knit_loop_call_later(loop, 0, NULL, NULL)), -EINVAL);
	cr_assert_eq(knit_handle_error(knit_loop_call_at(loop, 0, NULL, NULL)), -EINVAL);
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_loop_add_signal_handler(loop, 10, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_run_on(loop, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_run_on(NULL, return_arg, NULL), -EINVAL);
	cr_assert_null(knit_wrap_future(NULL));
	cr_assert_eq(knit_await(NULL), -EINVAL);
	knit_future_unref(future);
	return 0;
}

Test(misuse, null_is_an_error_where_there_is_a_way_to_say_so)
{
	static void (*const without[])(knit_future *) = {touch_done, touch_cancelled, touch_cancel,
	                                                 touch_name, touch_get_loop};

	run(null_arguments);
	for (touch = 0; touch < TOUCHES; touch++)
		for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
			if (touches[touch] == without[i])
				test_death(die_by_null, NULL, "NULL is not a task or future");
}

/* ---- references ---------------------------------------------------------------------------- */

static void unref_foreign(void *future)
{
	knit_future_unref(future);
}

CORO(unref_elsewhere)
{
	on_another_thread(unref_foreign, knit_future_new());
	return 0;
}

static void die_by_foreign_unref(void *unused)
{
	(void)unused;
	(void)!knit_run(unref_elsewhere, NULL);
}

Test(misuse, a_foreign_threads_unref_ends_the_process)
{
	test_death(die_by_foreign_unref, NULL,
	           "knit_future_unref(): the future belongs to a loop of another thread");
}

static knit_future *resurrected;

static void take_reference(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(*(int *)arg)++;
	resurrected = knit_future_ref(context->future);
}

CORO(keep_in_the_handler)
{
	knit_future *future = knit_future_new();
	int count = 0;

	cr_assert_eq(
	        knit_loop_set_exception_handler(knit_get_running_loop(), take_reference, &count),
	        0);
	cr_assert_eq(knit_future_set_exception(future, EIO, "kept"), 0);
	knit_future_unref(future);
	cr_assert_eq(count, 1);
	cr_assert_eq(resurrected, future);
	cr_assert_eq(knit_future_result(resurrected), -EIO);
	knit_future_unref(resurrected);
	cr_assert_eq(count, 1, "reported once");
	return 0;
}

Test(misuse, the_exception_handler_may_keep_the_future_that_it_is_told_of)
{
	run(keep_in_the_handler);
}

static void drop_last(knit_future *future, void *arg)
{
	knit_future_unref(future);
	(*(int *)arg)++;
}

CORO(drop_in_callback)
{
	knit_future *future = knit_future_new(.result_free = count_result);
	int count = 0;

	cr_assert_eq(knit_future_add_done_callback(future, drop_last, &count), 0);
	cr_assert_eq(knit_future_add_done_callback(future, count_done, &count), 0);
	cr_assert_eq(knit_future_set_result(future, 5), 0);
	ticks(1);
	cr_assert_eq(count, 2);
	cr_assert_eq(results_freed, 1);
	return 0;
}

Test(misuse, a_done_callback_may_drop_the_last_reference)
{
	run(drop_in_callback);
}

/* ---- futures that outlive their loop ------------------------------------------------------------
 */

static knit_future *orphans[2];

CORO(leave_orphans)
{
	for (int i = 0; i < 2; i++) {
		orphans[i] = knit_future_new(.result_free = count_result);
		cr_assert_eq(knit_future_add_done_callback(orphans[i], count_done, &args_freed), 0);
	}
	return 0;
}

Test(misuse, completing_a_future_of_a_closed_loop_drops_its_callbacks)
{
	knit_loop *loop = loop_new();

	cr_assert_eq(knit_loop_run_until_complete(loop, leave_orphans, NULL), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_future_set_result(orphans[0], 5), 0);
	cr_assert(knit_future_cancel(orphans[1], NULL));
	cr_assert_eq(results_freed, 0);
	knit_future_unref(orphans[0]);
	knit_future_unref(orphans[1]);
	cr_assert_eq(results_freed, 1, "a callback that never runs kept the future");
	cr_assert_eq(loop->futures.live, 0);
	cr_assert_eq(loop->done_callbacks.live, 0);
	cr_assert_eq(args_freed, 0, "and none of them ran");
	knit_loop_unref(loop);
}

static void complete_orphan(void *unused)
{
	(void)unused;
	cr_expect_eq(knit_future_set_result(orphans[0], 6), 0);
}

static void post_completion(void *loop)
{
	cr_expect_eq(knit_loop_call_soon_threadsafe(loop, complete_orphan, NULL), 0);
}

Test(misuse, so_does_a_post_that_completes_one_while_the_loop_is_closed)
{
	knit_loop *loop = loop_new();

	cr_assert_eq(knit_loop_run_until_complete(loop, leave_orphans, NULL), 0);
	on_another_thread(post_completion, loop);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_future_done(orphans[0]));
	knit_future_unref(orphans[0]);
	knit_future_unref(orphans[1]);
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(loop->done_callbacks.live, 0);
	cr_assert_eq(args_freed, 0);
	knit_loop_unref(loop);
}

/* ---- texts of earlier failures ------------------------------------------------------- */

/* Does @outcome bring along the text of a failure that it has nothing to do with? */
static bool is_stale(intptr_t outcome)
{
	bool stale = strcmp(knit_error_message(outcome), "before") == 0;

	cr_expect_eq(outcome, -EINVAL);
	(void)knit_raise(EINVAL, "before");
	return stale;
}

static intptr_t touch_nothing(void *arg)
{
	return (intptr_t)arg;
}

CORO(fail_in_many_ways)
{
	knit_loop *loop = knit_get_running_loop();
	knit_task_group group;

	(void)knit_raise(EINVAL, "before");
	cr_expect_not(is_stale(knit_run_on(loop, NULL, NULL)));
	cr_expect_not(is_stale(knit_run_on_with(loop, touch_nothing, NULL)));
	cr_expect_not(is_stale(knit_spawn(NULL, NULL)));
	cr_expect_not(is_stale(knit_spawn_with(touch_nothing, NULL)));
	cr_expect_not(is_stale(knit_run(NULL, NULL)));
	cr_expect_not(is_stale(knit_runner_run(NULL, touch_nothing, NULL)));
	cr_expect_not(is_stale(knit_loop_set_default_executor(loop, NULL)));
	cr_assert_eq(knit_task_group_enter(&group), 0);
	cr_expect_not(is_stale(knit_task_group_spawn(&group, NULL, NULL)));
	cr_expect_not(is_stale(knit_task_group_spawn_with(&group, touch_nothing, NULL)));
	return knit_task_group_exit(&group, 0);
}

Test(misuse, a_refused_call_has_no_text_of_an_earlier_failure)
{
	run(fail_in_many_ways);
}

/* ---- the text of a cancellation --------------------------------------------------- */

CORO(fail_cancelled_with_a_request_pending)
{
	cr_assert(knit_task_cancel(knit_current_task(NULL), "pending"));
	return knit_raise(KNIT_ECANCELLED, "returned");
}

CORO(compare_texts)
{
	knit_task *task = knit_create_task(fail_cancelled_with_a_request_pending, NULL);

	trace("%s", repr(knit_await(task)));
	return 0;
}

Test(misuse, a_cancellation_that_a_coroutine_returns_keeps_its_own_text)
{
	run(compare_texts);
	assert_trace("CancelledError(returned)");
}
