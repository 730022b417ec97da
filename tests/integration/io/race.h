/* SPDX-License-Identifier: MIT */
/* race.h - cancellations that race with whatever a call waits for: the rounds, and a peer on a
 * thread of its own. */
#ifndef TEST_IO_RACE_H
#define TEST_IO_RACE_H
#include <pthread.h>
#include <semaphore.h>
#include "unit/io/rig.h"

/* One side makes calls in a loop and is cancelled; the other is a thread. Each kind of race puts
 * this first into a struct of its own. */
struct race {
	/* Makes one call and accounts for what it brought; a coroutine's body. Returns what the
	 * call returned. */
	intptr_t (*once)(struct race *race);
	/* In the loop, before the first round and after the last; may be NULL. */
	void (*before)(struct race *race);
	void (*after)(struct race *race);
	/* What the peer does meanwhile, once a round. It may lag some rounds behind. */
	void (*peer)(struct race *race);
	int fd; /* the loop's side */
	int peer_fd;
	uint32_t random, peer_random;
	/* counts, for whoever looks at them */
	long wanted, rounds, cancelled, succeeded;
	/* the round's own */
	int seen; /* cancellations that came out */
	/* the peer's thread, and how the two keep pace */
	pthread_t thread;
	sem_t go, done;
	int lag;
	bool stop; /* set before the last go */
};

/* Plays rounds: each a task of its own that makes the call, and is cancelled some passes later.
 * Exactly the requests that were accepted must come out. Goes on until both happened so often,
 * that a call succeeded and that a request was accepted. */
void race_run(struct race *race, long wanted);

/* Fills a part of the stack where the last call's frame was, lets the others run, and fails the
 * test if somebody wrote there. Returns what the suspension returned. */
int race_reuse_stack(void);

/* The next byte of an endless sequence; the same on both sides. */
unsigned char race_byte(uint64_t position);
void race_fill(unsigned char *buffer, uint64_t position, size_t size);
/* Fails the test unless @buffer continues the sequence at @position. */
void race_check(const unsigned char *buffer, uint64_t position, size_t size);

/* Fails the test unless all of @buffer is the canary. */
#define RACE_CANARY 0xa5
void race_untouched(const unsigned char *buffer, size_t size);

#endif
