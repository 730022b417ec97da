/* SPDX-License-Identifier: MIT */
/* test_remote.c - knit_run_coroutine_threadsafe(): the ways in which such a call ends, and what
 * becomes of its argument and its value on each. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include "base/alloc.h"
#include "knit/task.h"

/* What happened to one call; looked at when all is over. */
struct job {
	atomic_int started, arg_freed;
	intptr_t returns;
	int passes;  /* to take before returning */
	bool refuse; /* to be cancelled */
	intptr_t outcome;
};

static atomic_int values_freed;

static void free_arg(void *arg)
{
	atomic_fetch_add(&((struct job *)arg)->arg_freed, 1);
}

static void free_value(intptr_t value)
{
	atomic_fetch_add(&values_freed, value > 0 ? 1 : 1000);
}

static intptr_t work(void *arg)
{
	struct job *job = arg;

	atomic_fetch_add(&job->started, 1);
	for (int i = 0; i < job->passes; i++) {
		int r = knit_sleep(job->passes > 1000 ? KNIT_FOREVER : 0);

		if (r < 0 && !job->refuse)
			return r;
		if (r < 0)
			break;
	}
	if (knit_is_error(job->returns))
		return knit_raise((int)job->returns, "job failed with %d", (int)job->returns);
	return job->returns;
}

static knit_concurrent_future *start(knit_loop *loop, struct job *job)
{
	knit_concurrent_future *future = knit_run_coroutine_threadsafe(
	        loop, work, job, .name = "remote", .arg_free = free_arg, .result_free = free_value);

	cr_assert_not_null(future);
	return future;
}

/* Waits until nothing of the job is left on the loop, for it is in line before this. */
static void settle(knit_loop *loop)
{
	struct job last = {.returns = 1};
	knit_concurrent_future *future = knit_run_coroutine_threadsafe(loop, work, &last);

	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), 1);
	knit_concurrent_future_unref(future);
}

static struct worker worker;

static void setup(void)
{
	worker_start(&worker);
}

/* ---- success and failure ---- */

Test(remote, the_outcome_crosses, .init = setup)
{
	struct job value = {.returns = 77, .passes = 3}, failure = {.returns = -EPROTO};
	knit_concurrent_future *future = start(worker.loop, &value);

	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), 77);
	cr_assert_eq(knit_concurrent_future_set_result(future, 1), -EINVAL, "not by hand");
	cr_assert_eq(knit_concurrent_future_set_exception(future, EIO, NULL), -EINVAL);
	knit_concurrent_future_unref(future);
	future = start(worker.loop, &failure);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -EPROTO);
	cr_assert_str_eq(knit_error_message(-EPROTO), "job failed with -71");
	knit_concurrent_future_unref(future);
	worker_stop(&worker);
	cr_assert_eq(atomic_load(&value.arg_freed), 1);
	cr_assert_eq(atomic_load(&failure.arg_freed), 1);
	cr_assert_eq(atomic_load(&values_freed), 0, "it was retrieved");
	cr_assert_eq(worker.reports, 0, "so was the failure");
}

Test(remote, a_value_that_nobody_retrieves_goes_to_result_free, .init = setup)
{
	struct job job = {.returns = 5};
	knit_concurrent_future *future = start(worker.loop, &job);

	knit_concurrent_future_unref(future);
	settle(worker.loop);
	future = start(worker.loop, &job);
	settle(worker.loop);
	knit_concurrent_future_unref(future);
	worker_stop(&worker);
	cr_assert_eq(atomic_load(&values_freed), 2);
	cr_assert_eq(atomic_load(&job.arg_freed), 2);
}

/* ---- cancelling ---- */

Test(remote, cancelled_before_it_starts_it_never_runs)
{
	knit_loop *loop = knit_loop_new();
	struct job job = {.returns = 5};
	knit_concurrent_future *future = start(loop, &job);

	cr_assert(knit_concurrent_future_cancel(future));
	cr_assert_not(knit_concurrent_future_cancel(future));
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -KNIT_ECANCELLED);
	for (int i = 0; i < 5; i++)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(atomic_load(&job.started), 0);
	cr_assert_eq(atomic_load(&job.arg_freed), 1);
	knit_concurrent_future_unref(future);
	knit_loop_unref(loop);
	cr_assert_eq(atomic_load(&values_freed), 0);
}

Test(remote, cancelled_while_it_runs_it_gets_a_request, .init = setup)
{
	struct job yields = {.returns = 5, .passes = 1001};
	knit_concurrent_future *future = start(worker.loop, &yields);

	rig_until(rig_is_set, &yields.started);
	cr_assert(knit_concurrent_future_cancel(future));
	cr_assert_eq(knit_concurrent_future_result(future, 0), -KNIT_ECANCELLED, "at once");
	knit_concurrent_future_unref(future);
	worker_stop(&worker);
	cr_assert_eq(atomic_load(&yields.arg_freed), 1);
	cr_assert_eq(atomic_load(&values_freed), 0);
}

