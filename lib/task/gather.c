/* SPDX-License-Identifier: MIT */
/* gather.c - waiting for all of several: knit_gather() and knit_gather_future().
 *
 * A gather is a derived future with a block of children. Each child is told of by a callback of the
 * pass after its completion, as asyncio's are; the last one, or the first that failed, completes
 * the gather. It leaves its children in that moment, so nothing of it outlives the call, and the
 * cost per child does not depend on how many there are. A failure of a child that it has left is
 * nobody's business any more, which the child itself remembers (quiet).
 *
 * knit_gather() has the future in its own frame, and takes the outcomes of the children when the
 * task goes on: if it was cancelled in between, their values are still nobody's and go to their
 * result_free. A knit_gather_future() owns the rest; with its last reference goes that too. */
#include "knit/wait.h"
#include "base/alloc.h"
#include "base/options.h"
#include "task/several.h"

#define IN_FRAME 8 /* so many children of knit_gather() need no allocation */

struct gather;

struct child {
	struct kn_waiter waiter;
	struct kn_ready ready;
	struct gather *gather;
	knit_future *future; /* counted */
};

struct gather {
	struct kn_derived derived;
	knit_future *future;    /* what others see; borrowed */
	knit_future own;        /* this, for knit_gather() */
	struct child *children; /* owned, unless they stand in the caller's frame */
	struct child *in_frame; /* room for IN_FRAME of them there; NULL: none */
	size_t n, left;         /* children; of these, not told of yet */
	intptr_t *outcomes;     /* borrowed; NULL: nobody wants them */
	bool return_exceptions;
	bool cancelled;             /* a child has accepted a request that was passed on */
	bool cancelling;            /* right now: it is among those on the way from inner_one */
	size_t next;                /* then: the child whose turn it is */
	struct kn_message *request; /* then: counted */
	struct gather *outer; /* then: the one that goes on after this; or see gather_drop() */
	bool quiet;           /* while it is being dropped: for leave_children() */
};

/* ---- children ------------------------------------------------------------------------ */

/* Whatever they do from here on is nobody's business if @quiet. May run result_free functions. */
static void leave_children(struct gather *gather, bool quiet)
{
	struct child *children = gather->children;
	size_t n = gather->n;

	gather->children = NULL;
	gather->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct child *child = &children[i];

		kn_list_del(&child->waiter.link);
		kn_list_del(&child->ready.link);
		child->future->quiet = child->future->quiet || quiet;
		kn_future_release(child->future);
	}
	if (children != gather->in_frame)
		kn_free(children);
}

static void take_outcomes(struct gather *gather)
{
	for (size_t i = 0; gather->outcomes && i < gather->n; i++) {
		knit_future *child = gather->children[i].future;

		child->retrieved = true;
		gather->outcomes[i] = child->outcome;
	}
}

/* Completes the future. One that stands by itself needs the rest no longer. */
static void finish(struct gather *gather, intptr_t outcome, struct kn_message *message)
{
	knit_future *future = gather->future;

	if (future == &gather->own) {
		kn_future_finish(future, outcome, message);
		return;
	}
	if (outcome == 0)
		take_outcomes(gather);
	future->is_derived = false;
	future->result_free = NULL;
	/* A cancellation is no failure that somebody would have to hear of. */
	future->quiet = outcome == -KNIT_ECANCELLED;
	kn_future_finish(future, outcome, message);
	leave_children(gather, true);
	kn_free(gather);
}

static void finish_like(struct gather *gather, knit_future *child)
{
	child->retrieved = true;
	finish(gather, child->outcome, kn_message_ref(child->message));
}

/* The callback of a child that is done. Nothing is told of after the gather is done. */
static void child_is_done(struct gather *gather, knit_future *child)
{
	gather->left--;
	if (knit_is_error(child->outcome) && !gather->return_exceptions)
		finish_like(gather, child);
	else if (gather->left > 0)
		return;
	else if (gather->cancelled)
		finish(gather, -KNIT_ECANCELLED,
		       child->state == KN_CANCELLED ? kn_message_ref(child->message) : NULL);
	else
		finish(gather, 0, NULL);
}

static void child_run(struct kn_ready *ready)
{
	struct child *child = kn_container_of(ready, struct child, ready);

	if (!kn_future_is_done(child->gather->future))
		child_is_done(child->gather, child->future);
}

