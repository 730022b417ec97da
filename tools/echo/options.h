/* SPDX-License-Identifier: MIT */
/* options.h - the command line of knit-echo. */
#ifndef ECHO_OPTIONS_H
#define ECHO_OPTIONS_H
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct options {
	unsigned loops; /* threads, one loop each */
	int *cpus;      /* [loops] the CPU of each, -1: not pinned; owned */
	struct sockaddr_storage address;
	socklen_t address_length;
	size_t message_size; /* bytes of a connection's buffer */
	bool http;           /* answer HTTP instead of echoing */
	bool stats;          /* print the loops' counters at the end */
};

/* Fills @options. Returns 0; 1: --help was printed; -1: the error was printed. */
int options_parse(struct options *options, int argc, char **argv);
#endif
