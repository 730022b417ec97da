/* SPDX-License-Identifier: MIT */
/* uring.h - the io_uring engine's own state, and what its files call of each other.
 *
 *   setup.c     makes the ring, binds it to its thread, frees it
 *   diagnose.c  says why there is none
 *   uring.c     entries into the ring, the system call, the wait
 *   deadline.c     how the deadline of a wait reaches the kernel
 *   prepare.c   from an operation to the kernel's entry
 *   reap.c      from the kernel's completion to the operation's
 *   cancel.c    cancelling, and ending everything
 *   embed.c     waiting in a main loop that is not ours
 *   inflight.c  which operations are in flight on which descriptor
 *
 * Invariants. An operation is in exactly one of the states below; op->due is 1 until its
 * own last completion, plus 1 from the moment its cancellation is in the ring until the
 * kernel's answer to that. It is complete when op->due is 0, and is not touched after
 * complete() was called for the last time. */
#ifndef KN_ENGINE_URING_H
#define KN_ENGINE_URING_H
#include <liburing.h>
#include <stddef.h>
#include <sys/types.h>
#include "engine/engine.h"
#include "engine/kernel.h"

/* Where an operation is. */
enum kn_op_state {
	KN_OP_IDLE,           /* not the engine's */
	KN_OP_QUEUED,         /* in engine->waiting for room in the ring */
	KN_OP_CANCELLED,      /* in engine->finished: cancelled before it reached the ring */
	KN_OP_SENT,           /* in the ring or in the kernel */
	KN_OP_CANCEL_QUEUED,  /* as SENT; in engine->waiting for its cancellation's sake */
	KN_OP_AWAITING_ANSWER /* its own last completion came, the cancellation's not yet */
};

/* What a completion is for: the low bits of its user data. The alignment of an operation
 * leaves them free in its address. The engine's own entries have no address. */
enum kn_tag {
	KN_TAG_OP,
	KN_TAG_CANCEL, /* the answer to the cancellation of the operation */
	KN_TAG_TIMER,
	KN_TAG_TIMER_UPDATE,
	KN_TAG_MASK = 3,
};
_Static_assert(_Alignof(struct kn_op) > KN_TAG_MASK, "no room for the tag");

/* A completion that a test keeps back. */
struct kn_held {
	struct kn_op *op;
	int result;
	bool more;
};

struct kn_engine {
	struct kn_engine_pulse pulse; /* first: see engine.h */

	/* submission */
	unsigned sq_tail;        /* entries written; the kernel learns of it at the next enter */
	unsigned sq_seen;        /* the kernel's head when it was last looked at */
	struct kn_list waiting;  /* FIFO of op->waiting, states QUEUED and CANCEL_QUEUED */
	struct kn_list finished; /* FIFO of op->waiting, state CANCELLED */
	struct kn_list unheard;  /* op->waiting, state SENT: to be cancelled once more */
	int64_t ask_at;          /* when; see cancel.c */
	int64_t ask_pause;       /* before that, ns */
	size_t in_flight;
	unsigned enter_flags;
	int enter_fd;
	int broken; /* the error after which the ring is of no more use, or 0 */
	bool draining;
	bool reaping;
	bool valgrind;

	/* the deadline: see deadline.c */
	int64_t timer_slack; /* ns that a wait lasts at least, of the thread's own */
	int64_t timer_at;    /* when the timer in the ring fires, INT64_MAX if there is none */
	struct __kernel_timespec timer_span; /* read when the kernel takes the timer's entry */
	int64_t wait_span; /* ns that the next enter waits at most, INT64_MAX for ever */
	unsigned min_wait; /* us that a wait for several completions may take; 0: there is none */

	/* the descriptor table: see inflight.c */
	struct kn_list **chunks; /* owned, and each chunk too; NULL where none is needed yet */
	unsigned chunk_count;
	struct kn_list loose; /* operations without a descriptor */

	struct kn_engine_counters counters;
	struct kn_engine_faults faults;
	struct kn_held *held; /* owned */
	unsigned held_count, held_room;

	/* identity */
	struct io_uring ring;
	unsigned features;
	int event_fd;   /* owned; what a host's main loop polls, -1 until somebody asks */
	int registered; /* our index among the thread's registered rings, or -1 */
	bool started;
	pid_t process; /* who made it */
	pid_t thread;  /* who it is bound to */
};

_Static_assert(offsetof(struct kn_engine, pulse) == 0, "see kn_engine_quiet()");

/* ---- the ring's shared words ---- */

