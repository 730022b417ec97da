/* SPDX-License-Identifier: MIT */
/* test_remote_ownership.c - who owns arguments and values that cross threads, on each path. */
#include "common.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* Each test drives a loop from one thread, in turns with others: post, then let it run. */
static knit_loop *loop;

static void set_up(void)
{
	loop = loop_new();
}

static void tear_down(void)
{
	knit_loop_unref(loop);
}

CALLBACK(stop)
{
	knit_loop_stop(loop);
}

/* Runs what has been posted, and what comes of it at once. */
static void run_posts(void)
{
	knit_loop_call_later(loop, KNIT_S, stop, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
}

static knit_concurrent_future *start(knit_coro *coro, void *arg)
{
	knit_concurrent_future *future = knit_run_coroutine_threadsafe(
	        loop, coro, arg, .arg_free = count_arg, .result_free = count_result);

	cr_assert_not_null(future);
	return future;
}

Test(remote_ownership, a_value_that_was_taken_is_the_takers, .init = set_up, .fini = tear_down)
{
	knit_concurrent_future *future = start(return_arg, (void *)5);

	cr_assert_eq(args_freed, 0);
	run_posts();
	cr_assert_eq(args_freed, 1);
	cr_assert_eq(knit_concurrent_future_result(future, 0), 5);
	knit_concurrent_future_unref(future);
	cr_assert_eq(results_freed, 0);
}

Test(remote_ownership, a_value_that_nobody_took_is_freed, .init = set_up, .fini = tear_down)
{
	knit_concurrent_future *future = start(return_arg, (void *)5);

	run_posts();
	cr_assert(knit_concurrent_future_done(future));
	cr_assert_eq(results_freed, 0);
	knit_concurrent_future_unref(future);
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(last_result_freed, 5);
	/* Also if nobody holds the future when the task ends. */
	knit_concurrent_future_unref(start(return_arg, (void *)6));
	cr_assert_eq(args_freed, 1);
	run_posts();
	cr_assert_eq(args_freed, 2);
	cr_assert_eq(results_freed, 2);
	cr_assert_eq(last_result_freed, 6);
}

Test(remote_ownership, a_value_that_comes_after_a_cancellation_is_freed, .init = set_up,
     .fini = tear_down)
{
	/* Cancelled before the task was created: it never is. */
	knit_concurrent_future *future = start(return_arg, (void *)5);

	cr_assert(knit_concurrent_future_cancel(future));
	cr_assert_eq(knit_concurrent_future_result(future, 0), -KNIT_ECANCELLED);
	run_posts();
	cr_assert_eq(args_freed, 1);
	cr_assert_eq(results_freed, 0);
	cr_assert_eq(knit_all_tasks(loop, NULL, 0), 0);
	knit_concurrent_future_unref(future);
}

static atomic_int begun; /* coroutines that wait to be cancelled */

CORO(swallow_cancel)
{
	atomic_fetch_add(&begun, 1);
	return knit_sleep(KNIT_FOREVER) == -KNIT_ECANCELLED ? 7 : -1;
}

/* Lets passes go by until so many have begun. */
static void wait_for_beginning(int count)
{
	while (atomic_load(&begun) < count)
		ticks(1);
}

Test(remote_ownership, a_task_that_swallows_the_cancellation_has_its_value_freed, .init = set_up,
     .fini = tear_down)
{
	knit_concurrent_future *future = start(swallow_cancel, NULL);

	run_posts();
	cr_assert_not(knit_concurrent_future_done(future));
	cr_assert(knit_concurrent_future_cancel(future));
	run_posts();
	cr_assert_eq(knit_concurrent_future_result(future, 0), -KNIT_ECANCELLED);
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(last_result_freed, 7);
	cr_assert_eq(args_freed, 1);
	knit_concurrent_future_unref(future);
	cr_assert_eq(results_freed, 1);
}

Test(remote_ownership, what_a_closing_loop_cannot_start_or_end_is_told, .init = set_up)
{
	knit_concurrent_future *running = start(swallow_cancel, NULL), *waiting, *refused;
	struct reports reports = {0};

	cr_assert_eq(knit_loop_set_exception_handler(loop, record_report, &reports), 0);
	run_posts();
	waiting = start(return_arg, (void *)8);
	cr_assert_eq(knit_loop_close(loop), 0);
	/* The one that ran got the cancellation, and returned a value all the same. */
	cr_assert_eq(knit_concurrent_future_result(running, 0), 7);
	cr_assert_eq(knit_concurrent_future_result(waiting, KNIT_FOREVER), -KNIT_ECLOSED);
	cr_assert_eq(args_freed, 2);
	refused = knit_run_coroutine_threadsafe(loop, return_arg, NULL, .arg_free = count_arg);
	cr_assert_null(refused);
	cr_assert_eq(errno, KNIT_ECLOSED);
	cr_assert_eq(args_freed, 2, "creation failed: the argument is the caller's");
	knit_concurrent_future_unref(running);
	knit_concurrent_future_unref(waiting);
	knit_loop_unref(loop);
	cr_assert_eq(results_freed, 0);
}

/* ---- futures that follow ----------------------------------------------------------- */

static intptr_t wrap_and_drop(void *source)
{
	knit_future *wrapped = knit_wrap_future(source);

	ticks(2);
	cr_assert(knit_future_done(wrapped));
	knit_future_unref(wrapped);
	return 0;
}

static intptr_t wrap_and_await(void *source)
{
	return knit_await(knit_wrap_future(source));
}

/* The loop that runs the task and the one that wraps its future are the same here. */
Test(remote_ownership, a_wrapped_value_is_freed_or_taken_once, .init = set_up, .fini = tear_down)
{
	knit_concurrent_future *future = start(return_arg, (void *)5);

	cr_assert_eq(knit_loop_run_until_complete(loop, wrap_and_await, future), 5);
	knit_concurrent_future_unref(future);
	cr_assert_eq(results_freed, 0);

	future = start(return_arg, (void *)6);
	run_posts();
	cr_assert_eq(knit_loop_run_until_complete(loop, wrap_and_drop, future), 0);
	cr_assert_eq(results_freed, 1, "the wrapped one had taken it over");
	knit_concurrent_future_unref(future);
	cr_assert_eq(results_freed, 1);

	future = start(return_arg, (void *)7);
	run_posts();
	cr_assert_eq(knit_concurrent_future_result(future, 0), 7);
	cr_assert_eq(knit_loop_run_until_complete(loop, wrap_and_drop, future), 0);
	knit_concurrent_future_unref(future);
	cr_assert_eq(results_freed, 1, "it had been taken before");
}

static sem_t loop_waits;

static void *complete_when_told(void *future)
{
	while (sem_wait(&loop_waits) < 0)
		;
	/* Room for a loop that would think that nothing can come any more. */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	cr_expect_eq(knit_concurrent_future_set_result(future, 4), 0);
	return NULL;
}

CALLBACK(tell_thread)
{
	sem_post(&loop_waits);
}

CORO(wait_for_a_thread)
{
	knit_concurrent_future *source = knit_concurrent_future_new();
	pthread_t thread;
	intptr_t outcome;

	cr_assert_eq(pthread_create(&thread, NULL, complete_when_told, source), 0);
	knit_loop_call_soon(NULL, tell_thread, NULL);
	knit_loop_call_later(NULL, KNIT_S, log_text, (void *)"the time has jumped");
	outcome = knit_await(knit_wrap_future(source));
	cr_assert_eq(pthread_join(thread, NULL), 0);
	knit_concurrent_future_unref(source);
	return outcome;
}

Test(remote_ownership, virtual_time_stands_still_for_a_wrapped_future)
{
	cr_assert_eq(sem_init(&loop_waits, 0, 0), 0);
	cr_assert_eq(knit_run(wait_for_a_thread, NULL, .clock = KNIT_CLOCK_VIRTUAL), 4);
	assert_trace("");
}

/* ---- a loop that gets its first runner --------------------------------------------- */

static void *run_forever(void *unused)
{
	cr_expect_eq(knit_loop_run_forever(loop), 0);
	cr_expect_eq(knit_loop_close(loop), 0);
	return unused;
}

static atomic_int counted;

CALLBACK(count_atomically)
{
	atomic_fetch_add(&counted, 1);
}

/* Its maker owns it until the other thread runs it, which may be at any moment here. */
Test(remote_ownership, a_loop_may_be_given_work_while_its_thread_starts)
{
	long rounds = test_scale(200, 100, 50, 5);

	for (long i = 0; i < rounds; i++) {
		knit_concurrent_future *future;
		pthread_t thread;

		loop = knit_loop_new();
		cr_assert_not_null(loop);
		atomic_store(&counted, 0);
		cr_assert_eq(pthread_create(&thread, NULL, run_forever, NULL), 0);
		for (int n = 0; n < 10; n++)
			cr_assert_eq(knit_loop_call_soon_threadsafe(loop, count_atomically, NULL),
			             0);
		future = knit_run_coroutine_threadsafe(loop, return_arg, (void *)3);
		cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), 3,
		             "that it was its owner once is no reason not to wait");
		knit_concurrent_future_unref(future);
		cr_assert_eq(atomic_load(&counted), 10);
		cr_assert_eq(knit_loop_stop_threadsafe(loop), 0);
		cr_assert_eq(pthread_join(thread, NULL), 0);
		knit_loop_unref(loop);
	}
}

