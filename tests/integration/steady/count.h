/* SPDX-License-Identifier: MIT */
/* count.h - how many allocations a round of something takes, once it is warm. */
#ifndef INTEGRATION_STEADY_COUNT_H
#define INTEGRATION_STEADY_COUNT_H
#include <knit.h>
#include <stdint.h>

/* Since the start: of all threads where malloc() and mmap() can be taken over, which is in builds
 * without sanitizers; else of the library, in this thread. */
uint64_t count_allocations(void);

/* True if the count is that of all threads, malloc() and mmap() themselves. */
extern const bool count_is_complete;

/* Does one thing in a task; state as its caller has it. */
typedef void steady_round(void *state);

/* Calls @round in the running task until everything is warm, and then as often again; how many
 * allocations the second half took. */
uint64_t steady_in_task(steady_round *round, void *state);

/* The same in a loop of its own, on that clock. */
uint64_t steady(steady_round *round, void *state, uint32_t clock);

/* How often either calls it, in all. */
long steady_rounds(void);

/* Ends the process with a message if @outcome is an error. */
void steady_must(intptr_t outcome, const char *what);
#define must(call) steady_must((call), #call)

#endif
