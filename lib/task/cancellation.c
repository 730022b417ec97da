/* SPDX-License-Identifier: MIT */
/* cancellation.c - asyncio's cancellation: a request, counted, delivered once.
 *
 * Where the request goes: down the chain of awaited tasks to the one that waits for something
 * else, and there to the wait itself. Each task on the way counts it. If the wait ends by it,
 * the wake-up brings -KNIT_ECANCELLED; if not (the task is ready, runs, or has not started) the
 * request stays in must_cancel until the next suspension. */
#include "task/group.h"
#include "base/alloc.h"
#include "task/blocking.h"

void kn_task_keep_request(struct kn_task *task, struct kn_message *message)
{
	struct kn_message *before = task->cancel_message;

	task->must_cancel = true;
	task->cancel_message = kn_message_ref(message);
	kn_message_unref(before);
}

/* Not the text: a call that the request has ended already will return with it. */
void kn_task_forget_cancel(struct kn_task *task)
{
	task->must_cancel = false;
	task->requests = 0;
}

/* The scope that keeps a request of @from back, if there is one: the outermost with a shield. A
 * task that a closing loop unwinds is not asked whether it likes it. */
static struct kn_scope *shield_of(const struct kn_task *task, const struct kn_scope *from)
{
	struct kn_scope *shield = NULL;

	if (kn_unlikely(task->future.loop->phase != KN_OPEN))
		return NULL;
	for (struct kn_scope *scope = task->scope; scope && scope != from; scope = scope->outer)
		if (scope->shield)
			shield = scope;
	return shield;
}

static void hold_request(struct kn_scope *shield, struct kn_message *message)
{
	struct kn_message *before = shield->message;

	shield->held++;
	shield->task->held++;
	shield->message = kn_message_ref(message);
	kn_message_unref(before);
}

/* Where the request goes to: past tasks that await another one, unless they are shielded. NULL for
 * tasks that await each other in a circle. */
static knit_future *leaf_of(knit_future *future, const struct kn_scope *from)
{
	uint32_t hops = 0;

	/* What is awaited is not done: its completion would have ended the wait. */
	while (future->is_task && kn_task_awaits(kn_task_of(future))) {
		if (kn_unlikely(kn_task_of(future)->scope) && shield_of(kn_task_of(future), from))
			break;
		from = NULL;
		future = kn_task_awaits(kn_task_of(future));
		if (++hops > future->loop->tasks.live)
			return NULL;
	}
	return future;
}

/* A circle has no leaf. The request ends the wait of the task that it was made for. */
static void break_circle(struct kn_task *task, struct kn_message *message)
{
	task->cancelling++;
	kn_list_del(&task->place.waiter.link);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
}

static void request_here(struct kn_task *task, struct kn_scope *from, struct kn_message *message)
{
	struct kn_scope *shield = kn_unlikely(task->scope) ? shield_of(task, from) : NULL;

	task->cancelling++;
	if (from)
		from->asked = from->own = true;
	if (kn_unlikely(shield)) {
		hold_request(shield, message);
		return;
	}
	task->requests++;
	if (!task->wait || !task->wait->cancel(task->wait, task, message))
		kn_task_keep_request(task, message);
}

