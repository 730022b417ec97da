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
 * outermost does. A closing loop knows no shields.
 *
 * Whose a cancellation is, is a matter of counting, never of looking at what the body returned:
 * requests that were pending at the entry are of the same rank as those that came later, so that
 * no scope takes them for its own. */
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
	unsigned taken;             /* requests that the task had got before the entry */
	unsigned held;              /* requests kept back by the shield */
	uint32_t entered;           /* task->deliveries at the entry */
	uint32_t delivered;         /* the same when its own request was delivered or passed on */
	uint8_t state;              /* enum kn_scope_state */
	bool level, shield;
	bool cancelled; /* level: the cancellation was called for */
	bool caught;    /* level: the exit took a cancellation for its own */
	bool asked;     /* edge: it has made its own request */
	bool own;       /* edge: which is among task->requests, or held inside of it */
};

/* Enters it: for the running task, with a deadline (KNIT_FOREVER: none). 0 or -ENOMEM. */
KN_NODISCARD int kn_scope_enter(struct kn_scope *scope, struct kn_task *task, int64_t when,
                                bool level, bool shield);

/* May the running task enter it / leave it? 0; -EINVAL: NULL; -KNIT_ENOTASK; -KNIT_EINVALIDSTATE:
 * the task is inside already / is not; -KNIT_EWRONGTHREAD. */
KN_NODISCARD int kn_scope_check_entry(const struct kn_scope *scope);
KN_NODISCARD int kn_scope_check_exit(const struct kn_scope *scope);

/* Panics if a scope that was entered later is still open. */
void kn_scope_demand_innermost(const struct kn_scope *scope);

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

/* Edge: takes its own request back, whether it has been delivered or not. Returns
 * kn_scope_others(). After the exit. */
unsigned kn_scope_withdraw(struct kn_scope *scope);

/* How many others want the task to be cancelled, that it had not yet heard of at the entry: their
 * requests, and a level scope outside. What an outer shield holds does not count. After the exit.
 */
unsigned kn_scope_others(const struct kn_scope *scope);

/* As if these others had asked just now: what was delivered inside the scope is delivered once
 * more, because the exit returns something else instead. Consumes no reference. After the exit. */
void kn_scope_redeliver(struct kn_scope *scope, struct kn_message *message);
#endif
