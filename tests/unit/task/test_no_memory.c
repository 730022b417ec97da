/* SPDX-License-Identifier: MIT */
/* test_no_memory.c - tasks and futures where memory is short: each allocation in turn fails,
 * each time that is told, and nothing is lost by it. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "knit/task.h"
#include "task/task.h"

#define ATTEMPTS 200 /* more allocations than anything here makes */

static knit_loop *loop;
static int freed;

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_not_null(loop);
	knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	freed = 0;
}

static void free_arg(void *arg)
{
	(void)arg;
	freed++;
}

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

/* As in unit/loop: with one more allocation allowed each time, until it returns 0. */
static int exhaust(int (*attempt)(void))
{
	int failures = 0;

	for (;;) {
		int r;

		cr_assert_lt(failures, ATTEMPTS);
		kn_alloc_fail_after(failures);
		r = attempt();
		kn_alloc_fail_after(-1);
		if (r == 0)
			return failures;
		cr_assert_eq(r, -ENOMEM, "%s", knit_errname(r));
		failures++;
	}
}

static void settle(void)
{
	for (int i = 0; i < 4; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

static void finish(void)
{
	settle();
	cr_assert_eq(loop->tasks.live, 0);
	cr_assert_eq(loop->futures.live, 0);
	cr_assert_eq(loop->done_callbacks.live, 0);
	knit_loop_unref(loop);
}

/* ---- tasks ---- */

static int create_named(void)
{
	knit_task *task = knit_loop_create_task(
	        loop, nothing, NULL, .name = "a name of some length", .arg_free = free_arg);

	if (!task)
		return (int)knit_await(NULL);
	knit_task_unref(task);
	return 0;
}

Test(no_memory_task, creating_one, .init = setup)
{
	cr_assert_gt(exhaust(create_named), 1);
	cr_assert_eq(freed, 0, "creation failed: the argument is the creator's");
	settle();
	cr_assert_eq(freed, 1);
	finish();
}

/* The first step of a task needs a stack, and the first of a loop a pool of them. */
Test(no_memory_task, the_first_step, .init = setup)
{
	int failures;

	knit_loop_unref(loop);
	for (failures = 0;; failures++) {
		knit_task *task;
		intptr_t outcome;

		cr_assert_lt(failures, ATTEMPTS);
		setup();
		task = knit_loop_create_task(loop, nothing, (void *)5, .arg_free = free_arg);
		cr_assert_not_null(task);
		kn_alloc_fail_after(failures);
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
		kn_alloc_fail_after(-1);
		cr_assert(knit_task_done(task), "with an error or a value");
		cr_assert_eq(freed, 1);
		outcome = knit_task_result(task);
		knit_task_unref(task);
		finish();
		if (outcome == 5)
			break;
		cr_assert_eq(outcome, -ENOMEM);
	}
	cr_assert_gt(failures, 0);
}

static int spawn_one(void)
{
	return knit_spawn(nothing, NULL, .arg_free = free_arg);
}

static void spawn_in_callback(void *ret)
{
	*(int *)ret = exhaust(spawn_one);
}

Test(no_memory_task, spawning_one, .init = setup)
{
	int failures = 0;

	knit_loop_call_soon(loop, spawn_in_callback, &failures);
	settle();
	cr_assert_gt(failures, 0);
	cr_assert_eq(freed, 1);
	finish();
}

static knit_task *named;

static int rename_it(void)
{
	return knit_task_set_name(named, "another name");
}

Test(no_memory_task, naming_one, .init = setup)
{
	named = knit_loop_create_task(loop, nothing, NULL, .name = "first");
	kn_alloc_fail_after(0);
	cr_assert_eq(rename_it(), -ENOMEM);
	kn_alloc_fail_after(-1);
	cr_assert_str_eq(knit_task_get_name(named), "first");
	cr_assert_eq(exhaust(rename_it), 1);
	cr_assert_str_eq(knit_task_get_name(named), "another name");
	knit_task_unref(named);
	named = knit_loop_create_task(loop, nothing, NULL);
	kn_alloc_fail_after(0);
	cr_assert_not_null(knit_task_get_name(named), "a default name cannot fail");
	kn_alloc_fail_after(-1);
	knit_task_unref(named);
	finish();
}

static intptr_t sleep_short_of_memory(void *ret)
{
	int *failures = ret, r;

	for (*failures = 0;; ++*failures) {
		if (*failures == ATTEMPTS)
			return -1;
		kn_alloc_fail_after(*failures);
		r = knit_sleep(KNIT_US);
		kn_alloc_fail_after(-1);
		if (r == 0)
			return 7;
		if (r != -ENOMEM)
			return -2;
	}
}

Test(no_memory_task, sleeping, .init = setup)
{
	int failures = 0;

	cr_assert_eq(knit_loop_run_until_complete(loop, sleep_short_of_memory, &failures), 7);
	cr_assert_gt(failures, 0);
	finish();
}

/* ---- futures ---- */

static knit_future *future;

static int make_future(void)
{
	future = knit_future_new();
	return future ? 0 : (int)knit_await(NULL);
}

static int calls;

static void called(knit_future *done, void *arg)
{
	(void)done;
	(void)arg;
	calls++;
}

static int add_callback(void)
{
	return knit_future_add_done_callback(future, called, NULL);
}

static void futures_in_callback(void *ret)
{
	int *failures = ret;

	failures[0] = exhaust(make_future);
	failures[1] = exhaust(add_callback);
	kn_alloc_fail_after(0);
	/* Only the text is lost. */
	failures[2] = knit_future_set_exception(future, EIO, "a text");
	failures[3] = knit_future_exception(future, NULL);
	kn_alloc_fail_after(-1);
	knit_future_unref(future);
}

Test(no_memory_task, futures, .init = setup)
{
	int failures[4] = {0};

	calls = 0;
	knit_loop_call_soon(loop, futures_in_callback, failures);
	settle();
	cr_assert_gt(failures[0], 0);
	cr_assert_gt(failures[1], 0);
	cr_assert_eq(failures[2], 0);
	cr_assert_eq(failures[3], EIO);
	cr_assert_eq(calls, 1);
	finish();
}

/* ---- between threads ---- */

static knit_concurrent_future *call;

static int call_threadsafe(void)
{
	errno = 0;
	call = knit_run_coroutine_threadsafe(loop, nothing, (void *)4, .name = "remote",
	                                     .arg_free = free_arg);
	return call ? 0 : -errno;
}

Test(no_memory_task, run_coroutine_threadsafe, .init = setup)
{
	cr_assert_gt(exhaust(call_threadsafe), 1);
	cr_assert_eq(freed, 0);
	settle();
	cr_assert_eq(knit_concurrent_future_result(call, 0), 4);
	cr_assert_eq(freed, 1);
	knit_concurrent_future_unref(call);
	finish();
}

static int make_concurrent(void)
{
	errno = 0;
	call = knit_concurrent_future_new();
	return call ? 0 : -errno;
}

static knit_future *wrapper;

static int wrap(void)
{
	wrapper = knit_wrap_future(call);
	return wrapper ? 0 : (int)knit_await(NULL);
}

static void wrap_in_callback(void *ret)
{
	*(int *)ret = exhaust(wrap);
}

Test(no_memory_task, wrap_future, .init = setup)
{
	int failures = 0;

	cr_assert_eq(exhaust(make_concurrent), 1);
	knit_loop_call_soon(loop, wrap_in_callback, &failures);
	settle();
	cr_assert_gt(failures, 1);
	kn_alloc_fail_after(0);
	cr_assert_eq(knit_concurrent_future_set_exception(call, EIO, "a text"), 0);
	settle();
	kn_alloc_fail_after(-1);
	cr_assert_eq(knit_future_result(wrapper), -EIO);
	knit_future_unref(wrapper);
	knit_concurrent_future_unref(call);
	finish();
}

/* ---- all at once ---- */

static intptr_t child(void *arg)
{
	int r = knit_sleep(KNIT_US);

	return r < 0 ? r : (intptr_t)arg;
}

/* A small program; 9, or what went wrong first. */
static intptr_t program(void *arg)
{
	knit_future *gate = knit_future_new();
	knit_task *tasks[3];
	intptr_t first = 9, r;

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = knit_create_task(child, (void *)(intptr_t)i, .name = "child");
	for (int i = 0; i < 3; i++) {
		/* NULL tells why the last creation failed, not this one. */
		r = tasks[i] ? knit_await(tasks[i]) : -ENOMEM;
		if (r < 0 && first == 9)
			first = r;
	}
	r = gate ? knit_future_set_result(gate, 1) : -ENOMEM;
	if (r == 0)
		r = knit_await(gate);
	if (r < 0 && first == 9)
		first = r;
	r = knit_run_on(knit_get_running_loop(), child, (void *)3);
	return r < 0 && first == 9 ? r : first;
}

Test(no_memory_task, a_whole_program)
{
	int fds = test_open_fds(), failures;

	for (failures = 0;; failures++) {
		intptr_t r;

		cr_assert_lt(failures, ATTEMPTS);
		kn_alloc_fail_after(failures);
		r = knit_run(program, NULL);
		kn_alloc_fail_after(-1);
		cr_assert_eq(test_open_fds(), fds);
		if (r == 9)
			break;
		cr_assert_eq(r, -ENOMEM, "%s", knit_errname((int)r));
	}
	cr_assert_gt(failures, 10);
}
