/* SPDX-License-Identifier: MIT */
/* test_run_on.c - knit_run_on(): calls between loops, and cancelling them at every point. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "knit/task.h"
#include "task/task.h"

static struct worker worker;

static void setup(void)
{
	worker_start(&worker);
}

/* What a call does on the other side, and what was seen of it. */
struct job {
	atomic_int started, cancelled, arg_freed;
	int passes;   /* to take; -1: for ever */
	bool swallow; /* a cancellation */
	intptr_t gives;
	knit_loop *ran_on;
};

static void free_arg(void *arg)
{
	atomic_fetch_add(&((struct job *)arg)->arg_freed, 1);
}

static intptr_t work(void *arg)
{
	struct job *job = arg;
	int r = 0;

	job->ran_on = knit_get_running_loop();
	atomic_store(&job->started, 1);
	for (int i = 0; r == 0 && (job->passes < 0 || i < job->passes); i++)
		r = knit_sleep(job->passes < 0 ? KNIT_FOREVER : 0);
	if (r == -KNIT_ECANCELLED)
		atomic_fetch_add(&job->cancelled, 1);
	if (r < 0 && !job->swallow)
		return r;
	if (knit_is_error(job->gives))
		return knit_raise((int)job->gives, "no luck with %d", (int)job->gives);
	return job->gives;
}

static intptr_t call_work(void *arg)
{
	return knit_run_on(worker.loop, work, arg, .arg_free = free_arg);
}

/* ---- outcomes ---- */

Test(run_on, the_value_comes_back, .init = setup)
{
	for (int passes = 0; passes < 4; passes++) {
		struct job job = {.passes = passes, .gives = 1234567};

		cr_assert_eq(knit_run(call_work, &job), 1234567);
		cr_assert_eq(job.ran_on, worker.loop);
		cr_assert_eq(atomic_load(&job.arg_freed), 1);
	}
	worker_stop(&worker);
}

static intptr_t call_and_look_at_the_text(void *arg)
{
	intptr_t outcome = call_work(arg);
	const char *file = NULL;

	if (outcome != -EPROTO || strcmp(knit_error_message(outcome), "no luck with -71"))
		return -1;
	return knit_error_place(outcome, &file) > 0 && file && strstr(file, "test_run_on.c") ? 5
	                                                                                     : -2;
}

Test(run_on, the_text_of_a_failure_comes_back, .init = setup)
{
	struct job job = {.gives = -EPROTO};

	cr_assert_eq(knit_run(call_and_look_at_the_text, &job), 5);
	worker_stop(&worker);
	cr_assert_eq(worker.reports, 0, "the caller has it");
}

static intptr_t call_own_loop(void *arg)
{
	return knit_run_on(knit_get_running_loop(), work, arg);
}

Test(run_on, the_own_loop_can_be_called)
{
	struct job job = {.passes = 2, .gives = 8};

	cr_assert_eq(knit_run(call_own_loop, &job), 8);
	cr_assert_eq(knit_run(call_own_loop, &job, .clock = KNIT_CLOCK_VIRTUAL), 8);
}

static intptr_t sleep_an_hour(void *arg)
{
	(void)arg;
	return knit_sleep(3600 * KNIT_S);
}

static intptr_t call_own_loop_to_sleep(void *arg)
{
	return knit_run_on(knit_get_running_loop(), sleep_an_hour, arg);
}

/* Such a call is no reason to wait for other threads. */
Test(run_on, virtual_time_goes_on_while_the_own_loop_is_called)
{
	cr_assert_eq(knit_run(call_own_loop_to_sleep, NULL, .clock = KNIT_CLOCK_VIRTUAL), 0);
}

Test(run_on, a_closed_loop_says_so, .init = setup)
{
	struct job job = {.gives = 1};

	worker_join(&worker);
	cr_assert_eq(knit_run(call_work, &job), -KNIT_ECLOSED);
	cr_assert_eq(atomic_load(&job.started), 0);
	cr_assert_eq(atomic_load(&job.arg_freed), 0, "it was never taken");
	knit_loop_unref(worker.loop);
}

