/* SPDX-License-Identifier: MIT */
/* test_group_rules.c - rules 148 to 158: who waits for whom, and what one failure does. */
#include "common.h"
#include <stdio.h>
#include <string.h>
#include "knit/group.h"

#define ENTER(group)            cr_assert_eq(knit_task_group_enter(&(group)), 0)
#define SPAWN(group, coro, ...) cr_assert_eq(knit_task_group_spawn(group, coro, __VA_ARGS__), 0)

static intptr_t fail_soon(void *text)
{
	ticks(1);
	return fail_with(text);
}

static intptr_t fail_when_cancelled(void *text)
{
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	return fail_with(text);
}

#define TEXT(literal) ((void *)(uintptr_t)(literal))

/* ---- waiting ----------------------------------------------------------------------- */

static intptr_t late(void *done)
{
	ticks(3);
	++*(int *)done;
	return 0;
}

struct spawner {
	knit_task_group *group;
	int done;
};

static intptr_t spawn_late(void *arg)
{
	struct spawner *spawner = arg;

	ticks(2);
	SPAWN(spawner->group, late, &spawner->done);
	return 0;
}

CORO(wait_for_all)
{
	knit_task_group group;
	struct spawner spawner = {&group, 0};

	ENTER(group);
	SPAWN(&group, spawn_late, &spawner);
	SPAWN(&group, late, &spawner.done);
	cr_assert_eq(knit_task_group_exit(&group, 9), 9);
	cr_assert_eq(spawner.done, 2);
	return 0;
}

Test(rules, r148_the_exit_waits_for_all_children_also_the_late_ones)
{
	run(wait_for_all);
}

static void refused(knit_task_group *group, const char *text)
{
	knit_task *task = knit_task_group_create_task(group, late, NULL, .arg_free = count_arg);

	cr_assert_null(task);
	cr_assert_str_eq(knit_error_message(-KNIT_EINVALIDSTATE), text);
	cr_assert_eq(knit_await(NULL), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_task_group_spawn(group, late, NULL, .arg_free = count_arg),
	             -KNIT_EINVALIDSTATE);
	cr_assert_str_eq(knit_error_message(-KNIT_EINVALIDSTATE), text);
	cr_assert_eq(args_freed, 0);
}

CORO(create_at_the_wrong_time)
{
	knit_task_group group;

	memset(&group, 0xa5, sizeof(group));
	refused(&group, "the task group has not been entered");
	ENTER(group);
	SPAWN(&group, fail_with, TEXT("x"));
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	refused(&group, "the task group is shutting down");
	cr_assert_eq(knit_task_group_exit(&group, -KNIT_ECANCELLED), -KNIT_EGROUP);
	refused(&group, "the task group is finished");
	knit_task_group_done(&group);
	refused(&group, "the task group is finished");
	return 0;
}

/* Differs: the argument stays the caller's, as where any creation fails */
Test(rules, r149_no_children_before_the_entry_after_an_abort_or_after_the_exit)
{
	run(create_at_the_wrong_time);
}

static intptr_t leave_anothers(void *group)
{
	cr_assert_eq(knit_task_group_exit(group, 1), -KNIT_EINVALIDSTATE);
	return 0;
}

CORO(enter_twice)
{
	knit_task_group group;

	ENTER(group);
	cr_assert_eq(knit_task_group_enter(&group), -KNIT_EINVALIDSTATE);
	SPAWN(&group, leave_anothers, &group);
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	cr_assert_eq(knit_task_group_exit(&group, 0), -KNIT_EINVALIDSTATE);
	ENTER(group);
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	return 0;
}

/* Differs: storage that was left can be entered again */
Test(rules, r150_a_group_is_entered_once_and_by_a_task)
{
	knit_task_group group;

	cr_assert_eq(knit_task_group_enter(&group), -KNIT_ENOTASK);
	run(enter_twice);
}

