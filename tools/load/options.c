/* SPDX-License-Identifier: MIT */
/* options.c - the command line of knit-load.
 *
 * Values are checked strictly: a load generator that quietly turns "5x" into 5, or a
 * negative number into a large one, reports figures for a run that nobody asked for.
 * What an option accepts stands in one table, from which the check, the message and the
 * help text are made, so that the three cannot differ. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"

#define SECOND_NS       INT64_C(1000000000)
#define SECONDS_MAX     1e6
#define WARMUP_NS       (SECOND_NS / 5)
#define SHORT_RUN_NS    SECOND_NS
#define ERROR_TEXT_SIZE 80

enum option_kind { FLAG, TEXT, COUNT, BYTES, SECONDS };

struct option_rule {
	const char *name;
	enum option_kind kind;
	const char *argument; /* what the help calls it */
	const char *help;
	double min, max; /* of counts, bytes and seconds; both included */
};

enum option_index {
	HOST,
	PORT,
	CONNECTIONS,
	SIZE,
	DEPTH,
	DURATION,
	REQUESTS,
	WARMUP,
	TIMEOUT,
	THREADS,
	SPIN,
	JSON,
	QUIET,
	HELP,
	OPTIONS
};

static const struct option_rule rules[OPTIONS] = {
        [HOST] = {"host", TEXT, "NAME", "server's name or address (127.0.0.1)", 0, 0},
        [PORT] = {"port", COUNT, "N", "server's port; required", 1, 65535},
        [CONNECTIONS] = {"connections", COUNT, "N", "connections (64)", 1, LOAD_CONNECTIONS_MAX},
        [SIZE] = {"size", BYTES, "BYTES", "bytes of a message, K and M may follow (64)", 1,
                  (double)LOAD_SIZE_MAX},
        [DEPTH] = {"depth", COUNT, "N", "messages outstanding on a connection (1)", 1,
                   LOAD_DEPTH_MAX},
        [DURATION] = {"duration", SECONDS, "SECONDS", "how long to measure (5)", 1e-3, SECONDS_MAX},
        [REQUESTS] = {"requests", COUNT, "N", "end after so many messages instead", 1, 1e15},
        [WARMUP] = {"warmup", SECONDS, "SECONDS",
                    "run so long before measuring (0.2; 0 if --duration is below 1)", 0,
                    SECONDS_MAX},
        [TIMEOUT] = {"timeout", SECONDS, "SECONDS",
                     "for connects, silent connections and the last replies (10)", 1e-3,
                     SECONDS_MAX},
        [THREADS] = {"threads", COUNT, "N", "threads that share the connections (1)", 1,
                     LOAD_THREADS_MAX},
        [SPIN] = {"spin", FLAG, NULL, "poll without sleeping", 0, 0},
        [JSON] = {"json", FLAG, NULL, "print one JSON object instead of the table", 0, 0},
        [QUIET] = {"quiet", FLAG, NULL, "no progress line", 0, 0},
        [HELP] = {"help", FLAG, NULL, "print this and exit", 0, 0},
};

/* What was given, by option. Numbers of every kind fit in a double: the largest is 1e15. */
struct given {
	bool is_set[OPTIONS];
	double number[OPTIONS];
	const char *text[OPTIONS];
};

static void print_help(void)
{
	printf("Usage: knit-load --port N [OPTION]...\n"
	       "Drives a TCP echo server and compares every reply with what was sent.\n\n");
	for (int i = 0; i < OPTIONS; i++) {
		char left[40];
		snprintf(left, sizeof(left), "--%s %s", rules[i].name,
		         rules[i].argument ? rules[i].argument : "");
		printf("  %-22s %s\n", left, rules[i].help);
	}
	printf("\nThe result goes to stdout, progress to stderr. SIGINT ends the run early, with\n"
	       "the result; a second one does not wait for outstanding replies.\n"
	       "With both --duration and --requests the run ends at whichever comes first.\n"
	       "Exit status: 0 if there was a reply and no error, 1 if not, 2 for bad options.\n");
}

static int complain(const char *text)
{
	fprintf(stderr, "knit-load: %s\nTry 'knit-load --help'.\n", text);
	return -EINVAL;
}

/* Digits only, with an optional K or M if @suffixed; -1 for anything else. */
static double parse_whole(const char *text, bool suffixed)
{
	size_t digits = strspn(text, "0123456789");
	double factor = 1;
	/* 16 digits are exact in a double and above every maximum. */
	if (digits < 1 || digits > 16)
		return -1;
	const char *rest = text + digits;
	if (suffixed && (*rest == 'K' || *rest == 'k'))
		factor = 1024, rest++;
	else if (suffixed && (*rest == 'M' || *rest == 'm'))
		factor = 1024 * 1024, rest++;
	return *rest ? -1 : strtod(text, NULL) * factor;
}