static intptr_t call_badly(void *arg)
{
	if (knit_run_on(NULL, work, arg) != -EINVAL)
		return -1;
	return knit_run_on(worker.loop, NULL, arg) == -EINVAL ? 2 : -2;
}

Test(run_on, what_is_malformed_is_refused, .init = setup)
{
	struct job job = {0};

	cr_assert_eq(knit_run_on(worker.loop, work, &job), -KNIT_ENOTASK);
	cr_assert_eq(knit_run(call_badly, &job), 2);
	worker_stop(&worker);
}

static void fail_allocations(void *ignored)
{
	(void)ignored;
	kn_alloc_fail_after(0);
}

static void let_succeed(void *ignored)
{
	(void)ignored;
	kn_alloc_fail_after(-1);
}

static intptr_t call_with_name(void *arg)
{
	return knit_run_on(worker.loop, work, arg, .name = "called", .arg_free = free_arg);
}

Test(run_on, without_memory_on_the_other_side_it_fails, .init = setup)
{
	struct job job = {.gives = 1};

	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, fail_allocations, NULL), 0);
	cr_assert_eq(knit_run(call_with_name, &job), -ENOMEM);
	cr_assert_eq(knit_loop_call_soon_threadsafe(worker.loop, let_succeed, NULL), 0);
	cr_assert_eq(knit_run(call_with_name, &job), 1);
	worker_stop(&worker);
}

/* ---- cancelling ---- */

/* Calls, and is cancelled by the main task after so many passes of the caller's loop. */
struct scene {
	struct job job;
	int passes_before;   /* of the caller's loop */
	bool wait_for_start; /* on the other side */
	intptr_t outcome;    /* of the call */
	intptr_t next;       /* of the caller's next suspension */
	bool accepted;       /* the request to cancel */
	bool returned;
};

static intptr_t cancelled_caller(void *arg)
{
	struct scene *scene = arg;

	scene->outcome = call_work(&scene->job);
	scene->returned = true;
	scene->next = knit_sleep(0);
	return scene->outcome;
}

static intptr_t cancel_caller(void *arg)
{
	struct scene *scene = arg;
	knit_task *caller = knit_create_task(cancelled_caller, scene);

	while (scene->wait_for_start && !atomic_load(&scene->job.started))
		if (knit_sleep(0) < 0)
			return -1;
	for (int i = 0; i < scene->passes_before; i++)
		if (knit_sleep(0) < 0)
			return -2;
	scene->accepted = knit_task_cancel(caller, "enough"); /* if not, it was done */
	return knit_await(caller) < 0 ? 1 : 0;
}

Test(run_on, cancelling_the_caller_cancels_the_call, .init = setup)
{
	struct scene scene = {.job.passes = -1, .wait_for_start = true};

	cr_assert_eq(knit_run(cancel_caller, &scene), 1);
	cr_assert_eq(scene.outcome, -KNIT_ECANCELLED);
	cr_assert_eq(scene.next, 0, "the request has been delivered");
	cr_assert_eq(atomic_load(&scene.job.cancelled), 1);
	cr_assert_eq(atomic_load(&scene.job.arg_freed), 1, "done there before it returned");
	worker_stop(&worker);
}

Test(run_on, a_call_that_swallows_the_cancellation_returns_its_value, .init = setup)
{
	struct scene scene = {.job = {.passes = -1, .swallow = true, .gives = 12},
	                      .wait_for_start = true};

	(void)!knit_run(cancel_caller, &scene);
	cr_assert_eq(scene.outcome, 12);
	cr_assert_eq(atomic_load(&scene.job.cancelled), 1);
	worker_stop(&worker);
}

