/* SPDX-License-Identifier: MIT */
/* knit_rows.h - the rows that run knit itself. */
#ifndef BENCH_KNIT_ROWS_H
#define BENCH_KNIT_ROWS_H
#include "bench.h"

int knit_yield(const struct workload *workload, double *ret_value);
int knit_spawn_join(const struct workload *workload, double *ret_value);
int knit_spawn_batch(const struct workload *workload, double *ret_value); /* argument: warm? */
int knit_idle(const struct workload *workload, double *ret_value);        /* argument: tasks */
int knit_sleep_task(const struct workload *workload, double *ret_value);
int knit_timer_callbacks(const struct workload *workload, double *ret_value);
int knit_timer_cancel(const struct workload *workload, double *ret_value);
int knit_call_soon(const struct workload *workload, double *ret_value);
int knit_pingpong(const struct workload *workload, double *ret_value); /* argument: CPU time? */
int knit_post(const struct workload *workload, double *ret_value);
int knit_gather_row(const struct workload *workload, double *ret_value);   /* argument: tasks */
int knit_wait_any_row(const struct workload *workload, double *ret_value); /* argument: members */
#endif
