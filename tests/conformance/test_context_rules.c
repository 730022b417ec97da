/* SPDX-License-Identifier: MIT */
/* test_context_rules.c - context variables: what is captured when, and who sees what. */
#include "common.h"
#include <signal.h>
#include <string.h>
#include "knit/context.h"
#include "knit/runner.h"

static knit_contextvar *var;

static void setup(void)
{
	var = knit_contextvar_new("v");
	cr_assert_not_null(var);
}

static void teardown(void)
{
	knit_contextvar_unref(var);
}

static long get(void)
{
	return (long)knit_contextvar_get(var);
}

static void set(intptr_t value)
{
	cr_assert_eq(knit_contextvar_set(var, value, NULL), 0);
}

/* ---- rule 30 ------------------------------------------------------------------------- */

static void log_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	trace("%s sees %ld", context->name ? "task" : "callback", get());
}

static intptr_t set_and_fail(void *arg)
{
	set((intptr_t)arg);
	return -EIO;
}

static void set_and_report(void *arg)
{
	knit_exception_context context = {.message = "failed"};

	set((intptr_t)arg);
	knit_loop_call_exception_handler(NULL, &context);
}

CORO(r030)
{
	set(1);
	knit_loop_set_exception_handler(NULL, log_report, NULL);
	if (knit_spawn(set_and_fail, (void *)2) < 0)
		return -1;
	knit_loop_call_soon(NULL, set_and_report, (void *)3);
	ticks(2);
	trace("main sees %ld", get());
	return 0;
}

/* Differs: a callback returns nothing; it reports by knit_loop_call_exception_handler() */
Test(rules, r030_the_exception_handler_runs_in_the_context_of_what_failed, .init = setup,
     .fini = teardown)
{
	run(r030);
	assert_trace("task sees 2 | callback sees 3 | main sees 1");
}

/* ---- rules 44 and 75 ----------------------------------------------------------------- */

static void log_value(void *text)
{
	trace("%s %ld", (const char *)text, get());
}

static void log_and_set(void *text)
{
	log_value(text);
	set(100);
}

static void log_and_set_done(knit_future *future, void *text)
{
	(void)future;
	log_and_set(text);
}

CORO(r044)
{
	knit_future *future = knit_future_new();
	knit_context *context;

	set(1);
	knit_future_add_done_callback(future, log_and_set_done, (void *)(uintptr_t) "first");
	set(2);
	knit_future_add_done_callback(future, log_and_set_done, (void *)(uintptr_t) "second");
	context = knit_copy_context();
	set(3);
	for (int i = 0; i < 2; i++)
		knit_future_add_done_callback_with(
		        future, log_and_set_done,
		        knit_callback_arguments((void *)(uintptr_t) "shared", .context = context));
	knit_future_set_result(future, 0);
	ticks(2);
	trace("main %ld", get());
	knit_future_unref(future);
	knit_context_unref(context);
	return 0;
}

Test(rules, r044_a_done_callback_runs_in_the_context_of_its_registration, .init = setup,
     .fini = teardown)
{
	run(r044);
	assert_trace("first 1 | second 2 | shared 2 | shared 100 | main 3");
}

static intptr_t log_set_log(void *text)
{
	log_value(text);
	set(9);
	ticks(1);
	log_value(text);
	return 0;
}

CORO(r075)
{
	knit_context *context;
	knit_task *task;

	set(1);
	task = knit_create_task(log_set_log, (void *)(uintptr_t) "task");
	knit_loop_call_soon(NULL, log_and_set, (void *)(uintptr_t) "soon");
	knit_loop_call_later(NULL, 1, log_and_set, (void *)(uintptr_t) "later");
	knit_loop_call_at(NULL, knit_loop_time(NULL) + 2, log_and_set, (void *)(uintptr_t) "at");
	set(2);
	if (knit_await(task) < 0 || knit_sleep(KNIT_MS) < 0)
		return -1;
	trace("main %ld", get());
	context = knit_copy_context();
	for (int i = 0; i < 2; i++)
		if (knit_await(knit_create_task(log_set_log, (void *)(uintptr_t) "shared",
		                                .context = context)) < 0)
			return -1;
	trace("main %ld", get());
	knit_context_unref(context);
	return 0;
}

