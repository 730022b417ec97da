/* SPDX-License-Identifier: MIT */
/* test_aside.c - tasks whose stacks are put aside while they wait: .stack_aside_after.
 *
 * The tests have a virtual clock, with which a loop that has something to do never gets round to
 * it by itself, and make the rounds themselves. */
#include <errno.h>
#include <knit.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "task/task.h"
#include "test.h"

#define AFTER 1000

enum { MANY = 300 };

/* A task that keeps numbers in its frame over a wait. */
struct sleeper {
	knit_future *future; /* to wait for; NULL: sleeps */
	int64_t delay;
	int number;
	bool scoped;
	bool began;
};

static intptr_t wait_for(const struct sleeper *sleeper)
{
	return sleeper->future ? knit_await(knit_future_ref(sleeper->future))
	                       : knit_sleep(sleeper->delay);
}

static intptr_t sleep_with_numbers(void *arg)
{
	struct sleeper *sleeper = arg;
	volatile int numbers[16];
	volatile int *pointer = numbers;
	knit_cancel_scope scope;
	intptr_t outcome;

	for (int i = 0; i < 16; i++)
		pointer[i] = sleeper->number + i;
	sleeper->began = true;
	if (sleeper->scoped) {
		cr_assert_eq(knit_cancel_scope_enter(&scope), 0);
		outcome = knit_cancel_scope_exit(&scope, wait_for(sleeper));
	} else {
		outcome = wait_for(sleeper);
	}
	for (int i = 0; i < 16; i++)
		cr_assert_eq(numbers[i], sleeper->number + i);
	return knit_is_error(outcome) ? outcome : outcome + sleeper->number;
}

static knit_task *start(struct sleeper *sleeper, bool is_private)
{
	knit_task *task = knit_create_task(sleep_with_numbers, sleeper,
	                                   .stack_private = is_private);

	cr_assert_not_null(task);
	return task;
}

static bool is_aside(knit_task *task)
{
	return kn_fiber_is_aside(&kn_task_of(task)->fiber);
}

/* A whole round that ends at @now. */
static int64_t round_at(int64_t now)
{
	int64_t again;

	do
		again = kn_tasks_put_aside(kn_self.loop, now);
	while (again == now);
	return again;
}

/* Those that wait now are marked, and then put aside. */
static void two_rounds(void)
{
	int64_t due;

	cr_assert_eq(knit_sleep(0), 0);
	due = round_at(kn_self.loop->aside.due);
	cr_assert_lt(due, KNIT_FOREVER);
	(void)round_at(due);
}

/* Skips where frames of a sanitizer are too large. */
static void demand_aside(knit_task *task)
{
	if (!is_aside(task) && (!KN_CONTEXT_IS_LOWEST || test_scale(0, 1, 1, 0)))
		test_skip("more than half a page in use");
	cr_assert(is_aside(task));
}

static void run(knit_coro *main)
{
	cr_assert_eq(knit_run(main, NULL, .clock = KNIT_CLOCK_VIRTUAL, .stack_aside_after = AFTER),
	             0);
}

/* ---- aside and back ------------------------------------------------------------------ */

static intptr_t sleep_over_main(void *arg)
{
	struct sleeper sleeper = {.delay = KNIT_S, .number = 5};
	knit_task *task = start(&sleeper, true);
	void *sp;

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	sp = kn_task_of(task)->fiber.sp;
	two_rounds();
	demand_aside(task);
	kn_task_need_stack(kn_task_of(task));
	cr_expect_eq(kn_task_of(task)->fiber.sp, sp);
	cr_assert_eq(knit_sleep(0), 0);
	(void)round_at(kn_self.loop->aside.due);
	cr_expect(is_aside(task), "it waits still");
	cr_expect_eq(knit_await(task), 5);
	cr_expect_eq(knit_loop_time(NULL), KNIT_S);
	return 0;
}

Test(task_aside, a_sleeper_is_put_aside_and_wakes_in_time)
{
	run(sleep_over_main);
}

static intptr_t future_main(void *arg)
{
	struct sleeper sleeper = {.future = knit_future_new(), .number = 7};
	knit_task *task = start(&sleeper, true);

	(void)arg;
	two_rounds();
	demand_aside(task);
	cr_expect_eq(knit_future_set_result(sleeper.future, 100), 0);
	cr_expect(is_aside(task), "until it resumes");
	cr_expect_eq(knit_await(task), 107);
	knit_future_unref(sleeper.future);
	return 0;
}

Test(task_aside, a_future_wakes_it)
{
	run(future_main);
}

