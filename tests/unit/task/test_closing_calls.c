/* SPDX-License-Identifier: MIT */
/* test_closing_calls.c - loops that are closed while calls between them are under way. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include "knit/task.h"
#include "task/task.h"

static intptr_t sleep_for_ever(void *started)
{
	atomic_fetch_add((atomic_int *)started, 1);
	return knit_sleep(KNIT_FOREVER);
}

struct call {
	knit_loop *there;
	atomic_int started;
	intptr_t result;
	bool returned;
};

static intptr_t call_over(void *arg)
{
	struct call *call = arg;

	call->result = knit_run_on(call->there, sleep_for_ever, &call->started);
	call->returned = true;
	return call->result;
}

static void run_until_started(knit_loop *loop, struct call *call)
{
	for (int i = 0; i < 1000000 && !atomic_load(&call->started); i++) {
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
		sched_yield();
	}
	cr_assert_eq(atomic_load(&call->started), 1);
}

/* ---- one side ---- */

Test(closing_calls, the_callers_loop_waits_for_the_answer)
{
	struct worker worker = {0};
	knit_loop *loop = knit_loop_new();
	struct call call = {0};
	knit_task *task;

	worker_start(&worker);
	call.there = worker.loop;
	knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL);
	task = knit_loop_create_task(loop, call_over, &call);
	run_until_started(loop, &call);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(call.returned);
	cr_assert_eq(call.result, -KNIT_ECANCELLED, "the other side was cancelled");
	cr_assert_eq(loop->remote, 0);
	knit_task_unref(task);
	knit_loop_unref(loop);
	worker_stop(&worker);
}

Test(closing_calls, the_caller_is_told_when_the_other_loop_closes)
{
	struct worker worker = {0};
	knit_loop *loop = knit_loop_new();
	struct call call = {0};
	knit_task *task;

	worker_start(&worker);
	call.there = worker.loop;
	task = knit_loop_create_task(loop, call_over, &call);
	run_until_started(loop, &call);
	cr_assert_eq(knit_loop_stop_threadsafe(worker.loop), 0);
	cr_assert_eq(knit_loop_run_until_complete_future(loop, task), -KNIT_ECLOSED);
	cr_assert_eq(call.result, -KNIT_ECLOSED);
	knit_loop_unref(loop);
	worker_stop(&worker);
}

/* ---- the wake-up of a loop that closes ---- */

/* Takes many passes of the other loop, whatever it is told. */
static intptr_t dawdle(void *started)
{
	atomic_store((atomic_int *)started, 1);
	for (int i = 0; i < 20000; i++)
		(void)!knit_sleep(0);
	return 4;
}

static intptr_t call_dawdler(void *arg)
{
	struct call *call = arg;

	call->result = knit_run_on(call->there, dawdle, &call->started);
	return call->result;
}

Test(closing_calls, a_closing_loop_sleeps_until_the_answer_comes)
{
	struct worker worker = {0};
	knit_loop *loop = knit_loop_new();
	struct call call = {0};
	knit_task *task;
	uint64_t passes;

	worker_start(&worker);
	call.there = worker.loop;
	knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL);
	task = knit_loop_create_task(loop, call_dawdler, &call);
	run_until_started(loop, &call);
	passes = loop->counters.passes;
	knit_loop_stop(loop);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(call.result, 4);
	cr_assert_lt(loop->counters.passes - passes, 10);
	knit_task_unref(task);
	knit_loop_unref(loop);
	worker_stop(&worker);
}

/* Runs while its loop closes: the kernel ends the multishot poll of the eventfd, as it may. */
static intptr_t end_the_poll(void *arg)
{
	knit_loop *loop = knit_get_running_loop();

	(void)arg;
	(void)!knit_sleep(KNIT_FOREVER);
	kn_engine_cancel(loop->engine, &loop->wake_op);
	return 0;
}

Test(closing_calls, the_answer_wakes_it_even_if_the_kernel_has_ended_the_poll)
{
	struct worker worker = {0};
	knit_loop *loop = knit_loop_new();
	struct call call = {0};
	knit_task *tasks[2];

	worker_start(&worker);
	call.there = worker.loop;
	knit_loop_set_exception_handler(loop, rig_ignore_exception, NULL);
	tasks[0] = knit_loop_create_task(loop, call_dawdler, &call);
	tasks[1] = knit_loop_create_task(loop, end_the_poll, NULL);
	run_until_started(loop, &call);
	/* A lost wake-up would last for the whole grace period. */
	loop->grace = 200 * KNIT_S;
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(call.result, 4);
	knit_task_unref(tasks[0]);
	knit_task_unref(tasks[1]);
	knit_loop_unref(loop);
	worker_stop(&worker);
}

