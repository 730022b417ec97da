/* SPDX-License-Identifier: MIT */
/* test_random.c - random programs of tasks that wait for each other, for futures and for time,
 * cancel each other at any moment, swallow it or not; and what must hold for all of them:
 *
 *   an awaited task is done when the await returns
 *   each argument is freed once, each value was retrieved or is freed once
 *   nothing is left: no task, future, callback or registration
 *
 * A program is a sequence of numbers from a seed, so that a failure can be run again. */
#include "common.h"
#include <stdlib.h>
#include <string.h>
#include "loop/loop.h"

#define WORKERS 12
#define FUTURES 6
#define VALUES  4096

struct world {
	uint32_t random;
	knit_loop *loop; /* borrowed: the first worker keeps it in memory */
	knit_task *workers[WORKERS];
	knit_future *futures[FUTURES];
	int args, args_freed;
	intptr_t values;                 /* handed out so far */
	unsigned char retrieved[VALUES]; /* each at most 1 */
	unsigned char freed[VALUES];
	int callbacks, reports;
};

static struct world world;

static unsigned choose(unsigned bound)
{
	world.random = world.random * 1664525 + 1013904223;
	return (world.random >> 16) % bound;
}

/* ---- what is owned ------------------------------------------------------------------- */

static void free_arg(void *arg)
{
	world.args_freed++;
	free(arg);
}

static void free_value(intptr_t value)
{
	world.freed[value]++;
}

/* A value that must be retrieved or freed. */
static intptr_t new_value(void)
{
	cr_assert_lt(world.values + 1, VALUES);
	return ++world.values;
}

static intptr_t saw(intptr_t outcome)
{
	if (outcome > 0)
		world.retrieved[outcome] = 1;
	return outcome;
}

static void count_callback(knit_future *future, void *unused)
{
	(void)unused;
	cr_assert(knit_future_done(future));
	world.callbacks++;
}

static void count_report(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)context;
	(void)arg;
	world.reports++;
}

/* ---- what a worker may do -------------------------------------------------------------- */

static knit_future *some_future(void)
{
	return world.futures[choose(FUTURES)];
}

/* Waits for a worker with a higher number, so that there are no circles. */
static intptr_t await_worker(int self)
{
	int other = self + 1 + (int)choose(WORKERS);
	knit_task *task = other < WORKERS ? world.workers[other] : NULL;
	intptr_t outcome;

	if (!task)
		return 0;
	knit_task_ref(task);
	outcome = saw(knit_await(knit_task_ref(task)));
	if (outcome != -KNIT_ECLOSED)
		cr_assert(knit_task_done(task), "await returned before its target was done");
	knit_task_unref(task);
	return outcome;
}

/* Completes a future in one of three ways and puts another one in its place. */
static void complete_some_future(void)
{
	unsigned i = choose(FUTURES), how = choose(4);
	knit_future *future = world.futures[i], *next;

	if (how == 0)
		(void)knit_future_cancel(future, "future");
	else if (how == 1)
		(void)knit_future_set_exception(future, EIO, "future");
	else if (!knit_future_done(future))
		cr_assert_eq(knit_future_set_result(future, new_value()), 0);
	next = knit_future_new(.result_free = free_value);
	if (!next)
		return; /* the loop is being closed */
	knit_future_unref(future);
	world.futures[i] = next;
}

static void meddle(void)
{
	knit_task *task = world.workers[choose(WORKERS)];

	switch (choose(4)) {
	case 0:
		if (task)
			(void)knit_task_cancel(task, "worker");
		break;
	case 1:
		(void)knit_task_uncancel(knit_current_task(NULL));
		break;
	case 2:
		(void)knit_future_add_done_callback(some_future(), count_callback, NULL);
		break;
	default:
		if (task)
			(void)knit_task_add_done_callback(task, count_callback, NULL);
	}
}

static intptr_t child(void *arg)
{
	(void)arg;
	if (choose(2) && knit_sleep(choose(3) * KNIT_MS) < 0)
		return -KNIT_ECANCELLED;
	return choose(4) ? new_value() : knit_raise(EPIPE, "child");
}

static void *new_arg(int number)
{
	int *arg = malloc(sizeof(*arg));

	cr_assert_not_null(arg);
	*arg = number;
	world.args++;
	return arg;
}

