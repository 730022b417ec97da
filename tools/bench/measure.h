/* SPDX-License-Identifier: MIT */
/* measure.h - running a row in a process of its own, and what several runs say together. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H
#include "bench.h"

#define MEASURE_RUNS_MAX 101

struct figure {
	const struct workload *workload;
	const char *peer;
	int status; /* of the first run that was not 0; the rest are left out then */
	int runs;
	bool is_knit;
	double values[MEASURE_RUNS_MAX]; /* in the order of the runs */
	double rates[MEASURE_RUNS_MAX];  /* bench_note_rate() */
	char reason[96];                 /* why it was skipped */
};

/* Runs the row once more and notes what it gave. */
void measure(struct figure *figure);

/* What @count values, at least one, say together. */
struct summary {
	double min, median, max;
	int runs;
};
struct summary measure_summary(const double *values, int count);

/* Of the runs so far; at least one. */
double measure_median(const struct figure *figure);

/* For a status below 0. */
const char *measure_strerror(int status);

#endif
