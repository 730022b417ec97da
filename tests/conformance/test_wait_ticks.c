/* SPDX-License-Identifier: MIT */
/* test_wait_ticks.c - how many passes waiting on several costs, as asyncio counts them (S74). */
#include "common.h"
#include "knit/timeout.h"
#include "knit/wait.h"
#include "task/task.h"

static knit_task *returning(void)
{
	knit_task *task = knit_create_task(return_arg, (void *)1);

	cr_assert_not_null(task);
	return task;
}

static uint64_t passes_now(void)
{
	return knit_get_running_loop()->counters.passes;
}

static int gather_two(void)
{
	return (int)knit_gather((knit_task *[]){returning(), returning()}, 2, NULL);
}

static int wait_for_one(void)
{
	knit_task *task = returning();
	int r = knit_wait(&task, 1, KNIT_FOREVER, KNIT_ALL_COMPLETED);

	knit_task_unref(task);
	return r;
}

static int call_in_time(void)
{
	knit_timeout timeout;

	cr_assert_eq(knit_timeout_enter(&timeout, 5 * KNIT_S), 0);
	return (int)knit_timeout_exit(&timeout, return_arg((void *)1));
}

static int wait_for_task(void)
{
	return (int)knit_wait_for(returning(), 5 * KNIT_S);
}

static int shield_task(void)
{
	knit_task *task = returning();
	int r = (int)knit_await(knit_shield(task));

	knit_task_unref(task);
	return r;
}

static int next_completed(void)
{
	knit_task *task = returning();
	knit_as_completed all;
	knit_future *next;
	int r;

	cr_assert_eq(knit_as_completed_init(&all, &task, 1), 0);
	r = knit_as_completed_next(&all, &next);
	cr_assert_eq(knit_as_completed_done(&all), 0);
	knit_task_unref(task);
	return r;
}

static void measure(const char *name, int (*call)(void), int expected)
{
	uint64_t before = passes_now();

	cr_assert_eq(call(), expected);
	trace("%s %d", name, (int)(passes_now() - before));
}

CORO(s74)
{
	measure("gather(2)", gather_two, 0);
	measure("wait([task])", wait_for_one, 1);
	measure("wait_for(call)", call_in_time, 1);
	measure("wait_for(task)", wait_for_task, 1);
	measure("shield(task)", shield_task, 1);
	measure("as_completed(task)", next_completed, 1);
	return 0;
}

Test(scenarios, s74_exact_tick_counts_of_waiting_on_several)
{
	run(s74);
	assert_trace("gather(2) 3 | wait([task]) 3 | wait_for(call) 0 | wait_for(task) 2 | "
	             "shield(task) 3 | as_completed(task) 3");
}
