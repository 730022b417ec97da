/* SPDX-License-Identifier: MIT */
/* task.h - futures and tasks from the inside, and how a task waits.
 *
 * A future is a state, an outcome and a list of waiters in the order of their registration. A
 * waiter is told synchronously that the future is done, and does no more than make something
 * ready; user code never runs inside a completion.
 *
 * A task is a future, and a fiber that computes its outcome. It is in exactly one place: ready
 * (its step is in the ready list), running, waiting (wait is set), or done. Whoever wakes it
 * clears wait. What a task waits for is a struct kn_wait in its own frame; the one thing that
 * others may do with it is to cancel it. */
#ifndef KN_TASK_TASK_H
#define KN_TASK_TASK_H
#include <errno.h>
#include "base/error.h"
#include "loop/debug.h"
#include "loop/loop.h"
#include "knit/task.h"

enum kn_state {
	KN_PENDING,
	KN_FINISHED,  /* with a value, or an error */
	KN_CANCELLED, /* outcome is -KNIT_ECANCELLED */
};

struct knit_future {
	struct knit_loop *loop; /* borrowed: see kn_future_new(); kn_freed_loop when freed */
	uint32_t refs;
	uint32_t index; /* in its slab */
	intptr_t outcome;
	struct kn_list waiters;
	struct kn_message *message; /* counted; of the failure or the cancellation */
	union {
		void (*result_free)(intptr_t outcome);
		struct kn_derived *derived; /* if is_derived */
	};
	uint8_t state; /* enum kn_state */
	bool is_task;
	bool retrieved; /* somebody has seen the outcome */
	bool quiet;     /* a failure that nobody retrieves is nobody's business either */
	bool marked;    /* while a call looks for duplicates; false between calls */
	bool is_derived;
	struct kn_origin *origin; /* counted: where it was created; NULL but in debug mode */
};

/* What a future that stands for others (a gather, a shield) is made of. A value of it belongs to
 * the others, so it has no result_free. */
struct kn_derived {
	/* Passes a request to cancel on; false: nobody accepts it. NULL: it is cancelled at once,
	 * as any future. Only while it is pending. */
	bool (*cancel)(struct kn_derived *derived, struct kn_message *message);
	/* The last reference to it is gone, done or not. */
	void (*drop)(struct kn_derived *derived, knit_future *future);
};

/* Suspensions that a closing loop refuses a task before it gives up. */
#define KN_REFUSALS_MAX 100

struct kn_scope;
struct kn_task;

struct kn_wait {
	/* Ends the wait of @task early if it can: true if a wake-up with -KNIT_ECANCELLED, or with
	 * what happened before, is certain. False: the request stays pending in the task. */
	bool (*cancel)(struct kn_wait *wait, struct kn_task *task, struct kn_message *message);
	bool for_tasks; /* they end it: a closing loop that gives up tasks begins with the others */
	bool in_line;   /* linked by place.line, which it leaves if it is given up */
	bool aside; /* nothing in the frame of the waiting call is reached by others meanwhile */
	bool stays; /* a cancelled task waits for it all the same: debug mode finds no fault */
};

/* What a task is linked by, wherever it is: in the ready list, among the waiters of the future that
 * it awaits, among the timers, or in a line. */
union kn_place {
	struct kn_ready ready; /* its next step */
	struct kn_timer sleep;
	struct {
		struct kn_waiter waiter;
		knit_future *awaited; /* borrowed from its frame */
	};
	struct {
		struct kn_ready ready; /* its link is in the line, then in the ready list */
		bool woken;
	} line; /* of those that wait for a lock, a queue...: lib/sync/waiters.c */
};

