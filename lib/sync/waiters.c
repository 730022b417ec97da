/* SPDX-License-Identifier: MIT */
/* waiters.c - standing in line, waking, and to which loop an object belongs: see waiters.h. */
#include "sync/waiters.h"

/* ---- in line --------------------------------------------------------------------------- */

static void stand_in_line(struct kn_waiters *waiters, struct kn_task *task)
{
	if (kn_unlikely(!waiters->list.next))
		kn_list_init(&waiters->list);
	task->place.line.woken = false;
	kn_list_add_tail(&waiters->list, &task->place.line.ready.link);
}

/* Only those in line are asked: who is woken does not wait any more. */
static bool leave_line(struct kn_wait *wait, struct kn_task *task, struct kn_message *message)
{
	(void)wait;
	kn_list_del(&task->place.line.ready.link);
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

static struct kn_wait waiting = {.cancel = leave_line, .in_line = true, .aside = true};
static struct kn_wait staying = {
        .cancel = stay_in_line,
        .for_tasks = true,
        .in_line = true,
        .aside = true,
        .stays = true,
};

int kn_waiters_wait(struct kn_waiters *waiters, struct kn_task *task, kn_hand_back *hand_back,
                    void *object)
{
	int r;

	stand_in_line(waiters, task);
	r = (int)kn_task_suspend_here(task, &waiting);
	if (kn_unlikely(!task->place.line.woken))
		return r;
	waiters->coming--;
	if (kn_unlikely(r < 0))
		hand_back(object);
	return r;
}

void kn_waiters_wait_through(struct kn_waiters *waiters, struct kn_task *task)
{
	stand_in_line(waiters, task);
	(void)kn_task_park(task, &staying);
	waiters->coming--;
}

bool kn_waiters_wake_first(struct kn_waiters *waiters)
{
	struct kn_task *task;

	if (!kn_waiters_in_line(waiters))
		return false;
	task = kn_list_entry(waiters->list.next, struct kn_task, place.line.ready.link);
	kn_list_unlink(&task->place.line.ready.link);
	task->place.line.woken = true;
	waiters->coming++;
	kn_task_wake_with(task, 0);
	return true;
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
