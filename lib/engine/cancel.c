/* SPDX-License-Identifier: MIT */
/* cancel.c - cancelling an operation, and ending all of them.
 *
 * A cancellation names its operation by user data, which is its address and hence
 * unique: the kernel finds it by a hash. By descriptor it would search them all. */
#include <errno.h>
#include "engine/uring.h"

/* drain() asks again for what the kernel could not cancel the first time (a worker thread
 * had just taken it) when nothing has completed for so long. */
#define ASK_AGAIN (10 * 1000 * 1000) /* ns */

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
		return;
	case KN_OP_SENT:
		op->cancel_requested = true;
		kn_uring_send_cancel(engine, op);
		return;
	default:
		return;
	}
}

void kn_cancel_answered(struct kn_op *op, int result)
{
	op->due--;
	/* Not found, or running in a worker thread: it ends by itself, most likely. Whoever
	 * does not want to rely on that may ask again. */
	if (op->due && result < 0)
		op->cancel_requested = false;
}

static void cancel_one(struct kn_engine *engine, struct kn_op *op)
{
	kn_engine_cancel(engine, op);
}

size_t kn_engine_drain(struct kn_engine *engine, int64_t deadline)
{
	int64_t now = kn_deadline_now(), again = now + ASK_AGAIN;

	engine->draining = true;
	kn_inflight_each(engine, cancel_one);
	while (engine->in_flight) {
		int64_t until = again < deadline ? again : deadline;
		bool late = now >= deadline;

		if (kn_engine_enter(engine, !late, until) < 0)
			break;
		if (kn_engine_reap(engine, UINT32_MAX)) {
			again = kn_deadline_now() + ASK_AGAIN;
			continue;
		}
		if (late && !kn_uring_kept_back(engine))
			break;
		now = kn_deadline_now();
		if (now >= again) {
			kn_inflight_each(engine, cancel_one);
			again = now + ASK_AGAIN;
		}
	}
	engine->draining = false;
	return engine->in_flight;
}
