/* SPDX-License-Identifier: MIT */
/* test_task_more_rules.c - rules 64 to 77: which tasks there are, names, tasks that await each
 * other, whose a task is. */
#include "common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which tasks there are ----------------------------------------------------------- */

CORO(all_tasks)
{
	knit_task *main = knit_current_task(NULL), *tasks[4] = {NULL};
	knit_task *done = knit_create_task(return_arg, NULL);
	knit_task *waiting = knit_create_task(sleep_forever, NULL), *unborn;

	ticks(1);
	unborn = knit_create_task(return_arg, NULL);
	cr_assert_eq(knit_all_tasks(NULL, NULL, 0), 3);
	cr_assert_eq(knit_all_tasks(knit_get_running_loop(), tasks, 2), 3);
	cr_assert_eq(tasks[0], main);
	cr_assert_eq(tasks[1], waiting);
	cr_assert_null(tasks[2]);
	knit_task_unref(tasks[0]);
	knit_task_unref(tasks[1]);
	cr_assert_eq(knit_all_tasks(NULL, tasks, 4), 3);
	cr_assert_eq(tasks[2], unborn);
	for (int i = 0; i < 3; i++)
		knit_task_unref(tasks[i]);
	cr_assert(knit_task_done(done));
	knit_task_unref(done);
	cr_assert(knit_task_cancel(waiting, NULL));
	cr_assert_eq(knit_await(waiting), -KNIT_ECANCELLED);
	cr_assert_eq(knit_await(unborn), 0);
	cr_assert_eq(knit_all_tasks(NULL, NULL, 0), 1);
	return 0;
}

Test(rules, r064_all_tasks_are_those_that_are_not_done_in_order_of_creation)
{
	run(all_tasks);
}

/* N of "Task-N". */
static long number_of(knit_task *task)
{
	long number = -1;

	cr_assert_eq(sscanf(knit_task_get_name(task), "Task-%ld", &number), 1);
	return number;
}

CORO(names)
{
	knit_task *a = knit_create_task(return_arg, NULL), *b = knit_create_task(return_arg, NULL);
	char *name = strdup("mine");
	knit_task *named = knit_create_task(return_arg, NULL, .name = name);
	long first = number_of(a);

	cr_assert_gt(first, 0);
	cr_assert_gt(number_of(b), first);
	cr_assert_eq(number_of(a), first, "a name is kept");
	memset(name, 'x', strlen(name));
	cr_assert_str_eq(knit_task_get_name(named), "mine");
	cr_assert_eq(knit_task_set_name(named, name), 0);
	free(name);
	cr_assert_str_eq(knit_task_get_name(named), "xxxx");
	cr_assert_eq(knit_task_set_name(named, NULL), -EINVAL);
	cr_assert_eq(knit_await(a), 0);
	cr_assert_eq(knit_await(b), 0);
	cr_assert_eq(knit_await(named), 0);
	return first;
}

/* Differs: a loop takes its numbers by the block; they grow within it and are unique beyond */
Test(rules, r065_default_names_are_numbered_through_the_process)
{
	intptr_t first = knit_run(names, NULL), second = knit_run(names, NULL);

	cr_assert_gt(second, first + 2);
}

CORO(tell_name)
{
	trace("%s", knit_task_get_name(knit_current_task(NULL)));
	return 0;
}

CORO(name_at_first_step)
{
	return knit_await(knit_create_task(tell_name, NULL, .name = "early"));
}

Test(rules, r066_the_name_is_set_before_the_first_step)
{
	run(name_at_first_step);
	assert_trace("early");
}

/* ---- awaiting each other ---------------------------------------------------------- */

CORO(await_self)
{
	cr_assert_eq(knit_await(knit_task_ref(knit_current_task(NULL))), -EDEADLK);
	ticks(1);
	return 4;
}

CORO(self_await)
{
	cr_assert_eq(knit_await(knit_create_task(await_self, NULL)), 4);
	return 0;
}

