/* SPDX-License-Identifier: MIT */
/* test_task_rules.c - rules 55 to 77: what a task is, when it runs, how it ends. */
#include "common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "task/task.h"

/* ---- when it runs ------------------------------------------------------------------ */

static intptr_t log_arg(void *arg)
{
	trace("%s", (const char *)arg);
	return 0;
}

CORO(create_three)
{
	static const char *const names[] = {"1", "2", "3"};
	knit_task *tasks[3];

	for (int i = 0; i < 3; i++)
		tasks[i] = knit_create_task(log_arg, (void *)names[i]);
	trace("created");
	for (int i = 0; i < 3; i++)
		cr_assert_not(knit_task_done(tasks[i]));
	ticks(1);
	for (int i = 0; i < 3; i++) {
		cr_assert(knit_task_done(tasks[i]));
		cr_assert_eq(knit_await(tasks[i]), 0);
	}
	return 0;
}

Test(rules, r055_create_task_is_lazy_and_ordered)
{
	run(create_three);
	assert_trace("created | 1 | 2 | 3");
}

/* In how many of its four places is the task? */
static int places_of(knit_task *future)
{
	struct kn_task *task = kn_task_of(future);

	return !kn_list_empty(&task->ready.link) + (task->wait != NULL) +
	       (knit_current_task(NULL) == future) + kn_future_is_done(future);
}

static intptr_t wait_two_ways(void *future)
{
	cr_assert_eq(places_of(knit_current_task(NULL)), 1, "running");
	cr_assert_eq(knit_await(knit_future_ref(future)), 1);
	cr_assert_eq(knit_sleep(KNIT_MS), -KNIT_ECANCELLED);
	cr_assert_eq(places_of(knit_current_task(NULL)), 1, "running");
	return 0;
}

CORO(watch_a_task)
{
	knit_future *future = knit_future_new();
	knit_task *task = knit_create_task(wait_two_ways, future);

	cr_assert_eq(places_of(task), 1, "scheduled");
	cr_assert_not_null(kn_task_of(task)->ready.run);
	ticks(1);
	cr_assert_eq(places_of(task), 1, "awaiting");
	cr_assert_eq(kn_task_of(task)->awaited, future);
	cr_assert_eq(knit_future_set_result(future, 1), 0);
	cr_assert_eq(places_of(task), 1, "woken");
	cr_assert_null(kn_task_of(task)->awaited);
	ticks(1);
	cr_assert_eq(places_of(task), 1, "sleeping");
	cr_assert(knit_task_cancel(task, NULL));
	cr_assert_eq(places_of(task), 1, "cancelled");
	ticks(1);
	cr_assert_eq(places_of(task), 1, "done");
	cr_assert(knit_task_done(task));
	knit_task_unref(task);
	knit_future_unref(future);
	return 0;
}

Test(rules, r056_a_task_is_scheduled_or_running_or_waiting_or_done)
{
	run(watch_a_task);
}

static intptr_t plain_call(void *caller)
{
	return knit_current_task(NULL) == caller ? 11 : -1;
}

CORO(call_a_coroutine)
{
	int passes = 0;

	knit_loop_call_soon(NULL, count_up, &passes);
	cr_assert_eq(plain_call(knit_current_task(NULL)), 11);
	cr_assert_eq(passes, 0);
	ticks(1);
	cr_assert_eq(passes, 1);
	return 0;
}

Test(rules, r057_a_coroutine_called_directly_runs_in_the_callers_task)
{
	run(call_a_coroutine);
}

/* ---- passes, counted --------------------------------------------------------------- */

static int pass;
static bool counting;

CALLBACK(tick)
{
	pass++;
	if (counting)
		knit_loop_call_soon(NULL, tick, NULL);
}

/* Counts passes from now on. */
static void count_passes(void)
{
	counting = true;
	knit_loop_call_soon(NULL, tick, NULL);
	ticks(1);
}

CORO(sleep_zero)
{
	count_passes();
	for (int i = 0; i < 5; i++) {
		int before = pass;

		cr_assert_eq(knit_sleep(i % 2 ? -KNIT_S : 0), 0);
		cr_assert_eq(pass, before + 1);
	}
	counting = false;
	return 0;
}

Test(rules, r058_sleep_0_is_exactly_one_pass)
{
	run(sleep_zero);
}

