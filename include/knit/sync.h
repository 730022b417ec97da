/* SPDX-License-Identifier: MIT */
/*
 * sync.h - locks, events, conditions, semaphores and barriers for the tasks of one loop.
 *
 * An object stands in the caller's storage, in a struct of the program's for example, and needs no
 * memory of its own. Locks, events and conditions may be initialised statically, or be all zero.
 * Destroying one returns -EBUSY while a task waits in it, or was woken and has not run yet: the
 * storage must stay.
 *
 * An object belongs to a loop from its first call on a running loop until that loop is closed; it
 * is then free for another. Between loops and threads it is of no use: every call by another
 * loop or thread returns -KNIT_EWRONGTHREAD (calls without an error to return end the process).
 *
 * Waiting is first come, first served, and does not suspend where there is nothing to wait for. No
 * call has a timeout of its own: wait inside knit_timeout_enter(). What a task was handed and
 * cannot take, because it was cancelled, goes to the next in line.
 */
#ifndef KNIT_SYNC_H
#define KNIT_SYNC_H

#include <stdbool.h>
#include <stdint.h>
#include <knit/error.h>
#include <knit/macros.h>

KNIT_BEGIN_DECLS

/* ---- lock ---------------------------------------------------------------------------- */

typedef struct knit_lock {
	uint64_t opaque[5]; /* the library's */
} knit_lock;

/* A lock that is not locked. */
#define KNIT_LOCK_INIT    \
	{                 \
		{         \
			0 \
		}         \
	}

/* Makes a lock, not locked. What was there is overwritten.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: any.  Suspends: no.  Ownership: @lock is the caller's storage. */
KNIT_API int knit_lock_init(knit_lock *lock);

/* Ends the use of @lock. It may be initialised again.
 *
 * Units: none.  Returns: 0.  Errors: -EBUSY: it is locked, or tasks wait for it; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: the storage is free if it returns 0. */
KNIT_API int knit_lock_destroy(knit_lock *lock);

/* Locks @lock, once it is unlocked and those who came earlier have had it. A task that has it
 * already waits for ever.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ECANCELLED: not locked by this call; -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is
 *   being closed; -EINVAL: NULL.
 * Thread: loop.  Suspends: unless it is free.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_lock_acquire(knit_lock *lock);

/* Unlocks @lock, on behalf of whichever task, and wakes the first in line. Until that runs
 * nobody else gets it.
 *
 * Units: none.  Returns: 0.  Errors: -EPERM: it is not locked; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_lock_release(knit_lock *lock);

/* Is it locked?
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_lock_locked(knit_lock *lock);

/* ---- event --------------------------------------------------------------------------- */

typedef struct knit_event {
	uint64_t opaque[5]; /* the library's */
} knit_event;

/* An event that is not set. */
#define KNIT_EVENT_INIT   \
	{                 \
		{         \
			0 \
		}         \
	}

/* Makes an event, not set. What was there is overwritten.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: any.  Suspends: no.  Ownership: @event is the caller's storage. */
KNIT_API int knit_event_init(knit_event *event);

/* Ends the use of @event. It may be initialised again.
 *
 * Units: none.  Returns: 0.  Errors: -EBUSY: tasks wait for it; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: the storage is free if it returns 0. */
KNIT_API int knit_event_destroy(knit_event *event);

/* Sets @event and wakes all who wait for it, in the order in which they came.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_event_set(knit_event *event);

/* Makes those who come from now on wait. Who was woken stays woken.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_event_clear(knit_event *event);

/* Is it set?
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_event_is_set(knit_event *event);

/* Waits until @event is set. It may be cleared again when the call returns.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is being closed; -EINVAL: NULL.
 * Thread: loop.  Suspends: unless it is set.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_event_wait(knit_event *event);

/* ---- condition ----------------------------------------------------------------------- */

typedef struct knit_condition {
	uint64_t opaque[10]; /* the library's */
} knit_condition;

/* A condition with a lock of its own. */
#define KNIT_CONDITION_INIT \
	{                   \
		{           \
			0   \
		}           \
	}

/* Makes a condition. What was there is overwritten.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: @condition is NULL.
 * Thread: any.  Suspends: no.  Ownership: @condition is the caller's storage; @lock is borrowed
 *   until the end of its use, and may serve several conditions; NULL: one of its own. */
KNIT_API int knit_condition_init(knit_condition *condition, knit_lock *lock);

/* Ends the use of @condition, and of its own lock if it has one. It may be initialised again.
 *
 * Units: none.  Returns: 0.
 * Errors: -EBUSY: tasks wait for it, or its own lock is in use; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: the storage is free if it returns 0. */
KNIT_API int knit_condition_destroy(knit_condition *condition);

/* As knit_lock_acquire(): of the condition's lock. */
KNIT_API KNIT_NODISCARD int knit_condition_acquire(knit_condition *condition);

/* As knit_lock_release(): of the condition's lock. */
KNIT_API int knit_condition_release(knit_condition *condition);

/* As knit_lock_locked(): of the condition's lock. */
KNIT_API bool knit_condition_locked(knit_condition *condition);

