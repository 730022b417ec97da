/* SPDX-License-Identifier: MIT */
/* test_blocking.c - calls into threads: outcomes, cancellation, the end of the default executor. */
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include "knit/executor.h"
#include "knit/task.h"
#include "test.h"
#include "unit/loop/rig.h"

static sem_t entered, may_return;
static atomic_int runs, args_freed, results_freed;

static void setup(void)
{
	cr_assert_eq(sem_init(&entered, 0, 0), 0);
	cr_assert_eq(sem_init(&may_return, 0, 0), 0);
	runs = args_freed = results_freed = 0;
}

static void sem_take(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		;
}

static intptr_t hold(void *arg)
{
	runs++;
	sem_post(&entered);
	sem_take(&may_return);
	return (intptr_t)arg;
}

static intptr_t count_run(void *arg)
{
	runs++;
	return (intptr_t)arg;
}

static intptr_t fail(void *arg)
{
	return knit_raise(EIO, "the %s failed", (const char *)arg);
}

static void free_arg(void *arg)
{
	(void)arg;
	args_freed++;
}

static void free_result(intptr_t outcome)
{
	(void)outcome;
	results_freed++;
}

static intptr_t cancelled_forever(void *arg)
{
	(void)arg;
	return -KNIT_ECANCELLED;
}

/* ---- outcomes ------------------------------------------------------------------------ */

static intptr_t outcome_main(void *unused)
{
	knit_future *future = knit_run_in_executor(NULL, fail, (void *)"disk");
	intptr_t r = knit_await(future);

	(void)unused;
	cr_assert_eq(r, -EIO);
	cr_assert_str_eq(knit_error_message(r), "the disk failed");
	r = knit_to_thread(fail, (void *)"name");
	cr_assert_eq(r, -EIO);
	cr_assert_str_eq(knit_error_message(r), "the name failed");
	/* The text is not that of a call before in the same thread. */
	r = knit_to_thread(count_run, (void *)-EIO);
	cr_assert_eq(r, -EIO);
	cr_assert_str_eq(knit_error_message(r), knit_strerror(EIO));
	future = knit_run_in_executor(NULL, cancelled_forever, NULL);
	cr_assert_eq(knit_await(knit_future_ref(future)), -KNIT_ECANCELLED);
	cr_assert(knit_future_cancelled(future));
	knit_future_unref(future);
	/* A value that nobody retrieves. */
	future = knit_run_in_executor(NULL, count_run, (void *)9, .arg_free = free_arg,
	                              .result_free = free_result);
	while (!knit_future_done(future))
		cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(args_freed, 1);
	cr_assert_eq(results_freed, 0);
	knit_future_unref(future);
	cr_assert_eq(results_freed, 1);
	return 0;
}

Test(blocking, outcomes_and_their_texts_come_back, .init = setup)
{
	cr_assert_eq(knit_run(outcome_main, NULL), 0);
}

static intptr_t virtual_main(void *unused)
{
	int64_t start = knit_loop_time(NULL);
	knit_handle timer = knit_loop_call_later(NULL, KNIT_S, rig_stop, NULL);

	(void)unused;
	for (int i = 0; i < 20; i++)
		cr_assert_eq(knit_to_thread(count_run, (void *)1), 1);
	cr_assert_eq(knit_loop_time(NULL), start, "time passed while a function ran");
	cr_assert(knit_handle_cancel(timer));
	return 0;
}

Test(blocking, virtual_time_stands_still_while_a_function_runs, .init = setup)
{
	cr_assert_eq(knit_run(virtual_main, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0);
}

/* ---- cancellation -------------------------------------------------------------------- */

static intptr_t call_held(void *executor)
{
	intptr_t r = knit_to_thread(hold, (void *)6, .executor = executor);

	cr_assert_eq(r, 6, "the outcome of a function that ran is not lost");
	/* The request is delivered at the next wait. */
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	return -KNIT_ECANCELLED;
}

static intptr_t call_counted(void *executor)
{
	return knit_to_thread(count_run, (void *)1, .executor = executor);
}

static intptr_t cancel_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 1);
	knit_task *runs_now = knit_create_task(call_held, executor);
	knit_task *waits = knit_create_task(call_counted, executor);

	(void)unused;
	cr_assert_eq(knit_sleep(0), 0);
	sem_take(&entered);
	cr_assert(knit_task_cancel(waits, "no more"));
	cr_assert_eq(knit_await(waits), -KNIT_ECANCELLED, "at once: no thread had taken it");
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "no more");
	cr_assert(knit_task_cancel(runs_now, NULL));
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_not(knit_task_done(runs_now), "the function uses the caller's stack");
	sem_post(&may_return);
	cr_assert_eq(knit_await(runs_now), -KNIT_ECANCELLED);
	/* Cancelled before the call: nothing is begun. */
	knit_task_cancel(knit_current_task(NULL), NULL);
	cr_assert_eq(call_counted(executor), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_uncancel(knit_current_task(NULL)), 0);
	cr_assert_eq(runs, 1);
	knit_executor_unref(executor);
	return 0;
}

