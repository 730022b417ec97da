/* SPDX-License-Identifier: MIT */
/* test_map.c - the bounded map and the race. */
#include <errno.h>
#include <stdlib.h>
#include "knit/timeout.h"
#include "knit/wait.h"
#include "task/task.h"
#include "test.h"

static void run(knit_coro *main)
{
	intptr_t r = knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL);

	cr_assert_eq(r, 0, "%s", knit_error_message(r));
}

static int live, most, started, freed;

static void count_free(intptr_t value)
{
	(void)value;
	freed++;
}

/* Sleeps that many seconds and returns it; fails instead for a negative number. */
static intptr_t sleep_seconds(void *arg)
{
	int64_t seconds = *(const int *)arg;
	int r;

	started++;
	live++;
	most = live > most ? live : most;
	r = knit_sleep((seconds < 0 ? -seconds : seconds) * KNIT_S);
	live--;
	if (r < 0)
		return r;
	return seconds < 0 ? knit_raise(EIO, "no %d", (int)-seconds) : (intptr_t)seconds;
}

/* ---- map ---- */

static intptr_t bounded(void *unused)
{
	int seconds[] = {3, 1, 2, 5, 1, 4};
	intptr_t outcomes[6];
	void *args[6];

	(void)unused;
	for (int i = 0; i < 6; i++)
		args[i] = &seconds[i];
	cr_assert_eq(knit_map(sleep_seconds, args, 6, 2, outcomes), 0);
	cr_assert_eq(most, 2);
	cr_assert_eq(live, 0);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(outcomes[i], seconds[i]);
	/* 0-3 and 0-1, 1-3; then 3-8 and 3-4, 4-8: a place that is free is used at once. */
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), 8 * KNIT_S);
	most = 0;
	cr_assert_eq(knit_map(sleep_seconds, args, 6, 0, NULL), 0);
	cr_assert_eq(most, 6, "no limit");
	cr_assert_eq(knit_map(sleep_seconds, args, 0, 2, outcomes), 0);
	cr_assert_eq(knit_map(NULL, args, 6, 2, outcomes), -EINVAL);
	return 0;
}

Test(map, at_most_so_many_run_at_a_time_and_outcomes_are_in_order)
{
	run(bounded);
}

static intptr_t first_error(void *unused)
{
	int seconds[] = {1, 9, -2, 3, 1};
	intptr_t outcomes[5], r;
	void *args[5];

	(void)unused;
	for (int i = 0; i < 5; i++)
		args[i] = &seconds[i];
	r = knit_map(sleep_seconds, args, 5, 2, outcomes);
	cr_assert_eq(r, -EIO);
	cr_assert_str_eq(knit_error_message(r), "no 2");
	cr_assert_eq(live, 0);
	cr_assert_eq(started, 3, "no more are begun");
	cr_assert_eq(outcomes[0], 1);
	cr_assert_eq(outcomes[1], -KNIT_ECANCELLED);
	cr_assert_eq(outcomes[2], -EIO);
	cr_assert_eq(outcomes[3], -KNIT_ECANCELLED);
	cr_assert_eq(outcomes[4], -KNIT_ECANCELLED);
	return 0;
}

Test(map, the_first_error_cancels_the_rest_and_waits_for_all)
{
	run(first_error);
}

static intptr_t map_forever(void *outcomes)
{
	int seconds[] = {1, 1000, 1000};
	void *args[] = {&seconds[0], &seconds[1], &seconds[2]};

	return knit_map(sleep_seconds, args, 3, 2, outcomes);
}

static intptr_t cancelled_map(void *unused)
{
	intptr_t outcomes[3], r;
	knit_task *task = knit_create_task(map_forever, outcomes);

	(void)unused;
	cr_assert_eq(knit_sleep(2 * KNIT_S), 0);
	knit_task_cancel(task, "why");
	r = knit_await(task);
	cr_assert_eq(r, -KNIT_ECANCELLED);
	cr_assert_str_eq(knit_error_message(r), "why");
	cr_assert_eq(live, 0);
	cr_assert_eq(outcomes[0], 1, "what had been done is the caller's");
	cr_assert_eq(outcomes[1], -KNIT_ECANCELLED);
	return 0;
}

