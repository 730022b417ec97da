/* SPDX-License-Identifier: MIT */
/* wait_set.h - the inside of knit_wait_set, on which knit_as_completed stands too. */
#ifndef KN_TASK_WAIT_SET_H
#define KN_TASK_WAIT_SET_H
#include "task/task.h"

struct kn_wait_set;
struct kn_taker;

struct kn_member {
	struct kn_waiter waiter; /* while its future is pending */
	struct kn_ready ready;   /* for the pass after its completion */
	struct kn_list due;      /* set->due, once that has run */
	struct kn_taker *taker;  /* the task that it was handed to, and that has not gone on yet */
	struct kn_wait_set *set;
	knit_future *future; /* counted */
	void *cookie;
};

/* In storage of the user's. */
struct kn_wait_set {
	uint64_t magic; /* of its address, while the content means something */
	struct knit_loop *loop;
	struct kn_member **table; /* owned: members by future, hashed, probed linearly */
	size_t room, count;       /* slots of it, a power of two or 0; members */
	struct kn_list due;       /* members to be taken, in the order of completion */
	struct kn_list waiting;   /* tasks that wait for one, in order */
	size_t takers;            /* tasks inside of next() */
};

/* Begins a set for the running loop. 0 or -KNIT_ENOLOOP. */
KN_NODISCARD int kn_wait_set_init(struct kn_wait_set *set);

/* 0; -EINVAL: not one that was begun; -KNIT_EWRONGTHREAD. */
KN_NODISCARD int kn_wait_set_check(const struct kn_wait_set *set);

/* Takes the caller's reference over. One that is done can be taken at once, or, with @later, as if
 * it had been completed now. 0, or why the reference stays: -EEXIST, -ENOMEM. */
KN_NODISCARD int kn_wait_set_add(struct kn_wait_set *set, knit_future *future, void *cookie,
                                 bool later);

/* 0: with a reference; -ENOENT. */
KN_NODISCARD int kn_wait_set_remove(struct kn_wait_set *set, knit_future *future);

/* 1 and one that is done, with its reference; 0: there is none in the set; negative: why not. */
KN_NODISCARD int kn_wait_set_next(struct kn_wait_set *set, knit_future **ret_future,
                                  void **ret_cookie);

/* Ends it: drops the references to the members that are left. 0 or -EBUSY. */
KN_NODISCARD int kn_wait_set_end(struct kn_wait_set *set);
#endif
