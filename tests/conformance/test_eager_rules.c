/* SPDX-License-Identifier: MIT */
/* test_eager_rules.c - tasks whose first step runs inside of what creates them. */
#include "common.h"
#include <string.h>
#include "base/alloc.h"
#include "knit/context.h"
#include "knit/group.h"

static const char *current_name(void)
{
	return knit_task_get_name(knit_current_task(NULL));
}

static intptr_t log_tick_log(void *name)
{
	trace("%s start %s", (const char *)name, current_name());
	ticks(1);
	trace("%s resumed", (const char *)name);
	return 0;
}

static intptr_t immediate(void *arg)
{
	trace("immediate");
	return (intptr_t)arg;
}

#define EAGER .eager_start = KNIT_EAGER_YES

/* ---- rules 66 and 264 ---------------------------------------------------------------- */

CORO(r066)
{
	return knit_await(
	        knit_create_task(log_tick_log, (void *)(uintptr_t) "a", .name = "A", EAGER));
}

Test(rules, r066_the_name_is_set_before_an_eager_first_step)
{
	run(r066);
	assert_trace("a start A | a resumed");
}

static void create_one(void *ret)
{
	cr_expect_null(knit_current_task(NULL));
	*(knit_task **)ret = knit_create_task(log_tick_log, (void *)(uintptr_t) "b", .name = "B",
	                                      EAGER);
	cr_expect_null(knit_current_task(NULL));
	trace("callback ends");
}

static intptr_t nested(void *depth)
{
	knit_task *me = knit_current_task(NULL), *task;

	if (!depth)
		return 0;
	task = knit_create_task(nested, (void *)((uintptr_t)depth - 1), EAGER);
	if (knit_current_task(NULL) != me)
		return -EIO;
	if ((uintptr_t)depth % 2)
		ticks(1);
	return knit_await(task);
}

CORO(r264)
{
	knit_task *task = NULL;

	knit_loop_call_soon(NULL, create_one, &task);
	ticks(1);
	trace("main");
	if (knit_await(task) < 0)
		return -1;
	return knit_await(knit_create_task(nested, (void *)50, EAGER));
}

Test(rules, r264_the_first_step_runs_inside_of_the_creation)
{
	run(r264);
	assert_trace("b start B | callback ends | main | b resumed");
}

/* Nobody is switched to but the creator, whoever is next in line. */
CORO(order)
{
	knit_task *first = knit_create_task(log_tick_log, (void *)(uintptr_t) "lazy", .name = "L");
	knit_task *second;

	ticks(1);
	trace("create");
	second = knit_create_task(log_tick_log, (void *)(uintptr_t) "eager", .name = "E", EAGER);
	trace("created");
	return knit_await(first) < 0 ? -1 : knit_await(second);
}

Test(rules, r264_an_eager_task_that_suspends_goes_back_to_its_creator)
{
	run(order);
	assert_trace(
	        "lazy start L | create | eager start E | created | lazy resumed | eager resumed");
}

/* ---- rule 263 ------------------------------------------------------------------------ */

static void create_on_foreign_thread(void *loop)
{
	knit_task *task = knit_loop_create_task(loop, immediate, NULL, EAGER);

	cr_expect_null(task);
	cr_expect_eq(knit_await(NULL), -KNIT_EWRONGTHREAD);
}

CORO(r263)
{
	knit_loop *other = loop_new();

	on_another_thread(create_on_foreign_thread, knit_get_running_loop());
	cr_assert_null(knit_loop_create_task(other, immediate, NULL, EAGER));
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
	knit_loop_unref(other);
	return 0;
}

/* Differs: asked for explicitly, an eager start on a loop that does not run is refused */
Test(rules, r263_an_eager_start_elsewhere_than_in_the_running_loop_is_refused)
{
	knit_loop *loop = loop_new();

	run(r263);
	cr_assert_null(knit_loop_create_task(loop, immediate, NULL, EAGER));
	cr_assert_eq(knit_await(NULL), -KNIT_ENOLOOP);
	/* As the loop's default it waits for the loop to run. */
	cr_assert_eq(knit_loop_set_eager(loop, true), 0);
	cr_assert(knit_loop_get_eager(loop));
	knit_task_unref(knit_loop_create_task(loop, immediate, NULL));
	assert_trace("");
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	assert_trace("immediate");
	knit_loop_unref(loop);
}

/* ---- rules 265 to 267 ---------------------------------------------------------------- */

CORO(r265)
{
	knit_task *task = knit_create_task(immediate, (void *)7, EAGER);

	trace("done %s", yes(knit_task_done(task)));
	knit_loop_call_soon(NULL, log_text, (void *)(uintptr_t) "next pass");
	trace("%s", repr(knit_await(task)));
	return 0;
}

Test(rules, r265_a_task_that_completes_eagerly_is_done_and_never_scheduled)
{
	run(r265);
	assert_trace("immediate | done True | 7 | next pass");
}

static intptr_t count_tasks(void *arg)
{
	knit_task *tasks[8];
	size_t count = knit_all_tasks(NULL, tasks, 8);

	(void)arg;
	trace("during %zu %s", count, yes(tasks[count - 1] == knit_current_task(NULL)));
	for (size_t i = 0; i < count; i++)
		knit_task_unref(tasks[i]);
	ticks(1);
	return 0;
}