static intptr_t task_main_coro(void *arg)
{
	struct sleeper sleeper = {.delay = KNIT_S, .number = 1};
	knit_task *inner = start(&sleeper, true), *outer;
	struct sleeper waiter = {.future = inner, .number = 2};

	(void)arg;
	outer = start(&waiter, true);
	two_rounds();
	demand_aside(inner);
	cr_expect(is_aside(outer));
	cr_expect(knit_task_cancel(outer, NULL), "down the chain of stacks that are not there");
	cr_expect_eq(knit_await(outer), -KNIT_ECANCELLED);
	cr_expect_eq(knit_await(inner), -KNIT_ECANCELLED);
	return 0;
}

Test(task_aside, a_request_to_cancel_goes_through)
{
	run(task_main_coro);
}

static intptr_t many_main(void *arg)
{
	static struct sleeper sleepers[MANY];
	static knit_task *tasks[MANY];

	(void)arg;
	for (int i = 0; i < MANY; i++) {
		sleepers[i] = (struct sleeper){.delay = (1 + i * 7 % MANY) * KNIT_MS, .number = i};
		tasks[i] = start(&sleepers[i], i % 3 != 0);
	}
	two_rounds();
	demand_aside(tasks[1]);
	for (int i = 0; i < MANY; i++)
		cr_expect_eq(is_aside(tasks[i]), i % 3 != 0, "task %d", i);
	for (int i = 0; i < MANY; i++)
		cr_expect_eq(knit_await(tasks[i]), i);
	return 0;
}

Test(task_aside, many_sleep_between_others_and_wake_in_any_order)
{
	run(many_main);
}

__attribute__((noinline)) static void dirty(volatile char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)i;
}

/* Not inlined: its frame ends before the wait. */
__attribute__((noinline)) static void dive(void)
{
	volatile char frame[40000];

	dirty(frame, sizeof(frame));
}

static intptr_t dive_then_sleep(void *arg)
{
	dive();
	return knit_sleep(*(int64_t *)arg);
}

static intptr_t high_water_main(void *arg)
{
	int64_t delay = KNIT_S;
	knit_task *task = knit_create_task(dive_then_sleep, &delay, .stack_private = 1);
	size_t before;

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	before = knit_task_stack_high_water(task);
	cr_expect_geq(before, 40000u);
	two_rounds();
	demand_aside(task);
	cr_expect_eq(knit_task_stack_high_water(task), before);
	cr_expect_eq(knit_await(task), 0);
	return 0;
}

Test(task_aside, the_high_water_mark_is_told_all_the_same)
{
	if (test_scale(0, 1, 0, 0))
		test_skip("the tool may keep large frames elsewhere");
	run(high_water_main);
}

static intptr_t take_item(void *arg)
{
	volatile int kept = 3;
	intptr_t item = knit_queue_get(arg);

	return knit_is_error(item) ? item : item + kept;
}

static intptr_t queue_main(void *arg)
{
	static knit_queue queue;
	knit_task *tasks[2];

	(void)arg;
	cr_assert_eq(knit_queue_init(&queue, 0, NULL), 0);
	for (int i = 0; i < 2; i++)
		tasks[i] = knit_create_task(take_item, &queue, .stack_private = 1);
	two_rounds();
	demand_aside(tasks[0]);
	cr_expect(is_aside(tasks[1]));
	cr_expect(knit_task_cancel(tasks[0], NULL));
	cr_assert_eq(knit_queue_put(&queue, 20), 0);
	cr_expect_eq(knit_await(tasks[0]), -KNIT_ECANCELLED);
	cr_expect_eq(knit_await(tasks[1]), 23);
	cr_expect_eq(knit_queue_destroy(&queue), 0);
	return 0;
}

Test(task_aside, it_stands_in_line_for_a_queue)
{
	run(queue_main);
}

/* ---- who stays ----------------------------------------------------------------------- */

static intptr_t stays_main(void *arg)
{
	struct sleeper open = {.delay = KNIT_S, .number = 1};
	struct sleeper scoped = {.delay = KNIT_S, .number = 2, .scoped = true};
	struct sleeper late = {.delay = KNIT_S, .number = 3};
	knit_task *tasks[] = {start(&open, false), start(&scoped, true), NULL};
	int64_t due;

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	(void)round_at(kn_self.loop->aside.due);
	tasks[2] = start(&late, true);
	cr_assert_eq(knit_sleep(0), 0);
	due = round_at(kn_self.loop->aside.due);
	cr_assert_lt(due, KNIT_FOREVER, "the late one was marked");
	for (int i = 0; i < 3; i++)
		cr_expect_not(is_aside(tasks[i]), "task %d", i);
	cr_expect_eq(kn_tasks_put_aside(kn_self.loop, due - 1), due, "not before its time");
	cr_expect_not(is_aside(tasks[2]));
	(void)round_at(due);
	cr_expect_not(is_aside(tasks[0]), "did not say that its stack is its own");
	cr_expect_not(is_aside(tasks[1]), "a scope stands in its frame");
	demand_aside(tasks[2]);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(knit_await(tasks[i]), i + 1);
	return 0;
}

Test(task_aside, others_and_those_in_a_scope_and_late_ones_stay)
{
	run(stays_main);
}

