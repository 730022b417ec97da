/* SPDX-License-Identifier: MIT */
/* test_runner.c - runs one after the other, Ctrl-C, and tasks that do not end. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "knit/executor.h"
#include "knit/runner.h"
#include "knit/task.h"
#include "task/task.h"
#include "test.h"
#include "unit/loop/rig.h"

static intptr_t return_it(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t sleep_forever(void *unused)
{
	(void)unused;
	return knit_sleep(KNIT_FOREVER);
}

/* ---- several runs -------------------------------------------------------------------- */

static intptr_t sleep_and_count(void *count)
{
	int r = 0;

	while (r == 0) {
		r = knit_sleep(KNIT_MS);
		if (r == 0)
			++*(int *)count;
	}
	return r;
}

static intptr_t start_counting(void *count)
{
	return knit_spawn(sleep_and_count, count);
}

static intptr_t sleep_10_ms(void *unused)
{
	(void)unused;
	return knit_sleep(10 * KNIT_MS);
}

static intptr_t stop_me(void *loop)
{
	knit_loop_stop(loop);
	return knit_sleep(KNIT_S);
}

Test(runner, what_a_run_leaves_goes_on_in_the_next_until_the_close)
{
	knit_runner *runner = knit_runner_new(.clock = KNIT_CLOCK_VIRTUAL);
	knit_loop *loop = knit_runner_get_loop(runner);
	int count = 0;

	cr_assert_not_null(loop);
	cr_assert_eq(knit_runner_run(runner, start_counting, &count), 0);
	cr_assert_eq(count, 0);
	cr_assert_eq(knit_runner_run(runner, sleep_10_ms, NULL), 0);
	cr_assert_geq(count, 9);
	cr_assert_eq(knit_runner_run(runner, return_it, (void *)-EIO), -EIO);
	cr_assert_eq(knit_runner_run(runner, stop_me, loop), -KNIT_ESTOPPED);
	cr_assert_eq(knit_runner_get_loop(runner), loop);
	knit_loop_ref(loop);
	cr_assert_eq(knit_runner_close(runner), 0);
	cr_assert(knit_loop_is_closed(loop));
	knit_loop_unref(loop);
	cr_assert_eq(knit_runner_close(runner), 0);
	cr_assert_eq(knit_runner_run(runner, return_it, NULL), -KNIT_ECLOSED);
	errno = 0;
	cr_assert_null(knit_runner_get_loop(runner));
	cr_assert_eq(errno, KNIT_ECLOSED);
	cr_assert_null(knit_runner_unref(runner));
}

static intptr_t misuse_inside(void *runner)
{
	cr_assert_eq(knit_runner_run(runner, return_it, NULL), -KNIT_ERUNNING);
	cr_assert_eq(knit_runner_close(runner), -KNIT_ERUNNING);
	cr_assert_eq(knit_sleep(KNIT_MS), 0);
	return 3;
}

static void *run_elsewhere(void *runner)
{
	return (void *)knit_runner_run(runner, return_it, NULL);
}

Test(runner, misuse_is_told)
{
	knit_runner_options options = {.size = sizeof(options), .grace = -1};
	knit_runner *runner = knit_runner_new();

	cr_assert_eq(knit_runner_run(runner, misuse_inside, runner), 3);
	cr_assert_eq(knit_runner_run(runner, NULL, NULL), -EINVAL);
	cr_assert_eq(knit_runner_run(NULL, return_it, NULL), -EINVAL);
	cr_assert_eq(knit_runner_close(NULL), -EINVAL);
	cr_assert_eq((intptr_t)rig_on_thread(run_elsewhere, runner), -KNIT_EWRONGTHREAD);
	cr_assert_null(knit_runner_unref(runner));
	cr_assert_null(knit_runner_unref(NULL));
	errno = 0;
	cr_assert_null(knit_runner_new_with(&options));
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(knit_run(return_it, NULL, .grace = -1), -EINVAL);
	cr_assert_null(knit_runner_new_with(NULL));
}

static void unref_inside(void *unused)
{
	knit_runner *runner = knit_runner_new();

	(void)unused;
	(void)knit_runner_run(runner, (knit_coro *)(void *)knit_runner_unref, runner);
}