/* ---- both sides ---- */

enum { CALLS = 20 };

struct side {
	knit_loop *loop;
	struct side *other;
	struct call calls[CALLS];
	atomic_int *ready; /* sides whose calls have all started */
	int close;
	int reports;
};

static bool all_started(struct side *side)
{
	int started = 0;

	for (int i = 0; i < CALLS; i++)
		started += atomic_load(&side->calls[i].started);
	return started == CALLS;
}

static void *side_body(void *arg)
{
	struct side *side = arg;
	knit_task *tasks[CALLS];
	bool told = false;

	(void)knit_loop_run_once(side->loop, 0);
	for (int i = 0; i < CALLS; i++) {
		side->calls[i].there = side->other->loop;
		tasks[i] = knit_loop_create_task(side->loop, call_over, &side->calls[i]);
	}
	while (atomic_load(side->ready) < 2) {
		(void)knit_loop_run_once(side->loop, 0);
		if (!told && all_started(side)) {
			told = true;
			atomic_fetch_add(side->ready, 1);
		}
		sched_yield();
	}
	side->close = knit_loop_close(side->loop);
	for (int i = 0; i < CALLS; i++)
		knit_task_unref(tasks[i]);
	return NULL;
}

Test(closing_calls, two_loops_that_wait_for_each_other_close_at_once)
{
	int rounds = (int)test_scale(50, 15, 15, 3);

	for (int round = 0; round < rounds; round++) {
		atomic_int ready = 0;
		struct side sides[2] = {{.ready = &ready}, {.ready = &ready}};
		pthread_t threads[2];

		for (int i = 0; i < 2; i++) {
			sides[i].loop = knit_loop_new();
			sides[i].other = &sides[1 - i];
			knit_loop_set_exception_handler(sides[i].loop, rig_count_exception,
			                                &sides[i].reports);
		}
		for (int i = 0; i < 2; i++)
			threads[i] = rig_thread(side_body, &sides[i]);
		for (int i = 0; i < 2; i++)
			rig_join(threads[i]);
		for (int i = 0; i < 2; i++) {
			cr_assert_eq(sides[i].close, 0);
			for (int j = 0; j < CALLS; j++) {
				intptr_t result = sides[i].calls[j].result;

				cr_assert(sides[i].calls[j].returned);
				cr_assert(result == -KNIT_ECANCELLED || result == -KNIT_ECLOSED,
				          "%s", knit_errname((int)result));
			}
			knit_loop_unref(sides[i].loop);
		}
	}
}

/* ---- an answer that comes too late ---- */

static struct {
	struct call call;
	sem_t go;
	knit_loop *loop; /* kept for good, and seen to be */
	knit_task *caller;
} late;

/* Keeps its thread until the caller's loop has given up waiting. */
static intptr_t answer_late(void *started)
{
	atomic_store((atomic_int *)started, 1);
	while (sem_wait(&late.go) < 0)
		;
	return 4;
}

static intptr_t call_and_wait(void *arg)
{
	(void)arg;
	late.call.result = knit_run_on(late.call.there, answer_late, &late.call.started);
	late.call.returned = true;
	return late.call.result;
}

static bool has_a_post(void *loop)
{
	return kn_inbox_pending(&((knit_loop *)loop)->inbox);
}

/* It unwinds because the caller was given up, and has the answer come before posts are refused. */
static intptr_t await_the_caller(void *arg)
{
	intptr_t outcome = knit_await(knit_task_ref(late.caller));

	(void)arg;
	sem_post(&late.go);
	rig_until(has_a_post, late.loop);
	return outcome;
}

Test(closing_calls, an_answer_that_comes_too_late_wakes_nobody)
{
	struct worker worker = {0};
	knit_task *awaiting;

	sem_init(&late.go, 0, 0);
	worker_start(&worker);
	late.call.there = worker.loop;
	late.loop = knit_loop_new();
	late.loop->grace = 20 * KNIT_MS;
	knit_loop_set_exception_handler(late.loop, rig_ignore_exception, NULL);
	late.caller = knit_loop_create_task(late.loop, call_and_wait, NULL);
	awaiting = knit_loop_create_task(late.loop, await_the_caller, NULL);
	run_until_started(late.loop, &late.call);
	cr_assert_eq(knit_loop_close(late.loop), -EBUSY);
	cr_assert_eq(knit_task_result(late.caller), -KNIT_ECLOSED);
	cr_assert_eq(knit_task_result(awaiting), -KNIT_ECLOSED);
	cr_assert_not(late.call.returned, "it went on after it had been given up");
	knit_task_unref(awaiting);
	worker_stop(&worker);
}
