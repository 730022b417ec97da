/* SPDX-License-Identifier: MIT */
/* uring.c - entries into the ring, the system call, the wait.
 *
 * Entries are written as operations come and become visible to the kernel at the next
 * enter. An operation that finds the ring full even after an enter waits in a FIFO, and
 * so does a cancellation: what was asked for first reaches the kernel first.
 *
 * What the kernel has taken is read from its head, never from what the enter returned:
 * one that failed may have taken entries before it did. Each enter asks for events, since
 * with deferred task work nothing completes otherwise; and an empty completion queue does
 * not mean that nothing is ready, the ring's flags tell. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"
#include "engine/checkers.h"
#include "engine/uring.h"

/* How long a wait lasts at most while something that should be in the kernel is not: it
 * refused for want of memory, or the ring has no room. */
#define NAP (1000 * 1000) /* ns */

/* ---- the system call ---- */

static KN_HOT int call(struct kn_engine *engine, unsigned submit, unsigned wait)
{
	unsigned fd = (unsigned)engine->enter_fd;
	unsigned flags = engine->enter_flags | IORING_ENTER_GETEVENTS;
	struct kn_getevents_arg bound = {0};
	struct __kernel_timespec span;

	if (kn_unlikely(wait && engine->valgrind))
		return kn_embed_wait(engine, submit);
	if (!wait || (engine->wait_span == INT64_MAX && wait == 1))
		return io_uring_enter2(fd, submit, wait, flags, NULL, _NSIG / 8);
	if (engine->wait_span != INT64_MAX) {
		span = kn_deadline_span(engine->wait_span);
		bound.ts = (uintptr_t)&span;
	}
	if (wait > 1)
		bound.min_wait_us = engine->min_wait;
	return io_uring_enter2(fd, submit, wait, flags | IORING_ENTER_EXT_ARG, (void *)&bound,
	                       sizeof(bound));
}

/* Gives the kernel @submit entries and waits for @wait completions. Returns what the
 * system call did; -EINTR and the like are the caller's. */
static KN_HOT int enter_with(struct kn_engine *engine, unsigned submit, unsigned wait)
{
	unsigned head;
	int r;

	if (kn_uring_flags(engine) & IORING_SQ_CQ_OVERFLOW)
		engine->counters.overflows++;
	engine->counters.enters++;
	if (engine->faults.enter)
		r = engine->faults.enter(engine->faults.arg, engine, submit, wait, call);
	else
		r = call(engine, submit, wait);
	head = kn_uring_sq_head(engine);
	engine->counters.submitted += head - engine->sq_seen;
	engine->sq_seen = head;
	engine->wait_span = INT64_MAX;
	return r;
}

/* Gives it all there is. */
static int enter(struct kn_engine *engine, unsigned wait)
{
	__atomic_store_n(engine->ring.sq.ktail, engine->sq_tail, __ATOMIC_RELEASE);
	return enter_with(engine, kn_uring_unsent(engine), wait);
}

/* Does @error leave the ring usable? EBUSY, EAGAIN and ENOMEM: the kernel is short of
 * memory or of room for completions, and takes the entries later. */
static bool passing(int error)
{
	return error == -EINTR || error == -ETIME || error == -EAGAIN || error == -EBUSY ||
	       error == -ENOMEM;
}

static int broken(struct kn_engine *engine, int error)
{
	engine->broken = error;
	return error;
}

/* ---- entries ---- */

static KN_HOT struct io_uring_sqe *free_entry(struct kn_engine *engine)
{
	struct io_uring_sq *sq = &engine->ring.sq;
	struct io_uring_sqe *sqe;

	if (kn_uring_unsent(engine) >= sq->ring_entries)
		return NULL;
	sqe = &sq->sqes[engine->sq_tail++ & sq->ring_mask];
	memset(sqe, 0, sizeof(*sqe));
	engine->pulse.settled = false;
	return sqe;
}

static bool room(struct kn_engine *engine, const struct kn_op *op)
{
	return !engine->faults.room || engine->faults.room(engine->faults.arg, op);
}

KN_HOT struct io_uring_sqe *kn_uring_entry(struct kn_engine *engine, const struct kn_op *op)
{
	struct io_uring_sqe *sqe = NULL;

	if (room(engine, op)) {
		sqe = free_entry(engine);
		if (kn_likely(sqe))
			return sqe;
		int r = engine->broken ? engine->broken : enter(engine, 0);
		if (r < 0 && !passing(r))
			broken(engine, r);
		sqe = free_entry(engine);
	}
	engine->counters.queue_full++;
	return sqe;
}