Test(runner, to_free_one_that_runs_ends_the_process)
{
	test_death(unref_inside, NULL, "the runner is not closed");
}

/* ---- Ctrl-C -------------------------------------------------------------------------- */

static void default_action(void)
{
	signal(SIGINT, SIG_DFL);
}

static bool is_default(void)
{
	struct sigaction sa;

	sigaction(SIGINT, NULL, &sa);
	return sa.sa_handler == SIG_DFL;
}

static int cleanups;

static intptr_t interrupted(void *unused)
{
	int r;

	(void)unused;
	kill(getpid(), SIGINT);
	r = knit_sleep(KNIT_FOREVER);
	cleanups += knit_task_cancelling(knit_current_task(NULL)) == 1;
	return r;
}

/* The request of somebody else comes first. */
static intptr_t cancelled_twice(void *unused)
{
	(void)unused;
	knit_task_cancel(knit_current_task(NULL), NULL);
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	return interrupted(NULL);
}

Test(runner, an_interrupted_run_says_eintr_each_time, .init = default_action)
{
	knit_runner *runner = knit_runner_new();
	intptr_t r;

	for (int i = 1; i <= 3; i++) {
		r = knit_runner_run(runner, interrupted, NULL);
		cr_assert_eq(r, -EINTR);
		cr_assert_str_eq(knit_error_message(r), "interrupted by SIGINT");
		cr_assert_eq(cleanups, i);
		cr_assert(is_default());
	}
	cr_assert_eq(knit_runner_run(runner, cancelled_twice, NULL), -KNIT_ECANCELLED);
	cr_assert_eq(knit_runner_run(runner, return_it, (void *)1), 1);
	knit_runner_unref(runner);
	cr_assert_eq(knit_run(interrupted, NULL, .clock = KNIT_CLOCK_VIRTUAL), -EINTR);
	cr_assert_str_eq(knit_error_message(-EINTR), "interrupted by SIGINT");
}

static intptr_t wait_then_interrupt(void *unused)
{
	sigset_t set;

	(void)unused;
	/* Delivered to a thread that is not the loop's. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_kill(pthread_self(), SIGINT);
	return 0;
}

static intptr_t wait_for_thread(void *unused)
{
	(void)unused;
	cr_assert_eq(knit_to_thread(wait_then_interrupt, NULL), 0);
	return knit_sleep(KNIT_FOREVER);
}

Test(runner, a_signal_in_another_thread_wakes_the_loop, .init = default_action)
{
	cr_assert_eq(knit_run(wait_for_thread, NULL), -EINTR);
}

static intptr_t interrupt_stubborn(void *unused)
{
	(void)unused;
	raise(SIGINT);
	(void)!knit_sleep(KNIT_FOREVER);
	raise(SIGINT); /* no wait, no pass of the loop */
	_exit(3);
}

static intptr_t spawn_then_return(void *coro)
{
	cr_assert_eq(knit_spawn((knit_coro *)coro, NULL), 0);
	return knit_sleep(0);
}

static intptr_t interrupt_in_cleanup(void *unused)
{
	(void)unused;
	(void)!knit_sleep(KNIT_FOREVER);
	raise(SIGINT);
	_exit(3);
}

static intptr_t interrupt_and_return(void *unused)
{
	(void)unused;
	raise(SIGINT);
	return 0;
}

static intptr_t keep_loop_handler(void *unused)
{
	(void)unused;
	return knit_loop_add_signal_handler(NULL, SIGINT, rig_count, &cleanups);
}

/* A loop's own handler that is removed late puts the runner's action back. */
static intptr_t raise_after(void *unused)
{
	knit_runner *runner = knit_runner_new();

	(void)unused;
	if (knit_runner_run(runner, keep_loop_handler, NULL) < 0)
		_exit(4);
	knit_runner_unref(runner);
	raise(SIGINT);
	_exit(3);
}

