/* SPDX-License-Identifier: MIT */
/* test_runner_rules.c - rules 103 and 251 to 254: the grace period, runners, Ctrl-C, functions in
 * threads; and the traces S56 and S65. */
#include "common.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>
#include "knit/context.h"
#include "knit/executor.h"
#include "knit/runner.h"

/* ---- rule 251: the grace period ---------------------------------------------------- */

/* Takes no notice of its cancellation, for as long as it may wait. */
CORO(ignore)
{
	int r;

	do
		r = knit_sleep(KNIT_S);
	while (r == 0 || r == -KNIT_ECANCELLED);
	trace("refused %s", repr(r));
	return 0;
}

CORO(slow_cleanup)
{
	int r = knit_sleep(KNIT_FOREVER);

	cr_assert_eq(knit_sleep(20 * KNIT_S), 0);
	trace("cleaned");
	return r;
}

static struct reports overdue;

CORO(leave_one_that_ignores)
{
	watch_reports(&overdue);
	cr_assert_eq(knit_spawn(slow_cleanup, NULL), 0);
	cr_assert_eq(knit_spawn(ignore, NULL, .name = "ignorant"), 0);
	ticks(1);
	return 5;
}

/* Differs: asyncio.run() waits for it for ever; here for a grace period */
Test(rules, r251_what_ignores_its_cancellation_is_named_and_refused_after_a_grace_period)
{
	intptr_t r = knit_run(leave_one_that_ignores, NULL, .clock = KNIT_CLOCK_VIRTUAL,
	                      .grace = 30 * KNIT_S);

	cr_assert_eq(r, -ETIMEDOUT);
	cr_assert_eq(overdue.count, 1);
	cr_assert_str_eq(overdue.name, "ignorant");
	cr_assert_str_eq(overdue.message, "Task ignored its cancellation for the grace period");
	assert_trace("cleaned | refused KNIT_ECLOSED");
}

static intptr_t waits_on(void *count)
{
	int r;

	do
		r = knit_sleep(KNIT_S);
	while (++*(int *)count < 1000);
	return r;
}

static intptr_t leave_waiting(void *count)
{
	cr_assert_eq(knit_spawn(waits_on, count), 0);
	ticks(1);
	return 5;
}

Test(rules, r251_without_a_limit_the_run_waits_as_long_as_it_takes)
{
	int count = 0;

	cr_assert_eq(
	        knit_run(leave_waiting, &count, .clock = KNIT_CLOCK_VIRTUAL, .grace = KNIT_FOREVER),
	        5);
	cr_assert_eq(count, 1000);
}

/* ---- rule 252: runners ------------------------------------------------------------- */

static knit_future *kept;

CORO(make_it)
{
	kept = knit_future_new();
	return 1;
}

CORO(complete_it)
{
	return knit_future_set_result(kept, 2);
}

CORO(await_it)
{
	return knit_await(kept);
}

static knit_contextvar *var;

CORO(set_the_var)
{
	return knit_contextvar_set(var, 11, NULL);
}

CORO(get_the_var)
{
	return knit_contextvar_get(var);
}

static intptr_t get_in_thread(void *unused)
{
	intptr_t before = knit_contextvar_get(var);

	(void)unused;
	cr_expect_eq(knit_contextvar_set(var, 99, NULL), 0);
	return before;
}

/* What the function sets is not seen outside, nor by the next. */
CORO(ask_a_thread)
{
	cr_assert_eq(knit_to_thread(get_in_thread, NULL), 11);
	cr_assert_eq(knit_to_thread(get_in_thread, NULL), 11);
	cr_assert_eq(knit_await(knit_run_in_executor(NULL, get_in_thread, NULL)), 0);
	return knit_contextvar_get(var);
}

Test(rules, r252_the_runs_of_a_runner_share_one_context)
{
	knit_runner *runner;

	var = knit_contextvar_new("var");
	runner = knit_runner_new();
	cr_assert_eq(knit_runner_run(runner, set_the_var, NULL), 0);
	cr_assert_eq(knit_runner_run(runner, get_the_var, NULL), 11);
	cr_assert_eq(knit_runner_run(runner, ask_a_thread, NULL), 11);
	cr_assert_eq(knit_contextvar_get(var), 0);
	knit_runner_unref(runner);
	knit_contextvar_unref(var);
}

