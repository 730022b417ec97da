/* SPDX-License-Identifier: MIT */
/* knit_wait_rows.c - waiting on several: does the cost of one grow with the number of the others?
 */
#include <errno.h>
#include <knit.h>
#include <stdlib.h>
#include "knit_rows.h"

#define TASKS 1000000 /* of a row, in all */

static long size; /* of a round, or of the set */

static void must(intptr_t outcome)
{
	if (!knit_is_error(outcome))
		return;
	errno = (int)-outcome;
	bench_die(knit_error_message(outcome));
}

static intptr_t nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* ---- W8 ---- */

static void gather_round(knit_task **tasks, intptr_t *outcomes)
{
	for (long i = 0; i < size; i++)
		tasks[i] = knit_create_task(nothing, NULL);
	must(knit_gather(tasks, (size_t)size, outcomes));
}

/* The first round, which makes the memory that the others use, is not counted. */
static intptr_t gather_main(void *ret_value)
{
	knit_task **tasks = malloc((size_t)size * sizeof(*tasks));
	intptr_t *outcomes = malloc((size_t)size * sizeof(*outcomes));
	uint64_t start;

	if (!tasks || !outcomes)
		bench_die("malloc");
	gather_round(tasks, outcomes);
	start = bench_cpu_ns();
	for (long done = 0; done < TASKS; done += size)
		gather_round(tasks, outcomes);
	*(double *)ret_value = (double)(bench_cpu_ns() - start) / TASKS;
	free(tasks);
	free(outcomes);
	return 0;
}

int knit_gather_row(const struct workload *workload, double *ret_value)
{
	size = workload->argument;
	must(knit_run(gather_main, ret_value));
	return 0;
}

/* ---- W9 ---- */

static void take_one(knit_wait_set *set)
{
	knit_future *future = knit_future_new(), *next;

	must(knit_wait_set_add(set, future, NULL));
	must(knit_future_set_result(future, 0));
	must(knit_wait_set_next(set, &next, NULL));
	must(knit_await(next));
}

static intptr_t wait_any_main(void *ret_value)
{
	knit_wait_set set;
	uint64_t start;

	must(knit_wait_set_init(&set));
	for (long i = 0; i < size; i++)
		must(knit_wait_set_add(&set, knit_future_new(), NULL));
	start = bench_cpu_ns();
	for (long i = 0; i < TASKS; i++)
		take_one(&set);
	*(double *)ret_value = (double)(bench_cpu_ns() - start) / TASKS;
	must(knit_wait_set_done(&set));
	return 0;
}

int knit_wait_any_row(const struct workload *workload, double *ret_value)
{
	size = workload->argument;
	must(knit_run(wait_any_main, ret_value));
	return 0;
}