Test(blocking, to_thread_returns_only_after_the_function, .init = setup)
{
	int before = test_threads();

	cr_assert_eq(knit_run(cancel_main, NULL), 0);
	cr_assert_eq(test_threads(), before);
}

static intptr_t cancel_futures_main(void *unused)
{
	knit_executor *executor = knit_executor_new(.threads = 1);
	knit_future *first = knit_run_in_executor(executor, hold, (void *)1, .arg_free = free_arg,
	                                          .result_free = free_result);
	knit_future *second = knit_run_in_executor(
	        executor, count_run, (void *)2, .arg_free = free_arg, .result_free = free_result);

	(void)unused;
	sem_take(&entered);
	cr_assert(knit_future_cancel(second, NULL));
	cr_assert_eq(knit_await(second), -KNIT_ECANCELLED);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(args_freed, 1, "the function never runs");
	cr_assert(knit_future_cancel(first, NULL));
	cr_assert_eq(knit_await(first), -KNIT_ECANCELLED);
	cr_assert_eq(args_freed + results_freed, 1);
	sem_post(&may_return);
	while (args_freed < 2)
		cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(results_freed, 1, "the value that nobody can retrieve");
	cr_assert_eq(runs, 1);
	knit_executor_unref(executor);
	return 0;
}

Test(blocking, cancelling_the_future_is_at_once_and_the_value_is_freed, .init = setup)
{
	cr_assert_eq(knit_run(cancel_futures_main, NULL), 0);
}

/* ---- the end ------------------------------------------------------------------------- */

static intptr_t refuse_main(void *unused)
{
	knit_executor *executor = knit_executor_new();

	(void)unused;
	cr_assert_eq(knit_loop_shutdown_default_executor(0), 0, "there is none yet");
	cr_assert_null(knit_run_in_executor(NULL, count_run, NULL));
	cr_assert_eq(knit_await(NULL), -KNIT_ECLOSED);
	cr_assert_eq(knit_to_thread(count_run, NULL), -KNIT_ECLOSED);
	cr_assert_eq(knit_loop_set_default_executor(NULL, executor), -KNIT_ECLOSED);
	cr_assert_eq(knit_to_thread(count_run, (void *)1, .executor = executor), 1);
	cr_assert_eq(knit_loop_shutdown_default_executor(KNIT_FOREVER), 0);
	knit_executor_unref(executor);
	return 0;
}

Test(blocking, a_default_executor_that_was_shut_down_refuses, .init = setup)
{
	cr_assert_eq(knit_run(refuse_main, NULL), 0);
}

static intptr_t shut(void *timeout)
{
	return knit_loop_shutdown_default_executor(*(int64_t *)timeout);
}

static intptr_t shutdown_main(void *unused)
{
	int64_t forever = KNIT_FOREVER;
	knit_future *future = knit_run_in_executor(NULL, hold, (void *)3);
	int before = test_threads();
	knit_task *waits = knit_create_task(shut, &forever);
	knit_task *cancelled = knit_create_task(shut, &forever);

	(void)unused;
	cr_assert_eq(knit_loop_shutdown_default_executor(0), -ETIMEDOUT);
	cr_assert_eq(knit_loop_shutdown_default_executor(1), -ETIMEDOUT);
	knit_task_cancel(cancelled, NULL);
	cr_assert_eq(knit_await(cancelled), -KNIT_ECANCELLED);
	cr_assert_not(knit_task_done(waits));
	sem_post(&may_return);
	cr_assert_eq(knit_await(waits), 0);
	cr_assert_eq(knit_await(future), 3);
	cr_assert_eq(test_threads(), before - 1);
	return 0;
}

Test(blocking, a_shutdown_waits_for_what_runs_and_joins_the_threads, .init = setup)
{
	cr_assert_eq(knit_run(shutdown_main, NULL), 0);
}

static intptr_t leave_running(void *arg)
{
	sem_t *sem = arg;

	knit_future_unref(knit_run_in_executor(NULL, hold, NULL, .arg_free = free_arg,
	                                       .result_free = free_result));
	sem_take(&entered);
	sem_post(sem);
	return 4;
}

static void *open_the_gate(void *sem)
{
	sem_take(sem);
	sem_post(&may_return);
	return NULL;
}

Test(blocking, the_end_of_a_run_waits_for_functions_that_run, .init = setup)
{
	sem_t left;
	pthread_t opener;
	int before = test_threads();

	cr_assert_eq(sem_init(&left, 0, 0), 0);
	opener = rig_thread(open_the_gate, &left);
	cr_assert_eq(knit_run(leave_running, &left), 4);
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(args_freed, 1);
	rig_join(opener);
	cr_assert_eq(test_threads(), before);
}