/* Decimal digits with at most one point; -1 for anything else ("nan", "1e3", " 5", "-1"). */
static double parse_seconds(const char *text)
{
	char *end;
	if (!*text || text[strspn(text, "0123456789.")])
		return -1;
	double value = strtod(text, &end);
	return end == text || *end ? -1 : value;
}

static int take(struct given *given, int index, const char *argument)
{
	const struct option_rule *rule = &rules[index];
	char text[ERROR_TEXT_SIZE * 4];
	double value = 0;

	given->is_set[index] = true;
	given->text[index] = argument;
	if (rule->kind == FLAG)
		return 0;
	if (rule->kind == TEXT) {
		if (*argument)
			return 0;
		snprintf(text, sizeof(text), "--%s must not be empty", rule->name);
		return complain(text);
	}
	value = rule->kind == SECONDS ? parse_seconds(argument)
	                              : parse_whole(argument, rule->kind == BYTES);
	if (value >= rule->min && value <= rule->max) {
		given->number[index] = value;
		return 0;
	}
	snprintf(text, sizeof(text), "--%s '%.*s': expected %.16g .. %.16g%s", rule->name,
	         ERROR_TEXT_SIZE, argument, rule->min, rule->max,
	         rule->kind == SECONDS ? " seconds"
	         : rule->kind == BYTES ? " bytes"
	                               : "");
	return complain(text);
}

static int check_together(const struct given *given, const struct load_options *options)
{
	if (!given->is_set[PORT])
		return complain("--port is required");
	if (options->threads > options->connections)
		return complain("--threads is above --connections: each thread needs one");
	if (given->is_set[REQUESTS] && options->requests < options->connections)
		return complain("--requests is below --connections: each sends at least one");
	if (given->is_set[REQUESTS] && options->warmup_ns)
		return complain("--requests and --warmup exclude each other: the messages of a "
		                "bounded run are all measured");
	return 0;
}

static int64_t to_ns(double seconds)
{
	return (int64_t)(seconds * (double)SECOND_NS + 0.5);
}

static int settle(const struct given *given, struct load_options *options)
{
	const double *number = given->number;
	*options = (struct load_options){
	        .host = given->is_set[HOST] ? given->text[HOST] : "127.0.0.1",
	        .connections = given->is_set[CONNECTIONS] ? (uint32_t)number[CONNECTIONS] : 64,
	        .threads = given->is_set[THREADS] ? (uint32_t)number[THREADS] : 1,
	        .depth = given->is_set[DEPTH] ? (uint32_t)number[DEPTH] : 1,
	        .size = given->is_set[SIZE] ? (size_t)number[SIZE] : 64,
	        .requests = (uint64_t)number[REQUESTS],
	        .duration_ns = to_ns(number[DURATION]),
	        .timeout_ns = 10 * SECOND_NS,
	        .spin = given->is_set[SPIN],
	        .json = given->is_set[JSON],
	        .quiet = given->is_set[QUIET],
	};
	snprintf(options->port, sizeof(options->port), "%u", (unsigned)number[PORT]);
	if (!given->is_set[DURATION] && !given->is_set[REQUESTS])
		options->duration_ns = 5 * SECOND_NS;
	if (given->is_set[WARMUP])
		options->warmup_ns = to_ns(number[WARMUP]);
	else if (!given->is_set[REQUESTS] && options->duration_ns >= SHORT_RUN_NS)
		options->warmup_ns = WARMUP_NS;
	if (given->is_set[TIMEOUT])
		options->timeout_ns = to_ns(number[TIMEOUT]);
	return check_together(given, options);
}

int load_options_parse(struct load_options *options, int argc, char **argv)
{
	struct option table[OPTIONS + 1] = {{0}};
	struct given given = {0};
	int index, r;

	for (int i = 0; i < OPTIONS; i++) {
		table[i].name = rules[i].name;
		table[i].has_arg = rules[i].kind == FLAG ? no_argument : required_argument;
	}
	optind = 1;
	for (;;) {
		int c = getopt_long(argc, argv, "", table, &index);
		if (c == -1)
			break;
		if (c != 0) /* getopt has said what was wrong */
			return complain("bad option");
		r = take(&given, index, optarg);
		if (r < 0)
			return r;
		if (index == HELP) {
			print_help();
			return 1;
		}
	}
	if (optind < argc) {
		char text[ERROR_TEXT_SIZE * 2];
		snprintf(text, sizeof(text), "'%.*s' is not an option", ERROR_TEXT_SIZE,
		         argv[optind]);
		return complain(text);
	}
	return settle(&given, options);
}
