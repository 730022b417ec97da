/* SPDX-License-Identifier: MIT */
/* main.c - knit-bench: which workloads to run, how often, in which order.
 *
 * The rows of one workload, knit's and the references', run in turn and begin elsewhere
 * each time, so that a machine that becomes slower or faster in the meantime does so for
 * all of them; their ratio means more than either figure. */
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "measure.h"

#define ROWS_MAX     128
#define PATTERNS_MAX 32
#define RUNS         3

enum exit_status { EXIT_GOOD, EXIT_FAILED, EXIT_USAGE };

struct options {
	const char *patterns[PATTERNS_MAX];
	int pattern_count;
	const char *peer; /* a pattern; NULL: not given */
	int runs;
	bool lists, with_raw, is_json;
};

struct rows {
	struct figure figures[ROWS_MAX];
	int count;
	int knit_count; /* knit's come first */
};

static void print_help(void)
{
	printf("Usage: knit-bench [OPTION]...\n"
	       "Measures knit on the workloads that tools/bench/README.md defines.\n\n"
	       "  --workload NAME  only this one; may be repeated, and be a pattern like 'W6*'\n"
	       "  --runs N         runs of each, of which the median is told (%d)\n"
	       "  --raw            the references as well, and knit's ratio to each\n"
	       "  --peer NAME      only rows of this one, references too; may be a pattern\n"
	       "  --list           print what there is and exit\n"
	       "  --json           print one JSON object\n"
	       "  --help           print this and exit\n\n"
	       "Lines are PEER WORKLOAD VALUE UNIT. Exit status: 0 if every workload that the\n"
	       "machine can run gave a figure, 1 if not, 2 for bad options.\n",
	       RUNS);
}

/* @argument, the word it is about, may be NULL. */
static int complain(const char *text, const char *argument)
{
	fprintf(stderr, "knit-bench: %s%s%s%s\nTry 'knit-bench --help'.\n", text,
	        argument ? " '" : "", argument ? argument : "", argument ? "'" : "");
	return EXIT_USAGE;
}

static bool is_wanted(const struct options *options, const struct workload *workload,
                      const char *peer)
{
	if (options->peer && fnmatch(options->peer, peer, 0) != 0)
		return false;
	if (options->pattern_count == 0)
		return true;
	for (int i = 0; i < options->pattern_count; i++) {
		if (fnmatch(options->patterns[i], workload->name, 0) == 0)
			return true;
	}
	return false;
}

static void add_rows(struct rows *rows, const struct options *options, const struct workload *table,
                     const char *peer)
{
	for (; table->name && rows->count < ROWS_MAX; table++) {
		const char *its_peer = table->peer ? table->peer : peer;
		if (is_wanted(options, table, its_peer))
			rows->figures[rows->count++] = (struct figure){.workload = table,
			                                               .peer = its_peer};
	}
}

/* Runs the rows of one workload, each as often as asked for. */
static void measure_group(struct figure **group, int count, int runs)
{
	for (int run = 0; run < runs; run++) {
		for (int i = 0; i < count; i++)
			measure(group[(run + i) % count]);
	}
}

static bool is_knit(const struct rows *rows, const struct figure *figure)
{
	return figure - rows->figures < rows->knit_count;
}

static void print_lines(const struct rows *rows, struct figure **group, int count)
{
	for (int i = 0; i < count; i++) {
		const struct figure *figure = group[i];
		if (!figure->runs)
			continue;
		double median = measure_median(figure);
		bench_emit(figure->peer, figure->workload->name, median, figure->workload->unit);
		for (int k = 0; is_knit(rows, figure) && k < count; k++) {
			char unit[80];
			if (is_knit(rows, group[k]) || !group[k]->runs)
				continue;
			snprintf(unit, sizeof(unit), "%s/%s", figure->peer, group[k]->peer);
			bench_emit("ratio", figure->workload->name,
			           median / measure_median(group[k]), unit);
		}
	}
}

static void print_json_figure(const struct figure *figure, bool is_first)
{
	printf("%s\n  {\"peer\": \"%s\", \"workload\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", "
	       "\"values\": [",
	       is_first ? "" : ",", figure->peer, figure->workload->name, measure_median(figure),
	       figure->workload->unit);
	for (int i = 0; i < figure->runs; i++)
		printf("%s%.6g", i ? ", " : "", figure->values[i]);
	printf("]}");
}

