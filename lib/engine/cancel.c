/* SPDX-License-Identifier: MIT */
/* cancel.c - cancelling an operation, and ending all of them.
 *
 * A cancellation names its operation by user data, which is its address and hence
 * unique: the kernel finds it by a hash. By descriptor it would search them all.
 *
 * The kernel may answer that it found nothing although the operation goes on: one that is
 * between two attempts (a connect to a Unix socket whose backlog is full makes a hundred) is in
 * none of the places where the kernel looks. And one that runs in a worker thread gets a signal,
 * which it may overlook. So a cancellation that failed is repeated as long as the operation
 * is in flight, after a pause that doubles from 1 to 128 ms. */
#include <errno.h>
#include "engine/uring.h"

#define PAUSE_FIRST (1000 * 1000) /* ns */
#define PAUSE_MAX   (128 * PAUSE_FIRST)

void kn_engine_cancel(struct kn_engine *engine, struct kn_op *op)
{
	if (op->cancel_requested)
		return;
	switch ((enum kn_op_state)op->state) {
	case KN_OP_QUEUED:
		op->cancel_requested = true;
		op->state = KN_OP_CANCELLED;
		kn_list_del(&op->waiting);
		kn_list_add_tail(&engine->finished, &op->waiting);
		engine->pulse.settled = false;
		return;
	case KN_OP_SENT:
		op->cancel_requested = true;
		kn_list_del(&op->waiting);
		kn_uring_send_cancel(engine, op);
		return;
	default:
		return;
	}
}

void kn_cancel_answered(struct kn_engine *engine, struct kn_op *op, int result)
{
	int64_t now;

	op->due--;
	if (kn_likely(!op->due || result >= 0))
		return;
	/* Most likely it ends by itself, before the pause is over. */
	op->cancel_requested = false;
	if (kn_list_empty(&engine->unheard)) {
		now = kn_deadline_now();
		if (now > engine->ask_at + 2 * engine->ask_pause)
			engine->ask_pause = PAUSE_FIRST;
		else if (engine->ask_pause < PAUSE_MAX)
			engine->ask_pause *= 2;
		engine->ask_at = now + engine->ask_pause;
	}
	kn_list_add_tail(&engine->unheard, &op->waiting);
	engine->pulse.settled = false;
}

void kn_cancel_ask_again(struct kn_engine *engine)
{
	struct kn_op *op;

	if (kn_deadline_now() < engine->ask_at)
		return;
	/* Answers come in at a reap only, so this ends. */
	while ((op = kn_list_first(&engine->unheard, struct kn_op, waiting)))
		kn_engine_cancel(engine, op);
}

static void cancel_one(struct kn_engine *engine, struct kn_op *op)
{
	kn_engine_cancel(engine, op);
}

size_t kn_engine_drain(struct kn_engine *engine, int64_t deadline)
{
	engine->draining = true;
	kn_inflight_each(engine, cancel_one);
	while (engine->in_flight) {
		bool late = kn_deadline_now() >= deadline;

		if (kn_engine_enter(engine, !late, deadline) < 0)
			break;
		if (!kn_engine_reap(engine, UINT32_MAX) && late && !kn_uring_kept_back(engine))
			break;
	}
	engine->draining = false;
	return engine->in_flight;
}
