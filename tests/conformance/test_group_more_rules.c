/* SPDX-License-Identifier: MIT */
/* test_group_more_rules.c - rules 159 to 166 and the scenarios of task groups: cancellations on
 * top of each other, groups within groups. */
#include "common.h"
#include <stdio.h>
#include <string.h>
#include "knit/group.h"
#include "knit/timeout.h"

#define ENTER(group)            cr_assert_eq(knit_task_group_enter(&(group)), 0)
#define SPAWN(group, coro, ...) cr_assert_eq(knit_task_group_spawn(group, coro, __VA_ARGS__), 0)
#define TEXT(literal)           ((void *)(uintptr_t)(literal))

static intptr_t sleep_on(void *count)
{
	while (knit_sleep(KNIT_S) == -KNIT_ECANCELLED)
		;
	++*(int *)count;
	return 0;
}

/* ---- repeated requests ------------------------------------------------------------- */

static intptr_t group_of_the_stubborn(void *count)
{
	knit_task_group group;
	intptr_t r;

	ENTER(group);
	SPAWN(&group, sleep_on, count);
	SPAWN(&group, sleep_on, count);
	r = knit_task_group_exit(&group, 0);
	cr_assert_eq(*(int *)count, 2);
	trace("%s %d", repr(r), cancelling());
	trace("%s", repr(knit_sleep(0)));
	return r;
}

CORO(cancel_again_and_again)
{
	int count = 0;
	knit_task *task = knit_create_task(group_of_the_stubborn, &count);

	ticks(2);
	for (int i = 0; i < 5; i++) {
		cr_assert(knit_task_cancel(task, i ? "again" : "first"));
		if (i & 1)
			ticks(1);
	}
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	return 0;
}

Test(rules, r159_repeated_cancellations_do_not_abandon_the_children)
{
	run(cancel_again_and_again);
	assert_trace("CancelledError(first) 5 | 0");
}

/* ---- nested ------------------------------------------------------------------------ */

static intptr_t fail_when_cancelled(void *text)
{
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	return fail_with(text);
}

static intptr_t fail_soon(void *text)
{
	ticks(1);
	return fail_with(text);
}

CORO(nest)
{
	knit_task_group outer, inner;
	intptr_t r;

	ENTER(outer);
	SPAWN(&outer, fail_soon, TEXT("outer"));
	ENTER(inner);
	SPAWN(&inner, fail_when_cancelled, TEXT("inner"));
	r = knit_task_group_exit(&inner, knit_sleep(KNIT_FOREVER));
	cr_assert_eq(r, -KNIT_EGROUP);
	log_errors(&inner);
	trace("cancelling %d", cancelling());
	trace("%s", repr(knit_sleep(KNIT_S)));
	trace("cancelling %d", cancelling());
	cr_assert_eq(knit_task_group_exit(&outer, -KNIT_ECANCELLED), -KNIT_EGROUP);
	log_errors(&outer);
	trace("cancelling %d", cancelling());
	trace("%s", repr(knit_sleep(0)));
	return 0;
}

/* The same behind an old cancellation that nobody took back, and without a suspension between. */
CORO(nest_after_a_cancellation)
{
	knit_task_group outer, inner;
	intptr_t r;

	cr_assert(knit_task_cancel(knit_current_task(NULL), NULL));
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	ENTER(outer);
	SPAWN(&outer, fail_soon, TEXT("outer"));
	ENTER(inner);
	SPAWN(&inner, fail_when_cancelled, TEXT("inner"));
	r = knit_task_group_exit(&inner, knit_sleep(KNIT_FOREVER));
	cr_assert_eq(r, -KNIT_EGROUP);
	knit_task_group_done(&inner);
	cr_assert_eq(knit_task_group_exit(&outer, 0), -KNIT_EGROUP);
	knit_task_group_done(&outer);
	cr_assert_eq(cancelling(), 1);
	ticks(2);
	return 0;
}

Test(rules, r160_when_nested_groups_fail_the_outer_ones_request_is_made_again)
{
	run(nest);
	assert_trace("EG ['ValueError(inner)'] | cancelling 1 | CancelledError() | cancelling 1 | "
	             "EG ['ValueError(outer)'] | cancelling 0 | 0");
	run(nest_after_a_cancellation);
}

