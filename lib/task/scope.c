/* SPDX-License-Identifier: MIT */
/* scope.c - entering and leaving scopes, and how they cancel: see scope.h. */
#include "task/scope.h"

#define MAGIC 0x6b6e697473636f70u /* "knitscop" */

static uint64_t magic_of(const struct kn_scope *scope)
{
	return MAGIC ^ (uintptr_t)scope;
}

bool kn_scope_is_known(const struct kn_scope *scope)
{
	return scope->magic == magic_of(scope);
}

bool kn_scope_is_open(const struct kn_scope *scope)
{
	return kn_scope_is_known(scope) &&
	       (scope->state == KN_SCOPE_ACTIVE || scope->state == KN_SCOPE_EXPIRING);
}

/* Does a level scope want every suspension to fail? One outside of a shield does not count. */
static bool is_interrupted(const struct kn_task *task)
{
	for (const struct kn_scope *scope = task->scope; scope; scope = scope->outer) {
		if (scope->cancelled)
			return true;
		if (scope->shield)
			return false;
	}
	return false;
}

/* ---- the deadline -------------------------------------------------------------------- */

static void expire(struct kn_ready *ready)
{
	struct kn_scope *scope = kn_container_of(ready, struct kn_scope, timer.ready);

	scope->state = KN_SCOPE_EXPIRING;
	kn_scope_cancel(scope, NULL);
}

/* A deadline that has passed already is a callback of the next pass, in line with the others. */
static int arm(struct kn_scope *scope, int64_t when)
{
	struct knit_loop *loop = scope->task->future.loop;
	int r = 0;

	scope->when = when;
	if (when == KNIT_FOREVER)
		return 0;
	if (when <= kn_loop_now(loop))
		kn_loop_ready(loop, &scope->timer.ready);
	else
		r = kn_timer_start(loop, &scope->timer, when);
	if (kn_unlikely(r < 0))
		scope->when = KNIT_FOREVER;
	return r;
}

int kn_scope_reschedule(struct kn_scope *scope, int64_t when)
{
	kn_timer_stop(scope->task->future.loop, &scope->timer);
	return arm(scope, when);
}

/* ---- in and out ---------------------------------------------------------------------- */

/* What is pending at the entry of a shield comes from outside of it. */
static void hold_pending(struct kn_scope *scope, struct kn_task *task)
{
	scope->held = task->requests;
	task->held += task->requests;
	task->requests = 0;
	task->must_cancel = false;
	scope->message = task->cancel_message;
	task->cancel_message = NULL;
}

static void release_held(struct kn_scope *scope, struct kn_task *task)
{
	task->held -= scope->held;
	task->requests += scope->held;
	scope->held = 0;
	task->must_cancel = true;
	kn_message_unref(task->cancel_message);
	task->cancel_message = scope->message;
	scope->message = NULL;
}

int kn_scope_enter(struct kn_scope *scope, struct kn_task *task, int64_t when, bool level,
                   bool shield)
{
	int r;

	*scope = (struct kn_scope){
	        .timer = {.ready.run = expire, .id = KN_HEAP_NONE},
	        .task = task,
	        .state = KN_SCOPE_ACTIVE,
	        .entered = task->deliveries,
	        .level = level,
	        .shield = shield,
	};
	kn_list_init(&scope->timer.ready.link);
	r = arm(scope, when);
	if (r < 0)
		return r;
	scope->magic = magic_of(scope);
	scope->outer = task->scope;
	task->scope = scope;
	/* A task may take requests back that it has not got. */
	if (kn_unlikely(task->cancelling > task->requests + task->held))
		scope->taken = task->cancelling - task->requests - task->held;
	if (shield) {
		if (task->requests)
			hold_pending(scope, task);
		task->interrupted = false;
	}
	return 0;
}

