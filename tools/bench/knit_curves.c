/* SPDX-License-Identifier: MIT */
/* knit_curves.c - does the cost of one grow with the number of the others?
 *
 * Each row is one point of a curve: rounds of as many tasks, timers or members as its argument
 * says, the same number of them in all whatever the size of a round. The first round makes the
 * memory that the others use and is not counted. Only the part that the curve is about lies
 * between two readings of the clock. */
#include <stdlib.h>
#include "knit_rows.h"

struct round {
	long size;
	knit_task **tasks; /* room for size */
	intptr_t *outcomes;
	knit_handle *handles;
	bool has_timers; /* the handles are of live ones */
};

/* Runs one round; CPU ns of what is measured. */
typedef uint64_t one_round(struct round *round);

struct curve {
	one_round *run;
	struct round round;
	double ns;
};

static void *array(long count, size_t size)
{
	void *memory = calloc((size_t)count, size);

	if (!memory)
		bench_die("calloc");
	return memory;
}

static intptr_t curve_main(void *arg)
{
	struct curve *curve = arg;
	long size = curve->round.size, done = 0;
	uint64_t sum = 0;

	curve->round.tasks = array(size, sizeof(*curve->round.tasks));
	curve->round.outcomes = array(size, sizeof(*curve->round.outcomes));
	curve->round.handles = array(size, sizeof(*curve->round.handles));
	(void)curve->run(&curve->round);
	while (done < bench_counts.curve) {
		sum += curve->run(&curve->round);
		done += size;
	}
	curve->ns = (double)sum / (double)done;
	free(curve->round.tasks);
	free(curve->round.outcomes);
	free(curve->round.handles);
	return 0;
}

static int draw(const struct workload *workload, one_round *run, uint32_t clock, double *ret_value)
{
	struct curve curve = {
	        .run = run,
	        .round = {.size = bench_divided(workload->argument)},
	};

	must(knit_run(curve_main, &curve, .clock = clock));
	*ret_value = curve.ns;
	return 0;
}

static intptr_t nothing(void *arg)
{
	(void)arg;
	return 0;
}

static void create_all(struct round *round)
{
	for (long i = 0; i < round->size; i++)
		round->tasks[i] = knit_create_task(nothing, NULL);
}

/* ---- tasks ---- */

static uint64_t spawn_round(struct round *round)
{
	uint64_t start = bench_cpu_ns();

	create_all(round);
	for (long i = 0; i < round->size; i++)
		must(knit_await(round->tasks[i]));
	return bench_cpu_ns() - start;
}

int knit_curve_spawn(const struct workload *workload, double *ret_value)
{
	return draw(workload, spawn_round, KNIT_CLOCK_MONOTONIC, ret_value);
}

static intptr_t sleep_long(void *arg)
{
	(void)arg;
	return knit_sleep(3600 * KNIT_S);
}

/* All are asleep; then each is cancelled, wakes, and is awaited. */
static uint64_t cancel_round(struct round *round)
{
	uint64_t start;

	for (long i = 0; i < round->size; i++)
		round->tasks[i] = knit_create_task(sleep_long, NULL);
	must(knit_sleep(0));
	start = bench_cpu_ns();
	for (long i = 0; i < round->size; i++)
		knit_task_cancel(round->tasks[i], NULL);
	for (long i = 0; i < round->size; i++) {
		if (knit_await(round->tasks[i]) != -KNIT_ECANCELLED)
			must(-EBADMSG);
	}
	return bench_cpu_ns() - start;
}

int knit_curve_cancel(const struct workload *workload, double *ret_value)
{
	if (bench_mem_available() < bench_divided(workload->argument) * 8192)
		return bench_skip("not enough memory");
	return draw(workload, cancel_round, KNIT_CLOCK_MONOTONIC, ret_value);
}

static uint64_t gather_round(struct round *round)
{
	uint64_t start = bench_cpu_ns();

	create_all(round);
	must(knit_gather(round->tasks, (size_t)round->size, round->outcomes));
	return bench_cpu_ns() - start;
}

