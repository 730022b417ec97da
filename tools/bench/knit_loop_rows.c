/* SPDX-License-Identifier: MIT */
/* knit_loop_rows.c - the workloads of one loop: tasks, timers, callbacks.
 *
 * Each is a main task that reads the clock before and after, and leaves the figure where its
 * argument points. */
#include <stdlib.h>
#include "knit_rows.h"

static int run(knit_coro *main, double *ret_value)
{
	must(knit_run(main, ret_value));
	return 0;
}

static intptr_t nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* ---- W1, W2 ---- */

static intptr_t yield_on(void *arg)
{
	long count = bench_counts.switches / 2;

	(void)arg;
	for (long i = 0; i < count; i++)
		must(knit_sleep(0));
	return 0;
}

static intptr_t yield_main(void *ret_value)
{
	uint64_t start = bench_cpu_ns();
	knit_task *a = knit_create_task(yield_on, NULL);
	knit_task *b = knit_create_task(yield_on, NULL);

	must(knit_await(a));
	must(knit_await(b));
	*(double *)ret_value = (double)(bench_cpu_ns() - start) / bench_counts.switches;
	return 0;
}

int knit_yield(const struct workload *workload, double *ret_value)
{
	(void)workload;
	return run(yield_main, ret_value);
}

static intptr_t spawn_join_main(void *ret_value)
{
	long count = bench_counts.spawns;
	uint64_t start = bench_cpu_ns();

	for (long i = 0; i < count; i++)
		must(knit_await(knit_create_task(nothing, NULL)));
	*(double *)ret_value = (double)(bench_cpu_ns() - start) / (double)count;
	return 0;
}

int knit_spawn_join(const struct workload *workload, double *ret_value)
{
	(void)workload;
	return run(spawn_join_main, ret_value);
}

static double batch(knit_task **tasks)
{
	long count = bench_counts.batch;
	uint64_t start = bench_cpu_ns();

	for (long i = 0; i < count; i++)
		tasks[i] = knit_create_task(nothing, NULL);
	for (long i = 0; i < count; i++)
		must(knit_await(tasks[i]));
	return (double)(bench_cpu_ns() - start) / (double)count;
}

static intptr_t cold_main(void *ret_value)
{
	knit_task **tasks = malloc((size_t)bench_counts.batch * sizeof(*tasks));

	if (!tasks)
		return -ENOMEM;
	*(double *)ret_value = batch(tasks);
	free(tasks);
	return 0;
}

static intptr_t warm_main(void *ret_value)
{
	intptr_t r = cold_main(ret_value);

	return r < 0 ? r : cold_main(ret_value);
}

int knit_spawn_batch(const struct workload *workload, double *ret_value)
{
	return run(workload->argument ? warm_main : cold_main, ret_value);
}

/* ---- W3 ---- */

static intptr_t sleep_an_hour(void *arg)
{
	(void)arg;
	(void)!knit_sleep(3600 * KNIT_S);
	return 0;
}

static long idle_tasks;

/* Each is asleep before the next is created, as with the peers. */
static intptr_t idle_main(void *ret_value)
{
	long before = bench_mem_bytes();

	for (long i = 0; i < idle_tasks; i++) {
		must(knit_spawn(sleep_an_hour, NULL));
		must(knit_sleep(0));
	}
	*(double *)ret_value = (double)(bench_mem_bytes() - before) / (double)idle_tasks;
	return 0;
}

int knit_idle(const struct workload *workload, double *ret_value)
{
	idle_tasks = bench_divided(workload->argument);
	/* A stack of 64 KiB takes a page table entry for each page, and shares its table. */
	if (bench_mem_available() < idle_tasks * 8192)
		return bench_skip("not enough memory");
	return run(idle_main, ret_value);
}

/* ---- W4, W4b ---- */

static uint64_t random_state = BENCH_SEED;
static long left;
static knit_future *all_done;

static int64_t random_delay(void)
{
	return (int64_t)(1 + bench_random(&random_state) % (uint64_t)bench_counts.timer_ms) *
	       KNIT_MS;
}

static void one_done(void)
{
	if (--left == 0)
		must(knit_future_set_result(all_done, 0));
}

static intptr_t sleep_for_a_while(void *arg)
{
	(void)arg;
	must(knit_sleep(random_delay()));
	one_done();
	return 0;
}

static intptr_t sleep_task_main(void *ret_value)
{
	long count = left = bench_counts.timers;
	uint64_t start = bench_cpu_ns();

	all_done = knit_future_new();
	for (long i = 0; i < count; i++)
		must(knit_spawn(sleep_for_a_while, NULL));
	must(knit_await(all_done));
	*(double *)ret_value = (double)(bench_cpu_ns() - start) / (double)count;
	return 0;
}

int knit_sleep_task(const struct workload *workload, double *ret_value)
{
	(void)workload;
	return run(sleep_task_main, ret_value);
}

static void timer_fired(void *arg)
{
	(void)arg;
	one_done();
}

static intptr_t timer_callbacks_main(void *ret_value)
{
	long count = left = bench_counts.timers;
	uint64_t start = bench_cpu_ns();

	all_done = knit_future_new();
	for (long i = 0; i < count; i++)
		must(knit_handle_error(
		        knit_loop_call_later(NULL, random_delay(), timer_fired, NULL)));
	must(knit_await(all_done));
	*(double *)ret_value = (double)(bench_cpu_ns() - start) / (double)count;
	return 0;
}

int knit_timer_callbacks(const struct workload *workload, double *ret_value)
{
	(void)workload;
	return run(timer_callbacks_main, ret_value);
}

static intptr_t timer_cancel_main(void *ret_value)
{
	static knit_handle handles[BENCH_CANCEL_TIMERS];
	long rounds = bench_counts.cancels;
	uint64_t start;

	for (int i = 0; i < BENCH_CANCEL_TIMERS; i++)
		handles[i] = knit_loop_call_later(NULL, (60 + i % 60) * KNIT_S, timer_fired, NULL);
	start = bench_cpu_ns();
	for (long round = 0; round < rounds; round++) {
		for (int i = 0; i < BENCH_CANCEL_TIMERS; i++) {
			if (!knit_handle_cancel(handles[i]))
				return -EINVAL;
			handles[i] = knit_loop_call_later(NULL, (60 + (i + round) % 60) * KNIT_S,
			                                  timer_fired, NULL);
		}
		must(knit_sleep(0));
	}
	*(double *)ret_value = (double)(bench_cpu_ns() - start) /
	                       ((double)BENCH_CANCEL_TIMERS * (double)rounds);
	return 0;
}

int knit_timer_cancel(const struct workload *workload, double *ret_value)
{
	(void)workload;
	return run(timer_cancel_main, ret_value);
}

/* ---- W5 ---- */

static void post_again(void *loop)
{
	if (--left > 0)
		knit_loop_call_soon(loop, post_again, loop);
	else
		knit_loop_stop(loop);
}

int knit_call_soon(const struct workload *workload, double *ret_value)
{
	knit_loop *loop = knit_loop_new();
	uint64_t start;

	(void)workload;
	if (!loop)
		return -errno;
	left = bench_counts.soons;
	knit_loop_call_soon(loop, post_again, loop);
	start = bench_cpu_ns();
	must(knit_loop_run_forever(loop));
	*ret_value = (double)(bench_cpu_ns() - start) / (double)bench_counts.soons;
	knit_loop_unref(loop);
	return 0;
}
