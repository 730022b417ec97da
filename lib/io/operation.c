/* SPDX-License-Identifier: MIT */
/* operation.c - how a task waits for the kernel, and how that wait is cancelled.
 *
 * The operation stands in the frame of the suspended call, and so do the buffers, as a rule. So
 * the call cannot return before the operation's last completion, on no path. A cancellation asks
 * the kernel, and the wait goes on. What then comes decides:
 *
 *   the kernel's -ECANCELED  the task's cancellation is delivered
 *   anything else            it is what happened, and is returned; the request stays pending and
 *                            is delivered at the next suspension, if it was not taken back
 *
 * Some calls begin another operation when one has ended: what was interrupted is done anew, and a
 * send that ended half way goes on. Between the two nothing is in flight, and until the task has
 * its step somebody may close the descriptor, and somebody open another with its number. So these
 * operations are on a list of the loop meanwhile, for knit_close() to find.
 *
 * A request that is pending when a call begins is delivered before the kernel is asked: else a
 * peer that always has data could keep a task from ever being cancelled. */
#include "io/operation.h"
#include "io/close.h"

/* A worker thread of the kernel that gets a signal says EINTR, or, where it meant to start the
 * system call anew, a code that no system call shows (ERESTARTSYS and its neighbours). */
static bool interrupted(intptr_t result)
{
	return result == -EINTR || (result <= -512 && result >= -516);
}

/* The frames that @task returns through come into the cache while others have their turn: from
 * where it is suspended up to those of the calls around the operation, which is some 500 bytes.
 * AddressSanitizer may keep the operation anywhere else. */
#define FRAMES_MOST 1024

static inline void fetch_frames(const struct kn_task *task, const struct kn_operation *operation)
{
	uintptr_t line = (uintptr_t)task->fiber.sp;
	uintptr_t end = (uintptr_t)(operation + 1) + KN_CACHE_LINE;

	if (kn_unlikely(end - line > FRAMES_MOST))
		return;
	for (; line < end; line += KN_CACHE_LINE)
		__builtin_prefetch((const void *)line, 1);
}

static KN_HOT void operation_complete(struct kn_op *op)
{
	struct kn_operation *operation = kn_container_of(op, struct kn_operation, op);
	struct kn_task *task = op->owner;
	bool half = op->result > 0 ? (size_t)op->result < operation->wanted
	                           : interrupted(op->result);

	if (kn_unlikely(half)) {
		operation->is_half = true;
		kn_list_add_tail(&task->future.loop->half_done, &operation->half);
	}
	fetch_frames(task, operation);
	kn_task_wake(task, op->result, NULL);
	if (kn_unlikely(operation->closer != NULL))
		kn_task_wake(operation->closer, 0, NULL);
}

void kn_operation_end(struct knit_loop *loop, struct kn_op *op)
{
	kn_engine_cancel(loop->engine, op);
	if (kn_unlikely(loop->parked))
		kn_loop_unpark(loop);
}

/* Of several requests the last one's message counts. */
static bool operation_cancel(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	struct kn_operation *operation = kn_container_of(wait, struct kn_operation, wait);
	struct kn_message *before = task->cancel_message;

	operation->cancelled = true;
	task->cancel_message = kn_message_ref(message);
	kn_message_unref(before);
	kn_operation_end(task->future.loop, &operation->op);
	return true;
}

struct kn_operation *kn_operation_of(struct kn_op *op)
{
	return op->complete == operation_complete ? kn_container_of(op, struct kn_operation, op)
	                                          : NULL;
}

void kn_operation_end_half_done(struct knit_loop *loop, int fd)
{
	kn_list_for_each (node, &loop->half_done) {
		struct kn_operation *operation = kn_list_entry(node, struct kn_operation, half);

		if (operation->op.fd == fd)
			operation->closed = true;
	}
}

/* ---- without suspending ---------------------------------------------------------------- */

