/* SPDX-License-Identifier: MIT */
/* test_wait_cancel.c - what waits for several is cancelled at every moment, closed at every moment,
 * and short of memory at every allocation: each value is owned by exactly one in the end, and
 * nothing is left behind. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <stdlib.h>
#include "base/alloc.h"
#include "knit/timeout.h"
#include "knit/wait.h"
#include "task/task.h"

#define CHILDREN 3
#define MOMENTS  14 /* passes; more than any of the calls takes */

static int values, running; /* values that somebody owns; children that run */

static void value_free(intptr_t value)
{
	free(knit_pointer(value));
	values--;
}

/* Takes as many passes as the argument says, and one more to clean up. */
static intptr_t child(void *passes)
{
	intptr_t outcome = 0;

	running++;
	for (int i = 0; i < (int)(intptr_t)passes && outcome == 0; i++)
		outcome = knit_sleep(0);
	if (outcome < 0)
		(void)!knit_sleep(0);
	running--;
	if (outcome < 0)
		return outcome;
	values++;
	return (intptr_t)malloc(16);
}

static intptr_t failing_child(void *passes)
{
	intptr_t outcome = child(passes);

	if (knit_is_error(outcome))
		return outcome;
	value_free(outcome);
	return -EIO;
}

/* Tasks that end one after the other; false without memory. */
static bool make_children(knit_task *tasks[CHILDREN], int failing)
{
	for (int i = 0; i < CHILDREN; i++) {
		tasks[i] = knit_create_task(i == failing ? failing_child : child,
		                            (void *)(intptr_t)(2 * i + 1),
		                            .result_free = value_free);
		if (tasks[i])
			continue;
		while (i > 0)
			knit_task_unref(tasks[--i]);
		return false;
	}
	return true;
}

static void unref_all(knit_task *tasks[CHILDREN])
{
	for (int i = 0; i < CHILDREN; i++)
		knit_task_unref(tasks[i]);
}

static void free_all(const intptr_t outcomes[CHILDREN])
{
	for (int i = 0; i < CHILDREN; i++)
		if (!knit_is_error(outcomes[i]) && outcomes[i])
			value_free(outcomes[i]);
}

/* ---- the calls ---- */

static intptr_t gather_with(int failing, bool return_exceptions)
{
	intptr_t outcomes[CHILDREN] = {0}, r;
	knit_task *tasks[CHILDREN];

	if (!make_children(tasks, failing))
		return -ENOMEM;
	r = knit_gather(tasks, CHILDREN, outcomes, .return_exceptions = return_exceptions);
	if (return_exceptions && r != -ENOMEM && r != -KNIT_ECLOSED)
		cr_expect_eq(running, 0);
	free_all(outcomes);
	return r;
}

static intptr_t call_gather(void *arg)
{
	(void)arg;
	return gather_with(-1, false);
}

static intptr_t call_gather_failing(void *arg)
{
	intptr_t r = gather_with(1, false);

	(void)arg;
	return r == -EIO ? 0 : r;
}

static intptr_t call_gather_all(void *arg)
{
	(void)arg;
	return gather_with(1, true);
}

static intptr_t call_gather_future(void *arg)
{
	intptr_t outcomes[CHILDREN] = {0}, r;
	knit_task *tasks[CHILDREN];
	knit_future *all, *shield;

	(void)arg;
	if (!make_children(tasks, -1))
		return -ENOMEM;
	all = knit_gather_future(tasks, CHILDREN, outcomes);
	if (!all)
		return knit_await(NULL);
	shield = knit_shield(all);
	r = knit_await(shield);
	knit_future_unref(all); /* lets go of the outcomes */
	free_all(outcomes);
	return r;
}

static intptr_t call_wait(void *arg)
{
	knit_task *tasks[CHILDREN];
	int r;

	(void)arg;
	if (!make_children(tasks, -1))
		return -ENOMEM;
	r = knit_wait(tasks, CHILDREN, KNIT_S, KNIT_ALL_COMPLETED);
	unref_all(tasks);
	return r == CHILDREN ? 0 : r;
}

