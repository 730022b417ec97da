/* SPDX-License-Identifier: MIT */
/* test_program_rules.c - rules 247 to 250: signals, and knit_run() from begin to end. */
#include "common.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ---- signals ----------------------------------------------------------------------- */

CALLBACK(look_at_the_task)
{
	trace("handler %s", knit_current_task(NULL) ? "in a task" : "in the loop");
}

static volatile sig_atomic_t own_action;

static void own_handler(int signum)
{
	own_action = signum;
}

CORO(signals)
{
	knit_loop *loop = knit_get_running_loop();
	int replaced = 0;

	signal(SIGUSR1, own_handler);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, count_up, &replaced), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, look_at_the_task, NULL), 0);
	cr_assert_eq(raise(SIGUSR1), 0);
	trace("not yet");
	ticks(2);
	cr_assert_eq(replaced, 0);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 1);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, SIGUSR1), 0);
	/* What was there before is there again. */
	cr_assert_eq(own_action, 0);
	cr_assert_eq(raise(SIGUSR1), 0);
	cr_assert_eq(own_action, SIGUSR1);
	signal(SIGUSR1, SIG_DFL);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGKILL, count_up, &replaced), -EINVAL);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGSTOP, count_up, &replaced), -EINVAL);
	cr_assert_eq(knit_loop_add_signal_handler(loop, 0, count_up, &replaced), -EINVAL);
	cr_assert_eq(knit_loop_add_signal_handler(loop, 1000, count_up, &replaced), -EINVAL);
	cr_assert_eq(knit_loop_remove_signal_handler(loop, -1), -EINVAL);
	return 0;
}

/* Differs: on the loop of any thread, not of the main thread alone */
Test(rules, r247_a_signal_handler_is_a_plain_callback_of_the_loop)
{
	run(signals);
	assert_trace("not yet | handler in the loop");
}

#define ROUNDS 100

static sem_t send_one;

/* Sends a signal to the process for each time it is asked, to whichever thread takes it. */
static void *send_signals(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		while (sem_wait(&send_one) < 0)
			;
		kill(getpid(), SIGUSR1);
	}
	return unused;
}

static knit_future *signalled;

CALLBACK(complete_signalled)
{
	(void)knit_future_set_result(signalled, 1);
}

CORO(wait_for_signals)
{
	knit_loop *loop = knit_get_running_loop();
	pthread_t sender;

	cr_assert_eq(sem_init(&send_one, 0, 0), 0);
	cr_assert_eq(knit_loop_add_signal_handler(loop, SIGUSR1, complete_signalled, NULL), 0);
	cr_assert_eq(pthread_create(&sender, NULL, send_signals, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		signalled = knit_future_new();
		sem_post(&send_one);
		cr_assert_eq(knit_await(signalled), 1); /* nothing else could wake the loop */
	}
	cr_assert_eq(pthread_join(sender, NULL), 0);
	sem_destroy(&send_one);
	return 0;
}

Test(rules, r248_a_signal_wakes_a_loop_that_waits)
{
	cr_assert_eq(knit_run(wait_for_signals, NULL), 0);
}

/* ---- knit_run() -------------------------------------------------------------------- */

CORO(run_inside)
{
	return knit_run(return_arg, NULL);
}

Test(rules, r249_knit_run_refuses_to_nest_and_wants_a_coroutine)
{
	cr_assert_eq(knit_run(run_inside, NULL), -KNIT_ERUNNING);
	cr_assert_eq(knit_run(NULL, NULL), -EINVAL);
	cr_assert_eq(knit_run(return_arg, (void *)4), 4);
	cr_assert_eq(knit_run(return_arg, (void *)-EIO), -EIO);
}

static void log_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	trace("HANDLER %s %s %s", context->message, context->name,
	      repr_error(context->code, context->error));
}

static intptr_t leftover(void *arg)
{
	const char *name = arg;
	int r = knit_sleep(KNIT_FOREVER);

	trace("%s %s", name, repr(r));
	cr_assert_eq(knit_sleep(KNIT_MS), 0);
	trace("%s cleaned", name);
	return name[0] == 'b' ? knit_raise(EIO, "%s", name) : r;
}

static knit_loop *ended_loop;

/* Two that fail: the reports come when all are done, in the order of creation. */
CORO(leave_tasks)
{
	ended_loop = knit_loop_ref(knit_get_running_loop());
	cr_assert_eq(knit_loop_set_exception_handler(ended_loop, log_report, NULL), 0);
	cr_assert_eq(knit_spawn(leftover, (void *)"bad1", .name = "one"), 0);
	cr_assert_eq(knit_spawn(leftover, (void *)"ok", .name = "two"), 0);
	cr_assert_eq(knit_spawn(leftover, (void *)"bad2", .name = "three"), 0);
	ticks(1);
	trace("main returns");
	return 9;
}

Test(rules, r250_knit_run_cancels_what_is_left_waits_reports_and_closes)
{
	cr_assert_eq(knit_run(leave_tasks, NULL, .clock = KNIT_CLOCK_VIRTUAL), 9);
	assert_trace("main returns | bad1 CancelledError() | ok CancelledError() | "
	             "bad2 CancelledError() | bad1 cleaned | ok cleaned | bad2 cleaned | "
	             "HANDLER unhandled exception during knit_run() shutdown one "
	             "RuntimeError(bad1) | "
	             "HANDLER unhandled exception during knit_run() shutdown three "
	             "RuntimeError(bad2)");
	cr_assert(knit_loop_is_closed(ended_loop));
	knit_loop_unref(ended_loop);
}

CORO(stop_in_the_cleanup)
{
	int r = knit_sleep(KNIT_FOREVER);

	knit_loop_stop(knit_get_running_loop());
	cr_assert_eq(knit_sleep(KNIT_MS), 0);
	knit_loop_stop(knit_get_running_loop());
	ticks(2);
	trace("cleaned");
	return r;
}

CORO(create_in_the_cleanup)
{
	int r = knit_sleep(KNIT_FOREVER);

	cr_assert_eq(knit_spawn(sleep_forever, NULL, .name = "late"), 0);
	return r;
}

static struct reports late_reports;

CORO(leave_difficult_tasks)
{
	watch_reports(&late_reports);
	cr_assert_eq(knit_spawn(stop_in_the_cleanup, NULL), 0);
	cr_assert_eq(knit_spawn(create_in_the_cleanup, NULL), 0);
	ticks(1);
	return 8;
}

Test(rules, r250_what_is_left_may_stop_the_loop_and_create_tasks_and_knit_run_ends)
{
	cr_assert_eq(knit_run(leave_difficult_tasks, NULL, .clock = KNIT_CLOCK_VIRTUAL), 8);
	assert_trace("cleaned");
	/* What was created then is ended with the loop. */
	cr_assert_eq(late_reports.count, 1);
	cr_assert_str_eq(late_reports.message, "Task was destroyed but it is pending!");
	cr_assert_str_eq(late_reports.name, "late");
}