/* Releases the lock, waits for a notification, and acquires the lock again. That last step is
 * done on every path, and a cancellation waits for it; so whatever is returned, the lock is held
 * as it was before the call. A notification that a cancelled task got goes to the next.
 *
 * Units: none.  Returns: 0.
 * Errors: -EPERM: the lock is not locked; -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED: the
 *   loop is being closed; -EINVAL: NULL.
 * Thread: loop.  Suspends: always.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_condition_wait(knit_condition *condition);

/* Waits until @predicate(@arg) returns something else than 0. It is called with the lock held,
 * before each wait and after the last; an error that it returns ends the waiting too.
 *
 * Units: none.  Returns: what @predicate returned.  Errors: as knit_condition_wait().
 * Thread: loop.  Suspends: unless the predicate holds.  Ownership: @arg is borrowed. */
KNIT_API KNIT_NODISCARD intptr_t knit_condition_wait_for(knit_condition *condition,
                                                         intptr_t (*predicate)(void *arg),
                                                         void *arg);

/* Wakes the first @n who wait. They run once the lock is released.
 *
 * Units: @n in tasks.  Returns: 0.  Errors: -EPERM: the lock is not locked; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_condition_notify(knit_condition *condition, unsigned n);

/* As knit_condition_notify(): wakes all who wait. */
KNIT_API int knit_condition_notify_all(knit_condition *condition);

/* ---- semaphore ----------------------------------------------------------------------- */

typedef struct knit_semaphore {
	uint64_t opaque[7]; /* the library's */
} knit_semaphore;

/* Makes a semaphore. What was there is overwritten.
 *
 * Units: @value in permits.  Returns: 0.  Errors: -EINVAL: NULL, or @value < 0.
 * Thread: any.  Suspends: no.  Ownership: @semaphore is the caller's storage. */
KNIT_API KNIT_NODISCARD int knit_semaphore_init(knit_semaphore *semaphore, int64_t value);

/* As knit_semaphore_init(): one that never has more permits than @value (BoundedSemaphore). */
KNIT_API KNIT_NODISCARD int knit_bounded_semaphore_init(knit_semaphore *semaphore, int64_t value);

/* Ends the use of @semaphore. It may be initialised again.
 *
 * Units: none.  Returns: 0.  Errors: -EBUSY: tasks wait for it; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: the storage is free if it returns 0. */
KNIT_API int knit_semaphore_destroy(knit_semaphore *semaphore);

/* Takes a permit, once there is one for those who came earlier and for this task.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ECANCELLED: none was taken; -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is being
 *   closed; -EINVAL: NULL.
 * Thread: loop.  Suspends: unless there is a permit that nobody waits for.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_semaphore_acquire(knit_semaphore *semaphore);

/* Gives a permit, on behalf of whichever task, to the first in line.
 *
 * Units: none.  Returns: 0.
 * Errors: -EOVERFLOW: a bounded one has all its permits; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_semaphore_release(knit_semaphore *semaphore);

/* Would a newcomer have to wait? So it is if all permits are taken, or others wait.
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_semaphore_locked(knit_semaphore *semaphore);

/* ---- barrier ------------------------------------------------------------------------- */

typedef struct knit_barrier {
	uint64_t opaque[9]; /* the library's */
} knit_barrier;

/* Makes a barrier for @parties tasks. What was there is overwritten.
 *
 * Units: @parties in tasks.  Returns: 0.  Errors: -EINVAL: NULL, or @parties < 1.
 * Thread: any.  Suspends: no.  Ownership: @barrier is the caller's storage. */
KNIT_API KNIT_NODISCARD int knit_barrier_init(knit_barrier *barrier, int parties);

/* Ends the use of @barrier. It may be initialised again.
 *
 * Units: none.  Returns: 0.  Errors: -EBUSY: tasks wait in it; -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: the storage is free if it returns 0. */
KNIT_API int knit_barrier_destroy(knit_barrier *barrier);

/* Waits until as many tasks have come as the barrier has parties; then all go on, the last one
 * first. Who comes while they leave waits for the next round. A cancelled task just leaves.
 *
 * Units: none.  Returns: in which place the task came: 0 to parties - 1.
 * Errors: -KNIT_EBROKENBARRIER: it is broken, or was reset or aborted meanwhile;
 *   -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED: the loop is being closed; -EINVAL: NULL, or
 *   never initialised.
 * Thread: loop.  Suspends: but for the last.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_barrier_wait(knit_barrier *barrier);

/* Has those who wait return -KNIT_EBROKENBARRIER, and makes the barrier whole again.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_barrier_reset(knit_barrier *barrier);

/* Breaks the barrier: those who wait, and who come before a reset, get -KNIT_EBROKENBARRIER.
 *
 * Units: none.  Returns: 0.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_barrier_abort(knit_barrier *barrier);

/* How many tasks it is for.
 *
 * Units: tasks.  Returns: the number.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_barrier_parties(knit_barrier *barrier);

/* How many tasks wait for it to fill.
 *
 * Units: tasks.  Returns: the number.  Errors: -EINVAL: NULL.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_barrier_n_waiting(knit_barrier *barrier);

/* Is it broken?
 *
 * Units: none.  Returns: the answer.  Errors: none; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_barrier_broken(knit_barrier *barrier);

KNIT_END_DECLS
#endif