/* Whatever the moment: the call returns once, after the other side, with one of two outcomes. */
Test(run_on, cancelled_at_any_moment_nothing_is_lost, .init = setup)
{
	int rounds = (int)test_scale(700, 300, 300, 40), values = 0, cancelled = 0;

	for (int i = 0; i < rounds; i++) {
		struct scene scene = {.job = {.passes = i % 6 - 1, .gives = 4},
		                      .passes_before = i % 7,
		                      .wait_for_start = i % 3 == 0};

		cr_assert_geq(knit_run(cancel_caller, &scene), 0);
		if (scene.passes_before == 0 && !scene.wait_for_start) {
			cr_assert_not(scene.returned, "cancelled before it began");
			continue;
		}
		cr_assert(scene.returned);
		if (scene.outcome == 4) {
			values++;
			if (scene.accepted && !atomic_load(&scene.job.cancelled))
				cr_assert_eq(scene.next, -KNIT_ECANCELLED, "the request got lost");
		} else {
			cr_assert_eq(scene.outcome, -KNIT_ECANCELLED);
			cancelled++;
		}
		cr_assert_eq(atomic_load(&scene.job.arg_freed), 1);
	}
	/* Which of the two it is depends on how far the other thread has come. */
	cr_assert_gt(values + cancelled, 0);
	worker_stop(&worker);
}

struct survivor {
	atomic_int started, requests;
};

static intptr_t survive_once(void *arg)
{
	struct survivor *survivor = arg;

	atomic_store(&survivor->started, 1);
	while (knit_sleep(KNIT_FOREVER) == -KNIT_ECANCELLED)
		if (atomic_fetch_add(&survivor->requests, 1) == 1)
			return -KNIT_ECANCELLED;
	return 0;
}

static intptr_t call_survivor(void *arg)
{
	return knit_run_on(worker.loop, survive_once, arg);
}

static intptr_t cancel_twice(void *arg)
{
	struct survivor *survivor = arg;
	knit_task *caller = knit_create_task(call_survivor, arg);

	while (!atomic_load(&survivor->started))
		if (knit_sleep(0) < 0)
			return -1;
	for (int i = 0; i < 2; i++) {
		knit_task_cancel(caller, NULL);
		while (atomic_load(&survivor->requests) == i)
			if (knit_sleep(0) < 0)
				return -2;
	}
	return knit_await(caller) == -KNIT_ECANCELLED ? 3 : -4;
}

/* As it would with knit_await(). */
Test(run_on, a_call_that_survives_one_cancellation_can_be_cancelled_again, .init = setup)
{
	struct survivor survivor = {0};

	cr_assert_eq(knit_run(cancel_twice, &survivor), 3);
	worker_stop(&worker);
}

static intptr_t cancel_itself_then_call(void *arg)
{
	struct job *job = arg;
	intptr_t outcome;

	knit_task_cancel(knit_current_task(NULL), NULL);
	outcome = call_work(job);
	return outcome == -KNIT_ECANCELLED && atomic_load(&job->arg_freed) == 1 ? 6 : -1;
}

Test(run_on, a_request_from_before_cancels_the_call_at_its_start, .init = setup)
{
	struct job job = {.passes = -1};

	cr_assert_eq(knit_run(cancel_itself_then_call, &job), 6);
	cr_assert_eq(atomic_load(&job.cancelled), atomic_load(&job.started), "if it ran at all");
	worker_stop(&worker);
}

/* ---- in a circle ---- */

struct half {
	knit_task *task;
	struct half *other;
};

static intptr_t await_the_other(void *arg)
{
	struct half *half = arg;

	return knit_await(knit_task_ref(half->other->task));
}

static intptr_t call_in_a_circle(void *arg)
{
	return knit_run_on(knit_get_running_loop(), await_the_other, arg);
}

