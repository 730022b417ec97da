/* SPDX-License-Identifier: MIT */
/* report.c - the progress line, the table and the JSON object.
 *
 * `sent` and `received` are those of the whole run with warm-up and end, because their
 * equality is what shows that nothing was lost. Rate and latency are those of the
 * measured time only. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "report.h"

static const struct {
	const char *name, *key;
	unsigned permille;
} percentiles[] = {{"p50", "p50", 500}, {"p99", "p99", 990}, {"p99.9", "p999", 999}};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static bool line_is_open; /* a progress line without its newline */

void report_progress(const struct progress *progress)
{
	bool rewrites = isatty(STDERR_FILENO);
	fprintf(stderr,
	        "%s%4.0f s  %" PRIu32 " open  %" PRIu64 " replies  %.0f/s  %" PRIu64 " errors%s",
	        rewrites ? "\r\033[K" : "", progress->elapsed, progress->open, progress->received,
	        progress->rate, progress->failures, rewrites ? "" : "\n");
	fflush(stderr);
	line_is_open = rewrites;
}

void report_progress_end(void)
{
	if (line_is_open)
		fputc('\n', stderr);
	line_is_open = false;
}

static double rate_of(double count, double seconds)
{
	return seconds > 0 ? count / seconds : 0;
}

static void print_table(const struct load_options *options, const struct tally *sum,
                        double measured_seconds)
{
	double rate = rate_of((double)sum->measured, measured_seconds);

	printf("connections   %" PRIu32 " of %" PRIu32 " opened, %" PRIu32 " thread%s\n",
	       sum->opened, options->connections, options->threads,
	       options->threads == 1 ? "" : "s");
	printf("messages      %zu bytes, %" PRIu32 " outstanding on each connection\n",
	       options->size, options->depth);
	printf("sent          %" PRIu64 " messages, %" PRIu64 " bytes\n", sum->sent,
	       sum->bytes_sent);
	printf("received      %" PRIu64 " messages, %" PRIu64 " bytes\n", sum->received,
	       sum->bytes_received);
	printf("measured      %" PRIu64 " messages in %.3f s\n", sum->measured, measured_seconds);
	printf("requests/s    %.0f\n", rate);
	printf("MB/s          %.2f each way\n", rate * (double)options->size / 1e6);
	printf("latency us   ");
	for (size_t i = 0; i < PERCENTILES; i++)
		printf(" %s %.1f ", percentiles[i].name,
		       (double)histogram_permille(&sum->latency, percentiles[i].permille) / 1e3);
	printf(" max %.1f\n", (double)sum->latency.max / 1e3);
	if (sum->unclosed)
		printf("unclosed      %" PRIu32
		       " connections that the peer kept open after our end\n",
		       sum->unclosed);
	printf("errors        %" PRIu64 "\n", sum->failures);
	for (int i = 0; i < LOAD_ERRORS; i++) {
		if (sum->errors[i])
			printf("  %-18s %" PRIu64 "\n", load_error_name(i), sum->errors[i]);
	}
}

static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\' || c < 0x20)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_json(const struct load_options *options, const struct tally *sum,
                       double measured_seconds)
{
	printf("{\"host\": ");
	print_json_string(options->host);
	printf(", \"port\": %s, \"connections\": %" PRIu32 ", \"opened\": %" PRIu32
	       ", \"threads\": %" PRIu32 ", \"size\": %zu, \"depth\": %" PRIu32 ",\n",
	       options->port, options->connections, sum->opened, options->threads, options->size,
	       options->depth);
	printf(" \"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"bytes_sent\": %" PRIu64
	       ", \"bytes_received\": %" PRIu64 ",\n",
	       sum->sent, sum->received, sum->bytes_sent, sum->bytes_received);
	printf(" \"measured\": %" PRIu64 ", \"seconds\": %.6f, \"requests_per_second\": %.1f,\n",
	       sum->measured, measured_seconds, rate_of((double)sum->measured, measured_seconds));
	printf(" \"latency_us\": {");
	for (size_t i = 0; i < PERCENTILES; i++)
		printf("\"%s\": %.3f, ", percentiles[i].key,
		       (double)histogram_permille(&sum->latency, percentiles[i].permille) / 1e3);
	printf("\"max\": %.3f},\n \"unclosed\": %" PRIu32 ", \"errors\": {",
	       (double)sum->latency.max / 1e3, sum->unclosed);
	for (int i = 0; i < LOAD_ERRORS; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", load_error_key(i), sum->errors[i]);
	printf("}}\n");
}

void report_result(const struct load_options *options, const struct tally *sum,
                   double measured_seconds)
{
	if (options->json)
		print_json(options, sum, measured_seconds);
	else
		print_table(options, sum, measured_seconds);
	fflush(stdout);
	for (int i = 0; i < LOAD_ERRORS; i++) {
		if (sum->errors[i])
			fprintf(stderr, "knit-load: %s: %s%s\n", load_error_name(i), sum->first[i],
			        sum->errors[i] > 1 ? " (the first of several)" : "");
	}
}
