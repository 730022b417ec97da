/* SPDX-License-Identifier: MIT */
/* condition.c - waiting for a change of what a lock protects.
 *
 * A wait has two parts: in the condition's line without the lock, then for the lock. The second
 * cannot be cancelled, for the call returns with the lock held on every path: a request that comes
 * then stays pending, keeps the task's place in the line for the lock, and is delivered once it
 * has the lock.
 *
 * A notification wakes one task that will see the change. If that one is cancelled, in either part,
 * it has perhaps not acted on it, so the notification goes to the next. */
#include "sync/lock.h"

struct condition {
	uint32_t loop_id;
	struct kn_waiters waiters;
	struct kn_lock *shared; /* borrowed; NULL: own */
	struct kn_lock own;
};

_Static_assert(sizeof(struct condition) <= sizeof(knit_condition), "the storage is too small");

static struct condition *condition_of(knit_condition *condition)
{
	return (struct condition *)condition;
}

static struct kn_lock *lock_of(struct condition *condition)
{
	return condition->shared ? condition->shared : &condition->own;
}

static int check(struct condition *condition)
{
	if (kn_unlikely(!condition))
		return kn_fail(-EINVAL);
	return kn_sync_check(&condition->loop_id, &condition->waiters, 1);
}

/* As above, and the lock is held, by whichever task. */
static int check_locked(struct condition *condition, const char *text)
{
	int r = check(condition);

	if (r == 0)
		r = kn_lock_check(lock_of(condition));
	if (kn_likely(r == 0) && kn_unlikely(!lock_of(condition)->locked))
		return kn_sync_misuse(EPERM, text);
	return r;
}

int knit_condition_init(knit_condition *condition, knit_lock *lock)
{
	if (!condition)
		return kn_fail(-EINVAL);
	*condition_of(condition) = (struct condition){.shared = (struct kn_lock *)lock};
	return 0;
}

int knit_condition_destroy(knit_condition *object)
{
	struct condition *condition = condition_of(object);
	int r = check(condition);

	if (r < 0)
		return r;
	if (kn_waiters_any(&condition->waiters) || !kn_lock_is_free(&condition->own))
		return kn_fail(-EBUSY);
	return knit_condition_init(object, NULL);
}

/* ---- the lock's methods ---------------------------------------------------------------- */

int knit_condition_acquire(knit_condition *condition)
{
	int r = check(condition_of(condition));

	return r < 0 ? r : knit_lock_acquire((knit_lock *)lock_of(condition_of(condition)));
}

int knit_condition_release(knit_condition *condition)
{
	int r = check(condition_of(condition));

	return r < 0 ? r : knit_lock_release((knit_lock *)lock_of(condition_of(condition)));
}

bool knit_condition_locked(knit_condition *condition)
{
	int r = check(condition_of(condition));

	if (kn_unlikely(r < 0))
		kn_sync_foreign(__func__, r);
	return knit_lock_locked((knit_lock *)lock_of(condition_of(condition)));
}

/* ---- waiting --------------------------------------------------------------------------- */

static void pass_on(void *object)
{
	struct condition *condition = object;

	(void)kn_waiters_wake(&condition->waiters);
}

int knit_condition_wait(knit_condition *object)
{
	struct condition *condition = condition_of(object);
	struct kn_task *task;
	int r = check_locked(condition, "cannot wait on un-acquired lock");

	if (kn_unlikely(r < 0))
		return r;
	task = kn_task_current(&r);
	if (kn_unlikely(!task))
		return kn_fail(r);
	kn_lock_release(lock_of(condition));
	r = kn_waiters_wait(&condition->waiters, task, pass_on, condition);
	kn_lock_acquire_through(lock_of(condition), task);
	if (kn_likely(!task->must_cancel))
		return r;
	if (r == 0)
		pass_on(condition);
	return kn_task_take_cancel(task);
}

intptr_t knit_condition_wait_for(knit_condition *condition, intptr_t (*predicate)(void *arg),
                                 void *arg)
{
	intptr_t result;
	int r = predicate ? check(condition_of(condition)) : kn_fail(-EINVAL);

	if (r < 0)
		return r;
	while ((result = predicate(arg)) == 0) {
		r = knit_condition_wait(condition);
		if (r < 0)
			return r;
	}
	return result;
}

/* ---- notifying ------------------------------------------------------------------------- */

int knit_condition_notify(knit_condition *object, unsigned n)
{
	struct condition *condition = condition_of(object);
	int r = check_locked(condition, "cannot notify on un-acquired lock");

	if (kn_unlikely(r < 0))
		return r;
	while (n > 0 && kn_waiters_wake(&condition->waiters))
		n--;
	return 0;
}

int knit_condition_notify_all(knit_condition *condition)
{
	return knit_condition_notify(condition, UINT32_MAX);
}
