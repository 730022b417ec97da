/* SPDX-License-Identifier: MIT */
/* test_bench.c - knit-bench: how it measures and what it prints; never how fast it was. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../../tools/bench/measure.h"
#include "../command.h"
#include "test.h"

/* A row that is soon done. */
#ifdef __x86_64__
#define QUICK_PEER     "asm-switch-jmp"
#define QUICK_WORKLOAD "W1_bare_switch"
#else
#define QUICK_PEER     "raw-mpsc-intrusive"
#define QUICK_WORKLOAD "W6b_post"
#endif

static int calls; /* in the process that calls */

static int give_argument(const struct workload *workload, double *ret_value)
{
	calls++;
	*ret_value = (double)(workload->argument + calls);
	return 0;
}

static int be_out_of_memory(const struct workload *workload, double *ret_value)
{
	(void)workload;
	*ret_value = 1;
	return -ENOMEM;
}

static int be_skipped(const struct workload *workload, double *ret_value)
{
	(void)workload;
	*ret_value = 1;
	return BENCH_SKIPPED;
}

static int be_killed(const struct workload *workload, double *ret_value)
{
	(void)workload;
	(void)ret_value;
	return raise(SIGKILL);
}

static int give_cpus(const struct workload *workload, double *ret_value)
{
	(void)workload;
	bench_remember_cpus(); /* now those that the measured process was given */
	*ret_value = bench_cpus();
	return 0;
}

static struct figure measured(const struct workload *workload, int runs)
{
	struct figure figure = {.workload = workload, .peer = "test"};
	bench_remember_cpus();
	for (int i = 0; i < runs; i++)
		measure(&figure);
	return figure;
}

Test(bench, every_run_has_a_process_of_its_own)
{
	struct workload workload = {.run = give_argument, .argument = 41};
	struct figure figure = measured(&workload, 3);
	cr_expect_eq(figure.status, 0);
	cr_assert_eq(figure.runs, 3);
	for (int i = 0; i < 3; i++)
		cr_expect_float_eq(figure.values[i], 42, 0);
	cr_expect_eq(calls, 0);
}

Test(bench, a_row_that_fails_is_not_run_again_and_has_no_figure)
{
	struct workload workload = {.run = be_out_of_memory};
	struct figure figure = measured(&workload, 3);
	cr_expect_eq(figure.status, -ENOMEM);
	cr_expect_eq(figure.runs, 0);
}

Test(bench, a_row_may_be_skipped)
{
	struct workload workload = {.run = be_skipped};
	struct figure figure = measured(&workload, 1);
	cr_expect_eq(figure.status, BENCH_SKIPPED);
	cr_expect_eq(figure.runs, 0);
}

Test(bench, a_row_that_crashes_costs_only_itself)
{
	struct workload workload = {.run = be_killed};
	struct figure figure = measured(&workload, 1);
	cr_expect_lt(figure.status, 0);
	cr_expect_eq(figure.runs, 0);
	cr_expect_str_eq(measure_strerror(figure.status), "the process ended without a figure");
}

Test(bench, a_row_of_one_thread_is_pinned_and_others_are_not)
{
	struct workload workload = {.run = give_cpus};
	struct figure figure = measured(&workload, 1);
	cr_assert_eq(figure.runs, 1);
	cr_expect_float_eq(figure.values[0], 1, 0);
	workload.spans_cpus = true;
	figure = measured(&workload, 1);
	cr_assert_eq(figure.runs, 1);
	cr_expect_float_eq(figure.values[0], bench_cpus(), 0);
}

Test(bench, the_median_is_the_middle_or_the_mean_of_two)
{
	struct figure figure = {.runs = 3, .values = {9, 1, 5}};
	cr_expect_float_eq(measure_median(&figure), 5, 0);
	figure = (struct figure){.runs = 4, .values = {9, 1, 4, 5}};
	cr_expect_float_eq(measure_median(&figure), 4.5, 0);
	figure = (struct figure){.runs = 1, .values = {7}};
	cr_expect_float_eq(measure_median(&figure), 7, 0);
}

Test(bench, lists_references_beside_knit)
{
	struct command command;
	command_run(&command, "knit-bench", "--list");
	cr_expect_eq(command.status, 0);
	cr_expect_not_null(strstr(command.out, "raw-uring-eventfd W6_pingpong us/rtt\n"), "%s",
	                   command.out);
	cr_expect_str_eq(command.err, "");
	command_free(&command);
}

Test(bench, prints_one_line_a_figure)
{
	struct command command;
	double value;
	int end = 0;

	command_run(&command, "knit-bench", "--peer " QUICK_PEER " --runs 1");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect_eq(sscanf(command.out, QUICK_PEER " " QUICK_WORKLOAD " %lf ns\n%n", &value, &end),
	             1, "%s", command.out);
	cr_expect_eq((size_t)end, strlen(command.out), "%s", command.out);
	cr_expect_gt(value, 0);
	command_free(&command);
}

Test(bench, prints_json)
{
	struct command command;
	command_run(&command, "knit-bench",
	            "--peer " QUICK_PEER " --json --workload W*[ht] --runs 2");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect_not_null(strstr(command.out, "{\"runs\": 2, \"figures\": ["), "%s", command.out);
	cr_expect_not_null(strstr(command.out, "\"workload\": \"" QUICK_WORKLOAD "\""), "%s",
	                   command.out);
	cr_expect_not_null(strstr(command.out, "\n]}\n"), "%s", command.out);
	command_free(&command);
}

Test(bench, refuses_bad_options)
{
	static const struct {
		const char *arguments, *text;
	} cases[] = {
	        {"--runs 0", "'0'"},      {"--runs 102", "'102'"},
	        {"--runs 3x", "'3x'"},    {"--workload W99", "no such workload"},
	        {"--colour", "--colour"}, {"W1_yield", "'W1_yield'"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct command command;
		command_run(&command, "knit-bench", "%s", cases[i].arguments);
		cr_expect_eq(command.status, 2, "%s", cases[i].arguments);
		cr_expect_not_null(strstr(command.err, cases[i].text), "%s: %s", cases[i].arguments,
		                   command.err);
		cr_expect_str_eq(command.out, "");
		command_free(&command);
	}
}
