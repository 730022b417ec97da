/* SPDX-License-Identifier: MIT */
/* report.c - lines, JSON and the table of the curves.
 *
 * Runs of one index were neighbours in time (main.c), so the ratio of two rows is the median of
 * the ratios of such pairs: a machine that becomes slower meanwhile does so for both. */
#include <stdio.h>
#include <string.h>
#include "report.h"

#define POINTS_MAX 16

static void print_spread(const char *what, const char *workload, const struct summary *summary)
{
	printf("# %s %s min %.4g median %.4g max %.4g runs %d\n", what, workload, summary->min,
	       summary->median, summary->max, summary->runs);
}

static void print_ratio(const struct figure *figure, const struct figure *reference)
{
	double ratios[MEASURE_RUNS_MAX];
	char unit[80];
	int pairs = figure->runs < reference->runs ? figure->runs : reference->runs;

	if (pairs == 0)
		return;
	for (int i = 0; i < pairs; i++)
		ratios[i] = figure->values[i] / reference->values[i];
	struct summary summary = measure_summary(ratios, pairs);
	snprintf(unit, sizeof(unit), "%s/%s", figure->peer, reference->peer);
	bench_emit("ratio", figure->workload->name, summary.median, unit);
	print_spread(unit, figure->workload->name, &summary);
}

void report_lines(struct figure *const *group, int count)
{
	for (int i = 0; i < count; i++) {
		const struct figure *figure = group[i];
		const struct workload *workload = figure->workload;
		if (!figure->runs)
			continue;
		struct summary summary = measure_summary(figure->values, figure->runs);
		bench_emit(figure->peer, workload->name, summary.median, workload->unit);
		print_spread(figure->peer, workload->name, &summary);
		if (workload->rate_unit)
			printf("%s %s %.0f %s\n", figure->peer, workload->name,
			       measure_summary(figure->rates, figure->runs).median,
			       workload->rate_unit);
		for (int k = 0; figure->is_knit && k < count; k++) {
			if (!group[k]->is_knit)
				print_ratio(figure, group[k]);
		}
	}
	fflush(stdout);
}

static void print_json_figure(const struct figure *figure, bool is_first)
{
	const struct workload *workload = figure->workload;
	struct summary summary = measure_summary(figure->values, figure->runs);

	printf("%s\n  {\"peer\": \"%s\", \"workload\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", "
	       "\"min\": %.6g, \"median\": %.6g, \"max\": %.6g, \"runs\": %d, ",
	       is_first ? "" : ",", figure->peer, workload->name, summary.median, workload->unit,
	       summary.min, summary.median, summary.max, summary.runs);
	if (workload->rate_unit)
		printf("\"rate\": %.6g, \"rate_unit\": \"%s\", ",
		       measure_summary(figure->rates, figure->runs).median, workload->rate_unit);
	printf("\"values\": [");
	for (int i = 0; i < figure->runs; i++)
		printf("%s%.6g", i ? ", " : "", figure->values[i]);
	printf("]}");
}

void report_json(struct figure *const *group, int count, bool is_first)
{
	for (int i = 0; i < count; i++) {
		if (!group[i]->runs)
			continue;
		print_json_figure(group[i], is_first);
		is_first = false;
	}
}

/* The length of a curve's name, without the size of the point: C_timer_1k. */
static size_t stem(const struct figure *figure)
{
	const char *name = figure->workload->name, *size = strrchr(name, '_');

	return size && name[0] == 'C' && name[1] == '_' ? (size_t)(size - name) : 0;
}

static bool same_curve(const struct figure *a, const struct figure *b)
{
	size_t length = stem(a);

	return length && stem(b) == length && strcmp(a->peer, b->peer) == 0 &&
	       strncmp(a->workload->name, b->workload->name, length) == 0;
}

static void print_curve(struct figure *const *points, int count)
{
	double first = measure_median(points[0]), last = measure_median(points[count - 1]);
	size_t length = stem(points[0]);

	printf("# %-6s %-*.*s", points[0]->peer, 16, (int)length, points[0]->workload->name);
	for (int i = 0; i < count; i++)
		printf(" %5s: %-7.4g", points[i]->workload->name + length + 1,
		       measure_median(points[i]));
	printf(" growth: %.2f\n", last / first);
}

void report_curves(const struct figure *figures, int count)
{
	for (int i = 0; i < count; i++) {
		struct figure *points[POINTS_MAX];
		int found = 0;
		bool is_first = true;
		for (int k = 0; k < i; k++)
			is_first = is_first && !same_curve(&figures[i], &figures[k]);
		for (int k = i; is_first && k < count && found < POINTS_MAX; k++) {
			if (figures[k].runs && same_curve(&figures[i], &figures[k]))
				points[found++] = (struct figure *)&figures[k];
		}
		if (found > 1)
			print_curve(points, found);
	}
}

bool report_explain(const struct figure *figure)
{
	if (figure->status == 0)
		return true;
	bool is_skipped = figure->status == BENCH_SKIPPED;
	fprintf(stderr, "knit-bench: %s %s: %s%s\n", figure->peer, figure->workload->name,
	        is_skipped ? "skipped: " : "",
	        is_skipped ? figure->reason : measure_strerror(figure->status));
	return is_skipped;
}
