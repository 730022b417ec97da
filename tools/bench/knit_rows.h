/* SPDX-License-Identifier: MIT */
/* knit_rows.h - the rows that run knit itself. */
#ifndef BENCH_KNIT_ROWS_H
#define BENCH_KNIT_ROWS_H
#include <errno.h>
#include <knit.h>
#include "bench.h"

/* A row that fails in the middle has no figure: it ends its process. */
static inline void must(intptr_t outcome)
{
	if (!knit_is_error(outcome))
		return;
	errno = (int)-outcome;
	bench_die(knit_error_message(outcome));
}

int knit_yield(const struct workload *workload, double *ret_value);
int knit_spawn_join(const struct workload *workload, double *ret_value);
int knit_spawn_batch(const struct workload *workload, double *ret_value); /* argument: warm? */
int knit_idle(const struct workload *workload, double *ret_value);        /* argument: tasks */
int knit_idle_aside(const struct workload *workload, double *ret_value);  /* argument: tasks */
int knit_sleep_task(const struct workload *workload, double *ret_value);
int knit_timer_callbacks(const struct workload *workload, double *ret_value);
int knit_timer_cancel(const struct workload *workload, double *ret_value);
int knit_call_soon(const struct workload *workload, double *ret_value);
enum { KNIT_PING_WALL, KNIT_PING_CPU, KNIT_PING_SPIN };
int knit_pingpong(const struct workload *workload, double *ret_value); /* argument: KNIT_PING_* */
int knit_post(const struct workload *workload, double *ret_value);
int knit_queue_items(const struct workload *workload, double *ret_value); /* argument: capacity */

/* The curves. The argument is the number of tasks, timers or members; of loops for the last. */
int knit_curve_spawn(const struct workload *workload, double *ret_value);
int knit_curve_cancel(const struct workload *workload, double *ret_value);
int knit_curve_timer(const struct workload *workload, double *ret_value);
int knit_curve_timer_cancel(const struct workload *workload, double *ret_value);
int knit_curve_gather(const struct workload *workload, double *ret_value);
int knit_curve_wait(const struct workload *workload, double *ret_value);
int knit_curve_wait_set(const struct workload *workload, double *ret_value);
int knit_curve_post(const struct workload *workload, double *ret_value);

/* The argument is a sum of the variants. */
int knit_file_read(const struct workload *workload, double *ret_value);
enum { KNIT_FILE_DIRECT = 1, KNIT_FILE_MIN_WAIT = 2 };
#endif
