/* SPDX-License-Identifier: MIT */
/* test_debug_rules.c - debug mode: what it finds, and how it is switched on. */
#include "common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "knit/debug.h"
#include "knit/file.h"
#include "knit/group.h"
#include "knit/sync.h"

/* ---- what was reported --------------------------------------------------------------- */

static char messages[4096], created[1024];

static void log_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)arg;
	strncat(messages, context->message, sizeof(messages) - strlen(messages) - 1);
	strncat(messages, "\n", sizeof(messages) - strlen(messages) - 1);
	created[0] = '\0';
	if (context->created)
		strncat(created, context->created, sizeof(created) - 1);
}

static int count_messages(const char *text)
{
	int count = 0;

	for (const char *at = messages; (at = strstr(at, text)); at++)
		count++;
	return count;
}

static void run_debug(knit_coro *main)
{
	messages[0] = created[0] = '\0';
	cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL, .debug = 1), 0);
}

/* Keeps the loop until the real clock has moved. */
static void spin(void *unused)
{
	struct timespec before, now;

	(void)unused;
	clock_gettime(CLOCK_MONOTONIC, &before);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
}

/* ---- rule 270 ------------------------------------------------------------------------ */

static intptr_t debug_is_on(void *arg)
{
	(void)arg;
	return knit_loop_get_debug(NULL);
}

Test(rules, r270_debug_mode_is_switched_on_by_option_call_or_environment)
{
	knit_loop *loop;

	unsetenv("KNIT_DEBUG");
	cr_assert_eq(knit_run(debug_is_on, NULL), 0);
	cr_assert_eq(knit_run(debug_is_on, NULL, .debug = 1), 1);
	cr_assert_eq(knit_run(debug_is_on, NULL, .debug = 2), -EINVAL);
	setenv("KNIT_DEBUG", "1", 1);
	cr_assert_eq(knit_run(debug_is_on, NULL), 1);
	cr_assert_eq(knit_run(debug_is_on, NULL, .debug = -1), 0);
	setenv("KNIT_DEBUG", "0", 1);
	cr_assert_eq(knit_run(debug_is_on, NULL), 0);
	unsetenv("KNIT_DEBUG");
	loop = knit_loop_new(.debug = 1);
	cr_assert(knit_loop_get_debug(loop));
	cr_assert_eq(knit_loop_set_debug(loop, false), 0);
	cr_assert_not(knit_loop_get_debug(loop));
	knit_loop_unref(loop);
}

/* ---- rule 271 ------------------------------------------------------------------------ */

static intptr_t spin_and_tick(void *arg)
{
	spin(arg);
	ticks(1);
	spin(arg);
	return 0;
}

static void spin_done(knit_future *future, void *arg)
{
	(void)future;
	spin(arg);
}

CORO(r271)
{
	knit_future *future = knit_future_new();
	char callback[64];

	knit_loop_set_exception_handler(NULL, log_report, NULL);
	cr_assert_eq(knit_loop_set_slow_callback_duration(NULL, -1), -EINVAL);
	cr_assert_eq(knit_loop_get_slow_callback_duration(NULL), 100 * KNIT_MS);
	knit_loop_set_slow_callback_duration(NULL, 1);
	if (knit_spawn(spin_and_tick, NULL, .name = "spinner") < 0)
		return -1;
	knit_loop_call_soon(NULL, spin, NULL);
	knit_loop_call_soon_threadsafe(knit_get_running_loop(), spin, NULL);
	knit_future_add_done_callback(future, spin_done, NULL);
	knit_future_set_result(future, 0);
	ticks(3);
	knit_loop_set_slow_callback_duration(NULL, KNIT_FOREVER);
	knit_future_unref(future);
	cr_assert_eq(count_messages("Executing <task 'spinner'> took 0."), 2, "%s", messages);
	snprintf(callback, sizeof(callback), "Executing <callback 0x%zx> took 0.",
	         (size_t)(uintptr_t)spin);
	cr_assert_eq(count_messages(callback), 2, "%s", messages);
	snprintf(callback, sizeof(callback), "Executing <callback 0x%zx> took 0.",
	         (size_t)(uintptr_t)spin_done);
	cr_assert_eq(count_messages(callback), 1, "%s", messages);
	cr_assert_not_null(strstr(messages, " seconds\n"));
	return 0;
}