static void wait_for_room(struct kn_engine *engine, struct kn_op *op, enum kn_op_state state)
{
	op->state = (uint8_t)state;
	kn_list_add_tail(&engine->waiting, &op->waiting);
	engine->pulse.settled = false;
}

static void write_op(struct io_uring_sqe *sqe, struct kn_op *op)
{
	kn_prepare(sqe, op);
	op->state = KN_OP_SENT;
	kn_checkers_release();
}

static void write_cancel(struct io_uring_sqe *sqe, struct kn_op *op)
{
	kn_prepare_cancel(sqe, op);
	op->state = KN_OP_SENT;
	op->due++;
}

KN_HOT void kn_uring_send(struct kn_engine *engine, struct kn_op *op)
{
	struct io_uring_sqe *sqe = NULL;

	/* Nobody overtakes those that wait. */
	if (kn_likely(kn_list_empty(&engine->waiting)))
		sqe = kn_uring_entry(engine, op);
	if (kn_likely(sqe))
		write_op(sqe, op);
	else
		wait_for_room(engine, op, KN_OP_QUEUED);
}

void kn_uring_send_cancel(struct kn_engine *engine, struct kn_op *op)
{
	struct io_uring_sqe *sqe = NULL;

	if (kn_likely(kn_list_empty(&engine->waiting)))
		sqe = kn_uring_entry(engine, op);
	if (kn_likely(sqe))
		write_cancel(sqe, op);
	else
		wait_for_room(engine, op, KN_OP_CANCEL_QUEUED);
}

void kn_uring_refill(struct kn_engine *engine)
{
	struct kn_op *op;
	struct io_uring_sqe *sqe;

	while ((op = kn_list_first(&engine->waiting, struct kn_op, waiting))) {
		if (!room(engine, op) || !(sqe = free_entry(engine)))
			return;
		kn_list_del(&op->waiting);
		if (op->state == KN_OP_QUEUED)
			write_op(sqe, op);
		else
			write_cancel(sqe, op);
	}
}

KN_HOT int kn_engine_submit(struct kn_engine *engine, struct kn_op *op)
{
	int r = kn_inflight_add(engine, op);

	if (kn_unlikely(r < 0))
		return r;
	op->result = 0;
	op->final_result = 0;
	op->more = false;
	op->due = 1;
	op->cancel_requested = false;
	kn_list_init(&op->waiting);
	kn_uring_send(engine, op);
	if (kn_unlikely(engine->draining))
		kn_engine_cancel(engine, op);
	return 0;
}

/* ---- submit and wait ---- */

/* Brings those that wait for room into the ring, and all but the last ringful into the
 * kernel, as long as that gets on and there is room for what completes. */
static int submit_waiting(struct kn_engine *engine)
{
	for (;;) {
		unsigned head;
		int r;

		kn_uring_refill(engine);
		if (kn_likely(kn_list_empty(&engine->waiting)))
			return 0;
		if (kn_uring_cq_count(engine) > engine->ring.cq.ring_entries / 2)
			return 0;
		head = kn_uring_sq_head(engine);
		if (head == engine->sq_tail)
			return 0;
		r = enter(engine, 0);
		if (r < 0 && !passing(r))
			return broken(engine, r);
		if (kn_uring_sq_head(engine) == head)
			return 0;
	}
}

/* Before a wait until @deadline: sees to it that it ends in time. False: there is nothing
 * to wait for any more. */
static bool set_deadline(struct kn_engine *engine, int64_t deadline)
{
	enum kn_deadline timer = KN_DEADLINE_SET;

	if (deadline != INT64_MAX)
		timer = kn_deadline_set(engine, deadline);
	if (timer == KN_DEADLINE_PAST)
		return false;
	if (timer == KN_DEADLINE_NO_ROOM)
		engine->wait_span = deadline - kn_deadline_now();
	/* What is not in the kernel cannot wake us. */
	if (!kn_list_empty(&engine->waiting) && engine->wait_span > NAP)
		engine->wait_span = NAP;
	if (kn_unlikely(!kn_list_empty(&engine->unheard))) {
		int64_t pause = engine->ask_at - kn_deadline_now();

		if (engine->wait_span > pause)
			engine->wait_span = pause > 0 ? pause : 1;
	}
	/* Making room for the timer's entry may have brought completions. */
	return engine->wait_span > 0 && !kn_reap_pending(engine);
}

