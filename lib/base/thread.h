/* SPDX-License-Identifier: MIT */
/* thread.h - what the library keeps for each thread, in one thread-local struct.
 *
 * Its address is the thread's identity: "does this loop belong to the calling
 * thread" is one compare with an initial-exec thread-local address. */
#ifndef KN_BASE_THREAD_H
#define KN_BASE_THREAD_H
#include <stdint.h>
#include "base/compiler.h"

struct knit_loop;
struct knit_future;
struct kn_message;
struct kn_vars;
struct kn_batch;

/* What is kept for the running task; it stands in the task. */
struct kn_current {
	struct kn_message *record; /* counted; the last failure: knit_raise() */
	struct kn_vars *vars;      /* owned: its context variables: lib/loop/context.h */
};

/* What a thread keeps to post with: lib/loop/batch.c. */
struct kn_open_batch {
	struct knit_loop *loop; /* that it went to, only to be compared; NULL if none is open */
	struct kn_batch *batch; /* shared with that loop */
	unsigned count;         /* posts in it */
};

#define KN_OPEN_BATCHES 8

struct kn_posting {
	struct kn_open_batch open[KN_OPEN_BATCHES]; /* the loop knows which one is for it */
	struct kn_batch *spare;                     /* owned */
};

struct kn_thread {
	struct knit_loop *loop;      /* the running loop; borrowed, NULL if none runs */
	struct knit_future *task;    /* the running task; borrowed, NULL in callbacks */
	struct kn_message **message; /* where a failure is recorded: current.record of the running
	                              * task, or own_message; NULL means own_message */
	struct kn_message *own_message; /* counted */
	struct kn_vars **vars;          /* where a callback's context variables are kept; NULL means
	                                 * those of the running task, or own_vars */
	struct kn_vars *own_vars;       /* owned; of the thread outside of tasks and callbacks */
	int create_error;               /* why the last creation returned NULL: a positive code */
	int exit_armed;                 /* the thread's exit runs the hooks below */
	struct kn_posting posting;
};

extern __thread struct kn_thread kn_self __attribute__((tls_model("initial-exec")));

/* Sees to it that this thread's end runs the hooks. 0 or a negative errno. */
int kn_thread_arm_exit(void);

#define KN_THREAD_HOOKS 8

/* @hook runs at the end of every armed thread, the last set first; at most KN_THREAD_HOOKS,
 * and setting one twice is harmless. A hook may use the library: if that arms the thread
 * again, all hooks run again, so they must be prepared to find nothing to do. */
void kn_thread_at_exit(void (*hook)(struct kn_thread *));
#endif