static intptr_t call_wait_for(void *timeout)
{
	knit_task *task = knit_create_task(child, (void *)3, .result_free = value_free);
	intptr_t r;

	if (!task)
		return -ENOMEM;
	r = knit_wait_for(task, (intptr_t)timeout);
	if (knit_is_error(r))
		return r == -ETIMEDOUT ? 0 : r;
	value_free(r);
	return 0;
}

static intptr_t call_shield(void *arg)
{
	knit_task *task = knit_create_task(child, (void *)3, .result_free = value_free);
	intptr_t r;

	(void)arg;
	if (!task)
		return -ENOMEM;
	r = knit_await(knit_shield(task));
	knit_task_unref(task);
	if (knit_is_error(r))
		return r;
	value_free(r);
	return 0;
}

static intptr_t call_as_completed(void *arg)
{
	knit_task *tasks[CHILDREN];
	knit_as_completed all;
	knit_future *next;
	int r;

	(void)arg;
	if (!make_children(tasks, -1))
		return -ENOMEM;
	r = knit_as_completed_init(&all, tasks, CHILDREN);
	if (r == 0) {
		while ((r = knit_as_completed_next(&all, &next)) == 1)
			value_free(knit_future_result(next));
		cr_expect_eq(knit_as_completed_done(&all), 0);
	}
	unref_all(tasks);
	return r;
}

static intptr_t call_wait_set(void *arg)
{
	knit_task *tasks[CHILDREN];
	knit_wait_set set;
	knit_future *next;
	int r = knit_wait_set_init(&set);

	(void)arg;
	if (r == 0 && !make_children(tasks, -1))
		return -ENOMEM;
	for (int i = 0; i < CHILDREN; i++) {
		if (r == 0)
			r = knit_wait_set_add(&set, tasks[i], NULL);
		if (r < 0)
			knit_task_unref(tasks[i]);
	}
	while (r >= 0 && (r = knit_wait_set_next(&set, &next, NULL)) == 1)
		value_free(knit_await(next));
	cr_expect_eq(knit_wait_set_done(&set), 0);
	return r;
}

static intptr_t call_map(void *arg)
{
	void *args[CHILDREN] = {(void *)1, (void *)4, (void *)2};
	intptr_t outcomes[CHILDREN] = {0}, r;

	(void)arg;
	r = knit_map(child, args, CHILDREN, 2, outcomes);
	cr_expect_eq(running, 0, "all are done");
	free_all(outcomes);
	return r;
}

static intptr_t call_race(void *arg)
{
	knit_task *tasks[CHILDREN];
	size_t index;
	intptr_t r;

	(void)arg;
	if (!make_children(tasks, 0))
		return -ENOMEM;
	r = knit_race(tasks, CHILDREN, &index);
	if (r != -ENOMEM)
		cr_expect_eq(running, 0, "all are done");
	if (knit_is_error(r))
		return r;
	cr_expect_eq(index, 1);
	value_free(r);
	return 0;
}

static const struct {
	const char *name;
	knit_coro *run;
	intptr_t arg;
} calls[] = {
        {"gather", call_gather, 0},
        {"a gather that fails", call_gather_failing, 0},
        {"a gather with return_exceptions", call_gather_all, 0},
        {"a shielded gather", call_gather_future, 0},
        {"wait", call_wait, 0},
        {"wait_for", call_wait_for, KNIT_S},
        {"wait_for no time", call_wait_for, 0},
        {"shield", call_shield, 0},
        {"as_completed", call_as_completed, 0},
        {"wait_set", call_wait_set, 0},
        {"map", call_map, 0},
        {"race", call_race, 0},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* ---- the moments ---- */

static knit_loop *loop;
static int reports;

static void setup(void)
{
	loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);
	cr_assert_not_null(loop);
	knit_loop_set_exception_handler(loop, rig_count_exception, &reports);
	values = running = reports = 0;
}