/* A future that stands for others passes it on, and is done when they are. */
static bool request_future(knit_future *future, struct kn_message *message)
{
	if (kn_unlikely(future->is_derived) && future->derived->cancel)
		return future->derived->cancel(future->derived, message);
	kn_future_complete(future, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

/* To whatever the task awaits: it has been delivered there. */
static void note_passed_on(struct kn_scope *from)
{
	from->asked = true;
	from->task->untold = true;
	from->delivered = ++from->task->deliveries;
}

/* @future is not done. @from: a scope of it that asks, NULL if somebody else does. */
static bool request(knit_future *future, struct kn_scope *from, struct kn_message *message)
{
	knit_future *leaf = leaf_of(future, from);
	struct kn_task *last = NULL;

	if (kn_unlikely(!leaf)) {
		if (from)
			note_passed_on(from);
		break_circle(kn_task_of(future), message);
		return true;
	}
	if (from && future != leaf)
		note_passed_on(from);
	for (; future != leaf; future = kn_task_awaits(last)) {
		if (last)
			from = NULL;
		last = kn_task_of(future);
		last->cancelling++;
	}
	if (leaf->is_task) {
		request_here(kn_task_of(leaf), last ? NULL : from, message);
		return true;
	}
	if (kn_likely(request_future(leaf, message)))
		return true;
	if (!last)
		return false;
	/* What it awaits is about to be done: the request is delivered instead (rule 84). */
	if (from)
		from->own = true;
	last->requests++;
	kn_task_keep_request(last, message);
	return true;
}

void kn_task_request_cancel(struct kn_task *task, struct kn_scope *from, struct kn_message *message)
{
	(void)request(&task->future, from, message);
}

bool kn_future_request_cancel(knit_future *future, struct kn_message *message)
{
	if (kn_future_is_done(future)) {
		/* Counts as having seen a failure (rule 50); a value is still nobody's. */
		if (knit_is_error(future->outcome))
			future->retrieved = true;
		return false;
	}
	return request(future, NULL, message);
}

bool knit_future_cancel(knit_future *future, const char *msg)
{
	struct kn_message *message = NULL;
	bool accepted;

	kn_future_demand(future, __func__);
	if (msg)
		message = kn_message_new(NULL, 0, KNIT_ECANCELLED, "%s", msg);
	accepted = kn_future_request_cancel(future, message);
	kn_message_unref(message);
	return accepted;
}

/* With the last one go those that have not been delivered. */
void kn_task_uncancel(struct kn_task *task)
{
	if (task->cancelling == 0 || --task->cancelling > 0)
		return;
	kn_task_forget_cancel(task);
	task->held = 0;
	for (struct kn_scope *scope = task->scope; scope; scope = scope->outer) {
		scope->held = 0;
		scope->message = kn_message_unref(scope->message);
		scope->own = false;
	}
}

void kn_task_delivered(struct kn_task *task)
{
	task->requests = 0;
	task->deliveries++;
	task->untold = true;
	for (struct kn_scope *scope = task->scope; scope; scope = scope->outer) {
		if (scope->own)
			scope->delivered = task->deliveries;
		scope->own = false;
		if (scope->shield)
			break; /* what is outside has been held */
	}
}

int knit_task_uncancel(knit_task *future)
{
	struct kn_task *task;
	int r = kn_future_check(future);

	if (r < 0)
		return r;
	if (!future->is_task)
		return kn_fail(-EINVAL);
	task = kn_task_of(future);
	kn_task_uncancel(task);
	return (int)task->cancelling;
}

int knit_task_cancelling(const knit_task *future)
{
	int r = kn_future_check(future);

	if (r < 0)
		return r;
	if (!future->is_task)
		return kn_fail(-EINVAL);
	return (int)kn_task_of((knit_future *)future)->cancelling;
}

bool knit_task_cancel(knit_task *, const char *) __attribute__((alias("knit_future_cancel")));

/* ---- the end of a loop --------------------------------------------------------------- */

static void report(struct kn_task *task, const char *message)
{
	knit_exception_context context = {
	        .message = message,
	        .name = knit_task_get_name(&task->future),
	        .future = &task->future,
	};
	char created[KN_ORIGIN_TEXT];

	context.created = kn_origin_print(task->future.origin, created, sizeof(created));
	kn_loop_report(task->future.loop, &context);
}

void kn_tasks_unwind(struct knit_loop *loop)
{
	/* Nothing can be created or finish while this runs, so the list stands still. */
	kn_list_for_each (node, &loop->all_tasks) {
		struct kn_task *task = kn_list_entry(node, struct kn_task, link);

		if (!task->overdue)
			report(task, "Task was destroyed but it is pending!");
		(void)kn_future_request_cancel(&task->future, NULL);
	}
	kn_wraps_close(loop);
	kn_calls_close(loop);
}

/* The loop's reference is kept, and arg_free not called: the coroutine has not returned. */
static void give_up(struct kn_task *task)
{
	kn_list_del(&task->link);
	if (kn_task_awaits(task))
		kn_list_del(&task->place.waiter.link);
	else if (task->wait && task->wait->in_line)
		kn_list_del(&task->place.line.ready.link);
	/* What is on its stack stays in use. */
	if (task->started)
		kn_task_need_stack(task);
	task->future.loop->abandoned++;
	if (task->group)
		kn_group_child_ended(task);
	kn_future_complete(&task->future, -KNIT_ECLOSED, NULL);
}

void kn_tasks_give_up(struct knit_loop *loop)
{
	unsigned before = loop->abandoned;

	kn_list_for_each_safe (node, &loop->all_tasks) {
		struct kn_task *task = kn_list_entry(node, struct kn_task, link);

		if (task->wait && !kn_task_awaits(task) && !task->wait->for_tasks)
			give_up(task);
	}
	if (loop->abandoned > before)
		return;
	kn_list_for_each_safe (node, &loop->all_tasks)
		give_up(kn_list_entry(node, struct kn_task, link));
}

void kn_tasks_describe(struct knit_loop *loop)
{
	kn_list_for_each (node, &loop->all_tasks)
		report(kn_list_entry(node, struct kn_task, link),
		       "Deadlock: nothing is left that could wake the task");
}
