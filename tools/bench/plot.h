/* SPDX-License-Identifier: MIT */
/* plot.h - a figure of all figures: a panel a workload, a line a peer, on a logarithmic scale. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H
#include <stdio.h>
#include "measure.h"

#define PLOT_NAME 48

struct plot_row {
	char peer[PLOT_NAME];
	double values[MEASURE_RUNS_MAX];
	int runs;
};

struct plot_panel {
	char workload[PLOT_NAME], unit[PLOT_NAME];
	struct plot_row *rows;
	int count;
};

struct plot {
	struct plot_panel *panels; /* in the order in which they were added */
	int count;
};

struct plot *plot_new(void);
void plot_free(struct plot *plot);

/* Several values of one peer for one workload count as several runs. */
void plot_add(struct plot *plot, const char *peer, const char *workload, double value,
              const char *unit);
void plot_add_figure(struct plot *plot, const struct figure *figure);

/* Lines PEER WORKLOAD VALUE UNIT; others are passed over, and so are ratios and rates. False, with
 * a line on stderr, if the file cannot be read or has no such line. */
bool plot_add_file(struct plot *plot, const char *path);

/* False, with a line on stderr, if it cannot be written. */
bool plot_write(struct plot *plot, const char *path);

/* The drawing itself. */
void plot_draw(const struct plot *plot, FILE *file);
#endif