/* The order is that of use, since a short task touches little more than the first two lines. */
struct kn_task {
	struct knit_future future;
	union kn_place place;
	union {
		struct kn_fiber fiber;
		size_t stack_size; /* until it is started */
	};
	struct kn_wait *wait;  /* borrowed from its frame; NULL: does not wait */
	intptr_t wake_outcome; /* what the wait brought */
	union {
		struct {
			bool must_cancel; /* deliver the requests at the next suspension */
			bool interrupted; /* every suspension is to fail: a level scope was
			                   * cancelled */
			bool started, returned;
			uint8_t refused;        /* suspensions refused by a closing loop */
			bool eager : 1;         /* kn_task_hurry() starts it */
			bool taken : 1;         /* has gone to a creator: a factory may not return
			                         * it again */
			bool overdue : 1;       /* reported: it ignored its cancellation for the
			                         * grace period */
			bool stack_private : 1; /* nobody has pointers into its stack while it
			                         * waits */
			bool waits_long : 1;    /* a round of aside.c has seen it in this wait */
			bool untold : 1;        /* debug mode has not reported the last delivery */
			uint8_t immediate;      /* I/O that did not suspend: lib/io/cached.c */
			uint8_t immediate_pass; /* in which pass; the low bits */
		};
		uint64_t flags; /* all of them, to be cleared by one store */
	};
	unsigned cancelling;    /* requests to cancel, less those that were taken back */
	unsigned requests;      /* of these, not delivered yet, nor held */
	unsigned held;          /* of these, kept back by scopes with a shield */
	uint32_t deliveries;    /* counts kn_task_delivered(), and what was passed on */
	struct kn_scope *scope; /* the innermost; borrowed from its frame; NULL: none */
	struct kn_group *group; /* that it is a child of, which has a reference; NULL: none */
	struct kn_message *cancel_message; /* counted; of the pending request */
	struct kn_current current;
	knit_coro *coro;
	void *arg;
	void (*arg_free)(void *arg);
	uintptr_t name;      /* a text or a number: see kn_task_name_text() */
	struct kn_list link; /* loop->all_tasks until it is done */
	/* not set but by those who use them */
	struct kn_list
	        sibling; /* the group's children, then its errors; only if there is a group */
	struct kn_task *next_leftover; /* while knit_run() ends */
};

/* ---- objects ------------------------------------------------------------------------- */

extern struct knit_loop kn_freed_loop; /* the loop of freed futures; nobody owns it */

KN_COLD int kn_future_misused(const knit_future *future);

/* 0; -KNIT_EWRONGTHREAD; -EINVAL for NULL; panics for a freed one. */
static inline int kn_future_check(const knit_future *future)
{
	if (kn_likely(future && kn_loop_check(future->loop) == 0))
		return 0;
	return kn_future_misused(future);
}

KN_COLD KN_NORETURN void kn_future_foreign(const knit_future *future, const char *function);

/* As above, for calls that have no way to say so. */
static inline void kn_future_demand(const knit_future *future, const char *function)
{
	if (kn_unlikely(kn_future_check(future) < 0))
		kn_future_foreign(future, function);
}

/* The first object of a loop keeps it in memory, the last one no longer. */
static inline void kn_objects_added(struct knit_loop *loop)
{
	if (kn_unlikely(loop->tasks.live + loop->futures.live == 1))
		kn_loop_hold(loop);
}

static inline void kn_objects_removed(struct knit_loop *loop)
{
	if (kn_unlikely(loop->tasks.live + loop->futures.live == 0))
		kn_loop_let_go(loop);
}

/* A pending future with one reference, or NULL without memory. */
KN_NODISCARD knit_future *kn_future_new(struct knit_loop *loop);

/* The last reference to @future is being dropped. */
void kn_future_end(knit_future *future);

/* Drops a reference, no checks. */
static inline void kn_future_release(knit_future *future)
{
	if (kn_likely(future->refs > 1))
		future->refs--;
	else
		kn_future_end(future);
}

static inline void kn_future_init(knit_future *future, struct knit_loop *loop, uint32_t index)
{
	future->loop = loop;
	future->refs = 1;
	future->index = index;
	future->state = KN_PENDING;
	future->is_task = false;
	future->retrieved = false;
	future->quiet = false;
	future->marked = false;
	future->is_derived = false;
	future->outcome = 0;
	future->message = NULL;
	future->origin = NULL;
	kn_list_init(&future->waiters);
	future->result_free = NULL;
}