Test(remote, the_value_of_one_that_refused_to_be_cancelled_is_freed, .init = setup)
{
	struct job refuses = {.returns = 5, .passes = 1001, .refuse = true};
	knit_concurrent_future *future = start(worker.loop, &refuses);

	rig_until(rig_is_set, &refuses.started);
	cr_assert(knit_concurrent_future_cancel(future));
	settle(worker.loop);
	cr_assert_eq(knit_concurrent_future_result(future, 0), -KNIT_ECANCELLED);
	knit_concurrent_future_unref(future);
	worker_stop(&worker);
	cr_assert_eq(atomic_load(&refuses.arg_freed), 1);
	cr_assert_eq(atomic_load(&values_freed), 1);
}

Test(remote, cancelled_at_any_moment_all_is_freed_once, .init = setup)
{
	int rounds = (int)test_scale(2000, 500, 500, 50);

	for (int i = 0; i < rounds; i++) {
		/* Every fifth one does not end by itself: there the request always comes in time.
		 */
		struct job job = {.returns = 5, .passes = i % 5 == 4 ? 1001 : i % 5};
		knit_concurrent_future *future = start(worker.loop, &job);
		intptr_t outcome;
		int freed = atomic_load(&values_freed);
		bool cancelled;

		for (int j = 0; j < i % 50; j++)
			sched_yield();
		cancelled = knit_concurrent_future_cancel(future);
		outcome = knit_concurrent_future_result(future, KNIT_FOREVER);
		cr_assert_eq(outcome, cancelled ? -KNIT_ECANCELLED : 5);
		cr_assert(cancelled || i % 5 != 4);
		settle(worker.loop);
		settle(worker.loop);
		knit_concurrent_future_unref(future);
		cr_assert_eq(atomic_load(&job.arg_freed), 1);
		cr_assert_leq(atomic_load(&job.started), 1);
		cr_assert_leq(atomic_load(&values_freed) - freed, cancelled ? 1 : 0);
	}
	worker_stop(&worker);
}

/* ---- closing ---- */

Test(remote, the_loop_closes_while_it_runs, .init = setup)
{
	struct job sleeps = {.returns = 5, .passes = 1001};
	struct job refuses = {.returns = 6, .passes = 1001, .refuse = true};
	knit_concurrent_future *future[2] = {start(worker.loop, &sleeps),
	                                     start(worker.loop, &refuses)};

	rig_until(rig_is_set, &sleeps.started);
	rig_until(rig_is_set, &refuses.started);
	worker_join(&worker);
	cr_assert_eq(worker.close, 0);
	cr_assert_eq(knit_concurrent_future_result(future[0], KNIT_FOREVER), -KNIT_ECLOSED);
	cr_assert_eq(knit_concurrent_future_result(future[1], KNIT_FOREVER), 6, "it has a value");
	cr_assert_not(knit_concurrent_future_cancel(future[0]));
	for (int i = 0; i < 2; i++)
		knit_concurrent_future_unref(future[i]);
	cr_assert_eq(atomic_load(&sleeps.arg_freed), 1);
	cr_assert_eq(atomic_load(&refuses.arg_freed), 1);
	cr_assert_eq(atomic_load(&values_freed), 0);
	knit_loop_unref(worker.loop);
}

Test(remote, the_loop_closes_before_it_starts)
{
	for (int ran = 0; ran < 2; ran++) {
		knit_loop *loop = knit_loop_new();
		struct job job = {.returns = 5};
		knit_concurrent_future *future;

		if (ran)
			cr_assert_eq(knit_loop_run_once(loop, 0), 0);
		future = start(loop, &job);
		cr_assert_eq(knit_loop_close(loop), 0);
		cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -KNIT_ECLOSED);
		cr_assert_eq(atomic_load(&job.started), 0);
		cr_assert_eq(atomic_load(&job.arg_freed), 1);
		knit_concurrent_future_unref(future);
		errno = 0;
		cr_assert_null(
		        knit_run_coroutine_threadsafe(loop, work, &job, .arg_free = free_arg));
		cr_assert_eq(errno, KNIT_ECLOSED);
		cr_assert_eq(atomic_load(&job.arg_freed), 1, "nothing was taken");
		knit_loop_unref(loop);
	}
}

/* ---- errors ---- */

static void fail_next_allocation(void *ignored)
{
	(void)ignored;
	kn_alloc_fail_after(0);
}

static void let_succeed(void *ignored)
{
	(void)ignored;
	kn_alloc_fail_after(-1);
}

Test(remote, a_task_that_cannot_be_created_is_an_outcome, .init = setup)
{
	struct job job = {.returns = 5};
	knit_concurrent_future *future;

	/* With a name to copy an allocation is certain. */
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, fail_next_allocation, NULL), 0);
	future = start(worker.loop, &job);
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, let_succeed, NULL), 0);
	cr_assert_eq(knit_concurrent_future_result(future, KNIT_FOREVER), -ENOMEM);
	knit_concurrent_future_unref(future);
	worker_stop(&worker);
	cr_assert_eq(atomic_load(&job.started), 0);
	cr_assert_eq(atomic_load(&job.arg_freed), 1);
}

Test(remote, what_is_malformed_is_refused_at_once, .init = setup)
{
	struct job job = {.returns = 5};

	errno = 0;
	cr_assert_null(knit_run_coroutine_threadsafe(NULL, work, &job, .arg_free = free_arg));
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_null(
	        knit_run_coroutine_threadsafe(worker.loop, NULL, &job, .arg_free = free_arg));
	cr_assert_eq(errno, EINVAL);
	worker_stop(&worker);
	cr_assert_eq(atomic_load(&job.arg_freed), 0);
}
