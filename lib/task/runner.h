/* SPDX-License-Identifier: MIT */
/* runner.h - what run.c, leftovers.c and runner.c share: the parts of a program's run. */
#ifndef KN_TASK_RUNNER_H
#define KN_TASK_RUNNER_H
#include "task/task.h"

/* Runs @loop, which is running, until @future is done: 0, or a negative code if it is not. */
KN_NODISCARD int kn_run_until(struct knit_loop *loop, knit_future *future);

/* kn_loop_end_run(), unless a coroutine has forked and this is the child: then nothing of the loop
 * is its own. */
void kn_run_end(struct knit_loop *loop);

/* Cancels all tasks of @loop, which is running, runs until they are done, and tells the exception
 * handler of what failed. 0; -ETIMEDOUT: some ignored that for @grace (in ns; KNIT_FOREVER: no
 * limit), of which it tells too; another negative code. */
KN_NODISCARD int kn_leftovers_end(struct knit_loop *loop, int64_t grace);
#endif
