/* SPDX-License-Identifier: MIT */
/* test_ending.c - the end of a task on its own stack, and what begins there next.
 *
 * Where a checking tool watches, tasks end on the loop's stack; what is claimed here holds there
 * too, but for the stack that two tasks share. */
#include <errno.h>
#include <knit.h>
#include <stdint.h>
#include "test.h"

#define MANY 1000

static uintptr_t places[2];
static int order[MANY], ran;

static intptr_t note_place(void *arg)
{
	volatile char here = 0;

	places[(intptr_t)arg] = (uintptr_t)&here;
	return 0;
}

static intptr_t share_a_stack(void *arg)
{
	knit_task *a = knit_create_task(note_place, (void *)0);
	knit_task *b = knit_create_task(note_place, (void *)1);

	(void)arg;
	cr_assert_eq(knit_await(a), 0);
	cr_assert_eq(knit_await(b), 0);
	return 0;
}

Test(ending, two_short_tasks_in_turn_run_on_one_stack)
{
	if (test_scale(0, 1, 1, 1))
		test_skip("a tool watches who touches what");
	cr_assert_eq(knit_run(share_a_stack, NULL), 0);
	cr_assert_eq(places[0], places[1]);
}

Test(ending, painting_the_stack_of_the_next_leaves_the_one_that_ends_alone)
{
	places[0] = places[1] = 0;
	cr_assert_eq(knit_run(share_a_stack, NULL, .paint = 1), 0);
	cr_assert_neq(places[0], 0);
	cr_assert_neq(places[1], 0);
}

static intptr_t leave_errno(void *arg)
{
	order[ran++] = (int)(intptr_t)arg;
	cr_assert_eq(errno, 0, "task %d", (int)(intptr_t)arg);
	errno = EILSEQ;
	return 0;
}

static intptr_t run_many(void *arg)
{
	static knit_task *tasks[MANY];

	(void)arg;
	for (intptr_t i = 0; i < MANY; i++)
		tasks[i] = knit_create_task(leave_errno, (void *)i);
	errno = EDOM;
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(knit_await(tasks[i]), 0);
	cr_assert_eq(errno, EDOM);
	return 0;
}

Test(ending, each_begins_with_errno_zero_and_in_the_order_of_creation)
{
	cr_assert_eq(knit_run(run_many, NULL), 0);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(order[i], i);
}

static int freed;

static void free_arg(void *arg)
{
	(void)arg;
	cr_assert_null(knit_current_task(NULL));
	freed++;
}

static void free_result(intptr_t outcome)
{
	cr_assert_eq(outcome, 7);
	cr_assert_null(knit_current_task(NULL));
	freed++;
}

static intptr_t seven(void *arg)
{
	(void)arg;
	return 7;
}

static intptr_t end_with_the_programs_code(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_spawn(seven, NULL, .arg_free = free_arg), 0);
	cr_assert_eq(knit_spawn(seven, NULL, .result_free = free_result), 0);
	cr_assert_eq(knit_sleep(0), 0);
	return 0;
}

Test(ending, what_the_program_wants_called_is_called_outside_of_the_task)
{
	cr_assert_eq(knit_run(end_with_the_programs_code, NULL), 0);
	cr_assert_eq(freed, 2);
}

static knit_contextvar *variable;

static intptr_t suspends_once(void *arg)
{
	(void)arg;
	return knit_sleep(0);
}

/* May do what a callback may, as on the stack of the loop. */
static void free_variable(intptr_t value)
{
	(void)value;
	cr_assert_null(knit_current_task(NULL));
	cr_assert_eq(knit_spawn(suspends_once, NULL, .eager_start = KNIT_EAGER_YES), 0);
	freed++;
}

static intptr_t set_variable(void *arg)
{
	return knit_contextvar_set(variable, (intptr_t)arg, NULL);
}

static intptr_t end_with_variables(void *arg)
{
	(void)arg;
	for (intptr_t i = 0; i < 5; i++)
		cr_assert_eq(knit_spawn(set_variable, (void *)i), 0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(knit_sleep(0), 0);
	return 0;
}

Test(ending, what_frees_a_context_variable_may_start_a_task)
{
	variable = knit_contextvar_new("variable", .value_free = free_variable);
	cr_assert_eq(knit_run(end_with_variables, NULL), 0);
	cr_assert_eq(freed, 5);
	knit_contextvar_unref(variable);
}

static void called(void *arg)
{
	order[ran++] = (int)(intptr_t)arg;
}

static intptr_t note(void *arg)
{
	called(arg);
	return 0;
}

static intptr_t mix(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_spawn(note, (void *)0), 0);
	knit_loop_call_soon(NULL, called, (void *)1);
	cr_assert_eq(knit_spawn(note, (void *)2), 0);
	cr_assert_eq(knit_spawn(note, (void *)3), 0);
	knit_loop_call_soon(NULL, called, (void *)4);
	cr_assert_eq(knit_sleep(0), 0);
	order[ran++] = 5;
	return 0;
}

Test(ending, goes_on_in_line_also_where_a_callback_is_next)
{
	cr_assert_eq(knit_run(mix, NULL), 0);
	cr_assert_eq(ran, 6);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(order[i], i);
}

static intptr_t chain(void *left)
{
	if ((intptr_t)left == 0)
		return 0;
	return knit_spawn(chain, (void *)((intptr_t)left - 1));
}

static intptr_t long_chain(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_spawn(chain, (void *)(intptr_t)100000), 0);
	for (int i = 0; i < 100002; i++)
		cr_assert_eq(knit_sleep(0), 0);
	return (intptr_t)knit_all_tasks(NULL, NULL, 0);
}

Test(ending, a_chain_of_tasks_that_each_spawn_the_next_grows_no_stack)
{
	cr_assert_eq(knit_run(long_chain, NULL), 1, "the main task is left");
}