/* Makes the storage at @future a pending future that nobody may refer to but the task that awaits
 * it: for a call that waits for several, in its own frame. */
void kn_future_init_derived(knit_future *future, struct knit_loop *loop,
                            struct kn_derived *derived);

/* Tells the exception handler of a failure that nobody has retrieved, if it is one. */
void kn_future_report(knit_future *future, const char *message);

static inline struct kn_task *kn_task_of(knit_future *future)
{
	return kn_container_of(future, struct kn_task, future);
}

/* ---- completion ---------------------------------------------------------------------- */

static inline bool kn_future_is_done(const knit_future *future)
{
	return future->state != KN_PENDING;
}

/* Completes a pending future and tells its waiters. Consumes @message. */
void kn_future_complete(knit_future *future, intptr_t outcome, struct kn_message *message);
/* The same; -KNIT_ECANCELLED is a failure here, and does not make it a cancelled one. */
void kn_future_finish(knit_future *future, intptr_t outcome, struct kn_message *message);

/* Both of them. */
static inline void kn_future_settle(knit_future *future, enum kn_state state, intptr_t outcome,
                                    struct kn_message *message);

/* The outcome of a done future; its message becomes the caller's record. */
static inline intptr_t kn_future_retrieve(knit_future *future)
{
	future->retrieved = true;
	if (kn_unlikely(knit_is_error(future->outcome)))
		kn_message_record(kn_message_ref(future->message));
	return future->outcome;
}

/* Asks for cancellation, as Future.cancel() and Task.cancel() do. False: done, or a derived future
 * that stands for nothing but done ones. */
bool kn_future_request_cancel(knit_future *future, struct kn_message *message);
/* The same for a task that is not done, on behalf of one of its scopes. */
void kn_task_request_cancel(struct kn_task *task, struct kn_scope *from,
                            struct kn_message *message);
/* A request that nobody could take: the next suspension delivers it. */
void kn_task_keep_request(struct kn_task *task, struct kn_message *message);
/* Drops the requests that have not been delivered. */
void kn_task_forget_cancel(struct kn_task *task);
/* Takes one request back. */
void kn_task_uncancel(struct kn_task *task);

/* Frees the registrations of a future that will never be done, and tells other waiters. */
void kn_done_callbacks_free(knit_future *future);

/* Fills in @subject if @ready is a done-callback. */
bool kn_done_callback_describe(struct kn_ready *ready, struct kn_subject *subject);

/* If @ready is a done-callback: frees it unrun. */
void kn_done_callback_drop(struct kn_ready *ready);

/* ---- tasks --------------------------------------------------------------------------- */

/* A task on @loop from checked options, made by the loop's factory if there is one; its first step
 * is ready. With one reference for the loop and @references for the creator. NULL and a negative
 * code in *@error. Once the creator has done its own part (registered it as somebody's child, or
 * itself as a waiter) it calls kn_task_hurry(). */
KN_NODISCARD struct kn_task *kn_task_create(struct knit_loop *loop, knit_coro *coro,
                                            const knit_task_options *options, unsigned references,
                                            int *error);

/* The same, by the loop's factory. */
KN_NODISCARD struct kn_task *kn_task_from_factory(struct knit_loop *loop, knit_coro *coro,
                                                  const knit_task_options *options,
                                                  unsigned references, int *error);

/* Runs the first step of @task now, inside of the running task or callback. */
void kn_task_start(struct kn_task *task);

/* The last thing that a creator does: starts @task if it is an eager one. It may be done then, and
 * gone if the creator took no reference. Nobody who hears of its end may act on the creator there
 * and then: a task group, say, has to go by the ready list. */
static inline void kn_task_hurry(struct kn_task *task)
{
	if (kn_unlikely(task->eager))
		kn_task_start(task);
}

