/* SPDX-License-Identifier: MIT */
/* rig.h - what the tests of loops, of tasks on several loops, and the stress tests share:
 * threads that run a loop, waiting for what another thread does, children of fork().
 *
 * Nothing here asserts on a thread of its own: threads record, the test judges. */
#ifndef TEST_LOOP_RIG_H
#define TEST_LOOP_RIG_H
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "loop/loop.h"
#include "knit/loop.h"
#include "knit/thread.h"
#include "test.h"

/* ---- waiting ---- */

/* CLOCK_MONOTONIC in ns. */
int64_t rig_now(void);

/* Yields the processor until @condition(@arg) holds; fails the test if it does not within a
 * time that is far longer than it can take. For the test's first thread. */
#define rig_until(condition, arg) rig_until_at(__FILE__, __LINE__, (condition), (arg))
void rig_until_at(const char *file, int line, bool (*condition)(void *), void *arg);

/* Conditions: the loop waits in the kernel or is about to; the int is not 0. */
bool rig_asleep(void *loop);
bool rig_is_set(void *atomic_int_);

/* Spins until CLOCK_MONOTONIC has moved on by @ns: code that blocks its loop. */
void rig_block(int64_t ns);

/* ---- callbacks ---- */

/* Adds one to the int. */
void rig_count(void *int_);
/* Stops the running loop. */
void rig_stop(void *ignored);
/* Appends to rig_trace, whose order the test looks at. */
void rig_note(void *text);
#define TEXT(literal) ((void *)(uintptr_t)(literal))
extern char rig_trace[4096];
/* Makes it empty. */
void rig_trace_reset(void);

/* Does nothing; for where a handler of exceptions should be silent. */
void rig_ignore_exception(knit_loop *loop, const knit_exception_context *context, void *arg);
/* Counts what is reported in the int. */
void rig_count_exception(knit_loop *loop, const knit_exception_context *context, void *int_);

/* ---- signals ---- */

/* An action of the test's own for the signal: what is there before the library's. */
void rig_set_action(int signum);
/* Is it the one that acts now? */
bool rig_is_action(int signum);
/* How often it did. */
extern atomic_int rig_action_calls;

/* ---- threads ---- */

/* A thread that makes a loop, runs it until it is stopped, and closes it. */
struct worker {
	pthread_t thread;
	knit_loop *loop; /* the test's own reference */
	knit_loop_options options;
	sem_t started;
	int run;     /* what knit_loop_run_forever() returned */
	int close;   /* what knit_loop_close() returned */
	int reports; /* of its exception handler, which says nothing */
};

/* Returns once the loop is there, which may be before it runs. */
void worker_start(struct worker *worker);
/* Stops the loop and waits for the thread's end; the loop is closed, the reference kept. */
void worker_join(struct worker *worker);
/* As above; fails the test unless all returned 0; drops the reference. */
void worker_stop(struct worker *worker);

/* Runs @body(@arg) on a thread of its own and waits for its end; returns what it did. */
void *rig_on_thread(void *(*body)(void *), void *arg);
/* Starts a thread. */
pthread_t rig_thread(void *(*body)(void *), void *arg);
void *rig_join(pthread_t thread);

/* ---- processes ---- */

/* In a child: ends it with a note of the line, unless @condition. */
#define child_check(condition) ((condition) ? (void)0 : child_failed(__LINE__))
KN_NORETURN void child_failed(int line);

/* In a child: all was well. */
KN_NORETURN void child_done(void);

/* fork(); in the child 0. A child ends by child_check() or child_done(). */
pid_t rig_fork(void);
/* Waits for the child; fails the test unless it came to child_done(). */
#define rig_wait_child(pid) rig_wait_child_at(__FILE__, __LINE__, (pid))
void rig_wait_child_at(const char *file, int line, pid_t pid);

/* valgrind takes the memory of a parent's other threads for leaked in a child, and fails at the
 * first mapping made where the child does not have the parent's rings (MADV_DONTFORK). */
bool rig_on_valgrind(void);

#endif
