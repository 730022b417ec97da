/* SPDX-License-Identifier: MIT */
/* report.h - what knit-bench prints about figures. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H
#include "measure.h"

/* The rows of one workload: a line for each, its spread, its second figure; for knit's the ratio to
 * each of the others. */
void report_lines(struct figure *const *group, int count);

/* The same as objects of a JSON array; @is_first: of the array. */
void report_json(struct figure *const *group, int count, bool is_first);

/* Curves as a table, a line each, with the growth from the first point to the last. */
void report_curves(const struct figure *figures, int count);

/* Why a row has no figure, on stderr; false if that is a failure. */
bool report_explain(const struct figure *figure);
#endif
