/* SPDX-License-Identifier: MIT */
/* test_bench.c - knit-bench: how it measures and what it prints; never how fast it was. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
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
	return bench_skip("too hot here");
}

static int give_rate(const struct workload *workload, double *ret_value)
{
	bench_note_rate((double)workload->argument);
	*ret_value = 1;
	return 0;
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
	cr_expect_str_eq(figure.reason, "too hot here");
}

Test(bench, a_row_may_have_a_second_figure)
{
	struct workload workload = {.run = give_rate, .argument = 12};
	struct figure figure = measured(&workload, 2);
	cr_assert_eq(figure.runs, 2);
	cr_expect_float_eq(figure.rates[0], 12, 0);
	cr_expect_float_eq(figure.rates[1], 12, 0);
	cr_expect_float_eq(bench_rate(), 0, 0);
}

Test(bench, counts_are_divided_down_to_one)
{
	long posts = bench_counts.posts;
	bench_divide(1000);
	cr_expect_eq(bench_counts.posts, posts / 1000);
	cr_expect_eq(bench_counts.cancels, 1);
	cr_expect_eq(bench_divided(100000), 100);
	cr_expect_eq(bench_divided(999), 1);
	cr_expect_gt(bench_counts.ping_ns, 0);
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

Test(bench, a_summary_tells_the_least_and_the_greatest)
{
	static const double values[] = {9, 1, 4, 5};
	struct summary summary = measure_summary(values, 4);
	cr_expect_float_eq(summary.min, 1, 0);
	cr_expect_float_eq(summary.median, 4.5, 0);
	cr_expect_float_eq(summary.max, 9, 0);
	cr_expect_eq(summary.runs, 4);
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

/* Does @text have a line that begins with @words and ends with @end (NULL: with anything)? */
static bool has_line(const char *text, const char *words, const char *end)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += !!line) {
		size_t length = strcspn(line, "\n"), tail = end ? strlen(end) : 0;
		if (strncmp(line, words, strlen(words)) == 0 && length >= tail &&
		    strncmp(line + length - tail, end ? end : "", tail) == 0)
			return true;
	}
	return false;
}

Test(bench, prints_a_line_a_figure_and_its_spread)
{
	struct command command;
	double value, min, median, max;
	int end = 0;

	command_run(&command, "knit-bench", "--peer " QUICK_PEER " --runs 2 --divide 10");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect_eq(sscanf(command.out,
	                    QUICK_PEER " " QUICK_WORKLOAD " %lf ns\n# " QUICK_PEER
	                               " " QUICK_WORKLOAD " min %lf median %lf max %lf runs 2\n%n",
	                    &value, &min, &median, &max, &end),
	             4, "%s", command.out);
	cr_expect_eq((size_t)end, strlen(command.out), "%s", command.out);
	cr_expect_gt(min, 0);
	cr_expect_float_eq(value, median, 0);
	cr_expect_leq(min, median);
	cr_expect_leq(median, max);
	command_free(&command);
}

/* Which may be skipped for want of memory or CPUs, but not fail. */
Test(bench, every_row_of_the_table_runs)
{
	static const char *const always[] = {
	        "W1_yield",     "W2_spawn_join", "W2b_spawn_batch_cold",
	        "W4_timer_cb",  "W4b_cancel",    "W5_call_soon",
	        "W7_queue_1",   "W7_queue_128",  "W2b_spawn_batch_warm",
	        "W3_idle_100k", "W4_sleep_task"};
	struct command command;

	command_run(&command, "knit-bench", "--raw --runs 1 --divide 10000");
	cr_expect_eq(command.status, 0, "%s", command.err);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		char words[64];
		snprintf(words, sizeof(words), "knit %s ", always[i]);
		cr_expect(has_line(command.out, words, NULL), "no %s in %s", words, command.out);
	}
	cr_expect(has_line(command.out, "ratio W4b_cancel ", " knit/raw"), "%s", command.out);
	command_free(&command);
}

Test(bench, draws_the_curves_as_a_table)
{
	struct command command;

	command_run(&command, "knit-bench",
	            "curves --workload C_spawn* --workload C_timer* --runs 1 --divide 1000");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect(has_line(command.out, "knit C_spawn_1M ", " ns"), "%s", command.out);
	cr_expect(has_line(command.out, "raw C_timer_cancel_1k ", " ns"), "%s", command.out);
	cr_expect(has_line(command.out, "# knit   C_timer_cancel   ", NULL), "%s", command.out);
	cr_expect_not_null(strstr(command.out, " growth: "), "%s", command.out);
	command_free(&command);
}

Test(bench, every_curve_runs)
{
	struct command command;

	command_run(&command, "knit-bench", "curves --runs 1 --divide 100000");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect(has_line(command.out, "knit C_cancel_10k ", " ns"), "%s", command.out);
	cr_expect(has_line(command.out, "knit C_gather_100k ", " ns"), "%s", command.out);
	cr_expect(has_line(command.out, "knit C_wait_1M ", " ns"), "%s", command.out);
	cr_expect(has_line(command.out, "knit C_wait_set_1M ", " ns"), "%s", command.out);
	command_free(&command);
}