Test(map, a_cancelled_caller_gets_every_outcome)
{
	run(cancelled_map);
}

static intptr_t many(void *unused)
{
	size_t n = (size_t)test_scale(20000, 5000, 5000, 500);
	int none = 0;
	void **args = malloc(n * sizeof(*args));

	(void)unused;
	for (size_t i = 0; i < n; i++)
		args[i] = &none;
	cr_assert_eq(knit_map(sleep_seconds, args, n, 10, NULL), 0);
	cr_assert_eq(started, (int)n);
	cr_assert_eq(most, 10);
	cr_assert_leq(knit_get_running_loop()->tasks.fresh, 4096, "the tasks are used again");
	free(args);
	return 0;
}

Test(map, costs_memory_for_the_limit_and_not_for_the_inputs)
{
	run(many);
}

/* ---- race ---- */

static knit_task *racer(int *seconds)
{
	return knit_create_task(sleep_seconds, seconds, .result_free = count_free);
}

static intptr_t winner(void *unused)
{
	int seconds[] = {5, -1, 2, 3};
	size_t index;

	(void)unused;
	cr_assert_eq(knit_race((knit_task *[]){racer(&seconds[0]), racer(&seconds[1]),
	                                       racer(&seconds[2]), racer(&seconds[3])},
	                       4, &index),
	             2);
	cr_assert_eq(index, 2);
	cr_assert_eq(live, 0);
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), 2 * KNIT_S);
	cr_assert_eq(knit_get_running_loop()->tasks.live, 1, "nobody else is left");
	return 0;
}

Test(race, the_first_success_wins_and_the_others_are_cancelled)
{
	run(winner);
}

static intptr_t all_fail(void *unused)
{
	int seconds[] = {-5, -1, -2};
	size_t index;
	intptr_t r;

	(void)unused;
	r = knit_race((knit_task *[]){racer(&seconds[0]), racer(&seconds[1]), racer(&seconds[2])},
	              3, &index);
	cr_assert_eq(r, -EIO);
	cr_assert_eq(index, 1);
	cr_assert_str_eq(knit_error_message(r), "no 1");
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), 5 * KNIT_S);
	return 0;
}

Test(race, if_all_fail_the_first_error_is_returned)
{
	run(all_fail);
}

/* Does not give up: ends with a value in spite of being cancelled. */
static intptr_t stubborn(void *arg)
{
	(void)!knit_sleep(KNIT_FOREVER);
	(void)!knit_sleep(KNIT_S);
	return (intptr_t)arg;
}

static intptr_t loser_with_a_value(void *unused)
{
	int seconds = 1;
	knit_task *tasks[] = {knit_create_task(stubborn, (void *)7, .result_free = count_free),
	                      racer(&seconds)};

	(void)unused;
	cr_assert_eq(knit_race(tasks, 2, NULL), 1);
	cr_assert_eq(freed, 1);
	cr_assert_eq(knit_loop_time(knit_get_running_loop()), 2 * KNIT_S, "waited for");
	return 0;
}

Test(race, a_value_that_came_too_late_is_freed)
{
	run(loser_with_a_value);
}

static intptr_t done_already(void *unused)
{
	knit_future *futures[] = {knit_future_new(), knit_future_new(), knit_future_new()};
	size_t index;

	(void)unused;
	knit_future_set_exception(futures[0], EIO, NULL);
	knit_future_set_result(futures[2], 3);
	knit_future_ref(futures[1]);
	cr_assert_eq(knit_race(futures, 3, &index), 3);
	cr_assert_eq(index, 2);
	cr_assert(knit_future_cancelled(futures[1]));
	knit_future_unref(futures[1]);
	cr_assert_eq(knit_race(NULL, 0, &index), -EINVAL);
	futures[0] = knit_task_ref(knit_current_task(NULL));
	cr_assert_eq(knit_race(futures, 1, &index), -EDEADLK);
	cr_assert_eq(index, 1);
	return 0;
}

Test(race, one_that_is_done_already_wins)
{
	run(done_already);
}
