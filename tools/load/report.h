/* SPDX-License-Identifier: MIT */
/* report.h - what knit-load prints: the progress line, the table, the JSON object. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H
#include <stdbool.h>
#include <stdint.h>
#include "options.h"
#include "tally.h"

/* What a progress line tells. */
struct progress {
	double elapsed; /* seconds since the threads began to connect */
	uint32_t open;
	uint64_t received;
	uint64_t failures;
	double rate; /* replies a second, since the line before */
};

/* Writes the line to stderr; on a terminal over the one before. */
void report_progress(const struct progress *progress);

/* Leaves the progress line behind, if there is one on a terminal. */
void report_progress_end(void);

/* Writes the result to stdout and the first error of each kind to stderr.
 * @measured_seconds is the length of the measured time. */
void report_result(const struct load_options *options, const struct tally *sum,
                   double measured_seconds);

#endif
