/* SPDX-License-Identifier: MIT */
/* test_tasks.c - what tasks of one loop do with each other takes no allocation once it is warm. */
#include <errno.h>
#include <stdlib.h>
#include "base/alloc.h"
#include "count.h"
#include "test.h"

#define FEW 4

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static void create_few(knit_task **tasks)
{
	for (intptr_t i = 0; i < FEW; i++)
		tasks[i] = knit_create_task(nothing, (void *)i);
}

Test(steady, the_count_notices_an_allocation)
{
	uint64_t before = count_allocations();
	void *volatile memory = kn_malloc(100);
	cr_expect_gt(count_allocations(), before);
	kn_free(memory);
	before = count_allocations();
	memory = malloc(100);
	cr_expect_eq(count_allocations() > before, count_is_complete);
	free(memory);
}

/* ---- tasks and futures ---- */

static void spawn_and_join(void *state)
{
	knit_task *tasks[FEW];

	(void)state;
	must(knit_await(knit_create_task(nothing, NULL)));
	create_few(tasks);
	for (int i = 0; i < FEW; i++)
		must(knit_await(tasks[i]));
	must(knit_spawn(nothing, NULL));
}

Test(steady, spawning_and_joining)
{
	cr_assert_eq(steady(spawn_and_join, NULL, KNIT_CLOCK_MONOTONIC), 0);
}

static void call_back(knit_future *future, void *arg)
{
	(void)future;
	++*(long *)arg;
}

static void use_futures(void *calls)
{
	knit_future *future = knit_future_new();

	must(knit_future_add_done_callback(future, call_back, calls));
	must(knit_future_set_result(future, 1));
	must(knit_await(future));
	must(knit_sleep(0));
}

Test(steady, futures_and_their_callbacks)
{
	long calls = 0;
	cr_assert_eq(steady(use_futures, &calls, KNIT_CLOCK_MONOTONIC), 0);
	cr_expect_eq(calls, steady_rounds());
}

static void gather_few(void *state)
{
	knit_task *tasks[FEW];
	intptr_t outcomes[FEW];

	(void)state;
	create_few(tasks);
	must(knit_gather(tasks, FEW, outcomes));
}

Test(steady, gathering_a_few)
{
	cr_assert_eq(steady(gather_few, NULL, KNIT_CLOCK_MONOTONIC), 0);
}

static void wait_for_few(void *state)
{
	knit_task *tasks[FEW];

	(void)state;
	create_few(tasks);
	must(knit_wait(tasks, FEW, KNIT_S, KNIT_FIRST_COMPLETED));
	must(knit_wait(tasks, FEW, KNIT_FOREVER, KNIT_ALL_COMPLETED));
	for (int i = 0; i < FEW; i++)
		must(knit_await(tasks[i]));
	must(knit_wait_for(knit_create_task(nothing, NULL), KNIT_S));
}

Test(steady, waiting_for_a_few)
{
	cr_assert_eq(steady(wait_for_few, NULL, KNIT_CLOCK_MONOTONIC), 0);
}

static void use_group(void *state)
{
	knit_task_group group;

	(void)state;
	must(knit_task_group_enter(&group));
	for (int i = 0; i < FEW; i++)
		must(knit_task_group_spawn(&group, nothing, NULL));
	must(knit_task_group_exit(&group, 0));
}

Test(steady, task_groups)
{
	cr_assert_eq(steady(use_group, NULL, KNIT_CLOCK_MONOTONIC), 0);
}

static intptr_t sleep_long(void *arg)
{
	(void)arg;
	return knit_sleep(3600 * KNIT_S);
}

static void cancel_one(void *state)
{
	knit_task *task = knit_create_task(sleep_long, NULL);

	(void)state;
	must(knit_sleep(0));
	knit_task_cancel(task, NULL);
	if (knit_await(task) != -KNIT_ECANCELLED)
		abort();
}

Test(steady, cancelling)
{
	cr_assert_eq(steady(cancel_one, NULL, KNIT_CLOCK_MONOTONIC), 0);
}

/* ---- time ---- */

static void sleep_a_little(void *state)
{
	knit_task *tasks[FEW];

	(void)state;
	must(knit_sleep(KNIT_US));
	for (int i = 0; i < FEW; i++)
		tasks[i] = knit_create_task(sleep_long, NULL);
	for (int i = 0; i < FEW; i++)
		must(knit_await(tasks[i]));
}

Test(steady, sleeping)
{
	cr_assert_eq(steady(sleep_a_little, NULL, KNIT_CLOCK_VIRTUAL), 0);
}

static void count_call(void *arg)
{
	++*(long *)arg;
}

static void use_timers(void *calls)
{
	knit_handle kept = knit_loop_call_later(NULL, KNIT_MS, count_call, calls);
	knit_handle cancelled = knit_loop_call_later(NULL, 60 * KNIT_S, count_call, calls);

	must(knit_handle_error(kept));
	must(knit_handle_error(cancelled));
	knit_handle_cancel(cancelled);
	must(knit_sleep(KNIT_MS));
}

Test(steady, timers_that_fire_and_that_are_cancelled)
{
	long calls = 0;
	cr_assert_eq(steady(use_timers, &calls, KNIT_CLOCK_VIRTUAL), 0);
	cr_expect_eq(calls, steady_rounds());
}

static void use_timeouts(void *state)
{
	knit_timeout timeout;
	knit_cancel_scope scope;

	(void)state;
	must(knit_timeout_enter(&timeout, KNIT_S));
	must(knit_sleep(0));
	must(knit_timeout_exit(&timeout, 0));
	must(knit_cancel_scope_enter(&scope, .delay = KNIT_S));
	must(knit_cancel_scope_exit(&scope, knit_sleep(0)));
	must(knit_timeout_enter(&timeout, KNIT_MS));
	if (knit_timeout_exit(&timeout, knit_sleep(KNIT_S)) != -ETIMEDOUT)
		abort();
}

Test(steady, timeouts_that_pass_and_that_strike)
{
	cr_assert_eq(steady(use_timeouts, NULL, KNIT_CLOCK_VIRTUAL), 0);
}

static void use_call_soon(void *calls)
{
	for (int i = 0; i < FEW; i++)
		must(knit_handle_error(knit_loop_call_soon(NULL, count_call, calls)));
	must(knit_sleep(0));
}

Test(steady, call_soon)
{
	long calls = 0;
	cr_assert_eq(steady(use_call_soon, &calls, KNIT_CLOCK_MONOTONIC), 0);
	cr_expect_eq(calls, FEW * steady_rounds());
}
