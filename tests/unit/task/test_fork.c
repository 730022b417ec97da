/* SPDX-License-Identifier: MIT */
/* test_fork.c - a coroutine forks: its child has the stack it runs on, and nothing else of the
 * loop. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <unistd.h>
#include "knit/task.h"

static int freed;

static void free_arg(void *arg)
{
	(void)arg;
	freed++;
}

/* In a child forked on a fiber ThreadSanitizer sees no synchronisation on that fiber any more, so
 * a switch to another is a race for it. */
static void skip_with_tsan(void)
{
	if (KN_TSAN)
		test_skip("ThreadSanitizer does not follow a fiber that forked");
}

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t add_one(void *arg)
{
	int r = knit_sleep(KNIT_MS);

	return r < 0 ? r : (intptr_t)arg + 1;
}

static void check_own_run(void)
{
	if (rig_on_valgrind())
		return;
	child_check(knit_run(add_one, (void *)41) == 42);
	child_check(knit_run(add_one, (void *)1, .clock = KNIT_CLOCK_VIRTUAL) == 2);
}

struct forking {
	knit_loop *loop;
	knit_task *other;
	knit_future *future;
	pid_t child;
	int parents; /* what the parent did afterwards */
};

/* In the child, still on the coroutine's stack. */
static void check_refusals(struct forking *forking)
{
	knit_concurrent_future *by_hand = knit_concurrent_future_new();

	child_check(knit_get_running_loop() == NULL);
	child_check(knit_current_task(NULL) == NULL);
	child_check(knit_all_tasks(NULL, NULL, 0) == 0);
	child_check(knit_sleep(0) == -KNIT_ENOTASK);
	child_check(knit_sleep(KNIT_S) == -KNIT_ENOTASK);
	child_check(knit_sleep_until(0) == -KNIT_ENOTASK);
	child_check(knit_await(forking->other) < 0);
	child_check(knit_await(forking->future) < 0);
	child_check(knit_create_task(nothing, NULL) == NULL);
	child_check(knit_await(NULL) == -KNIT_ENOLOOP);
	child_check(knit_loop_create_task(forking->loop, nothing, NULL) == NULL);
	child_check(knit_await(NULL) == -KNIT_EWRONGTHREAD);
	child_check(knit_spawn(nothing, NULL) == -KNIT_ENOLOOP);
	child_check(knit_future_new() == NULL);
	child_check(knit_future_set_result(forking->future, 1) == -KNIT_EWRONGTHREAD);
	child_check(knit_future_result(forking->future) == -KNIT_EWRONGTHREAD);
	child_check(knit_run_on(forking->loop, nothing, NULL) == -KNIT_ENOTASK);
	errno = 0;
	child_check(knit_run_coroutine_threadsafe(forking->loop, nothing, NULL) == NULL);
	child_check(errno == KNIT_ECLOSED);
	child_check(by_hand && knit_wrap_future(by_hand) == NULL);
	knit_concurrent_future_unref(by_hand);
	child_check(knit_loop_run_until_complete_future(forking->loop, forking->other) < 0);
	child_check(knit_loop_run_once(forking->loop, 0) < 0);
}

static intptr_t other_body(void *arg)
{
	struct forking *forking = arg;

	for (int i = 0; i < 10; i++) {
		int r = knit_sleep(0);

		if (r < 0)
			return r;
		forking->parents++;
	}
	return 10;
}

static intptr_t fork_in_coroutine(void *arg)
{
	struct forking *forking = arg;

	forking->loop = knit_get_running_loop();
	forking->future = knit_future_new();
	forking->other = knit_create_task(other_body, forking);
	if (knit_sleep(0) < 0)
		return -1;
	forking->child = rig_fork();
	if (forking->child == 0) {
		check_refusals(forking);
		return 77;
	}
	knit_future_unref(forking->future);
	return knit_await(forking->other);
}

Test(fork_task, a_child_that_returns_comes_out_of_knit_run, .init = skip_with_tsan)
{
	struct forking forking = {0};
	intptr_t r = knit_run(fork_in_coroutine, &forking);

	if (forking.child == 0) {
		child_check(r < 0);
		check_own_run();
		child_done();
	}
	cr_assert_eq(r, 10, "%s", knit_errname((int)r));
	cr_assert_eq(forking.parents, 10);
	rig_wait_child(forking.child);
}

