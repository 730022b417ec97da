/* SPDX-License-Identifier: MIT */
/* scope.h - a part of a task's run that can be cancelled by itself, within the whole.
 *
 * Scopes nest; each stands in a frame of the task's stack, and task->scope is the innermost. Both
 * kinds are made of one mechanism:
 *
 *   edge   knit_timeout, and the body of a task group: its cancellation is one request to the task,
 *          counted in task->cancelling and taken back at the exit, as asyncio does
 *   level  knit_cancel_scope: from its cancellation on every suspension inside it fails, and
 *          nothing is counted
 *
 * A request comes from a depth: from outside the task, or from one of its scopes. A scope with a
 * shield keeps requests that come from outside of it back until its exit (held); of several the
 * outermost does. */
#ifndef KN_TASK_SCOPE_H
#define KN_TASK_SCOPE_H
#include "task/task.h"

enum kn_scope_state {
	KN_SCOPE_ACTIVE = 1,
	KN_SCOPE_EXPIRING, /* cancelled by its deadline */
	KN_SCOPE_EXPIRED,  /* left after that */
	KN_SCOPE_FINISHED, /* left otherwise */
};

struct kn_scope {
	struct kn_timer timer; /* makes it expire */
	uint64_t magic;        /* of its address, while the content means something */
	struct kn_scope *outer;
	struct kn_task *task;       /* borrowed: whose it is */
	int64_t when;               /* KNIT_FOREVER: no deadline */
	struct kn_message *message; /* counted; of the requests that are held */
	unsigned cancelling;        /* task->cancelling at the entry */
	unsigned held;              /* requests kept back by the shield */
	uint8_t state;              /* enum kn_scope_state */
	bool level, shield;
	bool cancelled; /* level: the cancellation was called for */
	bool caught;    /* level: the exit took a cancellation for its own */
	bool own;       /* edge: its own request is among task->requests, or held */
	bool earlier;   /* a request was pending at the entry, and still is */
	bool merged;    /* its own request was delivered together with that one */
};

/* Enters it: for the running task, with a deadline (KNIT_FOREVER: none). 0 or -ENOMEM. */
KN_NODISCARD int kn_scope_enter(struct kn_scope *scope, struct kn_task *task, int64_t when,
                                bool level, bool shield);

/* Leaves it. Panics if a scope that was entered later is still open. */
void kn_scope_exit(struct kn_scope *scope);

/* Is it one that was entered, and not left? */
bool kn_scope_is_open(const struct kn_scope *scope);

/* Is it one that has been entered, and perhaps left? */
bool kn_scope_is_known(const struct kn_scope *scope);

/* Changes the deadline of an open one. 0 or -ENOMEM. */
KN_NODISCARD int kn_scope_reschedule(struct kn_scope *scope, int64_t when);

/* Cancels what runs inside it, as the deadline does. */
void kn_scope_cancel(struct kn_scope *scope, struct kn_message *message);

/* Edge: takes its own request back, whether it has been delivered or not. Returns how many are
 * left that the task had not yet had at the entry. */
unsigned kn_scope_withdraw(struct kn_scope *scope);
#endif