Test(rules, r067_a_task_that_awaits_itself_is_told_so)
{
	run(self_await);
}

static knit_task *circle[2];

static intptr_t await_other(void *arg)
{
	return knit_await(knit_task_ref(circle[(intptr_t)arg]));
}

CORO(make_a_circle)
{
	circle[0] = knit_create_task(await_other, (void *)1);
	circle[1] = knit_create_task(await_other, (void *)0);
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	cr_assert_not(knit_task_done(circle[0]));
	cr_assert_not(knit_task_done(circle[1]));
	/* Cancelling one of them ends its wait, though nothing in the circle can end first. */
	cr_assert(knit_task_cancel(circle[0], "cut"));
	cr_assert_eq(knit_task_cancelling(circle[0]), 1);
	cr_assert_eq(knit_await(circle[0]), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "cut");
	cr_assert_eq(knit_await(circle[1]), -KNIT_ECANCELLED);
	return 0;
}

/* Differs: to cancel a task of such a circle is no error; the circle breaks there */
Test(rules, r068_tasks_that_await_each_other_wait_for_ever)
{
	run(make_a_circle);
}

CORO(fail)
{
	return knit_raise(EINVAL, "text");
}

CORO(outcomes)
{
	knit_task *value = knit_create_task(return_arg, (void *)5);
	knit_task *error = knit_create_task(fail, NULL);
	knit_task *cancelled = knit_create_task(return_arg, (void *)-KNIT_ECANCELLED);
	const char *message;

	ticks(1);
	cr_assert_eq(knit_task_result(value), 5);
	cr_assert_eq(knit_task_exception(value, NULL), 0);
	cr_assert_eq(knit_task_result(error), -EINVAL);
	cr_assert_eq(knit_task_exception(error, &message), EINVAL);
	cr_assert_str_eq(message, "text");
	cr_assert_not(knit_task_cancelled(error));
	cr_assert(knit_task_cancelled(cancelled));
	knit_task_unref(value);
	knit_task_unref(error);
	knit_task_unref(cancelled);
	return 0;
}

Test(rules, r069_what_a_coroutine_returns_is_the_tasks_value_failure_or_cancellation)
{
	run(outcomes);
}

CORO(raise_cancelled)
{
	return knit_raise(KNIT_ECANCELLED, "self-made");
}

CORO(self_made)
{
	knit_task *task = knit_create_task(raise_cancelled, NULL);

	cr_assert_eq(knit_await(knit_task_ref(task)), -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(-KNIT_ECANCELLED), "self-made");
	cr_assert(knit_task_cancelled(task));
	cr_assert_eq(knit_task_cancelling(task), 0);
	cr_assert_eq(knit_task_cancelling(knit_current_task(NULL)), 0);
	knit_task_unref(task);
	return 0;
}

Test(rules, r070_a_cancellation_made_by_hand_cancels_without_a_request)
{
	run(self_made);
}

/* ---- whose it is ------------------------------------------------------------------ */

static int finished;

CORO(finish_later)
{
	cr_assert_eq(knit_sleep(KNIT_S), 0);
	finished++;
	return 0;
}

CORO(drop_tasks)
{
	cr_assert_eq(knit_spawn(finish_later, NULL), 0);
	knit_task_unref(knit_create_task(finish_later, NULL));
	return knit_sleep(2 * KNIT_S);
}

/* Differs: the loop owns a task until it is done, with or without other references */
Test(rules, r074_a_task_that_nobody_holds_runs_to_its_end)
{
	run(drop_tasks);
	cr_assert_eq(finished, 2);
}

Test(rules, r077_creating_a_task_on_a_closed_loop_fails_and_keeps_off_the_argument)
{
	knit_loop *loop = loop_new();

	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_null(knit_loop_create_task(loop, return_arg, &finished, .arg_free = count_arg));
	cr_assert_eq(knit_await(NULL), -KNIT_ECLOSED);
	/* The argument is still the caller's, as always when creation fails. */
	cr_assert_eq(args_freed, 0);
	knit_loop_unref(loop);
}
