/* SPDX-License-Identifier: MIT */
/* test_run_rules.c - rules 13 to 20: running until something is done, nesting, closing. */
#include "common.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- run_until_complete ------------------------------------------------------------ */

CORO(stop_then_go_on)
{
	knit_loop_stop(knit_get_running_loop());
	ticks(1);
	trace("resumed");
	cr_assert_eq(knit_sleep(KNIT_MS), 0);
	return 7;
}

Test(rules, r013_a_run_that_is_stopped_early_says_so_and_the_task_goes_on)
{
	knit_loop *loop = loop_new();
	knit_task *task = knit_loop_create_task(loop, stop_then_go_on, NULL);

	cr_assert_not_null(task);
	cr_assert_eq(knit_loop_run_until_complete_future(loop, task), -KNIT_ESTOPPED);
	cr_assert_not(knit_task_done(task));
	assert_trace("");
	/* The reference stayed the caller's. */
	cr_assert_eq(knit_loop_run_until_complete_future(loop, task), 7);
	assert_trace("resumed");
	knit_loop_unref(loop);
}

CORO(make_future)
{
	return (intptr_t)knit_future_new();
}

/* A pending future of a loop that does not run. */
static knit_future *future_of(knit_loop *loop)
{
	knit_future *future = knit_pointer(knit_loop_run_until_complete(loop, make_future, NULL));

	cr_assert_not_null(future);
	return future;
}

Test(rules, r014_a_run_that_ended_early_leaves_nothing_that_stops_the_next)
{
	knit_loop *loop = loop_new();
	knit_future *future = future_of(loop);
	int count = 0;

	/* Stopped before the future is done, ... */
	knit_loop_stop(loop);
	cr_assert_eq(knit_loop_run_until_complete_future(loop, future), -KNIT_ESTOPPED);
	knit_loop_call_soon(loop, complete_with_1, future);
	knit_loop_call_later(loop, KNIT_S, count_up, &count);
	knit_loop_call_later(loop, KNIT_S, stop_loop, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(count, 1, "completing the future stopped another run");
	knit_future_unref(future);

	/* ... and in the same pass in which it is completed. */
	future = future_of(loop);
	knit_loop_call_soon(loop, complete_with_1, future);
	knit_loop_call_soon(loop, stop_loop, loop);
	cr_assert_eq(knit_loop_run_until_complete_future(loop, future), 1);
	knit_loop_call_later(loop, KNIT_S, count_up, &count);
	knit_loop_call_later(loop, KNIT_S, stop_loop, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(count, 2);
	knit_loop_unref(loop);
}

Test(rules, r015_a_future_of_another_loop_is_refused)
{
	knit_loop *loop = loop_new(), *other = loop_new();
	knit_future *future = future_of(loop);

	cr_assert_eq(knit_loop_run_until_complete_future(other, future), -EINVAL);
	cr_assert_not(knit_loop_is_running(other));
	cr_assert_eq(knit_loop_run_until_complete_future(other, NULL), -EINVAL);
	cr_assert_eq(knit_future_get_loop(future), loop);
	/* The reference was not consumed. */
	knit_future_unref(future);
	knit_loop_unref(loop);
	knit_loop_unref(other);
}

/* ---- nesting ----------------------------------------------------------------------- */

static knit_loop *inner;

/* Every way to run something; -KNIT_ERUNNING from each, and nothing has changed. */
static void expect_no_nesting(void)
{
	knit_loop *loop = knit_get_running_loop();
	knit_task *task = knit_current_task(NULL);
	knit_loop *loops[] = {loop, inner};

	cr_assert_eq(knit_run(return_arg, NULL), -KNIT_ERUNNING);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(knit_loop_run_forever(loops[i]), -KNIT_ERUNNING);
		cr_assert_eq(knit_loop_run_once(loops[i], 0), -KNIT_ERUNNING);
		cr_assert_eq(knit_loop_run_until_complete(loops[i], return_arg, NULL),
		             -KNIT_ERUNNING);
	}
	cr_assert_eq(knit_loop_close(loop), -KNIT_ERUNNING);
	cr_assert_eq(knit_get_running_loop(), loop);
	cr_assert_eq(knit_current_task(NULL), task);
	cr_assert(knit_loop_is_running(loop));
	cr_assert_not(knit_loop_is_running(inner));
	cr_assert_not(knit_loop_is_closed(loop));
}

CALLBACK(nest_in_callback)
{
	expect_no_nesting();
	trace("callback");
}

CORO(nest)
{
	knit_future *future = knit_future_new();

	expect_no_nesting();
	cr_assert_eq(knit_loop_run_until_complete_future(knit_get_running_loop(), future),
	             -KNIT_ERUNNING);
	knit_future_unref(future);
	knit_loop_call_soon(NULL, nest_in_callback, NULL);
	ticks(1);
	trace("task");
	return 0;
}

Test(rules, r016_neither_this_nor_another_loop_can_be_run_inside_a_run)
{
	inner = loop_new();
	run(nest);
	assert_trace("callback | task");
	knit_loop_unref(inner);
}

CORO(nest_then_work)
{
	expect_no_nesting();
	/* What a wrongly ended outer run would break: waiting, creating, timers. */
	cr_assert_eq(knit_sleep(KNIT_MS), 0);
	cr_assert_eq(knit_await(knit_create_task(return_arg, (void *)5)), 5);
	return knit_get_running_loop() ? 0 : -1;
}

Test(rules, r017_a_nested_run_that_failed_leaves_the_outer_one_intact)
{
	inner = loop_new();
	run(nest_then_work);
	cr_assert_null(knit_get_running_loop());
	/* The inner one was not spoilt either. */
	cr_assert_eq(knit_loop_run_until_complete(inner, return_arg, (void *)3), 3);
	knit_loop_unref(inner);
}

/* ---- closing ----------------------------------------------------------------------- */

static void post_two(void *loop)
{
	cr_expect_eq(knit_loop_call_soon_threadsafe(loop, log_text, (void *)"post 1"), 0);
	cr_expect_eq(knit_loop_call_soon_threadsafe(loop, log_text, (void *)"post 2"), 0);
}

static void close_running(void *loop)
{
	trace("%s", repr(knit_loop_close(loop)));
	knit_loop_stop(loop);
}

/* Differs: the posts that other threads had got a yes for are run */
Test(rules, r018_close_drops_callbacks_and_timers_unrun)
{
	knit_loop *loop = loop_new();
	int count = 0;
	knit_handle soon, later;

	knit_loop_call_soon(loop, close_running, loop);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_not(knit_loop_is_closed(loop));
	soon = knit_loop_call_soon(loop, count_up, &count);
	later = knit_loop_call_later(loop, 0, count_up, &count);
	on_another_thread(post_two, loop);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_loop_is_closed(loop));
	cr_assert_eq(count, 0);
	cr_assert_not(knit_handle_is_pending(soon));
	cr_assert_not(knit_handle_cancel(later));
	cr_assert_eq(knit_loop_close(loop), 0, "closing twice does nothing");
	knit_loop_unref(loop);
	assert_trace("KNIT_ERUNNING | post 1 | post 2");
}