static void child_notify(struct kn_waiter *waiter, knit_future *future)
{
	kn_loop_ready(future->loop, &kn_container_of(waiter, struct child, waiter)->ready);
}

/* ---- cancelling ---------------------------------------------------------------------- */

/* Children may be gathers, or tasks that await one, to any depth. The way down is kept in the
 * gathers themselves, not on the stack, which may be that of a small task. */
static __thread struct gather *inner_one;

static bool gather_cancel(struct kn_derived *derived, struct kn_message *message);

/* Will a child accept a request? The first that is not done will, unless it is a gather itself. */
static bool has_acceptor(const struct gather *gather)
{
	for (size_t i = 0; i < gather->n; i++) {
		const knit_future *child = gather->children[i].future;

		if (kn_future_is_done(child))
			continue;
		if (!child->is_derived || child->derived->cancel != gather_cancel ||
		    has_acceptor(kn_container_of(child->derived, struct gather, derived)))
			return true;
	}
	return false;
}

/* One child of the innermost gather; if that leads to another gather, it is the innermost next. */
static void cancel_next(void)
{
	struct gather *gather = inner_one;

	if (gather->next == gather->n) {
		gather->cancelling = false;
		gather->request = kn_message_unref(gather->request);
		inner_one = gather->outer;
	} else if (kn_future_request_cancel(gather->children[gather->next++].future,
	                                    gather->request)) {
		gather->cancelled = true;
	}
}

static bool gather_cancel(struct kn_derived *derived, struct kn_message *message)
{
	struct gather *gather = kn_container_of(derived, struct gather, derived);
	bool nested = inner_one != NULL;

	if (kn_unlikely(gather->cancelling)) {
		/* A child waits for this gather: a circle, which has no end but this one. The
		 * children are in use by whoever called; the future itself is all that is done. */
		gather->future->quiet = true;
		kn_future_finish(gather->future, -KNIT_ECANCELLED, kn_message_ref(message));
		return true;
	}
	if (!has_acceptor(gather))
		return false;
	gather->cancelling = true;
	gather->next = 0;
	gather->request = kn_message_ref(message);
	gather->outer = inner_one;
	inner_one = gather;
	while (!nested && inner_one)
		cancel_next();
	return true;
}

/* The last reference to a future that nobody waits for. Its children may be such futures too. */
static void gather_drop(struct kn_derived *derived, knit_future *future)
{
	static __thread struct gather *dropped;
	struct gather *gather = kn_container_of(derived, struct gather, derived);
	bool nested = dropped != NULL;

	gather->quiet = kn_future_is_done(future);
	if (nested) {
		gather->outer = dropped->outer;
		dropped->outer = gather;
		return;
	}
	gather->outer = NULL;
	for (dropped = gather; dropped; dropped = gather) {
		leave_children(dropped, dropped->quiet);
		gather = dropped->outer;
		kn_free(dropped);
	}
}

/* ---- making one ---------------------------------------------------------------------- */

static int make_children(struct gather *gather, knit_future *const awaitables[], size_t n)
{
	if (gather->in_frame && n <= IN_FRAME)
		gather->children = gather->in_frame;
	else
		gather->children = n ? kn_calloc(n, sizeof(*gather->children)) : NULL;
	if (n && !gather->children)
		return -ENOMEM;
	gather->n = gather->left = n;
	for (size_t i = 0; i < n; i++) {
		struct child *child = &gather->children[i];

		*child = (struct child){
		        .waiter.notify = child_notify,
		        .ready.run = child_run,
		        .gather = gather,
		        .future = awaitables[i],
		};
		kn_list_init(&child->waiter.link);
		kn_list_init(&child->ready.link);
		if (!kn_future_is_done(child->future))
			kn_list_add_tail(&child->future->waiters, &child->waiter.link);
	}
	return 0;
}

/* Those that are done already count at once, in order. With the last of them, or the first that
 * failed, the gather may be done too, and is not looked at any more. */
static void count_done_ones(struct gather *gather)
{
	knit_future *future = gather->future;
	size_t n = gather->n;

	if (n == 0)
		finish(gather, 0, NULL);
	for (size_t i = 0; i < n && !kn_future_is_done(future); i++)
		if (kn_future_is_done(gather->children[i].future))
			child_is_done(gather, gather->children[i].future);
}

