/* SPDX-License-Identifier: MIT */
/* test_lifetime.c - loops whose last reference goes while tasks, futures, calls and concurrent
 * futures are still about. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include "knit/task.h"

static intptr_t nothing(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t sleep_for_ever(void *arg)
{
	(void)arg;
	return knit_sleep(KNIT_FOREVER);
}

/* ---- tasks and futures ---- */

Test(lifetime, the_last_reference_closes_a_loop_with_tasks)
{
	int fds = test_open_fds();

	for (int ran = 0; ran < 2; ran++) {
		knit_loop *loop = knit_loop_new();
		knit_task *task;
		int reports = 0;

		knit_loop_set_exception_handler(loop, rig_count_exception, &reports);
		task = knit_loop_create_task(loop, sleep_for_ever, NULL);
		if (ran)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		knit_task_unref(task);
		knit_loop_unref(loop);
		cr_assert_eq(reports, 1, "the task was reported as pending");
		cr_assert_eq(test_open_fds(), fds);
	}
}

Test(lifetime, futures_outlive_their_loop)
{
	knit_loop *loop = knit_loop_new();
	knit_task *task = knit_loop_create_task(loop, nothing, (void *)7);
	int fds = test_open_fds();

	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	knit_loop_unref(loop);
	cr_assert_lt(test_open_fds(), fds);
	/* Only the memory is there still. */
	cr_assert_eq(knit_task_result(task), 7);
	cr_assert_str_neq(knit_task_get_name(task), "");
	knit_task_unref(task);
}

static void drop_loop_with_task(void *arg)
{
	knit_loop *other = knit_loop_new();

	(void)arg;
	knit_task_unref(knit_loop_create_task(other, nothing, NULL));
	knit_loop_unref(other);
}

static void die_dropping_in_a_callback(void *ignored)
{
	knit_loop *loop = knit_loop_new();

	(void)ignored;
	knit_loop_call_soon(loop, drop_loop_with_task, NULL);
	(void)!knit_loop_run_once(loop, 0);
}

Test(lifetime, a_loop_with_tasks_cannot_be_dropped_while_another_runs)
{
	test_death(die_dropping_in_a_callback, NULL,
	           "the last reference to a loop with tasks was dropped while another loop ran");
}

/* ---- concurrent futures ---- */

struct holder {
	knit_concurrent_future *future;
	sem_t go_on;
	intptr_t result;
};

static void *hold_and_drop(void *arg)
{
	struct holder *holder = arg;

	while (sem_wait(&holder->go_on) < 0)
		;
	holder->result = knit_concurrent_future_result(holder->future, KNIT_FOREVER);
	knit_concurrent_future_unref(holder->future);
	return NULL;
}

Test(lifetime, a_concurrent_future_does_not_keep_its_loop_open)
{
	int fds = test_open_fds();
	knit_loop *loop = knit_loop_new();
	struct holder holder = {.result = 1};
	pthread_t thread;

	sem_init(&holder.go_on, 0, 0);
	holder.future = knit_run_coroutine_threadsafe(loop, nothing, NULL);
	cr_assert_not_null(holder.future);
	thread = rig_thread(hold_and_drop, &holder);
	knit_loop_unref(loop);
	cr_assert_eq(test_open_fds(), fds, "closed, by its last reference");
	sem_post(&holder.go_on);
	rig_join(thread);
	cr_assert_eq(holder.result, -KNIT_ECLOSED);
}

/* ---- calls between loops ---- */

static intptr_t call_over(void *other)
{
	return knit_run_on(other, nothing, (void *)3);
}

Test(lifetime, a_loop_may_be_dropped_as_soon_as_its_call_was_answered)
{
	int rounds = (int)test_scale(2000, 300, 300, 20);
	struct worker worker = {0};

	worker_start(&worker);
	for (int i = 0; i < rounds; i++) {
		knit_loop *loop = knit_loop_new(.sq_entries = 8, .cq_entries = 16);

		cr_assert_eq(knit_loop_run_until_complete(loop, call_over, worker.loop), 3);
		/* The other loop may still be about to let go of this one. */
		knit_loop_unref(loop);
	}
	worker_stop(&worker);
}

/* ---- a thread that ends inside of a run ---- */

static void end_thread(void *unused)
{
	(void)unused;
	pthread_exit(NULL);
}

static intptr_t outlive_the_run(void *arg)
{
	int r;

	(void)arg;
	knit_loop_call_soon(NULL, end_thread, NULL);
	r = knit_sleep(KNIT_FOREVER);
	return r;
}

static void *run_until_the_end(void *loop)
{
	knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL);
	return (void *)knit_loop_run_until_complete(loop, outlive_the_run, NULL);
}

/* The reference to the main task is lost with the frame that had it, and so is its memory. */
Test(lifetime, a_callback_that_ends_the_thread_leaves_no_run_behind)
{
	if (rig_on_valgrind())
		test_skip("it would tell of that memory");
	for (int i = 0; i < 10; i++) {
		knit_loop *loop = knit_loop_new();

		cr_assert_null(rig_on_thread(run_until_the_end, loop));
		cr_assert(knit_loop_is_closed(loop));
		knit_loop_unref(loop);
	}
}