/* Fills in @subject if @ready is a step of a task. */
bool kn_task_describe(struct kn_ready *ready, struct kn_subject *subject);

/* The text of its name, or NULL: it is called by its number. */
const char *kn_task_name_text(const struct kn_task *task);
uint64_t kn_task_number(const struct kn_task *task);
void kn_task_free_name(struct kn_task *task);

/* Has the report of a stack overflow name the running task. */
void kn_task_name_overflows(void);

/* The step of a task, in the ready list. */
void kn_task_step(struct kn_ready *ready);

/* Before a switch to @task. */
static inline void kn_task_need_stack(struct kn_task *task)
{
	if (kn_unlikely(kn_fiber_is_aside(&task->fiber)))
		kn_fiber_bring_back(&task->fiber);
}

/* Puts the stacks of some of the tasks aside that have waited for long. @now: of CLOCK_MONOTONIC.
 * Returns when to call again; @now: there is more; KNIT_FOREVER: not before something has run. */
int64_t kn_tasks_put_aside(struct knit_loop *loop, int64_t now);

/* Leaves the running task for whatever is next in line; returns when its next step runs. */
void kn_task_leave(struct kn_task *task);

/* Ends a task that does not run: what its coroutine returned, or would have. */
void kn_task_finish(struct kn_task *task, intptr_t outcome);

/* ---- waiting ------------------------------------------------------------------------- */

extern struct kn_wait kn_awaiting; /* the wait of every task that awaits a future */

/* The future that @task awaits, or NULL. */
static inline knit_future *kn_task_awaits(const struct kn_task *task)
{
	return task->wait == &kn_awaiting ? task->place.awaited : NULL;
}

KN_COLD int kn_task_refuse(struct kn_task *task);

/* The running task, or NULL and why there is none that may suspend: -KNIT_ENOTASK, or
 * -KNIT_ECLOSED while its loop is being closed. */
static inline struct kn_task *kn_task_current(int *error)
{
	struct kn_task *task;

	if (kn_unlikely(!kn_self.task)) {
		*error = -KNIT_ENOTASK;
		return NULL;
	}
	task = kn_task_of(kn_self.task);
	if (kn_unlikely(task->future.loop->in_factory)) {
		*error = -KNIT_ENOTASK;
		return NULL;
	}
	if (kn_unlikely(task->future.loop->phase != KN_OPEN)) {
		*error = kn_task_refuse(task);
		return NULL;
	}
	return task;
}

/* Suspends the running task until kn_task_wake(). A request that is pending already is tried
 * on @wait first. Returns the wake-up's outcome; what to do about a request that came in the
 * meantime (task->must_cancel) is the caller's business. @wait may be NULL if the task is
 * ready already. */
intptr_t kn_task_park(struct kn_task *task, struct kn_wait *wait);

/* As above, with asyncio's rule: a pending request replaces what the wait brought. */
intptr_t kn_task_suspend(struct kn_task *task, struct kn_wait *wait);

/* The same inline, where it is done most: each return after a switch costs. */
static inline intptr_t kn_task_park_here(struct kn_task *task, struct kn_wait *wait);
static inline intptr_t kn_task_suspend_here(struct kn_task *task, struct kn_wait *wait);

/* Suspends the running task until @future is done: 0, or the error that came instead. The caller
 * has a reference, or @future stands in its frame. Waits in a loop that is being closed too. */
KN_NODISCARD int kn_task_await(struct kn_task *task, knit_future *future);

/* Makes a waiting task ready. Consumes @message. */
void kn_task_wake(struct kn_task *task, intptr_t outcome, struct kn_message *message);

/* The same with a value. */
static inline void kn_task_wake_with(struct kn_task *task, intptr_t value)
{
	if (kn_unlikely(kn_future_is_done(&task->future)))
		return; /* given up by a loop that was closed: it must never run again */
	task->wait = NULL;
	task->wake_outcome = value;
	task->place.ready.run = kn_task_step;
	kn_loop_ready(task->future.loop, &task->place.ready);
}