static int check_arguments(knit_gather_options *options, const knit_gather_options *given)
{
	int r = kn_options_copy(options, sizeof(*options), given);
	struct knit_loop *loop;

	if (r < 0) {
		*options = (knit_gather_options){.n = 0};
		return kn_fail(r);
	}
	loop = options->n && options->awaitables && options->awaitables[0]
	               ? options->awaitables[0]->loop
	               : kn_self.loop;
	return kn_several_check(options->awaitables, options->n, loop);
}

static void prepare(struct gather *gather, const knit_gather_options *options)
{
	*gather = (struct gather){
	        .derived = {.cancel = gather_cancel, .drop = gather_drop},
	        .outcomes = options->outcomes,
	        .return_exceptions = options->return_exceptions,
	};
}

/* ---- the call ------------------------------------------------------------------------ */

static struct kn_task *check_caller(const knit_gather_options *options, int *error)
{
	struct kn_task *task = kn_task_current(error);

	for (size_t i = 0; task && i < options->n; i++) {
		if (kn_likely(options->awaitables[i]->loop == kn_self.loop &&
		              options->awaitables[i] != kn_self.task))
			continue;
		*error = kn_fail(options->awaitables[i] == kn_self.task ? -EDEADLK
		                                                        : -KNIT_EWRONGTHREAD);
		return NULL;
	}
	return task;
}

static intptr_t await_gather(struct gather *gather, struct kn_task *task)
{
	intptr_t outcome = 0;

	kn_future_init_derived(&gather->own, kn_self.loop, &gather->derived);
	gather->future = &gather->own;
	count_done_ones(gather);
	if (!kn_future_is_done(&gather->own))
		outcome = kn_task_await(task, &gather->own);
	if (outcome == 0)
		outcome = kn_future_retrieve(&gather->own);
	if (outcome == 0)
		take_outcomes(gather);
	leave_children(gather, true);
	kn_message_unref(gather->own.message);
	return outcome;
}

intptr_t knit_gather_with(const knit_gather_options *given)
{
	knit_gather_options options;
	struct gather gather;
	struct child in_frame[IN_FRAME];
	struct kn_task *task = NULL;
	int r = check_arguments(&options, given);

	if (r == 0)
		task = check_caller(&options, &r);
	if (task) {
		prepare(&gather, &options);
		gather.in_frame = in_frame;
		r = make_children(&gather, options.awaitables, options.n);
		if (r == 0) {
			intptr_t outcome = await_gather(&gather, task);

			/* A text of before would be taken for that of one of the outcomes. */
			return outcome == 0 ? kn_fail(0) : outcome;
		}
		(void)kn_fail(r);
	}
	kn_several_release(options.awaitables, options.n);
	return r;
}

intptr_t(knit_gather)(knit_future *const awaitables[], size_t n, intptr_t outcomes[])
{
	return knit_gather(awaitables, n, outcomes);
}

/* ---- the future ---------------------------------------------------------------------- */

static int make_future(const knit_gather_options *options, knit_future **ret_future)
{
	struct knit_loop *loop = options->n ? options->awaitables[0]->loop : kn_self.loop;
	int r = loop ? kn_loop_usable(loop) : -KNIT_ENOLOOP;
	struct gather *gather = r == 0 ? kn_malloc(sizeof(*gather)) : NULL;
	knit_future *future = gather ? kn_future_new(loop) : NULL;

	if (r == 0)
		r = future ? 0 : -ENOMEM;
	if (r == 0) {
		prepare(gather, options);
		r = make_children(gather, options->awaitables, options->n);
	}
	if (r < 0) {
		if (future)
			kn_future_release(future);
		kn_free(gather);
		return r;
	}
	future->is_derived = true;
	future->derived = &gather->derived;
	gather->future = future;
	count_done_ones(gather);
	*ret_future = future;
	return 0;
}

knit_future *knit_gather_future_with(const knit_gather_options *given)
{
	knit_gather_options options;
	knit_future *future = NULL;
	int r = check_arguments(&options, given);

	if (r == 0)
		r = make_future(&options, &future);
	if (r < 0) {
		kn_several_release(options.awaitables, options.n);
		kn_self.create_error = -r;
	}
	return future;
}

knit_future *(knit_gather_future)(knit_future *const awaitables[], size_t n, intptr_t outcomes[])
{
	return knit_gather_future(awaitables, n, outcomes);
}
