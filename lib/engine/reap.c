/* SPDX-License-Identifier: MIT */
/* reap.c - from the kernel's completion to the operation's.
 *
 * A completion is copied and its place given back to the kernel before anything is done
 * about it, so complete() may submit, cancel and make the engine enter the kernel. It is
 * called from kn_engine_reap() only: nothing completes inside submit or cancel, so a chain
 * of operations that complete at once does not grow the stack. */
#include <errno.h>
#include "base/alloc.h"
#include "base/error.h"
#include "engine/checkers.h"
#include "engine/uring.h"

/* How far ahead of the completion that is dealt with: an owner is known when its operation is here.
 */
#define FETCH_OPS    8
#define FETCH_OWNERS 4

static struct kn_op *op_of(uint64_t user_data)
{
	return (struct kn_op *)(uintptr_t)(user_data & ~(uint64_t)KN_TAG_MASK);
}

/* The completion that is so far from the head of the queue, NULL if there is none. */
static inline const struct io_uring_cqe *peek_at(const struct kn_engine *engine, unsigned distance)
{
	const struct io_uring_cq *cq = &engine->ring.cq;

	if (kn_uring_cq_count(engine) <= distance)
		return NULL;
	return &cq->cqes[(*cq->khead + distance) & cq->ring_mask];
}

static inline const struct io_uring_cqe *peek(const struct kn_engine *engine)
{
	return peek_at(engine, 0);
}

static void advance(struct kn_engine *engine)
{
	unsigned *head = engine->ring.cq.khead;

	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	engine->counters.completed++;
}

/* Is @cqe of no concern to anybody but the engine? The answer to a cancellation is, unless
 * it is the last that its operation waits for. */
static bool internal(const struct io_uring_cqe *cqe)
{
	switch ((enum kn_tag)(cqe->user_data & KN_TAG_MASK)) {
	case KN_TAG_OP:
		return false;
	case KN_TAG_CANCEL:
		return op_of(cqe->user_data)->due > 1;
	default:
		return true;
	}
}

static void take_internal(struct kn_engine *engine, uint64_t user_data, int result)
{
	enum kn_tag tag = (enum kn_tag)(user_data & KN_TAG_MASK);

	if (tag == KN_TAG_CANCEL)
		kn_cancel_answered(engine, op_of(user_data), result);
	else
		kn_deadline_completed(engine, tag);
}

KN_HOT unsigned kn_reap_internal(struct kn_engine *engine)
{
	const struct io_uring_cqe *cqe;
	unsigned count = 0;

	while ((cqe = peek(engine)) && internal(cqe)) {
		uint64_t user_data = cqe->user_data;
		int result = cqe->res;

		advance(engine);
		take_internal(engine, user_data, result);
		count++;
	}
	return count;
}

KN_HOT bool kn_reap_pending(const struct kn_engine *engine)
{
	const struct io_uring_cq *cq = &engine->ring.cq;
	unsigned count = kn_uring_cq_count(engine);

	if (!kn_list_empty(&engine->finished) || engine->held_count)
		return true;
	for (unsigned i = 0; i < count; i++)
		if (!internal(&cq->cqes[(*cq->khead + i) & cq->ring_mask]))
			return true;
	return false;
}

/* ---- completing ---- */

static void finish(struct kn_engine *engine, struct kn_op *op)
{
	kn_inflight_remove(engine, op);
	op->state = KN_OP_IDLE;
	op->result = op->final_result;
	op->more = false;
	op->complete(op);
}

/* One of the operation's own completions. Returns how often complete() was called. */
static KN_HOT unsigned completed(struct kn_engine *engine, struct kn_op *op, int result, bool more)
{
	kn_checkers_acquire();
	if (engine->valgrind)
		kn_checkers_filled(op, result);
	if (more) {
		op->result = result;
		op->more = true;
		op->complete(op);
		return 1;
	}
	/* A cancellation that is not in the ring yet is not needed any more. */
	kn_list_del(&op->waiting);
	op->final_result = result;
	op->state = KN_OP_AWAITING_ANSWER;
	if (--op->due)
		return 0;
	finish(engine, op);
	return 1;
}

/* ---- the seam for tests ---- */

static bool hold(struct kn_engine *engine, struct kn_op *op, int result, bool more)
{
	if (engine->held_count == engine->held_room) {
		unsigned room = engine->held_room ? 2 * engine->held_room : 64;
		struct kn_held *held = kn_realloc(engine->held, room * sizeof(*held));

		if (!held)
			return false;
		engine->held = held;
		engine->held_room = room;
	}
	engine->held[engine->held_count++] = (struct kn_held){op, result, more};
	engine->pulse.settled = false;
	return true;
}

/* Must the completion queue behind one of the same operation? */
static bool is_held(const struct kn_engine *engine, const struct kn_op *op)
{
	for (unsigned i = 0; i < engine->held_count; i++)
		if (engine->held[i].op == op)
			return true;
	return false;
}

