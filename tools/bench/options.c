/* SPDX-License-Identifier: MIT */
/* options.c - the command line of knit-bench. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"
#include "measure.h"
#include "options.h"

#define RUNS 5

static void print_help(void)
{
	printf("Usage: knit-bench [file | curves] [OPTION]...\n"
	       "Measures knit on the workloads that tools/bench/README.md defines: W1 to W7;\n"
	       "with `file` W11, reading a file; with `curves` how costs grow with numbers.\n\n"
	       "  --workload NAME  only this one, of all; may be repeated, and be a pattern\n"
	       "                   like 'W6*'\n"
	       "  --runs N         runs of each, of which the median is told (%d)\n"
	       "  --raw            the references as well, and knit's ratio to each; `file`,\n"
	       "                   `curves` and --plot have them without being asked\n"
	       "  --peer NAME      only rows of this one, references too; may be a pattern\n"
	       "  --list           print what there is and exit\n"
	       "  --json           print one JSON object\n"
	       "  --plot FILE      draw the figures, as SVG\n"
	       "  --with FILE      draw these figures too: lines PEER WORKLOAD VALUE UNIT; may be\n"
	       "                   repeated; with --runs 0 nothing else\n"
	       "  --file PATH      W11: read this one; made if it is not there, and kept\n"
	       "                   (otherwise one is made in $TMPDIR or /var/tmp and removed)\n"
	       "  --size BYTES     W11: of a file that is made; may end in K, M or G (1G)\n"
	       "  --seconds S      W11: for so long (2)\n"
	       "  --divide N       divide all counts by N: for tests, whose figures say nothing\n"
	       "  --help           print this and exit\n\n"
	       "Lines are PEER WORKLOAD VALUE UNIT; ratios are medians of the ratios of runs that\n"
	       "were neighbours; lines that begin with # tell how far the runs lay apart. Exit\n"
	       "status: 0 if every workload that the machine can run gave a figure, 1 if not, 2\n"
	       "for bad options.\n",
	       RUNS);
}

enum exit_status options_complain(const char *text, const char *argument)
{
	fprintf(stderr, "knit-bench: %s%s%s%s\nTry 'knit-bench --help'.\n", text,
	        argument ? " '" : "", argument ? argument : "", argument ? "'" : "");
	return EXIT_USAGE;
}

static bool parse_number(const char *text, long min, long max, long *ret_number)
{
	char *end;

	*ret_number = strtol(text, &end, 10);
	return end != text && !*end && *ret_number >= min && *ret_number <= max;
}

static bool parse_size(const char *text, int64_t *ret_bytes)
{
	static const char units[] = "KMG";
	char *end;
	long long number = strtoll(text, &end, 10);

	if (end == text || number < 1 || number > INT64_C(1) << 40)
		return false;
	if (*end) {
		const char *unit = strchr(units, *end);
		if (!unit || end[1] || number > INT64_C(1) << 20)
			return false;
		number <<= 10 * (unit - units + 1);
	}
	*ret_bytes = number;
	return true;
}

static bool parse_seconds(const char *text, double *ret_seconds)
{
	char *end;

	*ret_seconds = strtod(text, &end);
	return end != text && !*end && *ret_seconds > 0 && *ret_seconds <= 60;
}

/* What takes a number. */
static int parse_value(struct options *options, const char *name)
{
	long number;

	if (strcmp(name, "runs") == 0) {
		if (!parse_number(optarg, 0, MEASURE_RUNS_MAX, &number))
			return options_complain("--runs takes 1 .. 101, not", optarg);
		options->runs = (int)number;
	} else if (strcmp(name, "divide") == 0) {
		if (!parse_number(optarg, 1, 1000000000, &number))
			return options_complain("--divide takes 1 .. 1000000000, not", optarg);
		bench_divide(number);
	} else if (strcmp(name, "size") == 0) {
		if (!parse_size(optarg, &file_options.bytes))
			return options_complain("--size takes bytes, not", optarg);
	} else if (!parse_seconds(optarg, &file_options.seconds)) {
		return options_complain("--seconds takes up to 60, not", optarg);
	}
	return EXIT_GOOD;
}

static int parse_word(struct options *options, int argc, char **argv)
{
	if (optind == argc)
		return 0;
	if (strcmp(argv[optind], "file") == 0)
		options->set = SET_FILE;
	else if (strcmp(argv[optind], "curves") == 0)
		options->set = SET_CURVES;
	else
		return 1 + options_complain("not an option:", argv[optind]);
	if (optind + 1 < argc)
		return 1 + options_complain("not an option:", argv[optind + 1]);
	return 0;
}

static int check(struct options *options)
{
	if (options->runs == 0 && !(options->plot && options->result_count))
		return 1 + options_complain("--runs 0 takes --plot and --with", NULL);
	if (options->result_count && !options->plot)
		return 1 + options_complain("--with takes --plot", NULL);
	if (options->set != SET_USUAL || options->plot)
		options->with_raw = true;
	return 0;
}

static int add(const char **list, int *count, const char *option)
{
	if (*count == PATTERNS_MAX)
		return options_complain("too many", option);
	list[(*count)++] = optarg;
	return EXIT_GOOD;
}

int options_parse(struct options *options, int argc, char **argv)
{
	enum { WORKLOAD, PEER, VALUE, RAW, LIST, JSON, PLOT, WITH, FILE_OPTION, HELP };
	static const struct option table[] = {
	        {"workload", required_argument, NULL, WORKLOAD},
	        {"peer", required_argument, NULL, PEER},
	        {"runs", required_argument, NULL, VALUE},
	        {"divide", required_argument, NULL, VALUE},
	        {"size", required_argument, NULL, VALUE},
	        {"seconds", required_argument, NULL, VALUE},
	        {"raw", no_argument, NULL, RAW},
	        {"list", no_argument, NULL, LIST},
	        {"json", no_argument, NULL, JSON},
	        {"plot", required_argument, NULL, PLOT},
	        {"with", required_argument, NULL, WITH},
	        {"file", required_argument, NULL, FILE_OPTION},
	        {"help", no_argument, NULL, HELP},
	        {NULL, 0, NULL, 0},
	};
	int c, which, r = EXIT_GOOD;

	*options = (struct options){.runs = RUNS};
	while (r == EXIT_GOOD && (c = getopt_long(argc, argv, "", table, &which)) != -1) {
		if (c == WORKLOAD)
			r = add(options->patterns, &options->pattern_count, "--workload");
		else if (c == WITH)
			r = add(options->results, &options->result_count, "--with");
		else if (c == VALUE)
			r = parse_value(options, table[which].name);
		else if (c == PEER)
			options->peer = optarg;
		else if (c == PLOT)
			options->plot = optarg;
		else if (c == FILE_OPTION)
			file_options.path = optarg;
		else if (c == RAW)
			options->with_raw = true;
		else if (c == LIST)
			options->lists = true;
		else if (c == JSON)
			options->is_json = true;
		else if (c == HELP)
			return print_help(), 1 + EXIT_GOOD;
		else
			r = options_complain("bad option", NULL);
	}
	if (r != EXIT_GOOD)
		return 1 + r;
	r = parse_word(options, argc, argv);
	return r ? r : check(options);
}
