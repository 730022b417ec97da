/* SPDX-License-Identifier: MIT */
/* executor.h - blocking calls in threads, from the inside.
 *
 * A call is a struct kn_job, embedded in whatever made it. It is in exactly one place: waiting in
 * the executor's queue, with a thread that runs it, or on its way back as a post to the loop
 * that made it. */
#ifndef KN_LOOP_EXECUTOR_H
#define KN_LOOP_EXECUTOR_H
#include <pthread.h>
#include "loop/loop.h"
#include "knit/executor.h"

struct kn_job {
	struct kn_list link; /* in the queue, or alone; under the executor's lock */
	/* The answer. Its run() is the maker's, and calls kn_job_end() first. */
	struct kn_post back;
	/* In the executor's thread, if nobody will take the answer: the loop gave up waiting and is
	 * closed. The last that happens to the job. */
	void (*orphaned)(struct kn_job *job);
	struct knit_loop *loop;         /* held until the end */
	struct knit_executor *executor; /* held until the end */
	knit_function *function;
	void *arg;
	struct kn_vars *vars; /* what the function runs in: the thread's once it is submitted */
	intptr_t outcome;
	struct kn_message *message; /* with the answer: one reference, of the maker's thread */
	bool by_default;            /* the executor is the loop's default */
};

/* Owner. Hands a job with back.ready.run, orphaned, function, arg and vars over to @executor,
 * NULL: the loop's default. 0, or a negative code: nothing has happened. */
KN_NODISCARD int kn_job_submit(struct knit_loop *loop, struct knit_executor *executor,
                               struct kn_job *job);

/* Owner. True: no thread had taken it, and none will: the maker ends it, and has its vars again. */
bool kn_job_withdraw(struct kn_job *job);

/* Owner. Lets go of what a job holds: once, when it has been answered or withdrawn. May join
 * threads that have nothing left to do. */
void kn_job_end(struct kn_job *job);

/* Owner. The loop has no default executor from now on, for good. */
void kn_executor_drop_default(struct knit_loop *loop);

/* pthread_create(), for tests to replace. */
extern int (*kn_executor_start_thread)(pthread_t *thread, const pthread_attr_t *attributes,
                                       void *(*main)(void *), void *arg);
#endif