/* As completed(), after the tests had their say. */
static KN_HOT unsigned offer(struct kn_engine *engine, struct kn_op *op, int result, bool more)
{
	const struct kn_engine_faults *faults = &engine->faults;

	if (kn_likely(!faults->completion && !engine->held_count))
		return completed(engine, op, result, more);
	bool keep = op->multishot && is_held(engine, op);
	if (!keep && faults->completion)
		keep = !faults->completion(faults->arg, op, &result);
	if (keep && hold(engine, op, result, more))
		return 0;
	return completed(engine, op, result, more);
}

/* Offers again what was kept back before this reap. */
static unsigned reap_held(struct kn_engine *engine, unsigned max)
{
	unsigned count = engine->held_count, taken = 0, called = 0;
	struct kn_held *held = engine->held;

	if (!count)
		return 0;
	/* A list of its own, since what is kept back again, or newly, goes to the end. */
	engine->held = NULL;
	engine->held_count = engine->held_room = 0;
	while (taken < count && called < max) {
		called += offer(engine, held[taken].op, held[taken].result, held[taken].more);
		taken++;
	}
	for (; taken < count; taken++)
		if (!hold(engine, held[taken].op, held[taken].result, held[taken].more))
			called += completed(engine, held[taken].op, held[taken].result,
			                    held[taken].more);
	kn_free(held);
	return called;
}

void kn_engine_set_faults(struct kn_engine *engine, const struct kn_engine_faults *faults)
{
	engine->faults = faults ? *faults : (struct kn_engine_faults){0};
}

/* ---- reaping ---- */

static unsigned reap_finished(struct kn_engine *engine, unsigned max)
{
	unsigned called = 0;
	struct kn_op *op;

	while (called < max && (op = kn_list_first(&engine->finished, struct kn_op, waiting))) {
		kn_list_del(&op->waiting);
		called += offer(engine, op, -ECANCELED, false);
	}
	return called;
}

static KN_HOT unsigned reap_one(struct kn_engine *engine, const struct io_uring_cqe *cqe)
{
	uint64_t user_data = cqe->user_data;
	int result = cqe->res;
	bool more = cqe->flags & IORING_CQE_F_MORE;
	struct kn_op *op = op_of(user_data);

	advance(engine);
	switch ((enum kn_tag)(user_data & KN_TAG_MASK)) {
	case KN_TAG_OP:
		return offer(engine, op, result, more);
	case KN_TAG_CANCEL:
		kn_cancel_answered(engine, op, result);
		if (op->due)
			return 0;
		finish(engine, op);
		return 1;
	default:
		take_internal(engine, user_data, result);
		return 0;
	}
}

/* With a thousand connections each operation, and the task that waits for it, has left the cache
 * since it was last looked at: a tenth of a microsecond for each in its turn, little if they come
 * while others are dealt with. An operation is there as long as a completion of it is; of its
 * lines those are fetched that are written when it completes. */
static inline void fetch(uintptr_t address, int lines)
{
	for (int i = 0; i < lines; i++)
		__builtin_prefetch((const void *)(address + (uintptr_t)i * KN_CACHE_LINE), 1);
}

static inline void fetch_op(const struct kn_engine *engine, unsigned distance)
{
	const struct io_uring_cqe *cqe = peek_at(engine, distance);

	/* The engine's own have no operation; what is at no address is just not fetched. */
	if (cqe)
		fetch((uintptr_t)op_of(cqe->user_data) + offsetof(struct kn_op, complete), 2);
}

static inline void fetch_owner(const struct kn_engine *engine, unsigned distance)
{
	const struct io_uring_cqe *cqe = peek_at(engine, distance);

	if (cqe && (cqe->user_data & KN_TAG_MASK) == KN_TAG_OP)
		fetch((uintptr_t)op_of(cqe->user_data)->owner, 3);
}

KN_HOT unsigned kn_engine_reap(struct kn_engine *engine, unsigned max)
{
	const struct io_uring_cqe *cqe;
	unsigned called;

	kn_assert(!engine->reaping);
	engine->reaping = true;
	called = reap_held(engine, max);
	called += reap_finished(engine, max - called);
	for (unsigned i = 0; i < FETCH_OPS; i++)
		fetch_op(engine, i);
	for (unsigned i = 0; i < FETCH_OWNERS; i++)
		fetch_owner(engine, i);
	while (called < max && (cqe = peek(engine))) {
		fetch_op(engine, FETCH_OPS);
		fetch_owner(engine, FETCH_OWNERS);
		called += reap_one(engine, cqe);
	}
	kn_uring_refill(engine);
	engine->pulse.settled = !kn_uring_unsent(engine) && !engine->held_count &&
	                        kn_list_empty(&engine->waiting) &&
	                        kn_list_empty(&engine->unheard) && kn_list_empty(&engine->finished);
	engine->reaping = false;
	return called;
}