int kn_scope_check_entry(const struct kn_scope *scope)
{
	if (kn_unlikely(!scope))
		return kn_fail(-EINVAL);
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	/* The storage may hold anything, so its content says nothing. */
	for (const struct kn_scope *open = kn_task_of(kn_self.task)->scope; open;
	     open = open->outer)
		if (kn_unlikely(open == scope))
			return kn_fail(-KNIT_EINVALIDSTATE);
	return 0;
}

int kn_scope_check_exit(const struct kn_scope *scope)
{
	if (kn_unlikely(!scope))
		return kn_fail(-EINVAL);
	if (kn_unlikely(!kn_scope_is_open(scope)))
		return kn_fail(-KNIT_EINVALIDSTATE);
	if (kn_unlikely(kn_future_check(&scope->task->future) < 0))
		return -KNIT_EWRONGTHREAD;
	if (kn_unlikely(&scope->task->future != kn_self.task))
		return kn_fail(-KNIT_EINVALIDSTATE);
	return 0;
}

void kn_scope_demand_innermost(const struct kn_scope *scope)
{
	if (kn_unlikely(scope->task->scope != scope))
		kn_panic("a timeout, cancel scope or task group of the task '%s' is left while one "
		         "that was entered later is still open; leave them in reverse order",
		         knit_task_get_name(&scope->task->future));
}

void kn_scope_exit(struct kn_scope *scope)
{
	struct kn_task *task = scope->task;

	kn_scope_demand_innermost(scope);
	kn_timer_stop(task->future.loop, &scope->timer);
	scope->state = scope->state == KN_SCOPE_EXPIRING ? KN_SCOPE_EXPIRED : KN_SCOPE_FINISHED;
	task->scope = scope->outer;
	if (kn_unlikely(scope->held))
		release_held(scope, task);
	if (kn_unlikely(task->interrupted || scope->shield))
		task->interrupted = is_interrupted(task);
}

/* ---- cancelling ---------------------------------------------------------------------- */

/* Ends the wait that the task is in now, if it can be ended. A wake-up that is on its way already
 * is not replaced: the next suspension fails. */
static void interrupt(struct kn_task *task)
{
	task->interrupted = is_interrupted(task);
	if (!task->interrupted || !task->wait)
		return;
	if (kn_task_awaits(task))
		(void)kn_future_request_cancel(kn_task_awaits(task), NULL);
	else
		(void)task->wait->cancel(task->wait, task,
		                         task->requests ? task->cancel_message : NULL);
}

void kn_scope_cancel(struct kn_scope *scope, struct kn_message *message)
{
	if (!scope->level) {
		kn_task_request_cancel(scope->task, scope, message);
		return;
	}
	if (scope->cancelled)
		return;
	scope->cancelled = true;
	interrupt(scope->task);
}

/* ---- whose a cancellation was -------------------------------------------------------- */

unsigned kn_scope_others(const struct kn_scope *scope)
{
	const struct kn_task *task = scope->task;
	unsigned known = scope->taken + task->held, others = task->interrupted;

	return task->cancelling > known ? task->cancelling - known + others : others;
}

unsigned kn_scope_withdraw(struct kn_scope *scope)
{
	struct kn_task *task = scope->task;

	if (scope->own && task->requests > 0 && --task->requests == 0)
		kn_task_forget_cancel(task);
	scope->own = scope->asked = false;
	kn_task_uncancel(task);
	return kn_scope_others(scope);
}

void kn_scope_redeliver(struct kn_scope *scope, struct kn_message *message)
{
	struct kn_task *task = scope->task;
	unsigned requests = kn_scope_others(scope) - task->interrupted;

	if (requests == 0)
		return;
	task->requests = requests;
	kn_task_keep_request(task, message);
	for (struct kn_scope *outer = scope->outer; outer; outer = outer->outer) {
		outer->own = outer->own ||
		             (outer->asked && (int32_t)(outer->delivered - scope->entered) > 0);
		if (outer->shield)
			break; /* what is outside has been held */
	}
}
