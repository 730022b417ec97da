/* SPDX-License-Identifier: MIT */
/* plot.c - gathers what is drawn: figures of this run, and lines from files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "plot.h"

static void *grown(void *memory, int count, size_t size)
{
	memory = realloc(memory, (size_t)(count + 1) * size);
	if (!memory)
		bench_die("realloc");
	memset((char *)memory + (size_t)count * size, 0, size);
	return memory;
}

struct plot *plot_new(void)
{
	return grown(NULL, 0, sizeof(struct plot));
}

void plot_free(struct plot *plot)
{
	for (int i = 0; i < plot->count; i++)
		free(plot->panels[i].rows);
	free(plot->panels);
	free(plot);
}

static struct plot_panel *find_panel(struct plot *plot, const char *workload, const char *unit)
{
	for (int i = 0; i < plot->count; i++) {
		if (strcmp(plot->panels[i].workload, workload) == 0)
			return &plot->panels[i];
	}
	plot->panels = grown(plot->panels, plot->count, sizeof(*plot->panels));
	struct plot_panel *panel = &plot->panels[plot->count++];
	snprintf(panel->workload, sizeof(panel->workload), "%s", workload);
	snprintf(panel->unit, sizeof(panel->unit), "%s", unit);
	return panel;
}

static struct plot_row *find_row(struct plot_panel *panel, const char *peer)
{
	for (int i = 0; i < panel->count; i++) {
		if (strcmp(panel->rows[i].peer, peer) == 0)
			return &panel->rows[i];
	}
	panel->rows = grown(panel->rows, panel->count, sizeof(*panel->rows));
	struct plot_row *row = &panel->rows[panel->count++];
	snprintf(row->peer, sizeof(row->peer), "%s", peer);
	return row;
}

void plot_add(struct plot *plot, const char *peer, const char *workload, double value,
              const char *unit)
{
	struct plot_row *row = find_row(find_panel(plot, workload, unit), peer);

	/* A logarithmic scale has no place for others. */
	if (value > 0 && row->runs < MEASURE_RUNS_MAX)
		row->values[row->runs++] = value;
}

void plot_add_figure(struct plot *plot, const struct figure *figure)
{
	for (int i = 0; i < figure->runs; i++)
		plot_add(plot, figure->peer, figure->workload->name, figure->values[i],
		         figure->workload->unit);
}

/* XML has no way to say most of the others. */
static bool is_plain_text(const char *line)
{
	for (; *line; line++)
		if ((*line < ' ' || *line > '~') && *line != '\n' && *line != '\t' && *line != '\r')
			return false;
	return true;
}

bool plot_add_file(struct plot *plot, const char *path)
{
	char line[512], peer[PLOT_NAME], workload[PLOT_NAME], unit[PLOT_NAME], more;
	double value;
	int found = 0;
	FILE *file = fopen(path, "re");

	if (!file) {
		fprintf(stderr, "knit-bench: %s: %s\n", path, strerror(errno));
		return false;
	}
	while (fgets(line, sizeof(line), file)) {
		if (line[0] == '#' || strncmp(line, "ratio ", 6) == 0 || !is_plain_text(line))
			continue;
		if (sscanf(line, "%47s %47s %lf %47s %c", peer, workload, &value, unit, &more) != 4)
			continue;
		found++;
		/* Everything that is drawn is a cost: less is better. */
		if (strcmp(unit, "IOPS") != 0)
			plot_add(plot, peer, workload, value, unit);
	}
	fclose(file);
	if (!found)
		fprintf(stderr, "knit-bench: %s: no line PEER WORKLOAD VALUE UNIT\n", path);
	return found > 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct plot_row *x = a, *y = b;
	double one = x->runs ? measure_summary(x->values, x->runs).median : 0;
	double other = y->runs ? measure_summary(y->values, y->runs).median : 0;

	return one != other ? (one > other) - (one < other) : strcmp(x->peer, y->peer);
}

bool plot_write(struct plot *plot, const char *path)
{
	FILE *file = fopen(path, "we");

	for (int i = 0; i < plot->count; i++)
		qsort(plot->panels[i].rows, (size_t)plot->panels[i].count,
		      sizeof(*plot->panels[i].rows), compare_rows);
	if (file) {
		plot_draw(plot, file);
		bool is_bad = ferror(file);
		if (fclose(file) == 0 && !is_bad)
			return true;
	}
	fprintf(stderr, "knit-bench: %s: %s\n", path, strerror(errno));
	return false;
}