static intptr_t yield_once(void *arg)
{
	cr_assert_eq(knit_sleep(0), 0);
	return (intptr_t)arg;
}

CORO(await_costs)
{
	int before;

	count_passes();
	before = pass;
	cr_assert_eq(knit_await(knit_create_task(return_arg, (void *)1)), 1);
	cr_assert_eq(pass - before, 2);
	before = pass;
	cr_assert_eq(knit_await(knit_create_task(yield_once, (void *)2)), 2);
	cr_assert_eq(pass - before, 3);
	counting = false;
	return 0;
}

Test(rules, r059_creating_and_awaiting_a_task_costs_two_passes)
{
	run(await_costs);
}

struct completion {
	knit_task *task;
	knit_task *awaiter;
};

static void look_at_completion(void *arg)
{
	struct completion *completion = arg;

	trace("done %s", yes(knit_task_done(completion->task)));
}

static intptr_t finish(void *arg)
{
	knit_loop_call_soon(NULL, look_at_completion, arg);
	return 1;
}

static intptr_t await_task(void *arg)
{
	struct completion *completion = arg;

	cr_assert_eq(knit_await(knit_task_ref(completion->task)), 1);
	trace("awaiter");
	return 0;
}

CORO(complete_a_task)
{
	struct completion completion;

	completion.awaiter = knit_create_task(await_task, &completion);
	completion.task = knit_create_task(finish, &completion);
	cr_assert_eq(knit_task_add_done_callback(completion.task, log_done, (void *)"callback"), 0);
	ticks(1);
	trace("main %s", yes(knit_task_done(completion.task)));
	ticks(1);
	cr_assert_eq(knit_await(completion.awaiter), 0);
	knit_task_unref(completion.task);
	return 0;
}

Test(rules, r060_what_waits_for_a_task_runs_in_the_next_pass_in_order)
{
	run(complete_a_task);
	/* The callback was registered before the awaiter began to wait. */
	assert_trace("main True | done True | callback | awaiter");
}

/* ---- its outcome ------------------------------------------------------------------- */

CORO(complete_by_hand)
{
	knit_task *task = knit_create_task(return_arg, (void *)1);

	cr_assert_eq(knit_future_set_result(task, 2), -EINVAL);
	cr_assert_eq(knit_future_set_exception(task, EIO, NULL), -EINVAL);
	cr_assert_not(knit_task_done(task));
	cr_assert_eq(knit_await(task), 1);
	return 0;
}

Test(rules, r061_nobody_but_its_coroutine_completes_a_task)
{
	run(complete_by_hand);
}

CALLBACK(see_task)
{
	trace("callback %s", knit_current_task(NULL) ? "task" : "none");
}

static void see_task_done(knit_future *future, void *arg)
{
	(void)future;
	see_task(arg);
}

CORO(see_self)
{
	knit_task *self = knit_current_task(NULL);

	for (int i = 0; i < 3; i++) {
		ticks(1);
		cr_assert_eq(knit_current_task(NULL), self);
	}
	return (intptr_t)self;
}

CORO(current_task)
{
	knit_task *main = knit_current_task(NULL);
	knit_task *a = knit_create_task(see_self, NULL), *b = knit_create_task(see_self, NULL);

	cr_assert_not_null(main);
	cr_assert_eq(knit_current_task(knit_get_running_loop()), main);
	knit_loop_call_soon(NULL, see_task, NULL);
	knit_loop_call_later(NULL, 0, see_task, NULL);
	cr_assert_eq(knit_task_add_done_callback(a, see_task_done, NULL), 0);
	cr_assert_eq(knit_await(knit_task_ref(a)), (intptr_t)a);
	cr_assert_eq(knit_await(knit_task_ref(b)), (intptr_t)b);
	cr_assert_eq(knit_current_task(NULL), main);
	knit_task_unref(a);
	knit_task_unref(b);
	return 0;
}

Test(rules, r062_current_task_is_the_one_that_runs_and_none_in_callbacks)
{
	run(current_task);
	assert_trace("callback none | callback none | callback none");
}

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

/* ---- awaiting each other
 * ------------------------------------------------------------------------- */

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

/* ---- whose it is
 * ----------------------------------------------------------------------------------- */

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