/* Tells a task that awaits a future. */
void kn_task_awaited_is_done(struct kn_waiter *waiter, knit_future *future);

static inline void kn_future_settle(knit_future *future, enum kn_state state, intptr_t outcome,
                                    struct kn_message *message)
{
	future->outcome = outcome;
	future->message = message;
	future->state = (uint8_t)state;
	while (!kn_list_empty(&future->waiters)) {
		struct kn_waiter *waiter = kn_list_entry(future->waiters.next, struct kn_waiter,
		                                         link);

		/* The usual case without the call. */
		if (kn_likely(waiter->notify == kn_task_awaited_is_done && state != KN_CANCELLED)) {
			kn_list_unlink(&waiter->link);
			kn_task_wake_with(kn_container_of(waiter, struct kn_task, place.waiter), 0);
		} else {
			kn_list_del(&waiter->link);
			waiter->notify(waiter, future);
		}
	}
}

/* Is a suspension that begins now to fail? */
static inline bool kn_task_is_cancelled(const struct kn_task *task)
{
	return task->must_cancel || task->interrupted;
}

/* The requests so far are dealt with: they came out of a suspension, or went to whatever the task
 * waited for. */
void kn_task_delivered(struct kn_task *task);

/* Delivers a pending request: records its message and returns -KNIT_ECANCELLED. */
int kn_task_take_cancel(struct kn_task *task);

static inline intptr_t kn_task_park_here(struct kn_task *task, struct kn_wait *wait)
{
	if (wait) { /* running, it has none */
		task->wait = wait;
		task->waits_long = false;
		/* A request from before: the new wait is cancelled as the task enters it (rule 91).
		 */
		if (kn_unlikely(kn_task_is_cancelled(task)) &&
		    wait->cancel(wait, task, task->cancel_message))
			task->must_cancel = false;
	}
	kn_task_leave(task);
	return task->wake_outcome;
}

static inline intptr_t kn_task_suspend_here(struct kn_task *task, struct kn_wait *wait)
{
	intptr_t outcome = kn_task_park_here(task, wait);

	if (kn_unlikely(task->must_cancel) && outcome != -KNIT_ECANCELLED)
		return kn_task_take_cancel(task);
	/* Cancelled already: a second request is delivered with the first, whose text it is. And
	 * what went to the awaited task or future has been dealt with there. */
	task->must_cancel = false;
	if (kn_unlikely(task->requests))
		kn_task_delivered(task);
	return outcome;
}

/* A request that was taken, or passed on, but turned out not to end the call: it stays pending,
 * if it was not taken back meanwhile. */
static inline void kn_task_keep_cancel(struct kn_task *task)
{
	task->must_cancel = task->must_cancel || task->requests > 0;
}

/* ---- the end of a loop --------------------------------------------------------------- */

/* Sets the hooks that lib/loop calls, and makes the slabs, at the first object. */
KN_COLD void kn_tasks_attach_now(struct knit_loop *loop);

static inline void kn_tasks_attach(struct knit_loop *loop)
{
	if (kn_unlikely(!loop->unwind))
		kn_tasks_attach_now(loop);
}

/* Cancels all tasks, each with a report; reports each as waiting for ever. */
void kn_tasks_unwind(struct knit_loop *loop);
/* Ends tasks that are not ready: those that wait for something else than a task, if there are
 * any, so that the others may unwind. Their frames stay, and with them whatever is in use. */
void kn_tasks_give_up(struct knit_loop *loop);
void kn_tasks_describe(struct knit_loop *loop);

/* Gives the unused part of a block of task numbers back, if it is the last block. */
void kn_task_numbers_return(struct knit_loop *loop);

/* The last act of a close: reports the failures that nobody retrieved of tasks that somebody still
 * refers to. */
void kn_tasks_close(struct knit_loop *loop);

/* Detaches all futures of knit_wrap_future(). */
void kn_wraps_close(struct knit_loop *loop);
#endif