/* The kernel took nothing for want of memory, although we wanted to wait: what completes
 * gives memory back, so wait for that, but not for long. */
static int nap(struct kn_engine *engine)
{
	int r;

	if (kn_reap_pending(engine))
		return 0;
	engine->wait_span = NAP;
	r = enter_with(engine, 0, 1);
	return r < 0 && !passing(r) ? broken(engine, r) : 0;
}

/* After an enter that was to bring something for an operation and did not: is there reason to
 * go on? @deadline may be that of an earlier wait, in which case the timer has fired for
 * nothing; what the kernel kept back may have been the engine's own; a bounded wait has ended. */
static bool go_on(struct kn_engine *engine, bool kept_back, bool bound_reached, int64_t deadline)
{
	bool moved = kn_reap_internal(engine) || bound_reached ||
	             (kept_back && !kn_uring_kept_back(engine));

	if (!moved || kn_reap_pending(engine) || !kn_list_empty(&engine->waiting))
		return false;
	return deadline == INT64_MAX || kn_deadline_now() < deadline;
}

KN_HOT int kn_engine_enter(struct kn_engine *engine, unsigned wait, int64_t deadline)
{
	int r = engine->broken ? engine->broken : submit_waiting(engine);
	unsigned many = engine->min_wait ? wait : 1;

	if (kn_unlikely(r < 0))
		return r;
	for (;;) {
		bool idle, kept_back, sleep;
		unsigned head;

		kn_reap_internal(engine);
		if (kn_unlikely(!kn_list_empty(&engine->unheard)))
			kn_cancel_ask_again(engine);
		idle = wait && !kn_reap_pending(engine);
		kept_back = kn_uring_kept_back(engine);
		/* With what is kept back a wait for one is over, so it needs no deadline; a wait
		 * for several is not. */
		sleep = idle && (!kept_back || many > 1) && set_deadline(engine, deadline);
		if (!sleep && !kept_back && !kn_uring_unsent(engine))
			return 0;
		head = kn_uring_sq_head(engine);
		r = enter(engine, sleep ? many : 0);
		if (kn_unlikely(r < 0)) {
			if (!passing(r))
				return broken(engine, r);
			if (r == -EINTR)
				return 0;
			if (r != -ETIME)
				return sleep ? nap(engine) : 0;
		}
		/* A kernel without SUBMIT_ALL stops at an entry that fails. */
		if (kn_unlikely(kn_uring_unsent(engine)) && kn_uring_sq_head(engine) != head)
			continue;
		if (!idle || !(sleep || kept_back))
			return 0;
		if (!go_on(engine, kept_back, r == -ETIME, deadline))
			return 0;
	}
}

bool kn_engine_ready(const struct kn_engine *engine)
{
	return kn_reap_pending(engine) || kn_uring_kept_back(engine);
}

/* Do tests want to see every operation? */
static bool is_watched(const struct kn_engine *engine)
{
	return engine->faults.room || engine->faults.enter || engine->faults.completion;
}

KN_HOT ssize_t kn_engine_send_alone(struct kn_engine *engine, int fd, const void *buffer,
                                    size_t size)
{
	int saved = errno;
	long r;

	if (!kn_engine_quiet(engine) || engine->draining || is_watched(engine))
		return -EAGAIN;
	kn_checkers_release();
	engine->counters.enters++;
	/* Not the C library's send(): that one is a point where a thread may be cancelled. */
	r = syscall(SYS_sendto, fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	if (r < 0)
		r = -errno;
	errno = saved;
	return r;
}

int kn_uring_flush(struct kn_engine *engine)
{
	int r = engine->broken ? engine->broken : submit_waiting(engine);

	if (r < 0 || !(kn_uring_unsent(engine) || kn_uring_kept_back(engine)))
		return r;
	r = enter(engine, 0);
	return r < 0 && !passing(r) ? broken(engine, r) : 0;
}

void kn_engine_counters(const struct kn_engine *engine, struct kn_engine_counters *ret)
{
	*ret = engine->counters;
}
