/* SPDX-License-Identifier: MIT */
/* waiters.h - a line of tasks that wait for something to be handed over.
 *
 * Every object of this layer has one line or more. A waiter is linked by its task, so
 * waiting allocates nothing and waking cannot fail. From its wake-up to its next step a
 * waiter is "coming": it is out of line, has been handed something, and may still be cancelled.
 * That moment is where locks and queues lose things, so whoever waits says what is to happen then:
 * the hand-back hook passes on what the waiter got. There is no way to wait without one.
 *
 * Objects are the user's storage, and may be all zero. They belong to a loop from their first call
 * on a running loop until that loop is closed. The loop is remembered by its number, which is
 * never used again, so nothing here ever looks at a loop that is gone. */
#ifndef KN_SYNC_WAITERS_H
#define KN_SYNC_WAITERS_H
#include "task/task.h"

struct kn_waiters {
	struct kn_list list; /* all zero: nobody has waited yet */
	unsigned coming;     /* woken, and not resumed yet */
};

/* Passes on what a waiter of @object was handed: it was cancelled before it ran. */
typedef void kn_hand_back(void *object);

/* Stands in line until woken. 0, or -KNIT_ECANCELLED; then nothing is the caller's. */
KN_NODISCARD int kn_waiters_wait(struct kn_waiters *waiters, struct kn_task *task,
                                 kn_hand_back *hand_back, void *object);

/* As above, but a request to cancel only stays pending: for what must not return before. */
void kn_waiters_wait_through(struct kn_waiters *waiters, struct kn_task *task);

/* Does anybody stand in line? */
static inline bool kn_waiters_in_line(const struct kn_waiters *waiters)
{
	return waiters->list.next && !kn_list_empty(&waiters->list);
}

bool kn_waiters_wake_first(struct kn_waiters *waiters);

/* Wakes the first in line; false if there is none. O(1). */
static inline bool kn_waiters_wake(struct kn_waiters *waiters)
{
	return kn_waiters_in_line(waiters) && kn_waiters_wake_first(waiters);
}

void kn_waiters_wake_all(struct kn_waiters *waiters);

/* Would a newcomer have to stand behind somebody? */
static inline bool kn_waiters_any(const struct kn_waiters *waiters)
{
	return waiters->coming > 0 || kn_waiters_in_line(waiters);
}

/* ---- whose object is it? --------------------------------------------------------------- */

KN_COLD int kn_sync_adopt(uint32_t *loop_id, struct kn_waiters *waiters, unsigned count);

/* May the calling thread use the object whose loop is *@loop_id (0: none yet), and whose @count
 * lines are @waiters? 0, or -KNIT_EWRONGTHREAD. */
static inline int kn_sync_check(uint32_t *loop_id, struct kn_waiters *waiters, unsigned count)
{
	const struct knit_loop *loop = kn_self.loop;

	if (kn_likely(loop && loop->id == *loop_id))
		return 0;
	return kn_sync_adopt(loop_id, waiters, count);
}

KN_COLD KN_NORETURN void kn_sync_foreign(const char *function, int error);

/* A failure of the caller's making, with asyncio's words. Returns -@code. */
KN_COLD int kn_sync_misuse(int code, const char *text);
#endif