/* ---- knit_run_on ------------------------------------------------------------------ */

static intptr_t fail_remotely(void *unused)
{
	(void)unused;
	return knit_raise(EINVAL, "over there");
}

/* Awaits the future it is told of, then cancels its caller's task by way of a post. */
CORO(call_another_loop)
{
	knit_task *task;
	intptr_t r = knit_run_on(loop, return_arg, (void *)9, .arg_free = count_arg,
	                         .result_free = count_result);

	cr_assert_eq(r, 9);
	cr_assert_eq(args_freed, 1);
	trace("%s", repr(knit_run_on(loop, fail_remotely, NULL, .arg_free = count_arg)));
	cr_assert_eq(args_freed, 2);
	cr_assert_eq(results_freed, 0);
	cr_assert_eq(knit_run_on(loop, NULL, NULL, .arg_free = count_arg), -EINVAL);
	cr_assert_eq(args_freed, 2);
	task = knit_create_task(return_arg, NULL);
	cr_assert_eq(knit_await(task), 0);
	return 0;
}

/* Calls a coroutine on the other loop that waits to be cancelled. */
CORO(call_and_wait)
{
	return knit_run_on(loop, swallow_cancel, NULL, .arg_free = count_arg);
}

CORO(fail_cancelled)
{
	atomic_fetch_add(&begun, 1);
	return knit_sleep(KNIT_FOREVER);
}

