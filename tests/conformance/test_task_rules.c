/* SPDX-License-Identifier: MIT */
/* test_task_rules.c - rules 55 to 62: when a task runs, what its waits cost, how it ends. */
#include "common.h"
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

	return (!task->wait && !kn_list_empty(&task->place.ready.link)) + (task->wait != NULL) +
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
	cr_assert_not_null(kn_task_of(task)->place.ready.run);
	ticks(1);
	cr_assert_eq(places_of(task), 1, "awaiting");
	cr_assert_eq(kn_task_awaits(kn_task_of(task)), future);
	cr_assert_eq(knit_future_set_result(future, 1), 0);
	cr_assert_eq(places_of(task), 1, "woken");
	cr_assert_null(kn_task_awaits(kn_task_of(task)));
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