CORO(swallow)
{
	knit_task_group group;

	ENTER(group);
	SPAWN(&group, fail_with, TEXT("v"));
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	ticks(3);
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	log_errors(&group);
	cr_assert_eq(cancelling(), 0);
	return 0;
}

Test(rules, r161_a_body_that_goes_on_all_the_same_gets_the_errors_at_the_exit)
{
	run(swallow);
	assert_trace("EG ['ValueError(v)']");
}

/* ---- cancelling a group ------------------------------------------------------------ */

CORO(cancel_group)
{
	knit_task_group group;
	knit_task *child;

	ENTER(group);
	child = knit_task_group_create_task(&group, sleep_forever, NULL);
	ticks(1);
	cr_assert_eq(knit_task_group_cancel(&group), 0);
	cr_assert_eq(knit_task_group_cancel(&group), 0);
	cr_assert_eq(cancelling(), 1);
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_group_exit(&group, -KNIT_ECANCELLED), 0);
	cr_assert(knit_task_cancelled(child));
	cr_assert_eq(cancelling(), 0);
	cr_assert_eq(knit_task_group_cancel(&group), 0, "it is left");
	ticks(2);
	knit_task_unref(child);
	return 0;
}

static intptr_t cancel_the_group(void *group)
{
	ticks(1);
	cr_assert_eq(knit_task_group_cancel(group), 0);
	return knit_sleep(KNIT_S);
}

CORO(cancel_group_in_its_exit)
{
	knit_task_group group;

	ENTER(group);
	SPAWN(&group, cancel_the_group, &group);
	SPAWN(&group, fail_when_cancelled, TEXT("v"));
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	log_errors(&group);
	cr_assert_eq(cancelling(), 0);
	ENTER(group);
	SPAWN(&group, cancel_the_group, &group);
	cr_assert_eq(knit_task_group_exit(&group, 3), 3);
	ticks(1);
	ENTER(group);
	cr_assert_eq(knit_task_group_cancel(&group), 0);
	cr_assert_eq(knit_task_group_exit(&group, 4), 4);
	ticks(1);
	return 0;
}

CORO(cancel_group_too_early)
{
	knit_task_group group = {{0}};

	cr_assert_eq(knit_task_group_cancel(&group), -KNIT_EINVALIDSTATE);
	return 0;
}

/* Differs: storage that was never entered cannot remember a cancellation */
Test(rules, r164_a_cancelled_group_is_left_without_a_cancellation)
{
	run(cancel_group);
	run(cancel_group_in_its_exit);
	assert_trace("EG ['ValueError(v)']");
	run(cancel_group_too_early);
}

static intptr_t cancelled_twice(void *arg)
{
	knit_task_group *group = arg;
	int count = 0;
	intptr_t r;

	ENTER(*group);
	SPAWN(group, sleep_on, &count);
	r = knit_task_group_exit(group, knit_sleep(KNIT_FOREVER));
	cr_assert_eq(count, 1);
	trace("%s %d", repr(r), cancelling());
	trace("%s", repr(knit_sleep(0)));
	return r;
}

static void cancel_both(bool group_first, int passes_between)
{
	knit_task_group group;
	knit_task *task = knit_create_task(cancelled_twice, &group);

	ticks(2);
	if (group_first)
		cr_assert_eq(knit_task_group_cancel(&group), 0);
	else
		cr_assert(knit_task_cancel(task, "outside"));
	ticks(passes_between);
	if (group_first)
		cr_assert(knit_task_cancel(task, "outside"));
	else
		cr_assert_eq(knit_task_group_cancel(&group), 0);
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
}

CORO(cancel_group_and_task)
{
	for (int passes = 0; passes < 4; passes++) {
		cancel_both(false, passes);
		cancel_both(true, passes);
	}
	return 0;
}

Test(rules, r165_a_cancellation_from_outside_survives_that_of_the_group)
{
	run(cancel_group_and_task);
	cr_assert_null(strstr(trace_text(), "0 0"), "%s", trace_text());
	cr_assert_null(strstr(trace_text(), "2"), "%s", trace_text());
}

CORO(count_objects)
{
	knit_task_group group;
	knit_task *tasks[4];

	for (int i = 0; i < 2; i++) {
		ENTER(group);
		SPAWN(&group, fail_with, TEXT("v"), .arg_free = count_arg);
		cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
		knit_task_group_done(&group);
		cr_assert_eq(args_freed, i + 1);
		cr_assert_eq(knit_all_tasks(NULL, tasks, 0), 1);
		ENTER(group);
		SPAWN(&group, return_arg, TEXT("value"), .result_free = count_result);
		cr_assert_eq(knit_task_group_exit(&group, 0), 0);
		cr_assert_eq(results_freed, i + 1);
		knit_task_group_done(&group);
	}
	return 0;
}