CORO(call_and_fail)
{
	return knit_run_on(loop, fail_cancelled, NULL);
}

CORO(cancel_with_text)
{
	knit_task *task = knit_create_task(call_and_fail, NULL);

	atomic_store(&begun, 0);
	wait_for_beginning(1);
	cr_assert(knit_task_cancel(task, "across"));
	trace("%s", repr(knit_await(task)));
	atomic_store(&begun, 0);
	return 0;
}

CORO(cancel_a_call)
{
	knit_task *task = knit_create_task(call_and_wait, NULL), *self = knit_current_task(NULL);

	wait_for_beginning(1);
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(knit_await(task), 7, "the outcome of the other side decides");
	cr_assert_eq(args_freed, 3);
	/* With the request pending before the call: the other side may or may not have begun. */
	cr_assert(knit_task_cancel(self, "ahead"));
	(void)!knit_run_on(loop, swallow_cancel, NULL, .arg_free = count_arg);
	cr_assert_eq(args_freed, 4);
	cr_assert_eq(knit_task_uncancel(self), 0);
	ticks(1);
	return knit_loop_stop_threadsafe(loop);
}

Test(remote_ownership, run_on_frees_the_argument_once_and_gives_the_value)
{
	pthread_t thread;

	loop = knit_loop_new(); /* real time: it waits for calls */
	cr_assert_not_null(loop);
	/* A loop belongs to its maker until it runs; then to the thread that runs it. */
	cr_assert_eq(pthread_create(&thread, NULL, run_forever, NULL), 0);
	run(call_another_loop);
	run(cancel_with_text);
	assert_trace("ValueError(over there) | CancelledError(across)");
	run(cancel_a_call);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	knit_loop_unref(loop);
}
