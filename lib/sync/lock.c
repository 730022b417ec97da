/* SPDX-License-Identifier: MIT */
/* lock.c - a lock that is handed over in the order of arrival.
 *
 * A release unlocks it and wakes the first in line, who locks it when it runs. In between nobody
 * else gets in, for a newcomer stands behind whoever is coming. At most one is: if that one is
 * cancelled, it wakes the next. */
#include "sync/lock.h"

_Static_assert(sizeof(struct kn_lock) <= sizeof(knit_lock), "the storage is too small");

static struct kn_lock *lock_of(knit_lock *lock)
{
	return (struct kn_lock *)lock;
}

static void pass_on(void *object)
{
	struct kn_lock *lock = object;

	if (!lock->locked)
		(void)kn_waiters_wake(&lock->waiters);
}

int knit_lock_init(knit_lock *lock)
{
	if (!lock)
		return kn_fail(-EINVAL);
	*lock_of(lock) = (struct kn_lock){.locked = false};
	return 0;
}

int knit_lock_destroy(knit_lock *lock)
{
	int r = kn_lock_check(lock_of(lock));

	if (r < 0)
		return r;
	if (!kn_lock_is_free(lock_of(lock)))
		return kn_fail(-EBUSY);
	return knit_lock_init(lock);
}

int knit_lock_acquire(knit_lock *object)
{
	struct kn_lock *lock = lock_of(object);
	struct kn_task *task;
	int r = kn_lock_check(lock);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!kn_self.task))
		return kn_fail(-KNIT_ENOTASK);
	if (kn_unlikely(!kn_lock_is_free(lock))) {
		task = kn_task_current(&r);
		if (!task)
			return kn_fail(r);
		r = kn_waiters_wait(&lock->waiters, task, pass_on, lock);
		if (r < 0)
			return r;
	}
	lock->locked = true;
	return 0;
}

void kn_lock_acquire_through(struct kn_lock *lock, struct kn_task *task)
{
	if (!kn_lock_is_free(lock))
		kn_waiters_wait_through(&lock->waiters, task);
	lock->locked = true;
}

void kn_lock_release(struct kn_lock *lock)
{
	lock->locked = false;
	(void)kn_waiters_wake(&lock->waiters);
}

int knit_lock_release(knit_lock *object)
{
	struct kn_lock *lock = lock_of(object);
	int r = kn_lock_check(lock);

	if (kn_unlikely(r < 0))
		return r;
	if (kn_unlikely(!lock->locked))
		return kn_sync_misuse(EPERM, "Lock is not acquired.");
	kn_lock_release(lock);
	return 0;
}

bool knit_lock_locked(knit_lock *lock)
{
	int r = kn_lock_check(lock_of(lock));

	if (kn_unlikely(r < 0))
		kn_sync_foreign(__func__, r);
	return lock_of(lock)->locked;
}