static inline unsigned kn_uring_flags(const struct kn_engine *engine)
{
	return __atomic_load_n(engine->ring.sq.kflags, __ATOMIC_ACQUIRE);
}

/* Does the kernel keep completions back until the next enter? */
static inline bool kn_uring_kept_back(const struct kn_engine *engine)
{
	return kn_uring_flags(engine) & engine->pulse.kept_back;
}

static inline unsigned kn_uring_sq_head(const struct kn_engine *engine)
{
	return __atomic_load_n(engine->ring.sq.khead, __ATOMIC_ACQUIRE);
}

/* Entries written that the kernel has not taken. Never derived from what an enter
 * returned: one that failed may have taken some. */
static inline unsigned kn_uring_unsent(const struct kn_engine *engine)
{
	return engine->sq_tail - kn_uring_sq_head(engine);
}

/* Completions in the queue, the engine's own included. */
static inline unsigned kn_uring_cq_count(const struct kn_engine *engine)
{
	return __atomic_load_n(engine->ring.cq.ktail, __ATOMIC_ACQUIRE) - *engine->ring.cq.khead;
}

/* ---- uring.c ---- */

/* An empty entry of the ring, or NULL where there is none; a full ring is emptied by an
 * enter first. @op is whom it is for, NULL for the engine itself. */
struct io_uring_sqe *kn_uring_entry(struct kn_engine *engine, const struct kn_op *op);

/* Puts the operation, or its cancellation, into the ring, or into engine->waiting. */
void kn_uring_send(struct kn_engine *engine, struct kn_op *op);
void kn_uring_send_cancel(struct kn_engine *engine, struct kn_op *op);

/* Puts what waits for room into the ring as far as there is any, making no system call. */
void kn_uring_refill(struct kn_engine *engine);

/* Gives the kernel what is queued, and takes what it keeps back, without waiting. 0 or
 * the error after which the engine is of no more use. */
int kn_uring_flush(struct kn_engine *engine);

/* ---- deadline.c ---- */

enum kn_deadline {
	KN_DEADLINE_SET,     /* the ring's timer fires at the deadline or before */
	KN_DEADLINE_PAST,    /* the deadline has been reached */
	KN_DEADLINE_NO_ROOM, /* the ring had no room for its entry */
};

int64_t kn_deadline_now(void);
struct __kernel_timespec kn_deadline_span(int64_t span);
/* Learns the calling thread's timer slack. */
void kn_deadline_bind(struct kn_engine *engine);
enum kn_deadline kn_deadline_set(struct kn_engine *engine, int64_t deadline);
/* A completion with one of the timer's tags. */
void kn_deadline_completed(struct kn_engine *engine, enum kn_tag tag);

/* ---- embed.c ---- */

/* For valgrind: as an enter that submits so many entries and waits, or nearly: it may return
 * without a completion. */
int kn_embed_wait(struct kn_engine *engine, unsigned submit);

/* ---- prepare.c ---- */

void kn_prepare(struct io_uring_sqe *sqe, const struct kn_op *op);
void kn_prepare_cancel(struct io_uring_sqe *sqe, const struct kn_op *op);

/* ---- reap.c ---- */

/* Takes what concerns only the engine from the head of the completion queue. Returns how
 * many entries that were. */
unsigned kn_reap_internal(struct kn_engine *engine);
/* Is there an operation to be completed, without asking the kernel? */
bool kn_reap_pending(const struct kn_engine *engine);

/* ---- cancel.c ---- */

/* The kernel's answer to the cancellation of @op, which is completed by the caller if
 * op->due is 0 then. */
void kn_cancel_answered(struct kn_engine *engine, struct kn_op *op, int result);
/* Repeats the cancellations that failed, if it is time to. */
void kn_cancel_ask_again(struct kn_engine *engine);

/* ---- inflight.c ---- */

void kn_inflight_init(struct kn_engine *engine);
void kn_inflight_done(struct kn_engine *engine);
/* 0 or -ENOMEM. */
int kn_inflight_add(struct kn_engine *engine, struct kn_op *op);
void kn_inflight_remove(struct kn_engine *engine, struct kn_op *op);
/* Calls @visit for each operation in flight; it may not take one out. */
void kn_inflight_each(struct kn_engine *engine,
                      void (*visit)(struct kn_engine *engine, struct kn_op *op));

/* ---- diagnose.c ---- */

/* Writes the sentence for @error (negative errno), which @call returned, to @why. */
void kn_diagnose(char *why, size_t size, const char *call, int error);
#endif
