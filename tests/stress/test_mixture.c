/* SPDX-License-Identifier: MIT */
/* test_mixture.c - four loops do everything to each other at random: calls, posts, coroutines for
 * other threads, futures that follow them, cancellations. What went in must come out: each post
 * runs once, each argument is freed once, each value is either retrieved or freed. */
#include "stress/stress.h"
#include <errno.h>
#include <stdlib.h>
#include "knit/task.h"

enum { LOOPS = 4, ACTORS = 8 };

static struct worker workers[LOOPS];

/* What went in and what came out. */
static atomic_long posted, post_ran, jobs, args_freed, made, taken, values_freed, cancelled, wrong;

struct job {
	intptr_t value;
	unsigned random;
};

static void free_job(void *job)
{
	atomic_fetch_add(&args_freed, 1);
	free(job);
}

static void free_value(intptr_t value)
{
	atomic_fetch_add(&values_freed, 1);
	atomic_fetch_add(&wrong, value <= 0);
}

/* Takes some passes, or some time, and makes a value. */
static intptr_t work(void *arg)
{
	struct job *job = arg;
	unsigned passes = stress_random(&job->random, 4);
	int r = 0;

	for (unsigned i = 0; i < passes && r == 0; i++)
		r = knit_sleep(stress_random(&job->random, 8) ? 0 : 20 * KNIT_US);
	if (r < 0)
		return r;
	atomic_fetch_add(&made, 1);
	return job->value;
}

static struct job *new_job(unsigned *random)
{
	struct job *job = malloc(sizeof(*job));

	job->value = 1 + (intptr_t)stress_random(random, 1000);
	job->random = *random;
	atomic_fetch_add(&jobs, 1);
	return job;
}

/* A value, or the cancellation that somebody asked for. */
static void check_outcome(intptr_t outcome, intptr_t value, bool may_be_cancelled)
{
	if (outcome == value)
		atomic_fetch_add(&taken, 1);
	else if (outcome == -KNIT_ECANCELLED && may_be_cancelled)
		atomic_fetch_add(&cancelled, 1);
	else
		atomic_fetch_add(&wrong, 1);
}

static knit_loop *some_loop(unsigned *random)
{
	return workers[stress_random(random, LOOPS)].loop;
}

/* ---- what an actor does ---- */

static void call(unsigned *random, bool may_be_cancelled)
{
	struct job *job = new_job(random);
	intptr_t value = job->value;

	check_outcome(knit_run_on(some_loop(random), work, job, .arg_free = free_job,
	                          .result_free = free_value),
	              value, may_be_cancelled);
}

static intptr_t call_in_a_task(void *arg)
{
	unsigned random = (unsigned)(uintptr_t)arg;

	call(&random, true);
	return 0;
}

static void call_and_cancel(unsigned *random)
{
	knit_task *task = knit_create_task(call_in_a_task, (void *)(uintptr_t)*random);
	unsigned passes = stress_random(random, 6);
	intptr_t r;

	for (unsigned i = 0; i < passes; i++)
		if (knit_sleep(0) < 0)
			atomic_fetch_add(&wrong, 1);
	knit_task_cancel(task, NULL);
	r = knit_await(task);
	atomic_fetch_add(&wrong, r != 0 && r != -KNIT_ECANCELLED);
}

static void count_post(void *ignored)
{
	(void)ignored;
	atomic_fetch_add(&post_ran, 1);
}

static void post(unsigned *random)
{
	if (knit_loop_call_soon_threadsafe(some_loop(random), count_post, NULL) == 0)
		atomic_fetch_add(&posted, 1);
	else
		atomic_fetch_add(&wrong, 1);
}

static void send_and_follow(unsigned *random)
{
	struct job *job = new_job(random);
	intptr_t value = job->value;
	knit_concurrent_future *remote = knit_run_coroutine_threadsafe(
	        some_loop(random), work, job, .arg_free = free_job, .result_free = free_value);
	knit_future *local = knit_wrap_future(remote);
	unsigned passes = stress_random(random, 4), how = stress_random(random, 3);

	for (unsigned i = 0; i < passes; i++)
		if (knit_sleep(0) < 0)
			atomic_fetch_add(&wrong, 1);
	if (how == 1)
		knit_concurrent_future_cancel(remote);
	else if (how == 2)
		knit_future_cancel(local, NULL);
	check_outcome(knit_await(local), value, how != 0);
	knit_concurrent_future_unref(remote);
}

static void send_and_forget(unsigned *random)
{
	knit_concurrent_future *remote = knit_run_coroutine_threadsafe(
	        some_loop(random), work, new_job(random), .arg_free = free_job,
	        .result_free = free_value);

	if (stress_random(random, 2))
		knit_concurrent_future_cancel(remote);
	knit_concurrent_future_unref(remote);
}

static intptr_t act(void *arg)
{
	unsigned random = (unsigned)(uintptr_t)arg;
	long rounds = stress_count(300, 100, 100, 10);

	for (long i = 0; i < rounds; i++) {
		switch (stress_random(&random, 5)) {
		case 0:
			call(&random, false);
			break;
		case 1:
			call_and_cancel(&random);
			break;
		case 2:
			post(&random);
			break;
		case 3:
			send_and_follow(&random);
			break;
		default:
			send_and_forget(&random);
		}
	}
	return 1;
}

Test(mixture, four_loops_do_everything_to_each_other)
{
	knit_concurrent_future *actors[LOOPS * ACTORS];
	int fds = test_open_fds();

	for (int i = 0; i < LOOPS; i++)
		worker_start(&workers[i]);
	for (int i = 0; i < LOOPS * ACTORS; i++)
		actors[i] = knit_run_coroutine_threadsafe(workers[i % LOOPS].loop, act,
		                                          (void *)(uintptr_t)(i * 7919 + 1));
	for (int i = 0; i < LOOPS * ACTORS; i++) {
		cr_assert_eq(knit_concurrent_future_result(actors[i], KNIT_FOREVER), 1);
		knit_concurrent_future_unref(actors[i]);
	}
	/* What was sent and forgotten is cancelled or has been done when its loop is closed. */
	for (int i = 0; i < LOOPS; i++)
		worker_stop(&workers[i]);
	cr_assert_eq(atomic_load(&wrong), 0);
	cr_assert_eq(atomic_load(&posted), atomic_load(&post_ran));
	cr_assert_eq(atomic_load(&jobs), atomic_load(&args_freed));
	cr_assert_eq(atomic_load(&made), atomic_load(&taken) + atomic_load(&values_freed),
	             "%ld made, %ld taken, %ld freed", atomic_load(&made), atomic_load(&taken),
	             atomic_load(&values_freed));
	cr_assert_gt(atomic_load(&taken), 0);
	cr_assert_gt(atomic_load(&cancelled), 0);
	cr_assert_gt(atomic_load(&values_freed), 0);
	cr_assert_eq(test_open_fds(), fds);
}