Test(rules, r271_a_slow_callback_or_step_is_reported)
{
	run_debug(r271);
}

CORO(not_slow)
{
	knit_loop_set_exception_handler(NULL, log_report, NULL);
	knit_loop_set_slow_callback_duration(NULL, KNIT_FOREVER);
	knit_loop_call_soon(NULL, spin, NULL);
	ticks(2);
	cr_assert_str_eq(messages, "");
	knit_loop_set_debug(NULL, false);
	knit_loop_set_slow_callback_duration(NULL, 0);
	knit_loop_call_soon(NULL, spin, NULL);
	ticks(2);
	cr_assert_str_eq(messages, "");
	return 0;
}

Test(rules, r271_nothing_is_reported_below_the_duration_or_with_debug_mode_off)
{
	run_debug(not_slow);
}

/* ---- rule 272 ------------------------------------------------------------------------ */

static intptr_t fail(void *arg)
{
	(void)arg;
	return -EIO;
}

CORO(r272)
{
	knit_future *future;

	knit_loop_set_exception_handler(NULL, log_report, NULL);
	if (knit_spawn(fail, NULL) < 0)
		return -1;
	ticks(1);
	cr_assert_eq(count_messages("Task exception was never retrieved"), 1, "%s", messages);
	cr_assert_not_null(strstr(created, "+0x"), "%s", created);
	future = knit_future_new();
	knit_future_set_exception(future, EIO, NULL);
	created[0] = '\0';
	knit_future_unref(future);
	cr_assert_not_null(strstr(created, "+0x"), "%s", created);
	knit_loop_set_slow_callback_duration(NULL, 1);
	created[0] = '\0';
	knit_loop_call_soon(NULL, spin, NULL);
	ticks(1);
	knit_loop_set_slow_callback_duration(NULL, KNIT_FOREVER);
	cr_assert_not_null(strstr(created, " < "), "%s", created);
	knit_loop_set_debug(NULL, false);
	if (knit_spawn(fail, NULL) < 0)
		return -1;
	ticks(1);
	cr_assert_str_eq(created, "");
	return 0;
}

Test(rules, r272_reports_say_where_task_future_and_callback_were_created)
{
	run_debug(r272);
}

/* ---- more that debug mode finds ------------------------------------------------------ */

static intptr_t ignore_cancellation(void *arg)
{
	int r = knit_sleep(KNIT_S);

	(void)arg;
	ticks(3);
	return r == -KNIT_ECANCELLED ? 0 : -EIO;
}

static intptr_t honour_cancellation(void *arg)
{
	int r = knit_sleep(KNIT_S);

	(void)arg;
	knit_task_uncancel(knit_current_task(NULL));
	ticks(3);
	return r == -KNIT_ECANCELLED ? 0 : -EIO;
}

CORO(cancelled)
{
	knit_task *ignoring = knit_create_task(ignore_cancellation, NULL);
	knit_task *honouring = knit_create_task(honour_cancellation, NULL);

	knit_loop_set_exception_handler(NULL, log_report, NULL);
	ticks(1);
	knit_task_cancel(honouring, NULL);
	if (knit_await(honouring) < 0)
		return -1;
	cr_assert_eq(count_messages("without knit_task_uncancel()"), 0, "%s", messages);
	knit_task_cancel(ignoring, NULL);
	if (knit_await(ignoring) < 0)
		return -1;
	cr_assert_eq(count_messages("without knit_task_uncancel()"), 1, "%s", messages);
	return 0;
}

Test(rules, r272_a_task_that_suspends_again_after_its_cancellation_is_reported_once)
{
	run_debug(cancelled);
}