/* Why a row has no figure; false if that is a failure. */
static bool explain(const struct figure *figure)
{
	if (figure->status == 0)
		return true;
	fprintf(stderr, "knit-bench: %s %s: %s\n", figure->peer, figure->workload->name,
	        figure->status == BENCH_SKIPPED ? "skipped: not enough memory or CPUs here"
	                                        : measure_strerror(figure->status));
	return figure->status == BENCH_SKIPPED;
}

static enum exit_status run_all(struct rows *rows, const struct options *options)
{
	bool is_taken[ROWS_MAX] = {false}, is_first = true;
	enum exit_status status = EXIT_GOOD;

	if (options->is_json)
		printf("{\"runs\": %d, \"figures\": [", options->runs);
	for (int i = 0; i < rows->count; i++) {
		struct figure *group[ROWS_MAX];
		int count = 0;
		if (is_taken[i])
			continue;
		for (int k = i; k < rows->count; k++) {
			if (strcmp(rows->figures[i].workload->name,
			           rows->figures[k].workload->name) != 0)
				continue;
			is_taken[k] = true;
			group[count++] = &rows->figures[k];
		}
		measure_group(group, count, options->runs);
		for (int k = 0; k < count; k++) {
			if (!explain(group[k]))
				status = EXIT_FAILED;
			if (options->is_json && group[k]->runs) {
				print_json_figure(group[k], is_first);
				is_first = false;
			}
		}
		if (!options->is_json)
			print_lines(rows, group, count);
	}
	if (options->is_json)
		printf("\n]}\n");
	return status;
}

/* 0 to go on, or the exit status plus 1. */
static int parse(struct options *options, int argc, char **argv)
{
	enum { WORKLOAD, PEER, RUNS_OPTION, RAW, LIST, JSON, HELP };
	static const struct option table[] = {
	        [WORKLOAD] = {"workload", required_argument, NULL, WORKLOAD},
	        [PEER] = {"peer", required_argument, NULL, PEER},
	        [RUNS_OPTION] = {"runs", required_argument, NULL, RUNS_OPTION},
	        [RAW] = {"raw", no_argument, NULL, RAW},
	        [LIST] = {"list", no_argument, NULL, LIST},
	        [JSON] = {"json", no_argument, NULL, JSON},
	        [HELP] = {"help", no_argument, NULL, HELP},
	        {NULL, 0, NULL, 0},
	};
	char *end;
	long runs;
	int c;

	*options = (struct options){.runs = RUNS};
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case WORKLOAD:
			if (options->pattern_count == PATTERNS_MAX)
				return 1 + complain("too many --workload", NULL);
			options->patterns[options->pattern_count++] = optarg;
			break;
		case PEER:
			options->peer = optarg;
			break;
		case RUNS_OPTION:
			runs = strtol(optarg, &end, 10);
			if (end == optarg || *end || runs < 1 || runs > MEASURE_RUNS_MAX)
				return 1 + complain("--runs takes 1 .. 101, not", optarg);
			options->runs = (int)runs;
			break;
		case RAW:
			options->with_raw = true;
			break;
		case LIST:
			options->lists = true;
			break;
		case JSON:
			options->is_json = true;
			break;
		case HELP:
			print_help();
			return 1 + EXIT_GOOD;
		default:
			return 1 + complain("bad option", NULL);
		}
	}
	if (optind < argc)
		return 1 + complain("not an option:", argv[optind]);
	return 0;
}

int main(int argc, char **argv)
{
	static struct rows rows;
	struct options options;
	int r = parse(&options, argc, argv);

	if (r)
		return r - 1;
	bench_remember_cpus();
	add_rows(&rows, &options, knit_workloads, "knit");
	rows.knit_count = rows.count;
	if (options.with_raw || options.lists || options.peer)
		add_rows(&rows, &options, raw_workloads, "raw");
	if (rows.count == 0)
		return complain("no such workload (references need --raw; see --list)", NULL);
	if (!options.lists)
		return run_all(&rows, &options);
	for (int i = 0; i < rows.count; i++)
		printf("%s %s %s\n", rows.figures[i].peer, rows.figures[i].workload->name,
		       rows.figures[i].workload->unit);
	return EXIT_GOOD;
}