Test(rules, r019_a_closed_loop_refuses_everything)
{
	knit_loop *loop = loop_new();
	knit_future *future = future_of(loop), *done = future_of(loop);
	int count = 0;

	cr_assert_eq(knit_future_set_result(done, 2), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_handle_error(knit_loop_call_soon(loop, count_up, &count)), -KNIT_ECLOSED);
	cr_assert_eq(knit_handle_error(knit_loop_call_later(loop, 0, count_up, &count)),
	             -KNIT_ECLOSED);
	cr_assert_eq(knit_handle_error(knit_loop_call_at(loop, 0, count_up, &count)),
	             -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_call_soon_threadsafe(loop, count_up, &count), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_stop_threadsafe(loop), -KNIT_ECLOSED);
	cr_assert_null(knit_loop_create_task(loop, return_arg, NULL));
	cr_assert_eq(knit_await(NULL), -KNIT_ECLOSED);
	errno = 0;
	cr_assert_null(knit_run_coroutine_threadsafe(loop, return_arg, NULL));
	cr_assert_eq(errno, KNIT_ECLOSED);
	cr_assert_eq(knit_loop_run_forever(loop), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_run_once(loop, 0), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_run_until_complete(loop, return_arg, NULL), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_run_until_complete_future(loop, future), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_fd(loop), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, count_up, &count), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 0);
	cr_assert_eq(knit_future_add_done_callback(future, count_done, &count), -KNIT_ECLOSED);
	/* What is done can still be asked. */
	cr_assert_eq(knit_future_result(done), 2);
	knit_future_unref(future);
	knit_future_unref(done);
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
	cr_assert_eq(count, 0);
}

/* ---- the running loop -------------------------------------------------------------- */

static void expect_no_loop(void *unused)
{
	(void)unused;
	errno = 0;
	cr_expect_null(knit_get_running_loop());
	cr_expect_eq(errno, KNIT_ENOLOOP);
	cr_expect_null(knit_current_task(NULL));
	cr_expect_eq(knit_all_tasks(NULL, NULL, 0), 0);
}

static int fork_and_look(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(knit_get_running_loop() || knit_current_task(NULL) ? 1 : 0);
	cr_assert_gt(child, 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	return status;
}

CORO(look_for_the_loop)
{
	knit_loop *loop = knit_get_running_loop();

	cr_assert_not_null(loop);
	cr_assert_eq(knit_future_get_loop(knit_current_task(loop)), loop);
	on_another_thread(expect_no_loop, NULL);
	cr_assert_eq(fork_and_look(), 0, "a forked child sees a running loop");
	cr_assert_eq(knit_get_running_loop(), loop);
	knit_loop_stop(loop);
	return 0;
}

Test(rules, r020_the_running_loop_is_the_threads_own_while_it_runs)
{
	knit_loop *loop = loop_new();
	struct reports reports = {0};

	cr_assert_eq(knit_loop_set_exception_handler(loop, record_report, &reports), 0);
	expect_no_loop(NULL);
	cr_assert_eq(knit_loop_run_until_complete(loop, look_for_the_loop, NULL), 0);
	expect_no_loop(NULL);
	/* After a run that failed too. */
	cr_assert_eq(knit_loop_run_until_complete(loop, sleep_forever, NULL), -EDEADLK);
	expect_no_loop(NULL);
	cr_assert_eq(knit_loop_close(loop), 0);
	expect_no_loop(NULL);
	knit_loop_unref(loop);
}