CORO(run_the_runner)
{
	knit_runner *runner = knit_runner_new();

	cr_assert_eq(knit_runner_run(runner, return_arg, NULL), -KNIT_ERUNNING);
	cr_assert_eq(knit_runner_close(runner), -KNIT_ERUNNING);
	return (intptr_t)runner;
}

Test(rules, r252_a_runner_runs_several_coroutines_on_one_loop_until_it_is_closed)
{
	knit_runner *runner = knit_runner_new(.clock = KNIT_CLOCK_VIRTUAL);
	knit_loop *loop = knit_runner_get_loop(runner);
	knit_runner *other;

	cr_assert_eq(knit_runner_run(runner, make_it, NULL), 1);
	cr_assert_eq(knit_future_get_loop(kept), loop);
	cr_assert_eq(knit_runner_run(runner, complete_it, NULL), 0);
	cr_assert_eq(knit_runner_run(runner, await_it, NULL), 2);
	cr_assert_eq(knit_runner_get_loop(runner), loop);
	other = knit_pointer(knit_runner_run(runner, run_the_runner, NULL));
	cr_assert_eq(knit_runner_run(other, return_arg, (void *)3), 3);
	knit_runner_unref(other);
	cr_assert_eq(knit_runner_close(runner), 0);
	cr_assert_eq(knit_runner_close(runner), 0);
	cr_assert_eq(knit_runner_run(runner, return_arg, NULL), -KNIT_ECLOSED);
	cr_assert_null(knit_runner_get_loop(runner));
	knit_runner_unref(runner);
}

/* ---- rules 253 and 254: Ctrl-C ----------------------------------------------------- */

static void default_action(void)
{
	signal(SIGINT, SIG_DFL);
}

CORO(interrupt_and_wait)
{
	int r;

	cr_assert_eq(kill(getpid(), SIGINT), 0);
	r = knit_sleep(10 * KNIT_S);
	trace("%s", repr(r));
	ticks(2);
	trace("cleaned");
	return r;
}

CORO(interrupt_and_swallow)
{
	cr_assert_eq(kill(getpid(), SIGINT), 0);
	return knit_sleep(10 * KNIT_S) == -KNIT_ECANCELLED ? 7 : -1;
}

/* The cancellation that it ends with is not the interrupt's alone. */
CORO(interrupt_and_cancel)
{
	int r;

	cr_assert_eq(kill(getpid(), SIGINT), 0);
	r = knit_sleep(10 * KNIT_S);
	knit_task_cancel(knit_current_task(NULL), NULL);
	return r;
}

/* Differs: -EINTR in the place of KeyboardInterrupt */
Test(rules, r253_the_first_sigint_cancels_the_main_task, .init = default_action)
{
	cr_assert_eq(knit_run(interrupt_and_wait, NULL, .clock = KNIT_CLOCK_VIRTUAL), -EINTR);
	assert_trace("CancelledError() | cleaned");
	cr_assert_eq(knit_run(interrupt_and_swallow, NULL), 7);
	cr_assert_eq(knit_run(interrupt_and_cancel, NULL), -KNIT_ECANCELLED);
}

CORO(interrupt_twice)
{
	(void)raise(SIGINT);
	(void)!knit_sleep(10 * KNIT_S);
	(void)raise(SIGINT);
	_exit(3); /* not reached */
}

/* Differs: a second one ends the process, as the default action does */
Test(rules, r253_the_second_sigint_acts_at_once, .init = default_action)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		(void)!knit_run(interrupt_twice, NULL);
		_exit(4);
	}
	cr_assert_gt(child, 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(WTERMSIG(status), SIGINT);
}