/* ---- a child fails ----------------------------------------------------------------- */

static intptr_t log_cancelled(void *name)
{
	int r = knit_sleep(KNIT_FOREVER);

	trace("%s cancelled", (const char *)name);
	return r;
}

CORO(one_fails)
{
	knit_task_group group;
	int r;

	ENTER(group);
	SPAWN(&group, log_cancelled, TEXT("a"));
	SPAWN(&group, fail_soon, TEXT("first"));
	SPAWN(&group, fail_soon, TEXT("second"));
	SPAWN(&group, log_cancelled, TEXT("b"));
	r = knit_sleep(KNIT_FOREVER);
	trace("body cancelled %d", cancelling());
	cr_assert_eq(knit_task_group_spawn(&group, late, NULL), -KNIT_EINVALIDSTATE);
	cr_assert_eq(knit_task_group_exit(&group, r), -KNIT_EGROUP);
	cr_assert_eq(cancelling(), 0);
	log_errors(&group);
	return 0;
}

Test(rules, r151_the_first_failure_cancels_the_others_and_the_body_once)
{
	run(one_fails);
	assert_trace("a cancelled | b cancelled | body cancelled 1 | "
	             "EG ['ValueError(first)', 'ValueError(second)']");
}

static void note_tick(void *count)
{
	++*(int *)count;
	if (*(int *)count < 10)
		cr_assert_eq(knit_handle_error(knit_loop_call_soon(NULL, note_tick, count)), 0);
}

CORO(count_passes)
{
	static int passes; /* the callback outlives the coroutine */
	knit_task_group group;
	int before;

	note_tick(&passes);
	ticks(1);
	before = passes;
	ENTER(group);
	SPAWN(&group, log_cancelled, TEXT("late"));
	SPAWN(&group, log_cancelled, TEXT("later"));
	SPAWN(&group, fail_with, TEXT("x"));
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	trace("body cancelled after %d passes", passes - before);
	cr_assert_eq(knit_task_group_exit(&group, -KNIT_ECANCELLED), -KNIT_EGROUP);
	knit_task_group_done(&group);
	return 0;
}

Test(rules, r152_a_failure_is_noticed_one_pass_later_children_first)
{
	run(count_passes);
	assert_trace("late cancelled | later cancelled | body cancelled after 3 passes");
}

CORO(errors_in_order)
{
	knit_task_group group;
	const char *name, *text;

	ENTER(group);
	SPAWN(&group, fail_when_cancelled, TEXT("second"), .name = "b");
	SPAWN(&group, fail_with, TEXT("first"), .name = "a");
	cr_assert_eq(knit_sleep(KNIT_FOREVER), -KNIT_ECANCELLED);
	cr_assert_eq(knit_task_group_exit(&group, knit_raise(ENOENT, "body")), -KNIT_EGROUP);
	cr_assert_eq(knit_task_group_next_error(&group, &name, &text), EINVAL);
	cr_assert_str_eq(name, "a");
	cr_assert_str_eq(text, "first");
	cr_assert_eq(knit_task_group_next_error(&group, &name, &text), EINVAL);
	cr_assert_str_eq(name, "b");
	cr_assert_str_eq(text, "second");
	cr_assert_eq(knit_task_group_next_error(&group, &name, &text), ENOENT);
	cr_assert_str_eq(name, knit_task_get_name(knit_current_task(NULL)));
	cr_assert_str_eq(text, "body");
	cr_assert_eq(knit_task_group_next_error(&group, &name, &text), 0);
	cr_assert_eq(knit_task_group_next_error(&group, NULL, NULL), EINVAL, "from the start");
	knit_task_group_done(&group);
	cr_assert_eq(knit_task_group_next_error(&group, NULL, NULL), 0);
	return 0;
}

Test(rules, r153_all_errors_are_collected_in_the_order_of_their_end)
{
	run(errors_in_order);
}

