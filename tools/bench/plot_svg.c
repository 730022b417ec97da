/* SPDX-License-Identifier: MIT */
/* plot_svg.c - draws the panels, in two columns.
 *
 * A bar would have to begin at zero, which a logarithmic scale does not have: a line a peer has
 * a dot at its median, a stroke from its least to its greatest value, and the median in figures.
 * The best is on top. knit is blue, references are grey and hollow, peers are brown. Every panel
 * has a scale of its own, because the units differ; the decades are marked. */
#include <math.h>
#include <string.h>
#include "plot.h"

#define COLUMNS     2
#define PANEL_WIDTH 470
#define LABEL_WIDTH 150
#define VALUE_WIDTH 60
#define LINE        15
#define TITLE       24
#define SCALE       22 /* below the lines */
#define MARGIN      20
#define CHART_LEFT  LABEL_WIDTH
#define CHART_WIDTH (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN)
#define HEAD        52

/* A panel's range: whole decades, at least one. */
struct scale {
	int first, last;
};

static struct scale scale_of(const struct plot_panel *panel)
{
	double min = INFINITY, max = 0;

	for (int i = 0; i < panel->count; i++) {
		if (!panel->rows[i].runs)
			continue;
		struct summary summary = measure_summary(panel->rows[i].values,
		                                         panel->rows[i].runs);
		min = fmin(min, summary.min);
		max = fmax(max, summary.max);
	}
	if (max == 0)
		return (struct scale){0, 1};
	struct scale scale = {(int)floor(log10(min)), (int)ceil(log10(max))};
	if (scale.last == scale.first)
		scale.last++;
	return scale;
}

static double place(struct scale scale, double value)
{
	return CHART_LEFT + CHART_WIDTH * (log10(value) - scale.first) / (scale.last - scale.first);
}

static void put_text(FILE *file, double x, double y, const char *style, const char *text)
{
	fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, style);
	for (; *text; text++) {
		if (*text == '&')
			fputs("&amp;", file);
		else if (*text == '<')
			fputs("&lt;", file);
		else if (*text == '>')
			fputs("&gt;", file);
		else
			fputc(*text, file);
	}
	fputs("</text>\n", file);
}

/* The class of its marks. */
static const char *kind_of(const char *peer)
{
	if (strncmp(peer, "knit", 4) == 0)
		return "knit";
	return strncmp(peer, "raw", 3) == 0 || strncmp(peer, "asm-", 4) == 0 ? "raw" : "peer";
}

static void draw_row(FILE *file, const struct plot_row *row, struct scale scale, double y)
{
	const char *kind = kind_of(row->peer);
	struct summary summary = measure_summary(row->values, row->runs);
	double x = place(scale, summary.median);
	char text[32], style[16];

	snprintf(style, sizeof(style), "name %s", kind);
	put_text(file, CHART_LEFT - 8, y + 4, style, row->peer);
	fprintf(file, "<path d=\"M%d %.1fH%d\" class=\"lane\"/>\n", CHART_LEFT, y,
	        CHART_LEFT + CHART_WIDTH);
	fprintf(file, "<path d=\"M%.1f %.1fH%.1f\" class=\"spread %s\"/>\n",
	        place(scale, summary.min), y, place(scale, summary.max), kind);
	fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" class=\"dot %s\"/>\n", x, y, kind);
	snprintf(text, sizeof(text), summary.median < 1000 ? "%.3g" : "%.0f", summary.median);
	snprintf(style, sizeof(style), "value %s", kind);
	put_text(file, CHART_LEFT + CHART_WIDTH + 8, y + 4, style, text);
}

static void draw_scale(FILE *file, struct scale scale, double top, double bottom)
{
	for (int decade = scale.first; decade <= scale.last; decade++) {
		double x = place(scale, pow(10, decade));
		char text[16];
		snprintf(text, sizeof(text), decade < 5 ? "%g" : "%.0e", pow(10, decade));
		fprintf(file, "<path d=\"M%.1f %.1fV%.1f\" class=\"decade\"/>\n", x, top, bottom);
		put_text(file, x, bottom + 11, "tick", text);
	}
}

static int height_of(const struct plot_panel *panel)
{
	return TITLE + panel->count * LINE + SCALE + MARGIN / 2;
}

static void draw_panel(FILE *file, const struct plot_panel *panel, int x, int y)
{
	struct scale scale = scale_of(panel);
	char title[2 * PLOT_NAME + 4];
	double line = TITLE + LINE / 2.0;

	fprintf(file, "<g transform=\"translate(%d %d)\">\n", x, y);
	snprintf(title, sizeof(title), "%s, %s", panel->workload, panel->unit);
	put_text(file, CHART_LEFT, TITLE - 9, "title", title);
	draw_scale(file, scale, TITLE, TITLE + panel->count * LINE);
	for (int i = 0; i < panel->count; i++, line += LINE) {
		if (panel->rows[i].runs)
			draw_row(file, &panel->rows[i], scale, line);
	}
	fputs("</g>\n", file);
}

static const char style[] =
        "<style>\n"
        "text { font: 11px sans-serif; fill: #333 }\n"
        ".head { font-size: 16px; font-weight: bold }\n"
        ".title { font-size: 12px; font-weight: bold }\n"
        ".name { text-anchor: end } .tick { text-anchor: middle; font-size: 9px; fill: #777 }\n"
        "text.knit { fill: #06c; font-weight: bold } text.raw { fill: #888 }\n"
        ".lane { stroke: #eee } .decade { stroke: #ccc; stroke-dasharray: 2 2 }\n"
        ".spread { stroke-width: 2; stroke-opacity: 0.5 }\n"
        "path.knit { stroke: #06c } path.raw { stroke: #888 } path.peer { stroke: #a63 }\n"
        ".dot.knit { fill: #06c } .dot.peer { fill: #a63 }\n"
        ".dot.raw { fill: #fff; stroke: #888; stroke-width: 1.5 }\n"
        "</style>\n";

/* The panels fill the columns one after the other, each to about its share of the height. */
void plot_draw(const struct plot *plot, FILE *file)
{
	int total = 0, column = 0, tallest = 0, y = 0;

	for (int i = 0; i < plot->count; i++)
		total += height_of(&plot->panels[i]);
	for (int pass = 0; pass < 2; pass++) {
		column = y = 0;
		if (pass == 1)
			fprintf(file,
			        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
			        "height=\"%d\">\n%s<rect width=\"100%%\" height=\"100%%\" "
			        "fill=\"#fff\"/>\n",
			        COLUMNS * PANEL_WIDTH + MARGIN, tallest + HEAD + MARGIN, style);
		for (int i = 0; i < plot->count; i++) {
			int height = height_of(&plot->panels[i]);
			if (y && y + height / 2 > total / COLUMNS && column + 1 < COLUMNS) {
				column++;
				y = 0;
			}
			if (pass == 1)
				draw_panel(file, &plot->panels[i],
				           MARGIN / 2 + column * PANEL_WIDTH, HEAD + y);
			y += height;
			tallest = y > tallest ? y : tallest;
		}
	}
	put_text(file, MARGIN, 24, "head", "knit (blue), references (grey, hollow), peers (brown)");
	put_text(file, MARGIN, 42, "note",
	         "median, least and greatest of the runs; logarithmic; less is better");
	fputs("</svg>\n", file);
}