CORO(r266)
{
	knit_task *task = knit_create_task(count_tasks, NULL, EAGER);

	trace("after %zu", knit_all_tasks(NULL, NULL, 0));
	if (knit_await(task) < 0)
		return -1;
	trace("end %zu", knit_all_tasks(NULL, NULL, 0));
	return 0;
}

Test(rules, r266_an_eager_task_is_among_all_tasks_during_its_first_step_and_after)
{
	run(r266);
	assert_trace("during 2 True | after 2 | end 1");
}

CORO(r267)
{
	knit_task *done = knit_create_task(immediate, (void *)1, EAGER);
	knit_task *blocked = knit_create_task(sleep_forever, NULL, EAGER);

	trace("%s", yes(knit_task_cancel(done, "late")));
	trace("%s", repr(knit_await(done)));
	trace("%s", yes(knit_task_cancel(blocked, "why")));
	trace("%s", repr(knit_await(blocked)));
	return 0;
}

Test(rules, r267_a_cancellation_after_an_eager_completion_does_nothing)
{
	run(r267);
	assert_trace("immediate | False | 1 | True | CancelledError(why)");
}

/* ---- rules 268 and 269 --------------------------------------------------------------- */

static intptr_t set_var(void *var)
{
	trace("child %ld", (long)knit_contextvar_get(var));
	return knit_contextvar_set(var, 2, NULL);
}

CORO(r268)
{
	knit_contextvar *var = knit_contextvar_new("v");

	knit_contextvar_set(var, 1, NULL);
	if (knit_await(knit_create_task(set_var, var, EAGER)) < 0)
		return -1;
	trace("parent %ld", (long)knit_contextvar_get(var));
	knit_contextvar_unref(var);
	return 0;
}

Test(rules, r268_the_first_step_of_an_eager_task_has_a_context_of_its_own)
{
	run(r268);
	assert_trace("child 1 | parent 1");
}

CORO(r269)
{
	knit_task *me = knit_current_task(NULL), *task;
	int failed = 0;

	for (long allow = 0; allow < 20; allow++) {
		kn_alloc_fail_after(allow);
		task = knit_create_task(immediate, NULL, .name = "x", .stack_size = 1 << 20, EAGER);
		kn_alloc_fail_after(-1);
		cr_assert_eq(knit_current_task(NULL), me);
		failed += !task || knit_task_result(task) == -ENOMEM;
		if (task)
			knit_task_unref(task);
	}
	return failed >= 2 ? 0 : -1;
}

Test(rules, r269_a_start_that_fails_leaves_the_current_task_as_it_was)
{
	run(r269);
}

/* ---- rule 163 ------------------------------------------------------------------------ */

static intptr_t fail(void *arg)
{
	(void)arg;
	return -EINVAL;
}

CORO(r163)
{
	knit_task_group group;
	knit_task *child;

	knit_loop_set_eager(NULL, true);
	if (knit_task_group_enter(&group) < 0)
		return -1;
	child = knit_task_group_create_task(&group, fail, NULL);
	trace("done %s, cancelling %d", yes(knit_task_done(child)),
	      knit_task_cancelling(knit_current_task(NULL)));
	knit_task_unref(child);
	trace("%s", knit_errname((int)knit_sleep(KNIT_S)));
	trace("%s", knit_errname((int)knit_task_group_exit(&group, -KNIT_ECANCELLED)));
	return 0;
}

Test(rules, r163_an_eager_child_that_fails_does_not_cancel_the_parent_in_the_creation)
{
	run(r163);
	cr_assert_not_null(strstr(trace_text(), "done True, cancelling 0 | KNIT_ECANCELLED | "),
	                   "%s", trace_text());
}

/* ---- S60 ----------------------------------------------------------------------------- */

static intptr_t s60_worker(void *n)
{
	trace("%s start %s", (const char *)n, current_name());
	ticks(1);
	trace("%s resumed", (const char *)n);
	return 0;
}

static knit_task *eager_factory(knit_loop *loop, knit_coro *coro, const knit_task_options *options,
                                void *arg)
{
	knit_task_options eager = *options;

	(void)arg;
	eager.eager_start = KNIT_EAGER_YES;
	return knit_task_new(loop, coro, &eager);
}

CORO(s60)
{
	knit_task *me = knit_current_task(NULL), *task, *second;
	bool done;

	knit_loop_set_task_factory(NULL, eager_factory, NULL);
	task = knit_create_task(s60_worker, (void *)(uintptr_t) "a", .name = "A");
	trace("after create %s %s", yes(knit_task_done(task)), yes(knit_current_task(NULL) == me));
	second = knit_create_task(immediate, (void *)1);
	done = knit_task_done(second);
	trace("done already %s %s", yes(done), repr(knit_await(second)));
	return knit_await(task);
}

Test(scenarios, s60_eager)
{
	run(s60);
	assert_trace("a start A | after create False True | immediate | done already True 1 | "
	             "a resumed");
}