static intptr_t make_a_child(void)
{
	void *arg = new_arg(0);
	knit_task *task = knit_create_task(child, arg, .arg_free = free_arg,
	                                   .result_free = free_value);

	if (!task) {
		free_arg(arg);
		return -KNIT_ECLOSED;
	}
	if (choose(3) == 0)
		(void)knit_task_cancel(task, "child");
	if (choose(2))
		return saw(knit_await(task));
	knit_task_unref(task);
	return 0;
}

static intptr_t step(int self)
{
	switch (choose(7)) {
	case 0:
		return knit_sleep(0);
	case 1:
		return knit_sleep(choose(5) * KNIT_MS);
	case 2:
		return saw(knit_await(knit_future_ref(some_future())));
	case 3:
		return await_worker(self);
	case 4:
		complete_some_future();
		return 0;
	case 5:
		return make_a_child();
	default:
		meddle();
		return 0;
	}
}

static intptr_t worker(void *arg)
{
	int self = *(int *)arg;

	for (int i = 0; i < 30; i++) {
		intptr_t outcome = step(self);

		if (outcome == -KNIT_ECLOSED)
			return outcome;
		if (outcome == -KNIT_ECANCELLED && choose(3))
			return outcome; /* else it is swallowed */
	}
	return choose(4) ? new_value() : knit_raise(EINVAL, "worker %d", self);
}

/* ---- a program ------------------------------------------------------------------------------ */

CORO(program)
{
	world.loop = knit_get_running_loop();
	cr_assert_eq(knit_loop_set_exception_handler(world.loop, count_report, NULL), 0);
	for (int i = 0; i < FUTURES; i++)
		world.futures[i] = knit_future_new(.result_free = free_value);
	for (int i = 0; i < WORKERS; i++)
		world.workers[i] = knit_create_task(worker, new_arg(i), .arg_free = free_arg,
		                                    .result_free = free_value);
	for (int i = 0; i < 40; i++) {
		int r = knit_sleep(choose(3) * KNIT_MS);

		if (r < 0 && r != -KNIT_ECANCELLED)
			return r;
		meddle();
		complete_some_future();
	}
	return 0; /* who is not done is cancelled now, or meets a closing loop */
}

static void run_program(uint32_t seed)
{
	intptr_t outcome;

	memset(&world, 0, sizeof(world));
	world.random = seed;
	outcome = knit_run(program, NULL, .clock = KNIT_CLOCK_VIRTUAL);
	/* -ETIMEDOUT: a worker that had swallowed its cancellation did not end by itself. */
	cr_assert(outcome == 0 || outcome == -KNIT_ECANCELLED || outcome == -ETIMEDOUT,
	          "seed %u: %s", seed, repr(outcome));
	for (int i = 1; i < WORKERS; i++) {
		cr_assert(knit_task_done(world.workers[i]), "seed %u", seed);
		knit_task_unref(world.workers[i]);
	}
	for (int i = 0; i < FUTURES; i++)
		knit_future_unref(world.futures[i]);
	/* The value of the first worker stays where it is until the end. */
	if (knit_task_result(world.workers[0]) > 0)
		saw(knit_task_result(world.workers[0]));
	cr_assert_eq(world.args_freed, world.args, "seed %u", seed);
	for (intptr_t v = 1; v <= world.values; v++)
		cr_assert_eq(world.retrieved[v] + world.freed[v], 1,
		             "seed %u: value %ld was retrieved %d times, freed %d times", seed,
		             (long)v, world.retrieved[v], world.freed[v]);
	cr_assert_eq(world.loop->tasks.live, 1, "seed %u", seed);
	cr_assert_eq(world.loop->futures.live, 0, "seed %u", seed);
	cr_assert_eq(world.loop->done_callbacks.live, 0, "seed %u", seed);
	cr_assert_eq(world.loop->callbacks.live, 0, "seed %u", seed);
	knit_task_unref(world.workers[0]);
}

Test(random, programs_leave_nothing_behind)
{
	long programs = test_scale(2000, 400, 200, 20);

	for (long seed = 1; seed <= programs; seed++)
		run_program((uint32_t)seed);
}
