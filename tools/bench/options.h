/* SPDX-License-Identifier: MIT */
/* options.h - the command line of knit-bench. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H
#include "bench.h"

#define PATTERNS_MAX 32

enum exit_status { EXIT_GOOD, EXIT_FAILED, EXIT_USAGE };

enum bench_set { SET_USUAL, SET_FILE, SET_CURVES };

struct options {
	enum bench_set set;
	const char *patterns[PATTERNS_MAX];
	int pattern_count;
	const char *results[PATTERNS_MAX]; /* --with */
	int result_count;
	const char *peer; /* a pattern; NULL: not given */
	const char *plot; /* a file; NULL: not given */
	int runs;
	bool lists, with_raw, is_json;
};

/* 0 to go on, or the exit status plus 1. */
int options_parse(struct options *options, int argc, char **argv);

/* Says what is wrong with @argument, which may be NULL. */
enum exit_status options_complain(const char *text, const char *argument);
#endif
