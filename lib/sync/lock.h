/* SPDX-License-Identifier: MIT */
/* lock.h - the lock from the inside, for conditions. */
#ifndef KN_SYNC_LOCK_H
#define KN_SYNC_LOCK_H
#include "sync/waiters.h"
#include "knit/sync.h"

struct kn_lock {
	uint32_t loop_id;
	bool locked;
	struct kn_waiters waiters;
};

/* As kn_sync_check(), and -EINVAL for NULL. */
static inline int kn_lock_check(struct kn_lock *lock)
{
	if (kn_unlikely(!lock))
		return kn_fail(-EINVAL);
	return kn_sync_check(&lock->loop_id, &lock->waiters, 1);
}

/* Nobody has it, and nobody stands before a newcomer. */
static inline bool kn_lock_is_free(const struct kn_lock *lock)
{
	return !lock->locked && !kn_waiters_any(&lock->waiters);
}

/* Of one that is locked: unlocks it and wakes the first in line. */
void kn_lock_release(struct kn_lock *lock);

/* Acquires it, whatever comes: a request to cancel stays pending. */
void kn_lock_acquire_through(struct kn_lock *lock, struct kn_task *task);
#endif