static intptr_t gather_two(void *arg)
{
	knit_future **futures = arg;
	knit_future *both[] = {knit_future_ref(futures[0]), knit_future_ref(futures[1])};
	intptr_t outcomes[2];
	int r = (int)knit_gather(both, 2, outcomes);

	return r < 0 ? r : outcomes[0] + outcomes[1];
}

static intptr_t gather_main(void *arg)
{
	knit_future *futures[] = {knit_future_new(), knit_future_new()};
	knit_task *task = knit_create_task(gather_two, futures, .stack_private = 1);
	int64_t due;

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	for (int i = 0; i < 3; i++) {
		due = round_at(kn_self.loop->aside.due);
		cr_expect_eq(due, KNIT_FOREVER, "nobody waits that might go");
		cr_expect_not(is_aside(task));
	}
	for (int i = 0; i < 2; i++)
		cr_expect_eq(knit_future_set_result(futures[i], 20 + i), 0);
	cr_expect_eq(knit_await(task), 41);
	for (int i = 0; i < 2; i++)
		knit_future_unref(futures[i]);
	return 0;
}

Test(task_aside, a_call_that_waits_for_several_in_its_frame_stays)
{
	run(gather_main);
}

/* Wakes and sleeps again between any two rounds. */
static intptr_t sleep_often(void *arg)
{
	for (int i = 0; i < 6; i++)
		cr_assert_eq(knit_sleep(*(int64_t *)arg), 0);
	return 0;
}

static intptr_t restless_main(void *arg)
{
	int64_t delay = KNIT_MS;
	knit_task *task = knit_create_task(sleep_often, &delay, .stack_private = 1);

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	for (int i = 0; i < 5; i++) {
		(void)round_at(kn_self.loop->aside.due);
		cr_expect(kn_task_of(task)->waits_long);
		cr_expect_not(is_aside(task), "round %d", i);
		cr_assert_eq(knit_sleep(delay), 0);
		cr_assert_eq(knit_sleep(0), 0);
	}
	cr_expect_eq(knit_await(task), 0);
	return 0;
}

Test(task_aside, a_task_that_wakes_between_rounds_stays)
{
	run(restless_main);
}

static intptr_t no_memory_main(void *arg)
{
	struct sleeper sleeper = {.delay = KNIT_S, .number = 5};
	knit_task *task = start(&sleeper, true);
	int64_t due;

	(void)arg;
	cr_assert_eq(knit_sleep(0), 0);
	due = round_at(kn_self.loop->aside.due);
	kn_alloc_fail_after(0);
	(void)round_at(due);
	kn_alloc_fail_after(-1);
	cr_expect_not(is_aside(task));
	cr_expect_eq(knit_await(task), 5);
	return 0;
}

Test(task_aside, without_memory_for_the_copy_it_stays)
{
	run(no_memory_main);
}

/* ---- the end of a loop --------------------------------------------------------------- */

static struct sleeper left[2] = {{.delay = KNIT_S, .number = 1}, {.delay = KNIT_S, .number = 2}};

static intptr_t leave_main(void *arg)
{
	knit_task *tasks[] = {start(&left[0], true), start(&left[1], true)};

	(void)arg;
	two_rounds();
	demand_aside(tasks[0]);
	for (int i = 0; i < 2; i++)
		knit_task_unref(tasks[i]);
	return 0;
}

Test(task_aside, those_that_are_left_are_cancelled)
{
	run(leave_main);
}

Test(task_aside, a_closing_loop_unwinds_them)
{
	knit_loop *loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL, .stack_aside_after = AFTER);

	cr_assert_not_null(loop);
	cr_assert_eq(knit_loop_run_until_complete(loop, leave_main, NULL), 0);
	cr_expect_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
}

/* ---- by itself ----------------------------------------------------------------------- */

static intptr_t by_itself_main(void *arg)
{
	struct sleeper sleeper = {.future = knit_future_new(), .number = 3};
	knit_task *task = start(&sleeper, true);

	(void)arg;
	for (int i = 0; i < 10000 && !is_aside(task); i++)
		cr_assert_eq(knit_sleep(KNIT_MS), 0);
	demand_aside(task);
	cr_expect_eq(knit_future_set_result(sleeper.future, 10), 0);
	cr_expect_eq(knit_await(task), 13);
	knit_future_unref(sleeper.future);
	return 0;
}

Test(task_aside, a_loop_that_waits_does_it_by_itself)
{
	if (test_scale(0, 1, 1, 0))
		test_skip("frames of sanitizers may be too large");
	cr_assert_eq(knit_run(by_itself_main, NULL, .stack_aside_after = KNIT_MS), 0);
}

Test(task_aside, a_negative_time_is_refused)
{
	cr_expect_null(knit_loop_new(.stack_aside_after = -1));
	cr_expect_eq(errno, EINVAL);
}