Test(rules, r075_tasks_and_callbacks_copy_the_context_or_share_a_given_one, .init = setup,
     .fini = teardown)
{
	run(r075);
	assert_trace("task 1 | soon 1 | task 9 | later 1 | at 1 | main 2 | shared 2 | shared 9 | "
	             "shared 9 | shared 9 | main 2");
}

/* ---- signals, threads ---------------------------------------------------------------- */

CORO(signals)
{
	knit_context *context = knit_copy_context();

	set(1);
	if (knit_loop_add_signal_handler(NULL, SIGUSR1, log_and_set, (void *)(uintptr_t) "copy") <
	            0 ||
	    knit_loop_add_signal_handler_with(
	            NULL, SIGUSR2, log_and_set,
	            knit_callback_arguments((void *)(uintptr_t) "shared", .context = context)) < 0)
		return -1;
	set(2);
	for (int i = 0; i < 2; i++) {
		raise(SIGUSR1);
		ticks(2);
		raise(SIGUSR2);
		ticks(2);
	}
	knit_loop_remove_signal_handler(NULL, SIGUSR1);
	knit_loop_remove_signal_handler(NULL, SIGUSR2);
	knit_context_unref(context);
	return 0;
}

Test(rules, r075_a_signal_handler_sees_the_context_of_its_registration, .init = setup,
     .fini = teardown)
{
	run(signals);
	assert_trace("copy 1 | shared 0 | copy 1 | shared 100");
}

static void post(void *loop)
{
	cr_expect_eq(knit_contextvar_set(var, 5, NULL), 0);
	cr_expect_eq(knit_loop_call_soon_threadsafe(loop, log_and_set, (void *)(uintptr_t) "post"),
	             0);
}

CORO(threads)
{
	set(1);
	on_another_thread(post, knit_get_running_loop());
	ticks(2);
	trace("main %ld", get());
	return 0;
}

Test(rules, r075_a_post_sees_the_context_of_its_poster, .init = setup, .fini = teardown)
{
	run(threads);
	assert_trace("post 5 | main 1");
}

/* ---- rule 252 ------------------------------------------------------------------------ */

static intptr_t log_and_add(void *arg)
{
	(void)arg;
	trace("%ld", get());
	set(get() + 1);
	return 0;
}

Test(rules, r252_a_runner_keeps_one_context_over_its_runs, .init = setup, .fini = teardown)
{
	knit_runner *runner;

	set(1);
	runner = knit_runner_new(.clock = KNIT_CLOCK_VIRTUAL);
	cr_assert_eq(knit_runner_run(runner, log_and_add, NULL), 0);
	set(10);
	cr_assert_eq(knit_runner_run(runner, log_and_add, NULL), 0);
	cr_assert_eq(get(), 10);
	knit_runner_unref(runner);
	assert_trace("1 | 2");
}

/* ---- S53 ----------------------------------------------------------------------------- */

static intptr_t s53_worker(void *arg)
{
	(void)arg;
	trace("child sees %ld", get());
	set(99);
	ticks(1);
	trace("child keeps %ld", get());
	return 0;
}

static intptr_t s53_direct(void *arg)
{
	(void)arg;
	set(7);
	return 0;
}

CORO(s53)
{
	knit_task *task;

	set(1);
	task = knit_create_task(s53_worker, NULL);
	set(2);
	if (knit_await(task) < 0)
		return -1;
	trace("parent %ld", get());
	s53_direct(NULL);
	trace("direct await shares %ld", get());
	knit_loop_call_soon(NULL, log_value, (void *)(uintptr_t) "call_soon captured");
	set(8);
	ticks(1);
	return 0;
}

Test(scenarios, s53_context_is_copied_per_task, .init = setup, .fini = teardown)
{
	run(s53);
	assert_trace("child sees 1 | child keeps 99 | parent 2 | direct await shares 7 | "
	             "call_soon captured 7");
}