Test(fork_task, a_child_that_returns_comes_out_of_run_until_complete, .init = skip_with_tsan)
{
	struct forking forking = {0};
	knit_loop *loop = knit_loop_new();
	knit_task *task = knit_loop_create_task(loop, fork_in_coroutine, &forking,
	                                        .arg_free = free_arg);
	intptr_t r = knit_loop_run_until_complete_future(loop, knit_task_ref(task));

	if (forking.child == 0) {
		child_check(r == -KNIT_EWRONGTHREAD);
		child_check(freed <= 1);
		check_own_run();
		knit_loop_unref(loop);
		child_done();
	}
	cr_assert_eq(r, 10);
	cr_assert_eq(freed, 1);
	rig_wait_child(forking.child);
	knit_task_unref(task);
	knit_loop_unref(loop);
}

static intptr_t fork_and_exit(void *arg)
{
	struct forking *forking = arg;

	forking->child = rig_fork();
	if (forking->child == 0) {
		/* On the coroutine's stack. */
		check_own_run();
		child_done();
	}
	return 3;
}

Test(fork_task, a_child_may_run_a_loop_of_its_own_inside_the_coroutine)
{
	struct forking forking = {0};

	cr_assert_eq(knit_run(fork_and_exit, &forking), 3);
	rig_wait_child(forking.child);
}

static intptr_t fork_many(void *arg)
{
	int *done = arg;

	for (int i = 0; i < 10; i++) {
		pid_t child = rig_fork();

		if (child == 0)
			child_done();
		rig_wait_child(child);
		if (knit_sleep(KNIT_MS) < 0)
			return -1;
		++*done;
	}
	return 5;
}

Test(fork_task, a_parent_may_fork_again_and_again)
{
	int done[3] = {0};
	knit_loop *loop = knit_loop_new();
	knit_task *others[2];

	for (int i = 0; i < 2; i++)
		others[i] = knit_loop_create_task(loop, fork_many, &done[i]);
	cr_assert_eq(knit_loop_run_until_complete(loop, fork_many, &done[2]), 5);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(knit_loop_run_until_complete_future(loop, others[i]), 5);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(done[i], 10);
	knit_loop_unref(loop);
}

static intptr_t fork_while_unwinding(void *arg)
{
	struct forking *forking = arg;

	(void)!knit_sleep(KNIT_FOREVER);
	forking->child = rig_fork();
	return 0;
}

Test(fork_task, a_task_that_unwinds_in_close_may_fork, .init = skip_with_tsan)
{
	struct forking forking = {.loop = knit_loop_new()};
	knit_task *task = knit_loop_create_task(forking.loop, fork_while_unwinding, &forking);
	int r;

	knit_loop_set_exception_handler(forking.loop, rig_ignore_exception, NULL);
	cr_assert_geq(knit_loop_run_once(forking.loop, 0), 0);
	r = knit_loop_close(forking.loop);
	if (forking.child == 0) {
		child_check(r < 0);
		check_own_run();
		child_done();
	}
	cr_assert_eq(r, 0);
	rig_wait_child(forking.child);
	knit_task_unref(task);
	knit_loop_unref(forking.loop);
}

Test(fork_task, a_child_does_not_wait_for_what_only_the_parent_can_complete)
{
	knit_loop *loop = knit_loop_new();
	knit_concurrent_future *future = knit_run_coroutine_threadsafe(loop, nothing, (void *)3);
	pid_t child = rig_fork();

	if (child == 0) {
		child_check(knit_concurrent_future_result(future, KNIT_S) == -KNIT_ECLOSED);
		child_check(!knit_concurrent_future_done(future));
		child_done();
	}
	rig_wait_child(child);
	cr_assert_eq(knit_loop_run_once(loop, 0), 1);
	cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_concurrent_future_result(future, 0), 3);
	knit_concurrent_future_unref(future);
	knit_loop_unref(loop);
}