Test(rules, r166_a_group_that_is_left_keeps_nothing)
{
	run(count_objects);
}

/* ---- scenarios --------------------------------------------------------------------- */

CORO(bad)
{
	ticks(1);
	trace("bad raises");
	return knit_raise(EINVAL, "v");
}

static intptr_t sibling(void *name)
{
	int r = knit_sleep(10 * KNIT_S);

	trace("sib %s cancelled", (const char *)name);
	ticks(1);
	trace("sib %s cleaned", (const char *)name);
	return r;
}

CORO(error_path)
{
	knit_task_group group;
	int r;

	ENTER(group);
	SPAWN(&group, sibling, TEXT("1"));
	SPAWN(&group, bad, NULL);
	SPAWN(&group, sibling, TEXT("2"));
	r = knit_sleep(10 * KNIT_S);
	trace("body cancelled %d", cancelling());
	cr_assert_eq(knit_task_group_exit(&group, r), -KNIT_EGROUP);
	log_errors(&group);
	trace("cancelling %d", cancelling());
	ticks(1);
	trace("alive");
	return 0;
}

Test(scenarios, s31_taskgroup_error_path)
{
	run(error_path);
	assert_trace("bad raises | sib 1 cancelled | sib 2 cancelled | body cancelled 1 | "
	             "sib 1 cleaned | sib 2 cleaned | EG ['ValueError(v)'] | cancelling 0 | alive");
}

static void try_create(knit_task_group *group)
{
	cr_assert_null(knit_task_group_create_task(group, return_arg, NULL));
	trace("%s", knit_error_message(-KNIT_EINVALIDSTATE) + strlen("the task group "));
}

CORO(log_late)
{
	ticks(1);
	trace("late done");
	return 0;
}

static intptr_t spawner(void *group)
{
	ticks(1);
	SPAWN(group, log_late, NULL);
	trace("spawned during exit");
	return 0;
}

CORO(rules_of_groups)
{
	knit_task_group group = {{0}};
	knit_task *first, *second;

	try_create(&group);
	ENTER(group);
	SPAWN(&group, spawner, &group);
	first = knit_task_group_create_task(&group, return_arg, (void *)1);
	second = knit_task_group_create_task(&group, sleep_arg, (void *)(10 * KNIT_S));
	cr_assert(knit_task_cancel(second, NULL));
	trace("body end");
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	trace("group done %d %s", (int)knit_task_result(first), yes(knit_task_cancelled(second)));
	try_create(&group);
	knit_task_unref(first);
	knit_task_unref(second);
	return 0;
}

Test(scenarios, s33_taskgroup_rules)
{
	run(rules_of_groups);
	assert_trace("has not been entered | body end | spawned during exit | late done | "
	             "group done 1 True | is finished");
}

static intptr_t create_when_cancelled(void *group)
{
	int r = knit_sleep(10 * KNIT_S);

	try_create(group);
	return r;
}

CORO(create_after_abort)
{
	knit_task_group group;

	ENTER(group);
	SPAWN(&group, create_when_cancelled, &group);
	ticks(1);
	SPAWN(&group, fail_with, TEXT("x"));
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EGROUP);
	trace("EG");
	knit_task_group_done(&group);
	return 0;
}

Test(scenarios, s64_taskgroup_create_after_abort)
{
	run(create_after_abort);
	assert_trace("is shutting down | EG");
}

static int passes;
static bool enough;

CALLBACK(tick)
{
	passes++;
	if (!enough)
		cr_assert_eq(knit_handle_error(knit_loop_call_soon(NULL, tick, NULL)), 0);
}

CORO(count_ticks)
{
	knit_task_group group;
	int before;

	tick(NULL);
	ticks(1);
	before = passes;
	ENTER(group);
	SPAWN(&group, return_arg, (void *)1);
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	trace("TaskGroup(1) %d", passes - before);
	enough = true;
	return 0;
}

Test(scenarios, s74_ticks_of_a_task_group)
{
	run(count_ticks);
	assert_trace("TaskGroup(1) 3");
}