static void passes(int count)
{
	for (int i = 0; i < count; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

static void check_nothing_left(const char *name, int moment)
{
	cr_assert_eq(values, 0, "%s, moment %d: %d values", name, moment, values);
	cr_assert_eq(running, 0, "%s, moment %d", name, moment);
	cr_assert_eq(loop->tasks.live, 0, "%s, moment %d", name, moment);
	cr_assert_eq(loop->futures.live, 0, "%s, moment %d", name, moment);
}

Test(wait_cancel, at_every_moment_each_value_has_one_owner, .init = setup)
{
	for (size_t c = 0; c < CALLS; c++)
		for (int moment = 0; moment < MOMENTS; moment++) {
			knit_task *task = knit_loop_create_task(loop, calls[c].run,
			                                        (void *)calls[c].arg);
			intptr_t r;

			passes(moment);
			knit_task_cancel(task, NULL);
			passes(MOMENTS);
			cr_assert(knit_task_done(task), "%s", calls[c].name);
			r = knit_task_result(task);
			cr_assert(r == 0 || r == -KNIT_ECANCELLED, "%s, moment %d: %s",
			          calls[c].name, moment, knit_errname((int)r));
			knit_task_unref(task);
			check_nothing_left(calls[c].name, moment);
		}
	cr_assert_eq(reports, 0);
	knit_loop_unref(loop);
}

/* The second request comes while they deal with the first. */
Test(wait_cancel, twice_at_every_two_moments, .init = setup)
{
	for (size_t c = 0; c < CALLS; c++)
		for (int moment = 0; moment < MOMENTS * MOMENTS; moment++) {
			knit_task *task = knit_loop_create_task(loop, calls[c].run,
			                                        (void *)calls[c].arg);

			passes(moment / MOMENTS);
			knit_task_cancel(task, NULL);
			passes(moment % MOMENTS);
			knit_task_cancel(task, NULL);
			passes(MOMENTS);
			cr_assert(knit_task_done(task), "%s", calls[c].name);
			knit_task_unref(task);
			check_nothing_left(calls[c].name, moment);
		}
	cr_assert_eq(reports, 0);
	knit_loop_unref(loop);
}

/* ---- the end of the loop ---- */

Test(wait_closing, at_every_moment_nothing_is_left)
{
	for (size_t c = 0; c < CALLS; c++)
		for (int moment = 0; moment < MOMENTS; moment++) {
			knit_task *task;

			setup();
			task = knit_loop_create_task(loop, calls[c].run, (void *)calls[c].arg);
			passes(moment);
			cr_assert_eq(knit_loop_close(loop), 0, "%s, moment %d", calls[c].name,
			             moment);
			cr_assert(knit_task_done(task));
			knit_task_unref(task);
			check_nothing_left(calls[c].name, moment);
			knit_loop_unref(loop);
		}
}

/* ---- memory ---- */

/* The run itself may fail for want of memory, a stack for instance, which is another test's
 * matter; so memory is short only once the task runs. */
struct attempt {
	size_t call;
	int allowed;
};

static intptr_t attempt_call(void *arg)
{
	struct attempt *attempt = arg;
	intptr_t r;

	kn_alloc_fail_after(attempt->allowed);
	r = calls[attempt->call].run((void *)calls[attempt->call].arg);
	kn_alloc_fail_after(-1);
	return r;
}

Test(wait_no_memory, at_every_allocation_nothing_is_lost)
{
	for (size_t c = 0; c < CALLS; c++) {
		int failures = 0;

		for (bool done = false; !done; failures++) {
			struct attempt attempt = {c, failures};
			knit_task *task;
			intptr_t r;

			cr_assert_lt(failures, 200);
			setup();
			task = knit_loop_create_task(loop, attempt_call, &attempt);
			passes(3 * MOMENTS);
			cr_assert(knit_task_done(task), "%s, %d", calls[c].name, failures);
			r = knit_task_result(task);
			knit_task_unref(task);
			check_nothing_left(calls[c].name, failures);
			knit_loop_unref(loop);
			done = r == 0;
			cr_assert(done || r == -ENOMEM, "%s, %d: %s", calls[c].name, failures,
			          knit_errname((int)r));
		}
		cr_assert_gt(failures, 0, "%s allocates something", calls[c].name);
	}
}
