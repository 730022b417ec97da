/* SPDX-License-Identifier: MIT */
/* concurrent.h - an outcome that crosses threads, from the inside. */
#ifndef KN_TASK_CONCURRENT_H
#define KN_TASK_CONCURRENT_H
#include <pthread.h>
#include "task/task.h"
#include "knit/thread.h"

/* Who completes it otherwise than by hand. Called without the lock. */
struct kn_source {
	/* The future was cancelled: pass it on. */
	void (*cancelled)(struct kn_source *source);
	void (*release)(struct kn_source *source);
	struct knit_loop *loop; /* held: the loop that completes it */
};

/* A future of some loop that is to follow. */
struct kn_watcher {
	struct kn_list link;
	struct knit_loop *loop; /* borrowed */
	struct kn_post post;    /* made when the concurrent future is done */
};

struct knit_concurrent_future {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	atomic_uint refs;
	/* under the lock */
	bool done;
	bool retrieved; /* the value is somebody's */
	intptr_t outcome;
	struct kn_message *message; /* owned: a copy of its own, since counts are not atomic */
	struct kn_list watchers;
	/* constant */
	struct kn_source *source; /* owned; NULL: completed by hand */
	void (*result_free)(intptr_t outcome);
};

/* A pending one with one reference. NULL without memory. */
knit_concurrent_future *kn_concurrent_new(struct kn_source *source);

/* Completes it if it is pending; copies @message. False: it was done. */
bool kn_concurrent_complete(knit_concurrent_future *future, intptr_t outcome,
                            const struct kn_message *message);

/* Makes the value of a future that is done the caller's. False: somebody has it already. */
bool kn_concurrent_take(knit_concurrent_future *future);

/* A copy for another thread, or NULL. */
struct kn_message *kn_message_copy(const struct kn_message *message);
#endif
