/* SPDX-License-Identifier: MIT */
/* main.c - knit-bench: which workloads to run, how often, in which order.
 *
 * The rows of one workload, knit's and the references', run in turn and begin elsewhere
 * each time, so that a machine that becomes slower or faster in the meantime does so for
 * all of them; their ratio means more than either figure. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include "file.h"
#include "options.h"
#include "plot.h"
#include "report.h"

#define ROWS_MAX 160

struct rows {
	struct figure figures[ROWS_MAX];
	int count;
};

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
                     bool is_knit)
{
	for (; table->name && rows->count < ROWS_MAX; table++) {
		const char *peer = table->peer ? table->peer : is_knit ? "knit" : "raw";
		if (is_wanted(options, table, peer))
			rows->figures[rows->count++] = (struct figure){
			        .workload = table, .peer = peer, .is_knit = is_knit};
	}
}

/* Patterns look for names in all sets, a list shows them all. */
static void choose_rows(struct rows *rows, const struct options *options)
{
	static const struct workload *const sets[][2] = {
	        [SET_USUAL] = {knit_workloads, raw_workloads},
	        [SET_FILE] = {knit_file_workloads, raw_file_workloads},
	        [SET_CURVES] = {knit_curve_workloads, raw_curve_workloads},
	};
	bool all = options->set == SET_USUAL && (options->pattern_count || options->lists);

	for (int is_raw = 0; is_raw < 2; is_raw++) {
		if (is_raw && !(options->with_raw || options->lists || options->peer))
			continue;
		for (int set = SET_USUAL; set <= SET_CURVES; set++) {
			if (all || (int)options->set == set)
				add_rows(rows, options, sets[set][is_raw], !is_raw);
		}
	}
}

/* Takes the rows from index @first on that are of its workload; 0 if an earlier one was. */
static int take_group(struct rows *rows, int first, struct figure **group)
{
	const char *name = rows->figures[first].workload->name;
	int count = 0;

	for (int i = 0; i < rows->count; i++) {
		if (strcmp(rows->figures[i].workload->name, name) != 0)
			continue;
		if (i < first)
			return 0;
		group[count++] = &rows->figures[i];
	}
	return count;
}

/* Runs the rows of one workload, each as often as asked for. */
static void measure_group(struct figure **group, int count, int runs)
{
	for (int run = 0; run < runs; run++) {
		for (int i = 0; i < count; i++)
			measure(group[(run + i) % count]);
	}
}

static enum exit_status run_all(struct rows *rows, const struct options *options)
{
	bool is_first = true;
	enum exit_status status = EXIT_GOOD;

	if (options->is_json)
		printf("{\"runs\": %d, \"figures\": [", options->runs);
	for (int i = 0; i < rows->count; i++) {
		struct figure *group[ROWS_MAX];
		int count = take_group(rows, i, group);
		measure_group(group, count, options->runs);
		for (int k = 0; k < count; k++) {
			if (!report_explain(group[k]))
				status = EXIT_FAILED;
		}
		if (options->is_json)
			report_json(group, count, is_first);
		else
			report_lines(group, count);
		for (int k = 0; k < count; k++)
			is_first = is_first && !group[k]->runs;
	}
	if (options->is_json)
		printf("\n]}\n");
	else
		report_curves(rows->figures, rows->count);
	return status;
}

static enum exit_status draw(const struct rows *rows, const struct options *options)
{
	struct plot *plot = plot_new();
	enum exit_status status = EXIT_GOOD;

	for (int i = 0; i < rows->count; i++)
		plot_add_figure(plot, &rows->figures[i]);
	for (int i = 0; i < options->result_count; i++) {
		if (!plot_add_file(plot, options->results[i]))
			status = EXIT_FAILED;
	}
	if (!plot_write(plot, options->plot))
		status = EXIT_FAILED;
	plot_free(plot);
	return status;
}

static bool reads_files(const struct rows *rows)
{
	for (int i = 0; i < rows->count; i++) {
		if (rows->figures[i].workload->rate_unit)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static struct rows rows;
	struct options options;
	int r = options_parse(&options, argc, argv);

	if (r)
		return r - 1;
	bench_remember_cpus();
	choose_rows(&rows, &options);
	if (rows.count == 0)
		return options_complain("no such workload (references need --raw; see --list)",
		                        NULL);
	if (options.lists) {
		for (int i = 0; i < rows.count; i++)
			printf("%s %s %s\n", rows.figures[i].peer, rows.figures[i].workload->name,
			       rows.figures[i].workload->unit);
		return EXIT_GOOD;
	}
	enum exit_status status = EXIT_GOOD;
	if (options.runs > 0) {
		if (reads_files(&rows) && file_prepare() < 0)
			return EXIT_FAILED;
		status = run_all(&rows, &options);
	}
	if (options.plot && draw(&rows, &options) != EXIT_GOOD)
		status = EXIT_FAILED;
	return status;
}
