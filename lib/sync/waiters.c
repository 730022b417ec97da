/* SPDX-License-Identifier: MIT */
/* waiters.c - standing in line, waking, and to which loop an object belongs: see waiters.h. */
#include "sync/waiters.h"

struct waiter {
	struct kn_wait wait;
	struct kn_list link; /* in line, or alone */
	struct kn_task *task;
	bool woken;
};

/* ---- in line --------------------------------------------------------------------------- */

static void stand_in_line(struct kn_waiters *waiters, struct waiter *waiter)
{
	if (kn_unlikely(!waiters->list.next))
		kn_list_init(&waiters->list);
	kn_list_add_tail(&waiters->list, &waiter->link);
}

/* Only those in line are asked: who is woken does not wait any more. */
static bool leave_line(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	struct waiter *waiter = kn_container_of(wait, struct waiter, wait);

	kn_list_del(&waiter->link);
	kn_task_wake(task, -KNIT_ECANCELLED, kn_message_ref(message));
	return true;
}

static bool stay_in_line(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	(void)task;
	(void)message;
	return false;
}

int kn_waiters_wait(struct kn_waiters *waiters, struct kn_task *task, kn_hand_back *hand_back,
                    void *object)
{
	struct waiter waiter = {.wait.cancel = leave_line, .task = task};
	int r;

	stand_in_line(waiters, &waiter);
	r = (int)kn_task_suspend(task, &waiter.wait);
	if (kn_unlikely(!waiter.woken))
		return r;
	waiters->coming--;
	if (kn_unlikely(r < 0))
		hand_back(object);
	return r;
}

void kn_waiters_wait_through(struct kn_waiters *waiters, struct kn_task *task)
{
	struct waiter waiter = {
	        .wait = {.cancel = stay_in_line, .for_tasks = true, .stays = true},
	        .task = task,
	};

	stand_in_line(waiters, &waiter);
	(void)kn_task_park(task, &waiter.wait);
	waiters->coming--;
}

bool kn_waiters_wake(struct kn_waiters *waiters)
{
	while (kn_waiters_in_line(waiters)) {
		struct waiter *waiter = kn_list_entry(waiters->list.next, struct waiter, link);

		kn_list_del(&waiter->link);
		/* A closing loop gives up tasks that do not unwind, wherever they wait. */
		if (kn_unlikely(kn_future_is_done(&waiter->task->future)))
			continue;
		waiter->woken = true;
		waiters->coming++;
		kn_task_wake(waiter->task, 0, NULL);
		return true;
	}
	return false;
}

void kn_waiters_wake_all(struct kn_waiters *waiters)
{
	while (kn_waiters_wake(waiters))
		;
}

/* ---- whose object is it? --------------------------------------------------------------- */

int kn_sync_misuse(int code, const char *text)
{
	return (int)knit_raise_at(NULL, 0, code, "%s", text);
}

/* The first call, or one that is not on the object's running loop. What a closed loop left may be
 * used again: its tasks are done, or were given up, and those still stand in line. */
int kn_sync_adopt(uint32_t *loop_id, struct kn_waiters *waiters, unsigned count)
{
	int r = *loop_id ? kn_registry_whose(*loop_id) : -KNIT_ECLOSED;

	if (r == 0 && !kn_self.loop)
		return 0;
	if (r != -KNIT_ECLOSED)
		return kn_sync_misuse(KNIT_EWRONGTHREAD,
		                      "the object is bound to a different event loop");
	for (unsigned i = 0; *loop_id && i < count; i++)
		waiters[i] = (struct kn_waiters){.coming = 0};
	*loop_id = kn_self.loop ? kn_self.loop->id : 0;
	return 0;
}

void kn_sync_foreign(const char *function, int error)
{
	if (error == -EINVAL)
		kn_panic("%s(): NULL instead of an object", function);
	kn_panic("%s(): the object belongs to another thread or loop", function);
}