static bool is_default(void)
{
	struct sigaction sa;

	return sigaction(SIGINT, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL;
}

CORO(is_default_inside)
{
	return is_default();
}

static void run_elsewhere(void *unused)
{
	(void)unused;
	cr_expect_eq(knit_run(is_default_inside, NULL), 1);
}

static volatile sig_atomic_t own_calls;

static void own_handler(int signum)
{
	(void)signum;
	own_calls++;
}

CORO(raise_inside)
{
	return raise(SIGINT);
}

Test(rules, r254_sigint_is_the_main_threads_and_only_if_it_has_the_default_action,
     .init = default_action)
{
	struct sigaction sa;

	cr_assert_eq(knit_run(is_default_inside, NULL), 0);
	cr_assert(is_default(), "restored");
	on_another_thread(run_elsewhere, NULL);
	signal(SIGINT, own_handler);
	cr_assert_eq(knit_run(raise_inside, NULL), 0);
	cr_assert_eq(own_calls, 1);
	cr_assert_eq(sigaction(SIGINT, NULL, &sa), 0);
	cr_assert_eq(sa.sa_handler, own_handler);
}

CORO(s56_main)
{
	int r;

	kill(getpid(), SIGINT);
	r = knit_sleep(10 * KNIT_S);
	if (r == -KNIT_ECANCELLED)
		trace("main task cancelled");
	trace("finally");
	return r;
}

CORO(s56_swallow)
{
	kill(getpid(), SIGINT);
	if (knit_sleep(10 * KNIT_S) == -KNIT_ECANCELLED)
		trace("swallowed");
	return (intptr_t) "value";
}

/* Differs: -EINTR in the place of KeyboardInterrupt */
Test(scenarios, s56_sigint_runner, .init = default_action)
{
	if (knit_run(s56_main, NULL) == -EINTR)
		trace("KeyboardInterrupt");
	trace("%s", (const char *)knit_pointer(knit_run(s56_swallow, NULL)));
	assert_trace("main task cancelled | finally | KeyboardInterrupt | swallowed | value");
}

/* ---- rule 103: functions in threads ------------------------------------------------ */

static sem_t entered, may_return;
static atomic_bool returned;

static void init_gate(void)
{
	cr_assert_eq(sem_init(&entered, 0, 0), 0);
	cr_assert_eq(sem_init(&may_return, 0, 0), 0);
}

static intptr_t work(void *unused)
{
	(void)unused;
	sem_post(&entered);
	while (sem_wait(&may_return) < 0)
		;
	returned = true;
	return 1;
}

static struct reports quiet;

CORO(cancel_the_call)
{
	knit_future *call = knit_run_in_executor(NULL, work, NULL, .result_free = count_result);

	watch_reports(&quiet);
	while (sem_wait(&entered) < 0)
		;
	cr_assert(knit_future_cancel(call, NULL));
	cr_assert_eq(knit_await(call), -KNIT_ECANCELLED);
	cr_assert_not(returned);
	sem_post(&may_return);
	while (!results_freed)
		ticks(1);
	cr_assert(returned);
	return 0;
}

Test(rules, r103_cancelling_a_call_to_an_executor_is_at_once_and_its_thread_goes_on,
     .init = init_gate)
{
	run(cancel_the_call);
	cr_assert_eq(results_freed, 1);
	cr_assert_eq(last_result_freed, 1);
	cr_assert_eq(quiet.count, 0);
}

static intptr_t s65_wait_done(void *unused)
{
	(void)unused;
	sem_post(&may_return);
	while (!returned)
		sched_yield();
	return 0;
}

static intptr_t s65_bad(void *unused)
{
	(void)unused;
	return knit_raise(ENOENT, "in thread");
}

CORO(s65)
{
	knit_future *f = knit_run_in_executor(NULL, work, NULL);

	while (sem_wait(&entered) < 0)
		;
	trace("%s %s", yes(knit_future_cancel(f, NULL)), yes(returned));
	if (knit_await(f) == -KNIT_ECANCELLED)
		trace("CancelledError at once %s", yes(returned));
	if (knit_await(knit_run_in_executor(NULL, s65_wait_done, NULL)) < 0)
		return -1;
	trace("thread ran to completion %s", yes(returned));
	trace("%s", repr(knit_to_thread(s65_bad, NULL)));
	return 0;
}

/* Differs: the thread is told when to go on, in the place of a sleep */
Test(scenarios, s65_executor_cancel_does_not_stop_thread, .init = init_gate)
{
	run(s65);
	assert_trace("True False | CancelledError at once False | "
	             "thread ran to completion True | KeyError(in thread)");
}