static intptr_t cancel_the_circle(void *arg)
{
	struct half *halves = arg;
	uint64_t before;
	int r = 0;

	for (int i = 0; i < 2; i++)
		halves[i].task = knit_create_task(call_in_a_circle, &halves[i]);
	for (int i = 0; r == 0 && i < 5; i++)
		r = knit_sleep(0);
	knit_task_cancel(halves[0].task, NULL);
	before = knit_get_running_loop()->counters.passes;
	for (int i = 0; r == 0 && i < 20; i++)
		r = knit_sleep(0);
	if (r == 0)
		r = knit_sleep(KNIT_S);
	/* A request that went round for ever would make passes, and let no time pass. */
	cr_assert_leq(knit_get_running_loop()->counters.passes - before, 25);
	return r;
}

static void say_nothing(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)context;
	(void)arg;
}

/* Tasks that wait for each other by way of calls: nobody can end that but the close of the loop,
 * which must not send requests round it for ever. */
Test(run_on, a_request_to_cancel_goes_round_a_circle_once)
{
	static knit_loop *loop; /* kept for good, and seen to be */
	struct half halves[2] = {{.other = &halves[1]}, {.other = &halves[0]}};

	loop = knit_loop_new(.clock = KNIT_CLOCK_VIRTUAL);
	knit_loop_set_exception_handler(loop, say_nothing, NULL);
	cr_assert_eq(knit_loop_run_until_complete(loop, cancel_the_circle, halves), 0);
	loop->grace = 10 * KNIT_MS;
	cr_assert_eq(knit_loop_close(loop), -EBUSY);
}

/* ---- many ---- */

enum { CALLS = 100, ROUNDS = 20 };

struct caller {
	knit_loop *there;
	long calls, wrong;
};

static intptr_t echo(void *arg)
{
	int r = knit_sleep(0);

	return r < 0 ? r : (intptr_t)arg;
}

static intptr_t call_many(void *arg)
{
	struct caller *caller = arg;

	for (intptr_t i = 1; i <= ROUNDS; i++) {
		caller->calls++;
		caller->wrong += knit_run_on(caller->there, echo, (void *)i) != i;
	}
	return 0;
}

/* Each side has many more calls outstanding than any queue between them is long. */
static intptr_t call_many_times_many(void *arg)
{
	knit_task *tasks[CALLS];
	int count = (int)test_scale(CALLS, CALLS, 20, 5), failed = 0;

	for (int i = 0; i < count; i++)
		tasks[i] = knit_create_task(call_many, arg);
	for (int i = 0; i < count; i++)
		failed += knit_await(tasks[i]) != 0;
	return failed;
}

struct peer {
	knit_loop *loop;
	struct caller caller;
	intptr_t failed;
	atomic_int done;
	int run;
};

static void *call_from_thread(void *arg)
{
	struct peer *peer = arg;

	peer->failed = knit_loop_run_until_complete(peer->loop, call_many_times_many,
	                                            &peer->caller);
	atomic_store(&peer->done, 1);
	/* The other side may still have calls for us. */
	peer->run = knit_loop_run_forever(peer->loop);
	return NULL;
}

Test(run_on, loops_that_call_each_other_do_not_wait_for_ever, .init = setup)
{
	struct peer peer = {.loop = knit_loop_new(), .caller.there = worker.loop, .failed = -1};
	struct caller caller = {.there = peer.loop};
	pthread_t thread = rig_thread(call_from_thread, &peer);

	for (int i = 0; i < 5; i++) {
		knit_concurrent_future *call = knit_run_coroutine_threadsafe(
		        worker.loop, call_many_times_many, &caller);

		cr_assert_eq(knit_concurrent_future_result(call, KNIT_FOREVER), 0);
		knit_concurrent_future_unref(call);
	}
	rig_until(rig_is_set, &peer.done);
	cr_assert_eq(knit_loop_stop_threadsafe(peer.loop), 0);
	rig_join(thread);
	cr_assert_eq(peer.failed, 0);
	cr_assert_eq(peer.run, 0);
	cr_assert_eq(caller.wrong, 0);
	cr_assert_eq(peer.caller.wrong, 0);
	cr_assert_gt(caller.calls, 0);
	cr_assert_gt(peer.caller.calls, 0);
	worker_stop(&worker);
	knit_loop_unref(peer.loop);
}