int knit_curve_gather(const struct workload *workload, double *ret_value)
{
	return draw(workload, gather_round, KNIT_CLOCK_MONOTONIC, ret_value);
}

static uint64_t wait_round(struct round *round)
{
	uint64_t start = bench_cpu_ns();

	create_all(round);
	must(knit_wait(round->tasks, (size_t)round->size, KNIT_FOREVER, KNIT_ALL_COMPLETED));
	for (long i = 0; i < round->size; i++)
		must(knit_await(round->tasks[i]));
	return bench_cpu_ns() - start;
}

int knit_curve_wait(const struct workload *workload, double *ret_value)
{
	return draw(workload, wait_round, KNIT_CLOCK_MONOTONIC, ret_value);
}

/* ---- timers, on a clock that jumps: waiting takes no time, and no system call ---- */

static uint64_t random_state = BENCH_SEED;
static long fired;
static knit_future *all_fired;

static void fire(void *arg)
{
	(void)arg;
	if (--fired == 0)
		must(knit_future_set_result(all_fired, 0));
}

/* As many deadlines in a millisecond at every size: a thousand. */
static int64_t random_delay(long size)
{
	return (int64_t)(1 + bench_random(&random_state) % (uint64_t)size) * KNIT_US;
}

static uint64_t timer_round(struct round *round)
{
	uint64_t start = bench_cpu_ns();

	fired = round->size;
	all_fired = knit_future_new();
	for (long i = 0; i < round->size; i++)
		must(knit_handle_error(
		        knit_loop_call_later(NULL, random_delay(round->size), fire, NULL)));
	must(knit_await(all_fired));
	return bench_cpu_ns() - start;
}

int knit_curve_timer(const struct workload *workload, double *ret_value)
{
	return draw(workload, timer_round, KNIT_CLOCK_VIRTUAL, ret_value);
}

static void never(void *arg)
{
	(void)arg;
	must(-EBADMSG);
}

/* Live timers are cancelled and created anew, one after the other. They are made in the first
 * round and live until the loop is closed. */
static uint64_t timer_cancel_round(struct round *round)
{
	uint64_t start = bench_cpu_ns();

	for (long i = 0; i < round->size; i++) {
		if (round->has_timers && !knit_handle_cancel(round->handles[i]))
			must(-EBADMSG);
		round->handles[i] = knit_loop_call_later(
		        NULL, 60 * KNIT_S + random_delay(round->size), never, NULL);
	}
	must(knit_sleep(0));
	round->has_timers = true;
	return bench_cpu_ns() - start;
}

int knit_curve_timer_cancel(const struct workload *workload, double *ret_value)
{
	return draw(workload, timer_cancel_round, KNIT_CLOCK_VIRTUAL, ret_value);
}

/* ---- a wait set: one member is completed and taken, beside all the others ---- */

static intptr_t wait_set_main(void *arg)
{
	struct curve *curve = arg;
	long count = bench_counts.curve;
	knit_wait_set set;
	uint64_t start;

	must(knit_wait_set_init(&set));
	for (long i = 0; i < curve->round.size; i++)
		must(knit_wait_set_add(&set, knit_future_new(), NULL));
	start = bench_cpu_ns();
	for (long i = 0; i < count; i++) {
		knit_future *future = knit_future_new(), *next;

		must(knit_wait_set_add(&set, future, NULL));
		must(knit_future_set_result(future, 0));
		must(knit_wait_set_next(&set, &next, NULL));
		must(knit_await(next));
	}
	curve->ns = (double)(bench_cpu_ns() - start) / (double)count;
	must(knit_wait_set_done(&set));
	return 0;
}

int knit_curve_wait_set(const struct workload *workload, double *ret_value)
{
	struct curve curve = {.round = {.size = bench_divided(workload->argument)}};

	must(knit_run(wait_set_main, &curve));
	*ret_value = curve.ns;
	return 0;
}