CORO(a_child_is_cancelled)
{
	knit_task_group group;
	knit_task *child;

	ENTER(group);
	child = knit_task_group_create_task(&group, sleep_forever, NULL);
	ticks(1);
	cr_assert(knit_task_cancel(child, NULL));
	ticks(3);
	cr_assert(knit_task_cancelled(child));
	SPAWN(&group, return_arg, NULL);
	cr_assert_eq(knit_task_group_exit(&group, 0), 0);
	knit_task_unref(child);
	return 0;
}

Test(rules, r154_a_child_that_is_cancelled_has_not_failed)
{
	run(a_child_is_cancelled);
}

CORO(the_body_fails)
{
	knit_task_group group;

	ENTER(group);
	SPAWN(&group, log_cancelled, TEXT("child"));
	ticks(1);
	cr_assert_eq(knit_task_group_exit(&group, knit_raise(EINVAL, "body")), -KNIT_EGROUP);
	cr_assert_eq(cancelling(), 0);
	log_errors(&group);
	ticks(1);
	return 0;
}

Test(rules, r155_a_body_that_fails_cancels_the_children)
{
	run(the_body_fails);
	assert_trace("child cancelled | EG ['ValueError(body)']");
}

/* ---- cancellation from outside ----------------------------------------------------- */

CORO(keep_the_count)
{
	knit_task_group group;

	cr_assert(knit_task_cancel(knit_current_task(NULL), NULL));
	cr_assert_eq(knit_sleep(0), -KNIT_ECANCELLED);
	ENTER(group);
	SPAWN(&group, fail_with, TEXT("x"));
	cr_assert_eq(knit_sleep(KNIT_S), -KNIT_ECANCELLED);
	cr_assert_eq(cancelling(), 2);
	cr_assert_eq(knit_task_group_exit(&group, -KNIT_ECANCELLED), -KNIT_EGROUP);
	cr_assert_eq(cancelling(), 1);
	knit_task_group_done(&group);
	ticks(2);
	return 0;
}

/* Differs: a request from before the entry is not made once more */
Test(rules, r156_the_groups_own_cancellation_is_taken_back)
{
	run(keep_the_count);
}

static intptr_t group_of_sleepers(void *ret)
{
	knit_task_group group;
	intptr_t r;

	ENTER(group);
	SPAWN(&group, log_cancelled, TEXT("a"));
	SPAWN(&group, log_cancelled, TEXT("b"));
	if (ret)
		SPAWN(&group, fail_when_cancelled, ret);
	r = knit_task_group_exit(&group, 0);
	if (r == -KNIT_EGROUP)
		log_errors(&group);
	else
		trace("%s", repr(r));
	trace("cancelling %d", cancelling());
	trace("%s", repr(knit_sleep(0)));
	return r;
}

CORO(cancel_from_outside)
{
	knit_task *task = knit_create_task(group_of_sleepers, NULL);

	ticks(2);
	cr_assert(knit_task_cancel(task, "outside"));
	cr_assert_eq(knit_await(task), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "outside");
	return 0;
}

Test(rules, r157_a_cancellation_from_outside_goes_on_when_nothing_failed)
{
	run(cancel_from_outside);
	assert_trace("a cancelled | b cancelled | CancelledError(outside) | cancelling 1 | 0");
}

CORO(cancel_from_outside_and_fail)
{
	knit_task *task = knit_create_task(group_of_sleepers, TEXT("v"));

	ticks(2);
	cr_assert(knit_task_cancel(task, "outside"));
	cr_assert_eq(knit_await(task), -KNIT_EGROUP);
	return 0;
}

Test(rules, r158_errors_win_over_it_and_the_next_suspension_tells_of_it)
{
	run(cancel_from_outside_and_fail);
	assert_trace("a cancelled | b cancelled | EG ['ValueError(v)'] | cancelling 1 | "
	             "CancelledError(outside)");
}
