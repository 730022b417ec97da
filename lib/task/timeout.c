/* SPDX-License-Identifier: MIT */
/* timeout.c - the public face of scopes: knit_timeout and knit_cancel_scope. */
#include "knit/timeout.h"
#include "base/options.h"
#include "task/scope.h"

_Static_assert(sizeof(struct kn_scope) <= sizeof(knit_timeout), "the storage is too small");
_Static_assert(sizeof(struct kn_scope) <= sizeof(knit_cancel_scope), "the storage is too small");

/* ---- what both have in common -------------------------------------------------------- */

static int enter(struct kn_scope *scope, int64_t when, bool level, bool shield)
{
	int r = kn_scope_check_entry(scope);

	return kn_unlikely(r < 0)
	               ? r
	               : kn_scope_enter(scope, kn_task_of(kn_self.task), when, level, shield);
}

/* May the caller change it? */
static int check_open(const struct kn_scope *scope)
{
	if (!scope)
		return kn_fail(-EINVAL);
	if (!kn_scope_is_open(scope))
		return kn_fail(-KNIT_EINVALIDSTATE);
	return kn_future_check(&scope->task->future);
}

static int64_t when_of(const struct kn_scope *scope)
{
	if (!scope)
		return kn_fail(-EINVAL);
	if (!kn_scope_is_known(scope))
		return kn_fail(-KNIT_EINVALIDSTATE);
	if (kn_scope_is_open(scope) && kn_future_check(&scope->task->future) < 0)
		return -KNIT_EWRONGTHREAD;
	return scope->when;
}

/* Is it one that may be asked? One that was left has no task any more, and is just storage. */
static bool demand_known(const struct kn_scope *scope, const char *function)
{
	if (!scope || !kn_scope_is_known(scope))
		return false;
	if (kn_scope_is_open(scope))
		kn_future_demand(&scope->task->future, function);
	return true;
}

static int reschedule(struct kn_scope *scope, int64_t when)
{
	int r = check_open(scope);

	if (r == 0 && scope->state != KN_SCOPE_ACTIVE)
		r = kn_fail(-KNIT_EINVALIDSTATE);
	return r < 0 ? r : kn_scope_reschedule(scope, when);
}

static int64_t deadline(int64_t delay)
{
	return kn_self.loop ? kn_loop_deadline(kn_self.loop, delay) : KNIT_FOREVER;
}

/* ---- timeouts ------------------------------------------------------------------------ */

int knit_timeout_enter(knit_timeout *timeout, int64_t delay)
{
	return enter((struct kn_scope *)timeout, deadline(delay), false, false);
}

int knit_timeout_enter_at(knit_timeout *timeout, int64_t when)
{
	return enter((struct kn_scope *)timeout, when, false, false);
}

intptr_t knit_timeout_exit(knit_timeout *timeout, intptr_t body)
{
	struct kn_scope *scope = (struct kn_scope *)timeout;
	unsigned others;
	int r = kn_scope_check_exit(scope);

	if (kn_unlikely(r < 0))
		return r;
	kn_scope_exit(scope);
	if (kn_likely(scope->state == KN_SCOPE_FINISHED))
		return body;
	others = kn_scope_withdraw(scope);
	if (body != -KNIT_ECANCELLED || others > 0)
		return body;
	return kn_fail(-ETIMEDOUT);
}

bool knit_timeout_expired(const knit_timeout *timeout)
{
	const struct kn_scope *scope = (const struct kn_scope *)timeout;

	return demand_known(scope, __func__) &&
	       (scope->state == KN_SCOPE_EXPIRING || scope->state == KN_SCOPE_EXPIRED);
}

int64_t knit_timeout_when(const knit_timeout *timeout)
{
	return when_of((const struct kn_scope *)timeout);
}

int knit_timeout_reschedule(knit_timeout *timeout, int64_t when)
{
	return reschedule((struct kn_scope *)timeout, when);
}

/* ---- cancel scopes ------------------------------------------------------------------- */

int knit_cancel_scope_enter_with(knit_cancel_scope *scope, const knit_cancel_scope_options *given)
{
	knit_cancel_scope_options options;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r < 0)
		return kn_fail(r);
	return enter((struct kn_scope *)scope,
	             options.delay ? deadline(options.delay) : KNIT_FOREVER, true, options.shield);
}

int(knit_cancel_scope_enter)(knit_cancel_scope *scope)
{
	return knit_cancel_scope_enter(scope);
}

int knit_cancel_scope_cancel(knit_cancel_scope *public)
{
	struct kn_scope *scope = (struct kn_scope *)public;
	int r = check_open(scope);

	if (r == 0)
		kn_scope_cancel(scope, NULL);
	return r;
}

intptr_t knit_cancel_scope_exit(knit_cancel_scope *public, intptr_t body)
{
	struct kn_scope *scope = (struct kn_scope *)public;
	int r = kn_scope_check_exit(scope);

	if (kn_unlikely(r < 0))
		return r;
	kn_scope_exit(scope);
	/* What is still pending speaks for itself, at the next suspension. */
	if (body != -KNIT_ECANCELLED || !scope->cancelled ||
	    kn_scope_others(scope) > scope->task->requests)
		return body;
	scope->caught = true;
	return 0;
}

bool knit_cancel_scope_cancelled(const knit_cancel_scope *public)
{
	const struct kn_scope *scope = (const struct kn_scope *)public;

	return demand_known(scope, __func__) && scope->cancelled;
}

bool knit_cancel_scope_caught(const knit_cancel_scope *public)
{
	const struct kn_scope *scope = (const struct kn_scope *)public;

	return demand_known(scope, __func__) && scope->caught;
}

int64_t knit_cancel_scope_when(const knit_cancel_scope *scope)
{
	return when_of((const struct kn_scope *)scope);
}

int knit_cancel_scope_reschedule(knit_cancel_scope *scope, int64_t when)
{
	return reschedule((struct kn_scope *)scope, when);
}