Test(bench, reads_a_file_that_it_makes_and_removes)
{
	struct command command;
	char folder[] = "/tmp/knit-bench-test-XXXXXX";

	cr_assert_not_null(mkdtemp(folder));
	setenv("TMPDIR", folder, 1);
	command_run(&command, "knit-bench", "file --runs 1 --size 1M --seconds 0.02");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect(has_line(command.out, "knit W11_file_cached ", " us-cpu/op"), "%s", command.out);
	cr_expect(has_line(command.out, "knit W11_file_cached ", " IOPS"), "%s", command.out);
	cr_expect(has_line(command.out, "ratio W11_file_cached ", " knit/raw-pread-QD1"), "%s",
	          command.out);
	/* Or the reason why not. */
	cr_expect(
	        has_line(command.out, "knit W11_file_direct ", " us-cpu/op") ||
	                has_line(command.err, "knit-bench: knit W11_file_direct: skipped: ", NULL),
	        "%s%s", command.out, command.err);
	cr_expect_eq(rmdir(folder), 0, "something is left in %s", folder);
	command_free(&command);
}

Test(bench, reads_a_file_that_is_there_and_leaves_it)
{
	struct command command;
	char path[] = "/tmp/knit-bench-test-XXXXXX", page[4096] = "?";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(write(fd, page, sizeof(page)), (ssize_t)sizeof(page));
	command_run(&command, "knit-bench",
	            "--workload W11_file_cached --runs 1 --seconds 0.02 --file %s", path);
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect(has_line(command.out, "knit W11_file_cached ", " us-cpu/op"), "%s", command.out);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 16 * (off_t)sizeof(page));
	cr_expect_eq(unlink(path), 0);
	close(fd);
	command_free(&command);
}

Test(bench, draws_figures_of_others_beside_its_own)
{
	struct command command;
	char plot[] = "/tmp/knit-bench-test-XXXXXX", others[] = "/tmp/knit-bench-test-XXXXXX";
	static const char lines[] = "# a remark of four words\n"
	                            "a<b " QUICK_WORKLOAD " 12.5 ns\n"
	                            "ratio " QUICK_WORKLOAD " 2 knit/a\n"
	                            "other W11_file 7000 IOPS\n"
	                            "other W99_else 3 us\n"
	                            "no\001name W99_else 4 us\n"
	                            "no\377text W99_else 5 us\n";
	char *text = calloc(1, 1 << 20);
	int plot_fd = mkstemp(plot), others_fd = mkstemp(others);

	cr_assert(text && plot_fd >= 0 && others_fd >= 0);
	cr_assert_eq(write(others_fd, lines, sizeof(lines) - 1), (ssize_t)sizeof(lines) - 1);
	command_run(&command, "knit-bench",
	            "--peer " QUICK_PEER " --runs 1 --divide 100 --plot %s --with %s", plot,
	            others);
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_assert_gt(pread(plot_fd, text, (1 << 20) - 1, 0), 0);
	cr_expect_not_null(strstr(text, "<svg "));
	cr_expect_not_null(strstr(text, "</svg>"));
	cr_expect_not_null(strstr(text, ">" QUICK_PEER "</text>"));
	cr_expect_not_null(strstr(text, ">a&lt;b</text>"));
	cr_expect_not_null(strstr(text, ">W99_else, us</text>"));
	cr_expect_null(strstr(text, "ratio"));
	cr_expect_null(strstr(text, "W11_file"));
	cr_expect_null(strstr(text, "name</text>"), "of what XML cannot say");
	cr_expect_null(strstr(text, "text</text>"));
	close(plot_fd);
	close(others_fd);
	unlink(plot);
	unlink(others);
	free(text);
	command_free(&command);
}

Test(bench, prints_json)
{
	struct command command;
	command_run(&command, "knit-bench",
	            "--peer " QUICK_PEER " --json --workload W*[ht] --runs 2 --divide 10");
	cr_expect_eq(command.status, 0, "%s", command.err);
	cr_expect_not_null(strstr(command.out, "{\"runs\": 2, \"figures\": ["), "%s", command.out);
	cr_expect_not_null(strstr(command.out, "\"workload\": \"" QUICK_WORKLOAD "\""), "%s",
	                   command.out);
	cr_expect_not_null(strstr(command.out, "\"min\": "), "%s", command.out);
	cr_expect_not_null(strstr(command.out, "\"runs\": 2, \"values\": ["), "%s", command.out);
	cr_expect_not_null(strstr(command.out, "\n]}\n"), "%s", command.out);
	command_free(&command);
}

Test(bench, refuses_bad_options)
{
	static const struct {
		const char *arguments, *text;
	} cases[] = {
	        {"--runs 0", "--runs 0"},       {"--runs 102", "'102'"},
	        {"--runs 3x", "'3x'"},          {"--workload W99", "no such workload"},
	        {"--colour", "--colour"},       {"W1_yield", "'W1_yield'"},
	        {"file curves", "'curves'"},    {"--divide 0", "'0'"},
	        {"--size 1T", "'1T'"},          {"--seconds 0", "'0'"},
	        {"--with /dev/null", "--plot"},
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