/* Whatever the library itself makes a cancelled task wait for: the children of a group, the lock of
 * a condition, the end of what is in flight on a descriptor. */
static intptr_t read_for_ever(void *arg)
{
	char byte;

	return knit_read(*(int *)arg, &byte, 1, -1);
}

static intptr_t fail_soon(void *arg)
{
	(void)arg;
	ticks(1);
	return -EIO;
}

static intptr_t clean_up(void *arg)
{
	static knit_condition condition;
	knit_task_group group;
	int pipes[2];
	intptr_t r;

	(void)arg;
	cr_assert_eq(pipe(pipes), 0);
	knit_condition_init(&condition, NULL);
	if (knit_task_group_enter(&group) < 0 ||
	    knit_task_group_spawn(&group, read_for_ever, &pipes[0]) < 0 ||
	    knit_condition_acquire(&condition) < 0)
		return -ENOMEM;
	r = knit_condition_wait(&condition);
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_eq(knit_close(pipes[0]), 0);
	cr_assert_eq(knit_condition_release(&condition), 0);
	cr_assert_eq(knit_condition_destroy(&condition), 0);
	r = knit_task_group_exit(&group, r);
	knit_task_group_done(&group);
	cr_assert_eq(knit_close(pipes[1]), 0);
	return r;
}

CORO(cleaning_up)
{
	knit_task *task = knit_create_task(clean_up, NULL);
	knit_task_group group;

	knit_loop_set_exception_handler(NULL, log_report, NULL);
	ticks(2);
	knit_task_cancel(task, NULL);
	(void)!knit_await(task);
	cr_assert_eq(knit_task_group_enter(&group), 0);
	cr_assert_eq(knit_task_group_spawn(&group, clean_up, NULL), 0);
	cr_assert_eq(knit_task_group_spawn(&group, fail_soon, NULL), 0);
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	knit_task_group_done(&group);
	cr_assert_str_eq(messages, "", "%s", messages);
	return 0;
}

Test(rules, r272_what_the_library_makes_a_cancelled_task_wait_for_is_not_reported)
{
	run_debug(cleaning_up);
}

CORO(short_sleeps)
{
	knit_loop_set_exception_handler(NULL, log_report, NULL);
	for (int i = 0; i < 3; i++)
		if (knit_sleep(0) < 0 || knit_sleep(KNIT_US) < 0)
			return -1;
	cr_assert_str_eq(messages, "");
	for (int i = 0; i < 3; i++)
		if (knit_sleep(5) < 0)
			return -1;
	cr_assert_eq(count_messages("knit_sleep() for 5 ns"), 1, "%s", messages);
	return 0;
}

Test(rules, r270_a_sleep_below_a_microsecond_is_reported_once)
{
	run_debug(short_sleeps);
}

/* ---- S51 ----------------------------------------------------------------------------- */

static void s51_thread(void *loop)
{
	knit_handle soon = knit_loop_call_soon(loop, log_text, NULL);
	knit_handle later = knit_loop_call_later(loop, 1, log_text, NULL);

	trace("[%s, %s]", knit_errname(knit_handle_error(soon)),
	      knit_errname(knit_handle_error(later)));
}

CORO(s51)
{
	knit_loop_set_exception_handler(NULL, log_report, NULL);
	on_another_thread(s51_thread, knit_get_running_loop());
	knit_loop_set_slow_callback_duration(NULL, 1);
	spin(NULL);
	ticks(1);
	knit_loop_set_slow_callback_duration(NULL, KNIT_FOREVER);
	trace("SLOW %d", count_messages("took"));
	return 0;
}

/* Differs: the thread check is on always; a slow step is reported to the exception handler */
Test(scenarios, s51_debug_thread_check_and_slow_callback)
{
	run_debug(s51);
	assert_trace("[KNIT_EWRONGTHREAD, KNIT_EWRONGTHREAD] | SLOW 1");
}
