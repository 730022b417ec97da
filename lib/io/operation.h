/* SPDX-License-Identifier: MIT */
/* operation.h - a task that waits for an operation of the kernel. */
#ifndef KN_IO_OPERATION_H
#define KN_IO_OPERATION_H
#include "engine/engine.h"
#include "task/task.h"

#define KN_IO_MAX 0x7ffff000u /* bytes that the kernel moves at a time */

/* An operation, in the frame of the call that waits for it. */
struct kn_operation {
	struct kn_op op;
	struct kn_wait wait;
	bool partial;           /* others before it had success, which the call will return: a
	                         * cancellation ends it, but stays pending */
	bool cancelled;         /* on behalf of the task */
	bool closed;            /* on behalf of knit_close() */
	bool is_half;           /* on the list of those that are half done */
	struct kn_task *closer; /* borrowed: waits in knit_close() for this to end */
	size_t wanted;          /* with fewer bytes the call begins another operation */
	struct kn_list half;    /* loop->half_done, while that one is still to be begun */
};

/* Has the kernel perform operation->op for the running task. Returns when the kernel is done
 * with it and everything that it names: the result, or a negative code, ECANCELED never among
 * them. */
intptr_t kn_operation_run(struct kn_operation *operation);

/* May a call of the running task return without suspending? Not if there is something to deliver
 * or to refuse first: kn_operation_run() does that. */
bool kn_operation_may_return(void);

/* A call that returns without suspending keeps the others waiting. So a task may do so but for some
 * calls and bytes (@size) in a pass; the next one goes through the ring, and with that behind
 * whatever else is ready. False: this is that one. */
bool kn_operation_take_budget(size_t size);

/* Reads what is in memory, without suspending. False: that was not all, *@ret_got bytes of it; the
 * rest is to be asked of the kernel. @fd may be anything. See cached.c. */
bool kn_read_cached(int fd, void *buffer, size_t size, int64_t offset, size_t *ret_got);

/* Asks the kernel to end @op early. Between the passes of a hosted loop nobody would hand the
 * kernel that request: the host is told to come. */
void kn_operation_end(struct knit_loop *loop, struct kn_op *op);

/* @fd is about to be closed: calls whose operation has ended begin no other one on it. */
void kn_operation_end_half_done(struct knit_loop *loop, int fd);

/* The operation that @op belongs to, NULL if it is not a task's. */
struct kn_operation *kn_operation_of(struct kn_op *op);
#endif
