/* SPDX-License-Identifier: MIT */
/* run_on.c - a call that crosses loops: knit_run_on().
 *
 * The call is a record in the caller's frame, which the caller's task does not leave before the
 * other loop has let go of it. The other loop holds it with the call itself, and once more if
 * a cancellation was sent after it: @held counts both. Whoever lets go last sends the answer,
 * so no post to the other loop is outstanding when the caller returns. Nothing is allocated for
 * the way there and back; so a call can be refused, but an answer cannot get lost.
 *
 * A request to cancel goes over as often as one is made, but one at a time: the next that comes
 * while one is on its way is the same. One that finds nothing to cancel any more has not been
 * delivered, and stays pending in the caller. Calls may go in a circle, of tasks that wait for each
 * other for ever: so a request has a number, and passes no call twice. */
#include "task/concurrent.h"
#include "base/options.h"

struct call {
	struct kn_wait wait;
	struct kn_post go, cancel; /* to the other loop */
	struct kn_post back;       /* to the caller's */
	struct kn_waiter waiter;   /* the other loop's: while the task is not done */
	struct kn_task *caller;    /* borrowed */
	struct knit_loop *here;    /* the caller's loop; held */
	struct knit_loop *there;   /* borrowed */
	knit_coro *coro;
	const knit_task_options *options;
	struct kn_vars *vars; /* owned by the other loop: the caller's context variables */
	knit_future *task;    /* the other loop's; borrowed while it is not done */
	intptr_t outcome;
	struct kn_message *message; /* owned: a copy */
	struct kn_message *why; /* owned by the other loop once it is sent: the request's text */
	atomic_uint held;       /* by the other loop */
	atomic_bool cancelling; /* a request is on its way: why, missed and cancel are its own */
	bool missed;            /* a request that came too late */
	uint64_t request;       /* the number of the last one that was sent */
};

/* The request that this thread is passing on, 0 if it makes one of its own. */
static __thread uint64_t relayed;

static uint64_t request_number(void)
{
	static atomic_uint_fast64_t last;

	return relayed ? relayed : atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

/* ---- on the other loop --------------------------------------------------------------- */

static void let_go(struct call *call)
{
	struct knit_loop *here = call->here;

	if (atomic_fetch_sub_explicit(&call->held, 1, memory_order_acq_rel) > 1)
		return;
	/* Refused only if the caller's loop gave up waiting for us: then its stack was kept. */
	(void)!kn_loop_post(here, &call->back);
	kn_loop_let_go(here);
}

static void call_is_done(struct kn_waiter *waiter, knit_future *task)
{
	struct call *call = kn_container_of(waiter, struct call, waiter);

	call->task = NULL;
	call->outcome = task->outcome;
	if (call->outcome == -KNIT_ECANCELLED && task->loop->phase != KN_OPEN)
		call->outcome = -KNIT_ECLOSED;
	call->message = kn_message_copy(task->message);
	task->retrieved = true;
	let_go(call);
}

static void call_go(struct kn_ready *ready)
{
	struct call *call = kn_container_of(ready, struct call, go.ready);
	struct kn_vars_frame frame;
	struct kn_task *task;
	int error;

	kn_vars_enter(&frame, call->vars);
	task = kn_task_create(call->there, call->coro, call->options, 0, &error);
	kn_vars_leave(&frame);

	if (!task) {
		call->outcome = error;
		let_go(call);
		return;
	}
	call->task = &task->future;
	call->waiter.notify = call_is_done;
	kn_list_add_tail(&task->future.waiters, &call->waiter.link);
	kn_task_hurry(task);
}

static void call_cancel(struct kn_ready *ready)
{
	struct call *call = kn_container_of(ready, struct call, cancel.ready);

	relayed = call->request;
	if (call->task)
		(void)kn_future_request_cancel(call->task, call->why);
	else
		call->missed = true;
	relayed = 0;
	call->why = kn_message_unref(call->why);
	atomic_store_explicit(&call->cancelling, false, memory_order_release);
	let_go(call);
}

/* ---- on the caller's loop ------------------------------------------------------------ */

static void call_back(struct kn_ready *ready)
{
	struct call *call = kn_container_of(ready, struct call, back.ready);

	if (call->here != call->there)
		call->here->remote--;
	kn_task_wake(call->caller, 0, NULL);
}

/* Passes the request on. The wait goes on until the other side is done, whose outcome then
 * decides, as with knit_await(). */
static bool call_request_cancel(struct kn_wait *wait, struct kn_task *task,
                                struct kn_message *message)
{
	struct call *call = kn_container_of(wait, struct call, wait);
	unsigned held = atomic_load_explicit(&call->held, memory_order_relaxed);
	struct kn_message *before = task->cancel_message;
	uint64_t number = request_number();

	/* Should it come too late: the text that stays pending with it. */
	task->cancel_message = kn_message_ref(message);
	kn_message_unref(before);
	if (atomic_load_explicit(&call->cancelling, memory_order_acquire) ||
	    number <= call->request)
		return true;
	do {
		if (held == 0)
			return false; /* the answer is on its way */
	} while (!atomic_compare_exchange_weak_explicit(
	        &call->held, &held, held + 1, memory_order_relaxed, memory_order_relaxed));
	atomic_store_explicit(&call->cancelling, true, memory_order_relaxed);
	call->request = number;
	call->why = kn_message_copy(message);
	if (kn_loop_post(call->there, &call->cancel) < 0) {
		/* Closed: the call itself has been or is being answered. */
		call->why = kn_message_unref(call->why);
		call->missed = true;
		atomic_store_explicit(&call->cancelling, false, memory_order_relaxed);
		let_go(call);
	}
	return true;
}

static void init_posts(struct call *call)
{
	call->wait.cancel = call_request_cancel;
	call->go.ready.run = call_go;
	call->cancel.ready.run = call_cancel;
	call->back.ready.run = call_back;
	kn_list_init(&call->go.ready.link);
	kn_list_init(&call->cancel.ready.link);
	kn_list_init(&call->back.ready.link);
	atomic_init(&call->held, 1);
	atomic_init(&call->cancelling, false);
}

intptr_t knit_run_on_with(knit_loop *loop, knit_coro *coro, const knit_task_options *given)
{
	knit_task_options options;
	int r = kn_options_copy(&options, sizeof(options), given);
	struct kn_task *task = r < 0 ? NULL : kn_task_current(&r);
	struct call call = {.caller = task, .there = loop, .coro = coro, .options = &options};

	if (!task)
		return kn_fail(r);
	if (!loop || !coro)
		return kn_fail(-EINVAL);
	init_posts(&call);
	call.vars = kn_vars_capture();
	call.here = task->future.loop;
	kn_loop_hold(call.here);
	r = kn_loop_post(loop, &call.go);
	if (r < 0) {
		kn_vars_release(call.vars);
		kn_loop_let_go(call.here);
		return kn_fail(r);
	}
	/* A call to the own loop is nothing that comes from outside: virtual time goes on. */
	if (call.here != loop)
		call.here->remote++;
	(void)kn_task_park(task, &call.wait);
	if (kn_unlikely(call.missed) && call.outcome != -KNIT_ECANCELLED)
		kn_task_keep_cancel(task);
	else if (!task->must_cancel)
		kn_task_delivered(task); /* over there */
	if (knit_is_error(call.outcome))
		kn_message_record(call.message);
	return call.outcome;
}

intptr_t(knit_run_on)(knit_loop *loop, knit_coro *coro, void *arg)
{
	return knit_run_on(loop, coro, arg);
}
