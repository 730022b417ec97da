/* SPDX-License-Identifier: MIT */
/* tally.h - what a thread of knit-load counts, and the kinds of errors it knows. */
#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H
#include <stdatomic.h>
#include <stdint.h>
#include "histogram.h"

/* Each error ends its connection, so a connection has at most one. */
enum load_error {
	LOAD_CONNECT_REFUSED,
	LOAD_CONNECT_TIMEOUT,
	LOAD_CONNECT_FAILED, /* for any other reason */
	LOAD_RESET,          /* the peer reset an open connection */
	LOAD_SHORT,          /* the peer closed before its last reply was complete */
	LOAD_TIMEOUT,        /* nothing moved for too long, or a reply was missing at the end */
	LOAD_MISMATCH,       /* a reply differs from what was sent */
	LOAD_SURPLUS,        /* bytes that answer nothing */
	LOAD_OTHER,
	LOAD_ERRORS
};

#define TALLY_TEXT_SIZE 160

/* One for each thread. The counters that main reads for the progress line while the
 * thread runs are atomic (one writer, relaxed); the rest is read after it has ended. */
struct tally {
	_Atomic uint64_t received; /* messages, complete and right */
	_Atomic uint64_t failures; /* errors of all kinds */
	_Atomic uint32_t open;     /* connections that are established now */

	uint64_t sent;           /* messages handed to the kernel whole */
	uint64_t bytes_sent;     /* with those of incomplete messages */
	uint64_t bytes_received; /* with those that were wrong */
	uint64_t measured;       /* replies that arrived in the measured time */
	int64_t last_reply_ns;   /* CLOCK_MONOTONIC; 0 before the first */
	uint32_t opened;         /* connections that were established at some time */
	uint32_t unclosed;       /* not closed by the peer when we had closed our side */

	uint64_t errors[LOAD_ERRORS];
	char first[LOAD_ERRORS][TALLY_TEXT_SIZE]; /* the first error of each kind, told */

	struct histogram latency; /* ns, of messages sent in the measured time */
};

/* For the table, and as a key for JSON. */
const char *load_error_name(enum load_error error);
const char *load_error_key(enum load_error error);

/* Adds one to a counter that only the calling thread writes. */
void tally_bump64(_Atomic uint64_t *counter);

/* Counts @error; the text is kept if it is the first of its kind. */
__attribute__((format(printf, 3, 4))) void tally_error(struct tally *tally, enum load_error error,
                                                       const char *format, ...);

/* Adds what an ended thread counted. */
void tally_add(struct tally *sum, const struct tally *part);

#endif