/* A call counts one, and one more for each so many bytes. */
#define BUDGET       64
#define BUDGET_SHIFT 14 /* 16 KiB: copying as much takes a few microseconds */

KN_HOT bool kn_operation_may_return(void)
{
	const struct kn_thread *self = &kn_self;
	const struct knit_loop *loop = self->loop;

	return self->task && loop->phase == KN_OPEN && !loop->in_factory &&
	       !kn_task_is_cancelled(kn_task_of(self->task)) && kn_list_empty(&loop->closing_fds);
}

KN_HOT bool kn_operation_take_budget(size_t size)
{
	struct kn_task *task = kn_task_of(kn_self.task);
	/* One that finds the number of 256 passes ago suspends too early, once. */
	uint8_t pass = (uint8_t)task->future.loop->counters.passes;
	size_t cost = 1 + (size >> BUDGET_SHIFT);

	if (task->immediate_pass != pass) {
		task->immediate_pass = pass;
		task->immediate = 0;
	}
	if (task->immediate + cost > BUDGET) {
		/* The next would be done at once too. It goes through the ring for the sake of the
		 * others, not to wait for as many completions as .min_complete says. */
		task->future.loop->at_hand = task->future.loop->counters.passes + 1;
		return false;
	}
	task->immediate = (uint8_t)(task->immediate + cost);
	return true;
}

/* ---- suspending ------------------------------------------------------------------------ */

/* What the kernel said after the operation was to be ended early. */
static intptr_t settle(struct kn_operation *operation, intptr_t result)
{
	struct kn_task *task = operation->op.owner;

	if (result == -ECANCELED || interrupted(result)) {
		if (operation->cancelled && operation->partial)
			kn_task_keep_cancel(task);
		if (operation->cancelled)
			return operation->partial ? -KNIT_ECANCELLED : kn_task_take_cancel(task);
		return operation->closed ? -EBADF : -KNIT_ECLOSED;
	}
	/* Not taken back meanwhile by knit_task_uncancel(): it stays. */
	if (operation->cancelled)
		kn_task_keep_cancel(task);
	return result;
}

/* What keeps the kernel from being asked, told one pass later: no call may return at once
 * for ever. 0: nothing. */
static int check_entry(struct kn_task *task, int fd)
{
	struct knit_loop *loop = task->future.loop;
	bool closing = kn_is_closing(loop, fd);
	int r;

	if (!kn_task_is_cancelled(task) && !closing)
		return 0;
	r = knit_sleep(0);
	if (r < 0)
		return r;
	if (loop->phase != KN_OPEN)
		return -KNIT_ECLOSED;
	return closing || kn_is_closing(loop, fd) ? -EBADF : 0;
}

KN_HOT intptr_t kn_operation_run(struct kn_operation *operation)
{
	int error = 0;
	struct kn_task *task = kn_task_current(&error);
	struct kn_op *op = &operation->op;
	intptr_t result;

	if (kn_unlikely(!task))
		return error;
	if (kn_unlikely(operation->partial && kn_task_is_cancelled(task)))
		return -KNIT_ECANCELLED;
	if (kn_unlikely(kn_task_is_cancelled(task) ||
	                !kn_list_empty(&task->future.loop->closing_fds)))
		error = check_entry(task, op->fd);
	if (kn_unlikely(error < 0))
		return error;
	op->owner = task;
	operation->wait.cancel = operation_cancel;
	op->complete = operation_complete;
	do {
		error = kn_engine_submit(task->future.loop->engine, op);
		if (kn_unlikely(error < 0))
			return error;
		result = kn_task_park(task, &operation->wait);
		if (kn_unlikely(operation->is_half)) {
			operation->is_half = false;
			kn_list_del(&operation->half);
		}
		if (kn_unlikely(operation->cancelled || operation->closed || result == -ECANCELED))
			return settle(operation, result);
	} while (kn_unlikely(interrupted(result)));
	return result;
}
