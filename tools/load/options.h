/* SPDX-License-Identifier: MIT */
/* options.h - what the command line of knit-load says. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_SIZE_MAX        ((size_t)16 << 20)
#define LOAD_DEPTH_MAX       65536
#define LOAD_CONNECTIONS_MAX 1000000
#define LOAD_THREADS_MAX     256

struct load_options {
	const char *host;     /* borrowed from the command line */
	char port[8];         /* decimal, checked */
	uint32_t connections; /* of all threads together */
	uint32_t threads;     /* 1 .. connections */
	uint32_t depth;       /* messages outstanding on a connection at most */
	size_t size;          /* bytes of a message */
	uint64_t requests;    /* of all connections together; 0: no bound by number */
	int64_t duration_ns;  /* 0: no bound by time */
	int64_t warmup_ns;    /* part of the run, before the measured duration */
	int64_t timeout_ns;   /* for a connect, for a silent connection, for the last replies */
	bool spin, json, quiet;
};

/* Fills @options. 0; 1 when --help was asked for and printed; -EINVAL when something was
 * wrong, which a line on stderr has then said. */
int load_options_parse(struct load_options *options, int argc, char **argv);

#endif