/* How a child ends that runs @main: by this signal, or 0. */
static int ends_by(knit_coro *main, void *arg, bool plain)
{
	pid_t child = rig_fork();
	int status = 0;

	if (child == 0) {
		default_action();
		if (plain)
			(void)main(arg);
		else
			(void)!knit_run(main, arg);
		_exit(3);
	}
	while (waitpid(child, &status, 0) < 0)
		cr_assert_eq(errno, EINTR);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

Test(runner, a_signal_that_nobody_takes_ends_the_process)
{
	cr_expect_eq(ends_by(interrupt_stubborn, NULL, false), SIGINT, "the second one");
	cr_expect_eq(ends_by(spawn_then_return, (void *)interrupt_in_cleanup, false), SIGINT,
	             "one in the cleanup after the main task");
	cr_expect_eq(ends_by(interrupt_and_return, NULL, false), SIGINT,
	             "one that came too late to cancel the main task");
	cr_expect_eq(ends_by(raise_after, NULL, true), SIGINT, "one after the run");
}

static intptr_t look_at_the_action(void *unused)
{
	(void)unused;
	return is_default();
}

static void *run_in_a_thread(void *unused)
{
	(void)unused;
	return (void *)knit_run(look_at_the_action, NULL);
}

Test(runner, other_threads_and_other_actions_are_left_alone, .init = default_action)
{
	cr_assert_eq((intptr_t)rig_on_thread(run_in_a_thread, NULL), 1);
	cr_assert_eq(knit_run(look_at_the_action, NULL), 0);
	cr_assert(is_default());
	rig_set_action(SIGINT);
	cr_assert_eq(knit_run(interrupt_and_return, NULL), 0);
	cr_assert(rig_is_action(SIGINT));
	cr_assert_eq(rig_action_calls, 1);
}

static intptr_t fork_inside(void *unused)
{
	pid_t child = rig_fork();

	(void)unused;
	if (child == 0) {
		child_check(is_default());
		child_done();
	}
	rig_wait_child(child);
	return is_default();
}

Test(runner, the_child_of_a_fork_has_the_default_action, .init = default_action)
{
	cr_assert_eq(knit_run(fork_inside, NULL), 0);
}

/* ---- tasks that do not end ----------------------------------------------------------- */

static char told[4][900];
static int reports;

static void record(knit_loop *loop, const knit_exception_context *context, void *unused)
{
	(void)loop;
	(void)unused;
	if (reports < 4)
		snprintf(told[reports], sizeof(told[0]), "%s: %s: %s", context->name,
		         context->message, context->error ? context->error : "-");
	reports++;
}

static int refused;

/* Goes on until a wait fails with something else than its cancellation. */
static intptr_t stubborn(void *unused)
{
	int r;

	(void)unused;
	do
		r = knit_sleep(KNIT_S);
	while (r == 0 || r == -KNIT_ECANCELLED);
	refused = r;
	return 0;
}

static intptr_t leave_stubborn(void *unused)
{
	(void)unused;
	knit_loop_set_exception_handler(knit_get_running_loop(), record, NULL);
	cr_assert_eq(knit_spawn(stubborn, NULL, .name = "mule"), 0);
	cr_assert_eq(knit_spawn(sleep_forever, NULL, .name = "lamb"), 0);
	return knit_sleep(KNIT_MS);
}

Test(runner, what_ignores_its_cancellation_is_named_and_then_refused)
{
	cr_assert_eq(knit_run(leave_stubborn, NULL, .clock = KNIT_CLOCK_VIRTUAL), -ETIMEDOUT);
	cr_assert_eq(refused, -KNIT_ECLOSED);
	cr_assert_eq(reports, 1, "one report a task");
	cr_assert_not_null(strstr(told[0], "mule: Task ignored its cancellation"), "%s", told[0]);
	refused = reports = 0;
	cr_assert_eq(knit_run(leave_stubborn, NULL, .clock = KNIT_CLOCK_VIRTUAL, .grace = 1),
	             -ETIMEDOUT);
	cr_assert_eq(refused, -KNIT_ECLOSED);
	cr_assert_eq(reports, 1);
}

static knit_future *never;

static intptr_t wait_below(int depth)
{
	intptr_t r = depth > 0 ? wait_below(depth - 1) : knit_await(knit_future_ref(never));

	return r == 0 ? depth : r;
}

static __attribute__((noinline)) intptr_t known_place(void *unused)
{
	intptr_t r;

	(void)unused;
	r = wait_below(3);
	cr_expect_eq(r, -KNIT_ECANCELLED);
	return 0;
}

static intptr_t look_at_the_stack(void *unused)
{
	knit_task *task;
	void *frames[32];
	uintptr_t start = (uintptr_t)known_place;
	size_t count, i = 0;
	char text[512];

	(void)unused;
	never = knit_future_new();
	task = knit_create_task(known_place, NULL);
	cr_assert_eq(knit_sleep(0), 0);
	cr_assert_eq(knit_sleep(0), 0);
	count = kn_fiber_backtrace(&kn_task_of(task)->fiber, frames, 32);
	if (count == 0)
		return -ENOSYS;
	while (i < count && ((uintptr_t)frames[i] < start || (uintptr_t)frames[i] > start + 2048))
		i++;
	cr_expect_lt(i, count, "the coroutine is among the frames");
	cr_expect_lt(count, 32, "the unwinding ends at the coroutine's beginning");
	cr_expect_leq(kn_fiber_backtrace(&kn_task_of(task)->fiber, frames, 2), 2);
	kn_fiber_describe(&kn_task_of(task)->fiber, text, sizeof(text));
	cr_expect_not_null(strstr(text, " < "), "%s", text);
	kn_fiber_describe(&kn_task_of(task)->fiber, text, 10);
	cr_expect_lt(strlen(text), 10);
	/* It goes on as if nobody had looked. */
	knit_task_cancel(task, NULL);
	cr_expect_eq(knit_await(task), 0);
	knit_future_unref(never);
	return 0;
}

Test(runner, the_backtrace_of_a_suspended_task_leads_to_its_coroutine)
{
	intptr_t r = knit_run(look_at_the_stack, NULL);

	if (r == -ENOSYS)
		test_skip("this machine's fibers cannot be unwound");
	cr_assert_eq(r, 0);
}

/* ---- a function that does not return ------------------------------------------------- */

static sem_t may_return;

static intptr_t block(void *unused)
{
	(void)unused;
	while (sem_wait(&may_return) < 0)
		;
	return 0;
}

static intptr_t leave_blocked(void *unused)
{
	(void)unused;
	knit_future_unref(knit_run_in_executor(NULL, block, NULL));
	return 5;
}

static bool thread_is_gone(void *before)
{
	return test_threads() == *(const int *)before;
}

Test(runner, a_function_that_blocks_longer_than_the_grace_period_is_told)
{
	knit_runner *runner = knit_runner_new(.grace = 1);
	knit_loop *loop = knit_loop_ref(knit_runner_get_loop(runner));
	int before = test_threads();

	cr_assert_eq(sem_init(&may_return, 0, 0), 0);
	cr_assert_eq(knit_runner_run(runner, leave_blocked, NULL), 5);
	loop->grace = 0; /* of the close */
	cr_assert_eq(knit_runner_close(runner), -ETIMEDOUT);
	sem_post(&may_return);
	rig_until(thread_is_gone, &before);
	knit_loop_unref(loop);
	knit_runner_unref(runner);
}

/* ---- a factory that has had its day ---- */

static atomic_bool main_is_over;

static intptr_t outlast_main(void *arg)
{
	while (!atomic_load(&main_is_over))
		sched_yield();
	return (intptr_t)arg;
}

static knit_task *make_none(knit_loop *on, knit_coro *coro, const knit_task_options *options,
                            void *arg)
{
	(void)on;
	(void)coro;
	(void)options;
	(void)arg;
	return NULL;
}

static intptr_t leave_a_function_behind(void *arg)
{
	knit_future_unref(knit_run_in_executor(NULL, outlast_main, NULL));
	cr_assert_eq(knit_loop_set_task_factory(NULL, make_none, NULL), 0);
	atomic_store(&main_is_over, true);
	return (intptr_t)arg;
}

Test(runner, waits_for_functions_without_the_programs_task_factory)
{
	cr_assert_eq(knit_run(leave_a_function_behind, (void *)7), 7);
}
