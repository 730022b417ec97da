/* SPDX-License-Identifier: MIT */
/* several.h - what the calls that take an array of awaitables have in common. */
#ifndef KN_TASK_SEVERAL_H
#define KN_TASK_SEVERAL_H
#include "task/task.h"

/* May the calling thread use all of them, and are they of @loop? 0; -EINVAL: there is no array, or
 * two loops; NULL among them: why the last creation failed; -KNIT_EWRONGTHREAD. */
KN_NODISCARD int kn_several_check(knit_future *const awaitables[], size_t n,
                                  const struct knit_loop *loop);

/* For a call that consumes them: drops a reference to each, but to those of other threads. */
void kn_several_release(knit_future *const awaitables[], size_t n);

/* Calls @notify of @waiter once @future is done, or puts @ready, what it would make ready, there
 * now: the done-callback of a call that waits for several. */
static inline void kn_several_watch(knit_future *future, struct kn_waiter *waiter,
                                    struct kn_ready *ready)
{
	if (kn_future_is_done(future))
		kn_loop_ready(future->loop, ready);
	else
		kn_list_add_tail(&future->waiters, &waiter->link);
}
#endif
