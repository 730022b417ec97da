/* SPDX-License-Identifier: MIT */
/* worker.h - a thread of knit-load and the connections that it drives.
 *
 * All threads first connect, and report. When the last one has, main gives the order to
 * go with one starting time for all, so that no thread measures while another still
 * connects. An order is a number that only grows; a thread that sleeps is woken for it. */
#ifndef LOAD_WORKER_H
#define LOAD_WORKER_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "connection.h"

enum worker_order {
	WORKER_CONNECT,
	WORKER_GO,
	WORKER_STOP,   /* begin no message, wait for the outstanding replies, finish */
	WORKER_ABANDON /* do not wait for them */
};

/* What all threads and main share; owned by main. */
struct run {
	const struct load_options *options;
	struct sockaddr_storage address;
	socklen_t address_length;
	int news_fd; /* eventfd, written when a thread is ready or has ended */
	_Atomic int order;
	_Atomic uint32_t ready, ended; /* threads */
	int64_t start_ns;              /* CLOCK_MONOTONIC; set before the order to go */
};

enum worker_phase { WORKER_CONNECTING, WORKER_READY, WORKER_RUNNING, WORKER_ENDING };

struct worker {
	struct run *run; /* borrowed */
	pthread_t thread;
	enum worker_phase phase;
	bool is_over;
	int wake_fd; /* eventfd; owned */
	int64_t next_sweep_ns;
	int64_t stopped_ns; /* when it stopped sending; 0: every connection ended by itself */
	uint32_t first;     /* number of its first connection, among all of the run */
	uint32_t count, opened;
	struct connection *connections; /* owned, count of them */
	int64_t *begun_ns;              /* owned, their rings */
	struct connection_context context;
	struct tally *tally; /* owned */
};

/* Makes the thread of index @index, with its share of connections; does not start it.
 * 0 or a negative errno, and then there is nothing to release. */
int worker_init(struct worker *worker, struct run *run, uint32_t index);

/* Starts it. 0 or a negative errno. */
int worker_start(struct worker *worker);

/* Makes it look at the order. From any thread. */
void worker_wake(struct worker *worker);

/* After pthread_join(), or without a start. */
void worker_free(struct worker *worker);

#endif
